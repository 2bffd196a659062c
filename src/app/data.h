/* The parts of `tenebra data`. */
#ifndef TN_APP_DATA_H
#define TN_APP_DATA_H

#include "app/app.h"
#include "base/json.h"
#include "data/dataset.h"

/* argv[0] is the part's name; they return exit codes. */
int tn_data_list(int argc, char **argv);
int tn_data_show(int argc, char **argv);
int tn_data_check(int argc, char **argv);
int tn_data_make(int argc, char **argv);
int tn_data_vocab(int argc, char **argv);

/* "tenebra data PART: sentence" and how to get help; returns USAGE. */
int tn_data_mistake(const char *part, const char *sentence);

/* Prints what has to be said of a set's rows on stderr, if there is anything. */
void tn_data_print_note(const tn_data *data);

/* Prints a JSON value and a line end on stdout and releases it; NULL says that memory is short. Returns the exit
 * code. */
int tn_data_print(json_t *value);

/* What was made lies in this file of a set's directory. */
#define TN_MADE_FILE "data/made.json"

#endif
