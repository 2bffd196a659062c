/* What comes through stdin and pipes. */
#ifndef TN_APP_INPUT_H
#define TN_APP_INPUT_H

#include "base/status.h"

/* Whether a path of the command line is "-" (stdin) or leads to a pipe or a device, which can be read once and has no size. */
bool tn_input_is_stream(const char *path);

/* Reads such a path to its end, into fresh memory with a zero behind it, for free(). It waits for a pipe's writer. Errors: IO,
 * LIMIT (more than `limit` bytes), MEMORY; *bytes is NULL then. */
tenebra_code tn_input_read(const char *path, size_t limit, char **bytes, size_t *length, tenebra_error *error);

#endif
