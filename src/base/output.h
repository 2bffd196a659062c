/* Writing files: they get their name only when they are complete and on the disk. */
#ifndef TN_BASE_OUTPUT_H
#define TN_BASE_OUTPUT_H

#include "base/status.h"

/* A file being written. An existing file at the path stays until the end: the bytes go to
 * "<path>.partial-<process>-<number>" beside it. A pipe or a device at the path is written directly. The first failure
 * is kept, whichever call sets it, and later calls return it again. */
typedef struct tn_output {
    char *path, *partial; /* partial NULL: the path itself is written */
    int descriptor;       /* -1: not open */
    bool finished;
    tenebra_error failure;
} tn_output;

/* Refuses a path that already exists, unless `force`; always refuses a directory, and a path in a directory that does
 * not exist or must not be written. Every command with an output path given by the user calls this before it starts.
 * Errors: ARGUMENT, IO. */
tenebra_code tn_output_check(const char *path, bool force, tenebra_error *error);

/* Refuses, even with force, to write over an input: `path` is one of the `count` files. Errors: ARGUMENT. */
tenebra_code tn_output_check_sources(const char *path, char *const *sources, size_t count, tenebra_error *error);

/* Keeps the path. No file is created before the first tn_output_write (or _reserve, _finish), which also removes files
 * that killed processes left beside `path`. Must always be closed. Errors: ARGUMENT (a directory, an empty path),
 * MEMORY. */
tenebra_code tn_output_open(tn_output *output, const char *path, tenebra_error *error);

/* Creates the file, and fails if its disk has not enough room. File systems that report no block counts are not
 * checked. Errors: IO (also a pipe without a reader), MEMORY. */
tenebra_code tn_output_reserve(tn_output *output, size_t bytes, tenebra_error *error);

/* Fails if the disk of a directory has not enough room; see above. Errors: IO. */
tenebra_code tn_output_check_room(const char *directory, size_t bytes, tenebra_error *error);

/* Errors: IO (a full disk, the maximum file size, a pipe whose reader has closed it or that has no reader), MEMORY. */
tenebra_code tn_output_write(tn_output *output, const void *bytes, size_t length, tenebra_error *error);

/* Overwrites bytes that were written, from `offset` on. Errors: IO. */
tenebra_code tn_output_rewrite(tn_output *output, size_t offset, const void *bytes, size_t length, tenebra_error *error);

/* Syncs everything to the disk and renames the file to its path. Errors: IO, MEMORY, ARGUMENT (already finished). */
tenebra_code tn_output_finish(tn_output *output, tenebra_error *error);

/* Copies the failure that was kept; OK if there is none so far. */
tenebra_code tn_output_failed(const tn_output *output, tenebra_error *error);

/* Without tn_output_finish before, nothing of the file remains. Valid for everything that tn_output_open left, also if
 * it failed. */
void tn_output_close(tn_output *output);

/* All of the above with one block of bytes. */
tenebra_code tn_output_put(const char *path, const void *bytes, size_t length, tenebra_error *error);

/* The same for the file `name` in a directory. */
tenebra_code tn_output_put_in(const char *directory, const char *name, const void *bytes, size_t length, tenebra_error *error);

/* Copies the file `name` from one directory to another; does nothing if it does not exist. At most a gigabyte. Errors:
 * IO, LIMIT, MEMORY. */
tenebra_code tn_output_copy(const char *from, const char *to, const char *name, tenebra_error *error);

/* The sentence for a failed system call: "cannot be <what>: <reason>", and what to do if that is known. */
tenebra_code tn_output_fail(const char *path, const char *what, int reason, tenebra_error *error);

/* Syncs the names in a directory to the disk. A directory that may be written but not read cannot be synced, and some
 * file systems cannot sync any; that is not a failure. Errors: IO. */
tenebra_code tn_output_sync_directory(const char *path, tenebra_error *error);

/* Keeps tn_output_sweep of other processes, also on other machines, from removing a directory that is being filled.
 * Returns a descriptor that the caller closes, -1 if locks do not work. */
int tn_output_hold(const char *directory);

/* Removes what ended processes left beside `path`: files, and directories of files, with the names
 * "<path>.partial-<process>" or "<path>.partial-<process>-<number>". Those of a running process with that number are
 * kept, and so are those of a process on another machine that holds a lock (flock) on them. Failures are ignored,
 * because this only tidies up. */
void tn_output_sweep(const char *path);

#endif
