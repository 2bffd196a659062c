/* Options of all methods as rows of a command's option table. */
#ifndef TN_APP_METHOD_TABLE_H
#define TN_APP_METHOD_TABLE_H

#include "app/app.h"
#include "reason/trained.h"

enum { TN_METHOD_HELP_SIZE = 256 };

/* Options of all methods by name, their values, and whether each stood on the command line. */
typedef struct tn_method_table {
    const tenebra_option *options[TN_METHOD_OPTIONS_MAX];
    const char *values[TN_METHOD_OPTIONS_MAX];
    bool given[TN_METHOD_OPTIONS_MAX];
    size_t count;
    char names[256]; /* of the methods, "a|b|c" */
    char help[TN_METHOD_OPTIONS_MAX][TN_METHOD_HELP_SIZE];
} tn_method_table;

/* Fills the names and options. */
void tn_method_table_fill(tn_method_table *table);

/* The settings of a request: values of the command line, then of the environment, then of training where the method is the one
 * that was taught; those that the method has.
 * With `strict` those of the command line even where it has no such option, so that asking refuses them. `settings` has room
 * for TN_METHOD_OPTIONS_MAX; returns how many there are. */
size_t tn_method_table_choose(const tn_method_table *table, const tn_trained *trained, const char *method, bool strict,
                              tenebra_setting *settings);

/* Writes their rows, `count` of them. Help of each tells its default and the methods that have it. */
void tn_method_table_rows(tn_method_table *table, tn_option *rows);

#endif
