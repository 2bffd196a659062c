/* The AVX-512 set with byte products and products of BF16 pairs (AVX512_BF16): if weights are BF16, x is rounded to
 * BF16, as frameworks do that compute in this type, and multiplied at twice the rate.
 *
 * The order of a sum: pairs of inputs in ascending order; in a pair the odd input first, then the even one. Each
 * product is added with one rounding, and denormals are treated as 0 (Intel 64 and IA-32 Architectures SDM, VDPBF16PS). */
#include "kern/avx512bf16.h"

#include "base/checked.h"

#include <string.h>

enum { UNIT_LINES = TN_UNIT / 2, STREAM_AHEAD = 6144 };

/* x as BF16 [m, units * 64], padded with zeros. */
static void bf16_input(const tn_matrix *w, const float *x, size_t ldx, size_t begin, size_t end, void *input)
{
    size_t cols = tn_pieces(w->cols, TN_UNIT) * TN_UNIT;
    for (size_t i = begin; i < end; i++) {
        unsigned char *to = (unsigned char *)input + i * cols * 2;
        for (size_t k = 0; k < cols; k += LANES) {
            size_t count = k < w->cols ? tn_min(LANES, w->cols - k) : 0;
            vec values = count == LANES ? vec_load(x + i * ldx + k)
                         : count > 0    ? vec_load_part(x + i * ldx + k, count)
                                        : vec_set(0);
            __m256bh narrow = _mm512_cvtneps_pbh(values);
            memcpy(to + 2 * k, &narrow, sizeof narrow);
        }
    }
}

TN_INLINE void tile_of(size_t rows, size_t vectors, const tn_tile *tile)
{
    const size_t stride = tile->all_units * TN_UNIT * 2, ahead = tile->stream ? STREAM_AHEAD : 0;
    const unsigned char *x = (const unsigned char *)tile->input + tile->row * stride + tile->unit * TN_UNIT * 2;
    const unsigned char *lines[TN_BF16_PANELS];
    vec sums[TN_BF16_ROWS * TN_BF16_PANELS];
    TN_UNROLL
    for (size_t v = 0; v < vectors; v++)
        lines[v] = panel_of(tile, v);
    sums_begin(rows, vectors, tile, sums);
    for (size_t line = 0; line < tile->units * UNIT_LINES; line++) {
        __m512i weights[TN_BF16_PANELS];
        TN_UNROLL
        for (size_t v = 0; v < vectors; v++) {
            weights[v] = _mm512_loadu_si512((const void *)(lines[v] + line * TN_LINE));
            __builtin_prefetch((const void *)((uintptr_t)lines[v] + line * TN_LINE + ahead), 0, 2);
        }
        TN_UNROLL
        for (size_t i = 0; i < rows; i++) {
            int32_t pair;
            memcpy(&pair, x + i * stride + line * 4, sizeof pair);
            __m512bh values = (__m512bh)_mm512_set1_epi32(pair);
            TN_UNROLL
            for (size_t v = 0; v < vectors; v++)
                sums[i * vectors + v] = _mm512_dpbf16_ps(sums[i * vectors + v], values, (__m512bh)weights[v]);
        }
    }
    sums_finish(rows, vectors, tile, sums);
}

void tn_avx512bf16_tile(const tn_tile *tile)
{
#define CASE(R)                          \
    case R:                              \
        if (tile->outputs <= TN_PANEL)   \
            tile_of(R, 1, tile);         \
        else                             \
            tile_of(R, TN_BF16_PANELS, tile);   \
        break;
    switch (tile->rows) { CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) }
#undef CASE
}

/* Rows as a panel: 32 inputs of 16 outputs at a time, while those of the next 16 outputs are prefetched, because
 * sixteen streams are more than the processor's own prefetcher follows. Incomplete lines take the slow path. */
