/* The report of `tenebra quantize` for people and for programs. */
#ifndef TN_APP_QUANTIZE_PRINT_H
#define TN_APP_QUANTIZE_PRINT_H

#include "model/quantize.h"

/* A table on stdout: a line for each matrix (all), or one for all that differ only in the number of their layer.
 * Matrices that were already quantised cause a warning on stderr. */
void tn_quantize_print(const tn_quantize_report *report, const char *output, bool all);

/* One JSON object on stdout. */
void tn_quantize_print_json(const tn_quantize_report *report, const char *output);

#endif
