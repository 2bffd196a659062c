#include "store/type.h"

#include "base/checked.h"

#include <string.h>

/* Data is used in place, where it is mapped. */
#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the safetensors format is little-endian; a big-endian machine needs swapping readers"
#endif

static const tn_store_type_traits table[TN_STORE_TYPE_COUNT] = {
    [TN_STORE_BOOL] = { "BOOL", 8, 1, false, 0 },
    [TN_STORE_U8] = { "U8", 8, 1, false, 0 },
    [TN_STORE_I8] = { "I8", 8, 1, false, 0 },
    [TN_STORE_U16] = { "U16", 16, 2, false, 0 },
    [TN_STORE_I16] = { "I16", 16, 2, false, 0 },
    [TN_STORE_U32] = { "U32", 32, 4, false, 0 },
    [TN_STORE_I32] = { "I32", 32, 4, false, 0 },
    [TN_STORE_U64] = { "U64", 64, 8, false, 0 },
    [TN_STORE_I64] = { "I64", 64, 8, false, 0 },
    [TN_STORE_F4] = { "F4", 4, 1, false, 0 },
    [TN_STORE_F6_E2M3] = { "F6_E2M3", 6, 1, false, 0 },
    [TN_STORE_F6_E3M2] = { "F6_E3M2", 6, 1, false, 0 },
    [TN_STORE_F8_E4M3] = { "F8_E4M3", 8, 1, false, 0 },
    [TN_STORE_F8_E5M2] = { "F8_E5M2", 8, 1, false, 0 },
    [TN_STORE_F8_E8M0] = { "F8_E8M0", 8, 1, false, 0 },
    [TN_STORE_F16] = { "F16", 16, 2, true, TN_F16 },
    [TN_STORE_BF16] = { "BF16", 16, 2, true, TN_BF16 },
    [TN_STORE_F32] = { "F32", 32, 4, true, TN_F32 },
    [TN_STORE_F64] = { "F64", 64, 8, true, TN_F64 },
    [TN_STORE_C64] = { "C64", 64, 4, false, 0 },
};

const tn_store_type_traits *tn_store_type_of(tn_store_type type)
{
    return &table[type];
}

bool tn_store_type_by_name(const char *name, tn_store_type *type)
{
    for (size_t i = 0; i < TN_STORE_TYPE_COUNT; i++) {
        if (strcmp(table[i].name, name) == 0) {
            *type = (tn_store_type)i;
            return true;
        }
    }
    return false;
}

tn_store_type tn_store_type_of_weight(tn_dtype type)
{
    for (size_t i = 0; i < TN_STORE_TYPE_COUNT; i++)
        if (table[i].is_weight && table[i].weight == type)
            return (tn_store_type)i;
    return TN_STORE_U8;
}

bool tn_store_extent(tn_store_type type, size_t rank, const size_t *shape, size_t *elements,
                     size_t *bytes)
{
    size_t count = 1, bits;
    bool empty = false, fits = true;
    for (size_t i = 0; i < rank; i++) {
        if (shape[i] == 0)
            empty = true;
        else
            fits = fits && tn_size_mul(count, shape[i], &count);
    }
    /* An absurd shape is refused even if a zero elsewhere makes the tensor empty. */
    if (!fits || !tn_size_mul(count, table[type].bits, &bits) || (!empty && bits % 8 != 0))
        return false;
    *elements = empty ? 0 : count;
    *bytes = empty ? 0 : bits / 8;
    return true;
}
