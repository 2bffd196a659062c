/* Operations over a fresh arena, and numbers to feed them. */
#ifndef TN_TESTS_UNIT_OPS_FIXTURE_H
#define TN_TESTS_UNIT_OPS_FIXTURE_H

#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/rng.h"
#include "ops/ops.h"

typedef struct fixture {
    tn_ops ops;
    tn_arena work, stock; /* operations; inputs */
    tn_rng rng;
} fixture;

/* The best set of this machine. */
static inline const tn_kernels *best_kernels(void)
{
    const tn_kernels *kernels;
    assert_int_equal(tn_kernels_choose(NULL, &kernels, NULL), TENEBRA_OK);
    return kernels;
}

static inline void fixture_open(fixture *f, const tn_kernels *kernels, size_t threads, uint64_t seed)
{
    memset(f, 0, sizeof *f);
    assert_int_equal(tn_arena_open(&f->work, (size_t)256 << 20, NULL), TENEBRA_OK);
    assert_int_equal(tn_arena_open(&f->stock, (size_t)256 << 20, NULL), TENEBRA_OK);
    f->rng = tn_rng_seed(seed);
    f->ops.kernels = kernels;
    f->ops.arena = &f->work;
    tn_pool_open(threads, &f->ops.pool, NULL);
    assert_non_null(f->ops.pool);
}

static inline void fixture_close(fixture *f)
{
    tn_pool_close(f->ops.pool);
    tn_arena_close(&f->work);
    tn_arena_close(&f->stock);
}

static inline tn_real *numbers(fixture *f, size_t count, double mean, double deviation)
{
    tn_real *x = tn_arena_take(&f->stock, count, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count; i++)
        x[i] = (tn_real)(mean + deviation * tn_rng_normal(&f->rng));
    return x;
}

/* A tensor of the operations' own memory holding x. */
static inline tn_tensor tensor(fixture *f, size_t rows, size_t cols, const tn_real *x)
{
    tn_tensor t = tn_op_new(&f->ops, rows, cols);
    assert_non_null(t.data);
    memcpy(t.data, x, rows * cols * sizeof *x);
    return t;
}

static inline tn_weight weight_of(const tn_real *values, size_t rows, size_t cols, tn_real *grad)
{
    return (tn_weight){ { TN_F32, rows, cols, values, TN_ROWS }, grad, NULL };
}

static inline void works(const fixture *f)
{
    assert_string_equal(f->ops.failure.sentence, "");
}

/* True if every |x - wanted| is within its bound; a NaN is not. */
static inline bool all_within(const tn_real *x, const double *wanted, const double *bound, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)x[i] - wanted[i]) <= bound[i]))
            return false;
    return true;
}

/* All numbers are within their bounds, and a negative control: a change of one number by more than its bound is noticed. */
static inline void assert_within(const tn_real *x, double *wanted, const double *bound, size_t n)
{
    assert_true(all_within(x, wanted, bound, n));
    size_t middle = n / 2;
    double kept = wanted[middle];
    wanted[middle] += 2.5 * bound[middle] + DBL_MIN;
    assert_false(all_within(x, wanted, bound, n));
    wanted[middle] = (double)NAN;
    assert_false(all_within(x, wanted, bound, n));
    wanted[middle] = kept;
}

#endif
