/* Tables of result files: accuracy with intervals, steps, times, by domain and topic, and methods in pairs.
 *
 * A table is JSON, so that one description serves every form:
 *     {"name", "title", "columns": [{"name", "kind"}], "rows": [[cell, ...]], "notes": [sentences below it]}
 * kind is "text", "count", "percent", "share" (a percentage with its interval), "number" or "probability"; a cell is a
 * string, a number, null, or for a share {"value", "low", "high", "total", "correct"} in percent (low null: no interval). A column
 * with "hidden" says nothing: all its cells are null, or there is one run in each row, or no answer failed. */
#ifndef TN_EVAL_TABLE_H
#define TN_EVAL_TABLE_H

#include "eval/results.h"
#include "eval/statistics.h"
#include "reason/method.h"

/* A row of the tables: one way of answering, in one run or in several (seeds). */
typedef struct tn_table_group {
    char *name;
    const tn_result_set **sets; /* [count] */
    size_t count;
} tn_table_group;

typedef struct tn_table_groups {
    tn_table_group *items;
    size_t count;
} tn_table_groups;

/* Puts the sets [first, end) of the results into groups: all sets of one label together under "NAME: LABEL", or "NAME"
 * where there is one label; with name NULL each set by itself under its label (with the file's name in front where several
 * files have that label). Errors: MEMORY. */
tenebra_code tn_table_group_sets(tn_table_groups *groups, const tn_results *results, size_t first, size_t end, const char *name,
                                 tenebra_error *error);
void tn_table_groups_free(tn_table_groups *groups);

/* Leaves only the groups whose names stand in "A,B,...", in that order. Errors: ARGUMENT (no such group), MEMORY. */
tenebra_code tn_table_choose(tn_table_groups *groups, const char *names, tenebra_error *error);

/* All tables, as {"tables": [...], "notes": [...], "scorer"}; notes tell what has to be said of the numbers: runs of a part of a set,
 * failed or missing answers, files that do not fit together.
 *   methods  accuracy, autoregressive steps, times
 *   domains  accuracy of each method in each domain
 *   topics   the same for each topic, and `looks` where topics end in a number
 *   latents  attention ratio and focus, norm and cosine by latent step
 *   calls    how often a method that may ask for regions did so, and how often in vain
 *   pairs    two methods on the same questions: who is right where the other is not
 * Accuracies of one run have Wilson intervals, differences Newcombe's (statistics.h); of several runs, the mean with Student's
 * interval over the runs, as far as it is possible. Answers that failed count as wrong. Below each table of accuracies stands
 * how many answers name no option. Work is linear in answers and steps. The caller owns *report, which is NULL after a failure.
 * Errors: MEMORY. */
tenebra_code tn_table_report(json_t **report, const tn_table_groups *groups, tenebra_error *error);

/* What settings, {name: value}, or those of a row say of an option with that meaning, and the option's name (`name` may be NULL).
 * NULL: nothing. */
const char *tn_settings_meant(const json_t *settings, tn_option_meaning means, const char **name);
const char *tn_table_setting(const tn_table_group *group, tn_option_meaning means, const char **name);

/* How many answers of each row name no option, as a sentence in `text` [size]. */
void tn_table_silence(const tn_table_groups *groups, char *text, size_t size);

/* Adds the questions that both sets answered to `paired`. */
void tn_table_pair(const tn_result_set *first, const tn_result_set *second, tn_paired *paired);

/* Mean of `count` values and the half width of Student's 95 % interval (NaN below two). */
double tn_table_mean(const double *values, size_t count, double *half);

/* ---------------------------------------------------------------- forms -- */

/* One cell in words: "71.83 [69.96, 73.63]", "-" for null. `kind` of its column. */
enum { TN_TABLE_CELL = 512 };
void tn_table_cell(char cell[TN_TABLE_CELL], const char *kind, const json_t *value);

/* Whether a column says nothing: such columns are shown in no form but JSON. */
bool tn_table_is_hidden(const json_t *table, size_t column);

typedef enum tn_table_form { TN_TABLE_TEXT, TN_TABLE_MARKDOWN, TN_TABLE_CSV, TN_TABLE_LATEX } tn_table_form;

/* The tables of a report in a form, in fresh memory (*written, NULL after a failure); `only` NULL: all, else the one of that name.
 * Errors: ARGUMENT (no such table), MEMORY. */
tenebra_code tn_table_write(char **written, const json_t *report, tn_table_form form, const char *only, tenebra_error *error);

#endif
