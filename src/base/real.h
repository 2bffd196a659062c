/* The number type of activations, gradients and the cache.
 *
 * The product computes in float. The same sources are compiled a second time with TN_DOUBLE for the gradient tests,
 * because finite differences require the precision. tgmath selects expf or exp accordingly. */
#ifndef TN_BASE_REAL_H
#define TN_BASE_REAL_H

#include <tgmath.h>

#ifdef TN_DOUBLE
typedef double tn_real;
#else
typedef float tn_real;
#endif

#endif
