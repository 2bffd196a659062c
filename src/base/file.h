/* Files as read-only memory, and paths. */
#ifndef TN_BASE_FILE_H
#define TN_BASE_FILE_H

#include "base/status.h"

typedef struct tn_file {
    const unsigned char *data; /* NULL for an empty file */
    size_t size;               /* bytes                  */
} tn_file;

/* Maps a regular file read-only. An empty file is valid and has data == NULL.
 * Errors: IO (missing, not a regular file, not readable). */
tenebra_code tn_file_map(tn_file *file, const char *path, tenebra_error *error);

/* As tn_file_map, but refuses more than `limit` bytes before mapping. Errors: IO, LIMIT. */
tenebra_code tn_file_map_limited(tn_file *file, const char *path, size_t limit, tenebra_error *error);

/* Unmaps. A zeroed file may be closed. */
void tn_file_unmap(tn_file *file);

/* "directory/name" in fresh memory, for free(); NULL without memory. */
char *tn_path_join(const char *directory, const char *name);

bool tn_path_is_file(const char *path);
bool tn_path_is_directory(const char *path);

#endif
