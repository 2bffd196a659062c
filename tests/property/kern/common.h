/* Shared by the tests of the kernel sets: every set that this machine runs, and exact bounds.
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

/* A matrix in memory of exactly its size that starts at an odd address, and its values. */
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
    t.w = (tn_matrix){ type, rows, cols, t.memory + 1, TN_ROWS };
    tn_dtype_of(type)->pack(values, rows * cols, t.memory + 1);
    tn_dtype_of(type)->unpack(t.memory + 1, rows * cols, values);
    t.values = values;
    return t;
}

/* The same weights in panels, again at an odd address. */
static inline void put_into_panels(tn_test_matrix *t)
{
    tn_matrix w = t->w;
    w.order = TN_PANELS;
    assert_true(tn_matrix_fits(&w));
    unsigned char *memory = take(tn_matrix_bytes(&w), 1);
    for (size_t n = 0; n < w.rows; n += TN_PANEL) {
        size_t row_bytes = tn_dtype_row_bytes(w.type, w.cols), count = w.rows - n < TN_PANEL ? w.rows - n : TN_PANEL;
        tn_panel_pack(w.type, t->memory + 1 + n * row_bytes, row_bytes, count, w.cols,
                      memory + 1 + n / TN_PANEL * tn_panel_bytes(w.type, w.cols));
    }
    free(t->memory);
    t->memory = memory;
    w.data = memory + 1;
    t->w = w;
}

/* What the set makes of x for a product; NULL if it reads x itself. The caller frees it. */
static inline void *input_of(const tn_kernels *kernels, const tn_matrix *w, const float *x, size_t ldx, size_t m)
{
    size_t bytes = kernels->input_bytes(w, m);
    if (bytes == 0)
        return NULL;
    void *input = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_non_null(input);
    for (size_t i = 0; i < m; i += 3)
        kernels->input(w, x, ldx, i, i + 3 < m ? i + 3 : m, m, input);
    return input;
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
