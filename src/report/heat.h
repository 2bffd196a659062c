/* Maps of attention over the grid of an image's embeddings. */
#ifndef TN_REPORT_HEAT_H
#define TN_REPORT_HEAT_H

#include "base/json.h"

/* Sets the outer ring to 0, because embeddings at the border attract attention whatever the question is (Qwen3-VL issue
 * 1551). Returns false and does not change the map for a grid of fewer than 3 rows or columns, which is all border. map
 * [rows * columns]. */
bool tn_heat_mask_border(double *map, size_t rows, size_t columns);

/* out[i] = (raw[i] / sum raw) / (neutral[i] / sum neutral): the share of attention relative to that under a neutral
 * prompt. False if a sum is not positive or a number is negative or not finite. If the neutral prompt gives a place
 * nothing, a thousandth of its mean is used. */
bool tn_heat_relative(double *out, const double *raw, const double *neutral, size_t count);

/* [largest, cells]: cells in base64, a byte each, 255 for the largest; null if nothing is positive. The caller owns it;
 * NULL without memory. */
json_t *tn_heat_json(const double *map, size_t count);

#endif
