/* A cache of encoded images by content, so that the same pixels run through the image encoder only once.
 *
 * Belongs to a session, not to the model, which is read-only and shared by threads. Its size in bytes is limited; the least
 * recently used image is dropped first. */
#ifndef TN_MODEL_IMAGE_CACHE_H
#define TN_MODEL_IMAGE_CACHE_H

#include "base/digest.h"
#include "model/picture.h"

enum { TN_IMAGE_CACHE_PICTURES = 256 };

typedef struct tn_image_entry {
    tn_digest content;
    size_t rows, cols; /* J, C */
    bool embedded;     /* has embeddings; otherwise the image is tokens */
    size_t deep;       /* tensors that are added after layers             */
    tn_real *values;   /* [embedded + deep, rows, cols], owned            */
    int32_t *ids;      /* [rows] or NULL, owned                           */
    size_t bytes;      /* of both; 0: the entry is free                   */
    uint64_t asked;    /* time of the last use, by the cache's clock      */
} tn_image_entry;

typedef struct tn_image_cache {
    size_t limit, used; /* bytes; limit 0: keeps nothing */
    uint64_t clock;
    tn_image_entry entries[TN_IMAGE_CACHE_PICTURES];
} tn_image_cache;

/* The entry of this content, or NULL; valid until the next add or clear. */
const tn_image_entry *tn_image_cache_find(tn_image_cache *cache, const tn_digest *content);

/* Keeps a copy of an encoded image, and drops others if necessary. An image that is larger than the cache, has unknown content,
 * or finds no memory is not kept, which is not an error. */
void tn_image_cache_add(tn_image_cache *cache, const tn_digest *content, tn_ops *ops, const tn_image_rows *picture);

/* Drops all entries. A zeroed cache may be cleared. */
void tn_image_cache_clear(tn_image_cache *cache);

#endif
