/* Large matrix products by OpenBLAS (CBLAS interface, one thread per call, because our pool divides the work). Only
 * built on request (TENEBRA_BLAS). Results depend on chunks and on m, as the library decides. */
#ifndef TN_KERN_BLAS_H
#define TN_KERN_BLAS_H

#include "kern/sets.h"

enum {
    TN_BLAS_CHUNK = 64,   /* outputs of a chunk, as in the native sets                       */
    TN_BLAS_DEPTH = 2048, /* rows or columns of weights unpacked at a time                   */
    TN_BLAS_ROWS = 16     /* from this size on, a product is large                           */
};

/* Reals of scratch for the three functions below, which are entries of tn_kernels. */
#define TN_BLAS_SCRATCH ((size_t)TN_BLAS_CHUNK * TN_BLAS_DEPTH)

void tn_blas_use_one_thread(void);

/* True if the library's integers can hold the sizes of such a product. */
bool tn_blas_fits(size_t m, size_t n, size_t k, size_t widest_stride);

void tn_blas_linear(const tn_matrix *w, size_t begin, size_t end, const tn_real *x, size_t ldx, 
                    const void *input, size_t m, tn_real *y, size_t ldy, tn_real *scratch);
void tn_blas_linear_dx(const tn_matrix *w, size_t begin, size_t end, const tn_real *dy, size_t lddy, size_t m,
                       tn_real *dx, size_t lddx, tn_real *scratch);
void tn_blas_linear_dw(tn_real *dw, size_t k, size_t begin, size_t end, const tn_real *dy, size_t lddy,
                       const tn_real *x, size_t ldx, size_t m, tn_real *scratch);

/* Defines tn_openblas_<native>: the set that uses BLAS for large products and the set `native`, whose chunk is
 * TN_BLAS_CHUNK, for the rest. */
#define TN_DEFINE_BLAS_KERNELS(native)                                                                       \
    static size_t native##_scratch(const tn_matrix *w, size_t m)                                             \
    {                                                                                                        \
        return tn_max(TN_BLAS_SCRATCH, tn_##native##_linear_scratch(w, m));                                  \
    }                                                                                                        \
    static void native##_linear(const tn_matrix *w, size_t begin, size_t end, const tn_real *x, size_t ldx,  \
                                const void *input, size_t m, tn_real *y, size_t ldy, tn_real *scratch)       \
    {                                                                                                        \
        bool large = input == NULL && m >= TN_BLAS_ROWS && tn_blas_fits(m, w->rows, w->cols, tn_max(ldx, ldy)); \
        (large ? tn_blas_linear : tn_##native##_linear)(w, begin, end, x, ldx, input, m, y, ldy, scratch);   \
    }                                                                                                        \
    static void native##_dx(const tn_matrix *w, size_t begin, size_t end, const tn_real *dy, size_t lddy,    \
                            size_t m, tn_real *dx, size_t lddx, tn_real *scratch)                            \
    {                                                                                                        \
        bool large = m >= TN_BLAS_ROWS && tn_blas_fits(m, w->rows, w->cols, tn_max(lddy, lddx));             \
        (large ? tn_blas_linear_dx : tn_##native##_linear_dx)(w, begin, end, dy, lddy, m, dx, lddx,          \
                                                              scratch);                                      \
    }                                                                                                        \
    static void native##_dw(tn_real *dw, size_t k, size_t begin, size_t end, const tn_real *dy, size_t lddy, \
                            const tn_real *x, size_t ldx, size_t m, tn_real *scratch)                        \
    {                                                                                                        \
        bool large = m >= TN_BLAS_ROWS && tn_blas_fits(m, end - begin, k, tn_max(lddy, ldx));                \
        (large ? tn_blas_linear_dw : tn_##native##_linear_dw)(dw, k, begin, end, dy, lddy, x, ldx, m,        \
                                                              scratch);                                      \
    }                                                                                                        \
    static const tn_kernels tn_openblas_##native = {                                                         \
        .name = "openblas",                                                                                  \
        .linear_chunk = TN_BLAS_CHUNK,                                                                       \
        .linear_scratch = native##_scratch,                                                                  \
        .input_bytes = tn_##native##_input_bytes,                                                            \
        .input = tn_##native##_input,                                                                        \
        .linear = native##_linear,                                                                           \
        .linear_dx = native##_dx,                                                                            \
        .linear_dw = native##_dw,                                                                            \
        TN_VECTOR_ENTRIES(native),                                                                           \
    }

#endif
