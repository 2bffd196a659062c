/* Files of a run: each gets its name only when it is complete and on the disk. */
#ifndef TN_TRAIN_FILES_H
#define TN_TRAIN_FILES_H

#include "base/status.h"

/* Creates a directory and its parents. An existing one is not an error. Errors: IO, MEMORY. */
tenebra_code tn_files_make_directory(const char *path, tenebra_error *error);

/* Copies the files whose names end with `end` from a directory to another, which is created; does nothing if the
 * directory does not exist. Errors: IO, LIMIT, MEMORY. */
tenebra_code tn_files_copy_directory(const char *from, const char *to, const char *end, tenebra_error *error);

/* True if a file with this name, "NAME" or "DIRECTORY/NAME", belongs to the program. */
typedef bool tn_files_own_fn(const char *name);

/* Replaces `path` by `directory`: an older directory at `path` is removed after the swap. Its files that do not belong
 * to the program are moved to the new one. An interruption leaves at worst the old one as "<path>.old", which the next
 * swap cleans up. Errors: IO, MEMORY. */
tenebra_code tn_files_swap_directory(const char *directory, const char *path, tn_files_own_fn *own, tenebra_error *error);

/* Removes the program's files from a directory, and the directory if nothing else is in it; *left says whether
 * something is left. A subdirectory is removed, too, if it contains only such files. A missing directory is not an
 * error. Errors: IO. */
tenebra_code tn_files_remove_own(const char *path, tn_files_own_fn *own, bool *left, tenebra_error *error);

/* Removes a directory, the files in it, and subdirectories that contain only files; deeper ones are an error. A missing
 * directory is not an error. Errors: IO. */
tenebra_code tn_files_remove_directory(const char *path, tenebra_error *error);

/* Numbers N of the names "<front>N<behind>" in a directory, descending; the caller frees them. *count is 0 and the
 * result NULL if there are none. Errors: IO, MEMORY. */
tenebra_code tn_files_numbers(const char *path, const char *front, const char *behind, uint64_t **numbers,
                              size_t *count, tenebra_error *error);

#endif
