/* An image on its way to rows of input. The size to which it is resized and its number of rows follow from its size alone, so a
 * prompt can be laid out and checked before any pixel is read. Encoding is done by an image encoder (model/encoder.h). */
#ifndef TN_MODEL_PICTURE_H
#define TN_MODEL_PICTURE_H

#include "base/digest.h"
#include "image/resize.h"
#include "model/layout.h"
#include "tenebra.h"

/* The size of an image as the encoder sees it, in pixels: first the complete image is resized, then a part of it is cropped. */
typedef struct tn_fit {
    size_t width, height;                      /* after resizing                              */
    size_t left, top, seen_width, seen_height; /* the cropped part; usually all of it        */
    tn_resample filter;
} tn_fit;

/* A fit without cropping. */
static inline tn_fit tn_fit_whole(size_t width, size_t height, tn_resample filter)
{
    return (tn_fit){ width, height, 0, 0, width, height, filter };
}

/* Resizes and crops. Errors: those of tn_image_resize and tn_image_crop; *out is then empty. */
tenebra_code tn_fit_apply(const tn_fit *fit, const tn_image *image, tn_image *out, tenebra_error *error);

enum { TN_DEEP_MAX = 4 };

/* An encoded image: rows of input in reading order, which are vectors, or tokens. */
typedef struct tn_image_rows {
    size_t rows;                            /* J = frames * grid_rows * grid_columns                           */
    size_t frames, grid_rows, grid_columns; /* of cells, the parts of the image that become one row            */
    tn_digest content;                      /* digest of the pixels that the encoder sees; zero: unknown       */
    tn_tensor embeds;                       /* [J, C]; without data: not encoded yet, or the image is tokens   */
    const int32_t *ids;                     /* [J] or NULL                                                     */
    tn_tensor deep[TN_DEEP_MAX];            /* [deep_count] of [J, C], added to the rows after that many decoder layers */
    size_t deep_count;
} tn_image_rows;

static inline bool tn_picture_is_encoded(const tn_image_rows *picture)
{
    return !tn_tensor_is_empty(picture->embeds) || picture->ids != NULL;
}

/* The input of an encoder for one image. The encoder defines the kind of the rows: patches, or pixels. */
typedef struct tn_prepared {
    size_t rows, columns; /* size of `values`                                                 */
    size_t sides[3];      /* frames, height and width of the grid of the rows                 */
    double pairs;         /* pairs of rows that attend to each other, for counting operations */
    tn_real *values;      /* [rows, columns], owned                                           */
} tn_prepared;

/* A zeroed record may be freed. */
void tn_prepared_free(tn_prepared *prepared);

/* ------------------------------------------------- pieces of encoders -- */

/* The size that a request fixes for all images, in multiples of `unit` pixels. *fixed: whether there is one. Errors: ARGUMENT. */
tenebra_code tn_picture_fixed(const tenebra_image_rule *asked, size_t unit, bool *fixed, size_t *width, size_t *height,
                              tenebra_error *error);

/* The bounds in pixels of a request, which gives them in pixels or in rows of `area` pixels each. *least and *most are
 * initially those of the encoder. Errors: ARGUMENT (both forms are given, or the minimum exceeds the maximum). */
tenebra_code tn_picture_bounds(const tenebra_image_rule *asked, size_t area, size_t *least, size_t *most, tenebra_error *error);

#endif
