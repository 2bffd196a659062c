/* Number types of stored weights; each is one row of a table. */
#ifndef TN_KERN_DTYPE_H
#define TN_KERN_DTYPE_H

#include "base/real.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum tn_dtype {
    TN_F32,
    TN_F16,
    TN_BF16,
    TN_F64,
    TN_Q8_0,   /* blocks of 32: a scale and 8-bit codes             */
    TN_Q4_0,   /* blocks of 32: a scale and 4-bit codes             */
    TN_IQ4_NL, /* the same size; its 16 values are denser near 0    */
    TN_Q8_256, /* blocks of 256: a scale and 8-bit codes            */
    TN_Q4_256, /* blocks of 256: a scale, eight factors of 4 bits, 4-bit codes */
    TN_DTYPE_COUNT
} tn_dtype;

/* Values are stored in blocks (of one value for the plain types). A matrix row is a whole number of blocks, packed
 * without gaps, at any alignment.
 *
 * A value of a quantised type is scale * (code - offset), where the code is the stored number (8 bits) or the entry of
 * `codebook` at the stored number (4 bits). For Q4_256 it is scale * factor * (code - offset). */
typedef struct tn_dtype_traits {
    const char *name;   /* as files of its source spell it */
    size_t block;       /* values in a block                */
    size_t block_bytes; /* bytes of a block                 */
    void (*unpack)(const void *packed, size_t count, tn_real *values); /* count: whole blocks */
    void (*pack)(const tn_real *values, size_t count, void *packed);   /* to the nearest value */
    size_t bits;        /* of a value in panels (kern/panel.h): 16, 8, 4; 0: no panels */
    int offset;         /* of a quantised type */
    const unsigned char *codebook; /* [16], of a 4-bit type */
    tn_dtype eight;     /* of a quantised type: the 8-bit type with equally long blocks                */
    tn_dtype shorter;   /* the type for rows that are not whole blocks: shorter blocks, or none        */
} tn_dtype_traits;

/* The traits of `type` (< TN_DTYPE_COUNT). Threads: any. */
const tn_dtype_traits *tn_dtype_of(tn_dtype type);

/* Bytes of a row of `columns` values, a multiple of the block. */
size_t tn_dtype_row_bytes(tn_dtype type, size_t columns);

/* Finds the type called `name`; false if there is none. */
bool tn_dtype_by_name(const char *name, tn_dtype *type);

#endif
