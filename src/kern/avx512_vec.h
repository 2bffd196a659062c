/* The definitions of vector.h in 512 bits: AVX-512 F, BW, DQ, VL. Included by the sets that are based on them. */
#ifndef TN_KERN_AVX512_VEC_H
#define TN_KERN_AVX512_VEC_H

#include <immintrin.h>
#include <stdint.h>

typedef __m512 vec;

enum { LANES = 16 };

static inline vec vec_set(float a) { return _mm512_set1_ps(a); }
static inline vec vec_load(const float *from) { return _mm512_loadu_ps(from); }
static inline void vec_store(float *to, vec a) { _mm512_storeu_ps(to, a); }
static inline vec vec_add(vec a, vec b) { return _mm512_add_ps(a, b); }
static inline vec vec_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
static inline vec vec_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
static inline vec vec_div(vec a, vec b) { return _mm512_div_ps(a, b); }
static inline vec vec_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
static inline vec vec_round(vec a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

/* If b is NaN, both return b, like the instructions. */
static inline vec vec_max(vec a, vec b) { return _mm512_max_ps(a, b); }
static inline vec vec_min(vec a, vec b) { return _mm512_min_ps(a, b); }

/* The larger value; NaN if either is NaN. */
static inline vec vec_max_nan(vec a, vec b)
{
    return _mm512_mask_mov_ps(_mm512_max_ps(a, b), _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), a);
}

/* Loads the first `count` (1 .. LANES) values, the rest as 0; stores only the first `count`. */
static inline vec vec_load_part(const float *from, size_t count)
{
    return _mm512_maskz_loadu_ps((__mmask16)(0xFFFFu >> (LANES - count)), from);
}

static inline void vec_store_part(float *to, vec a, size_t count)
{
    _mm512_mask_storeu_ps(to, (__mmask16)(0xFFFFu >> (LANES - count)), a);
}

/* LANES packed weights of any alignment. */
static inline vec vec_load_f16(const unsigned char *from)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)from));
}

static inline vec vec_load_bf16(const unsigned char *from)
{
    __m512i bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
}

static inline vec vec_load_f32(const unsigned char *from) { return _mm512_loadu_ps((const void *)from); }

/* a 2^n for integers n of -280 .. 280, rounded once. */
static inline vec vec_scale(vec a, vec n) { return _mm512_scalef_ps(a, n); }

/* out[i] = sum of the lanes of a[i]: halves, quarters, pairs, neighbours. */
static inline void vec_sum4(const vec a[4], float out[4])
{
    vec ab = _mm512_add_ps(_mm512_shuffle_f32x4(a[0], a[1], 0x44), _mm512_shuffle_f32x4(a[0], a[1], 0xEE));
    vec cd = _mm512_add_ps(_mm512_shuffle_f32x4(a[2], a[3], 0x44), _mm512_shuffle_f32x4(a[2], a[3], 0xEE));
    vec abcd = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xDD));
    abcd = _mm512_add_ps(abcd, _mm512_permute_ps(abcd, 0x4E));
    abcd = _mm512_add_ps(abcd, _mm512_permute_ps(abcd, 0xB1));
    const __m512i first = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 8, 4, 0);
    _mm_storeu_ps(out, _mm512_castps512_ps128(_mm512_permutexvar_ps(first, abcd)));
}

/* The even and the odd BF16 numbers of LANES pairs. */
static inline vec vec_load_even_bf16(const unsigned char *from)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512((const void *)from), 16));
}

static inline vec vec_load_odd_bf16(const unsigned char *from)
{
    const __m512i upper = _mm512_set1_epi32((int32_t)0xFFFF0000);
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512((const void *)from), upper));
}

static inline vec vec_abs(vec a) { return _mm512_abs_ps(a); }

#endif
