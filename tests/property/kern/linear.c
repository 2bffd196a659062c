/* Every kernel set's linear against sums in double, at sizes that divide by nothing. */
#include "property/kern/common.h"

#include "base/pool.h"

typedef struct tn_case {
    const tn_kernels *kernels;
    tn_test_matrix t;
    size_t m, ldx, ldy;
    float *x, *y, *scratch;
    void *input;
} tn_case;

/* Types in rows, then those that have them in panels. */
enum { FORMS = 2 * TN_DTYPE_COUNT };

static bool has_form(size_t form)
{
    return form < TN_DTYPE_COUNT || tn_panel_has((tn_dtype)(form - TN_DTYPE_COUNT), 0);
}

/* `k` is rounded up to whole blocks of the type. */
static tn_case open_case(const tn_kernels *kernels, size_t form, size_t m, size_t n, size_t k, double scale,
                         uint64_t seed)
{
    tn_rng rng = tn_rng_seed(seed);
    tn_dtype type = (tn_dtype)(form % TN_DTYPE_COUNT);
    size_t block = tn_dtype_of(type)->block, cols = (k + block - 1) / block * block;
    tn_case c = { .kernels = kernels, .m = m, .ldx = cols + 3, .ldy = n + 5 };
    c.t = random_matrix(&rng, type, n, cols, 1);
    if (form >= TN_DTYPE_COUNT)
        put_into_panels(&c.t);
    c.x = random_floats(&rng, m * c.ldx, scale);
    c.y = field(m * c.ldy);
    c.scratch = take(kernels->linear_scratch(&c.t.w, m), sizeof *c.scratch);
    return c;
}

static void close_case(tn_case *c)
{
    free_matrix(&c->t);
    free(c->x);
    free(c->y);
    free(c->scratch);
    free(c->input);
}

/* Outputs begin .. end-1 in the chunks of the set. */
static void run(tn_case *c, size_t begin, size_t end)
{
    c->input = input_of(c->kernels, &c->t.w, c->x, c->ldx, c->m);
    for (size_t at = begin; at < end; at += c->kernels->linear_chunk) {
        size_t stop = at + c->kernels->linear_chunk;
        c->kernels->linear(&c->t.w, at, stop < end ? stop : end, c->x, c->ldx, c->input, c->m, c->y, c->ldy,
                           c->scratch);
    }
}

/* How far the set may round x[k] of a row: half a unit of BF16, or half a step of 1/127 of the largest of its
 * block (and a little for the scale). */
static double input_error(const tn_case *c, const float *x, size_t k)
{
    double largest = 0;
    if (c->input == NULL)
        return 0;
    if (tn_dtype_of(c->t.w.type)->block == 1)
        return 0x1p-8 * fabs((double)x[k]);
    const size_t block = tn_dtype_of(c->t.w.type)->block, begin = k / block * block;
    for (size_t i = begin; i < begin + block; i++)
        largest = fmax(largest, fabs((double)x[i]));
    return largest / 253;
}

/* The number of wrong values of y: outputs begin .. end-1 beyond their bound, and others that were changed. */
static size_t count_wrong(const tn_case *c, size_t begin, size_t end)
{
    size_t wrong = 0, k = c->t.w.cols;
    double *errors = take(k, sizeof *errors);
    for (size_t i = 0; i < c->m; i++) {
        for (size_t j = 0; j < k; j++)
            errors[j] = input_error(c, c->x + i * c->ldx, j);
        for (size_t n = 0; n < c->ldy; n++) {
            float value = c->y[i * c->ldy + n];
            if (n < begin || n >= end) {
                wrong += memcmp(&value, &untouched, sizeof value) != 0;
                continue;
            }
            double sum = 0, size = 0, rounded = 0;
            for (size_t j = 0; j < k; j++) {
                double weight = (double)c->t.values[n * k + j], term = (double)c->x[i * c->ldx + j] * weight;
                double error = errors[j] * fabs(weight);
                sum += term;
                size += fabs(term) + error;
                rounded += error;
            }
            wrong += !within(value, sum, rounded + gamma_of(k + 4) * size + (double)k * 0x1p-126);
        }
    }
    free(errors);
    return wrong;
}

