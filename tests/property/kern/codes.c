/* Products of 8-bit x with quantised weights, and of BF16 x with BF16 weights: equal to the bit to the plain
 * statement of what they compute, in every set that has them, in rows and in panels. */
#include "property/kern/exact.h"

#include "base/pool.h"

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
    size_t sets = 0;
    TN_EACH_SET(kernels)
        if (applies(kernels)) {
            check_set(kernels, type, wide ? wide_sizes : sizes, sizeof sizes / sizeof *sizes, expected);
            sets++;
        }
    if (sets == 0)
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

typedef struct tn_threads_job {
    const tn_kernels *kernels;
    const tn_matrix *w;
    const tn_setup *s;
    void *input;
    float *y, *scratch;
} tn_threads_job;

static void run_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_threads_job *job = argument;
    const tn_setup *s = job->s;
    size_t begin = chunk * job->kernels->linear_chunk, end = begin + job->kernels->linear_chunk;
    job->kernels->linear(job->w, begin, end < s->n ? end : s->n, s->x, s->ldx, job->input, s->m, job->y, s->n,
                         job->scratch + worker * job->kernels->linear_scratch(job->w, s->m));
}

/* The threads of a pool compute the same as one thread, also if a thread must set up its registers (AMX). */
static void test_threads(void **state)
{
    const tn_dtype types[] = { TN_Q8_0, TN_IQ4_NL, TN_BF16, TN_Q4_256 };
    (void)state;
    TN_EACH_SET(kernels)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            tn_setup s = open_setup(types[t], 35, 1000, types[t] == TN_Q4_256 ? 512 : 160, 1);
            tn_pool *pool;
            tn_pool_open(3, &pool, NULL);
            assert_non_null(pool);
            float *one = run(kernels, &s.panels.w, &s);
            tn_threads_job job = { kernels, &s.panels.w, &s, input_of(kernels, &s.panels.w, s.x, s.ldx, s.m),
                                   field(s.m * s.n), take(3 * kernels->linear_scratch(&s.panels.w, s.m), sizeof(float)) };
            tn_pool_run(pool, (s.n + kernels->linear_chunk - 1) / kernels->linear_chunk, run_chunk, &job);
            assert_memory_equal(job.y, one, s.m * s.n * sizeof *one);
            tn_pool_close(pool);
            free(job.input);
            free(job.y);
            free(job.scratch);
            free(one);
            close_setup(&s);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantised),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
