/* Builds a table (see eval/table.h). A failed allocation is remembered and reported at the end. For table*.c and
 * probe.c. */
#ifndef TN_EVAL_TABLE_MAKE_H
#define TN_EVAL_TABLE_MAKE_H

#include "eval/table.h"

#include <math.h>

typedef struct tn_table_maker {
    json_t *table;
    json_t *row; /* the row to which cells are added; borrowed */
    bool full;   /* an allocation failed       */
} tn_table_maker;

void tn_table_start(tn_table_maker *maker, const char *name, const char *title);
void tn_table_column(tn_table_maker *maker, const char *name, const char *kind);
void tn_table_row(tn_table_maker *maker);

/* Adds a cell and takes ownership; NULL counts as a failed allocation. */
void tn_table_put(tn_table_maker *maker, json_t *cell);

/* A field of a row structure that is a column of a table: its name, the kind of the column, and how the cell is made. */
typedef enum tn_field_type {
    TN_FIELD_TEXT,   /* const char *                                       */
    TN_FIELD_COUNT,  /* size_t                                             */
    TN_FIELD_NUMBER, /* double; NaN: null                                  */
    TN_FIELD_CELL    /* json_t *, which the table takes; NULL: no memory   */
} tn_field_type;

typedef struct tn_table_field {
    const char *name, *kind;
    tn_field_type type;
    size_t offset;
} tn_table_field;

/* The fields of a list that ends with name == NULL: as columns, and of one row. */
void tn_table_columns(tn_table_maker *maker, const tn_table_field *fields);
void tn_table_add(tn_table_maker *maker, const tn_table_field *fields, const void *row);

/* A sentence below the table. */
void tn_table_note(tn_table_maker *maker, const char *sentence);

/* The table, with its empty columns marked; the caller owns it. NULL if an allocation failed. */
json_t *tn_table_finish(tn_table_maker *maker);

/* ---------------------------------------------------------------- cells -- */

/* A number; null if the value is NaN. */
json_t *tn_cell_number(double value);
json_t *tn_cell_count(size_t value);

/* A share in percent with its interval (NaN: none), of `total` cases of which `correct` are (SIZE_MAX: null). */
json_t *tn_cell_share(double value, double low, double high, size_t total, size_t correct);

/* part / total with Wilson's interval; null without cases. */
json_t *tn_cell_rate(size_t part, size_t total);

/* ----------------------------------------------------------------- parts -- */

/* Tables of table_parts.c. NULL if an allocation failed. */
typedef enum tn_subject { TN_BY_DOMAIN, TN_BY_TOPIC, TN_BY_LOOKS } tn_subject;
json_t *tn_table_subjects(const tn_table_groups *groups, tn_subject by, const char *name, const char *title, const char *note);
json_t *tn_table_latents(const tn_table_groups *groups);
json_t *tn_table_calls(const tn_table_groups *groups);
json_t *tn_table_reconstructions(const tn_table_groups *groups); /* table_reconstruct.c; only methods that have some */

/* Mean over all answers of all runs that have a number at `offset` of tn_result; NaN if none has. */
double tn_table_field_mean(const tn_table_group *group, size_t offset);

#define TN_TABLE_MEAN(group, field) tn_table_field_mean(group, offsetof(tn_result, field))

/* Accuracy over runs, whose numbers of correct answers and questions are `right` and `total` [runs], with Student's interval over the
 * runs, or with Wilson's over the questions of one run if there is one or all have the same accuracy; null if no run has a question. */
json_t *tn_cell_accuracy(const size_t *right, const size_t *total, size_t runs);

#endif