static void check(const tn_kernels *kernels, size_t form, size_t m, size_t n, size_t k, double scale)
{
    tn_case c = open_case(kernels, form, m, n, k, scale, m * 1000003 + n * 1009 + k);
    run(&c, 0, n);
    size_t wrong = count_wrong(&c, 0, n);
    if (wrong)
        print_message("%s %s%s m %zu n %zu k %zu\n", kernels->name, tn_dtype_of(c.t.w.type)->name,
                      c.t.w.order == TN_PANELS ? " in panels" : "", m, n, k);
    assert_int_equal(wrong, 0);
    close_case(&c);
}

/* Every number of rows that a tile can have, and some beyond. */
static void test_every_row_count(void **state)
{
    (void)state;
    TN_EACH_SET(kernels)
        for (size_t form = 0; form < FORMS; form++)
            for (size_t m = 1; m <= 70 && has_form(form); m += m < 14 ? 1 : 7)
                check(kernels, form, m, 67, 77, 1);
}

static void test_odd_sizes(void **state)
{
    const size_t sizes[][3] = { { 1, 1, 1 },    { 2, 3, 5 },     { 7, 65, 15 },   { 5, 130, 16 },  { 13, 129, 17 },
                                { 72, 64, 33 }, { 73, 66, 767 }, { 1, 71, 769 },  { 145, 9, 1537 }, { 19, 70, 2051 },
                                { 4, 33, 2305 } };
    (void)state;
    TN_EACH_SET(kernels)
        for (size_t form = 0; form < FORMS; form++)
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes && has_form(form); i++)
                check(kernels, form, sizes[i][0], sizes[i][1], sizes[i][2], 1);
}

/* Activations far beyond the range of 16-bit types: nothing may be rounded to them (pitfall P10). */
static void test_large_activations(void **state)
{
    (void)state;
    TN_EACH_SET(kernels)
        for (size_t form = 0; form < FORMS; form++)
            if (has_form(form)) {
                check(kernels, form, 3, 67, 133, 1e7);
                check(kernels, form, 40, 67, 133, 1e30);
            }
}

static void test_chunk_borders(void **state)
{
    (void)state;
    TN_EACH_SET(kernels)
        for (size_t m = 1; m <= 41; m += 20) {
            size_t chunk = kernels->linear_chunk, n = 3 * chunk + 1;
            for (size_t at = 0; at < n; at += chunk) {
                size_t end = at + chunk < n ? at + chunk : n;
                tn_case c = open_case(kernels, TN_BF16, m, n, 45, 1, at + m);
                run(&c, at, end);
                assert_int_equal(count_wrong(&c, at, end), 0);
                close_case(&c);
            }
        }
}

/* The check itself: one weight changed by a quarter of the size of a usual one must show. */
static void test_wrong_weight_is_seen(void **state)
{
    (void)state;
    TN_EACH_SET(kernels)
        for (size_t type = 0; type < TN_DTYPE_COUNT; type++)
            for (size_t m = 1; m <= 50 && tn_dtype_of((tn_dtype)type)->block == 1; m += 49) {
                tn_case c = open_case(kernels, type, m, 67, 77, 1, 5);
                set_weight(&c.t, 66, 76, c.t.values[67 * 77 - 1] + 0.25f);
                run(&c, 0, 67);
                size_t wrong = count_wrong(&c, 0, 67);
                assert_in_range(wrong, 1, m);
                close_case(&c);
            }
}

