/* The tile of the gradients of BF16 products (avx512bf16_back.c) in tile instructions (AMX): up to 32 rows, two parts of 16, by two
 * panels. x is in rows: dy or its transpose. All tiles have 16 rows; those in excess of the tile's are read from the memory after
 * it, and their sums are not stored.
 *
 * Requires amx_pairs.h, whose sums it shares. */
#ifndef TN_KERN_AMX_BACK_H
#define TN_KERN_AMX_BACK_H

#include "kern/amx_pairs.h"

enum { BACK_SLAB = 16 }; /* units: two panels are 64 KB */

TN_INLINE void back_multiply(size_t parts, size_t panels, const pairs_view *view)
{
    const size_t row_bytes = view->tile->all_units * TN_UNIT * 2;
    PAIRS_BEGIN(0, 0, 0);
    if (panels > 1) PAIRS_BEGIN(1, 0, 1);
    if (parts > 1) PAIRS_BEGIN(2, 1, 0);
    if (parts > 1 && panels > 1) PAIRS_BEGIN(3, 1, 1);
    for (size_t s = 0; s < view->tile->units * 2; s++) {
        const unsigned char *x = view->x + s * TN_LINE;
        TILE_LOAD(4, x, row_bytes);
        TILE_LOAD(6, view->w[0] + s * PAIRS_STEP, TN_LINE);
        TILE_ADD_BF16(0, 4, 6);
        if (panels > 1) {
            TILE_LOAD(7, view->w[1] + s * PAIRS_STEP, TN_LINE);
            TILE_ADD_BF16(1, 4, 7);
        }
        if (parts > 1) {
            TILE_LOAD(5, x + PART_ROWS * row_bytes, row_bytes);
            TILE_ADD_BF16(2, 5, 6);
        }
        if (parts > 1 && panels > 1)
            TILE_ADD_BF16(3, 5, 7);
    }
    PAIRS_FINISH(0, 0, 0);
    if (panels > 1) PAIRS_FINISH(1, 0, 1);
    if (parts > 1) PAIRS_FINISH(2, 1, 0);
    if (parts > 1 && panels > 1) PAIRS_FINISH(3, 1, 1);
}

static void back_tile(const tn_tile *tile)
{
    _Alignas(TN_LINE) float spare[PART_ROWS * TN_PANEL] = { 0 };
    const size_t stride = tile->all_units * TN_UNIT * 2;
    pairs_view view = { .tile = tile, .rows = PART_ROWS, .spare = spare };
    bool two = tile->outputs > TN_PANEL, both = tile->rows > PART_ROWS;
    view.begin[1] = tn_min(PART_ROWS, tile->rows);
    view.begin[2] = tile->rows;
    view.x = (const unsigned char *)tile->input + tile->row * stride + tile->unit * TN_UNIT * 2;
    for (size_t v = 0; v < PAIRS_PANELS; v++)
        view.w[v] = panel_of(tile, v);
    if (both)
        two ? back_multiply(2, 2, &view) : back_multiply(2, 1, &view);
    else
        two ? back_multiply(1, 2, &view) : back_multiply(1, 1, &view);
}

/* Tiles of 16 rows, until tile_release. */
static inline void back_configure(void)
{
    tn_tile_shapes shapes = { .palette = 1 };
    for (size_t t = 0; t < 8; t++) {
        shapes.row_bytes[t] = TN_LINE;
        shapes.rows[t] = PART_ROWS;
    }
    tile_configure(&shapes);
}

#endif
