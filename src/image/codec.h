/* What the three decoders share; for this folder only. */
#ifndef TN_IMAGE_CODEC_H
#define TN_IMAGE_CODEC_H

#include "image/image.h"

/* A file to decode. */
typedef struct tn_source {
    const unsigned char *bytes;
    size_t length;
    const tn_image_limits *limits;
    const char *name; /* for error records */
} tn_source;

/* Refuses a declared size that is zero or beyond the limits. Errors: FORMAT, LIMIT. */
tenebra_code tn_source_check_size(const tn_source *source, size_t width, size_t height, tenebra_error *error);

/* Decodes to RGB without applying the orientation. On failure *image is empty. */
tenebra_code tn_jpeg_decode(tn_image *image, const tn_source *source, tenebra_error *error);
tenebra_code tn_png_decode(tn_image *image, const tn_source *source, tenebra_error *error);
tenebra_code tn_webp_decode(tn_image *image, const tn_source *source, tenebra_error *error);

#endif
