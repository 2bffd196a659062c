/* The threads of a pool compute the same bits as one thread, in every kernel set, also where a thread must set up its registers
 * (AMX). These tests are a program of their own, because only they have to run under ThreadSanitizer. */
#include "property/kern/common.h"

#include "base/pool.h"

enum { THREADS = 3 };

typedef struct tn_product {
    const tn_kernels *kernels;
    tn_test_matrix t;
    size_t m, ldx, ldy;
    float *x, *y, *scratch; /* the scratch of THREADS threads, one after another */
    void *input;
} tn_product;

static void run_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_product *p = argument;
    const tn_kernels *kernels = p->kernels;
    size_t begin = chunk * kernels->linear_chunk, end = begin + kernels->linear_chunk;
    kernels->linear(&p->t.w, begin, end < p->t.w.rows ? end : p->t.w.rows, p->x, p->ldx, p->input, p->m, p->y, p->ldy,
                    p->scratch + worker * kernels->linear_scratch(&p->t.w, p->m));
}

/* y [m, ldy], which the caller frees. Without threads, chunk by chunk. */
static float *run(tn_product *p, size_t threads)
{
    const size_t chunks = (p->t.w.rows + p->kernels->linear_chunk - 1) / p->kernels->linear_chunk;
    float *y = p->y = field(p->m * p->ldy);
    tn_pool *pool;
    p->scratch = take(THREADS * p->kernels->linear_scratch(&p->t.w, p->m), sizeof *p->scratch);
    p->input = input_of(p->kernels, &p->t.w, p->x, p->ldx, p->m);
    for (size_t chunk = 0; chunk < chunks && threads == 0; chunk++)
        run_chunk(p, chunk, 0);
    if (threads > 0) {
        tn_pool_open(threads, &pool, NULL);
        assert_non_null(pool);
        tn_pool_run(pool, chunks, run_chunk, p);
        tn_pool_close(pool);
    }
    free(p->scratch);
    free(p->input);
    return y;
}

static void check(tn_dtype type, tn_order order, size_t m, size_t n, size_t k)
{
    tn_rng rng = tn_rng_seed(9);
    tn_product p = { .t = random_matrix(&rng, type, n, k, 1), .m = m, .ldx = k + 3, .ldy = n + 5 };
    if (order == TN_PANELS)
        put_into_panels(&p.t);
    p.x = random_floats(&rng, m * p.ldx, 1);
    TN_EACH_SET(kernels) {
        p.kernels = kernels;
        float *one = run(&p, 0);
        assert_true(one[0] != untouched && one[n - 1] != untouched);
        for (size_t threads = 1; threads <= THREADS; threads++) {
            float *y = run(&p, threads);
            assert_memory_equal(y, one, m * p.ldy * sizeof *y);
            free(y);
        }
        free(one);
    }
    free_matrix(&p.t);
    free(p.x);
}

static void test_rows(void **state)
{
    (void)state;
    check(TN_F16, TN_ROWS, 1, 517, 331);
    check(TN_F16, TN_ROWS, 100, 517, 331);
}

static void test_panels(void **state)
{
    (void)state;
    check(TN_Q8_0, TN_PANELS, 35, 1000, 160);
    check(TN_IQ4_NL, TN_PANELS, 35, 1000, 160);
    check(TN_BF16, TN_PANELS, 35, 1000, 160);
    check(TN_Q4_256, TN_PANELS, 35, 1000, 512);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_panels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
