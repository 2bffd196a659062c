/* Products of 8-bit x with quantised weights in tiles (AMX): the same arithmetic as vector_codes.h, and therefore the
 * same bits as the other sets. The 8 lines of a block, 32 inputs of 16 outputs, are one tile. The integer sums of a
 * block go from their tile to the first-level cache, where the vector units scale and add them.
 *
 * In the form of kern/panel.h, codes are unsigned, so `starts` must be added to the sums. The wide form has signed codes
 * and saves this addition. It is made from that form, or from 4-bit codes, if several tiles of rows read the same
 * weights. A unit of it is
 *   2 lines of scales as F32, of the first and of the second block, and 16 lines of signed codes.
 *
 * By count of instructions, never measured: a sum of 32 products takes 3 vector operations (4 in the narrow form), two
 * per cycle. That is 24 (32) cycles for a block of 16 rows by 16 outputs, for which the tile unit takes 16. The scales
 * limit these products to a third of the rate of the tile unit with operands of full height.
 *
 * Requires the definitions of vector.h with 16 lanes, vec_of_integers, codes_flip, codes_look_up, and those of
 * amx_tile.h. */
#ifndef TN_KERN_AMX_CODES_H
#define TN_KERN_AMX_CODES_H

#include "base/checked.h"
#include "kern/vector_tile.h"

#include <string.h>

enum {
    CODES_ROWS = 16,
    CODES_SLAB = 16,                     /* units: 18 KB of weights, 16 KB of x                      */
    CODES_WIDENS = 48,                   /* smallest number of rows worth a copy of 8-bit weights    */
    CODES_STEP = 4,                      /* units widened at a time for few rows                     */
    CODES_LINES = 2 * TN_BLOCK / 4,      /* of 8-bit codes in a unit                                 */
    CODES_WIDE = TN_LINE * (2 + CODES_LINES), /* bytes of a unit in the wide form                    */
    CODES_AHEAD = 4096                   /* bytes prefetched                                         */
};

/* Loops over the rows of a tile keep sums in registers if they are unrolled; see vector_tile.h. The emulation, which
 * defines CODES_TILE, has no such registers. */
#if defined(__clang__) || defined(CODES_TILE)
#define CODES_UNROLL
#else
#define CODES_UNROLL _Pragma("GCC unroll 16")
#endif

static inline bool codes_has(tn_dtype type)
{
    return type == TN_Q8_0 || type == TN_Q4_0 || type == TN_IQ4_NL;
}

/* The integer sums [rows, 16] of the two blocks of a unit. */
TN_INLINE void codes_multiply(bool wide, const unsigned char *lines, const int8_t *x, size_t stride,
                              int32_t integers[2][CODES_ROWS * TN_PANEL])
{
    TILE_LOAD(2, x, stride);
    TILE_LOAD(4, lines, TN_LINE);
    TILE_ZERO(0);
    TILE_LOAD(3, x + TN_BLOCK, stride);
    TILE_LOAD(5, lines + CODES_LINES / 2 * TN_LINE, TN_LINE);
    TILE_ZERO(1);
    if (wide) {
        TILE_ADD_SIGNED(0, 2, 4);
        TILE_ADD_SIGNED(1, 3, 5);
    } else {
        TILE_ADD_UNSIGNED(0, 2, 4);
        TILE_ADD_UNSIGNED(1, 3, 5);
    }
    TILE_STORE(0, integers[0], TN_LINE);
    TILE_STORE(1, integers[1], TN_LINE);
}

/* sums += scales of the block * its integer sums. The scales of x are `stride` numbers apart. */
TN_INLINE void codes_add(size_t rows, bool wide, const int32_t *integers, vec factors, const float *scales,
                         const int32_t *starts, size_t stride, vec *sums)
{
    CODES_UNROLL
    for (size_t i = 0; i < rows; i++) {
        vec value = vec_of_integers(integers + i * TN_PANEL, wide ? 0 : starts[i * stride]);
        sums[i] = vec_fma(vec_mul(factors, vec_set(scales[i * stride])), value, sums[i]);
    }
}

