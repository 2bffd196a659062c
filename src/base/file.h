/* Files as memory, and paths.
 *
 * If another program truncates a mapped file, the next access ends the process with SIGBUS. Therefore only weights are
 * mapped; everything else is read. For weights, see tn_file_check and `docs/design.md` ("Mapped files"). */
#ifndef TN_BASE_FILE_H
#define TN_BASE_FILE_H

#include "base/status.h"

#include <time.h>

/* A zeroed record is an empty file. */
typedef struct tn_file {
    const unsigned char *data; /* NULL for an empty file */
    size_t size;               /* bytes                  */
    bool mapped;               /* false: `data` is allocated memory */
    int descriptor;            /* of a mapped file, kept open for tn_file_check          */
    struct timespec changed;   /* of a mapped file: modification time at mapping */
} tn_file;

/* Reads a regular file of at most `limit` bytes into memory. An empty file is valid and has data == NULL. Errors: IO
 * (missing, not a regular file, not readable, truncated while it was read), LIMIT, MEMORY; *file is then empty. */
tenebra_code tn_file_read(tn_file *file, const char *path, size_t limit, tenebra_error *error);

/* Maps a regular file read-only. Errors: IO; *file is then empty. */
tenebra_code tn_file_map(tn_file *file, const char *path, tenebra_error *error);

/* Checks that a mapped file was not truncated or written to since it was mapped. If the check fails, discard everything
 * that was computed from the file. The check does not notice a change within the file system's clock tick of the
 * mapping, or a change through another mapping that the system has not recorded yet. Errors: IO. Threads: any. */
tenebra_code tn_file_check(const tn_file *file, const char *path, tenebra_error *error);

/* Lets the system take back the memory of mapped bytes, whole pages of begin [bytes]; they are read again when they are used
 * again. Does nothing if they are not in a mapping of this file. */
void tn_file_forget(const tn_file *file, const void *begin, size_t bytes);

/* Frees the memory or the mapping. A zeroed file may be closed. */
void tn_file_close(tn_file *file);

/* Fails with FORMAT if the bytes are the pointer that Git LFS leaves in place of a file that it did not fetch; the
 * error names `name`. */
tenebra_code tn_lfs_check(const void *bytes, size_t size, const char *name, tenebra_error *error);

/* A path in memory of its own, of at most as many bytes as the system takes. */
typedef struct tn_path {
    char text[4096];
} tn_path;

/* Prints a path, e.g. "%s/%s". Errors: IO (too long). */
tenebra_code tn_path_print(tn_path *path, tenebra_error *error, const char *format, ...) TN_PRINTF(3, 4);

/* "directory/name"; the caller frees it. NULL without memory. */
char *tn_path_join(const char *directory, const char *name);

bool tn_path_is_file(const char *path);
bool tn_path_is_directory(const char *path);

#endif
