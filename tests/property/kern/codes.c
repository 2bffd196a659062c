/* Products of 8-bit x with quantised weights, and of BF16 x with BF16 weights: equal to the bit to the plain
 * statement of what they compute, in every set that has them, in rows and in panels. */
#include "property/kern/exact.h"

static const size_t sizes[][3] = { { 1, 16, 32 },  { 1, 67, 96 },  { 2, 80, 64 },   { 3, 33, 160 }, { 5, 130, 128 },
                                   { 6, 64, 2080 }, { 7, 48, 992 }, { 13, 17, 1056 }, { 33, 100, 1120 },
                                   { 37, 30, 544 }, { 49, 36, 224 } };

/* Blocks of 256: around the borders of tiles, panels and slabs of 16 units. */
static const size_t wide_sizes[][3] = { { 1, 16, 256 }, { 1, 67, 768 }, { 2, 80, 256 }, { 3, 33, 512 }, { 4, 64, 256 },
                                        { 6, 30, 4352 }, { 7, 48, 768 }, { 13, 17, 4096 }, { 33, 100, 512 }, { 37, 20, 8448 },
                                        { 49, 36, 256 } };

static void check_type(tn_dtype type, bool (*applies)(const tn_kernels *), tn_statement *expected)
{
    bool wide = tn_dtype_of(type)->block == TN_WIDE_BLOCK;
    tn_sets sets = { .count = 0 };
    TN_EACH_SET(kernels)
        if (applies(kernels)) {
            assert_true(sets.count < sizeof sets.at / sizeof *sets.at);
            sets.at[sets.count++] = kernels;
        }
    check_sets(&sets, type, wide ? wide_sizes : sizes, sizeof sizes / sizeof *sizes, expected);
    if (sets.count == 0)
        print_message("%s: no set of this machine has such products\n", tn_dtype_of(type)->name);
}

static bool has_codes(const tn_kernels *kernels)
{
    const tn_matrix w = { TN_Q8_0, 16, 32, NULL, TN_PANELS };
    return kernels->input_bytes(&w, 1) > 0;
}

static bool has_bf16(const tn_kernels *kernels)
{
    const tn_matrix w = { TN_BF16, 16, 32, NULL, TN_PANELS };
    return kernels->input_bytes(&w, 1) > 0;
}

static bool has_tiles(const tn_kernels *kernels) { return strcmp(kernels->name, "amx") == 0; }
static bool has_pairs(const tn_kernels *kernels) { return has_bf16(kernels) && !has_tiles(kernels); }

_Static_assert(sizeof wide_sizes == sizeof sizes, "as many of both");

static void test_quantised(void **state)
{
    (void)state;
    check_type(TN_Q8_0, has_codes, expected_code);
    check_type(TN_Q4_0, has_codes, expected_code);
    check_type(TN_IQ4_NL, has_codes, expected_code);
    check_type(TN_Q8_256, has_codes, expected_wide);
    check_type(TN_Q4_256, has_codes, expected_wide);
}

static void test_bf16(void **state)
{
    (void)state;
    check_type(TN_BF16, has_pairs, expected_pairs);
    check_type(TN_BF16, has_tiles, expected_tiles);
}

/* A row of x with a NaN or an infinity gives only NaN; a row of zeros gives zeros. */
static void test_not_finite(void **state)
{
    const float values[] = { NAN, INFINITY, -INFINITY, NAN, INFINITY, -INFINITY };
    (void)state;
    TN_EACH_SET(kernels)
        for (size_t v = 0; v < sizeof values / sizeof *values && has_codes(kernels); v++) {
            tn_setup s = v < 3 ? open_setup(TN_Q8_0, 9, 40, 96, 1) : open_setup(TN_Q8_256, 9, 40, 512, 1);
            s.x[4 * s.ldx + 50] = values[v];
            memset(s.x + 5 * s.ldx, 0, s.k * sizeof *s.x);
            float *y = run(kernels, &s.panels.w, &s);
            for (size_t i = 0; i < s.m; i++)
                for (size_t n = 0; n < s.n; n++) {
                    assert_int_equal(isfinite(y[i * s.n + n]) != 0, i != 4);
                    assert_int_equal(y[i * s.n + n] == 0, i == 5);
                }
            free(y);
            close_setup(&s);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantised),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
