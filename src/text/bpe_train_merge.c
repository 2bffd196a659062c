/* The merging half of training: a table of pairs with their counts and words, a heap of candidates that may be out of
 * date, and one round per merge. */
#include "text/bpe_train_parts.h"
#include "text/vocabulary.h"

#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------- heap -- */

/* More frequent first; among equals, smaller ids. */
static bool goes_first(const tn_trained_best *a, const tn_trained_best *b)
{
    if (a->count != b->count)
        return a->count > b->count;
    return a->left != b->left ? a->left < b->left : a->right < b->right;
}

static tenebra_code push(tn_bpe_trainer *trainer, tn_trained_best entry, tenebra_error *error)
{
    TN_TRY(tn_trainer_grow((void **)&trainer->heap, &trainer->heap_capacity, trainer->heap_count,
                           sizeof *trainer->heap, error));
    size_t at = trainer->heap_count++;
    for (; at > 0 && goes_first(&entry, &trainer->heap[(at - 1) / 2]); at = (at - 1) / 2)
        trainer->heap[at] = trainer->heap[(at - 1) / 2];
    trainer->heap[at] = entry;
    return TENEBRA_OK;
}

/* heap_count > 0 */
static tn_trained_best pop(tn_bpe_trainer *trainer)
{
    tn_trained_best *heap = trainer->heap, best = heap[0], last = heap[--trainer->heap_count];
    size_t at = 0, count = trainer->heap_count;
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        child += child + 1 < count && goes_first(&heap[child + 1], &heap[child]);
        if (!goes_first(&heap[child], &last))
            break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return best;
}

/* ---------------------------------------------------------------- pairs -- */

static size_t pair_slot(const tn_bpe_trainer *trainer, int32_t left, int32_t right)
{
    uint64_t key = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9E3779B97F4A7C15u;
    size_t mask = trainer->pair_slots - 1, slot = (key ^ key >> 32) & mask;
    while (trainer->pairs[slot].left >= 0 && (trainer->pairs[slot].left != left || trainer->pairs[slot].right != right))
        slot = (slot + 1) & mask;
    return slot;
}

static tenebra_code grow_pairs(tn_bpe_trainer *trainer, tenebra_error *error)
{
    if (2 * trainer->pair_count < trainer->pair_slots)
        return TENEBRA_OK;
    tn_trained_pair *old = trainer->pairs;
    size_t old_slots = trainer->pair_slots, slots = tn_max(1024, 2 * old_slots);
    tn_trained_pair *pairs = calloc(slots, sizeof *pairs);
    if (pairs == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "vocabulary", "no memory to count pairs");
    for (size_t i = 0; i < slots; i++)
        pairs[i].left = -1;
    trainer->pairs = pairs;
    trainer->pair_slots = slots;
    for (size_t i = 0; i < old_slots; i++)
        if (old[i].left >= 0)
            pairs[pair_slot(trainer, old[i].left, old[i].right)] = old[i];
    free(old);
    return TENEBRA_OK;
}

/* Adds `change` to the count of a pair in `word`. A pair whose count rises is recorded once per round. */
static tenebra_code count_pair(tn_bpe_trainer *trainer, int32_t left, int32_t right, int64_t change, int32_t word,
                               tenebra_error *error)
{
    TN_TRY(grow_pairs(trainer, error));
    tn_trained_pair *pair = &trainer->pairs[pair_slot(trainer, left, right)];
    if (pair->left < 0) {
        *pair = (tn_trained_pair){ .left = left, .right = right };
        trainer->pair_count++;
    }
    pair->count += change;
    if (change <= 0)
        return TENEBRA_OK;
    if (pair->word_count == 0 || pair->words[pair->word_count - 1] != word) {
        TN_TRY(tn_trainer_grow((void **)&pair->words, &pair->word_capacity, pair->word_count, sizeof *pair->words,
                               error));
        pair->words[pair->word_count++] = word;
    }
    if (pair->round == trainer->round)
        return TENEBRA_OK;
    pair->round = trainer->round;
    TN_TRY(tn_trainer_grow((void **)&trainer->risen, &trainer->risen_capacity, trainer->risen_count,
                           sizeof *trainer->risen, error));
    trainer->risen[trainer->risen_count++] = (tn_trained_best){ .left = left, .right = right };
    return TENEBRA_OK;
}

