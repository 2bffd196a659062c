/* The kernels of every set with vector registers, written once.
 *
 * A set's file defines the basis: `vec` of LANES floats and the vec_ functions, the shape of the register tiles with
 * the row counts that occur (TN_TILE_CASES), the number of rows of x up to which 16-bit weights are best widened in
 * registers (WIDEN_ROWS), TN_KERNEL(entry) (the entries' full names), TN_KERNEL_TABLE and TN_KERNEL_NAME, and
 * TN_CODES(tiling), TN_CODES(input), the products with quantised weights that it uses. Then it includes this file,
 * which defines the entries and their table. */
#ifndef TN_KERN_VECTOR_H
#define TN_KERN_VECTOR_H

#include "base/checked.h"
#include "kern/vector_tile.h"

#include <stdint.h>
#include <string.h>

/* Reals of a cache line. */
enum { LINE = 16 };

/* The first cache line border in `scratch`, which has LINE spare reals. */
static inline float *aligned(float *scratch)
{
    return scratch + (0 - (uintptr_t)scratch / sizeof(float)) % LINE;
}

/* Outputs of a chunk: rows of w in linear, of dw in linear_dw, columns of dx in linear_dx. */
enum { CHUNK = TN_CHUNK };

/* Bytes of `count` weights of one of the three types that the loops below can read directly. */
TN_INLINE size_t packed_bytes(tn_dtype type, size_t count)
{
    return (type == TN_F32 ? 4 : 2) * count;
}

/* LANES weights from column `column` on. `type` is a constant after inlining. */
TN_INLINE vec vec_load_weights(tn_dtype type, const unsigned char *row, size_t column)
{
    const unsigned char *packed = row + packed_bytes(type, column);
    return type == TN_BF16 ? vec_load_bf16(packed) : type == TN_F16 ? vec_load_f16(packed) : vec_load_f32(packed);
}

TN_INLINE void unpack_as(tn_dtype type, const unsigned char *row, size_t count, float *values)
{
    size_t whole = count / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES)
        vec_store(values + i, vec_load_weights(type, row, i));
    if (whole < count)
        tn_dtype_of(type)->unpack(row + tn_dtype_row_bytes(type, whole), count - whole, values + whole);
}

/* Columns begin .. begin+count-1 of row n as floats. */
static void unpack_row(const tn_matrix *w, size_t n, size_t begin, size_t count, float *values)
{
    const unsigned char *row = (const unsigned char *)w->data + n * tn_dtype_row_bytes(w->type, w->cols) +
                               tn_dtype_row_bytes(w->type, begin);
    switch (w->order == TN_ROWS ? w->type : TN_DTYPE_COUNT) {
    case TN_F32: unpack_as(TN_F32, row, count, values); break;
    case TN_F16: unpack_as(TN_F16, row, count, values); break;
    case TN_BF16: unpack_as(TN_BF16, row, count, values); break;
    default: tn_matrix_unpack(w, n, begin, count, values); break;
    }
}

#include "kern/vector_pairs.h"
#include "kern/vector_linear.h"
#include "kern/vector_math.h"
#include "kern/vector_multiply.h"

/* The tiles for weights that are quantised or in panels; NULL: they are read row by row. */
static const tn_tiling *tiling_of(const tn_matrix *w)
{
    return w->order == TN_PANELS && w->type == TN_BF16 ? &pairs_tiling : TN_CODES(tiling)(w->type);
}

size_t TN_KERNEL(linear_scratch)(const tn_matrix *w, size_t m)
{
    const tn_tiling *tiling = tiling_of(w);
    return tn_max(tiling ? tn_tiling_scratch(tiling) : 0, tn_max(linear_reals(w, m), (size_t)PANEL_REALS)) + LINE;
}

double TN_KERNEL(spin)(tn_dtype type, size_t turns, float *sink)
{
    if (TN_CODES(tiling)(type) != NULL)
        return TN_CODES(spin)(turns, sink);
    vec sums[SPIN_CHAINS], factor = vec_set(0.999f);
    TN_SPIN_UNROLL
    for (size_t i = 0; i < SPIN_CHAINS; i++)
        sums[i] = vec_set((float)i);
    for (size_t turn = 0; turn < turns; turn++) {
        TN_SPIN_UNROLL
        for (size_t i = 0; i < SPIN_CHAINS; i++)
            sums[i] = vec_fma(sums[i], factor, factor);
    }
    for (size_t i = 1; i < SPIN_CHAINS; i++)
        sums[0] = vec_add(sums[0], sums[i]);
    vec_store_part(sink, sums[0], 1);
    return 2.0 * LANES * SPIN_CHAINS * (double)turns;
}

size_t TN_KERNEL(input_bytes)(const tn_matrix *w, size_t m)
{
    return TN_CODES(tiling)(w->type) ? tn_codes_bytes(w, m) : 0;
}

void TN_KERNEL(input)(const tn_matrix *w, const float *x, size_t ldx, size_t begin, size_t end, size_t m, void *input)
{
    TN_CODES(input)(w, x, ldx, begin, end, m, input);
}

void TN_KERNEL(linear)(const tn_matrix *w, size_t begin, size_t end, const float *x, size_t ldx, const void *input,
                       size_t m, float *y, size_t ldy, float *scratch)
{
    const tn_tiling *tiling = tiling_of(w);
    if (tiling != NULL)
        tn_tiling_run(tiling, w, begin, end, x, ldx, input, m, false, y, ldy, scratch);
    else
        linear_rows(w, begin, end, x, ldx, m, y, ldy, scratch);
}

const tn_kernels TN_KERNEL_TABLE = {
    .name = TN_KERNEL_NAME,
    .linear_chunk = CHUNK,
    .linear_scratch = TN_KERNEL(linear_scratch),
    .input_bytes = TN_KERNEL(input_bytes),
    .input = TN_KERNEL(input),
    .linear = TN_KERNEL(linear),
    .linear_dx = TN_KERNEL(linear_dx),
    .linear_dw = TN_KERNEL(linear_dw),
    .spin = TN_KERNEL(spin),
    .dot = TN_KERNEL(dot),
    .axpy = TN_KERNEL(axpy),
    .max = TN_KERNEL(max),
    .exp_sum = TN_KERNEL(exp_sum),
    .silu_mul = TN_KERNEL(silu_mul),
    .quick_gelu = TN_KERNEL(quick_gelu),
    .multiply = TN_KERNEL(multiply),
};

#endif
