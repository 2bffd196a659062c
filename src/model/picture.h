/* A picture on its way to rows of input: the size in which it is shown and the number of its rows follow from its size alone, so
 * that a prompt can be laid and checked before any pixel is looked at. What happens between them is an image encoder's business
 * (model/encoder.h). */
#ifndef TN_MODEL_PICTURE_H
#define TN_MODEL_PICTURE_H

#include "base/digest.h"
#include "image/resize.h"
#include "model/layout.h"
#include "tenebra.h"

/* The size in which a picture is shown: resized as a whole, then cut. Pixels. */
typedef struct tn_fit {
    size_t width, height;                      /* after resizing                              */
    size_t left, top, seen_width, seen_height; /* what is cut out of that; all of it, usually */
    tn_resample filter;
} tn_fit;

/* A fit that cuts nothing. */
static inline tn_fit tn_fit_whole(size_t width, size_t height, tn_resample filter)
{
    return (tn_fit){ width, height, 0, 0, width, height, filter };
}

/* Resizes and cuts. Errors: those of tn_image_resize and tn_image_crop; *out is empty then. */
tenebra_code tn_fit_apply(const tn_fit *fit, const tn_image *image, tn_image *out, tenebra_error *error);

enum { TN_DEEP_MAX = 4 };

/* What an image encoder makes of one picture: rows of input in reading order. They are vectors, or tokens. */
typedef struct tn_image_rows {
    size_t rows;                            /* J = frames * grid_rows * grid_columns                           */
    size_t frames, grid_rows, grid_columns; /* of cells: the parts of the picture that become one row          */
    tn_digest content;                      /* of the pixels that the encoder sees; zero: not known            */
    tn_tensor embeds;                       /* [J, C]; without data: not encoded yet, or the picture is tokens */
    const int32_t *ids;                     /* [J] or NULL                                                     */
    tn_tensor deep[TN_DEEP_MAX];            /* [deep_count] of [J, C], added to the rows after that many decoder layers */
    size_t deep_count;
} tn_image_rows;

static inline bool tn_picture_is_encoded(const tn_image_rows *picture)
{
    return !tn_tensor_is_empty(picture->embeds) || picture->ids != NULL;
}

/* What an encoder reads of one picture. The rows are of its own kind: patches, or pixels. */
typedef struct tn_prepared {
    size_t rows, columns; /* of values                                                        */
    size_t sides[3];      /* frames, height and width of the grid that the rows make, in them */
    double pairs;         /* rows that attend to each other, to count operations              */
    tn_real *values;      /* [rows, columns], owned                                           */
} tn_prepared;

/* A zeroed record may be freed. */
void tn_prepared_free(tn_prepared *prepared);

/* ------------------------------------------------- pieces of encoders -- */

/* The size that a request fixes for all pictures: multiples of `unit` pixels. *fixed: there is one. Errors: ARGUMENT. */
tenebra_code tn_picture_fixed(const tenebra_image_rule *asked, size_t unit, bool *fixed, size_t *width, size_t *height,
                              tenebra_error *error);

/* The bounds in pixels that a request sets, in pixels or in rows of `area` pixels each. *least and *most are the encoder's own before.
 * Errors: ARGUMENT (both forms, or nothing is left). */
tenebra_code tn_picture_bounds(const tenebra_image_rule *asked, size_t area, size_t *least, size_t *most, tenebra_error *error);

#endif
