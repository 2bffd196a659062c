/* The parts of `tenebra data`. */
#ifndef TN_APP_DATA_H
#define TN_APP_DATA_H

#include "app/app.h"
#include "base/json.h"
#include "data/dataset.h"

extern const tn_command tn_command_data_list, tn_command_data_show, tn_command_data_check, tn_command_data_make,
    tn_command_data_vocab;

/* Prints what has to be said of a set's rows on stderr, if there is anything. */
void tn_data_print_note(const tn_data *data);

/* Prints a JSON value and a line end on stdout and releases it; NULL says that memory is short. Returns the exit
 * code. */
int tn_data_print(json_t *value);

/* What was made lies in this file of a set's directory. */
#define TN_MADE_FILE "data/made.json"

#endif
