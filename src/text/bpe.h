/* Byte-pair merging of one piece of text. */
#ifndef TN_TEXT_BPE_H
#define TN_TEXT_BPE_H

#include "text/vocabulary.h"

/* A token of the piece while it is being merged; linked to its neighbours by index, -1 = none. */
typedef struct tn_bpe_symbol {
    int32_t id; /* -1: merged into its left neighbour */
    int32_t previous, next;
} tn_bpe_symbol;

/* A merge that was possible when it was added: the pair that starts at `left`. */
typedef struct tn_bpe_candidate {
    uint32_t rank;
    int32_t left;
} tn_bpe_candidate;

/* Scratch, reused for all pieces. A zeroed record is empty. */
typedef struct tn_bpe {
    tn_bpe_symbol *symbols; /* [capacity]     */
    tn_bpe_candidate *heap; /* [2 * capacity] */
    size_t capacity, heap_count;
} tn_bpe;

void tn_bpe_free(tn_bpe *bpe);

/* Appends the ids of `piece` (valid UTF-8): starts with one token per byte and applies the merge of the lowest rank,
 * leftmost first, until none is left; O(n log n). Source: Sennrich, Haddow, Birch, arXiv:1508.07909; order as in
 * Hugging Face tokenizers. Errors: LIMIT (a piece of 1 GiB), MEMORY. */
tenebra_code tn_bpe_encode(const tn_vocabulary *vocabulary, tn_bpe *bpe, const char *piece, size_t length,
                           tn_ids *out, tenebra_error *error);

#endif
