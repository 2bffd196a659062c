/* Every kernel set's linear against sums in double, at sizes that divide by nothing. */
#include "property/kern/common.h"

/* A product, and the sums that it is compared with, which are the same for all sets. */
typedef struct tn_case {
    tn_test_matrix t;
    size_t m, n, ldx, ldy;
    float *x;
    double *sums, *sizes, *rounded; /* [m, n]: of the terms, of their absolute values, of what rounding x may do to them */
} tn_case;

/* Types in rows, then those that have them in panels. */
enum { FORMS = 2 * TN_DTYPE_COUNT };

static bool has_form(size_t form)
{
    return form < TN_DTYPE_COUNT || tn_panel_has((tn_dtype)(form - TN_DTYPE_COUNT), 0);
}

/* How far a set that rounds x may round x[k] of a row: half a unit of BF16, or half a step of 1/127 of the largest of
 * its block (and a little for the scale). */
static double input_error(const tn_case *c, const float *x, size_t k)
{
    const size_t block = tn_dtype_of(c->t.w.type)->block, begin = k / block * block;
    double largest = 0;
    if (block == 1)
        return 0x1p-8 * fabs((double)x[k]);
    for (size_t i = begin; i < begin + block; i++)
        largest = fmax(largest, fabs((double)x[i]));
    return largest / 253;
}

static void put_sums(tn_case *c)
{
    const size_t k = c->t.w.cols;
    double *errors = take(k, sizeof *errors);
    for (size_t i = 0; i < c->m; i++) {
        const float *x = c->x + i * c->ldx;
        for (size_t j = 0; j < k; j++)
            errors[j] = input_error(c, x, j);
        for (size_t n = 0; n < c->n; n++) {
            double sum = 0, size = 0, rounded = 0;
            for (size_t j = 0; j < k; j++) {
                double weight = (double)c->t.values[n * k + j], term = (double)x[j] * weight;
                sum += term;
                size += fabs(term);
                rounded += errors[j] * fabs(weight);
            }
            c->sums[i * c->n + n] = sum;
            c->sizes[i * c->n + n] = size;
            c->rounded[i * c->n + n] = rounded;
        }
    }
    free(errors);
}

/* `k` is rounded up to whole blocks of the type. */
static tn_case open_case(size_t form, size_t m, size_t n, size_t k, double scale, uint64_t seed)
{
    tn_rng rng = tn_rng_seed(seed);
    tn_dtype type = (tn_dtype)(form % TN_DTYPE_COUNT);
    size_t block = tn_dtype_of(type)->block, cols = (k + block - 1) / block * block;
    tn_case c = { .m = m, .n = n, .ldx = cols + 3, .ldy = n + 5 };
    c.t = random_matrix(&rng, type, n, cols, 1);
    if (form >= TN_DTYPE_COUNT)
        put_into_panels(&c.t);
    c.x = random_floats(&rng, m * c.ldx, scale);
    c.sums = take(m * n, sizeof *c.sums);
    c.sizes = take(m * n, sizeof *c.sizes);
    c.rounded = take(m * n, sizeof *c.rounded);
    return c;
}

static void close_case(tn_case *c)
{
    free_matrix(&c->t);
    free(c->x);
    free(c->sums);
    free(c->sizes);
    free(c->rounded);
}

/* Outputs begin .. end-1 in the chunks of the set: y [m, ldy], which the caller frees. */
static float *run(const tn_case *c, const tn_kernels *kernels, size_t begin, size_t end)
{
    float *y = field(c->m * c->ldy), *scratch = take(kernels->linear_scratch(&c->t.w, c->m), sizeof *scratch);
    void *input = input_of(kernels, &c->t.w, c->x, c->ldx, c->m);
    for (size_t at = begin; at < end; at += kernels->linear_chunk) {
        size_t stop = at + kernels->linear_chunk;
        kernels->linear(&c->t.w, at, stop < end ? stop : end, c->x, c->ldx, input, c->m, y, c->ldy, scratch);
    }
    free(input);
    free(scratch);
    return y;
}

/* Runs the set and counts wrong values: outputs begin .. end-1 beyond their bound, and others that were changed. */
static size_t count_wrong(const tn_case *c, const tn_kernels *kernels, size_t begin, size_t end)
{
    const size_t k = c->t.w.cols;
    const bool rounds = kernels->input_bytes(&c->t.w, c->m) > 0;
    size_t wrong = 0;
    float *y = run(c, kernels, begin, end);
    for (size_t i = 0; i < c->m; i++)
        for (size_t n = 0; n < c->ldy; n++) {
            float value = y[i * c->ldy + n];
            if (n < begin || n >= end) {
                wrong += memcmp(&value, &untouched, sizeof value) != 0;
                continue;
            }
            double size = c->sizes[i * c->n + n], rounded = rounds ? c->rounded[i * c->n + n] : 0;
            wrong += !within(value, c->sums[i * c->n + n],
                             rounded + gamma_of(k + 4) * (size + rounded) + (double)k * 0x1p-126);
        }
    free(y);
    return wrong;
}

