/* The set for AVX2 with FMA and F16C. */
#include "kern/sets.h"

#include <immintrin.h>
#include <math.h>
#include <stdint.h>

#define TN_KERNEL(entry) tn_avx2_##entry
#define TN_KERNEL_TABLE tn_avx2_kernels
#define TN_KERNEL_NAME "avx2"
#define TN_CODES(entry) tn_avx2_codes_##entry

typedef __m256 vec;

/* Register tiles. linear: 3 rows x 4 outputs, so 12 of the 16 registers are sums, 3 hold x, 1 holds w. multiply: 6 rows
 * x 2 vectors, so 12 are sums, 2 hold b, 1 holds a. */
enum { LANES = 8, TILE_ROWS = 3, PANEL_VECTORS = 2, WIDEN_ROWS = 12 };
#define TN_TILE_CASES(CASE) CASE(1) CASE(2) CASE(3)

static inline vec vec_set(float a) { return _mm256_set1_ps(a); }
static inline vec vec_load(const float *from) { return _mm256_loadu_ps(from); }
static inline void vec_store(float *to, vec a) { _mm256_storeu_ps(to, a); }
static inline vec vec_add(vec a, vec b) { return _mm256_add_ps(a, b); }
static inline vec vec_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
static inline vec vec_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
static inline vec vec_div(vec a, vec b) { return _mm256_div_ps(a, b); }
static inline vec vec_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
static inline vec vec_round(vec a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

/* If b is NaN, both return b, like the instructions. */
static inline vec vec_max(vec a, vec b) { return _mm256_max_ps(a, b); }
static inline vec vec_min(vec a, vec b) { return _mm256_min_ps(a, b); }

/* The larger value; NaN if either is NaN. */
static inline vec vec_max_nan(vec a, vec b)
{
    return _mm256_blendv_ps(_mm256_max_ps(a, b), a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}

/* All bits of the first `count` (1 .. LANES) lanes. */
static inline __m256i first_lanes(size_t count)
{
    const __m256i lane = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lane);
}

/* Loads the first `count` values, the rest as 0; stores only the first `count`. */
static inline vec vec_load_part(const float *from, size_t count)
{
    return _mm256_maskload_ps(from, first_lanes(count));
}

static inline void vec_store_part(float *to, vec a, size_t count)
{
    _mm256_maskstore_ps(to, first_lanes(count), a);
}

/* LANES packed weights of any alignment. */
static inline vec vec_load_f16(const unsigned char *from)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)from));
}

static inline vec vec_load_bf16(const unsigned char *from)
{
    __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)from));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
}

static inline vec vec_load_f32(const unsigned char *from)
{
    return _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)(const void *)from));
}

/* 2^n for integers n of -126 .. 127, constructed from its exponent. */
static inline vec power_of_two(vec n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtps_epi32(_mm256_add_ps(n, vec_set(127))), 23));
}

/* a 2^n for integers n of -250 .. 250 in two steps, of which only the second can round. */
static inline vec vec_scale(vec a, vec n)
{
    vec half = vec_round(vec_mul(n, vec_set(0.5f)));
    return vec_mul(vec_mul(a, power_of_two(half)), power_of_two(vec_sub(n, half)));
}

/* out[i] = sum of the lanes of a[i]: halves, pairs, neighbours. */
static inline void vec_sum4(const vec a[4], float out[4])
{
    vec ab = _mm256_add_ps(_mm256_permute2f128_ps(a[0], a[1], 0x20), _mm256_permute2f128_ps(a[0], a[1], 0x31));
    vec cd = _mm256_add_ps(_mm256_permute2f128_ps(a[2], a[3], 0x20), _mm256_permute2f128_ps(a[2], a[3], 0x31));
    vec acbd = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xEE));
    acbd = _mm256_add_ps(acbd, _mm256_permute_ps(acbd, 0xB1));
    _mm_storeu_ps(out, _mm_blend_ps(_mm256_castps256_ps128(acbd), _mm256_extractf128_ps(acbd, 1), 0xA));
}

/* The even and the odd BF16 numbers of LANES pairs. */
static inline vec vec_load_even_bf16(const unsigned char *from)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256((const __m256i *)(const void *)from), 16));
}

static inline vec vec_load_odd_bf16(const unsigned char *from)
{
    const __m256i upper = _mm256_set1_epi32((int32_t)0xFFFF0000);
    return _mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256((const __m256i *)(const void *)from), upper));
}

/* --------------------------------------------------- for vector_codes.h -- */

