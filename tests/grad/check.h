/* Gradients by finite differences, in double precision.
 *
 * A case owns parameters and a function that builds a loss from them. The loss is recorded once and
 * walked back; then each number of each parameter is moved by -2h .. 2h and the loss computed again
 * in inference, and the five-point central difference is compared with what the backward left:
 *     f' = (f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12h + h^4/30 f^(5).
 * With h = 1e-3 the rest is below 1e-13 times the fifth derivative (some hundreds here), and the
 * rounding of the loss, a few hundred 1e-16 over h, is about 1e-11. The bound 1e-8, relative to the
 * largest difference of the parameter, leaves room for both and is 1e5 times below an error of
 * 0.1 %, which each check proves to find (negative control). */
#ifndef TN_TESTS_GRAD_CHECK_H
#define TN_TESTS_GRAD_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "ops/ops.h"

#ifndef STEP
#define STEP 1e-3
#endif
#ifndef BOUND
#define BOUND 1e-8
#endif

enum { PARAMETERS = 96, COEFFICIENTS = 4096 };

typedef struct parameter {
    size_t rows, cols;
    double *values;
    double *grad;      /* what the backward left: of a weight or vector directly, else copied */
    tn_tensor recorded; /* where the parameter entered as a tensor */
} parameter;

typedef struct gradient_case {
    tn_ops ops;
    tn_arena stock, work; /* parameters; everything of one evaluation */
    tn_rng rng;
    size_t count;
    parameter parameters[PARAMETERS];
    double *coefficients;
    uint64_t variant; /* for builders that serve several tests */
    tn_keys kept;     /* a cache that outlives an evaluation   */
} gradient_case;

typedef tn_tensor build_fn(gradient_case *c);

static inline void *stock(gradient_case *c, size_t count, size_t size)
{
    void *taken = tn_arena_take(&c->stock, count, size);
    assert_non_null(taken);
    memset(taken, 0, count * size);
    return taken;
}

static inline void case_open(gradient_case *c, uint64_t seed)
{
    memset(c, 0, sizeof *c);
    assert_int_equal(tn_arena_open(&c->stock, 16u << 20, NULL), TENEBRA_OK);
    assert_int_equal(tn_arena_open(&c->work, 64u << 20, NULL), TENEBRA_OK);
    c->rng = tn_rng_seed(seed);
    c->ops.kernels = tn_kernels_reference();
    c->ops.arena = &c->work;
    c->coefficients = stock(c, COEFFICIENTS, sizeof(double));
    for (size_t i = 0; i < COEFFICIENTS; i++)
        c->coefficients[i] = tn_rng_normal(&c->rng);
}

static inline void case_close(gradient_case *c)
{
    tn_arena_close(&c->stock);
    tn_arena_close(&c->work);
}

/* A parameter of normal numbers around `mean`; returns its index. */
static inline size_t add(gradient_case *c, size_t rows, size_t cols, double mean, double deviation)
{
    assert_true(c->count < PARAMETERS);
    parameter *p = &c->parameters[c->count];
    *p = (parameter){ .rows = rows, .cols = cols };
    p->values = stock(c, rows * cols, sizeof(double));
    p->grad = stock(c, rows * cols, sizeof(double));
    for (size_t i = 0; i < rows * cols; i++)
        p->values[i] = mean + deviation * tn_rng_normal(&c->rng);
    return c->count++;
}

/* The parameter as an input tensor (a copy: operations may write over it), once a build. */
static inline tn_tensor input(gradient_case *c, size_t index)
{
    parameter *p = &c->parameters[index];
    tn_tensor x = tn_op_new(&c->ops, p->rows, p->cols);
    assert_non_null(x.data);
    memcpy(x.data, p->values, p->rows * p->cols * sizeof(double));
    p->recorded = x;
    return x;
}

static inline tn_weight weight(gradient_case *c, size_t index)
{
    parameter *p = &c->parameters[index];
    return (tn_weight){ { TN_F64, p->rows, p->cols, p->values, TN_ROWS }, c->ops.tape ? p->grad : NULL, NULL };
}

static inline tn_vector vector(gradient_case *c, size_t index)
{
    parameter *p = &c->parameters[index];
    return (tn_vector){ p->rows * p->cols, p->values, c->ops.tape ? p->grad : NULL };
}

