#include "image/image.h"

#include "base/checked.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

tenebra_code tn_image_new(tn_image *image, size_t width, size_t height, size_t channels, tenebra_error *error)
{
    memset(image, 0, sizeof *image);
    if (width == 0 || height == 0 || width > TN_IMAGE_SIDE_MAX || height > TN_IMAGE_SIDE_MAX)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "image", "an image of %zu x %zu pixels is not possible; "
                       "sides go from 1 to %d", width, height, TN_IMAGE_SIDE_MAX);
    size_t bytes;
    if (!tn_size_mul(width, height, &bytes) || !tn_size_mul(bytes, channels, &bytes) ||
        bytes > PTRDIFF_MAX || (image->pixels = malloc(bytes)) == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "image", "no memory for an image of %zu x %zu pixels",
                       width, height);
    image->width = width;
    image->height = height;
    image->channels = channels;
    return TENEBRA_OK;
}

void tn_image_free(tn_image *image)
{
    free(image->pixels);
    memset(image, 0, sizeof *image);
}

tenebra_code tn_image_check(const tn_image *image, tenebra_error *error)
{
    if (image->pixels == NULL || image->channels != TN_IMAGE_CHANNELS || image->width == 0 ||
        image->height == 0 || image->width > TN_IMAGE_SIDE_MAX || image->height > TN_IMAGE_SIDE_MAX)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "image", "an image of %zu x %zu pixels with %zu channels "
                       "cannot be used; RGB with sides from 1 to %d is needed",
                       image->width, image->height, image->channels, TN_IMAGE_SIDE_MAX);
    return TENEBRA_OK;
}

tenebra_code tn_image_crop(const tn_image *image, size_t x, size_t y, size_t width, size_t height,
                           tn_image *out, tenebra_error *error)
{
    memset(out, 0, sizeof *out);
    TN_TRY(tn_image_check(image, error));
    if (width == 0 || height == 0 || x >= image->width || y >= image->height || width > image->width - x ||
        height > image->height - y)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "crop", "%zu x %zu pixels at (%zu, %zu) do not lie inside "
                       "an image of %zu x %zu", width, height, x, y, image->width, image->height);
    TN_TRY(tn_image_new(out, width, height, TN_IMAGE_CHANNELS, error));
    const unsigned char *from = image->pixels + (y * image->width + x) * TN_IMAGE_CHANNELS;
    for (size_t row = 0; row < height; row++)
        memcpy(out->pixels + row * width * TN_IMAGE_CHANNELS, from + row * image->width * TN_IMAGE_CHANNELS,
               width * TN_IMAGE_CHANNELS);
    return TENEBRA_OK;
}

/* The source of pixel (x, y) of the rotated image: column and row are (x, y), swapped if `transpose`, then counted from
 * the other end if `flip_column`, `flip_row`. Index: orientation - 1. */
static const struct turn {
    bool transpose, flip_column, flip_row;
} turns[8] = {
    { false, false, false }, { false, true, false }, { false, true, true }, { false, false, true },
    { true, false, false },  { true, false, true },  { true, true, true },  { true, true, false },
};

static void turn_pixels(const tn_image *from, struct turn turn, tn_image *to)
{
    ptrdiff_t column_step = TN_IMAGE_CHANNELS, row_step = (ptrdiff_t)(from->width * TN_IMAGE_CHANNELS);
    const unsigned char *origin = from->pixels;
    if (turn.flip_column) {
        origin += column_step * (ptrdiff_t)(from->width - 1);
        column_step = -column_step;
    }
    if (turn.flip_row) {
        origin += row_step * (ptrdiff_t)(from->height - 1);
        row_step = -row_step;
    }
    ptrdiff_t x_step = turn.transpose ? row_step : column_step;
    ptrdiff_t y_step = turn.transpose ? column_step : row_step;
    unsigned char *pixel = to->pixels;
    for (size_t y = 0; y < to->height; y++) {
        for (size_t x = 0; x < to->width; x++, pixel += TN_IMAGE_CHANNELS) {
            const unsigned char *source = origin + (ptrdiff_t)y * y_step + (ptrdiff_t)x * x_step;
            memcpy(pixel, source, TN_IMAGE_CHANNELS);
        }
    }
}

tenebra_code tn_image_orient(tn_image *image, unsigned orientation, tenebra_error *error)
{
    TN_TRY(tn_image_check(image, error));
    if (orientation < 1 || orientation > 8)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "orientation", "%u is not an orientation from 1 to 8",
                       orientation);
    if (orientation == 1)
        return TENEBRA_OK;
    struct turn turn = turns[orientation - 1];
    tn_image turned;
    TN_TRY(tn_image_new(&turned, turn.transpose ? image->height : image->width,
                        turn.transpose ? image->width : image->height, TN_IMAGE_CHANNELS, error));
    turn_pixels(image, turn, &turned);
    tn_image_free(image);
    *image = turned;
    return TENEBRA_OK;
}

/* round(product / 255) for products up to 255^2. */
static unsigned char divide_by_255(unsigned product)
{
    unsigned biased = product + 128;
    return (unsigned char)(((biased >> 8) + biased) >> 8);
}

static unsigned char blend_rounded(unsigned value, unsigned alpha)
{
    return divide_by_255(value * alpha + 255 * (255 - alpha));
}

/* The order of the operations decides on which side of an integer some sums fall. */
static unsigned char blend_truncated(unsigned value, unsigned alpha)
{
    double share = alpha / 255.0;
    return (unsigned char)((1 - share) * 255 + share * value);
}

void tn_image_flatten(tn_image *image, tn_blend blend)
{
    if (image->channels != 4)
        return;
    size_t count = image->width * image->height;
    const unsigned char *from = image->pixels;
    unsigned char *to = image->pixels;
    for (size_t i = 0; i < count; i++, from += 4) {
        unsigned alpha = from[3];
        for (size_t c = 0; c < TN_IMAGE_CHANNELS; c++)
            *to++ = blend == TN_BLEND_ROUND ? blend_rounded(from[c], alpha) : blend_truncated(from[c], alpha);
    }
    image->channels = TN_IMAGE_CHANNELS;
    unsigned char *smaller = realloc(image->pixels, count * TN_IMAGE_CHANNELS);
    if (smaller != NULL)
        image->pixels = smaller;
}