/* Two 8-bit products are added in 16 bits, which can hold 2 * 128 * 127 but not 2 * 255 * 127. Codes with an offset of
 * 128 are therefore multiplied as signed numbers, by magnitude and sign. Codes of 4 bits are at most 15. */
typedef __m256i ivec;

enum { CODES_ROWS = 2, CODES_THIN = 1 };
#define CODES_CASES(CASE) CASE(1) CASE(2)

static inline vec vec_abs(vec a) { return _mm256_andnot_ps(vec_set(-0.0f), a); }
static inline ivec ivec_set(int32_t a) { return _mm256_set1_epi32(a); }
static inline vec ivec_to_vec(ivec a) { return _mm256_cvtepi32_ps(a); }
static inline ivec ivec_load(const unsigned char *from) { return _mm256_loadu_si256((const __m256i *)(const void *)from); }
static inline ivec ivec_signed(ivec codes) { return _mm256_xor_si256(codes, _mm256_set1_epi8((char)0x80)); }
static inline ivec ivec_start(int32_t start, int offset) { return ivec_set(offset == 128 ? 0 : start); }

static inline ivec ivec_codes(const unsigned char *from, int offset)
{
    return offset == 128 ? ivec_signed(ivec_load(from)) : ivec_load(from);
}

/* The 16 entries of a codebook, in both halves. */
static inline ivec ivec_table_bytes(const unsigned char *codebook)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)codebook));
}

static inline ivec ivec_table(const unsigned char *codebook, int offset)
{
    return codebook == NULL ? ivec_set(0) : offset == 128 ? ivec_signed(ivec_table_bytes(codebook)) : ivec_table_bytes(codebook);
}

/* The 4 bits of each byte from bit `shift` on, looked up in a table. */
static inline ivec ivec_bytes(const unsigned char *from, int shift, ivec table)
{
    return _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(ivec_load(from), shift), _mm256_set1_epi8(15)));
}

static inline ivec ivec_nibbles(const unsigned char *from, int shift, ivec table, int offset)
{
    (void)offset;
    return ivec_bytes(from, shift, table);
}

static inline void ivec_store_bytes(unsigned char *to, ivec a) { _mm256_storeu_si256((__m256i *)(void *)to, a); }

static inline ivec ivec_dot(ivec sum, ivec weights, ivec x, int offset)
{
    __m256i pairs = offset == 128 ? _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights))
                                  : _mm256_maddubs_epi16(weights, x);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* Rounds to LANES integers of -128 .. 127, stores them as bytes and returns them. */
static inline ivec vec_to_bytes(vec a, int8_t *to)
{
    ivec wide = _mm256_cvtps_epi32(a);
    __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    _mm_storel_epi64((__m128i *)(void *)to, _mm_packs_epi16(words, words));
    return wide;
}

static inline ivec ivec_add(ivec a, ivec b) { return _mm256_add_epi32(a, b); }
static inline ivec ivec_mul(ivec a, ivec b) { return _mm256_mullo_epi32(a, b); }

/* Removes the signed number in the lowest four bits of each lane and returns it. */
static inline ivec ivec_factor(ivec *words)
{
    ivec factor = _mm256_srai_epi32(_mm256_slli_epi32(*words, 28), 28);
    *words = _mm256_srli_epi32(*words, 4);
    return factor;
}

/* Signed bytes times the factor of their lane, plus 128. The lower byte of a 16-bit product depends only on the lower
 * bytes of its factors: the product of even bytes uses all 16 bits, that of odd bytes the upper half. */
static inline ivec ivec_times(ivec bytes, ivec factor)
{
    const __m256i lower = _mm256_set1_epi16(0xFF);
    const __m256i both = _mm256_blend_epi16(factor, _mm256_slli_epi32(factor, 16), 0xAA);
    __m256i even = _mm256_mullo_epi16(bytes, both), odd = _mm256_mullo_epi16(_mm256_andnot_si256(lower, bytes), both);
    return ivec_signed(_mm256_or_si256(_mm256_and_si256(even, lower), odd));
}

static inline int32_t ivec_sum(ivec a)
{
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1)));
}

/* The largest lane; NaN if there is one. */
static inline float vec_largest(vec a)
{
    if (_mm256_movemask_ps(_mm256_cmp_ps(a, a, _CMP_UNORD_Q)) != 0)
        return NAN;
    __m128 most = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    most = _mm_max_ps(most, _mm_movehl_ps(most, most));
    return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
}

#include "kern/vector.h"
#include "kern/vector_codes.h"
