/* Files as memory, and paths.
 *
 * A file that another program cuts short under a mapping ends the process with SIGBUS at the next touch. So only weights are
 * mapped; everything else is read. For weights: tn_file_check, and `docs/design.md` ("Mapped files"). */
#ifndef TN_BASE_FILE_H
#define TN_BASE_FILE_H

#include "base/status.h"

#include <time.h>

/* A zeroed record is an empty file. */
typedef struct tn_file {
    const unsigned char *data; /* NULL for an empty file */
    size_t size;               /* bytes                  */
    bool mapped;               /* else `data` is memory  */
    int descriptor;            /* of a mapped file: it stays open, to be asked later     */
    struct timespec changed;   /* of a mapped file: when its contents last changed before */
} tn_file;

/* Reads a regular file of at most `limit` bytes into memory. An empty file is valid and has data == NULL.
 * Errors: IO (missing, not a regular file, not readable, cut short meanwhile), LIMIT, MEMORY; *file is empty then. */
tenebra_code tn_file_read(tn_file *file, const char *path, size_t limit, tenebra_error *error);

/* Maps a regular file read-only. Errors: IO; *file is empty then. */
tenebra_code tn_file_map(tn_file *file, const char *path, tenebra_error *error);

/* Whether a mapped file is still what it was when it was mapped: neither shorter nor written to since. What was computed from
 * it before a failure of this check is to be thrown away. A change within the file system's clock tick of the mapping, or
 * through another mapping that the system has not noted yet, is not seen. Errors: IO. Threads: any. */
tenebra_code tn_file_check(const tn_file *file, const char *path, tenebra_error *error);

/* Gives the memory or the mapping back. A zeroed file may be closed. */
void tn_file_close(tn_file *file);

/* Fails with FORMAT where the bytes are the pointer that Git LFS leaves in place of a file that it did not fetch; `name`
 * stands in the record. */
tenebra_code tn_lfs_check(const void *bytes, size_t size, const char *name, tenebra_error *error);

/* "directory/name" in fresh memory, for free(); NULL without memory. */
char *tn_path_join(const char *directory, const char *name);

bool tn_path_is_file(const char *path);
bool tn_path_is_directory(const char *path);

#endif
