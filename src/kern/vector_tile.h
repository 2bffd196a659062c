/* The sums of a tile (kern/tiling.h) in registers: `rows` by `vectors` of outputs, the sum of row i and vector v at i *
 * vectors + v. Requires the definitions of vector.h. */
#ifndef TN_KERN_VECTOR_TILE_H
#define TN_KERN_VECTOR_TILE_H

#include "kern/tiling.h"

/* Loops over a tile have constant bounds after inlining. Unrolled, they keep sums in registers; if gcc leaves a single
 * loop, all sums go through memory. clang unrolls them without a request, and worse with one. */
#define TN_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define TN_UNROLL
#else
#define TN_UNROLL _Pragma("GCC unroll 8")
#endif

/* Number of independent sums that hides the latency of a product in registers: 4 or 5 cycles, 2 per cycle. */
enum { SPIN_CHAINS = 12 };
#if defined(__clang__)
#define TN_SPIN_UNROLL
#else
#define TN_SPIN_UNROLL _Pragma("GCC unroll 12")
#endif

/* Loads the sums so far from y, or zeros. */
TN_INLINE void sums_begin(size_t rows, size_t vectors, const tn_tile *tile, vec *sums)
{
    TN_UNROLL
    for (size_t i = 0; i < rows; i++)
        TN_UNROLL
        for (size_t v = 0; v < vectors; v++) {
            const float *y = tile->y + i * tile->ldy + v * LANES;
            sums[i * vectors + v] = vec_set(0);
            if (!tile->first && tile->outputs >= (v + 1) * LANES)
                sums[i * vectors + v] = vec_load(y);
            else if (!tile->first && tile->outputs > v * LANES)
                sums[i * vectors + v] = vec_load_part(y, tile->outputs - v * LANES);
        }
}

/* Stores the existing outputs. */
TN_INLINE void sums_finish(size_t rows, size_t vectors, const tn_tile *tile, const vec *sums)
{
    TN_UNROLL
    for (size_t i = 0; i < rows; i++)
        TN_UNROLL
        for (size_t v = 0; v < vectors; v++) {
            float *y = tile->y + i * tile->ldy + v * LANES;
            if (tile->outputs >= (v + 1) * LANES)
                vec_store(y, sums[i * vectors + v]);
            else if (tile->outputs > v * LANES)
                vec_store_part(y, sums[i * vectors + v], tile->outputs - v * LANES);
        }
}

/* The start of the lines of vector v in the first unit of a tile. After the end it is the last panel again, whose sums
 * are not stored. */
TN_INLINE const unsigned char *panel_of(const tn_tile *tile, size_t v)
{
    size_t panel = v * LANES / TN_PANEL, last = (tile->outputs - 1) / TN_PANEL;
    return tile->panels + (panel < last ? panel : last) * tile->stride;
}

#endif
