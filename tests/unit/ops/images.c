/* Operations of images against plain formulas in double: convolution, group norm, nearest neighbour. */
#include "unit/ops/fixture.h"

static const double eps = FLT_EPSILON;

/* ---------------------------------------------------------- convolution -- */

/* What PyTorch's Conv2d computes, from its definition. `bound` receives what sums of f32 err by at most. */
static void convolve(const tn_conv *s, size_t channels, size_t outputs, const tn_real *x, const tn_real *w, const tn_real *b, double *y,
                     double *bound)
{
    size_t side = s->kernel, at = 0;
    for (size_t row = 0; row < tn_conv_rows(s); row++)
        for (size_t column = 0; column < tn_conv_columns(s); column++)
            for (size_t o = 0; o < outputs; o++, at++) {
                double sum = b != NULL ? (double)b[o] : 0, size = fabs(sum);
                for (size_t i = 0; i < channels; i++)
                    for (size_t k = 0; k < side * side; k++) {
                        long py = (long)(row * s->stride + k / side) - (long)s->top, px = (long)(column * s->stride + k % side) - (long)s->left;
                        if (py < 0 || px < 0 || py >= (long)s->height || px >= (long)s->width)
                            continue;
                        double product = (double)x[((size_t)py * s->width + (size_t)px) * channels + i] *
                                         (double)w[(o * channels + i) * side * side + k];
                        sum += product;
                        size += fabs(product);
                    }
                y[at] = sum;
                bound[at] = ((double)(channels * side * side) + 2) * eps * size;
            }
}

static const tn_conv shapes[] = {
    { .height = 9, .width = 7, .kernel = 3, .stride = 1, .top = 1, .left = 1, .bottom = 1, .right = 1 },
    { .height = 8, .width = 6, .kernel = 3, .stride = 2, .bottom = 1, .right = 1 },
    { .height = 7, .width = 9, .kernel = 3, .stride = 2, .bottom = 1, .right = 1 },
    { .height = 5, .width = 6, .kernel = 1, .stride = 1 },
    { .height = 6, .width = 5, .kernel = 1, .stride = 2 },
    { .height = 70, .width = 66, .kernel = 3, .stride = 1, .top = 1, .left = 1, .bottom = 1, .right = 1 }, /* divided into tiles */
    { .height = 2, .width = 2, .kernel = 3, .stride = 1, .top = 2, .left = 1, .bottom = 0, .right = 1 },
};

enum { CHANNELS = 34, OUTPUTS = 37 };

static void convolutions_are_sums(void **state)
{
    (void)state;
    for (size_t set = 0; tn_kernels_at(set) != NULL; set++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            fixture f;
            fixture_open(&f, tn_kernels_at(set), 2, i);
            const tn_conv *s = &shapes[i];
            size_t inputs = CHANNELS * s->kernel * s->kernel, rows = tn_conv_rows(s) * tn_conv_columns(s);
            tn_real *x = numbers(&f, s->height * s->width * CHANNELS, 0, 1), *w = numbers(&f, OUTPUTS * inputs, 0, 1);
            tn_real *b = numbers(&f, OUTPUTS, 0, 1);
            tn_weight matrix = weight_of(w, OUTPUTS, inputs, NULL);
            tn_vector bias = { OUTPUTS, b, NULL };
            double *wanted = calloc(rows * OUTPUTS, sizeof *wanted), *bound = calloc(rows * OUTPUTS, sizeof *bound);
            tn_tensor y = tn_op_conv(&f.ops, tensor(&f, s->height * s->width, CHANNELS, x), s, &matrix, &bias);
            works(&f);
            assert_int_equal(y.rows, rows);
            assert_int_equal(y.cols, OUTPUTS);
            convolve(s, CHANNELS, OUTPUTS, x, w, b, wanted, bound);
            assert_within(y.data, wanted, bound, rows * OUTPUTS);
            y = tn_op_conv(&f.ops, tensor(&f, s->height * s->width, CHANNELS, x), s, &matrix, NULL);
            works(&f);
            convolve(s, CHANNELS, OUTPUTS, x, w, NULL, wanted, bound);
            assert_within(y.data, wanted, bound, rows * OUTPUTS);
            free(wanted);
            free(bound);
            fixture_close(&f);
        }
}

