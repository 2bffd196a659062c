/* Pictures inside of a page: each once, as data URIs. */
#ifndef TN_REPORT_PICTURE_H
#define TN_REPORT_PICTURE_H

#include "report/markup.h"

typedef struct tn_album_picture {
    size_t width, height; /* of the picture as the model was given it: rectangles of picks are in its pixels */
    tn_text uri;          /* "data:image/...;base64,..." */
} tn_album_picture;

/* Zeroed is empty. */
typedef struct tn_album {
    tn_album_picture *items;
    size_t count;
    json_t *places; /* digest of the file -> index */
    size_t bytes;   /* of all URIs */
} tn_album;

/* Puts a picture file in, unless it is there already; *index is its place. A file that is small and stands upright goes in as
 * it is; others are decoded, turned as `apply_exif` says, made at most 768 pixels long, and written as PNG. Errors: those of
 * tn_image_decode, MEMORY; the album is as before then. */
tenebra_code tn_album_add(tn_album *album, const tenebra_part *picture, bool apply_exif, size_t *index, tenebra_error *error);

/* Takes the last pictures out until `count` are left. */
void tn_album_cut(tn_album *album, size_t count);
void tn_album_free(tn_album *album);

/* The list of all as JSON, [[width, height, uri], ...]. */
void tn_album_write(const tn_album *album, tn_markup *out);

#endif