/* A NaN or infinity of a row of x shows in that row of y, one of a row of w in that column. */
static void test_nan_and_infinity_stay(void **state)
{
    const float values[] = { NAN, INFINITY };
    (void)state;
    TN_EACH_SET(kernels)
        for (size_t type = 0; type < TN_DTYPE_COUNT; type++)
            for (size_t m = 2; m <= 50 && tn_dtype_of((tn_dtype)type)->block == 1; m += 24)
                for (size_t v = 0; v < 2; v++) {
                    tn_case c = open_case(kernels, type, m, 67, 77, 1, m);
                    c.x[1 * c.ldx + 76] = values[v];
                    set_weight(&c.t, 65, 3, values[v]);
                    run(&c, 0, 67);
                    for (size_t i = 0; i < m; i++)
                        for (size_t n = 0; n < 67; n++)
                            assert_int_equal(isfinite(c.y[i * c.ldy + n]) != 0, i != 1 && n != 65);
                    assert_int_equal(isnan(c.y[1 * c.ldy]) != 0, v == 0);
                    assert_int_equal(isnan(c.y[65]) != 0, v == 0);
                    close_case(&c);
                }
}

/* A row of y has the same bits alone and among others; a BLAS library promises no such thing. */
static void test_rows_do_not_depend_on_others(void **state)
{
    (void)state;
    TN_EACH_SET(kernels) {
        if (strcmp(kernels->name, "openblas") == 0)
            continue;
        for (size_t form = 0; form < FORMS; form++) {
            if (!has_form(form))
                continue;
            tn_case many = open_case(kernels, form, 150, 67, 1601, 1, 8);
            run(&many, 0, 67);
            for (size_t m = 1; m <= 20; m++) {
                tn_case few = open_case(kernels, form, m, 67, 1601, 1, 8);
                run(&few, 0, 67);
                assert_memory_equal(few.y, many.y, m * many.ldy * sizeof *many.y);
                close_case(&few);
            }
            close_case(&many);
        }
    }
}

static void run_chunk(void *argument, size_t chunk, size_t worker)
{
    tn_case *c = argument;
    size_t begin = chunk * c->kernels->linear_chunk, end = begin + c->kernels->linear_chunk;
    c->kernels->linear(&c->t.w, begin, end < c->t.w.rows ? end : c->t.w.rows, c->x, c->ldx, c->input, c->m, c->y,
                       c->ldy, c->scratch + worker * c->kernels->linear_scratch(&c->t.w, c->m));
}

static void test_any_thread_count_gives_the_same_bits(void **state)
{
    (void)state;
    TN_EACH_SET(kernels)
        for (size_t m = 1; m <= 100; m += 99) {
            tn_case one = open_case(kernels, TN_F16, m, 517, 331, 1, 9);
            run(&one, 0, 517);
            for (size_t threads = 1; threads <= 3; threads++) {
                tn_case c = open_case(kernels, TN_F16, m, 517, 331, 1, 9);
                c.input = input_of(kernels, &c.t.w, c.x, c.ldx, m);
                tn_pool *pool;
                tn_pool_open(threads, &pool, NULL);
                assert_non_null(pool);
                free(c.scratch);
                c.scratch = take(3 * c.kernels->linear_scratch(&c.t.w, m), sizeof *c.scratch);
                tn_pool_run(pool, (517 + c.kernels->linear_chunk - 1) / c.kernels->linear_chunk, run_chunk, &c);
                tn_pool_close(pool);
                assert_memory_equal(c.y, one.y, m * one.ldy * sizeof *one.y);
                close_case(&c);
            }
            close_case(&one);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_count),
        cmocka_unit_test(test_odd_sizes),
        cmocka_unit_test(test_large_activations),
        cmocka_unit_test(test_chunk_borders),
        cmocka_unit_test(test_wrong_weight_is_seen),
        cmocka_unit_test(test_nan_and_infinity_stay),
        cmocka_unit_test(test_rows_do_not_depend_on_others),
        cmocka_unit_test(test_any_thread_count_gives_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
