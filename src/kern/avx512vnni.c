/* The AVX-512 set with its byte products (AVX512_VNNI) for quantised weights. */
#include "kern/avx512_vec.h"
#include "kern/sets.h"

#include <math.h>

#define TN_KERNEL(entry) tn_avx512vnni_##entry

/* Tiles of 6 rows x 2 vectors: 12 sums, 12 integer sums, 2 weights, 1 x, 3 of scales. Codes are unsigned and x is
 * signed, as the instruction requires. */
typedef __m512i ivec;

enum { CODES_ROWS = 6, CODES_THIN = 3 };
#define CODES_CASES(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)

static inline ivec ivec_set(int32_t a) { return _mm512_set1_epi32(a); }
static inline vec ivec_to_vec(ivec a) { return _mm512_cvtepi32_ps(a); }
static inline ivec ivec_load(const unsigned char *from) { return _mm512_loadu_si512((const void *)from); }
static inline void ivec_store_bytes(unsigned char *to, ivec a) { _mm512_storeu_si512((void *)to, a); }

static inline ivec ivec_start(int32_t start, int offset)
{
    (void)offset;
    return ivec_set(start);
}

static inline ivec ivec_codes(const unsigned char *from, int offset)
{
    (void)offset;
    return ivec_load(from);
}

/* The 16 entries of a codebook, in every quarter. */
static inline ivec ivec_table_bytes(const unsigned char *codebook)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)codebook));
}

static inline ivec ivec_table(const unsigned char *codebook, int offset)
{
    (void)offset;
    return codebook == NULL ? ivec_set(0) : ivec_table_bytes(codebook);
}

/* The 4 bits of each byte from bit `shift` on; looked up in a table unless they are the codes themselves. */
static inline ivec ivec_halves(const unsigned char *from, int shift)
{
    return _mm512_and_si512(_mm512_srli_epi16(ivec_load(from), (unsigned)shift), _mm512_set1_epi8(15));
}

static inline ivec ivec_bytes(const unsigned char *from, int shift, ivec table)
{
    return _mm512_shuffle_epi8(table, ivec_halves(from, shift));
}

static inline ivec ivec_nibbles(const unsigned char *from, int shift, ivec table, int offset)
{
    return offset == 8 ? ivec_halves(from, shift) : ivec_bytes(from, shift, table);
}

static inline ivec ivec_dot(ivec sum, ivec weights, ivec x, int offset)
{
    (void)offset;
    return _mm512_dpbusd_epi32(sum, weights, x);
}

/* Rounds to LANES integers of -128 .. 127, stores them as bytes and returns them. */
static inline ivec vec_to_bytes(vec a, int8_t *to)
{
    ivec wide = _mm512_cvtps_epi32(a);
    _mm_storeu_si128((__m128i *)(void *)to, _mm512_cvtepi32_epi8(wide));
    return wide;
}

static inline ivec ivec_add(ivec a, ivec b) { return _mm512_add_epi32(a, b); }
static inline ivec ivec_mul(ivec a, ivec b) { return _mm512_mullo_epi32(a, b); }

/* Removes the signed number in the lowest four bits of each lane and returns it. */
static inline ivec ivec_factor(ivec *words)
{
    ivec factor = _mm512_srai_epi32(_mm512_slli_epi32(*words, 28), 28);
    *words = _mm512_srli_epi32(*words, 4);
    return factor;
}

/* Signed bytes times the factor of their lane, plus 128. The lower byte of a 16-bit product depends only on the lower
 * bytes of its factors: the product of even bytes uses all 16 bits, that of odd bytes the upper half. */
static inline ivec ivec_times(ivec bytes, ivec factor)
{
    const __m512i lower = _mm512_set1_epi16(0xFF);
    const __m512i both = _mm512_mask_blend_epi16(0xAAAAAAAAu, factor, _mm512_slli_epi32(factor, 16));
    __m512i even = _mm512_mullo_epi16(bytes, both), odd = _mm512_mullo_epi16(_mm512_andnot_si512(lower, bytes), both);
    return _mm512_xor_si512(_mm512_ternarylogic_epi32(lower, even, odd, 0xCA), _mm512_set1_epi8(-128));
}
static inline int32_t ivec_sum(ivec a) { return _mm512_reduce_add_epi32(a); }

/* The largest lane; NaN if there is one. */
static inline float vec_largest(vec a)
{
    return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q) ? NAN : _mm512_reduce_max_ps(a);
}

#include "kern/vector_codes.h"

size_t tn_avx512vnni_linear_scratch(const tn_matrix *w, size_t m)
{
    const tn_tiling *tiling = tn_avx512vnni_codes_tiling(w->type);
    size_t other = tn_avx512_linear_scratch(w, m), own = tiling ? tn_tiling_scratch(tiling) : 0;
    return own > other ? own : other;
}

size_t tn_avx512vnni_input_bytes(const tn_matrix *w, size_t m) { return tn_avx512_input_bytes(w, m); }

void tn_avx512vnni_input(const tn_matrix *w, const float *x, size_t ldx, size_t begin, size_t end, size_t m,
                         void *input)
{
    tn_avx512vnni_codes_input(w, x, ldx, begin, end, m, input);
}

void tn_avx512vnni_linear(const tn_matrix *w, size_t begin, size_t end, const float *x, size_t ldx,
                          const void *input, size_t m, float *y, size_t ldy, float *scratch)
{
    const tn_tiling *tiling = tn_avx512vnni_codes_tiling(w->type);
    if (tiling != NULL)
        tn_tiling_run(tiling, w, begin, end, x, ldx, input, m, false, y, ldy, scratch);
    else
        tn_avx512_linear(w, begin, end, x, ldx, input, m, y, ldy, scratch);
}

double tn_avx512vnni_spin(tn_dtype type, size_t turns, float *sink)
{
    return tn_avx512vnni_codes_tiling(type) ? tn_avx512vnni_codes_spin(turns, sink) : tn_avx512_spin(type, turns, sink);
}

const tn_kernels tn_avx512vnni_kernels = {
    .name = "avx512vnni",
    .linear_chunk = TN_CHUNK,
    .linear_scratch = tn_avx512vnni_linear_scratch,
    .input_bytes = tn_avx512vnni_input_bytes,
    .input = tn_avx512vnni_input,
    .linear = tn_avx512vnni_linear,
    .linear_dx = tn_avx512_linear_dx,
    .linear_dw = tn_avx512_linear_dw,
    .spin = tn_avx512vnni_spin,
    TN_VECTOR_ENTRIES(avx512),
};