/* The padding of one side is not that of another, and the kernel's rows are not its columns. */
static void places_matter(void **state)
{
    enum { SIDE = 6, PIXELS = SIDE * SIDE };
    (void)state;
    fixture f;
    fixture_open(&f, tn_kernels_reference(), 1, 3);
    tn_real *x = numbers(&f, PIXELS, 0, 1), *w = numbers(&f, 9, 0, 1), turned[9];
    for (size_t k = 0; k < 9; k++)
        turned[k] = w[k % 3 * 3 + k / 3];
    tn_weight matrix = weight_of(w, 1, 9, NULL), other = weight_of(turned, 1, 9, NULL);
    tn_conv after = { .height = SIDE, .width = SIDE, .kernel = 3, .stride = 2, .bottom = 1, .right = 1 };
    tn_conv before = { .height = SIDE, .width = SIDE, .kernel = 3, .stride = 2, .top = 1, .left = 1 };
    tn_tensor a = tn_op_conv(&f.ops, tensor(&f, PIXELS, 1, x), &after, &matrix, NULL);
    tn_tensor b = tn_op_conv(&f.ops, tensor(&f, PIXELS, 1, x), &before, &matrix, NULL);
    tn_tensor c = tn_op_conv(&f.ops, tensor(&f, PIXELS, 1, x), &after, &other, NULL);
    works(&f);
    assert_int_equal(a.rows, 9);
    assert_int_equal(b.rows, 9);
    assert_memory_not_equal(a.data, b.data, 9 * sizeof *a.data);
    assert_memory_not_equal(a.data, c.data, 9 * sizeof *a.data);
    fixture_close(&f);
}

/* The matrix [32, cols] in panels, if its type has them. */
static tn_matrix panels_of(const tn_matrix *w, unsigned char *memory)
{
    size_t row_bytes = tn_dtype_row_bytes(w->type, w->cols), panel = tn_panel_bytes(w->type, w->cols);
    for (size_t p = 0; p < w->rows / TN_PANEL; p++)
        tn_panel_pack(w->type, (const unsigned char *)w->data + p * TN_PANEL * row_bytes, row_bytes, TN_PANEL, w->cols, memory + p * panel);
    return (tn_matrix){ w->type, w->rows, w->cols, memory, TN_PANELS };
}

/* Weights of every type and order give what the product of their values gives: the same kernels multiply them. */
static void weights_have_any_type(void **state)
{
    enum { SIDE = 8, PIXELS = SIDE * SIDE, C = 32, N = 32, INPUTS = 9 * C };
    static const tn_conv shape = { .height = SIDE, .width = SIDE, .kernel = 3, .stride = 1, .top = 1, .left = 1, .bottom = 1, .right = 1 };
    static const tn_dtype types[] = { TN_BF16, TN_F16, TN_Q8_0 };
    static unsigned char packed[N * INPUTS * 4];
    _Alignas(64) static unsigned char in_panels[N * INPUTS * 8];
    (void)state;
    for (size_t set = 0; tn_kernels_at(set) != NULL; set++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            fixture f;
            fixture_open(&f, tn_kernels_at(set), 2, t);
            tn_real *x = numbers(&f, PIXELS * C, 0, 1), *w = numbers(&f, N * INPUTS, 0, 1), *kept = numbers(&f, N * INPUTS, 0, 0);
            tn_dtype_of(types[t])->pack(w, N * INPUTS, packed);
            tn_weight matrix = { { types[t], N, INPUTS, packed, TN_ROWS }, NULL, NULL };
            for (size_t n = 0; n < N; n++)
                tn_matrix_unpack(&matrix.matrix, n, 0, INPUTS, kept + n * INPUTS);
            static double wanted[PIXELS * N], bound[PIXELS * N];
            convolve(&shape, C, N, x, kept, NULL, wanted, bound);
            /* x rounded to BF16 errs by 2^-9 of each product, to 8 bits by 1/254 of the largest of its block; of 288 random errors
             * less than 6 sqrt(288) of the largest remain. */
            for (size_t i = 0; i < PIXELS * N; i++)
                bound[i] = 6 * sqrt((double)INPUTS) * (types[t] == TN_Q8_0 ? 4.0 / 254 : 4.0 / 512) + bound[i];
            for (size_t order = 0; order < (tn_panel_has(types[t], INPUTS) ? 2u : 1u); order++) {
                tn_tensor y = tn_op_conv(&f.ops, tensor(&f, PIXELS, C, x), &shape, &matrix, NULL);
                works(&f);
                assert_within(y.data, wanted, bound, PIXELS * N);
                if (order == 0 && tn_panel_has(types[t], INPUTS))
                    matrix.matrix = panels_of(&matrix.matrix, in_panels);
            }
            fixture_close(&f);
        }
}

static void refuse(fixture *f, tn_tensor x, const tn_conv *shape, const tn_weight *w, const tn_vector *b)
{
    assert_null(tn_op_conv(&f->ops, x, shape, w, b).data);
    assert_int_equal(f->ops.failure.code, TENEBRA_ERROR_MISMATCH);
    assert_string_equal(f->ops.failure.where, "conv");
    memset(&f->ops.failure, 0, sizeof f->ops.failure);
}

