#include "reason/select.h"

#include "base/checked.h"

/* The available index with the largest score (smallest if `lowest`), ties to the lower; count if none. */
static size_t extreme(const tn_real *scores, const bool *available, size_t count, bool lowest)
{
    size_t best = count;
    for (size_t i = 0; i < count; i++) {
        if (!available[i])
            continue;
        if (best == count || (lowest ? scores[i] < scores[best] : scores[i] > scores[best]))
            best = i;
    }
    return best;
}

/* Repeated search: k * count comparisons, some thousands against the millions of a latent step. */
static size_t take_extremes(const tn_real *scores, bool *available, size_t count, size_t k, bool lowest,
                            size_t *picks)
{
    size_t taken = 0;
    while (taken < k) {
        size_t best = extreme(scores, available, count, lowest);
        if (best == count)
            break;
        available[best] = false;
        picks[taken++] = best;
    }
    return taken;
}

static void sort_rising(size_t *items, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = i; j > 0 && items[j] < items[j - 1]; j--) {
            size_t swapped = items[j];
            items[j] = items[j - 1];
            items[j - 1] = swapped;
        }
}

/* Used indices that are not among this step's picks, lowest first. */
static size_t fill_with_used(size_t count, size_t k, size_t fresh, size_t *picks)
{
    size_t taken = fresh;
    for (size_t i = 0; i < count && taken < k; i++) {
        bool now = false;
        for (size_t p = 0; p < fresh && !now; p++)
            now = picks[p] == i;
        if (!now)
            picks[taken++] = i;
    }
    return taken;
}

size_t tn_select_top(const tn_real *scores, bool *available, size_t count, size_t k, tn_pick_order order,
                     bool repick, size_t *picks)
{
    k = tn_min(k, count);
    size_t fresh = take_extremes(scores, available, count, k, false, picks);
    size_t taken = repick ? fill_with_used(count, k, fresh, picks) : fresh;
    if (order == TN_PICK_ASC) {
        sort_rising(picks, taken);
    } else if (order == TN_PICK_CUDA && taken > 0) {
        /* Picks are in descending score: find the first with the score of the last one. Used ones have equal scores. */
        size_t tied = taken > fresh ? fresh : taken - 1;
        while (taken == fresh && tied > 0 && !(scores[picks[tied - 1]] > scores[picks[taken - 1]]))
            tied--;
        sort_rising(picks, tied);
        sort_rising(picks + tied, taken - tied);
    }
    return taken;
}

size_t tn_select_lowest(const tn_real *scores, bool *available, size_t count, size_t k, size_t *picks)
{
    return take_extremes(scores, available, count, tn_min(k, count), true, picks);
}

size_t tn_select_random(bool *available, size_t count, size_t k, tn_rng *rng, size_t *picks)
{
    size_t left = 0, taken = 0;
    for (size_t i = 0; i < count; i++)
        left += available[i];
    k = tn_min(k, left);
    for (size_t i = 0; i < count && taken < k; i++) {
        if (!available[i])
            continue;
        if (tn_rng_below(rng, left) < k - taken) { /* selection sampling: Knuth, volume 2, 3.4.2 S */
            available[i] = false;
            picks[taken++] = i;
        }
        left--;
    }
    return taken;
}
