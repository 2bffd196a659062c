#include "kern/blas.h"
#include "base/checked.h"

#include <cblas.h>
#include <limits.h>

bool tn_blas_fits(size_t m, size_t n, size_t k, size_t widest_stride)
{
    return tn_max(tn_max(m, n), tn_max(k, widest_stride)) <= INT_MAX;
}

/* This setting applies to the whole process. Our pool divides the work; a second pool would compete with it for the
 * cores. */
void tn_blas_use_one_thread(void)
{
    openblas_set_num_threads(1);
}

void tn_blas_linear(const tn_matrix *w, size_t begin, size_t end, const tn_real *x, size_t ldx,
                    const void *input, size_t m, tn_real *y, size_t ldy, tn_real *scratch)
{
    (void)input;
    for (size_t n = begin; n < end; n += TN_BLAS_CHUNK)
        for (size_t k = 0; k < w->cols; k += TN_BLAS_DEPTH) {
            size_t outputs = tn_min(TN_BLAS_CHUNK, end - n), count = tn_min(TN_BLAS_DEPTH, w->cols - k);
            for (size_t j = 0; j < outputs; j++)
                tn_matrix_unpack(w, n + j, k, count, scratch + j * TN_BLAS_DEPTH);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, (int)outputs, (int)count, 1.0f, x + k,
                        (int)ldx, scratch, TN_BLAS_DEPTH, k > 0 ? 1.0f : 0.0f, y + n, (int)ldy);
        }
}

void tn_blas_linear_dx(const tn_matrix *w, size_t begin, size_t end, const tn_real *dy, size_t lddy, size_t m,
                       tn_real *dx, size_t lddx, tn_real *scratch)
{
    for (size_t k = begin; k < end; k += TN_BLAS_CHUNK)
        for (size_t n = 0; n < w->rows; n += TN_BLAS_DEPTH) {
            size_t columns = tn_min(TN_BLAS_CHUNK, end - k), count = tn_min(TN_BLAS_DEPTH, w->rows - n);
            for (size_t j = 0; j < count; j++)
                tn_matrix_unpack(w, n + j, k, columns, scratch + j * TN_BLAS_CHUNK);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)m, (int)columns, (int)count, 1.0f, dy + n,
                        (int)lddy, scratch, TN_BLAS_CHUNK, 1.0f, dx + k, (int)lddx);
        }
}

void tn_blas_linear_dw(tn_real *dw, size_t k, size_t begin, size_t end, const tn_real *dy, size_t lddy,
                       const tn_real *x, size_t ldx, size_t m, tn_real *scratch)
{
    (void)scratch;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)(end - begin), (int)k, (int)m, 1.0f, dy + begin,
                (int)lddy, x, (int)ldx, 1.0f, dw + begin * k, (int)k);
}
