/* Tables of result files: accuracy with intervals, steps and times, accuracy by domain and topic, and comparisons of methods in
 * pairs.
 *
 * A table is JSON, from which every output format is made:
 *     {"name", "title", "columns": [{"name", "kind"}], "rows": [[cell, ...]], "notes": [sentences below it]}
 * kind is "text", "count", "percent", "share" (a percentage with its interval), "number" or "probability"; a cell is a
 * string, a number, null, or for a share {"value", "low", "high", "total", "correct"} in percent (low null: no interval). A
 * column with "hidden" carries no information: all its cells are null, or every row has one run, or no answer failed. */
#ifndef TN_EVAL_TABLE_H
#define TN_EVAL_TABLE_H

#include "eval/results.h"
#include "eval/statistics.h"
#include "reason/method.h"

/* A row of the tables: one entry, in one run or in several (with different seeds). */
typedef struct tn_table_group {
    char *name;
    const tn_result_set **sets; /* [count] */
    size_t count;
} tn_table_group;

typedef struct tn_table_groups {
    tn_table_group *items;
    size_t count;
} tn_table_groups;

/* Puts the sets [first, end) of the results into groups. With a name, all sets of one label form a group "NAME: LABEL", or
 * "NAME" if there is only one label. With name NULL, each set is a group with its label as name (after the file's name if
 * several files have this label). Errors: MEMORY. */
tenebra_code tn_table_group_sets(tn_table_groups *groups, const tn_results *results, size_t first, size_t end, const char *name,
                                 tenebra_error *error);
void tn_table_groups_free(tn_table_groups *groups);

/* Keeps only the groups with the names "A,B,...", in this order. Errors: ARGUMENT (no such group), MEMORY. */
tenebra_code tn_table_choose(tn_table_groups *groups, const char *names, tenebra_error *error);

/* Makes all tables, {"tables": [...], "notes": [...], "scorer"}. The notes report runs of a part of a data set, failed or
 * missing answers, and files that cannot be compared.
 *   methods  accuracy, autoregressive steps, times
 *   domains  accuracy of each method in each domain
 *   topics   the same for each topic, and `looks` where topics end in a number
 *   latents  attention ratio and focus, norm and cosine by latent step
 *   calls    how often a method requested regions, and how often without success
 *   pairs    two methods on the same questions: how often only one of them is correct
 * Accuracies of one run have Wilson intervals, differences Newcombe's (statistics.h); of several runs, the mean with Student's
 * interval over the runs, cut to the possible range. Answers that failed count as wrong. A sentence below each table of
 * accuracies has the number of answers that name no option. Work is linear in answers and steps. The caller owns *report,
 * which is NULL after a failure. Errors: MEMORY. */
tenebra_code tn_table_report(json_t **report, const tn_table_groups *groups, tenebra_error *error);

/* The value of the option with this meaning in settings {name: value}, or in those of a row; *name is set to the option's name
 * (`name` may be NULL). NULL if there is none. */
const char *tn_settings_meant(const json_t *settings, tn_option_meaning means, const char **name);
const char *tn_table_setting(const tn_table_group *group, tn_option_meaning means, const char **name);

/* Writes a sentence about the answers of each row that name no option into `text` [size]. */
void tn_table_silence(const tn_table_groups *groups, char *text, size_t size);

/* Adds the questions that both sets answered to `paired`. */
void tn_table_pair(const tn_result_set *first, const tn_result_set *second, tn_paired *paired);

/* The mean of `count` values, and half the width of Student's 95 % interval: NaN for fewer than two values, exactly 0 if all are equal,
 * which says nothing about how far others would be, so that the interval must then come from elsewhere. */
double tn_table_mean(const double *values, size_t count, double *half);

/* ---------------------------------------------------------------- forms -- */

/* One cell as text: "71.83 [69.96, 73.63]", "-" for null. `kind` is that of its column. */
enum { TN_TABLE_CELL = 512 };
void tn_table_cell(char cell[TN_TABLE_CELL], const char *kind, const json_t *value);

/* Whether a column carries no information. Such columns appear only in JSON. */
bool tn_table_is_hidden(const json_t *table, size_t column);

typedef enum tn_table_form { TN_TABLE_TEXT, TN_TABLE_MARKDOWN, TN_TABLE_CSV, TN_TABLE_LATEX } tn_table_form;

/* Writes the tables of a report in a format; the caller frees *written (NULL after a failure). `only` NULL: all tables, else
 * the one with this name. Errors: ARGUMENT (no such table), MEMORY. */
tenebra_code tn_table_write(char **written, const json_t *report, tn_table_form form, const char *only, tenebra_error *error);

#endif
