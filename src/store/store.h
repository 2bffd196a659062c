/* Named tensors of one file or of a model directory, of any format in store/formats/, mapped read-only.
 *
 * Memory is read only where tensors are read; opening reads headers. A store never changes after opening, so any number
 * of threads may share it. The files must not be changed or truncated while a store is open (replacing them by
 * renaming, as store/writer.h does, is safe): see tn_store_check. */
#ifndef TN_STORE_STORE_H
#define TN_STORE_STORE_H

#include "base/json.h"
#include "base/notes.h"
#include "store/form.h"

enum { TN_STORED_NAME_MAX = 256 /* bytes */ };

/* A tensor in a file, row-major. `data` may be at any address: see tn_stored_is_aligned. Type, shape and elements are
 * those of the file's format; readers of weights use `form`. */
typedef struct tn_stored {
    const char *name;
    tn_store_type type;
    size_t rank;
    size_t shape[TN_STORED_RANK_MAX];
    size_t elements, bytes;
    const void *data; /* `bytes` bytes; not NULL even when there are none */
    tn_form form;     /* for packed weights tn_matrix_bytes of the matrix is the number of bytes */
} tn_stored;

/* True if the data may be read through a pointer to its C type. Files of the reference writer are aligned, but no
 * format requires it, and kernels accept any address. */
bool tn_stored_is_aligned(const tn_stored *tensor);

/* Names appear in error records, reports and on terminals: 1 to 256 bytes of UTF-8 without control characters. */
bool tn_stored_name_is_valid(const char *name);

typedef struct tn_store tn_store;

/* True if a file has a name of tensor files. */
bool tn_store_is_file(const char *name);

/* Opens `path`: a file, or the directory of a model, with the files that its format names, or else an index (format.h)
 * and its shards; of several formats, the first counts. With an index, every tensor must be in exactly one shard, in
 * the one that the index names, and in the index. Shards are in the directory itself: their names may not contain '/'.
 * *opened is NULL on failure. Errors: IO, FORMAT, UNSUPPORTED, MISMATCH (index against shards), LIMIT, MEMORY. Close
 * with tn_store_close. Threads: any. */
tenebra_code tn_store_open(const char *path, tn_store **opened, tenebra_error *error);

/* NULL is allowed. Everything borrowed from the store becomes invalid. */
void tn_store_close(tn_store *store);

/* The tensor called `name`, or NULL. Borrowed. Threads: any. */
const tn_stored *tn_store_find(const tn_store *store, const char *name);

/* Tensors in the order of files (by name) and of their data. index < tn_store_count. Threads: any. */
size_t tn_store_count(const tn_store *store);
const tn_stored *tn_store_at(const tn_store *store, size_t index);

/* Bytes of all tensors. Threads: any. */
size_t tn_store_bytes(const tn_store *store);

/* Checks that no file has changed since it was opened. If the check fails, discard everything that was computed from
 * them. Errors: IO (see tn_file_check). Threads: any. */
tenebra_code tn_store_check(const tn_store *store, tenebra_error *error);

/* The store's files, their paths, and the string `key` of their metadata (NULL if there is none). index <
 * tn_store_file_count. Borrowed. Threads: any. */
size_t tn_store_file_count(const tn_store *store);
const char *tn_store_file_path(const tn_store *store, size_t index);
const char *tn_store_metadata(const tn_store *store, size_t index, const char *key);

/* The model's configuration in the files, an object with the contents of a config.json; NULL if there is none.
 * Borrowed. Threads: any. */
const json_t *tn_store_config(const tn_store *store);

/* Contents of the index that are not used, and files that others replace. Borrowed. Threads: any. */
const tn_notes *tn_store_notes(const tn_store *store);

/* Reads all of file `index` and compares it with its digest; *sealed says whether it has one. Files of other programs
 * have none. tn_store_verify does this for all files. Errors: FORMAT (damaged), IO (changed meanwhile). Threads: any. */
tenebra_code tn_store_verify_file(const tn_store *store, size_t index, bool *sealed, tenebra_error *error);
tenebra_code tn_store_verify(const tn_store *store, tenebra_error *error);

/* For readers that read each tensor once, in any order: like tn_store_verify before, but if the files have digests of tensors,
 * those are compared later, one by one, with tn_store_leave. Errors: as tn_store_verify. Threads: any. */
tenebra_code tn_store_verify_files(const tn_store *store, tenebra_error *error);

/* Such a reader is done with a tensor of the store: compares it with its digest, if it has its own, and lets the system take back
 * its memory. Errors: FORMAT (damaged). Threads: any. */
tenebra_code tn_store_leave(const tn_store *store, const tn_stored *tensor, tenebra_error *error);

/* ------------------------------------------------------ checked copies -- */

/* Copies a complete tensor of type F32, I64 or U8 with `count` values to `values`. Errors: MISMATCH (missing, other
 * type, other count), IO (the file was changed). Threads: any. */
tenebra_code tn_store_read_f32(const tn_store *store, const char *name, float *values,
                               size_t count, tenebra_error *error);
tenebra_code tn_store_read_i64(const tn_store *store, const char *name, int64_t *values,
                               size_t count, tenebra_error *error);
tenebra_code tn_store_read_u8(const tn_store *store, const char *name, uint8_t *values,
                              size_t count, tenebra_error *error);

#endif
