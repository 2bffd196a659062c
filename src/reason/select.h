/* Choosing image embeddings by attention, and the order in which they are fed again.
 *
 * The order matters because it decides positions. Source: arXiv:2510.12603 (rule), and the authors'
 * call of torch's unsorted top-k (order). */
#ifndef TN_REASON_SELECT_H
#define TN_REASON_SELECT_H

#include "base/real.h"
#include "base/rng.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum tn_pick_order {
    TN_PICK_CUDA, /* rising index above the k-th score, then those that equal it: what torch leaves on CUDA */
    TN_PICK_DESC, /* falling score, ties by lower index */
    TN_PICK_ASC   /* rising index                       */
} tn_pick_order;

/* The k largest of `count` scores among those available; where fewer are left, takes those, or with
 * `repick` fills up with used ones, lowest index first (what the reference's top-k does with scores of
 * minus infinity). Writes indices to picks [min(k, count)], marks them unavailable, returns how many. */
size_t tn_select_top(const tn_real *scores, bool *available, size_t count, size_t k, tn_pick_order order,
                     bool repick, size_t *picks);

/* As tn_select_top for the smallest scores, in rising order of score. */
size_t tn_select_lowest(const tn_real *scores, bool *available, size_t count, size_t k, size_t *picks);

/* k available ones drawn without return, in rising index. */
size_t tn_select_random(bool *available, size_t count, size_t k, tn_rng *rng, size_t *picks);

#endif
