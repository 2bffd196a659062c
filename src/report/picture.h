/* Images inside a page: each once, as data URIs. */
#ifndef TN_REPORT_PICTURE_H
#define TN_REPORT_PICTURE_H

#include "report/markup.h"

typedef struct tn_album_picture {
    size_t width, height; /* size of the image before the model's resize; rectangles of picks are in its pixels */
    tn_text uri;          /* "data:image/...;base64,..." */
} tn_album_picture;

/* A zeroed record is empty. */
typedef struct tn_album {
    tn_album_picture *items;
    size_t count;
    json_t *places; /* digest of the file -> index */
    size_t bytes;   /* of all URIs */
} tn_album;

/* Adds an image file, unless it is already there; *index is its index. A file that is small and upright is included
 * unchanged; others are decoded, rotated if `apply_exif` says so, reduced to at most 768 pixels per side, and written
 * as PNG. Errors: those of tn_image_decode, MEMORY; the album is then unchanged. */
tenebra_code tn_album_add(tn_album *album, const tenebra_part *picture, bool apply_exif, size_t *index, tenebra_error *error);

/* Removes the last images until `count` are left. */
void tn_album_cut(tn_album *album, size_t count);
void tn_album_free(tn_album *album);

/* The list of all images as JSON, [[width, height, uri], ...]. */
void tn_album_write(const tn_album *album, tn_markup *out);

#endif
