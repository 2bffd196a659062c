/* Shared by the parts of `tenebra data`. */
#ifndef TN_APP_DATA_H
#define TN_APP_DATA_H

#include "app/app.h"
#include "base/json.h"
#include "data/dataset.h"

extern const tn_command tn_command_data_list, tn_command_data_show, tn_command_data_check, tn_command_data_make,
    tn_command_data_vocab;

/* Prints the notes about a data set's rows to stderr, if there are any. */
void tn_data_print_note(const tn_data *data);

/* Prints a JSON value and a line end to stdout and releases it; if it is NULL, prints an error about memory. Returns the exit
 * code. */
int tn_data_print(json_t *value);

/* The file of a generated data set that says how it was made. */
#define TN_MADE_FILE "data/made.json"

#endif
