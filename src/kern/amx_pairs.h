/* Products of BF16 pairs in tiles (AMX), with weights in panels: 16 lines of a panel, 32 inputs, are one tile.
 *
 * x is stored in the order in which its tiles are read. Rows are divided into tiles of the tiling, and these into parts
 * of at most 16 rows:
 *   up to 48 rows   one tile of up to 3 parts, which reads every weight once
 *   more rows       tiles of about 32 rows, two parts, by two panels, whose weights stay in the first-level cache
 * All parts are computed with the number of rows of the largest, `rows`, which is at most one more than they have, so
 * one configuration of the tiles serves a whole call. The surplus row is read from the same memory, and its results are
 * not stored.
 *
 * Requires the definitions of vector.h with 16 lanes, vec_store_bf16, those of amx_tile.h, and PAIRS_RELAY. */
#ifndef TN_KERN_AMX_PAIRS_H
#define TN_KERN_AMX_PAIRS_H

#include "base/checked.h"
#include "kern/vector_tile.h"

#include <string.h>

enum {
    PART_ROWS = 16,
    PAIRS_THIN = 48, PAIRS_WIDE = 32,                /* most rows of a tile                              */
    PAIRS_PANELS = 2,
    PAIRS_SLAB = 8,                                  /* units: two panels are 32 KB                      */
    PAIRS_UNIT = TN_UNIT * TN_PANEL * 2,             /* bytes                                            */
    PAIRS_STEP = PART_ROWS * TN_LINE,                /* bytes of a panel that are one tile: 32 inputs    */
    PAIRS_AHEAD = 4096                               /* bytes prefetched, per panel                      */
};

/* How m rows are divided: the first `larger` tiles have `least` + 1 rows, the others `least` (kern/tiling.c). */
typedef struct pairs_cut {
    size_t limit, least, larger, parts, rows;
} pairs_cut;

static inline pairs_cut pairs_cut_of(size_t m)
{
    size_t limit = m <= PAIRS_THIN ? PAIRS_THIN : PAIRS_WIDE, tiles = tn_pieces(m, limit), most = tn_pieces(m, tiles);
    size_t parts = tn_pieces(most, PART_ROWS);
    return (pairs_cut){ limit, m / tiles, m % tiles, parts, tn_pieces(most, parts) };
}

/* Bytes of the input: lines of 32 inputs, and one line that the last part may read. */
static inline size_t pairs_bytes(const tn_matrix *w, size_t m)
{
    return (m * tn_pieces(w->cols, TN_UNIT) * 2 + 1) * TN_LINE;
}

/* The start of row i, and in *step the distance in bytes to its next line. */
static size_t pairs_place(const pairs_cut *cut, size_t units, size_t i, size_t *step)
{
    size_t border = cut->larger * (cut->least + 1), rows = i < border ? cut->least + 1 : cut->least;
    size_t in = i < border ? i % rows : (i - border) % rows;
    *step = rows * TN_LINE;
    return (i - in) * units * 2 * TN_LINE + in * TN_LINE;
}

static void pairs_input(const tn_matrix *w, const float *x, size_t ldx, size_t begin, size_t end, size_t m, void *input)
{
    size_t units = tn_pieces(w->cols, TN_UNIT), step;
    const pairs_cut cut = pairs_cut_of(m);
    if (end == m)
        memset((unsigned char *)input + m * units * 2 * TN_LINE, 0, TN_LINE);
    for (size_t i = begin; i < end; i++) {
        unsigned char *to = (unsigned char *)input + pairs_place(&cut, units, i, &step);
        for (size_t k = 0; k < units * TN_UNIT; k += LANES) {
            size_t count = k < w->cols ? tn_min(LANES, w->cols - k) : 0;
            vec values = count == LANES ? vec_load(x + i * ldx + k)
                         : count > 0    ? vec_load_part(x + i * ldx + k, count)
                                        : vec_set(0);
            vec_store_bf16(to + k / LANES / 2 * step + k / LANES % 2 * (TN_LINE / 2), values);
        }
    }
}

/* ---------------------------------------------------------------- tiles -- */

