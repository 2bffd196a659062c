#include "reason/sampler.h"

#include "ops/ops.h"

#include <stdbool.h>

int32_t tn_sample_greedy(const tn_real *logits, size_t count)
{
    return (int32_t)tn_argmax(logits, count);
}

/* Whether a comes before b: larger weight first, then lower id, so that the order is total. */
static bool goes_before(const tn_candidate *a, const tn_candidate *b)
{
    return a->weight != b->weight ? a->weight > b->weight : a->token < b->token;
}

/* Moves the candidate at `at` down until it comes before its children, in a heap of `count`. */
static void sink(tn_candidate *heap, size_t count, size_t at)
{
    tn_candidate moving = heap[at];
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        child += child + 1 < count && goes_before(&heap[child + 1], &heap[child]);
        if (goes_before(&moving, &heap[child]))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

/* Takes candidates from the heap in descending order, only as many as required; number i is then at index count - 1 - i, after
 * the heap. */
typedef struct ranking {
    tn_candidate *places;
    size_t count, taken;
} ranking;

static const tn_candidate *ranked(ranking *list, size_t number)
{
    for (; list->taken <= number; list->taken++) {
        size_t last = list->count - 1 - list->taken;
        tn_candidate first = list->places[0];
        list->places[0] = list->places[last];
        sink(list->places, last, 0);
        list->places[last] = first;
    }
    return &list->places[list->count - 1 - number];
}

/* exp of the scaled distance to the largest logit: in 0 .. 1, and 0 for NaN. */
static void weigh(const tn_sampler *sampler, const tn_real *logits, size_t count, int32_t best)
{
    for (size_t i = 0; i < count; i++) {
        double weight = logits[i] == logits[best] ? 1 : exp(((double)logits[i] - (double)logits[best]) / sampler->sampling.temperature);
        sampler->candidates[i] = (tn_candidate){ (int32_t)i, weight > 0 ? weight : 0 };
    }
}

/* The total weight of the candidates from which the token is drawn: the first *kept, whose number top-p may reduce. */
static double weight_of_kept(const tn_sampler *sampler, ranking *list, size_t *kept)
{
    double total = 0, reached = 0;
    for (size_t i = 0; i < *kept; i++) /* if all are kept, the order does not matter */
        total += *kept == list->count ? list->places[i].weight : ranked(list, i)->weight;
    if (sampler->sampling.top_p >= 1)
        return total;
    size_t nucleus = 0;
    while (nucleus < *kept && (nucleus == 0 || reached < sampler->sampling.top_p * total))
        reached += ranked(list, nucleus++)->weight;
    *kept = nucleus;
    return reached;
}

int32_t tn_sample_token(tn_sampler *sampler, const tn_real *logits, size_t count)
{
    int32_t best = tn_sample_greedy(logits, count);
    if (!(sampler->sampling.temperature > 0))
        return best;
    ranking list = { sampler->candidates, count, 0 };
    weigh(sampler, logits, count, best);
    for (size_t i = count / 2; i-- > 0;)
        sink(list.places, count, i);
    size_t kept = sampler->sampling.top_k > 0 && sampler->sampling.top_k < count ? sampler->sampling.top_k : count;
    double draw = tn_rng_uniform(&sampler->rng) * weight_of_kept(sampler, &list, &kept);
    for (size_t i = 0; i < kept; i++) {
        draw -= ranked(&list, i)->weight;
        if (draw < 0)
            return ranked(&list, i)->token;
    }
    return ranked(&list, 0)->token;
}
