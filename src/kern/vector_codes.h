/* Products of 8-bit x with weights in blocks of 32 in panels (kern/panel.h, kern/tiling.h), and the conversion of x.
 *
 * Every block of 32 inputs is summed in integers, exactly, and added to the sums as one fused
 *     sum += (scale of w * scale of x) * integer
 * in ascending order of blocks. Therefore all sets with these tiles give the same bits.
 *
 * A set's file defines, in addition to the definitions of vector.h: `ivec` of LANES 32-bit integers or 4 LANES bytes
 * with the ivec_ functions, vec_abs and vec_to_bytes, and the row counts of tiles (CODES_ROWS, CODES_CASES,
 * CODES_THIN). `offset` is a constant after inlining: a set may subtract the offset from codes before multiplying, and
 * then starts at 0. */
#ifndef TN_KERN_VECTOR_CODES_H
#define TN_KERN_VECTOR_CODES_H

#include "base/checked.h"
#include "kern/vector_tile.h"

#include <math.h>
#include <string.h>

enum {
    CODES_VECTORS = 2,                               /* of outputs in a tile                     */
    CODES_PANELS = CODES_VECTORS * LANES / TN_PANEL, /* 2 with 512 bits, 1 with 256              */
    THIN_VECTORS = 4,                                /* with up to CODES_THIN rows               */
    THIN_PANELS = THIN_VECTORS * LANES / TN_PANEL,
    CODES_SLAB = 64,                                 /* units: 139 KB of 8-bit weights           */
    BLOCK_LINES_4 = 4,
    CODES_SUMS = CODES_ROWS * CODES_VECTORS > CODES_THIN * THIN_VECTORS ? CODES_ROWS * CODES_VECTORS : CODES_THIN * THIN_VECTORS
};

/* ------------------------------------------------------------- x to 8 bits -- */

/* One block: scale, codes and start of the sums. An amplitude that is not finite gives the scale NaN; one that is too
 * small to divide by gives 0. */
TN_INLINE void codes_block(const float *x, int8_t *codes, float *scale, int32_t *start, int offset)
{
    vec most = vec_abs(vec_load(x));
    TN_UNROLL
    for (size_t i = LANES; i < TN_BLOCK; i += LANES)
        most = vec_max_nan(most, vec_abs(vec_load(x + i)));
    const float amplitude = vec_largest(most);
    if (!(amplitude >= 0x1p-100f && amplitude <= 0x1p127f)) {
        memset(codes, 0, TN_BLOCK);
        *scale = amplitude < 0x1p-100f ? 0 : NAN;
        *start = 0;
        return;
    }
    *scale = amplitude / 127;
    const vec inverse = vec_set(127 / amplitude);
    ivec sum = ivec_set(0);
    TN_UNROLL
    for (size_t i = 0; i < TN_BLOCK; i += LANES)
        sum = ivec_add(sum, vec_to_bytes(vec_mul(vec_load(x + i), inverse), codes + i));
    *start = -offset * ivec_sum(sum);
}

static void codes_input(const tn_matrix *w, const float *x, size_t ldx, size_t begin, size_t end, size_t m, void *input)
{
    size_t units = tn_pieces(w->cols, TN_UNIT), blocks = w->cols / TN_BLOCK;
    const tn_codes to = tn_codes_at(input, m, units);
    const int offset = tn_dtype_of(w->type)->offset;
    for (size_t i = begin; i < end; i++) {
        size_t at = i * units * 2;
        for (size_t b = 0; b < blocks; b++)
            codes_block(x + i * ldx + b * TN_BLOCK, to.codes + (at + b) * TN_BLOCK, &to.scales[at + b],
                        &to.starts[at + b], offset);
        for (size_t b = blocks; b < 2 * units; b++) {
            memset(to.codes + (at + b) * TN_BLOCK, 0, TN_BLOCK);
            to.scales[at + b] = 0;
            to.starts[at + b] = 0;
        }
    }
}

/* ---------------------------------------------------------------- tiles -- */

/* Four inputs of row i, for all lanes. */
TN_INLINE ivec codes_of_x(const int8_t *codes, size_t stride, size_t i)
{
    int32_t four;
    memcpy(&four, codes + i * stride, sizeof four);
    return ivec_set(four);
}

/* Multiplies one line of codes of every vector by all rows. */
TN_INLINE void codes_line(size_t rows, size_t vectors, ivec *sums, const ivec *weights,
                          const int8_t *x, size_t stride, int offset)
{
    TN_UNROLL
    for (size_t i = 0; i < rows; i++) {
        ivec values = codes_of_x(x, stride, i);
        TN_UNROLL
        for (size_t v = 0; v < vectors; v++)
            sums[i * vectors + v] = ivec_dot(sums[i * vectors + v], weights[v], values, offset);
    }
}