/* A tile of the tiling with its parts: part p has rows begin[p] .. begin[p+1]-1, computed as `rows`. */
typedef struct pairs_view {
    const tn_tile *tile;
    size_t rows, begin[4];
    const unsigned char *x, *w[PAIRS_PANELS];
    float *spare; /* [16, 16]: for sums that y has no room for */
} pairs_view;

/* The address of the sums of part p and panel v, and the distance in bytes between their rows. */
static inline float *pairs_sums(const pairs_view *view, size_t p, size_t v, size_t *stride)
{
    const tn_tile *t = view->tile;
    bool whole = view->begin[p + 1] - view->begin[p] == view->rows && t->outputs >= (v + 1) * TN_PANEL;
    *stride = whole ? t->ldy * sizeof(float) : TN_LINE;
    return whole ? t->y + view->begin[p] * t->ldy + v * TN_PANEL : view->spare;
}

/* Copies the existing sums between y and `spare`. */
static void pairs_move(const pairs_view *view, size_t p, size_t v, bool out)
{
    const tn_tile *t = view->tile;
    size_t count = tn_min(TN_PANEL, t->outputs - v * TN_PANEL);
    for (size_t i = view->begin[p]; i < view->begin[p + 1]; i++) {
        float *y = t->y + i * t->ldy + v * TN_PANEL, *spare = view->spare + (i - view->begin[p]) * TN_PANEL;
        if (out)
            memcpy(y, spare, count * sizeof *y);
        else
            memcpy(spare, y, count * sizeof *y);
    }
}

#define PAIRS_BEGIN(number, p, v)                                 \
    do {                                                          \
        size_t stride;                                            \
        float *sums = pairs_sums(view, p, v, &stride);            \
        if (view->tile->first) {                                  \
            TILE_ZERO(number);                                    \
        } else {                                                  \
            if (sums == view->spare)                              \
                pairs_move(view, p, v, false);                    \
            TILE_LOAD(number, sums, stride);                      \
        }                                                         \
    } while (0)

#define PAIRS_FINISH(number, p, v)                                \
    do {                                                          \
        size_t stride;                                            \
        float *sums = pairs_sums(view, p, v, &stride);            \
        TILE_STORE(number, sums, stride);                         \
        if (sums == view->spare)                                  \
            pairs_move(view, p, v, true);                         \
    } while (0)

#define PAIRS_LOAD(once, number, from)                            \
    do {                                                          \
        if (once)                                                 \
            TILE_LOAD_ONCE(number, from, TN_LINE);                \
        else                                                      \
            TILE_LOAD(number, from, TN_LINE);                     \
    } while (0)

TN_INLINE void pairs_ask(const unsigned char *lines)
{
    for (size_t i = 0; i < PART_ROWS; i++)
        __builtin_prefetch((const void *)((uintptr_t)lines + PAIRS_AHEAD + i * TN_LINE), 0, 2);
}

/* Sums of part p and panel v are in tile 2p + v, x of part p in 4 + p, weights in 6 and 7. With three parts by one
 * panel, the third has its sums in 1 and its x in 3. `once`: the weights are read only for these rows; otherwise x is
 * read only for these panels. */
TN_INLINE void pairs_multiply(size_t parts, size_t panels, bool once, const pairs_view *view)
{
    const size_t step = view->tile->rows * TN_LINE;
    PAIRS_BEGIN(0, 0, 0);
    if (panels > 1) PAIRS_BEGIN(1, 0, 1);
    if (parts > 1) PAIRS_BEGIN(2, 1, 0);
    if (parts > 1 && panels > 1) PAIRS_BEGIN(3, 1, 1);
    if (parts > 2) PAIRS_BEGIN(1, 2, 0);
    for (size_t s = 0; s < view->tile->units * 2; s++) {
        const unsigned char *x = view->x + s * step, *first = view->w[0] + s * PAIRS_STEP;
        const unsigned char *second = view->w[1] + s * PAIRS_STEP;
        if (view->tile->stream) {
            pairs_ask(first);
            if (panels > 1) pairs_ask(second);
        }
        PAIRS_LOAD(!once, 4, x);
        PAIRS_LOAD(once, 6, first);
        TILE_ADD_BF16(0, 4, 6);
        if (panels > 1) {
            PAIRS_LOAD(once, 7, second);
            TILE_ADD_BF16(1, 4, 7);
        }
        if (parts > 1) {
            PAIRS_LOAD(!once, 5, x + view->begin[1] * TN_LINE);
            TILE_ADD_BF16(2, 5, 6);
        }
        if (parts > 1 && panels > 1)
            TILE_ADD_BF16(3, 5, 7);
        if (parts > 2) {
            PAIRS_LOAD(!once, 3, x + view->begin[2] * TN_LINE);
            TILE_ADD_BF16(1, 3, 6);
        }
    }
    PAIRS_FINISH(0, 0, 0);
    if (panels > 1) PAIRS_FINISH(1, 0, 1);
    if (parts > 1) PAIRS_FINISH(2, 1, 0);
    if (parts > 1 && panels > 1) PAIRS_FINISH(3, 1, 1);
    if (parts > 2) PAIRS_FINISH(1, 2, 0);
}

