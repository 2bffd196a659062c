#include "text/bpe.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE_LIMIT = 1 << 30 };

void tn_bpe_free(tn_bpe *bpe)
{
    free(bpe->symbols);
    free(bpe->heap);
    memset(bpe, 0, sizeof *bpe);
}

/* n symbols have n - 1 pairs, and each of at most n - 1 merges makes two new pairs; but each merge also removes its own
 * candidate, so the heap never holds more than 2 n. */
static tenebra_code reserve(tn_bpe *bpe, size_t length, tenebra_error *error)
{
    if (length > PIECE_LIMIT)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "text", "has a piece of %zu bytes, more than %d", length,
                       PIECE_LIMIT);
    if (length <= bpe->capacity)
        return TENEBRA_OK;
    size_t capacity = tn_max(length, tn_max(2 * bpe->capacity, 64));
    tn_bpe_free(bpe);
    bpe->symbols = malloc(capacity * sizeof *bpe->symbols);
    bpe->heap = malloc(2 * capacity * sizeof *bpe->heap);
    if (bpe->symbols == NULL || bpe->heap == NULL) {
        tn_bpe_free(bpe);
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "text", "no memory for a piece of %zu bytes", length);
    }
    bpe->capacity = capacity;
    return TENEBRA_OK;
}

static bool is_before(const tn_bpe_candidate *a, const tn_bpe_candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static void push(tn_bpe *bpe, tn_bpe_candidate candidate)
{
    size_t at = bpe->heap_count++;
    for (; at > 0 && is_before(&candidate, &bpe->heap[(at - 1) / 2]); at = (at - 1) / 2)
        bpe->heap[at] = bpe->heap[(at - 1) / 2];
    bpe->heap[at] = candidate;
}

static tn_bpe_candidate pop(tn_bpe *bpe)
{
    tn_bpe_candidate *heap = bpe->heap, top = heap[0], last = heap[--bpe->heap_count];
    size_t at = 0, count = bpe->heap_count;
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && is_before(&heap[child + 1], &heap[child]))
            child++;
        if (!is_before(&heap[child], &last))
            break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

/* Adds the pair that starts at symbol `left` to the candidates, if it merges. */
static void note(const tn_vocabulary *vocabulary, tn_bpe *bpe, int32_t left)
{
    const tn_bpe_symbol *symbol = &bpe->symbols[left];
    if (symbol->next < 0)
        return;
    const tn_merge *merge = tn_vocabulary_find_merge(vocabulary, symbol->id, bpe->symbols[symbol->next].id);
    if (merge != NULL)
        push(bpe, (tn_bpe_candidate){ merge->rank, left });
}

/* Applies a candidate, unless its pair has changed since it was added. */
static void apply(const tn_vocabulary *vocabulary, tn_bpe *bpe, tn_bpe_candidate candidate)
{
    tn_bpe_symbol *symbols = bpe->symbols, *left = &symbols[candidate.left];
    if (left->id < 0 || left->next < 0)
        return;
    tn_bpe_symbol *right = &symbols[left->next];
    const tn_merge *merge = tn_vocabulary_find_merge(vocabulary, left->id, right->id);
    if (merge == NULL || merge->rank != candidate.rank)
        return;
    left->id = merge->merged;
    left->next = right->next;
    right->id = -1;
    if (left->next >= 0)
        symbols[left->next].previous = candidate.left;
    if (left->previous >= 0)
        note(vocabulary, bpe, left->previous);
    note(vocabulary, bpe, candidate.left);
}

tenebra_code tn_bpe_encode(const tn_vocabulary *vocabulary, tn_bpe *bpe, const char *piece, size_t length,
                           tn_ids *out, tenebra_error *error)
{
    if (length == 0)
        return TENEBRA_OK;
    TN_TRY(reserve(bpe, length, error));
    int32_t count = (int32_t)length;
    for (int32_t i = 0; i < count; i++)
        bpe->symbols[i] = (tn_bpe_symbol){ vocabulary->byte_ids[(unsigned char)piece[i]], i - 1,
                                           i + 1 < count ? i + 1 : -1 };
    bpe->heap_count = 0;
    for (int32_t i = 0; i + 1 < count; i++)
        note(vocabulary, bpe, i);
    while (bpe->heap_count > 0)
        apply(vocabulary, bpe, pop(bpe));
    for (int32_t i = 0; i >= 0; i = bpe->symbols[i].next)
        TN_TRY(tn_ids_push(out, bpe->symbols[i].id, error));
    return TENEBRA_OK;
}
