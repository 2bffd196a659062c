/* Number types of stored tensors; each is one row of a table.
 *
 * There are more than in tn_dtype: a file may contain ids, masks and packed images, which no kernel multiplies. Types
 * that kernels read name their tn_dtype. Source: the dtype list of the safetensors format,
 * https://github.com/huggingface/safetensors */
#ifndef TN_STORE_TYPE_H
#define TN_STORE_TYPE_H

#include "kern/dtype.h"

enum { TN_STORED_RANK_MAX = 8 };

typedef enum tn_store_type {
    TN_STORE_BOOL,
    TN_STORE_U8,
    TN_STORE_I8,
    TN_STORE_U16,
    TN_STORE_I16,
    TN_STORE_U32,
    TN_STORE_I32,
    TN_STORE_U64,
    TN_STORE_I64,
    TN_STORE_F4,
    TN_STORE_F6_E2M3,
    TN_STORE_F6_E3M2,
    TN_STORE_F8_E4M3,
    TN_STORE_F8_E5M2,
    TN_STORE_F8_E8M0,
    TN_STORE_F16,
    TN_STORE_BF16,
    TN_STORE_F32,
    TN_STORE_F64,
    TN_STORE_C64,
    TN_STORE_TYPE_COUNT
} tn_store_type;

typedef struct tn_store_type_traits {
    const char *name;  /* as the file spells it                                             */
    size_t bits;       /* of one value; F4 and F6 are packed without gaps                   */
    size_t alignment;  /* bytes, that a C object of this type has; data need not be aligned */
    bool is_weight;    /* kernels read it as `weight`                                       */
    tn_dtype weight;   /* only if is_weight                                                 */
} tn_store_type_traits;

/* The traits of `type` (< TN_STORE_TYPE_COUNT). Threads: any. */
const tn_store_type_traits *tn_store_type_of(tn_store_type type);

/* Finds the type called `name`; false if there is none. */
bool tn_store_type_by_name(const char *name, tn_store_type *type);

/* The stored type of a weight type (< TN_DTYPE_COUNT): U8 for types of blocks, see store/form.h. */
tn_store_type tn_store_type_of_weight(tn_dtype type);

/* Values and bytes of a tensor of this shape (rank 0: one value). False on overflow, and if the values do not fill
 * whole bytes. */
bool tn_store_extent(tn_store_type type, size_t rank, const size_t *shape, size_t *elements,
                     size_t *bytes);

#endif
