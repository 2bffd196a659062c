/* Every kernel set's linear_dx, linear_dw and multiply against sums in double. All three add to what
 * is there, so the start value is one more term of the sum. */
#include "property/kern/common.h"

/* c [m, n] += a b in whatever form a test gives: value(a, i, l) and value(b, l, j). */
typedef struct tn_sum {
    size_t m, n, depth, ldc;
    size_t begin, end;            /* columns (rows, for dw) that may change */
    bool rows;                    /* begin, end count rows                   */
    const float *a, *b;
    size_t a_i, a_l, b_l, b_j;    /* strides                                 */
} tn_sum;

static size_t count_wrong(const tn_sum *s, const float *before, const float *after)
{
    size_t wrong = 0;
    for (size_t i = 0; i < s->m; i++)
        for (size_t j = 0; j < s->ldc; j++) {
            size_t at = i * s->ldc + j, place = s->rows ? i : j;
            if (j >= s->n || place < s->begin || place >= s->end) {
                wrong += memcmp(&before[at], &after[at], sizeof *after) != 0;
                continue;
            }
            double sum = (double)before[at], size = fabs(sum);
            for (size_t l = 0; l < s->depth; l++) {
                double term = (double)s->a[i * s->a_i + l * s->a_l] * (double)s->b[l * s->b_l + j * s->b_j];
                sum += term;
                size += fabs(term);
            }
            wrong += !within(after[at], sum, gamma_of(s->depth + 1) * size);
        }
    return wrong;
}

static float *copy_of(const float *values, size_t count)
{
    float *copy = take(count, sizeof *copy);
    memcpy(copy, values, count * sizeof *copy);
    return copy;
}

/* dx of one chunk, all chunks (chunk = SIZE_MAX), with weight [0, 0] off by `error`. */
static size_t wrong_dx(const tn_kernels *kernels, tn_dtype type, size_t m, size_t n, size_t k, size_t chunk,
                       float error)
{
    tn_rng rng = tn_rng_seed(m + 100 * n + 10000 * k);
    tn_test_matrix t = random_matrix(&rng, type, n, k, 1);
    size_t lddy = n + 2, lddx = k + 3, step = kernels->linear_chunk;
    float *dy = random_floats(&rng, m * lddy, 1), *dx = random_floats(&rng, m * lddx, 1);
    float *before = copy_of(dx, m * lddx), *scratch = take(kernels->linear_scratch(&t.w, m), sizeof *scratch);
    size_t first = chunk == SIZE_MAX ? 0 : chunk * step, last = chunk == SIZE_MAX ? k : first + step;
    last = last < k ? last : k;
    set_weight(&t, 0, 0, t.values[0] + error);
    for (size_t at = first; at < last; at += step)
        kernels->linear_dx(&t.w, at, at + step < last ? at + step : last, dy, lddy, m, dx, lddx, scratch);
    const tn_sum sum = { m, k, n, lddx, first, last, false, dy, t.values, lddy, 1, k, 1 };
    size_t wrong = count_wrong(&sum, before, dx);
    free(dy);
    free(dx);
    free(before);
    free(scratch);
    free_matrix(&t);
    return wrong;
}

static size_t wrong_dw(const tn_kernels *kernels, size_t m, size_t n, size_t k, size_t chunk, float error)
{
    tn_rng rng = tn_rng_seed(m + 100 * n + 10000 * k);
    const tn_matrix w = { TN_F32, n, k, NULL, TN_ROWS };
    size_t lddy = n + 2, ldx = k + 3, step = kernels->linear_chunk;
    float *dy = random_floats(&rng, m * lddy, 1), *x = random_floats(&rng, m * ldx, 1);
    float *dw = random_floats(&rng, n * k, 1), *before = copy_of(dw, n * k), *seen = copy_of(x, m * ldx);
    float *scratch = take(kernels->linear_scratch(&w, m), sizeof *scratch);
    size_t first = chunk == SIZE_MAX ? 0 : chunk * step, last = chunk == SIZE_MAX ? n : first + step;
    last = last < n ? last : n;
    seen[0] += error;
    for (size_t at = first; at < last; at += step)
        kernels->linear_dw(dw, k, at, at + step < last ? at + step : last, dy, lddy, seen, ldx, m, scratch);
    const tn_sum sum = { n, k, m, k, first, last, true, dy, x, 1, lddy, ldx, 1 };
    size_t wrong = count_wrong(&sum, before, dw);
    free(dy);
    free(x);
    free(seen);
    free(dw);
    free(before);
    free(scratch);
    return wrong;
}