/* The integer sums of one block whose lines start at `lines[v]`. */
TN_INLINE void codes_sum(size_t rows, size_t vectors, size_t bits, int offset, ivec table, ivec *sums,
                         const unsigned char *const *lines, const int8_t *x, size_t stride, uintptr_t soon,
                         const tn_tile *tile)
{
    ivec weights[THIN_VECTORS];
    TN_UNROLL
    for (size_t line = 0; line < bits; line++) {
        TN_UNROLL
        for (size_t v = 0; v < vectors; v++) {
            const unsigned char *at = lines[v] + line * TN_LINE;
            if (rows > CODES_THIN && bits == 8)
                __builtin_prefetch((const void *)(soon + line * tile->soon_step + v * tile->soon_stride), 0, 2);
            weights[v] = bits == 8 ? ivec_codes(at, offset) : ivec_nibbles(at, 0, table, offset);
        }
        codes_line(rows, vectors, sums, weights, x + line * (TN_BLOCK / bits), stride, offset);
        if (bits == 8)
            continue;
        TN_UNROLL
        for (size_t v = 0; v < vectors; v++)
            weights[v] = ivec_nibbles(lines[v] + line * TN_LINE, 4, table, offset);
        codes_line(rows, vectors, sums, weights, x + line * (TN_BLOCK / bits) + 4, stride, offset);
    }
}

TN_INLINE void codes_tile(size_t rows, size_t vectors, size_t bits, int offset, ivec table, const tn_tile *tile)
{
    const size_t unit_bytes = TN_LINE * (1 + 2 * bits), stride = tile->all_units * TN_UNIT;
    const tn_codes x = tn_codes_at(tile->input, tile->m, tile->all_units);
    const int8_t *codes = x.codes + tile->row * stride + tile->unit * TN_UNIT;
    const float *scales = x.scales + (tile->row * tile->all_units + tile->unit) * 2;
    const int32_t *starts = x.starts + (tile->row * tile->all_units + tile->unit) * 2;
    const unsigned char *panels[THIN_VECTORS];
    vec sums[CODES_SUMS];
    TN_UNROLL
    for (size_t v = 0; v < vectors; v++)
        panels[v] = panel_of(tile, v);
    const uintptr_t soon = (uintptr_t)(tile->soon_step > 0 ? tile->soon : tile->panels);
    sums_begin(rows, vectors, tile, sums);
    for (size_t b = 0; b < 2 * tile->units; b++) {
        ivec integers[CODES_SUMS];
        const unsigned char *lines[THIN_VECTORS];
        vec factors[THIN_VECTORS];
        TN_UNROLL
        for (size_t v = 0; v < vectors; v++) {
            const unsigned char *unit = panels[v] + b / 2 * unit_bytes;
            factors[v] = vec_load_f16(unit + b % 2 * (TN_LINE / 2) + v * LANES % TN_PANEL * 2);
            lines[v] = unit + TN_LINE * (1 + b % 2 * bits) + v * LANES % TN_PANEL * 4;
        }
        TN_UNROLL
        for (size_t i = 0; i < rows; i++)
            TN_UNROLL
            for (size_t v = 0; v < vectors; v++)
                integers[i * vectors + v] = ivec_start(starts[i * tile->all_units * 2 + b], offset);
        codes_sum(rows, vectors, bits, offset, table, integers, lines, codes + b * TN_BLOCK, stride,
                  soon + b * 8 * tile->soon_step, tile);
        TN_UNROLL
        for (size_t i = 0; i < rows; i++) {
            const vec scale = vec_set(scales[i * tile->all_units * 2 + b]);
            TN_UNROLL
            for (size_t v = 0; v < vectors; v++)
                sums[i * vectors + v] = vec_fma(vec_mul(factors[v], scale), ivec_to_vec(integers[i * vectors + v]),
                                                sums[i * vectors + v]);
        }
    }
    sums_finish(rows, vectors, tile, sums);
}

TN_INLINE void codes_tiles(size_t bits, int offset, const unsigned char *codebook, const tn_tile *tile)
{
    const ivec table = ivec_table(codebook, offset);
    const size_t vectors = tn_pieces(tile->outputs, LANES);
#define CASE(R)                                                                           \
    case (R):                                                                             \
        if ((R) <= CODES_THIN && vectors > CODES_VECTORS)                                 \
            codes_tile(tn_min((R), CODES_THIN), THIN_VECTORS, bits, offset, table, tile); \
        else if (vectors > 1)                                                             \
            codes_tile((R), CODES_VECTORS, bits, offset, table, tile);                    \
        else                                                                              \
            codes_tile((R), 1, bits, offset, table, tile);                                \
        break;
    switch (tile->rows) { CODES_CASES(CASE) }
#undef CASE
}

