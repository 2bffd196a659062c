/* The options of all methods as rows of a command's option table. */
#ifndef TN_APP_METHOD_TABLE_H
#define TN_APP_METHOD_TABLE_H

#include "app/app.h"
#include "reason/trained.h"

/* Option number `index` of all methods together, each name once; NULL after the last. */
const tn_option *tn_method_table_at(size_t index);

/* The values of these options, and whether each was on the command line. */
typedef struct tn_method_table {
    const char *values[TN_METHOD_OPTIONS_MAX];
    bool given[TN_METHOD_OPTIONS_MAX];
} tn_method_table;

/* Writes at most `room` rows, whose values are stored in `table` (NULL: only the rows); returns their number. */
size_t tn_method_table_bind(tn_method_table *table, tn_bound_option *bound, size_t room);

/* Chooses the settings of a request for `method`: values of the command line, else of the environment, else of training if the
 * model was trained for this method. Options that the method does not have are left out, except, with `strict`, those of the
 * command line, so that they are refused later. `settings` has room for TN_METHOD_OPTIONS_MAX; returns their number. */
size_t tn_method_table_choose(const tn_method_table *table, const tn_trained *trained, const char *method, bool strict,
                              tenebra_setting *settings);

/* Writes " [METHOD, METHOD: DEFAULT]" with the methods that have the option, and the defaults that differ from that of the first. */
void tn_method_table_name_methods(const char *option, char *text, size_t size);

#endif
