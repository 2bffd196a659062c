#include "base/rng.h"

#include <math.h>

uint64_t tn_seed_mix(uint64_t seed, uint64_t a, uint64_t b)
{
    tn_rng rng = tn_rng_seed(seed);
    rng.state = tn_rng_next(&rng) ^ (a * 0x9E3779B97F4A7C15u);
    rng.state = tn_rng_next(&rng) ^ (b * 0xC2B2AE3D27D4EB4Fu);
    return tn_rng_next(&rng);
}

uint64_t tn_rng_below(tn_rng *rng, uint64_t bound)
{
    uint64_t unfair = (UINT64_MAX - bound + 1) % bound; /* 2^64 mod bound */
    uint64_t draw;
    do
        draw = tn_rng_next(rng);
    while (draw < unfair);
    return draw % bound;
}

double tn_rng_normal(tn_rng *rng)
{
    double radius = sqrt(-2.0 * log(1.0 - tn_rng_uniform(rng)));
    return radius * cos(6.283185307179586 * tn_rng_uniform(rng));
}
