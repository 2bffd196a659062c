/* What the tests of the kernel sets share: every set that this machine runs, and exact bounds.
 *
 * A sum of k products in any order, fused or not, is off by at most gamma(k) = k u / (1 - k u) times
 * the sum of the absolute products, u = 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms,
 * 2nd edition, equation 3.5). Expected values are summed in double, whose error is far below. */
#ifndef TENEBRA_TESTS_KERN_COMMON_H
#define TENEBRA_TESTS_KERN_COMMON_H

#include "base/rng.h"
#include "kern/kernels.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Loops over the sets that this machine runs; looking one up takes long in a virtual machine. */
#define TN_EACH_SET(kernels)                                       \
    for (const tn_kernels *kernels = tn_kernels_at(0); kernels;    \
         kernels = tn_test_next_set(kernels))

static inline const tn_kernels *tn_test_next_set(const tn_kernels *kernels)
{
    size_t i = 0;
    while (tn_kernels_at(i) != kernels)
        i++;
    return tn_kernels_at(i + 1);
}

static inline double gamma_of(size_t count)
{
    double ku = (double)count * 0x1p-24;
    return ku / (1 - ku);
}

/* Never NULL. */
static inline void *take(size_t count, size_t size)
{
    void *memory = malloc(count * size + 1);
    assert_non_null(memory);
    return memory;
}

static inline float *random_floats(tn_rng *rng, size_t count, double scale)
{
    float *values = take(count, sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(tn_rng_normal(rng) * scale);
    return values;
}

/* A matrix in memory of exactly its size that starts at an odd address, and what it holds. */
typedef struct tn_test_matrix {
    tn_matrix w;
    unsigned char *memory;
    float *values; /* [rows, cols] */
} tn_test_matrix;

static inline tn_test_matrix random_matrix(tn_rng *rng, tn_dtype type, size_t rows, size_t cols, double scale)
{
    tn_test_matrix t;
    float *values = random_floats(rng, rows * cols, scale);
    t.memory = take(rows, tn_dtype_row_bytes(type, cols));
    t.w = (tn_matrix){ type, rows, cols, t.memory + 1 };
    tn_dtype_of(type)->pack(values, rows * cols, t.memory + 1);
    tn_dtype_of(type)->unpack(t.memory + 1, rows * cols, values);
    t.values = values;
    return t;
}

static inline void set_weight(tn_test_matrix *t, size_t row, size_t col, float value)
{
    size_t at = row * tn_dtype_row_bytes(t->w.type, t->w.cols) + tn_dtype_row_bytes(t->w.type, col);
    tn_dtype_of(t->w.type)->pack(&value, 1, t->memory + 1 + at);
}

static inline void free_matrix(tn_test_matrix *t)
{
    free(t->memory);
    free(t->values);
}

/* Outputs are laid into a field of this value, which no kernel may touch elsewhere. */
static const float untouched = -12345.678f;

static inline float *field(size_t count)
{
    float *values = take(count, sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = untouched;
    return values;
}

/* NaN is not within. */
static inline bool within(double value, double expected, double bound)
{
    return fabs(value - expected) <= bound;
}

#endif
