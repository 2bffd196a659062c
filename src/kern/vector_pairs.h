/* Products of x with BF16 weights in panels: a line holds two inputs of 16 outputs, widened in registers. An output is
 * one chain of fused additions over ascending inputs. Included by vector.h only. */
#ifndef TN_KERN_VECTOR_PAIRS_H
#define TN_KERN_VECTOR_PAIRS_H

enum { PAIRS_ROWS = 6, PAIRS_PANELS = PANEL_VECTORS * LANES / TN_PANEL, PAIRS_SLAB = 8, PAIRS_AHEAD = 6144 };

/* Multiplies one input, the even or the odd one of a line, for all rows and outputs. */
TN_INLINE void pairs_add(size_t rows, vec *sums, const unsigned char *const lines[], bool odd,
                         const float *x, size_t ldx)
{
    vec weights[PANEL_VECTORS];
    TN_UNROLL
    for (size_t v = 0; v < PANEL_VECTORS; v++)
        weights[v] = odd ? vec_load_odd_bf16(lines[v]) : vec_load_even_bf16(lines[v]);
    TN_UNROLL
    for (size_t i = 0; i < rows; i++) {
        vec value = vec_set(x[i * ldx]);
        TN_UNROLL
        for (size_t v = 0; v < PANEL_VECTORS; v++)
            sums[i * PANEL_VECTORS + v] = vec_fma(value, weights[v], sums[i * PANEL_VECTORS + v]);
    }
}

TN_INLINE void pairs_tile_of(size_t rows, const tn_tile *tile)
{
    size_t begin = tile->unit * TN_UNIT, count = tn_min(tile->units * TN_UNIT, tile->cols - begin);
    size_t ahead = tile->stream ? PAIRS_AHEAD : 0;
    const float *x = tile->x + tile->row * tile->ldx + begin;
    const unsigned char *lines[PANEL_VECTORS];
    vec sums[PAIRS_ROWS * PANEL_VECTORS];
    TN_UNROLL
    for (size_t v = 0; v < PANEL_VECTORS; v++)
        lines[v] = panel_of(tile, v) + v * LANES % TN_PANEL * 4;
    sums_begin(rows, PANEL_VECTORS, tile, sums);
    for (size_t k = 0; k < count; k += 2, x += 2) {
        TN_UNROLL
        for (size_t v = 0; v < PANEL_VECTORS; v++)
            __builtin_prefetch((const void *)((uintptr_t)lines[v] + ahead), 0, 2);
        pairs_add(rows, sums, lines, false, x, tile->ldx);
        if (k + 1 < count)
            pairs_add(rows, sums, lines, true, x + 1, tile->ldx);
        TN_UNROLL
        for (size_t v = 0; v < PANEL_VECTORS; v++)
            lines[v] += TN_LINE;
    }
    sums_finish(rows, PANEL_VECTORS, tile, sums);
}

static void pairs_tile(const tn_tile *tile)
{
    switch (tile->rows) {
    case 1: pairs_tile_of(1, tile); break;
    case 2: pairs_tile_of(2, tile); break;
    case 3: pairs_tile_of(3, tile); break;
    case 4: pairs_tile_of(4, tile); break;
    case 5: pairs_tile_of(5, tile); break;
    case 6: pairs_tile_of(6, tile); break;
    }
}

static const tn_tiling pairs_tiling = { .direct = pairs_tile, .relaid = pairs_tile, .relay = tn_relay_rows,
                                        .relaid_bytes = TN_LINE * TN_UNIT / 2, .rows = PAIRS_ROWS,
                                        .panels = PAIRS_PANELS, .slab = PAIRS_SLAB, .unit = TN_UNIT };

#endif
