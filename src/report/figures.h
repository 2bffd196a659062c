/* The charts of an evaluation, made from its tables and its answers. */
#ifndef TN_REPORT_FIGURES_H
#define TN_REPORT_FIGURES_H

#include "eval/table.h"
#include "report/markup.h"

enum { TN_STYLE_SIZE = 4 };

/* The style of a row of the tables in all charts: "a0".. for those with latent steps, "b0".. for the others. */
void tn_figure_style(const tn_table_groups *groups, size_t group, char style[TN_STYLE_SIZE]);

/* Accuracy with intervals by method, against autoregressive steps, by number of looks, against K and N if they vary;
 * distributions of times and steps, parts of the time; attention ratio and focus, norm and cosine by latent step. An
 * empty chart is left out. `report`: the result of tn_table_report for the same groups; numbers in both are the same. */
void tn_figures_write(tn_markup *out, const tn_table_groups *groups, const json_t *report);

/* The five percentiles of a distribution (5, 25, 50, 75, 95 %, with linear interpolation), NaN without values. Sorts
 * the values. */
void tn_figure_five(double *values, size_t count, double five[5]);

#endif
