/* The AVX-512 set with tiles (AMX): products of BF16 pairs and of bytes in blocks of 16 rows by 16 outputs.
 * docs/speed.md, entry 8, has what was measured; counts of instructions and cycles in amx_codes.h and amx_wide.h are not.
 *
 * BF16 weights take this path for any number of rows, because its order of summation differs from that of the other
 * sets: see TILE_ADD_BF16. */
#include "kern/amx_tile.h"
#include "kern/avx512bf16.h"

#define PAIRS_RELAY tn_avx512bf16_relay
#define WIDE_RELAY tn_avx512vnni_codes_relay_wide

/* 16 numbers as BF16, rounded to nearest. */
static inline void vec_store_bf16(unsigned char *to, vec a)
{
    __m256bh narrow = _mm512_cvtneps_pbh(a);
    __builtin_memcpy(to, &narrow, sizeof narrow);
}

static inline vec vec_of_integers(const int32_t *from, int32_t start)
{
    return _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_load_si512((const void *)from), _mm512_set1_epi32(start)));
}

/* Converts a line of codes + 128 to codes. */
static inline void codes_flip(const unsigned char *from, unsigned char *to)
{
    const __m512i sign = _mm512_set1_epi8(-128);
    _mm512_store_si512((void *)to, _mm512_xor_si512(_mm512_loadu_si512((const void *)from), sign));
}

/* The values of the lower and of the upper halves of a line. */
static inline void codes_look_up(const unsigned char *from, const int8_t *table, unsigned char *low, unsigned char *high)
{
    const __m512i values = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)table));
    const __m512i half = _mm512_set1_epi8(15), line = _mm512_loadu_si512((const void *)from);
    _mm512_store_si512((void *)low, _mm512_shuffle_epi8(values, _mm512_and_si512(line, half)));
    _mm512_store_si512((void *)high, _mm512_shuffle_epi8(values, _mm512_and_si512(_mm512_srli_epi16(line, 4), half)));
}

#include "kern/amx_codes.h"
#include "kern/amx_back.h"
#include "kern/amx_wide.h"

/* Smallest number of rows for which quantised weights use tiles. Fewer rows, one tile of the set without AMX, are
 * limited by reading. */
enum { LEAST_ROWS = 7 };
_Static_assert((int)LEAST_ROWS >= (int)CODES_LEAST && (int)LEAST_ROWS >= (int)WIDE_LEAST, "tiles need that many rows");

size_t tn_amx_linear_scratch(const tn_matrix *w, size_t m)
{
    const tn_tiling codes = codes_tiling(w->type, m), wide = wide_tiling(w->type);
    size_t tiles = tn_max(tn_tiling_scratch(&codes), tn_tiling_scratch(&wide));
    return tn_max(tn_max(tn_tiling_scratch(&pairs_wide), tiles), tn_avx512bf16_linear_scratch(w, m));
}

size_t tn_amx_input_bytes(const tn_matrix *w, size_t m)
{
    return w->type == TN_BF16 ? pairs_bytes(w, m) : tn_avx512vnni_input_bytes(w, m);
}

void tn_amx_input(const tn_matrix *w, const tn_real *x, size_t ldx, size_t begin, size_t end, size_t m, void *input)
{
    if (w->type == TN_BF16)
        pairs_input(w, x, ldx, begin, end, m, input);
    else
        tn_avx512vnni_input(w, x, ldx, begin, end, m, input);
}

void tn_amx_linear(const tn_matrix *w, size_t begin, size_t end, const tn_real *x, size_t ldx, const void *input,
                   size_t m, tn_real *y, size_t ldy, tn_real *scratch)
{
    if (w->type == TN_BF16)
        pairs_linear(w, begin, end, input, m, y, ldy, scratch);
    else if (codes_has(w->type) && m >= LEAST_ROWS)
        codes_linear(w, begin, end, input, m, y, ldy, scratch);
    else if (wide_has(w->type) && m >= LEAST_ROWS)
        wide_linear(w, begin, end, input, m, y, ldy, scratch);
    else
        tn_avx512vnni_linear(w, begin, end, x, ldx, input, m, y, ldy, scratch);
}

/* ------------------------------------------------------------ gradients -- */

static const tn_tiling turned_rows = TN_BF16_TURNED(back_tile, tn_avx512bf16_relay_turned_rows, PAIRS_WIDE, PAIRS_PANELS, BACK_SLAB);
static const tn_tiling turned_panels = TN_BF16_TURNED(back_tile, tn_avx512bf16_relay_turned_panels, PAIRS_WIDE, PAIRS_PANELS, BACK_SLAB);
_Static_assert((int)TN_BF16_SURPLUS >= (int)PART_ROWS - 1, "a tile reads that many rows in excess");

static void amx_dx(const tn_backward *b, size_t begin, size_t end, float *dx, size_t lddx, float *scratch)
{
    back_configure();
    tn_avx512bf16_back_dx(&turned_rows, &turned_panels, b, begin, end, dx, lddx, scratch);
    tile_release();
}

static void amx_dw(const tn_backward *b, size_t begin, size_t end, float *dw, float *scratch)
{
    back_configure();
    tn_avx512bf16_back_dw(&turned_rows, b, begin, end, dw, scratch);
    tile_release();
}

static const tn_narrow amx_narrow = { tn_avx512bf16_back_bytes, tn_avx512bf16_back_input, amx_dx, amx_dw };

const tn_kernels tn_amx_kernels = {
    .name = "amx",
    .linear_chunk = TN_CHUNK,
    .linear_scratch = tn_amx_linear_scratch,
    .input_bytes = tn_amx_input_bytes,
    .input = tn_amx_input,
    .linear = tn_amx_linear,
    .linear_dx = tn_avx512_linear_dx,
    .linear_dw = tn_avx512_linear_dw,
    .narrow = &amx_narrow,
    TN_VECTOR_ENTRIES(avx512),
};
