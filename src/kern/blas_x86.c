/* BLAS on top of the sets for x86-64. */
#include "kern/blas.h"
#include "base/checked.h"

TN_DEFINE_BLAS_KERNELS(reference);
TN_DEFINE_BLAS_KERNELS(avx2);
TN_DEFINE_BLAS_KERNELS(avx512);

const tn_kernels *tn_kernels_blas_over(const tn_kernels *native)
{
    tn_blas_use_one_thread();
    if (native == &tn_avx512_kernels)
        return &tn_openblas_avx512;
    return native == &tn_avx2_kernels ? &tn_openblas_avx2 : &tn_openblas_reference;
}
