/* Values of the operations (all but attention) against plain formulas in double. The bounds count
 * roundings: eps = 2^-23, each operation of f32 errs by half of it. */
#include "unit/ops/fixture.h"

static const double eps = FLT_EPSILON;

/* y = x W^T + b: k products and sums; |error| <= (k + 2) eps sum |x w| + eps |y|. */
static void linear_is_a_product(void **state)
{
    enum { T = 5, K = 67, N = 70 };
    (void)state;
    fixture f;
    fixture_open(&f, best_kernels(), 2, 1);
    tn_real *x = numbers(&f, T * K, 0, 1), *w = numbers(&f, N * K, 0, 1), *b = numbers(&f, N, 0, 1);
    tn_weight matrix = weight_of(w, N, K, NULL);
    tn_vector bias = { N, b, NULL };
    tn_tensor y = tn_op_linear(&f.ops, tensor(&f, T, K, x), &matrix, &bias);
    works(&f);
    double wanted[T * N], bound[T * N];
    for (size_t i = 0; i < T * N; i++) {
        double sum = (double)b[i % N], size = fabs(sum);
        for (size_t k = 0; k < K; k++) {
            double product = (double)x[i / N * K + k] * (double)w[i % N * K + k];
            sum += product;
            size += fabs(product);
        }
        wanted[i] = sum;
        bound[i] = (K + 2) * eps * size;
    }
    assert_within(y.data, wanted, bound, T * N);
    tn_tensor nothing = tn_op_linear(&f.ops, tensor(&f, T, K, numbers(&f, T * K, 0, 0)), &matrix, &bias);
    for (size_t i = 0; i < T; i++)
        assert_memory_equal(nothing.data + i * N, b, N * sizeof *b);
    tn_vector absent = { N, NULL, NULL };
    tn_tensor plain = tn_op_linear(&f.ops, tensor(&f, T, K, x), &matrix, &absent);
    for (size_t i = 0; i < T * N; i++)
        wanted[i] -= (double)b[i % N];
    assert_within(plain.data, wanted, bound, T * N);
    fixture_close(&f);
}

/* Rows are copied unchanged, in the type of the table. */
static void rows_are_copied(void **state)
{
    enum { V = 6, C = 5 };
    static const int32_t ids[] = { 4, 0, 4, 5 };
    (void)state;
    fixture f;
    fixture_open(&f, tn_kernels_reference(), 1, 1);
    unsigned char packed[V * C * 2];
    tn_real values[V * C];
    for (size_t i = 0; i < V * C; i++)
        values[i] = (tn_real)i - 7;
    tn_dtype_of(TN_BF16)->pack(values, V * C, packed);
    tn_weight table = { { TN_BF16, V, C, packed, TN_ROWS }, NULL, NULL };
    tn_tensor rows = tn_op_gather(&f.ops, &table, ids, 4);
    works(&f);
    for (size_t i = 0; i < 4; i++)
        assert_memory_equal(rows.data + i * C, values + (size_t)ids[i] * C, C * sizeof *values);
    tn_tensor x = tensor(&f, V, C, values);
    const tn_row_ref refs[] = { { rows, 3 }, { x, 1 }, { tn_op_rows(&f.ops, x, 2, 2), 1 } };
    tn_tensor mixed = tn_op_compose(&f.ops, refs, 3, C);
    works(&f);
    assert_memory_equal(mixed.data, values + 5 * C, C * sizeof *values);
    assert_memory_equal(mixed.data + C, values + C, C * sizeof *values);
    assert_memory_equal(mixed.data + 2 * C, values + 3 * C, C * sizeof *values);
    fixture_close(&f);
}

/* A few roundings each; exp and erf of the C library are within one more. The GELU forms 1 + erf,
 * which for negative x cancels: an absolute error of some eps |x|. */