/* An empty cache, with gradients while recording. */
static inline tn_keys cache(gradient_case *c, size_t capacity, size_t stride)
{
    size_t bytes = capacity * stride * sizeof(double);
    double *all = tn_arena_take(&c->work, 4, bytes);
    assert_non_null(all);
    memset(all, 0, 4 * bytes);
    size_t n = capacity * stride;
    return (tn_keys){ .capacity = capacity, .stride = stride, .k = all, .v = all + n,
                      .dk = c->ops.tape ? all + 2 * n : NULL, .dv = c->ops.tape ? all + 3 * n : NULL };
}

/* A fixed random linear function of y -> [1, 1]. */
static inline tn_tensor project(gradient_case *c, tn_tensor y)
{
    size_t n = y.rows * y.cols;
    assert_true(n <= COEFFICIENTS);
    tn_weight w = { { TN_F64, 1, n, c->coefficients, TN_ROWS }, NULL, NULL };
    return tn_op_linear(&c->ops, tn_op_reshape(&c->ops, y, 1, n), &w, NULL);
}

static inline double loss_of(gradient_case *c, build_fn *build)
{
    tn_arena_release(&c->work, 0);
    tn_tensor loss = build(c);
    assert_string_equal(c->ops.failure.sentence, "");
    return loss.data[0];
}

/* Records, walks back, and leaves the gradients in parameters[].grad; returns the loss. */
static inline double record(gradient_case *c, build_fn *build)
{
    for (size_t i = 0; i < c->count; i++) {
        parameter *p = &c->parameters[i];
        memset(p->grad, 0, p->rows * p->cols * sizeof(double));
        p->recorded = (tn_tensor){ 0 };
    }
    tn_arena_release(&c->work, 0);
    tn_tape_start(&c->ops);
    tn_tensor loss = build(c);
    assert_string_equal(c->ops.failure.sentence, "");
    tn_tape_backward(&c->ops, loss);
    assert_string_equal(c->ops.failure.sentence, "");
    assert_null(c->ops.tape);
    for (size_t i = 0; i < c->count; i++) {
        parameter *p = &c->parameters[i];
        if (p->recorded.grad != NULL)
            memcpy(p->grad, p->recorded.grad, p->rows * p->cols * sizeof(double));
        p->recorded = (tn_tensor){ 0 };
    }
    return loss.data[0];
}

/* d loss / d values[at] by five points. */
static inline double difference(gradient_case *c, build_fn *build, double *at)
{
    static const double places[4] = { -2, -1, 1, 2 }, factors[4] = { 1, -8, 8, -1 };
    double kept = *at, sum = 0;
    for (size_t i = 0; i < 4; i++) {
        *at = kept + places[i] * STEP;
        sum += factors[i] * loss_of(c, build);
    }
    *at = kept;
    return sum / (12 * STEP);
}

/* Largest distance between grad * factor and the differences, relative to the largest difference. */
static inline double distance(const double *grad, const double *differences, size_t n, double factor)
{
    double worst = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs(grad[i] * factor - differences[i]);
        if (isnan(d))
            return d;
        worst = fmax(worst, d);
        largest = fmax(largest, fabs(differences[i]));
    }
    return worst / largest;
}

/* Checks all numbers of all parameters, then that an error of 0.1 % would have been found. */
static inline void check(gradient_case *c, build_fn *build)
{
    double recorded = record(c, build), inferred = loss_of(c, build);
    assert_memory_equal(&recorded, &inferred, sizeof recorded);
    for (size_t i = 0; i < c->count; i++) {
        parameter *p = &c->parameters[i];
        size_t n = p->rows * p->cols;
        double *differences = stock(c, n, sizeof(double));
        for (size_t j = 0; j < n; j++)
            differences[j] = difference(c, build, &p->values[j]);
        double error = distance(p->grad, differences, n, 1);
        if (!(error <= BOUND))
            print_error("parameter %zu [%zu, %zu]: relative error %g\n", i, p->rows, p->cols, error);
        assert_true(error <= BOUND);
        assert_false(distance(p->grad, differences, n, 1.001) <= BOUND);
    }
}

#endif
