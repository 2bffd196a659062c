/* From an image to the rows that a vision tower of patches reads. Source:
 * arXiv:2409.12191 section 2.1; Hugging Face's image processor of that model for all arithmetic. */
#ifndef TN_IMAGE_PATCHES_H
#define TN_IMAGE_PATCHES_H

#include "base/json.h"
#include "base/notes.h"
#include "base/real.h"
#include "image/resize.h"

/* -------------------------------------------------------- configuration -- */

/* Contents of preprocessor_config.json, or of "image_processor" in processor_config.json. */
typedef struct tn_patch_config {
    size_t patch_size;          /* p, pixels                                        */
    size_t merge_size;          /* m: m x m patches become one embedding            */
    size_t temporal_patch_size; /* tp: frames of one patch; a still image is repeated */
    size_t min_pixels, max_pixels; /* of the resized image                          */
    double rescale;             /* factor on 0..255; 1 when rescaling is off        */
    double mean[3], std[3];     /* of R, G, B after rescaling; 0 and 1 when off     */
    tn_resample resample;
    bool resize;                /* false: sides must already fit                    */
} tn_patch_config;

/* 14, 2, 2, 56*56 to 28*28*1280 pixels, 1/255, CLIP's mean and std, bicubic, resizing on. */
tn_patch_config tn_patch_config_default(void);

/* Reads such an object; absent keys keep the defaults above. min_pixels and max_pixels take precedence over
 * size.min_pixels and size.max_pixels, and these over size.shortest_edge and size.longest_edge (which also count pixels
 * in files of this model). Refused with FORMAT: values of a wrong type, sizes of 0 or beyond reason (patch 1024, merge
 * and frames 64, 2^28 pixels), min over max, a standard deviation that is not positive, a size without any of its keys.
 * UNSUPPORTED: filters other than tn_resample. `name` appears in error records. */
tenebra_code tn_patch_config_read(const json_t *json, const char *name, tn_patch_config *config,
                                  tenebra_error *error);

/* Parts of this that encoders without patches use, too: "resample", and what becomes of the numbers of a pixel (do_rescale,
 * rescale_factor, do_normalize, image_mean, image_std, which may have one number for all channels). Errors: as above. */
tenebra_code tn_resample_read(const json_t *json, const char *name, tn_resample *resample, tenebra_error *error);
tenebra_code tn_pixels_read(const json_t *json, const char *name, tn_patch_config *config, tenebra_error *error);

/* Adds the keys of such an object that have no effect here to the notes, as members of `prefix` (NULL: none). */
void tn_patch_config_note(const json_t *json, const char *name, const char *prefix, tn_notes *notes);

/* ----------------------------------------------------------------- size -- */

/* The size to which a height x width image is resized: about the same shape, sides are multiples of `factor`
 * (patch_size * merge_size) and at least one factor, min_pixels to max_pixels in total. Rounding is Python's: halves to
 * even on the double quotient. Equal to `smart_resize` of transformers 4.50, except for two cases in which that gives
 * no usable result: a side shorter than the factor (it raises an error) counts as one factor, as in qwen_vl_utils; and
 * a long image that has to shrink keeps at least one factor per side (it returns 0), so max_pixels may then be
 * exceeded. Errors: ARGUMENT (a side of 0 or over TN_IMAGE_SIDE_MAX, ratio of the sides over 200, bounds of 0 or min
 * over max, a factor of 0 or over 65536). */
tenebra_code tn_smart_resize(size_t height, size_t width, size_t factor, size_t min_pixels, size_t max_pixels,
                             size_t *new_height, size_t *new_width, tenebra_error *error);

/* -------------------------------------------------------------- patches -- */

/* Rows for the vision tower: [count, columns], count = grid_t * grid_h * grid_w. A row is one patch: [3 channels, tp
 * frames, p, p]. Rows are grouped by the m x m patches that are merged: [grid_t, grid_h / m, grid_w / m, m, m]. */
typedef struct tn_patches {
    size_t count, columns;
    size_t grid_t, grid_h, grid_w; /* in patches, before merging */
    tn_real *values;               /* owned */
} tn_patches;

/* Divides an RGB image whose sides are multiples of p * m into patches. A value is (float(u8 * rescale) - mean) / std
 * with the product in double and the rest in float, as NumPy computes it there. Errors: ARGUMENT, MEMORY; *patches is
 * then empty. */
tenebra_code tn_patches_cut(const tn_patch_config *config, const tn_image *image, tn_patches *patches,
                            tenebra_error *error);

/* Resizes by tn_smart_resize, unless the configuration disables it, and divides the image into patches. Errors: as
 * tn_smart_resize, tn_image_resize and tn_patches_cut. */
tenebra_code tn_patches_make(const tn_patch_config *config, const tn_image *image, tn_patches *patches,
                             tenebra_error *error);

/* A zeroed record may be freed. */
void tn_patches_free(tn_patches *patches);

#endif
