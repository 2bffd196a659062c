#include "model/image_cache.h"

#include <stdlib.h>
#include <string.h>

static void drop(tn_image_cache *cache, tn_image_entry *entry)
{
    cache->used -= entry->bytes;
    free(entry->values);
    free(entry->ids);
    memset(entry, 0, sizeof *entry);
}

static tn_image_entry *find(tn_image_cache *cache, const tn_digest *content)
{
    for (size_t i = 0; i < TN_IMAGE_CACHE_PICTURES; i++)
        if (tn_digest_equal(&cache->entries[i].content, content))
            return &cache->entries[i];
    return NULL;
}

const tn_image_entry *tn_image_cache_find(tn_image_cache *cache, const tn_digest *content)
{
    tn_image_entry *entry = find(cache, content);
    if (entry != NULL)
        entry->asked = ++cache->clock;
    return entry;
}

/* A free entry if `bytes` more fit; otherwise NULL, and *oldest is the entry to drop. */
static tn_image_entry *free_place(tn_image_cache *cache, size_t bytes, tn_image_entry **oldest)
{
    tn_image_entry *place = NULL;
    *oldest = NULL;
    for (size_t i = 0; i < TN_IMAGE_CACHE_PICTURES; i++) {
        tn_image_entry *entry = &cache->entries[i];
        if (entry->bytes == 0)
            place = entry;
        else if (*oldest == NULL || entry->asked < (*oldest)->asked)
            *oldest = entry;
    }
    return bytes <= cache->limit - cache->used ? place : NULL;
}

/* Copies the encoded image into memory of the entry. */
static bool fill(tn_image_entry *entry, tn_ops *ops, const tn_image_rows *picture)
{
    size_t each = entry->rows * entry->cols, tensors = entry->embedded + entry->deep;
    entry->values = tensors > 0 ? malloc(tensors * each * sizeof *entry->values) : NULL;
    entry->ids = picture->ids != NULL ? malloc(entry->rows * sizeof *entry->ids) : NULL;
    if ((tensors > 0 && entry->values == NULL) || (picture->ids != NULL && entry->ids == NULL))
        return false;
    if (entry->ids != NULL)
        memcpy(entry->ids, picture->ids, entry->rows * sizeof *entry->ids);
    bool read = !entry->embedded || tn_op_read(ops, picture->embeds, entry->values);
    for (size_t d = 0; d < entry->deep; d++)
        read = read && tn_op_read(ops, picture->deep[d], entry->values + (entry->embedded + d) * each);
    return read;
}

void tn_image_cache_add(tn_image_cache *cache, const tn_digest *content, tn_ops *ops, const tn_image_rows *picture)
{
    static const tn_digest unknown = { { 0 } };
    tn_image_entry entry = { .content = *content, .rows = picture->rows, .embedded = !tn_tensor_is_empty(picture->embeds),
                             .deep = picture->deep_count };
    entry.cols = entry.embedded ? picture->embeds.cols : entry.deep > 0 ? picture->deep[0].cols : 0;
    entry.bytes = (entry.embedded + entry.deep) * entry.rows * entry.cols * sizeof(tn_real) +
                  (picture->ids != NULL ? entry.rows * sizeof *entry.ids : 0);
    if (entry.bytes == 0 || entry.bytes > cache->limit || memcmp(&entry.content, &unknown, sizeof unknown) == 0 ||
        find(cache, &entry.content) != NULL)
        return;
    tn_image_entry *oldest, *place;
    while ((place = free_place(cache, entry.bytes, &oldest)) == NULL)
        drop(cache, oldest);
    if (!fill(&entry, ops, picture)) {
        free(entry.values);
        free(entry.ids);
        return;
    }
    entry.asked = ++cache->clock;
    *place = entry;
    cache->used += entry.bytes;
}

void tn_image_cache_clear(tn_image_cache *cache)
{
    for (size_t i = 0; i < TN_IMAGE_CACHE_PICTURES; i++)
        if (cache->entries[i].bytes > 0)
            drop(cache, &cache->entries[i]);
}
