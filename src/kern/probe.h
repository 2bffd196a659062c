/* The speed of this machine at its present load, for programs that compare measured times with it. */
#ifndef TN_KERN_PROBE_H
#define TN_KERN_PROBE_H

#include "base/pool.h"
#include "kern/kernels.h"

/* Bytes per millisecond that all threads of the pool read from memory, the best of several attempts; 0 without memory. */
double tn_probe_bytes(tn_pool *pool);

/* Operations per millisecond of all threads of the pool in products with weights of `type` (tn_kernels.spin), the best of several
 * attempts; 0: not known. */
double tn_probe_operations(tn_pool *pool, const tn_kernels *kernels, tn_dtype type);

#endif
