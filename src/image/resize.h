/* Resampling that equals Pillow's 8-bit resize to the last bit (Pillow 2.7 and later, `Image.resize` of
 * mode RGB without reducing_gap). A model trained behind Pillow loses accuracy behind anything else. */
#ifndef TN_IMAGE_RESIZE_H
#define TN_IMAGE_RESIZE_H

#include "image/image.h"

/* The numbers are Pillow's, as "resample" in preprocessor_config.json has them. */
typedef enum tn_resample {
    TN_RESAMPLE_LANCZOS = 1,  /* sinc(x) sinc(x/3), |x| < 3 */
    TN_RESAMPLE_BILINEAR = 2, /* 1 - |x|, |x| < 1           */
    TN_RESAMPLE_BICUBIC = 3,  /* Keys 1981 with a = -0.5    */
    TN_RESAMPLE_BOX = 4
} tn_resample;

/* Resizes an RGB picture into a fresh one of width x height pixels. When a side shrinks, the filter widens
 * with it (antialiasing). Two passes, rows first, then columns; each rounds and clips to 8 bits; a pass
 * whose side does not change is left out.
 * Errors: ARGUMENT (sides outside of 1..TN_IMAGE_SIDE_MAX, unknown filter), MEMORY. Threads: any. */
tenebra_code tn_image_resize(const tn_image *image, size_t width, size_t height, tn_resample filter,
                             tn_image *out, tenebra_error *error);

#endif