static void check(size_t form, size_t m, size_t n, size_t k, double scale)
{
    tn_case c = open_case(form, m, n, k, scale, m * 1000003 + n * 1009 + k);
    put_sums(&c);
    TN_EACH_SET(kernels) {
        size_t wrong = count_wrong(&c, kernels, 0, n);
        if (wrong)
            print_message("%s %s%s m %zu n %zu k %zu\n", kernels->name, tn_dtype_of(c.t.w.type)->name,
                          c.t.w.order == TN_PANELS ? " in panels" : "", m, n, k);
        assert_int_equal(wrong, 0);
    }
    close_case(&c);
}

/* Every number of rows that a tile can have, and some beyond. */
static void test_every_row_count(void **state)
{
    (void)state;
    for (size_t form = 0; form < FORMS; form++)
        for (size_t m = 1; m <= 70 && has_form(form); m += m < 14 ? 1 : 7)
            check(form, m, 67, 77, 1);
}

static void test_odd_sizes(void **state)
{
    const size_t sizes[][3] = { { 1, 1, 1 },    { 2, 3, 5 },     { 7, 65, 15 },   { 5, 130, 16 },  { 13, 129, 17 },
                                { 72, 64, 33 }, { 73, 66, 767 }, { 1, 71, 769 },  { 145, 9, 1537 }, { 19, 70, 2051 },
                                { 4, 33, 2305 } };
    (void)state;
    for (size_t form = 0; form < FORMS; form++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes && has_form(form); i++)
            check(form, sizes[i][0], sizes[i][1], sizes[i][2], 1);
}

/* Activations far beyond the range of 16-bit types: nothing may be rounded to them (pitfall P10). */
static void test_large_activations(void **state)
{
    (void)state;
    for (size_t form = 0; form < FORMS; form++)
        if (has_form(form)) {
            check(form, 3, 67, 133, 1e7);
            check(form, 40, 67, 133, 1e30);
        }
}

static void test_chunk_borders(void **state)
{
    (void)state;
    TN_EACH_SET(kernels)
        for (size_t m = 1; m <= 41; m += 20) {
            size_t chunk = kernels->linear_chunk, n = 3 * chunk + 1;
            tn_case c = open_case(TN_BF16, m, n, 45, 1, m);
            put_sums(&c);
            for (size_t at = 0; at < n; at += chunk)
                assert_int_equal(count_wrong(&c, kernels, at, at + chunk < n ? at + chunk : n), 0);
            close_case(&c);
        }
}

/* The check itself: one weight changed by a quarter of the size of a usual one must show. */
static void test_wrong_weight_is_seen(void **state)
{
    (void)state;
    for (size_t type = 0; type < TN_DTYPE_COUNT; type++)
        for (size_t m = 1; m <= 50 && tn_dtype_of((tn_dtype)type)->block == 1; m += 49) {
            tn_case c = open_case(type, m, 67, 77, 1, 5);
            put_sums(&c);
            set_weight(&c.t, 66, 76, c.t.values[67 * 77 - 1] + 0.25f);
            TN_EACH_SET(kernels)
                assert_in_range(count_wrong(&c, kernels, 0, 67), 1, m);
            close_case(&c);
        }
}

/* A NaN or infinity of a row of x shows in that row of y, one of a row of w in that column. */
static void check_not_finite(const tn_kernels *kernels, const tn_case *c, bool nan)
{
    float *y = run(c, kernels, 0, 67);
    for (size_t i = 0; i < c->m; i++)
        for (size_t n = 0; n < 67; n++)
            assert_int_equal(isfinite(y[i * c->ldy + n]) != 0, i != 1 && n != 65);
    assert_int_equal(isnan(y[1 * c->ldy]) != 0, nan);
    assert_int_equal(isnan(y[65]) != 0, nan);
    free(y);
}

static void test_nan_and_infinity_stay(void **state)
{
    const float values[] = { NAN, INFINITY };
    (void)state;
    for (size_t type = 0; type < TN_DTYPE_COUNT; type++)
        for (size_t m = 2; m <= 50 && tn_dtype_of((tn_dtype)type)->block == 1; m += 24)
            for (size_t v = 0; v < 2; v++) {
                tn_case c = open_case(type, m, 67, 77, 1, m);
                c.x[1 * c.ldx + 76] = values[v];
                set_weight(&c.t, 65, 3, values[v]);
                TN_EACH_SET(kernels)
                    check_not_finite(kernels, &c, v == 0);
                close_case(&c);
            }
}

/* A row of y has the same bits alone and among others; a BLAS library promises no such thing. */
static void check_rows(const tn_kernels *kernels, const tn_case *many)
{
    float *all = run(many, kernels, 0, many->n);
    for (size_t m = 1; m <= 20; m++) {
        tn_case few = *many;
        few.m = m;
        few.x = take(m * few.ldx, sizeof *few.x); /* no longer than its rows */
        memcpy(few.x, many->x, m * few.ldx * sizeof *few.x);
        float *y = run(&few, kernels, 0, few.n);
        assert_memory_equal(y, all, m * few.ldy * sizeof *y);
        free(y);
        free(few.x);
    }
    free(all);
}

static void test_rows_do_not_depend_on_others(void **state)
{
    (void)state;
    for (size_t form = 0; form < FORMS; form++) {
        if (!has_form(form))
            continue;
        tn_case many = open_case(form, 150, 67, 1601, 1, 8);
        TN_EACH_SET(kernels)
            if (strcmp(kernels->name, "openblas") != 0)
                check_rows(kernels, &many);
        close_case(&many);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