static void codes_tile_q8_0(const tn_tile *tile) { codes_tiles(8, 128, NULL, tile); }
static void codes_tile_q4_0(const tn_tile *tile) { codes_tiles(4, 8, tn_codebook_q4_0, tile); }
static void codes_tile_iq4_nl(const tn_tile *tile) { codes_tiles(4, 128, tn_codebook_iq4_nl, tile); }

double TN_KERNEL(codes_spin)(size_t turns, float *sink)
{
    ivec sums[SPIN_CHAINS], factor = ivec_set(0x01010101);
    TN_SPIN_UNROLL
    for (size_t i = 0; i < SPIN_CHAINS; i++)
        sums[i] = ivec_set((int32_t)i);
    for (size_t turn = 0; turn < turns; turn++) {
        TN_SPIN_UNROLL
        for (size_t i = 0; i < SPIN_CHAINS; i++)
            sums[i] = ivec_dot(sums[i], sums[i], factor, 8);
    }
    for (size_t i = 1; i < SPIN_CHAINS; i++)
        sums[0] = ivec_add(sums[0], sums[i]);
    vec_store_part(sink, ivec_to_vec(sums[0]), 1);
    return 2.0 * 4 * LANES * SPIN_CHAINS * (double)turns;
}

/* ------------------------------------------------ 4-bit weights made wider -- */

/* The codes of one unit, a byte each; the scales are unchanged. Codes of Q4_0 keep their offset of 8. */
static void codes_widen(const unsigned char *unit, const unsigned char *codebook, unsigned char *to)
{
    const ivec table = ivec_table_bytes(codebook);
    memcpy(to, unit, TN_LINE);
    for (size_t line = 0; line < 2 * BLOCK_LINES_4; line++)
        for (size_t at = 0; at < TN_LINE; at += LANES * 4) {
            const unsigned char *from = unit + TN_LINE * (1 + line) + at;
            unsigned char *first = to + TN_LINE * (1 + 2 * line) + at;
            ivec_store_bytes(first, ivec_bytes(from, 0, table));
            ivec_store_bytes(first + TN_LINE, ivec_bytes(from, 4, table));
        }
}

static void codes_relay(const tn_matrix *w, size_t panel, size_t unit, size_t units, unsigned char *to)
{
    const tn_dtype_traits *traits = tn_dtype_of(w->type);
    size_t bytes = tn_unit_bytes(w->type), wide = tn_unit_bytes(TN_Q8_0);
    const unsigned char *panels = (const unsigned char *)w->data + panel * tn_panel_bytes(w->type, w->cols);
    unsigned char packed[TN_LINE * 17];
    for (size_t u = 0; u < units; u++, to += wide) {
        const unsigned char *from = panels + (unit + u) * bytes;
        if (w->order == TN_ROWS) {
            tn_relay_rows(w, panel, unit + u, 1, packed);
            from = packed;
        }
        if (traits->bits == 4)
            codes_widen(from, traits->codebook, to);
        else
            memcpy(to, from, bytes);
    }
}

static void codes_tile_wide_q4_0(const tn_tile *tile) { codes_tiles(8, 8, NULL, tile); }

#include "kern/vector_wide.h"

void TN_KERNEL(codes_input)(const tn_matrix *w, const float *x, size_t ldx, size_t begin, size_t end, size_t m,
                            void *input)
{
    (tn_dtype_of(w->type)->block == TN_WIDE_BLOCK ? wide_input : codes_input)(w, x, ldx, begin, end, m, input);
}

const tn_tiling *TN_KERNEL(codes_tiling)(tn_dtype type)
{
    static const tn_tiling q8_0 = { codes_tile_q8_0, codes_tile_q8_0, codes_relay, TN_LINE * 17, false,
                                    CODES_ROWS, CODES_PANELS, CODES_SLAB, CODES_THIN, THIN_PANELS, TN_UNIT };
    static const tn_tiling q4_0 = { codes_tile_q4_0, codes_tile_wide_q4_0, codes_relay, TN_LINE * 17, true,
                                    CODES_ROWS, CODES_PANELS, CODES_SLAB, CODES_THIN, THIN_PANELS, TN_UNIT };
    static const tn_tiling iq4_nl = { codes_tile_iq4_nl, codes_tile_q8_0, codes_relay, TN_LINE * 17, true,
                                      CODES_ROWS, CODES_PANELS, CODES_SLAB, CODES_THIN, THIN_PANELS, TN_UNIT };
    return type == TN_Q8_0 ? &q8_0 : type == TN_Q4_0 ? &q4_0 : type == TN_IQ4_NL ? &iq4_nl : wide_tiling(type);
}

#endif
