/* Products of 8-bit x with weights in blocks of 256 in tiles (AMX): the arithmetic of vector_wide.h, and therefore its
 * bits.
 *
 * Two tiles of rows by two panels form four chains of sums, so that every loaded tile is multiplied twice. The integers
 * go from tiles to the first-level cache once per 256 inputs, where the vector units scale and add them. 4-bit weights
 * are first unpacked to codes of 8 bits (WIDE_RELAY), which are unsigned, as in panels.
 *
 * By count of instructions, never measured: a block of 32 rows by 32 outputs by 256 inputs takes 16 tile products, 256
 * cycles, and at the same time about 5 vector operations for each of its 64 lines of sums, 160 cycles.
 *
 * Requires the same definitions as amx_codes.h. */
#ifndef TN_KERN_AMX_WIDE_H
#define TN_KERN_AMX_WIDE_H

#include "base/checked.h"
#include "kern/vector_tile.h"

#include <string.h>

enum {
    WIDE_TILE = 16,                            /* rows of a tile                                      */
    WIDE_ROWS = 2 * WIDE_TILE,
    WIDE_PANELS = 2,
    WIDE_SLAB = 8,                             /* units: 67 KB of weights, and 65 KB of x for 32 rows */
    WIDE_LINES = TN_WIDE_BLOCK / 4,            /* of codes in a unit                                  */
    WIDE_BYTES = TN_LINE * (1 + WIDE_LINES),   /* of a unit                                           */
    WIDE_LEAST = 7                             /* rows: see wide_linear                               */
};

static inline bool wide_has(tn_dtype type)
{
    return type == TN_Q8_256 || type == TN_Q4_256;
}

/* The integer sums [2 tiles of rows, 2 panels] of a unit whose codes start at lines[panel]. `second`: for the second
 * tile of rows. */
TN_INLINE void wide_multiply(const unsigned char *const lines[WIDE_PANELS], const int8_t *x, const int8_t *second,
                             size_t stride, int32_t integers[2][WIDE_PANELS][WIDE_TILE * TN_PANEL])
{
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
    for (size_t k = 0; k < TN_WIDE_BLOCK; k += TN_UNIT) {
        TILE_LOAD(4, x + k, stride);
        TILE_LOAD(6, lines[0] + k / 4 * TN_LINE, TN_LINE);
        TILE_ADD_UNSIGNED(0, 4, 6);
        TILE_LOAD(7, lines[1] + k / 4 * TN_LINE, TN_LINE);
        TILE_ADD_UNSIGNED(1, 4, 7);
        TILE_LOAD(5, second + k, stride);
        TILE_ADD_UNSIGNED(2, 5, 6);
        TILE_ADD_UNSIGNED(3, 5, 7);
    }
    TILE_STORE(0, integers[0][0], TN_LINE);
    TILE_STORE(1, integers[0][1], TN_LINE);
    TILE_STORE(2, integers[1][0], TN_LINE);
    TILE_STORE(3, integers[1][1], TN_LINE);
}

/* sums [rows, 16] += scales of the block * its integer sums. */
TN_INLINE void wide_add(size_t rows, const int32_t *integers, const unsigned char *unit, const tn_wide_sums *x, size_t stride,
                        float *sums)
{
    const vec factors = vec_load_f32(unit);
    for (size_t i = 0; i < rows; i++) {
        vec value = vec_of_integers(integers + i * TN_PANEL, x[i * stride].start);
        float *sum = sums + i * TN_PANEL;
        vec_store(sum, vec_fma(vec_mul(factors, vec_set(x[i * stride].scale)), value, vec_load(sum)));
    }
}

/* Copies the sums of a tile from y to memory, or back. */
TN_INLINE void wide_sums_begin(const tn_tile *tile, size_t panel, float *sums)
{
    const size_t at = panel * TN_PANEL;
    for (size_t i = 0; i < tile->rows; i++)
        vec_store(sums + i * TN_PANEL, tile->first || tile->outputs <= at ? vec_set(0)
                                           : vec_load_part(tile->y + i * tile->ldy + at, tn_min(TN_PANEL, tile->outputs - at)));
}

