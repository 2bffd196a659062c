#include "model/image_cache.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

static size_t bytes_of(const tn_image_entry *entry)
{
    return entry->rows * entry->cols * sizeof(tn_real);
}

static void drop(tn_image_cache *cache, tn_image_entry *entry)
{
    cache->used -= bytes_of(entry);
    free(entry->embeds);
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

/* A free place if `bytes` more fit, else NULL; *oldest is the entry to drop then. */
static tn_image_entry *free_place(tn_image_cache *cache, size_t bytes, tn_image_entry **oldest)
{
    tn_image_entry *place = NULL;
    *oldest = NULL;
    for (size_t i = 0; i < TN_IMAGE_CACHE_PICTURES; i++) {
        tn_image_entry *entry = &cache->entries[i];
        if (entry->embeds == NULL)
            place = entry;
        else if (*oldest == NULL || entry->asked < (*oldest)->asked)
            *oldest = entry;
    }
    return bytes <= cache->limit - cache->used ? place : NULL;
}

void tn_image_cache_add(tn_image_cache *cache, const tn_digest *content, tn_ops *ops, tn_tensor embeds)
{
    static const tn_digest unknown = { { 0 } };
    size_t bytes;
    if (!tn_size_mul(embeds.rows, embeds.cols, &bytes) || !tn_size_mul(bytes, sizeof(tn_real), &bytes) || bytes == 0 ||
        bytes > cache->limit || memcmp(content, &unknown, sizeof unknown) == 0 || find(cache, content) != NULL)
        return;
    tn_image_entry *oldest, *place;
    while ((place = free_place(cache, bytes, &oldest)) == NULL)
        drop(cache, oldest);
    tn_real *data = malloc(bytes);
    if (data == NULL || !tn_op_read(ops, embeds, data)) {
        free(data);
        return;
    }
    *place = (tn_image_entry){ *content, embeds.rows, embeds.cols, data, ++cache->clock };
    cache->used += bytes;
}

void tn_image_cache_clear(tn_image_cache *cache)
{
    for (size_t i = 0; i < TN_IMAGE_CACHE_PICTURES; i++)
        if (cache->entries[i].embeds != NULL)
            drop(cache, &cache->entries[i]);
}
