/* The description of the run. */
#ifndef TN_REPORT_HEAD_H
#define TN_REPORT_HEAD_H

#include "report/markup.h"
#include "report/report.h"

/* Model, questions, sampling, images and machine of each file, from its manifest, and the settings of each method. */
void tn_head_write_runs(tn_markup *out, const tn_results *results);

/* The same for a single answer. */
void tn_head_write_answer(tn_markup *out, const tn_report_answer *answer);

/* Key numbers: questions, the best accuracy, the fewest steps. */
void tn_head_write_facts(tn_markup *out, const tn_table_groups *groups, const json_t *report);

/* The last part of a path; the last two for RUN/model and RUN/adapter, because all runs have these. */
const char *tn_head_name(const char *path);

#endif
