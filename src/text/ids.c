#include "text/ids.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

/* Makes room for `extra` more items after `count`. */
static tenebra_code reserve(void **items, size_t *room, size_t count, size_t extra, size_t size, tenebra_error *error)
{
    size_t needed, doubled, bytes;
    if (!tn_size_add(count, extra, &needed) || !tn_size_mul(*room, 2, &doubled))
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "token ids", "are too many");
    if (needed <= *room)
        return TENEBRA_OK;
    size_t capacity = tn_max(tn_max(needed, doubled), 64);
    if (!tn_size_mul(capacity, size, &bytes))
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "token ids", "are too many");
    void *larger = realloc(*items, bytes);
    if (larger == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "token ids", "no memory for %zu of them", capacity);
    *items = larger;
    *room = capacity;
    return TENEBRA_OK;
}

tenebra_code tn_ids_push(tn_ids *list, int32_t id, tenebra_error *error)
{
    TN_TRY(reserve((void **)&list->ids, &list->capacity, list->count, 1, sizeof *list->ids, error));
    list->ids[list->count++] = id;
    return TENEBRA_OK;
}

tenebra_code tn_ids_append(tn_ids *list, const int32_t *ids, size_t count, tenebra_error *error)
{
    TN_TRY(reserve((void **)&list->ids, &list->capacity, list->count, count, sizeof *list->ids, error));
    if (count > 0)
        memcpy(list->ids + list->count, ids, count * sizeof *ids);
    list->count += count;
    return TENEBRA_OK;
}

tenebra_code tn_ids_push_picture(tn_ids *list, int32_t id, tenebra_error *error)
{
    TN_TRY(reserve((void **)&list->pictures, &list->picture_capacity, list->picture_count, 1, sizeof *list->pictures, error));
    TN_TRY(tn_ids_push(list, id, error));
    list->pictures[list->picture_count++] = list->count - 1;
    return TENEBRA_OK;
}

void tn_ids_free(tn_ids *list)
{
    free(list->ids);
    free(list->pictures);
    memset(list, 0, sizeof *list);
}
