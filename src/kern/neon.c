/* The set for the vector registers that every 64-bit ARM processor has. Little-endian. */
#include "kern/sets.h"

#include <arm_neon.h>
#include <string.h>

#define TN_KERNEL(entry) tn_neon_##entry
#define TN_KERNEL_TABLE tn_neon_kernels
#define TN_KERNEL_NAME "neon"
#define TN_CODES(entry) tn_no_codes_##entry

typedef float32x4_t vec;

/* Register tiles. linear: 6 rows x 4 outputs, so 24 of the 32 registers are sums, 6 hold x, 1 holds w. multiply: 6 rows
 * x 4 vectors, so 24 are sums, 4 hold b, 1 holds a. */
enum { LANES = 4, TILE_ROWS = 6, PANEL_VECTORS = 4, WIDEN_ROWS = 12 };
#define TN_TILE_CASES(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)

static inline vec vec_set(float a) { return vdupq_n_f32(a); }
static inline vec vec_load(const float *from) { return vld1q_f32(from); }
static inline void vec_store(float *to, vec a) { vst1q_f32(to, a); }
static inline vec vec_add(vec a, vec b) { return vaddq_f32(a, b); }
static inline vec vec_sub(vec a, vec b) { return vsubq_f32(a, b); }
static inline vec vec_mul(vec a, vec b) { return vmulq_f32(a, b); }
static inline vec vec_div(vec a, vec b) { return vdivq_f32(a, b); }
static inline vec vec_fma(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
static inline vec vec_round(vec a) { return vrndnq_f32(a); }

/* NaN if either is NaN. */
static inline vec vec_max(vec a, vec b) { return vmaxq_f32(a, b); }
static inline vec vec_min(vec a, vec b) { return vminq_f32(a, b); }
static inline vec vec_max_nan(vec a, vec b) { return vmaxq_f32(a, b); }

/* Loads the first `count` (1 .. LANES) values, the rest as 0; stores only the first `count`. */
static inline vec vec_load_part(const float *from, size_t count)
{
    float lanes[LANES] = { 0 };
    memcpy(lanes, from, count * sizeof *lanes);
    return vld1q_f32(lanes);
}

static inline void vec_store_part(float *to, vec a, size_t count)
{
    float lanes[LANES];
    vst1q_f32(lanes, a);
    memcpy(to, lanes, count * sizeof *lanes);
}

/* LANES packed weights of any alignment. */
static inline vec vec_load_f16(const unsigned char *from)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(from)));
}

static inline vec vec_load_bf16(const unsigned char *from)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(from)), 16));
}

/* The even and the odd BF16 numbers of LANES pairs. */
static inline vec vec_load_even_bf16(const unsigned char *from)
{
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_u8(vld1q_u8(from)), 16));
}

static inline vec vec_load_odd_bf16(const unsigned char *from)
{
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_u8(vld1q_u8(from)), vdupq_n_u32(0xFFFF0000)));
}

static inline vec vec_load_f32(const unsigned char *from) { return vreinterpretq_f32_u8(vld1q_u8(from)); }

/* 2^n for integers n of -126 .. 127, constructed from its exponent. */
static inline vec power_of_two(vec n)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vcvtnq_s32_f32(vaddq_f32(n, vec_set(127))), 23));
}

/* a 2^n for integers n of -250 .. 250 in two steps, of which only the second can round. */
static inline vec vec_scale(vec a, vec n)
{
    vec half = vec_round(vec_mul(n, vec_set(0.5f)));
    return vec_mul(vec_mul(a, power_of_two(half)), power_of_two(vec_sub(n, half)));
}

/* out[i] = sum of the lanes of a[i]: neighbours, pairs. */
static inline void vec_sum4(const vec a[4], float out[4])
{
    vst1q_f32(out, vpaddq_f32(vpaddq_f32(a[0], a[1]), vpaddq_f32(a[2], a[3])));
}

#include "kern/vector.h"
