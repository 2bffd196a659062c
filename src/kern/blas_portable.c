/* BLAS on top of the reference set, if there is no other set. */
#include "kern/blas.h"
#include "base/checked.h"

TN_DEFINE_BLAS_KERNELS(reference);

const tn_kernels *tn_kernels_blas_over(const tn_kernels *native)
{
    tn_blas_use_one_thread();
    return native == &tn_reference_kernels ? &tn_openblas_reference : NULL;
}
