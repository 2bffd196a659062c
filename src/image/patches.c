#include "image/patches.h"

#include "base/checked.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The value of each level of each channel. The rounding to float after rescaling is the reference's. */
static void fill_levels(const tn_patch_config *config, tn_real levels[TN_IMAGE_CHANNELS][256])
{
    for (size_t c = 0; c < TN_IMAGE_CHANNELS; c++) {
        float mean = (float)config->mean[c], std = (float)config->std[c];
        for (size_t level = 0; level < 256; level++)
            levels[c][level] = ((float)((double)level * config->rescale) - mean) / std;
    }
}

/* One row: the p x p pixels at `pixels` (`stride` bytes per line) as [3, tp, p, p]. */
static void cut_patch(const tn_patch_config *config, const unsigned char *pixels, size_t stride,
                      tn_real levels[TN_IMAGE_CHANNELS][256], tn_real *row)
{
    size_t p = config->patch_size, area = p * p;
    for (size_t c = 0; c < TN_IMAGE_CHANNELS; c++) {
        tn_real *first = row;
        for (size_t y = 0; y < p; y++)
            for (size_t x = 0; x < p; x++)
                *row++ = levels[c][pixels[y * stride + x * TN_IMAGE_CHANNELS + c]];
        for (size_t frame = 1; frame < config->temporal_patch_size; frame++, row += area)
            memcpy(row, first, area * sizeof *row);
    }
}

/* All rows, in the order of tn_patches. */
static void cut_all(const tn_patch_config *config, const tn_image *image, tn_patches *patches)
{
    tn_real levels[TN_IMAGE_CHANNELS][256];
    size_t p = config->patch_size, m = config->merge_size, stride = image->width * TN_IMAGE_CHANNELS;
    tn_real *row = patches->values;
    fill_levels(config, levels);
    for (size_t cell_y = 0; cell_y < patches->grid_h; cell_y += m)
        for (size_t cell_x = 0; cell_x < patches->grid_w; cell_x += m)
            for (size_t i = 0; i < m * m; i++, row += patches->columns) {
                size_t y = (cell_y + i / m) * p, x = (cell_x + i % m) * p;
                cut_patch(config, image->pixels + y * stride + x * TN_IMAGE_CHANNELS, stride, levels, row);
            }
}

tenebra_code tn_patches_cut(const tn_patch_config *config, const tn_image *image, tn_patches *patches,
                            tenebra_error *error)
{
    memset(patches, 0, sizeof *patches);
    TN_TRY(tn_image_check(image, error));
    size_t p = config->patch_size, factor, frame, columns, bytes;
    if (!tn_size_mul(p, config->merge_size, &factor) || factor == 0 || image->width % factor ||
        image->height % factor)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "image", "%zu x %zu pixels cannot be cut: both sides must be "
                       "multiples of %zu x %zu pixels", image->width, image->height, p, config->merge_size);
    size_t rows = image->height / p, across = image->width / p, count = rows * across;
    if (!tn_size_mul(p, p, &frame) || !tn_size_mul(frame, TN_IMAGE_CHANNELS, &columns) ||
        !tn_size_mul(columns, config->temporal_patch_size, &columns) || columns == 0 ||
        !tn_size_mul(columns, count, &bytes) || !tn_size_mul(bytes, sizeof *patches->values, &bytes) ||
        bytes > PTRDIFF_MAX || (patches->values = malloc(bytes)) == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "image", "no memory for %zu patches", count);
    patches->count = count;
    patches->columns = columns;
    patches->grid_t = 1;
    patches->grid_h = rows;
    patches->grid_w = across;
    cut_all(config, image, patches);
    return TENEBRA_OK;
}

tenebra_code tn_patches_make(const tn_patch_config *config, const tn_image *image, tn_patches *patches,
                             tenebra_error *error)
{
    memset(patches, 0, sizeof *patches);
    TN_TRY(tn_image_check(image, error));
    size_t height = image->height, width = image->width, factor;
    if (!tn_size_mul(config->patch_size, config->merge_size, &factor))
        factor = SIZE_MAX; /* refused below */
    if (config->resize)
        TN_TRY(tn_smart_resize(image->height, image->width, factor, config->min_pixels, config->max_pixels,
                               &height, &width, error));
    if (height == image->height && width == image->width)
        return tn_patches_cut(config, image, patches, error);
    tn_image resized;
    TN_TRY(tn_image_resize(image, width, height, config->resample, &resized, error));
    tenebra_code code = tn_patches_cut(config, &resized, patches, error);
    tn_image_free(&resized);
    return code;
}

void tn_patches_free(tn_patches *patches)
{
    free(patches->values);
    memset(patches, 0, sizeof *patches);
}