static tenebra_code count_word(tn_bpe_trainer *trainer, int32_t index, int64_t sign, tenebra_error *error)
{
    const tn_trained_word *word = &trainer->words[index];
    const int32_t *symbols = trainer->symbols + word->start;
    for (size_t i = 0; i + 1 < word->live; i++)
        TN_TRY(count_pair(trainer, symbols[i], symbols[i + 1], sign * word->count, index, error));
    return TENEBRA_OK;
}

/* Ends a round: pairs whose counts rose become candidates with their new counts. */
static tenebra_code note_risen(tn_bpe_trainer *trainer, tenebra_error *error)
{
    for (size_t i = 0; i < trainer->risen_count; i++) {
        tn_trained_best entry = trainer->risen[i];
        entry.count = trainer->pairs[pair_slot(trainer, entry.left, entry.right)].count;
        if (entry.count > 0)
            TN_TRY(push(trainer, entry, error));
    }
    trainer->risen_count = 0;
    trainer->round++;
    return TENEBRA_OK;
}

/* --------------------------------------------------------------- tokens -- */

static size_t name_slot(const tn_bpe_trainer *trainer, const char *name, size_t length)
{
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)name[i]) * 0x100000001B3u;
    size_t mask = trainer->name_slots - 1, slot = (hash ^ hash >> 31) & mask;
    while (trainer->name_table[slot] >= 0) {
        const tn_trained *token = &trainer->tokens[trainer->name_table[slot]];
        if (token->length == length && memcmp(trainer->names.data + token->offset, name, length) == 0)
            break;
        slot = (slot + 1) & mask;
    }
    return slot;
}

/* A table with room for `size` tokens. */
static tenebra_code open_names(tn_bpe_trainer *trainer, size_t size, tenebra_error *error)
{
    size_t slots = 1024;
    while (slots < 2 * size)
        slots *= 2;
    free(trainer->name_table);
    trainer->name_table = malloc(slots * sizeof *trainer->name_table);
    if (trainer->name_table == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "vocabulary", "no memory for %zu tokens", size);
    memset(trainer->name_table, 0xFF, slots * sizeof *trainer->name_table);
    trainer->name_slots = slots;
    for (size_t id = 0; id < trainer->token_count; id++) {
        const tn_trained *token = &trainer->tokens[id];
        trainer->name_table[name_slot(trainer, trainer->names.data + token->offset, token->length)] = (int32_t)id;
    }
    return TENEBRA_OK;
}

/* The token of two joined ones: a new one, or one that other merges already made. */
static tenebra_code join(tn_bpe_trainer *trainer, int32_t left, int32_t right, int32_t *id, tenebra_error *error)
{
    TN_TRY(tn_trainer_grow((void **)&trainer->tokens, &trainer->token_capacity, trainer->token_count,
                           sizeof *trainer->tokens, error));
    tn_trained a = trainer->tokens[left], b = trainer->tokens[right];
    size_t offset = trainer->names.length, length = (size_t)a.length + b.length;
    if (offset + length > UINT32_MAX)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "vocabulary", "its tokens have more than 2^32 bytes");
    TN_TRY(tn_text_fill(&trainer->names, 0, length, error));
    memcpy(trainer->names.data + offset, trainer->names.data + a.offset, a.length);
    memcpy(trainer->names.data + offset + a.length, trainer->names.data + b.offset, b.length);
    size_t slot = name_slot(trainer, trainer->names.data + offset, length);
    if (trainer->name_table[slot] >= 0) {
        trainer->names.length = offset;
        *id = trainer->name_table[slot];
        return TENEBRA_OK;
    }
    *id = trainer->name_table[slot] = (int32_t)trainer->token_count;
    trainer->tokens[trainer->token_count++] = (tn_trained){ (uint32_t)offset, (uint32_t)length };
    return TENEBRA_OK;
}

/* --------------------------------------------------------------- merging -- */

