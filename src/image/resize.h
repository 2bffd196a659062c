/* Resampling that equals Pillow's 8-bit resize to the last bit (Pillow 2.7 and later, `Image.resize` of mode RGB
 * without reducing_gap). A model that was trained with Pillow loses accuracy with any other resampling. */
#ifndef TN_IMAGE_RESIZE_H
#define TN_IMAGE_RESIZE_H

#include "image/image.h"

/* The numbers are Pillow's, as in "resample" of preprocessor_config.json. */
typedef enum tn_resample {
    TN_RESAMPLE_LANCZOS = 1,  /* sinc(x) sinc(x/3), |x| < 3 */
    TN_RESAMPLE_BILINEAR = 2, /* 1 - |x|, |x| < 1           */
    TN_RESAMPLE_BICUBIC = 3,  /* Keys 1981 with a = -0.5    */
    TN_RESAMPLE_BOX = 4
} tn_resample;

/* Resizes an RGB image into a new one of width x height pixels. If a side shrinks, the filter widens with it
 * (antialiasing). Two passes, rows first, then columns; each rounds and clips to 8 bits; a pass for a side that does
 * not change is left out. Errors: ARGUMENT (sides outside 1..TN_IMAGE_SIDE_MAX, unknown filter), MEMORY. Threads: any. */
tenebra_code tn_image_resize(const tn_image *image, size_t width, size_t height, tn_resample filter,
                             tn_image *out, tenebra_error *error);

#endif
