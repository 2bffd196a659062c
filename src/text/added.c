/* Added tokens: kept in byte order, so that the tokens that begin with given bytes are neighbours. */
#include "text/vocabulary.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

/* Order of two tokens by their bytes, a shorter one before those that it begins. */
static bool is_before(const tn_vocabulary *vocabulary, int32_t a, int32_t b)
{
    size_t length = vocabulary->tokens[a].length, other = vocabulary->tokens[b].length;
    int order = memcmp(tn_vocabulary_bytes(vocabulary, a), tn_vocabulary_bytes(vocabulary, b),
                       tn_min(length, other));
    return order != 0 ? order < 0 : length < other;
}

tenebra_code tn_vocabulary_mark_added(tn_vocabulary *vocabulary, int32_t id, bool special, bool normalized,
                                      tenebra_error *error)
{
    tn_token *token = &vocabulary->tokens[id];
    size_t count = vocabulary->added_count;
    /* Grows where the count is a power of two (or 0); bounded by TN_VOCABULARY_LIMIT. */
    if (!token->added && (count & (count - 1)) == 0) {
        int32_t *grown = realloc(vocabulary->added, tn_max(2 * count, 1) * sizeof *grown);
        if (grown == NULL)
            return tn_fail(error, TENEBRA_ERROR_MEMORY, "added tokens", "no memory for %zu", count + 1);
        vocabulary->added = grown;
    }
    if (!token->added)
        vocabulary->added[vocabulary->added_count++] = id;
    token->added = true;
    token->special = special;
    token->normalized = normalized;
    return TENEBRA_OK;
}

/* Moves the entry at `root` down in the heap of the first `count`. */
static void sift_down(const tn_vocabulary *vocabulary, int32_t *ids, size_t root, size_t count)
{
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && is_before(vocabulary, ids[child], ids[child + 1]))
            child++;
        if (!is_before(vocabulary, ids[root], ids[child]))
            return;
        int32_t id = ids[root];
        ids[root] = ids[child];
        ids[child] = id;
    }
}

void tn_vocabulary_sort_added(tn_vocabulary *vocabulary)
{
    int32_t *ids = vocabulary->added;
    size_t count = vocabulary->added_count;
    for (size_t root = count / 2; root-- > 0;)
        sift_down(vocabulary, ids, root, count);
    for (size_t end = count; end-- > 1;) {
        int32_t largest = ids[0];
        ids[0] = ids[end];
        ids[end] = largest;
        sift_down(vocabulary, ids, 0, end);
    }
}

/* Narrows [*low, *high), whose tokens share their first `depth` bytes, to those that go on with
 * `byte`. A token that ends at `depth` comes first and must have been stepped over. */
static void narrow(const tn_vocabulary *vocabulary, size_t depth, unsigned char byte, size_t *low, size_t *high)
{
    size_t begin = *low, end = *high;
    for (int upper = 0; upper < 2; upper++) {
        size_t a = begin, b = end;
        while (a < b) {
            size_t middle = a + (b - a) / 2;
            unsigned char other = (unsigned char)tn_vocabulary_bytes(vocabulary, vocabulary->added[middle])[depth];
            if (other < byte || (upper && other == byte))
                a = middle + 1;
            else
                b = middle;
        }
        if (upper)
            *high = a;
        else
            *low = a;
    }
}

int32_t tn_vocabulary_match_added(const tn_vocabulary *vocabulary, const char *bytes, size_t length,
                                  bool normalized)
{
    size_t low = 0, high = vocabulary->added_count;
    int32_t best = -1;
    for (size_t depth = 0; depth < length && low < high; depth++) {
        narrow(vocabulary, depth, (unsigned char)bytes[depth], &low, &high);
        if (low == high || vocabulary->tokens[vocabulary->added[low]].length != depth + 1)
            continue;
        int32_t id = vocabulary->added[low++]; /* ends here, so it sorts before those that go on */
        if (vocabulary->tokens[id].normalized == normalized)
            best = id;
    }
    return best;
}
