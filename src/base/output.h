/* Files that are written: they appear under their name only when they are whole and on the disk. */
#ifndef TN_BASE_OUTPUT_H
#define TN_BASE_OUTPUT_H

#include "base/status.h"

/* A file being written. What is at its path stays until the end: the bytes go to "<path>.partial-<process>-<number>" beside
 * it. A pipe or a device at the path is written itself. The first failure sticks, whoever sets it; later calls return it again. */
typedef struct tn_output {
    char *path, *partial; /* partial NULL: nothing is beside */
    int descriptor;       /* -1: not open */
    bool finished;
    tenebra_error failure;
} tn_output;

/* Refuses a path where something stands already, unless `force`; a directory and a pipe that nobody reads are refused in any
 * case. Every command that writes where it is told to asks this before it begins. Errors: ARGUMENT, IO. */
tenebra_code tn_output_check(const char *path, bool force, tenebra_error *error);

/* Refuses, even by force, to write over what is read: `path` is one of the `count` files. Errors: ARGUMENT. */
tenebra_code tn_output_check_sources(const char *path, char *const *sources, size_t count, tenebra_error *error);

/* Keeps the path. No file is made before the first tn_output_write (or _reserve, _finish), which also takes away what killed
 * processes left beside `path`. To be closed in any case. Errors: ARGUMENT (a directory, an empty path), MEMORY. */
tenebra_code tn_output_open(tn_output *output, const char *path, tenebra_error *error);

/* Makes the file, and refuses what its disk has no room for. File systems that count no blocks are trusted. Errors: IO (also a
 * pipe that nobody reads), MEMORY. */
tenebra_code tn_output_reserve(tn_output *output, size_t bytes, tenebra_error *error);

/* Errors: IO (a full disk, the largest size of a file, a pipe whose reader has left, or that nobody reads), MEMORY. */
tenebra_code tn_output_write(tn_output *output, const void *bytes, size_t length, tenebra_error *error);

/* Writes over bytes that were written, from `offset` on. Errors: IO. */
tenebra_code tn_output_rewrite(tn_output *output, size_t offset, const void *bytes, size_t length, tenebra_error *error);

/* Brings everything to the disk and puts it in place. Errors: IO, MEMORY, ARGUMENT (already finished). */
tenebra_code tn_output_finish(tn_output *output, tenebra_error *error);

/* The failure that sticks, copied out; OK: none so far. */
tenebra_code tn_output_failed(const tn_output *output, tenebra_error *error);

/* Without a finish before, nothing of it remains. What tn_output_open left may be closed, also where it failed. */
void tn_output_close(tn_output *output);

/* All of these with one block of bytes. */
tenebra_code tn_output_put(const char *path, const void *bytes, size_t length, tenebra_error *error);

/* The same for the file `name` of a directory. */
tenebra_code tn_output_put_in(const char *directory, const char *name, const void *bytes, size_t length, tenebra_error *error);

/* Copies the file `name` of one directory into another; nothing happens where there is none. At most a gigabyte. Errors: IO, LIMIT,
 * MEMORY. */
tenebra_code tn_output_copy(const char *from, const char *to, const char *name, tenebra_error *error);

/* What a failed system call says in a sentence: "cannot be <what>: <reason>", and what to do where that is known. */
tenebra_code tn_output_fail(const char *path, const char *what, int reason, tenebra_error *error);

/* Brings the names of a directory to the disk. One that may be written but not read cannot be synced, and some file systems
 * cannot sync any; that is no failure. Errors: IO. */
tenebra_code tn_output_sync_directory(const char *path, tenebra_error *error);

/* Keeps tn_output_sweep of other processes, on other machines too, from a directory that is being filled. Returns a descriptor to
 * be closed, -1 where locks do not work. */
int tn_output_hold(const char *directory);

/* Takes away what processes that are gone left beside `path`: files, and directories of files, that are called
 * "<path>.partial-<process>" or "<path>.partial-<process>-<number>". A live process of that number keeps its own, as does one on
 * another machine that holds a lock (flock) on it. Failures do not count: it is only tidying up. */
void tn_output_sweep(const char *path);

#endif
