/* Input from stdin and pipes. */
#ifndef TN_APP_INPUT_H
#define TN_APP_INPUT_H

#include "base/status.h"

/* True if a path on the command line is "-" (stdin) or leads to a pipe or a device, which can be read only once and has
 * no size. */
bool tn_input_is_stream(const char *path);

/* Reads such a path to its end, into memory that the caller frees, followed by a zero byte. Waits for a pipe's writer.
 * Errors: IO, LIMIT (more than `limit` bytes), MEMORY; *bytes is then NULL. */
tenebra_code tn_input_read(const char *path, size_t limit, char **bytes, size_t *length, tenebra_error *error);

#endif
