/* What the products of BF16 pairs in 512 bits share: the tile, and the conversion of rows to lines of pairs. */
#ifndef TN_KERN_AVX512BF16_H
#define TN_KERN_AVX512BF16_H

#include "kern/avx512_vec.h"
#include "kern/sets.h"
#include "kern/vector_tile.h"

/* Tiles of 6 rows x 4 panels: 24 sums, 4 weights, 1 x. */
enum { TN_BF16_ROWS = 6, TN_BF16_PANELS = 4, TN_BF16_SLAB = 32, TN_BF16_UNIT = TN_UNIT * TN_PANEL * 2 };

/* Rows of BF16 x in tile->input, panels of BF16. */
void tn_avx512bf16_tile(const tn_tile *tile);

/* Rows of BF16 as panels. */
void tn_avx512bf16_relay(const tn_matrix *w, size_t panel, size_t unit, size_t units, unsigned char *to);

extern const tn_narrow tn_avx512bf16_narrow;

/* The gradients (avx512bf16_back.c) with a tile of one's own: its copies; what puts weights into the panels that it reads, those in
 * rows and those in panels; and the two products, as in tn_narrow, with a tiling for either order of the weights. A tile may read
 * TN_BF16_SURPLUS rows after its last one. */
enum { TN_BF16_SURPLUS = 15 };
#define TN_BF16_TURNED(tile, relay_, rows_, panels_, slab_)                                                         \
    { .direct = (tile), .relaid = (tile), .relay = (relay_), .relaid_bytes = TN_BF16_UNIT, .rows = (rows_), .panels = (panels_), \
      .slab = (slab_), .unit = TN_UNIT }

size_t tn_avx512bf16_back_bytes(const tn_backward *b);
void tn_avx512bf16_back_input(const tn_backward *b, const float *dy, size_t lddy, const float *x, size_t ldx, size_t begin, size_t end);
void tn_avx512bf16_relay_turned_rows(const tn_matrix *w, size_t panel, size_t unit, size_t units, unsigned char *to);
void tn_avx512bf16_relay_turned_panels(const tn_matrix *w, size_t panel, size_t unit, size_t units, unsigned char *to);
void tn_avx512bf16_back_dx(const tn_tiling *rows, const tn_tiling *panels, const tn_backward *b, size_t begin, size_t end, float *dx,
                           size_t lddx, float *scratch);
void tn_avx512bf16_back_dw(const tn_tiling *rows, const tn_backward *b, size_t begin, size_t end, float *dw, float *scratch);

/* lines[n][p] -> lines[p][n] for 16 x 16 pairs. */
static inline void tn_transpose_pairs(__m512i lines[16])
{
    __m512i t[16];
    TN_UNROLL
    for (size_t i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(lines[i], lines[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(lines[i], lines[i + 1]);
    }
    TN_UNROLL
    for (size_t i = 0; i < 16; i += 4)
        for (size_t j = 0; j < 2; j++) {
            lines[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + j + 2]);
            lines[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + j + 2]);
        }
    TN_UNROLL
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 2; j++) {
            t[8 * j + i] = _mm512_shuffle_i32x4(lines[8 * j + i], lines[8 * j + i + 4], 0x88);
            t[8 * j + i + 4] = _mm512_shuffle_i32x4(lines[8 * j + i], lines[8 * j + i + 4], 0xDD);
        }
    TN_UNROLL
    for (size_t i = 0; i < 8; i++) {
        lines[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        lines[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xDD);
    }
}

#endif