/* Gradients from rounded copies: each factor is off by up to 2^-8 of itself, so a term by 2^-7 and a bit. */
static size_t count_wrong_narrow(const tn_sum *s, const float *before, const float *after)
{
    size_t wrong = 0;
    for (size_t i = 0; i < s->m; i++)
        for (size_t j = 0; j < s->ldc; j++) {
            size_t at = i * s->ldc + j, place = s->rows ? i : j;
            if (j >= s->n || place < s->begin || place >= s->end) {
                wrong += memcmp(&before[at], &after[at], sizeof *after) != 0;
                continue;
            }
            double sum = (double)before[at], size = fabs(sum), rounded = 0;
            for (size_t l = 0; l < s->depth; l++) {
                double term = (double)s->a[i * s->a_i + l * s->a_l] * (double)s->b[l * s->b_l + j * s->b_j];
                sum += term;
                size += fabs(term);
                rounded += fabs(term) * 0x1.02p-7;
            }
            wrong += !within(after[at], sum, rounded + gamma_of(s->depth + 1) * size);
        }
    return wrong;
}

/* Both gradients of one weight through the copies; `error` is added to dy[0, 0] in what the set sees. */
static size_t wrong_narrow(const tn_kernels *kernels, tn_dtype type, tn_order order, size_t m, size_t n, size_t k,
                           float error)
{
    tn_rng rng = tn_rng_seed(m + 100 * n + 10000 * k);
    size_t block = tn_dtype_of(type)->block, cols = (k + block - 1) / block * block, lddy = n + 2, ldx = cols + 3;
    tn_test_matrix t = random_matrix(&rng, type, n, cols, 1);
    if (order == TN_PANELS)
        put_into_panels(&t);
    float *dy = random_floats(&rng, m * lddy, 1), *x = random_floats(&rng, m * ldx, 1), *seen = copy_of(dy, m * lddy);
    float *dx = random_floats(&rng, m * ldx, 1), *dx_before = copy_of(dx, m * ldx);
    float *dw = random_floats(&rng, n * cols, 1), *dw_before = copy_of(dw, n * cols);
    float *scratch = take(kernels->linear_scratch(&t.w, m), sizeof *scratch);
    tn_backward b = { &t.w, m, true, true, NULL };
    b.input = aligned_alloc(64, (kernels->narrow->bytes(&b) + 63) / 64 * 64);
    assert_non_null(b.input);
    seen[0] += error;
    for (size_t i = 0; i < m; i += TN_UNIT)
        kernels->narrow->input(&b, seen, lddy, x, ldx, i, i + TN_UNIT < m ? i + TN_UNIT : m);
    for (size_t at = 0; at < cols; at += kernels->linear_chunk)
        kernels->narrow->dx(&b, at, at + kernels->linear_chunk < cols ? at + kernels->linear_chunk : cols, dx, ldx, scratch);
    for (size_t at = 0; at < n; at += kernels->linear_chunk)
        kernels->narrow->dw(&b, at, at + kernels->linear_chunk < n ? at + kernels->linear_chunk : n, dw, scratch);
    const tn_sum for_x = { m, cols, n, ldx, 0, cols, false, dy, t.values, lddy, 1, cols, 1 };
    const tn_sum for_w = { n, cols, m, cols, 0, n, true, dy, x, 1, lddy, ldx, 1 };
    size_t wrong = count_wrong_narrow(&for_x, dx_before, dx) + count_wrong_narrow(&for_w, dw_before, dw);
    free(b.input), free(dy), free(x), free(seen), free(dx), free(dx_before), free(dw), free(dw_before), free(scratch);
    free_matrix(&t);
    return wrong;
}

static const size_t sizes[][3] = { { 1, 1, 1 },   { 2, 3, 5 },     { 7, 65, 15 },  { 5, 13, 130 }, { 6, 300, 65 },
                                   { 30, 67, 77 }, { 70, 257, 33 }, { 259, 9, 70 }, { 13, 70, 193 } };