TN_INLINE void wide_sums_finish(const tn_tile *tile, size_t panel, const float *sums)
{
    const size_t at = panel * TN_PANEL;
    for (size_t i = 0; i < tile->rows && tile->outputs > at; i++)
        vec_store_part(tile->y + i * tile->ldy + at, vec_load(sums + i * TN_PANEL), tn_min(TN_PANEL, tile->outputs - at));
}

/* Rows of the first of two tiles for `rows` rows; the second has equally many or one less. */
static inline size_t wide_first(size_t rows)
{
    return rows - rows / 2;
}

static void wide_tile(const tn_tile *tile)
{
    _Alignas(TN_LINE) int32_t integers[2][WIDE_PANELS][WIDE_TILE * TN_PANEL];
    _Alignas(TN_LINE) float sums[WIDE_PANELS][WIDE_ROWS * TN_PANEL];
    const size_t units = tile->all_units, stride = units * TN_WIDE_BLOCK, first = wide_first(tile->rows);
    const tn_wide_codes all = tn_wide_codes_at(tile->input, tile->m, units);
    const int8_t *codes = all.codes + tile->row * stride + tile->unit * TN_WIDE_BLOCK;
    const tn_wide_sums *x = all.sums + tile->row * units + tile->unit;
    const unsigned char *panels[WIDE_PANELS] = { panel_of(tile, 0), panel_of(tile, 1) };
    for (size_t p = 0; p < WIDE_PANELS; p++)
        wide_sums_begin(tile, p, sums[p]);
    for (size_t u = 0; u < tile->units; u++, x++, codes += TN_WIDE_BLOCK) {
        const unsigned char *const lines[WIDE_PANELS] = { panels[0] + TN_LINE, panels[1] + TN_LINE };
        wide_multiply(lines, codes, codes + first * stride, stride, integers);
        for (size_t p = 0; p < WIDE_PANELS; p++, panels[p - 1] += WIDE_BYTES) {
            wide_add(first, integers[0][p], panels[p], x, units, sums[p]);
            wide_add(tile->rows - first, integers[1][p], panels[p], x + first * units, units, sums[p] + first * TN_PANEL);
        }
    }
    for (size_t p = 0; p < WIDE_PANELS; p++)
        wide_sums_finish(tile, p, sums[p]);
}

static tn_tiling wide_tiling(tn_dtype type)
{
    return (tn_tiling){ .direct = type == TN_Q8_256 ? wide_tile : NULL, .relaid = wide_tile, .relay = WIDE_RELAY,
                        .relaid_bytes = WIDE_BYTES, .rows = WIDE_ROWS, .panels = WIDE_PANELS, .slab = WIDE_SLAB,
                        .unit = TN_WIDE_BLOCK };
}

/* All tiles have the shape of the largest run of rows; others have one row less. Such a tile reads a surplus line, from
 * the next row or, after the last row, from the records there (40 bytes per unit and row, so those of 7 rows fill a
 * line), and its sums are not used. */
static void wide_linear(const tn_matrix *w, size_t begin, size_t end, const void *input, size_t m, float *y, size_t ldy,
                        float *scratch)
{
    const tn_tiling tiling = wide_tiling(w->type);
    const size_t most = tn_pieces(m, tn_pieces(m, WIDE_ROWS));
    const uint8_t first = (uint8_t)wide_first(most), second = (uint8_t)(most - wide_first(most));
    const tn_tile_shapes shapes = { .palette = 1,
                                    .rows = { first, first, second, second, first, second, TN_LINE / 4, TN_LINE / 4 },
                                    .row_bytes = { TN_LINE, TN_LINE, TN_LINE, TN_LINE, TN_LINE, TN_LINE, TN_LINE, TN_LINE } };
    tile_configure(&shapes);
    tn_tiling_run(&tiling, w, begin, end, NULL, 0, input, m, false, y, ldy, scratch);
    tile_release();
}

#endif