/* Replaces the pair in a word, from the left. */
static void merge_word(tn_bpe_trainer *trainer, tn_trained_word *word, const tn_trained_best *best, int32_t joined)
{
    int32_t *symbols = trainer->symbols + word->start;
    size_t to = 0, before = word->live;
    for (size_t from = 0; from < before; to++) {
        bool pair = from + 1 < before && symbols[from] == best->left && symbols[from + 1] == best->right;
        symbols[to] = pair ? joined : symbols[from];
        from += pair ? 2 : 1;
    }
    word->live = to;
}

static bool holds(const tn_bpe_trainer *trainer, const tn_trained_word *word, const tn_trained_best *best)
{
    const int32_t *symbols = trainer->symbols + word->start;
    for (size_t i = 0; i + 1 < word->live; i++)
        if (symbols[i] == best->left && symbols[i + 1] == best->right)
            return true;
    return false;
}

static tenebra_code merge(tn_bpe_trainer *trainer, const tn_trained_best *best, tenebra_error *error)
{
    int32_t joined = 0;
    TN_TRY(join(trainer, best->left, best->right, &joined, error));
    TN_TRY(tn_trainer_grow((void **)&trainer->merges, &trainer->merge_capacity, trainer->merge_count,
                           sizeof *trainer->merges, error));
    trainer->merges[trainer->merge_count++] = (tn_trained_best){ joined, best->left, best->right };
    /* The table may move while pairs are added, so the list of words is removed first. */
    tn_trained_pair *pair = &trainer->pairs[pair_slot(trainer, best->left, best->right)];
    int32_t *words = pair->words;
    size_t count = pair->word_count;
    pair->words = NULL;
    pair->word_count = pair->word_capacity = 0;
    tenebra_code code = TENEBRA_OK;
    for (size_t i = 0; i < count && code == TENEBRA_OK; i++) {
        tn_trained_word *word = &trainer->words[words[i]];
        if (!holds(trainer, word, best))
            continue;
        code = count_word(trainer, words[i], -1, error);
        merge_word(trainer, word, best, joined);
        if (code == TENEBRA_OK)
            code = count_word(trainer, words[i], 1, error);
    }
    free(words);
    return code == TENEBRA_OK ? note_risen(trainer, error) : code;
}

/* The words as bytes, and all their pairs. */
static tenebra_code start(tn_bpe_trainer *trainer, tenebra_error *error)
{
    free(trainer->symbols);
    trainer->symbols = malloc((trainer->pool.length + 1) * sizeof *trainer->symbols);
    if (trainer->symbols == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "vocabulary", "no memory for %zu bytes of words",
                       trainer->pool.length);
    for (size_t i = 0; i < trainer->pool.length; i++)
        trainer->symbols[i] = trainer->byte_ids[(unsigned char)trainer->pool.data[i]];
    trainer->round = 1;
    for (size_t i = 0; i < trainer->word_count; i++) {
        trainer->words[i].live = trainer->words[i].length;
        TN_TRY(count_word(trainer, (int32_t)i, 1, error));
    }
    return note_risen(trainer, error);
}

tenebra_code tn_bpe_trainer_run(tn_bpe_trainer *trainer, size_t size, size_t least, const char *const *added,
                                size_t special, tenebra_error *error)
{
    trainer->added = added;
    trainer->special = special;
    for (trainer->added_count = 0; added[trainer->added_count] != NULL;)
        trainer->added_count++;
    if (size > TN_VOCABULARY_LIMIT)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "size", "%zu tokens are more than %zu", size, TN_VOCABULARY_LIMIT);
    if (size < 256 + trainer->added_count)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "size", "must be %zu at least: 256 bytes and %zu added tokens",
                       256 + trainer->added_count, trainer->added_count);
    if (trainer->symbols != NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "vocabulary", "is trained already");
    size_t trained = size - trainer->added_count;
    TN_TRY(open_names(trainer, size, error));
    TN_TRY(start(trainer, error));
    while (trainer->token_count < trained && trainer->heap_count > 0) {
        tn_trained_best best = pop(trainer);
        int64_t count = trainer->pairs[pair_slot(trainer, best.left, best.right)].count;
        if (count != best.count) { /* out of date */
            best.count = count;
            if (count > 0)
                TN_TRY(push(trainer, best, error));
            continue;
        }
        if (count < 1 || (size_t)count < least)
            break;
        TN_TRY(merge(trainer, &best, error));
    }
    return TENEBRA_OK;
}