void tn_avx512bf16_relay(const tn_matrix *w, size_t panel, size_t unit, size_t units, unsigned char *to)
{
    size_t row = panel * TN_PANEL, begin = unit * TN_UNIT, row_bytes = w->cols * 2;
    if (row + TN_PANEL > w->rows || begin + units * TN_UNIT > w->cols) {
        tn_relay_rows(w, panel, unit, units, to);
        return;
    }
    const unsigned char *from = (const unsigned char *)w->data + row * row_bytes + begin * 2;
    for (size_t step = 0; step < 2 * units; step++, from += TN_LINE, to += 16 * TN_LINE) {
        __m512i lines[16];
        TN_UNROLL
        for (size_t n = 0; n < 16; n++) {
            lines[n] = _mm512_loadu_si512((const void *)(from + n * row_bytes));
            __builtin_prefetch((const void *)((uintptr_t)from + (n + TN_PANEL) * row_bytes), 0, 2);
        }
        tn_transpose_pairs(lines);
        TN_UNROLL
        for (size_t p = 0; p < 16; p++)
            _mm512_storeu_si512((void *)(to + p * TN_LINE), lines[p]);
    }
}

static const tn_tiling tiling = { .direct = tn_avx512bf16_tile, .relaid = tn_avx512bf16_tile, .relay = tn_avx512bf16_relay,
                                  .relaid_bytes = TN_BF16_UNIT, .rows = TN_BF16_ROWS, .panels = TN_BF16_PANELS,
                                  .slab = TN_BF16_SLAB, .unit = TN_UNIT };

/* The tilings of the gradients require the same amount. */
size_t tn_avx512bf16_linear_scratch(const tn_matrix *w, size_t m)
{
    return tn_max(tn_tiling_scratch(&tiling), tn_avx512vnni_linear_scratch(w, m));
}

size_t tn_avx512bf16_input_bytes(const tn_matrix *w, size_t m)
{
    return w->type == TN_BF16 ? m * tn_pieces(w->cols, TN_UNIT) * TN_UNIT * 2 : tn_avx512vnni_input_bytes(w, m);
}

void tn_avx512bf16_input(const tn_matrix *w, const float *x, size_t ldx, size_t begin, size_t end, size_t m,
                         void *input)
{
    if (w->type == TN_BF16)
        bf16_input(w, x, ldx, begin, end, input);
    else
        tn_avx512vnni_input(w, x, ldx, begin, end, m, input);
}

void tn_avx512bf16_linear(const tn_matrix *w, size_t begin, size_t end, const float *x, size_t ldx,
                          const void *input, size_t m, float *y, size_t ldy, float *scratch)
{
    if (w->type == TN_BF16)
        tn_tiling_run(&tiling, w, begin, end, x, ldx, input, m, false, y, ldy, scratch);
    else
        tn_avx512vnni_linear(w, begin, end, x, ldx, input, m, y, ldy, scratch);
}

double tn_avx512bf16_spin(tn_dtype type, size_t turns, float *sink)
{
    if (type != TN_BF16)
        return tn_avx512vnni_spin(type, turns, sink);
    vec sums[SPIN_CHAINS];
    const __m512bh factor = (__m512bh)_mm512_set1_epi16(0x3F00); /* 0.5 */
    TN_SPIN_UNROLL
    for (size_t i = 0; i < SPIN_CHAINS; i++)
        sums[i] = vec_set((float)i);
    for (size_t turn = 0; turn < turns; turn++) {
        TN_SPIN_UNROLL
        for (size_t i = 0; i < SPIN_CHAINS; i++)
            sums[i] = _mm512_dpbf16_ps(sums[i], factor, factor);
    }
    for (size_t i = 1; i < SPIN_CHAINS; i++)
        sums[0] = vec_add(sums[0], sums[i]);
    vec_store_part(sink, sums[0], 1);
    return 2.0 * 2 * LANES * SPIN_CHAINS * (double)turns;
}

const tn_kernels tn_avx512bf16_kernels = {
    .name = "avx512bf16",
    .linear_chunk = TN_CHUNK,
    .linear_scratch = tn_avx512bf16_linear_scratch,
    .input_bytes = tn_avx512bf16_input_bytes,
    .input = tn_avx512bf16_input,
    .linear = tn_avx512bf16_linear,
    .linear_dx = tn_avx512_linear_dx,
    .linear_dw = tn_avx512_linear_dw,
    .spin = tn_avx512bf16_spin,
    .narrow = &tn_avx512bf16_narrow,
    TN_VECTOR_ENTRIES(avx512),
};
