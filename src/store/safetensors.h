/* One safetensors file, read where it lies in memory.
 *
 * Layout: u64 little-endian length N, N bytes of JSON, data. The JSON object has a member per
 * tensor, {"dtype", "shape", "data_offsets": [begin, end]} with offsets from the start of the
 * data, and "__metadata__" with strings. Everything is checked before a tensor is handed out:
 * the file is either sound from end to end or refused with the tensor's name.
 * Source: https://huggingface.co/docs/safetensors (format), and its limits in the Rust reader. */
#ifndef TN_STORE_SAFETENSORS_H
#define TN_STORE_SAFETENSORS_H

#include "base/json.h"
#include "store/form.h"

enum {
    TN_STORED_NAME_MAX = 256,             /* bytes                                  */
    TN_SAFETENSORS_HEADER_MAX = 100000000 /* bytes of JSON, as the reference reader */
};

#define TN_SAFETENSORS_METADATA "__metadata__"

/* A tensor in the file, row-major. `data` may lie at any address: see tn_stored_is_aligned. Type, shape and
 * elements are those that the file's format knows; what reads weights looks at `form`. */
typedef struct tn_stored {
    const char *name;
    tn_store_type type;
    size_t rank;
    size_t shape[TN_STORED_RANK_MAX];
    size_t elements, bytes;
    const void *data; /* `bytes` bytes; not NULL even when there are none */
    tn_form form;     /* as many bytes as tn_matrix_bytes of its matrix, if it is packed */
} tn_stored;

/* Whether the data may be read through a pointer to its C type. Files of the reference writer are
 * aligned; the format does not demand it, and kernels accept any address. */
bool tn_stored_is_aligned(const tn_stored *tensor);

/* Names go into error records and onto terminals: 1 to 256 bytes without control characters, and not
 * the name that belongs to the metadata. */
bool tn_stored_name_is_valid(const char *name);

typedef struct tn_safetensors {
    tn_stored *tensors; /* in the order of their data */
    size_t count;
    size_t data_bytes;
    size_t header_bytes; /* before the data */
    json_t *header;     /* owns the names and the metadata */
} tn_safetensors;

/* Reads `size` bytes at `bytes`, which must stay unchanged until tn_safetensors_free. `name` stands
 * in error records. Refused: a header that is longer than the file or the limit, is not a JSON object,
 * has duplicate keys or members that do not belong there; names that are empty, too long or hold
 * control characters; unknown types; more than 8 dimensions; products that overflow; offsets that are
 * not whole, fall outside of the data, run backwards or disagree with shape and type; overlaps, gaps and
 * bytes after the last tensor; forms (store/form.h) of no tensor, or that a tensor's bytes are too few or too many
 * for. On failure *file is empty.
 * Errors: FORMAT, UNSUPPORTED (unknown type, rank), LIMIT (header), MEMORY. Threads: any. */
tenebra_code tn_safetensors_parse(tn_safetensors *file, const void *bytes, size_t size,
                                  const char *name, tenebra_error *error);

/* The string of __metadata__ called `key`, borrowed; NULL if there is none. */
const char *tn_safetensors_metadata(const tn_safetensors *file, const char *key);

/* A zeroed record may be freed. */
void tn_safetensors_free(tn_safetensors *file);

#endif