TN_INLINE void codes_ask(const unsigned char *unit, size_t lines)
{
    for (size_t i = 0; i < lines; i++)
        __builtin_prefetch((const void *)((uintptr_t)unit + CODES_AHEAD + i * TN_LINE), 0, 2);
}

/* The tile unit is one unit ahead of the vector units. */
TN_INLINE void codes_tile(size_t rows, bool wide, const tn_tile *tile)
{
    _Alignas(TN_LINE) int32_t integers[2][2][CODES_ROWS * TN_PANEL];
    const size_t head = wide ? 2 * TN_LINE : TN_LINE, unit_bytes = head + CODES_LINES * TN_LINE;
    const size_t row = tile->all_units * TN_UNIT, stride = tile->all_units * 2;
    const tn_codes all = tn_codes_at(tile->input, tile->m, tile->all_units);
    const int8_t *x = all.codes + tile->row * row + tile->unit * TN_UNIT;
    const float *scales = all.scales + tile->row * stride + tile->unit * 2;
    const int32_t *starts = all.starts + tile->row * stride + tile->unit * 2;
    const unsigned char *unit = tile->panels;
    vec sums[CODES_ROWS];
    CODES_UNROLL
    for (size_t i = 0; i < rows; i++)
        sums[i] = tile->first ? vec_set(0) : vec_load_part(tile->y + i * tile->ldy, tile->outputs);
    codes_multiply(wide, unit + head, x, row, integers[0]);
    for (size_t u = 0; u < tile->units; u++, unit += unit_bytes, scales += 2, starts += 2) {
        if (tile->stream)
            codes_ask(unit, 1 + CODES_LINES);
        if (u + 1 < tile->units)
            codes_multiply(wide, unit + unit_bytes + head, x + (u + 1) * TN_UNIT, row, integers[(u + 1) % 2]);
        for (size_t b = 0; b < 2; b++) {
            vec factors = wide ? vec_load((const float *)(const void *)(unit + b * TN_LINE))
                               : vec_load_f16(unit + b * (TN_LINE / 2));
            codes_add(rows, wide, integers[u % 2][b], factors, scales + b, starts + b, stride, sums);
        }
    }
    CODES_UNROLL
    for (size_t i = 0; i < rows; i++)
        vec_store_part(tile->y + i * tile->ldy, sums[i], tile->outputs);
}

/* The number of rows is a constant, so that the sums stay in registers. */
#ifndef CODES_TILE
#define CODES_CASE(R, wide, tile) case (R): codes_tile((R), (wide), (tile)); break;
#define CODES_FOUR(R, wide, tile)                                     \
    CODES_CASE((R), wide, tile) CODES_CASE((R) + 1, wide, tile)       \
    CODES_CASE((R) + 2, wide, tile) CODES_CASE((R) + 3, wide, tile)
#define CODES_TILE(wide, tile)                                        \
    switch ((tile)->rows) {                                           \
        CODES_FOUR(1, wide, tile) CODES_FOUR(5, wide, tile)           \
        CODES_FOUR(9, wide, tile) CODES_FOUR(13, wide, tile)          \
    }
#endif

static void codes_tile_wide(const tn_tile *tile) { CODES_TILE(true, tile) }
static void codes_tile_q8_0(const tn_tile *tile) { CODES_TILE(false, tile) }

/* -------------------------------------------------------------- the wide form -- */

/* One unit of a panel. `table`: the signed values of 4-bit codes. */
TN_INLINE void codes_widen(size_t bits, const unsigned char *unit, const int8_t *table, unsigned char *to)
{
    vec_store((float *)(void *)to, vec_load_f16(unit));
    vec_store((float *)(void *)(to + TN_LINE), vec_load_f16(unit + TN_LINE / 2));
    unit += TN_LINE;
    to += 2 * TN_LINE;
    if (bits == 8)
        for (size_t line = 0; line < CODES_LINES; line++)
            codes_flip(unit + line * TN_LINE, to + line * TN_LINE);
    else
        for (size_t line = 0; line < CODES_LINES / 2; line++)
            codes_look_up(unit + line * TN_LINE, table, to + 2 * line * TN_LINE, to + (2 * line + 1) * TN_LINE);
}

