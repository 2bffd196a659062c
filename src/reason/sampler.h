/* Chooses a token from logits: greedily unless a temperature is given, without hidden penalties. */
#ifndef TN_REASON_SAMPLER_H
#define TN_REASON_SAMPLER_H

#include "base/real.h"
#include "base/rng.h"
#include "tenebra.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tn_sampler {
    tenebra_sampling sampling; /* top_p in (0, 1]; the seed is not used, because `rng` was made from it */
    tn_rng rng;
    struct tn_candidate *candidates; /* scratch [V] for the largest V, used if not greedy */
} tn_sampler;

typedef struct tn_candidate {
    int32_t token;
    double weight;
} tn_candidate;

/* The id of the largest logit, of equal ones the lowest id; NaN is less than any number. */
int32_t tn_sample_greedy(const tn_real *logits, size_t count);

/* Temperature, then top-k, then top-p (at least one token is kept), in the order of Hugging Face. */
int32_t tn_sample_token(tn_sampler *sampler, const tn_real *logits, size_t count);

#endif
