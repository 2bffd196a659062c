/* The sets of a platform without its own kernels. */
#include "kern/sets.h"

size_t tn_kernels_platform(tn_kernels_entry entries[TN_KERNELS_LIMIT])
{
    size_t count = 0;
    entries[count++] = (tn_kernels_entry){ &tn_reference_kernels, true };
    const tn_kernels *blas = tn_kernels_blas_over(&tn_reference_kernels);
    if (blas != NULL)
        entries[count++] = (tn_kernels_entry){ blas, true };
    return count;
}