static void wrong_shapes_are_refused(void **state)
{
    static const tn_conv right = { .height = 4, .width = 5, .kernel = 3, .stride = 1 };
    (void)state;
    fixture f;
    fixture_open(&f, tn_kernels_reference(), 1, 3);
    tn_tensor x = tensor(&f, 20, 2, numbers(&f, 40, 0, 1));
    tn_real *w = numbers(&f, 3 * 18, 0, 1), *b = numbers(&f, 3, 0, 1);
    tn_weight matrix = weight_of(w, 3, 18, NULL), narrow = weight_of(w, 3, 16, NULL), absent = weight_of(NULL, 3, 18, NULL);
    tn_vector bias = { 3, b, NULL }, shorter = { 2, b, NULL };
    tn_conv other = right;
    assert_non_null(tn_op_conv(&f.ops, x, &right, &matrix, &bias).data);
    refuse(&f, x, &right, &narrow, &bias);
    refuse(&f, x, &right, &absent, &bias);
    refuse(&f, x, &right, &matrix, &shorter);
    other.height = 5; /* not so many pixels */
    refuse(&f, x, &other, &matrix, &bias);
    other = right;
    other.stride = 0;
    refuse(&f, x, &other, &matrix, &bias);
    other = right;
    other.height = 2, other.width = 10; /* the kernel has no place */
    refuse(&f, x, &other, &matrix, &bias);
    other = right;
    other.top = SIZE_MAX;
    refuse(&f, x, &other, &matrix, &bias);
    other = right;
    other.kernel = (size_t)1 << 33; /* its square wraps to 0 */
    other.top = other.left = other.kernel;
    refuse(&f, x, &other, &matrix, &bias);
    fixture_close(&f);
}

/* ---------------------------------------------------------- group norm -- */

/* Sums in double: the result errs by the roundings of mean, x - mean, the factor and the two products. */
static void group_norm_is_exact_to_rounding(void **state)
{
    enum { PIXELS = 700, C = 64, GROUPS = 32, WIDE = C / GROUPS };
    (void)state;
    fixture f;
    fixture_open(&f, tn_kernels_reference(), 2, 5);
    tn_real *x = numbers(&f, PIXELS * C, 0.7, 1), *w = numbers(&f, C, 1, 0.3), *b = numbers(&f, C, 0, 1);
    for (size_t i = 0; i < PIXELS; i++) {
        x[i * C] *= 1e6f; /* P10 */
        x[i * C + 9] += 1000; /* a mean that is much larger than the deviation */
        x[i * C + 8] += 1000;
    }
    tn_vector scale = { C, w, NULL }, shift = { C, b, NULL };
    tn_tensor y = tn_op_group_norm(&f.ops, tensor(&f, PIXELS, C, x), &scale, &shift, GROUPS, 1e-6);
    works(&f);
    static double wanted[PIXELS * C], bound[PIXELS * C];
    for (size_t g = 0; g < GROUPS; g++) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < PIXELS * WIDE; i++)
            mean += (double)x[i / WIDE * C + g * WIDE + i % WIDE] / (PIXELS * WIDE);
        for (size_t i = 0; i < PIXELS * WIDE; i++) {
            double d = (double)x[i / WIDE * C + g * WIDE + i % WIDE] - mean;
            variance += d * d / (PIXELS * WIDE);
        }
        for (size_t i = 0; i < PIXELS * WIDE; i++) {
            size_t column = g * WIDE + i % WIDE, at = i / WIDE * C + column;
            double inverse = 1 / sqrt(variance + 1e-6), factor = fabs((double)w[column]) * inverse;
            wanted[at] = ((double)x[at] - mean) * inverse * (double)w[column] + (double)b[column];
            bound[at] = 2 * eps * (fabs(wanted[at]) + fabs((double)b[column]) + (fabs((double)x[at]) + fabs(mean)) * factor);
        }
    }
    assert_within(y.data, wanted, bound, PIXELS * C);
    tn_tensor other = tn_op_group_norm(&f.ops, tensor(&f, PIXELS, C, x), &scale, &shift, GROUPS / 2, 1e-6);
    assert_false(all_within(other.data, wanted, bound, PIXELS * C));
    assert_null(tn_op_group_norm(&f.ops, tensor(&f, PIXELS, C, x), &scale, &shift, 33, 1e-6).data);
    assert_int_equal(f.ops.failure.code, TENEBRA_ERROR_MISMATCH);
    fixture_close(&f);
}