/* Three parts by one panel and then by the other. */
static void pairs_three(const pairs_view *both)
{
    for (size_t v = 0; v * TN_PANEL < both->tile->outputs; v++) {
        tn_tile tile = *both->tile;
        pairs_view view = *both;
        tile.outputs = tn_min(TN_PANEL, tile.outputs - v * TN_PANEL);
        tile.y += v * TN_PANEL;
        view.tile = &tile;
        view.w[0] = both->w[v];
        pairs_multiply(3, 1, true, &view);
    }
}

static void pairs_tile(const tn_tile *tile)
{
    _Alignas(TN_LINE) float spare[PART_ROWS * TN_PANEL] = { 0 };
    const pairs_cut cut = pairs_cut_of(tile->m);
    bool two = tile->outputs > TN_PANEL, once = tile->m <= PAIRS_THIN;
    pairs_view view = { .tile = tile, .rows = cut.rows, .spare = spare };
    for (size_t p = 0; p < cut.parts; p++)
        view.begin[p + 1] = view.begin[p] + tn_pieces(tile->rows - view.begin[p], cut.parts - p);
    view.x = (const unsigned char *)tile->input +
             (tile->row * tile->all_units + tile->unit * tile->rows) * 2 * TN_LINE;
    for (size_t v = 0; v < PAIRS_PANELS; v++)
        view.w[v] = panel_of(tile, v);
    if (cut.parts == 3)
        pairs_three(&view);
    else if (cut.parts == 2 && once)
        two ? pairs_multiply(2, 2, true, &view) : pairs_multiply(2, 1, true, &view);
    else if (cut.parts == 2)
        two ? pairs_multiply(2, 2, false, &view) : pairs_multiply(2, 1, false, &view);
    else
        two ? pairs_multiply(1, 2, true, &view) : pairs_multiply(1, 1, true, &view);
}

static const tn_tiling pairs_thin = { .direct = pairs_tile, .relaid = pairs_tile, .relay = PAIRS_RELAY,
                                      .relaid_bytes = PAIRS_UNIT, .rows = PAIRS_THIN, .panels = PAIRS_PANELS,
                                      .slab = PAIRS_SLAB, .unit = TN_UNIT };
static const tn_tiling pairs_wide = { .direct = pairs_tile, .relaid = pairs_tile, .relay = PAIRS_RELAY,
                                      .relaid_bytes = PAIRS_UNIT, .rows = PAIRS_WIDE, .panels = PAIRS_PANELS,
                                      .slab = PAIRS_SLAB, .unit = TN_UNIT };

static void pairs_linear(const tn_matrix *w, size_t begin, size_t end, const void *input, size_t m, float *y, size_t ldy,
                         float *scratch)
{
    const pairs_cut cut = pairs_cut_of(m);
    tn_tile_shapes shapes = { .palette = 1 };
    for (size_t t = 0; t < 8; t++) {
        shapes.row_bytes[t] = TN_LINE;
        shapes.rows[t] = (uint8_t)(t < 6 ? cut.rows : PART_ROWS);
    }
    tile_configure(&shapes);
    tn_tiling_run(m <= PAIRS_THIN ? &pairs_thin : &pairs_wide, w, begin, end, NULL, 0, input, m, false, y, ldy, scratch);
    tile_release();
}

#endif
