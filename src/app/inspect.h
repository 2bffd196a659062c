/* Shared by the files of `tenebra inspect`. */
#ifndef TN_APP_INSPECT_H
#define TN_APP_INSPECT_H

#include "app/app.h"
#include "base/json.h"

/* Compares a tensor file, or all in a directory and its subdirectories, with the digests in them (store/seal.h), and
 * prints a line, or an object, for each. Returns the exit code: FAILED if one is damaged. */
int tn_inspect_check(const char *path, bool as_json);

#endif
