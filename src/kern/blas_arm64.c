/* BLAS on top of the set for 64-bit ARM. */
#include "kern/blas.h"
#include "base/checked.h"

TN_DEFINE_BLAS_KERNELS(neon);

const tn_kernels *tn_kernels_blas_over(const tn_kernels *native)
{
    tn_blas_use_one_thread();
    return native == &tn_neon_kernels ? &tn_openblas_neon : NULL;
}
