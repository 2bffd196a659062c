/* A counter-based random generator: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014). The same seed gives the same numbers
 * everywhere. The state is one word, which is easy to save in a checkpoint. Not for secrets. */
#ifndef TN_BASE_RNG_H
#define TN_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef struct tn_rng {
    uint64_t state;
} tn_rng;

static inline tn_rng tn_rng_seed(uint64_t seed)
{
    return (tn_rng){ seed };
}

/* 64 uniform bits. */
static inline uint64_t tn_rng_next(tn_rng *rng)
{
    uint64_t z = rng->state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Uniform in [0, 1), 53 bits. */
static inline double tn_rng_uniform(tn_rng *rng)
{
    return (double)(tn_rng_next(rng) >> 11) * 0x1p-53;
}

/* A seed made of another and two numbers, e.g. of a row and a column: equal ones of equal numbers, unrelated ones of others. */
uint64_t tn_seed_mix(uint64_t seed, uint64_t a, uint64_t b);

/* Uniform in 0 .. bound - 1 without bias; bound > 0. */
uint64_t tn_rng_below(tn_rng *rng, uint64_t bound);

/* Standard normal (Box and Muller 1958, the cosine branch). */
double tn_rng_normal(tn_rng *rng);

#endif
