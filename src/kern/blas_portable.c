/* BLAS over the reference set, where there is no other. */
#include "kern/blas.h"
#include "base/checked.h"

TN_DEFINE_BLAS_KERNELS(reference);

const tn_kernels *tn_kernels_blas_over(const tn_kernels *native)
{
    tn_blas_use_one_thread();
    return native == &tn_reference_kernels ? &tn_openblas_reference : NULL;
}
