/* An image in memory, and operations on whole images: limits, cropping, rotating, blending.
 *
 * All code above the decoders works on 8-bit RGB, row-major [height, width, 3]. */
#ifndef TN_IMAGE_IMAGE_H
#define TN_IMAGE_IMAGE_H

#include "base/status.h"

enum {
    TN_IMAGE_CHANNELS = 3,
    TN_IMAGE_SIDE_MAX = 1 << 20 /* pixels; the longest side of any image here */
};
#define TN_IMAGE_AREA_MAX ((size_t)TN_IMAGE_SIDE_MAX * TN_IMAGE_SIDE_MAX) /* pixels of an image with the longest sides */

/* A zeroed record is an empty image. */
typedef struct tn_image {
    size_t width, height, channels;
    unsigned char *pixels; /* [height, width, channels], owned */
} tn_image;

/* Limits on what a file may declare. */
typedef struct tn_image_limits {
    size_t max_bytes;  /* of the file                          */
    size_t max_pixels; /* width * height                       */
    size_t max_side;   /* width and height, at most TN_IMAGE_SIDE_MAX */
    size_t max_scan_pixels; /* scans of a JPEG times its pixels; 16 scans are always allowed */
} tn_image_limits;

/* 64 MiB, 100 million pixels, 32768 per side, 500 million pixels in scans. */
static inline tn_image_limits tn_image_limits_default(void)
{
    return (tn_image_limits){ (size_t)64 << 20, 100000000, 32768, 500000000 };
}

/* Allocates width x height x channels bytes, undefined contents. `channels` is 3, or 4 inside the decoders. Errors:
 * ARGUMENT (a side of 0 or over TN_IMAGE_SIDE_MAX), MEMORY. On failure *image is empty. */
tenebra_code tn_image_new(tn_image *image, size_t width, size_t height, size_t channels, tenebra_error *error);

/* Releases the pixels and empties the record. */
void tn_image_free(tn_image *image);

/* Checks that an image is RGB with sides in range, as every function below requires. Errors: ARGUMENT. */
tenebra_code tn_image_check(const tn_image *image, tenebra_error *error);

/* Copies the rectangle of width x height pixels with upper left corner (x, y) into a new image. Errors: ARGUMENT
 * (empty, or not inside), MEMORY. */
tenebra_code tn_image_crop(const tn_image *image, size_t x, size_t y, size_t width, size_t height,
                           tn_image *out, tenebra_error *error);

/* Rotates an image as its EXIF orientation (TIFF tag 0x0112, EXIF 2.32 section 4.6.4) says: 1 unchanged, 2 mirrored
 * left to right, 3 by 180 degrees, 4 mirrored top to bottom, 5 transposed, 6 by 90 clockwise, 7 transposed over the
 * other diagonal, 8 by 90 counter-clockwise; 5 to 8 swap the sides. Errors: ARGUMENT (another number), MEMORY; the
 * image is then unchanged. */
tenebra_code tn_image_orient(tn_image *image, unsigned orientation, tenebra_error *error);

/* How two image processors blend RGBA over white; results differ by one level, and by more after resizing. With a =
 * alpha / 255 and v the value, both compute (1 - a) * 255 + a * v: */
typedef enum tn_blend {
    TN_BLEND_ROUND,   /* rounded to nearest, like Pillow's paste with a mask: qwen_vl_utils */
    TN_BLEND_TRUNCATE /* in double, truncated: ChameleonImageProcessor of transformers */
} tn_blend;

/* RGBA (straight alpha) to RGB over white, in place. Any other image is not changed. */
void tn_image_flatten(tn_image *image, tn_blend blend);

#endif
