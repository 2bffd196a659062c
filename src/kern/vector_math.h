/* Vectors of values: dot product, axpy, largest entry, exponentials. The order of every sum depends only on its length.
 * Included by vector.h only. */
#ifndef TN_KERN_VECTOR_MATH_H
#define TN_KERN_VECTOR_MATH_H

TN_INLINE float sum_of(vec a, vec b, vec c, vec d)
{
    const vec parts[4] = { a, b, c, d };
    float sums[4];
    vec_sum4(parts, sums);
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

float TN_KERNEL(dot)(const float *a, const float *b, size_t n)
{
    vec s0 = vec_set(0), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        s0 = vec_fma(vec_load(a + i), vec_load(b + i), s0);
        s1 = vec_fma(vec_load(a + i + LANES), vec_load(b + i + LANES), s1);
        s2 = vec_fma(vec_load(a + i + 2 * LANES), vec_load(b + i + 2 * LANES), s2);
        s3 = vec_fma(vec_load(a + i + 3 * LANES), vec_load(b + i + 3 * LANES), s3);
    }
    for (; i + LANES <= n; i += LANES)
        s0 = vec_fma(vec_load(a + i), vec_load(b + i), s0);
    if (i < n)
        s1 = vec_fma(vec_load_part(a + i, n - i), vec_load_part(b + i, n - i), s1);
    return sum_of(s0, s1, s2, s3);
}

void TN_KERNEL(axpy)(float *y, float a, const float *x, size_t n)
{
    const vec factor = vec_set(a);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vec_store(y + i, vec_fma(factor, vec_load(x + i), vec_load(y + i)));
    if (i < n)
        vec_store_part(y + i, vec_fma(factor, vec_load_part(x + i, n - i), vec_load_part(y + i, n - i)), n - i);
}

float TN_KERNEL(max)(const float *x, size_t n)
{
    float lanes[LANES];
    vec largest = vec_set(x[0]);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        largest = vec_max_nan(largest, vec_load(x + i));
    vec_store(lanes, largest);
    float result = lanes[0];
    for (size_t lane = 1; lane < LANES; lane++)
        if (!(lanes[lane] <= result) && !isnan(result))
            result = lanes[lane];
    for (; i < n; i++)
        if (!(x[i] <= result) && !isnan(result))
            result = x[i];
    return result;
}

/* e^x, within 1 unit in the last place (0.83 in the worst case found, tests/property/kern), denormals included; NaN
 * gives NaN. x = n ln 2 + r with |r| <= ln(2)/2. ln 2 has two parts, of which the first times n is exact. Taylor's
 * polynomial of degree 7 leaves r^8/8! < 5.3e-9 of e^r. At the bounds of x the result has become 0 or infinity. */
TN_INLINE vec exponential(vec x)
{
    x = vec_min(vec_set(90.0f), vec_max(vec_set(-105.0f), x));
    vec n = vec_round(vec_mul(x, vec_set(0x1.715476p+0f)));
    vec r = vec_fma(n, vec_set(-0x1.62e4p-1f), x);
    r = vec_fma(n, vec_set(-0x1.7f7d1cp-20f), r);
    vec p = vec_set(1.0f / 5040);
    p = vec_fma(p, r, vec_set(1.0f / 720));
    p = vec_fma(p, r, vec_set(1.0f / 120));
    p = vec_fma(p, r, vec_set(1.0f / 24));
    p = vec_fma(p, r, vec_set(1.0f / 6));
    p = vec_fma(p, r, vec_set(0.5f));
    p = vec_fma(p, r, vec_set(1.0f));
    p = vec_fma(p, r, vec_set(1.0f));
    return vec_scale(p, n);
}

float TN_KERNEL(exp_sum)(float *x, size_t n, float shift)
{
    const vec offset = vec_set(shift);
    vec sum = vec_set(0), rest = sum;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec e = exponential(vec_sub(vec_load(x + i), offset));
        vec_store(x + i, e);
        sum = vec_add(sum, e);
    }
    if (i < n) {
        vec_store_part(x + i, exponential(vec_sub(vec_load_part(x + i, n - i), offset)), n - i);
        rest = vec_load_part(x + i, n - i);
    }
    return sum_of(sum, rest, vec_set(0), vec_set(0));
}

/* x / (1 + e^(slope x)) */
TN_INLINE vec gated(vec x, float slope)
{
    return vec_div(x, vec_add(vec_set(1), exponential(vec_mul(vec_set(slope), x))));
}

void TN_KERNEL(silu_mul)(float *gate, const float *up, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vec_store(gate + i, vec_mul(gated(vec_load(gate + i), -1.0f), vec_load(up + i)));
    if (i < n) {
        vec g = gated(vec_load_part(gate + i, n - i), -1.0f);
        vec_store_part(gate + i, vec_mul(g, vec_load_part(up + i, n - i)), n - i);
    }
}

void TN_KERNEL(quick_gelu)(float *x, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vec_store(x + i, gated(vec_load(x + i), -1.702f));
    if (i < n)
        vec_store_part(x + i, gated(vec_load_part(x + i, n - i), -1.702f), n - i);
}

#endif
