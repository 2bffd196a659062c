/* Options of all methods as rows of a command's option table. */
#ifndef TN_APP_METHOD_TABLE_H
#define TN_APP_METHOD_TABLE_H

#include "app/app.h"
#include "reason/trained.h"

/* The option number `index` of all methods together, each name once; NULL past the last. */
const tn_option *tn_method_table_at(size_t index);

/* Their values, and whether each stood on the command line. */
typedef struct tn_method_table {
    const char *values[TN_METHOD_OPTIONS_MAX];
    bool given[TN_METHOD_OPTIONS_MAX];
} tn_method_table;

/* Writes at most `room` rows that keep their values in `table` (NULL: the rows alone); returns how many. */
size_t tn_method_table_bind(tn_method_table *table, tn_bound_option *bound, size_t room);

/* The settings of a request: values of the command line, then of the environment, then of training where the method is the one
 * that was taught; those that the method has.
 * With `strict` those of the command line even where it has no such option, so that they are refused. `settings` has room
 * for TN_METHOD_OPTIONS_MAX; returns how many there are. */
size_t tn_method_table_choose(const tn_method_table *table, const tn_trained *trained, const char *method, bool strict,
                              tenebra_setting *settings);

/* Writes " [METHOD, METHOD]": those that have the option. */
void tn_method_table_name_methods(const char *option, char *text, size_t size);

#endif