static void elementwise_formulas(void **state)
{
    enum { N = 3 * 1001 };
    (void)state;
    fixture f;
    fixture_open(&f, best_kernels(), 2, 3);
    tn_real *x = numbers(&f, N, 0, 4), *y = numbers(&f, N, 0, 4);
    x[0] = 100, x[1] = -100, x[2] = 0, x[3] = -88, x[4] = 1e6f, x[5] = -1e6f;
    tn_tensor sum = tn_op_add(&f.ops, tensor(&f, 3, 1001, x), tensor(&f, 3, 1001, y));
    tn_tensor swiglu = tn_op_swiglu(&f.ops, tensor(&f, 3, 1001, x), tensor(&f, 3, 1001, y));
    tn_tensor quick = tn_op_quick_gelu(&f.ops, tensor(&f, 3, 1001, x));
    tn_tensor gelu = tn_op_gelu(&f.ops, tensor(&f, 3, 1001, x)), silu = tn_op_silu(&f.ops, tensor(&f, 3, 1001, x));
    works(&f);
    double wanted[5][N], bound[5][N];
    for (size_t i = 0; i < N; i++) {
        double a = (double)x[i], b = (double)y[i];
        wanted[0][i] = a + b;
        wanted[1][i] = a / (1 + exp(-a)) * b;
        wanted[2][i] = a / (1 + exp(-1.702 * a));
        wanted[3][i] = 0.5 * a * (1 + erf(a / sqrt(2.0)));
        bound[0][i] = eps * fabs(wanted[0][i]);
        /* the rounding of the argument of exp grows with it; results below the normal range are
         * only as good as the smallest normal number */
        bound[1][i] = (8 + fabs(a)) * eps * fabs(wanted[1][i]) + fabs(b) * FLT_MIN;
        bound[2][i] = (8 + 2 * fabs(a)) * eps * fabs(wanted[2][i]) + fabs(a) * FLT_MIN;
        bound[3][i] = 4 * eps * fabs(a) + FLT_MIN;
        wanted[4][i] = a / (1 + exp(-a));
        bound[4][i] = (8 + fabs(a)) * eps * fabs(wanted[4][i]) + FLT_MIN;
    }
    assert_within(sum.data, wanted[0], bound[0], N);
    assert_within(swiglu.data, wanted[1], bound[1], N);
    assert_within(quick.data, wanted[2], bound[2], N);
    assert_within(gelu.data, wanted[3], bound[3], N);
    assert_within(silu.data, wanted[4], bound[4], N);
    fixture_close(&f);
}

/* Sums in double: the result errs by the roundings of x - mean, the factor and the two products. */
static void norms_are_exact_to_rounding(void **state)
{
    enum { T = 3, C = 1537 };
    (void)state;
    fixture f;
    fixture_open(&f, tn_kernels_reference(), 2, 5);
    tn_real *x = numbers(&f, T * C, 0.7, 1), *w = numbers(&f, C, 1, 0.3), *b = numbers(&f, C, 0, 1);
    for (size_t i = 0; i < C; i++)
        x[C + i] *= 1e6f; /* P10: squares of 1e12 */
    x[2 * C + 9] = 3e18f;
    tn_vector scale = { C, w, NULL }, shift = { C, b, NULL };
    tn_tensor rms = tn_op_rms_norm(&f.ops, tensor(&f, T, C, x), &scale, 1e-6);
    tn_tensor layer = tn_op_layer_norm(&f.ops, tensor(&f, T, C, x), &scale, &shift, 1e-5);
    works(&f);
    static double wanted[2][T * C], bound[2][T * C];
    for (size_t t = 0; t < T; t++) {
        double mean = 0, square = 0, variance = 0;
        for (size_t i = 0; i < C; i++) {
            mean += (double)x[t * C + i] / C;
            square += (double)x[t * C + i] * (double)x[t * C + i] / C;
        }
        for (size_t i = 0; i < C; i++)
            variance += ((double)x[t * C + i] - mean) * ((double)x[t * C + i] - mean) / C;
        for (size_t i = 0; i < C; i++) {
            size_t at = t * C + i;
            double a = (double)x[at];
            wanted[0][at] = a / sqrt(square + 1e-6) * (double)w[i];
            wanted[1][at] = (a - mean) / sqrt(variance + 1e-5) * (double)w[i] + (double)b[i];
            bound[0][at] = 2 * eps * fabs(wanted[0][at]);
            bound[1][at] = 2 * eps * (fabs(wanted[1][at]) + fabs((double)b[i]) +
                                      (fabs(a) + fabs(mean)) / sqrt(variance + 1e-5) * fabs((double)w[i]));
        }
    }
    assert_within(rms.data, wanted[0], bound[0], T * C);
    assert_within(layer.data, wanted[1], bound[1], T * C);
    fixture_close(&f);
}