static void test_dx(void **state)
{
    (void)state;
    TN_EACH_SET(kernels)
        for (int type = 0; type < TN_DTYPE_COUNT; type++) {
            if (tn_dtype_of((tn_dtype)type)->block > 1)
                continue;
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
                assert_int_equal(wrong_dx(kernels, (tn_dtype)type, sizes[i][0], sizes[i][1], sizes[i][2],
                                          SIZE_MAX, 0), 0);
            assert_int_equal(wrong_dx(kernels, (tn_dtype)type, 20, 31, 3 * kernels->linear_chunk + 7,
                                      1, 0), 0);
        }
}

static void test_dw(void **state)
{
    (void)state;
    TN_EACH_SET(kernels) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            assert_int_equal(wrong_dw(kernels, sizes[i][0], sizes[i][1], sizes[i][2], SIZE_MAX, 0), 0);
        assert_int_equal(wrong_dw(kernels, 20, 3 * kernels->linear_chunk + 7, 31, 1, 0), 0);
    }
}

static void test_narrow(void **state)
{
    (void)state;
    TN_EACH_SET(kernels)
        for (int form = 0; form < 2 * TN_DTYPE_COUNT && kernels->narrow != NULL; form++) {
            tn_dtype type = (tn_dtype)(form % TN_DTYPE_COUNT);
            tn_order order = form < TN_DTYPE_COUNT ? TN_ROWS : TN_PANELS;
            if (tn_dtype_of(type)->bits == 0)
                continue;
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
                assert_int_equal(wrong_narrow(kernels, type, order, sizes[i][0], sizes[i][1], sizes[i][2], 0), 0);
                /* The check itself: one number off by much shows in its row of dx and its row of dw. */
                assert_true(wrong_narrow(kernels, type, order, sizes[i][0], sizes[i][1], sizes[i][2], 40) > 0);
            }
        }
}

/* The checks themselves: a wrong operand shows in its column of dx or dw, and only there. */
static void test_wrong_operand_is_seen(void **state)
{
    (void)state;
    TN_EACH_SET(kernels) {
        assert_in_range(wrong_dx(kernels, TN_BF16, 30, 67, 77, SIZE_MAX, 0.25f), 1, 30);
        assert_in_range(wrong_dw(kernels, 30, 67, 77, SIZE_MAX, 0.25f), 1, 67);
    }
}

/* Both forms that attention uses: a as it is stored, and transposed. */
static void test_multiply(void **state)
{
    (void)state;
    TN_EACH_SET(kernels)
        for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
            const size_t *size = sizes[i / 2];
            size_t m = size[0], depth = size[1], n = size[2], row = i % 2 ? 1 : depth + 1, column = i % 2 ? m + 1 : 1;
            if (kernels->multiply == NULL)
                continue;
            tn_rng rng = tn_rng_seed(i);
            float *a = random_floats(&rng, (m + 1) * (depth + 1), 1), *b = random_floats(&rng, depth * (n + 1), 1);
            float *c = random_floats(&rng, m * (n + 2), 1), *before = copy_of(c, m * (n + 2));
            kernels->multiply(a, row, column, b, n + 1, m, n, depth, c, n + 2);
            const tn_sum sum = { m, n, depth, n + 2, 0, n, false, a, b, row, column, n + 1, 1 };
            assert_int_equal(count_wrong(&sum, before, c), 0);
            /* The last row has the same bits if it is computed separately, in two steps along the depth and without the first
             * column. */
            float *last = copy_of(before + (m - 1) * (n + 2), n + 2), *from = a + (m - 1) * row;
            size_t half = depth / 2;
            kernels->multiply(from, 0, column, b + 1, n + 1, 1, n - 1, half, last + 1, n);
            kernels->multiply(from + half * column, 0, column, b + 1 + half * (n + 1), n + 1, 1, n - 1, depth - half,
                              last + 1, n);
            assert_memory_equal(last + 1, c + (m - 1) * (n + 2) + 1, (n + 1) * sizeof *c);
            a[0] += 0.25f;
            assert_in_range(count_wrong(&sum, before, c), 1, n);
            free(last);
            free(a);
            free(b);
            free(c);
            free(before);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dx),
        cmocka_unit_test(test_dw),
        cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_wrong_operand_is_seen),
        cmocka_unit_test(test_multiply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
