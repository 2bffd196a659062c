/* Size arithmetic that reports overflow instead of wrapping. */
#ifndef TN_BASE_CHECKED_H
#define TN_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>

/* Stores a*b (a+b) in *out and returns true, or returns false on overflow. */
static inline bool tn_size_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

static inline bool tn_size_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline size_t tn_min(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t tn_max(size_t a, size_t b) { return a > b ? a : b; }

/* Smallest number of pieces of `size` that cover `total`; size > 0. */
static inline size_t tn_pieces(size_t total, size_t size)
{
    return total / size + (total % size != 0);
}

#endif
