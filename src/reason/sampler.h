/* From logits to a token. Greedy unless a temperature is given; no hidden penalties. */
#ifndef TN_REASON_SAMPLER_H
#define TN_REASON_SAMPLER_H

#include "base/real.h"
#include "base/rng.h"
#include "tenebra.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tn_sampler {
    tenebra_sampling sampling; /* top_p in (0, 1]; its seed is not read: `rng` was made of it */
    tn_rng rng;
    struct tn_candidate *candidates; /* scratch [V], used when not greedy, for the largest V */
} tn_sampler;

typedef struct tn_candidate {
    int32_t token;
    double weight;
} tn_candidate;

/* The largest logit, ties to the lower id; what is not a number never wins against what is. */
int32_t tn_sample_greedy(const tn_real *logits, size_t count);

/* Temperature, then top-k, then top-p (at least one token stays), as Hugging Face orders them. */
int32_t tn_sample_token(tn_sampler *sampler, const tn_real *logits, size_t count);

#endif
