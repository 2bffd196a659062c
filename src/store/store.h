/* Named tensors of one safetensors file or of a model directory, mapped read-only.
 *
 * Memory is touched only where tensors are read; opening reads headers. A store never changes
 * after opening, so any number of threads may share it. The files must not be changed or cut
 * while a store is open (replacing them by renaming, as store/writer.h does, is safe): see tn_store_check. */
#ifndef TN_STORE_STORE_H
#define TN_STORE_STORE_H

#include "base/notes.h"
#include "store/safetensors.h"

typedef struct tn_store tn_store;

/* Opens `path`: a .safetensors file, or a directory with model.safetensors or else with
 * model.safetensors.index.json and the shards that it names. With an index every tensor must be in
 * exactly one shard, in the one that the index names, and in the index. Shards lie in the directory
 * itself: their names may not contain '/'.
 * Errors: IO, FORMAT, UNSUPPORTED, MISMATCH (index against shards), LIMIT, MEMORY. Close with
 * tn_store_close. Threads: any. */
tn_store *tn_store_open(const char *path, tenebra_error *error);

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

/* What the index says and nothing here uses; all of it where model.safetensors goes before it. Borrowed. Threads: any. */
const tn_notes *tn_store_notes(const tn_store *store);

/* Reads all of file `index` and compares it with the digest that it carries (store/seal.h); *sealed tells whether it carries one.
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
