/* Named tensors of one file or of a model directory, of any format in store/formats/, mapped read-only.
 *
 * Memory is touched only where tensors are read; opening reads headers. A store never changes
 * after opening, so any number of threads may share it. The files must not be changed or cut
 * while a store is open (replacing them by renaming, as store/writer.h does, is safe): see tn_store_check. */
#ifndef TN_STORE_STORE_H
#define TN_STORE_STORE_H

#include "base/json.h"
#include "base/notes.h"
#include "store/form.h"

enum { TN_STORED_NAME_MAX = 256 /* bytes */ };

/* A tensor in a file, row-major. `data` may lie at any address: see tn_stored_is_aligned. Type, shape and elements are those that
 * the file's format knows; what reads weights looks at `form`. */
typedef struct tn_stored {
    const char *name;
    tn_store_type type;
    size_t rank;
    size_t shape[TN_STORED_RANK_MAX];
    size_t elements, bytes;
    const void *data; /* `bytes` bytes; not NULL even when there are none */
    tn_form form;     /* as many bytes as tn_matrix_bytes of its matrix, if it is packed */
} tn_stored;

/* Whether the data may be read through a pointer to its C type. Files of the reference writer are aligned; no format demands
 * it, and kernels accept any address. */
bool tn_stored_is_aligned(const tn_stored *tensor);

/* Names go into error records and onto terminals: 1 to 256 bytes without control characters. */
bool tn_stored_name_is_valid(const char *name);

typedef struct tn_store tn_store;

/* Whether a file is called as those that hold tensors are. */
bool tn_store_is_file(const char *name);

/* Opens `path`: a file, or the directory of a model, which holds the files that its format names, or else an index (format.h) and
 * the shards that it names; of several formats the first counts. With an index every tensor must be in exactly one shard, in the one
 * that the index names, and in the index. Shards lie in the directory itself: their names may not contain '/'. *store is NULL on failure.
 * Errors: IO, FORMAT, UNSUPPORTED, MISMATCH (index against shards), LIMIT, MEMORY. Close with tn_store_close. Threads: any. */
tenebra_code tn_store_open(const char *path, tn_store **store, tenebra_error *error);

/* NULL is allowed. Everything borrowed from the store ends. */
void tn_store_close(tn_store *store);

/* The tensor called `name`, or NULL. Borrowed. Threads: any. */
const tn_stored *tn_store_find(const tn_store *store, const char *name);

/* Tensors in the order of files (by name) and of their data. index < tn_store_count. Threads: any. */
size_t tn_store_count(const tn_store *store);
const tn_stored *tn_store_at(const tn_store *store, size_t index);

/* Bytes of all tensors. Threads: any. */
size_t tn_store_bytes(const tn_store *store);

/* Whether all files are still those that were opened: what was computed from them before a failure of this check is to be
 * thrown away. Errors: IO (see tn_file_check). Threads: any. */
tenebra_code tn_store_check(const tn_store *store, tenebra_error *error);

/* The files behind the store, their paths, and the string `key` of their metadata (NULL if there is
 * none). index < tn_store_file_count. Borrowed. Threads: any. */
size_t tn_store_file_count(const tn_store *store);
const char *tn_store_file_path(const tn_store *store, size_t index);
const char *tn_store_metadata(const tn_store *store, size_t index, const char *key);

/* What the files say of the model, an object as config.json would hold it; NULL where they say nothing. Borrowed. Threads: any. */
const json_t *tn_store_config(const tn_store *store);

/* What the index says and nothing here uses, and files that others go before. Borrowed. Threads: any. */
const tn_notes *tn_store_notes(const tn_store *store);

/* Reads all of file `index` and compares it with the digest that it carries; *sealed tells whether it carries one.
 * Files of other programs do not. tn_store_verify does so for all files. Errors: FORMAT (damaged), IO (changed meanwhile). Threads: any. */
tenebra_code tn_store_verify_file(const tn_store *store, size_t index, bool *sealed, tenebra_error *error);
tenebra_code tn_store_verify(const tn_store *store, tenebra_error *error);

/* ------------------------------------------------------ checked copies -- */

/* Copies a whole tensor of type F32, I64 or U8 and of `count` values to `values`.
 * Errors: MISMATCH (missing, other type, other count), IO (the file was changed). Threads: any. */
tenebra_code tn_store_read_f32(const tn_store *store, const char *name, float *values,
                               size_t count, tenebra_error *error);
tenebra_code tn_store_read_i64(const tn_store *store, const char *name, int64_t *values,
                               size_t count, tenebra_error *error);
tenebra_code tn_store_read_u8(const tn_store *store, const char *name, uint8_t *values,
                              size_t count, tenebra_error *error);

#endif
