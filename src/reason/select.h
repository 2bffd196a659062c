/* Chooses image embeddings by attention, and the order in which they are fed again.
 *
 * The order matters because it determines positions. Source: arXiv:2510.12603 (rule), and the authors'
 * call of torch's unsorted top-k (order). */
#ifndef TN_REASON_SELECT_H
#define TN_REASON_SELECT_H

#include "base/real.h"
#include "base/rng.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum tn_pick_order {
    TN_PICK_CUDA, /* scores above the k-th in ascending index, then those equal to it: torch's order on CUDA */
    TN_PICK_DESC, /* descending score, of equal scores the lower index first */
    TN_PICK_ASC   /* ascending index                                         */
} tn_pick_order;

/* Picks the k largest of `count` scores among the available ones. If fewer are available, picks those, or, with `repick`, fills
 * up with used ones, lowest index first (the result of the reference's top-k with scores of minus infinity). Writes indices to
 * picks [min(k, count)], marks them unavailable, and returns their number. */
size_t tn_select_top(const tn_real *scores, bool *available, size_t count, size_t k, tn_pick_order order,
                     bool repick, size_t *picks);

/* The same as tn_select_top for the smallest scores, in ascending order of score. */
size_t tn_select_lowest(const tn_real *scores, bool *available, size_t count, size_t k, size_t *picks);

/* Draws k available ones without replacement, in ascending index. */
size_t tn_select_random(bool *available, size_t count, size_t k, tn_rng *rng, size_t *picks);

#endif
