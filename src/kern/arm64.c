/* The sets of 64-bit ARM. */
#include "kern/sets.h"

size_t tn_kernels_platform(tn_kernels_entry entries[TN_KERNELS_LIMIT])
{
    size_t count = 0;
    const tn_kernels *blas = tn_kernels_blas_over(&tn_neon_kernels);
    entries[count++] = (tn_kernels_entry){ &tn_reference_kernels, true };
    if (blas != NULL)
        entries[count++] = (tn_kernels_entry){ blas, true };
    entries[count++] = (tn_kernels_entry){ &tn_neon_kernels, true };
    return count;
}
