/* Internals of vocabulary training, for bpe_train*.c. */
#ifndef TN_TEXT_BPE_TRAIN_PARTS_H
#define TN_TEXT_BPE_TRAIN_PARTS_H

#include "base/checked.h"
#include "text/bpe_train.h"
#include "text/split.h"
#include "text/utf8.h"

#include <stdint.h>

/* A distinct piece of the texts. While merging, its tokens are symbols[start .. start + live - 1]. */
typedef struct tn_trained_word {
    size_t start, length; /* bytes in the pool; as many symbols */
    size_t live;
    int64_t count;        /* how often it occurs                */
} tn_trained_word;

/* A token: its name in the alphabet of byte-level vocabularies, in `names`. */
typedef struct tn_trained {
    uint32_t offset, length;
} tn_trained;

/* A pair of neighbours that occurs or did occur. Slots of an open table; empty: left < 0. */
typedef struct tn_trained_pair {
    int32_t left, right;
    int64_t count;
    int32_t *words; /* words that contain it or did, possibly repeated */
    size_t word_count, word_capacity;
    size_t round;   /* round in which its count last rose */
} tn_trained_pair;

/* An entry of the heap: the pair and its count when it was added. */
typedef struct tn_trained_best {
    int64_t count;
    int32_t left, right;
} tn_trained_best;

struct tn_bpe_trainer {
    tn_splitter *splitter;
    bool lower;
    int32_t byte_ids[256];
    char byte_names[256][4];
    tn_text pool; /* bytes of the words */
    tn_trained_word *words;
    size_t word_count, word_capacity;
    int32_t *word_table; /* ids of words by their bytes; -1: empty */
    size_t word_slots;

    int32_t *symbols; /* [pool.length] */
    tn_trained_pair *pairs;
    size_t pair_slots, pair_count;
    tn_trained_best *heap;
    size_t heap_count, heap_capacity;
    tn_trained_best *risen; /* pairs whose count rose in this round */
    size_t risen_count, risen_capacity;
    size_t round;

    tn_text names;
    tn_trained *tokens;
    size_t token_count, token_capacity;
    int32_t *name_table; /* ids of tokens by name; -1: empty */
    size_t name_slots;
    tn_trained_best *merges; /* left, right in the order of merging; count: the token they became */
    size_t merge_count, merge_capacity;
    const char *const *added;
    size_t added_count, special;
};

/* Room for one more item. Errors: MEMORY. */
tenebra_code tn_trainer_grow(void **items, size_t *capacity, size_t count, size_t size, tenebra_error *error);

#endif
