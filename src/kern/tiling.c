#include "kern/tiling.h"

#include "base/checked.h"

enum { LINE_REALS = TN_LINE / sizeof(float), LINE_INPUTS = 4 /* of 8-bit codes */ };

size_t tn_tiling_scratch(const tn_tiling *tiling)
{
    return tiling->panels * tiling->slab * tiling->relaid_bytes / sizeof(float) + LINE_REALS;
}

/* All rows of x by the panels of a tile, in tiles of about equal size. */
static void run_rows(const tn_tiling *tiling, tn_tile_fn *run, bool stream, size_t soon_step, tn_tile *tile, float *y)
{
    size_t tiles = tn_pieces(tile->m, tiling->rows);
    for (tile->row = 0; tiles > 0; tile->row += tile->rows, tiles--) {
        tile->stream = stream && tile->row == 0;
        tile->soon_step = tile->row > 0 && tile->row <= tiling->rows ? soon_step : 0;
        tile->rows = tn_pieces(tile->m - tile->row, tiles);
        tile->y = y + tile->row * tile->ldy;
        run(tile);
    }
}

/* The panels from output n on, over one slab. Panels that have to be repacked are fetched from memory while the second
 * tile of rows of the previous panels runs. For panels that are read unchanged, the processor's own prefetcher is
 * sufficient. */
static void run_slab(const tn_tiling *tiling, const tn_matrix *w, size_t n, bool relaid, tn_tile *tile, float *y,
                     unsigned char *scratch)
{
    size_t unit_bytes = tn_unit_bytes(w->type), panel_bytes = tn_panel_bytes(w->type, w->cols), soon_step = 0;
    if (!relaid) {
        tile->stride = panel_bytes;
        tile->panels = (const unsigned char *)w->data + n / TN_PANEL * panel_bytes + tile->unit * unit_bytes;
        run_rows(tiling, tiling->direct, true, 0, tile, y);
        return;
    }
    size_t next = n + tiling->panels * TN_PANEL;
    if (w->order == TN_PANELS && next + tiling->panels * TN_PANEL <= w->rows) {
        tile->soon = (const unsigned char *)w->data + next / TN_PANEL * panel_bytes + tile->unit * unit_bytes;
        tile->soon_stride = panel_bytes;
        soon_step = unit_bytes * LINE_INPUTS / tiling->unit;
    }
    tile->stride = tile->units * tiling->relaid_bytes;
    tile->panels = scratch;
    for (size_t p = 0; p < tn_pieces(tile->outputs, TN_PANEL); p++)
        tiling->relay(w, n / TN_PANEL + p, tile->unit, tile->units, scratch + p * tile->stride);
    run_rows(tiling, tiling->relaid, false, soon_step, tile, y);
}

void tn_tiling_run(const tn_tiling *tiling, const tn_matrix *w, size_t begin, size_t end, const float *x, size_t ldx,
                   const void *input, size_t m, bool adds, float *y, size_t ldy, float *scratch)
{
    uintptr_t place = ((uintptr_t)scratch + TN_LINE - 1) / TN_LINE * TN_LINE;
    bool few = m <= tiling->rows, relaid = w->order == TN_ROWS || tiling->direct == NULL || (tiling->widens && !few);
    size_t units = tn_pieces(w->cols, tiling->unit), slab = few && !relaid ? units : tiling->slab;
    size_t width = (m <= tiling->thin_rows && !relaid ? tiling->thin_panels : tiling->panels) * TN_PANEL;
    tn_tile tile = { .x = x, .ldx = ldx, .input = input, .m = m, .all_units = units, .cols = w->cols, .ldy = ldy };
    for (size_t n = begin; n < end; n += width * (few ? 1 : tn_pieces(end - begin, width)))
        for (tile.unit = 0; tile.unit < units; tile.unit += slab) {
            tile.units = tn_min(slab, units - tile.unit);
            tile.first = tile.unit == 0 && !adds;
            for (size_t at = n; at < tn_min(end, few ? n + width : end); at += width) {
                tile.outputs = tn_min(width, end - at);
                run_slab(tiling, w, at, relaid, &tile, y + at, (unsigned char *)place);
            }
        }
}

void tn_relay_rows(const tn_matrix *w, size_t panel, size_t unit, size_t units, unsigned char *to)
{
    size_t row_bytes = tn_dtype_row_bytes(w->type, w->cols), row = panel * TN_PANEL;
    size_t inputs = tn_unit_inputs(w->type), begin = unit * inputs;
    const unsigned char *rows = (const unsigned char *)w->data + row * row_bytes + tn_dtype_row_bytes(w->type, begin);
    size_t cols = tn_min(units * inputs, w->cols - begin);
    tn_panel_pack(w->type, rows, row_bytes, tn_min(TN_PANEL, w->rows - row), cols, to);
}