/* Pairs turn by their angle: i with i + D/2, not neighbours. */
static void rope_turns_pairs(void **state)
{
    enum { T = 3, H = 2, HALF = 5, D = 2 * HALF };
    (void)state;
    fixture f;
    fixture_open(&f, tn_kernels_reference(), 1, 6);
    tn_real *x = numbers(&f, T * H * D, 0, 1), cosines[T * HALF], sines[T * HALF];
    for (size_t i = 0; i < T * HALF; i++) {
        cosines[i] = (tn_real)cos(0.37 * (double)i);
        sines[i] = (tn_real)sin(0.37 * (double)i);
    }
    tn_rope rope = { HALF, cosines, sines };
    tn_tensor y = tn_op_rope(&f.ops, tensor(&f, T, H * D, x), &rope, H);
    works(&f);
    double wanted[T * H * D], bound[T * H * D];
    for (size_t t = 0; t < T; t++)
        for (size_t at = 0; at < H * D; at++) {
            size_t i = at % D % HALF, row = t * H * D;
            double c = (double)cosines[t * HALF + i], s = (double)sines[t * HALF + i];
            double self = (double)x[row + at];
            double other = at % D < HALF ? -(double)x[row + at + HALF] : (double)x[row + at - HALF];
            wanted[row + at] = self * c + other * s;
            bound[row + at] = 2 * eps * (fabs(self * c) + fabs(other * s));
        }
    assert_within(y.data, wanted, bound, T * H * D);
    fixture_close(&f);
}

/* Loss and gradient at a vocabulary longer than a piece, with huge logits: nothing overflows. Each exponential has an error of
 * at most (2 + |x - peak|) eps, the differences are below 60 here. */
static void cross_entropy_is_stable(void **state)
{
    enum { T = 4, V = 5003 };
    static const int32_t labels[T] = { 17, -1, 5002, 0 };
    (void)state;
    fixture f;
    fixture_open(&f, best_kernels(), 2, 7);
    tn_real *x = numbers(&f, T * V, 0, 3);
    for (size_t i = 0; i < V; i++)
        x[2 * V + i] += 10000;
    tn_tape_start(&f.ops);
    tn_tensor logits = tensor(&f, T, V, x), loss = tn_op_cross_entropy(&f.ops, logits, labels, 0.5);
    tn_tape_backward(&f.ops, loss);
    works(&f);
    static double wanted[T * V], bound[T * V];
    double total = 0;
    for (size_t t = 0; t < T; t++) {
        double peak = (double)x[t * V], sum = 0;
        for (size_t i = 0; i < V; i++)
            peak = fmax(peak, (double)x[t * V + i]);
        for (size_t i = 0; i < V; i++)
            sum += exp((double)x[t * V + i] - peak);
        for (size_t i = 0; i < V; i++) {
            double p = exp((double)x[t * V + i] - peak) / sum;
            wanted[t * V + i] = labels[t] < 0 ? 0 : 0.5 * (p - ((int32_t)i == labels[t]));
            bound[t * V + i] = labels[t] < 0 ? 0 : 80 * eps * (p + ((int32_t)i == labels[t]));
        }
        if (labels[t] >= 0)
            total += 0.5 * (log(sum) + peak - (double)x[t * V + (size_t)labels[t]]);
    }
    assert_within(logits.grad, wanted, bound, T * V);
    double loss_bound = 80 * eps * fabs(total);
    assert_within(loss.data, &total, &loss_bound, 1);
    fixture_close(&f);
}

/* A NaN affects only the result of its own row. */
static void nan_stays_visible(void **state)
{
    enum { T = 3, C = 40 };
    static const int32_t labels[] = { 0, 1, 2 };
    (void)state;
    fixture f;
    fixture_open(&f, best_kernels(), 1, 8);
    tn_real *x = numbers(&f, T * C, 0, 1), *w = numbers(&f, C * C, 0, 1);
    x[C + 7] = (tn_real)NAN;
    tn_weight matrix = weight_of(w, C, C, NULL);
    tn_vector scale = { C, w, NULL };
    tn_tensor results[4] = { tn_op_linear(&f.ops, tensor(&f, T, C, x), &matrix, NULL),
                             tn_op_rms_norm(&f.ops, tensor(&f, T, C, x), &scale, 1e-6),
                             tn_op_layer_norm(&f.ops, tensor(&f, T, C, x), &scale, NULL, 1e-6),
                             tn_op_gelu(&f.ops, tensor(&f, T, C, x)) };
    works(&f);
    for (size_t i = 0; i < 4; i++) {
        assert_true(isnan(results[i].data[C + 7]));
        for (size_t j = 0; j < C; j++)
            assert_true(isfinite(results[i].data[j]) && isfinite(results[i].data[2 * C + j]));
    }
    assert_true(isnan(tn_op_cross_entropy(&f.ops, tensor(&f, T, C, x), labels, 1).data[0]));
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_is_a_product),         cmocka_unit_test(rows_are_copied),
        cmocka_unit_test(elementwise_formulas),        cmocka_unit_test(norms_are_exact_to_rounding),
        cmocka_unit_test(rope_turns_pairs),            cmocka_unit_test(cross_entropy_is_stable),
        cmocka_unit_test(nan_stays_visible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