/* -------------------------------------------------------------- nearest -- */

static void nearest_rows_are_found(void **state)
{
    enum { T = 300, N = 500, C = 20 };
    (void)state;
    for (size_t set = 0; tn_kernels_at(set) != NULL; set++) {
        fixture f;
        fixture_open(&f, tn_kernels_at(set), 2, 7);
        tn_real *x = numbers(&f, T * C, 0, 1), *e = numbers(&f, N * C, 0, 1), least[T];
        memcpy(e + 400 * C, e + 17 * C, C * sizeof *e); /* twice the same entry */
        memcpy(x + 5 * C, e + 400 * C, C * sizeof *e);
        memcpy(x + 6 * C, e + 17 * C, C * sizeof *e);
        tn_weight book = weight_of(e, N, C, NULL);
        int32_t codes[T];
        assert_true(tn_op_nearest(&f.ops, tensor(&f, T, C, x), &book, codes, least));
        for (size_t t = 0; t < T; t++) {
            double first = DBL_MAX, second = DBL_MAX;
            int32_t best = -1;
            for (size_t n = 0; n < N; n++) {
                double distance = 0;
                for (size_t i = 0; i < C; i++)
                    distance += ((double)x[t * C + i] - (double)e[n * C + i]) * ((double)x[t * C + i] - (double)e[n * C + i]);
                if (distance < first) {
                    second = first;
                    first = distance;
                    best = (int32_t)n;
                } else if (distance < second && n != 400) {
                    second = distance;
                }
            }
            /* |z|^2, |e|^2 and 2 z e are at most about 200 here; the formula errs by a few roundings of that. */
            assert_true(fabs(first - (double)least[t]) <= 1000 * eps);
            assert_true(second - first > 2000 * eps); /* no test of a choice that rounding makes */
            assert_int_equal(codes[t], best);
        }
        assert_int_equal(codes[5], 17); /* of equal entries, the first */
        assert_int_equal(codes[6], 17);
        fixture_close(&f);
    }
}

/* The codebook is widened, x is not rounded: neighbours that BF16 or 8-bit x could not tell apart. */
static void near_neighbours_are_told_apart(void **state)
{
    enum { N = 4, C = 32 };
    (void)state;
    for (size_t set = 0; tn_kernels_at(set) != NULL; set++) {
        fixture f;
        unsigned char packed[N * C * 2];
        tn_real e[N * C], x[2 * C];
        fixture_open(&f, tn_kernels_at(set), 2, 7);
        for (size_t i = 0; i < N * C; i++)
            e[i] = (tn_real)(i / C) + 1;
        tn_dtype_of(TN_BF16)->pack(e, N * C, packed);
        for (size_t i = 0; i < C; i++) {
            x[i] = 2.4999f; /* rounds to 2.5 in BF16, which is as near to 3 as to 2 */
            x[C + i] = 2.5001f;
        }
        tn_weight book = { { TN_BF16, N, C, packed, TN_ROWS }, NULL, NULL };
        int32_t codes[2];
        assert_true(tn_op_nearest(&f.ops, tensor(&f, 2, C, x), &book, codes, NULL));
        assert_int_equal(codes[0], 1);
        assert_int_equal(codes[1], 2);
        x[3] = (tn_real)NAN;
        x[C + 3] = (tn_real)1e30; /* its square is infinite */
        assert_true(tn_op_nearest(&f.ops, tensor(&f, 2, C, x), &book, codes, NULL));
        assert_int_equal(codes[0], -1);
        assert_int_equal(codes[1], -1);
        x[3] = x[C + 3] = 2.5f;
        e[N * C - 1] = (tn_real)NAN; /* of an entry that no row is near to */
        tn_dtype_of(TN_BF16)->pack(e, N * C, packed);
        assert_true(tn_op_nearest(&f.ops, tensor(&f, 2, C, x), &book, codes, NULL));
        assert_int_equal(codes[0], -1);
        assert_int_equal(codes[1], -1);
        tn_weight narrow = { { TN_BF16, N, C - 1, packed, TN_ROWS }, NULL, NULL };
        assert_false(tn_op_nearest(&f.ops, tensor(&f, 2, C, x), &narrow, codes, NULL));
        assert_int_equal(f.ops.failure.code, TENEBRA_ERROR_MISMATCH);
        fixture_close(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_are_sums),           cmocka_unit_test(places_matter),
        cmocka_unit_test(weights_have_any_type),           cmocka_unit_test(wrong_shapes_are_refused),
        cmocka_unit_test(group_norm_is_exact_to_rounding), cmocka_unit_test(nearest_rows_are_found),
        cmocka_unit_test(near_neighbours_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
