/* Maps of attention over the grid of a picture's embeddings. */
#ifndef TN_REPORT_HEAT_H
#define TN_REPORT_HEAT_H

#include "base/json.h"

/* The outer ring becomes 0: embeddings at the border draw attention whatever is asked (Qwen3-VL issue 1551). False, with the
 * map as it was, for a grid of fewer than 3 rows or columns, which is all border. map [rows * columns]. */
bool tn_heat_mask_border(double *map, size_t rows, size_t columns);

/* out[i] = (raw[i] / sum raw) / (neutral[i] / sum neutral): how many times the share of attention under a neutral prompt.
 * False where a sum is not positive or any number is negative or not finite. A place that the neutral prompt gives nothing
 * counts as a thousandth of the mean there. */
bool tn_heat_relative(double *out, const double *raw, const double *neutral, size_t count);

/* [largest, cells]: cells in base64, a byte each, 255 for the largest. null where nothing is positive. The caller owns it;
 * NULL: no memory. */
json_t *tn_heat_json(const double *map, size_t count);

#endif
