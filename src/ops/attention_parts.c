/* What forward and backward of attention share: blocks of keys, blocks of queries, and caches in the form used for
 * computing. */
#include "ops/internal.h"

#include <string.h>

/* Four numbers that are moved together; the compiler chooses the machine's instructions. */
typedef tn_real quad __attribute__((vector_size(4 * sizeof(tn_real))));

/* Four rows of four, transposed. */
static inline void turn_quads(const tn_real *from, size_t stride, tn_real *to, size_t ld)
{
    quad a, b, c, d;
    memcpy(&a, from, sizeof a);
    memcpy(&b, from + stride, sizeof b);
    memcpy(&c, from + 2 * stride, sizeof c);
    memcpy(&d, from + 3 * stride, sizeof d);
    quad low = __builtin_shufflevector(a, b, 0, 4, 1, 5), high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    quad low2 = __builtin_shufflevector(c, d, 0, 4, 1, 5), high2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    a = __builtin_shufflevector(low, low2, 0, 1, 4, 5);
    b = __builtin_shufflevector(low, low2, 2, 3, 6, 7);
    c = __builtin_shufflevector(high, high2, 0, 1, 4, 5);
    d = __builtin_shufflevector(high, high2, 2, 3, 6, 7);
    memcpy(to, &a, sizeof a);
    memcpy(to + ld, &b, sizeof b);
    memcpy(to + 2 * ld, &c, sizeof c);
    memcpy(to + 3 * ld, &d, sizeof d);
}

/* Transposes `count` <= TN_TRANSPOSE rows of `width` values; the columns after them are zeroed. Whole cache lines of
 * `out` are written once, because its rows are far apart and share few sets of the first-level cache. */
static void turn_rows(const tn_real *rows, size_t stride, size_t count, size_t width, tn_real *out, size_t ld)
{
    size_t i = 0;
    for (; count == TN_TRANSPOSE && i + 4 <= width; i += 4)
        for (size_t j = 0; j < TN_TRANSPOSE; j += 4)
            turn_quads(rows + j * stride + i, stride, out + i * ld + j, ld);
    for (; i < width; i++)
        for (size_t j = 0; j < TN_TRANSPOSE; j++)
            out[i * ld + j] = j < count ? rows[j * stride + i] : 0;
}

size_t tn_transpose(const tn_real *rows, size_t stride, size_t count, size_t width, tn_real *out, size_t ld)
{
    size_t padded = tn_pieces(count, TN_TRANSPOSE) * TN_TRANSPOSE;
    for (size_t j = 0; j < padded; j += TN_TRANSPOSE)
        turn_rows(rows + j * stride, stride, tn_min(TN_TRANSPOSE, count - j), width, out + j, ld);
    return padded;
}

bool tn_cache_is_whole(const tn_keys *keys)
{
    bool reals = keys->k != NULL && keys->v != NULL, narrow = keys->k_bf16 != NULL && keys->v_bf16 != NULL;
    return reals ? keys->k_bf16 == NULL && keys->v_bf16 == NULL : narrow && keys->k == NULL && keys->v == NULL;
}

/* A bfloat16 is the upper half of a float. */
static void widen(const uint16_t *from, size_t count, tn_real *to)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = (uint32_t)from[i] << 16;
        float value;
        memcpy(&value, &bits, sizeof value);
        to[i] = value;
    }
}

const tn_real *tn_cache_rows(const tn_keys *keys, tn_cache_part part, size_t offset, size_t count, size_t width,
                             tn_real *room, size_t *stride)
{
    if (keys->k != NULL) {
        *stride = keys->stride;
        return (part == TN_KEYS ? keys->k : keys->v) + offset;
    }
    *stride = width;
    for (size_t row = 0; row < count; row++)
        tn_cache_copy(keys, part, offset + row * keys->stride, width, room + row * width);
    return room;
}

void tn_cache_copy(const tn_keys *keys, tn_cache_part part, size_t offset, size_t width, tn_real *out)
{
    const tn_real *reals = part == TN_KEYS ? keys->k : keys->v;
    if (reals != NULL)
        memcpy(out, reals + offset, width * sizeof *out);
    else
        widen((part == TN_KEYS ? keys->k_bf16 : keys->v_bf16) + offset, width, out);
}

void tn_cache_fetch(const tn_keys *keys, tn_cache_part part, size_t offset, size_t count, size_t width)
{
    const tn_real *reals = part == TN_KEYS ? keys->k : keys->v;
    const void *base = reals ? (const void *)reals : part == TN_KEYS ? keys->k_bf16 : keys->v_bf16;
    size_t size = reals ? sizeof *reals : sizeof(uint16_t);
    const char *row = (const char *)base + offset * size;
    for (size_t i = 0; i < count; i++, row += keys->stride * size)
        for (size_t at = 0; at < width * size; at += 64)
            __builtin_prefetch(row + at, 0, 2);
}

void tn_gather_heads(const tn_attend *a, const tn_query_block *block, size_t kv_head, const tn_real *x,
                     tn_real factor, tn_real *out)
{
    size_t width = a->heads * a->head_dim;
    for (size_t g = 0; g < a->group; g++)
        for (size_t row = 0; row < block->count; row++) {
            const tn_real *from = x + (block->begin + row) * width + (kv_head * a->group + g) * a->head_dim;
            for (size_t i = 0; i < a->head_dim; i++)
                *out++ = from[i] * factor;
        }
}

double tn_attend_work(const tn_attend *a)
{
    double pairs = 0;
    for (size_t i = 0; i < a->block_count; i++)
        pairs += (double)a->blocks[i].count *
                 (double)(tn_visible_end(a, &a->blocks[i], a->blocks[i].count) - a->blocks[i].key_begin);
    return pairs * (double)(a->heads * a->head_dim) * 2;
}
