/* The log of a run: one JSON object per line, and curves drawn from it. */
#ifndef TN_TRAIN_LOG_H
#define TN_TRAIN_LOG_H

#include "base/json.h"

/* Opens `path` to append lines. First drops lines whose "update" is after `update`, validations after `validated`, and
 * an incomplete last line: what a killed run wrote after its last checkpoint. *log is a descriptor, -1 on failure.
 * Errors: IO, LIMIT, MEMORY. */
tenebra_code tn_log_open(const char *path, uint64_t update, uint64_t validated, int *log, tenebra_error *error);

/* Appends a line. Takes ownership of `line` (NULL counts as a failed allocation). Errors: IO, MEMORY. */
tenebra_code tn_log_append(int log, const char *path, json_t *line, tenebra_error *error);

/* Writes <directory>/log.csv and <directory>/curves.html from the lines of `path`. The page is self-contained: loss,
 * learning rate, gradient norm and accuracy as SVG, for light and dark screens. Errors: IO, LIMIT, MEMORY. */
tenebra_code tn_curves_write(const char *path, const char *directory, const char *title, tenebra_error *error);

#endif
