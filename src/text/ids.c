#include "text/ids.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

static tenebra_code reserve(tn_ids *list, size_t extra, tenebra_error *error)
{
    size_t needed, doubled, bytes;
    if (!tn_size_add(list->count, extra, &needed) || !tn_size_mul(list->capacity, 2, &doubled))
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "token ids", "are too many");
    if (needed <= list->capacity)
        return TENEBRA_OK;
    size_t capacity = tn_max(tn_max(needed, doubled), 64);
    if (!tn_size_mul(capacity, sizeof *list->ids, &bytes))
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "token ids", "are too many");
    int32_t *ids = realloc(list->ids, bytes);
    if (ids == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "token ids", "no memory for %zu of them", capacity);
    list->ids = ids;
    list->capacity = capacity;
    return TENEBRA_OK;
}

tenebra_code tn_ids_push(tn_ids *list, int32_t id, tenebra_error *error)
{
    TN_TRY(reserve(list, 1, error));
    list->ids[list->count++] = id;
    return TENEBRA_OK;
}

tenebra_code tn_ids_append(tn_ids *list, const int32_t *ids, size_t count, tenebra_error *error)
{
    TN_TRY(reserve(list, count, error));
    if (count > 0)
        memcpy(list->ids + list->count, ids, count * sizeof *ids);
    list->count += count;
    return TENEBRA_OK;
}

/* Adds to *extra the entries that the list gains by the replacement. */
static tenebra_code check_counts(const tn_ids *list, int32_t placeholder, const size_t *counts,
                                 size_t count, const char *names, size_t *extra, tenebra_error *error)
{
    size_t found = 0;
    for (size_t i = 0; i < list->count; i++)
        found += list->ids[i] == placeholder;
    if (found != count)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, names,
                       "the prompt has %zu placeholders of token %d for %zu of them; give one for each",
                       found, (int)placeholder, count);
    for (size_t i = 0; i < count; i++) {
        if (counts[i] == 0)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, names, "number %zu has no embeddings", i + 1);
        if (!tn_size_add(*extra, counts[i] - 1, extra))
            return tn_fail(error, TENEBRA_ERROR_LIMIT, names, "have too many embeddings");
    }
    return TENEBRA_OK;
}

tenebra_code tn_ids_expand(tn_ids *list, int32_t placeholder, const size_t *counts, size_t count,
                           const char *names, tenebra_error *error)
{
    size_t extra = 0;
    TN_TRY(check_counts(list, placeholder, counts, count, names, &extra, error));
    TN_TRY(reserve(list, extra, error));
    /* From the end, so that nothing is overwritten before it is moved. */
    size_t to = list->count + extra, next = count;
    for (size_t from = list->count; from-- > 0;) {
        int32_t id = list->ids[from];
        size_t copies = id == placeholder ? counts[--next] : 1;
        while (copies-- > 0)
            list->ids[--to] = id;
    }
    list->count += extra;
    return TENEBRA_OK;
}

void tn_ids_free(tn_ids *list)
{
    free(list->ids);
    memset(list, 0, sizeof *list);
}
