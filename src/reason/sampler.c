#include "reason/sampler.h"

#include <stdlib.h>

int32_t tn_sample_greedy(const tn_real *logits, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (logits[i] > logits[best])
            best = i;
    return (int32_t)best;
}

/* Falling weight, then rising id, so that the order is total. */
static int compare_candidates(const void *left, const void *right)
{
    const tn_candidate *a = left, *b = right;
    if (a->weight != b->weight)
        return a->weight > b->weight ? -1 : 1;
    return a->token < b->token ? -1 : a->token > b->token;
}

int32_t tn_sample(tn_sampler *sampler, const tn_real *logits, size_t count)
{
    int32_t best = tn_sample_greedy(logits, count);
    if (!(sampler->temperature > 0))
        return best;
    tn_candidate *candidates = sampler->candidates;
    for (size_t i = 0; i < count; i++)
        candidates[i] = (tn_candidate){ (int32_t)i, exp(((double)logits[i] - (double)logits[best]) /
                                                        sampler->temperature) };
    qsort(candidates, count, sizeof *candidates, compare_candidates);
    size_t kept = sampler->top_k > 0 && sampler->top_k < count ? sampler->top_k : count;
    double total = 0;
    for (size_t i = 0; i < kept; i++)
        total += candidates[i].weight;
    double reached = candidates[0].weight;
    size_t nucleus = 1;
    while (nucleus < kept && reached < sampler->top_p * total)
        reached += candidates[nucleus++].weight;
    double draw = tn_rng_uniform(&sampler->rng) * reached;
    for (size_t i = 0; i < nucleus; i++) {
        draw -= candidates[i].weight;
        if (draw < 0)
            return candidates[i].token;
    }
    return candidates[0].token;
}
