/* Files of a run: each appears under its name only when it is whole and on the disk. */
#ifndef TN_TRAIN_FILES_H
#define TN_TRAIN_FILES_H

#include "base/status.h"

/* Makes a directory and those above it. An existing one is fine. Errors: IO, MEMORY. */
tenebra_code tn_files_make_directory(const char *path, tenebra_error *error);

/* Copies the files of a directory of which the name ends with `end` into another, which is made; nothing happens where there is no
 * such directory. Errors: IO, LIMIT, MEMORY. */
tenebra_code tn_files_copy_directory(const char *from, const char *to, const char *end, tenebra_error *error);

/* Whether a file of that name, "NAME" or "DIRECTORY/NAME", is the program's. */
typedef bool tn_files_own_fn(const char *name);

/* Makes `directory` the new content of `path`: an older directory there goes away after the swap. What stands in it and is not the
 * program's moves into the new one. A stop in between leaves at worst the old one under "<path>.old", which the next swap ends.
 * Errors: IO, MEMORY. */
tenebra_code tn_files_swap_directory(const char *directory, const char *path, tn_files_own_fn *own, tenebra_error *error);

/* Removes the program's files from a directory, and the directory if nothing else is in it; *left tells whether something is. A
 * directory in it goes with the program's files, if that is all it holds. A missing one is fine. Errors: IO. */
tenebra_code tn_files_remove_own(const char *path, tn_files_own_fn *own, bool *left, tenebra_error *error);

/* Removes a directory, the files in it, and directories in it that hold files alone; others are an error. A missing one is fine.
 * Errors: IO. */
tenebra_code tn_files_remove_directory(const char *path, tenebra_error *error);

/* Numbers N of the names "<front>N<behind>" in a directory, falling; free(). *count 0 and NULL where there is none.
 * Errors: IO, MEMORY. */
tenebra_code tn_files_numbers(const char *path, const char *front, const char *behind, uint64_t **numbers,
                              size_t *count, tenebra_error *error);

/* "front" + "behind" in fresh memory; NULL without. */
char *tn_files_join(const char *front, const char *behind);

#endif