/* Entry i of a codebook without its offset. */
static void codes_table(const tn_dtype_traits *traits, int8_t table[16])
{
    for (size_t i = 0; i < 16; i++)
        table[i] = (int8_t)(traits->codebook[i] - traits->offset);
}

static void codes_relay(const tn_matrix *w, size_t panel, size_t unit, size_t units, unsigned char *to)
{
    const tn_dtype_traits *traits = tn_dtype_of(w->type);
    const size_t bytes = tn_unit_bytes(w->type);
    const unsigned char *from = (const unsigned char *)w->data + panel * tn_panel_bytes(w->type, w->cols) + unit * bytes;
    unsigned char packed[TN_LINE * (1 + CODES_LINES)];
    int8_t table[16] = { 0 };
    if (traits->bits == 4)
        codes_table(traits, table);
    for (size_t u = 0; u < units; u++, to += CODES_WIDE) {
        const unsigned char *at = packed;
        if (w->order == TN_ROWS)
            tn_relay_rows(w, panel, unit + u, 1, packed);
        else
            codes_ask(at = from + u * bytes, bytes / TN_LINE);
        if (traits->bits == 4)
            codes_widen(4, at, table, to);
        else
            codes_widen(8, at, NULL, to);
    }
}

/* Few rows, 4-bit weights in panels: widened a few units at a time. */
static void codes_tile_4(const tn_tile *tile, tn_dtype type)
{
    _Alignas(TN_LINE) unsigned char wide[CODES_STEP * CODES_WIDE];
    const size_t bytes = tn_unit_bytes(TN_Q4_0);
    int8_t table[16];
    tn_tile part = *tile;
    codes_table(tn_dtype_of(type), table);
    part.panels = wide;
    part.stream = false;
    for (size_t u = 0; u < tile->units; u += CODES_STEP) {
        part.unit = tile->unit + u;
        part.units = tn_min(CODES_STEP, tile->units - u);
        part.first = tile->first && u == 0;
        for (size_t i = 0; i < part.units; i++) {
            const unsigned char *unit = tile->panels + (u + i) * bytes;
            codes_ask(unit, bytes / TN_LINE);
            codes_widen(4, unit, table, wide + i * CODES_WIDE);
        }
        codes_tile_wide(&part);
    }
}

static void codes_tile_q4_0(const tn_tile *tile) { codes_tile_4(tile, TN_Q4_0); }
static void codes_tile_iq4_nl(const tn_tile *tile) { codes_tile_4(tile, TN_IQ4_NL); }

static tn_tiling codes_tiling(tn_dtype type, size_t m)
{
    return (tn_tiling){ .direct = type == TN_Q4_0 ? codes_tile_q4_0 : type == TN_IQ4_NL ? codes_tile_iq4_nl
                                                                                        : codes_tile_q8_0,
                        .relaid = codes_tile_wide, .relay = codes_relay, .relaid_bytes = CODES_WIDE,
                        .widens = type != TN_Q8_0 || m > CODES_WIDENS, .rows = CODES_ROWS, .panels = 1,
                        .slab = CODES_SLAB, .unit = TN_UNIT };
}

/* All tiles have the number of rows of the largest, which is one more than some of them need. The surplus line is read
 * from the same memory (after the codes there are 16 bytes per unit for every row, and m is at least CODES_LEAST), and
 * its sums are not used. */
enum { CODES_LEAST = 4 };

static void codes_linear(const tn_matrix *w, size_t begin, size_t end, const void *input, size_t m, float *y, size_t ldy,
                         float *scratch)
{
    const tn_tiling tiling = codes_tiling(w->type, m);
    const uint8_t rows = (uint8_t)tn_pieces(m, tn_pieces(m, CODES_ROWS));
    const tn_tile_shapes shapes = { .palette = 1,
                                    .rows = { rows, rows, rows, rows, TN_BLOCK / 4, TN_BLOCK / 4 },
                                    .row_bytes = { TN_LINE, TN_LINE, TN_BLOCK, TN_BLOCK, TN_LINE, TN_LINE } };
    tile_configure(&shapes);
    tn_tiling_run(&tiling, w, begin, end, NULL, 0, input, m, false, y, ldy, scratch);
    tile_release();
}

#endif
