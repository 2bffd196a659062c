/* The log of a run: one JSON object a line, and what is drawn from it. */
#ifndef TN_TRAIN_LOG_H
#define TN_TRAIN_LOG_H

#include "base/json.h"

/* Opens `path` for more lines, after dropping those whose "update" lies beyond `update`, validations beyond `validated`, and a last
 * line that was cut off: what a run that was killed wrote after its last checkpoint. Returns a descriptor, -1 on failure.
 * Errors: IO, LIMIT, MEMORY. */
int tn_log_open(const char *path, uint64_t update, uint64_t validated, tenebra_error *error);

/* Appends a line. Takes the reference to `line` (NULL: no memory). Errors: IO, MEMORY. */
tenebra_code tn_log_append(int log, const char *path, json_t *line, tenebra_error *error);

/* Writes <directory>/log.csv and <directory>/curves.html from the lines of `path`. The page needs nothing else:
 * loss, learning rate, gradient norm and accuracy as SVG, for light and dark screens. Errors: IO, LIMIT, MEMORY. */
tenebra_code tn_curves_write(const char *path, const char *directory, const char *title, tenebra_error *error);

#endif
