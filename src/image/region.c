#include "image/region.h"

#include "image/patches.h"

#include <string.h>

/* One axis: [low, high] inside 0 .. size, widened and truncated. A NaN fails the first test. */
static bool widen(double low, double high, double factor, size_t size, size_t *first, size_t *count)
{
    double end = (double)size;
    if (!(low >= 0 && low < high && high <= end))
        return false;
    double centre = (low + high) / 2, half = (high - low) * factor / 2;
    double from = centre - half, to = centre + half;
    size_t begin = from > 0 ? (size_t)from : 0, stop = to < end ? (size_t)to : size;
    if (begin >= stop)
        return false;
    *first = begin;
    *count = stop - begin;
    return true;
}

bool tn_region_around(const double box[4], double factor, size_t width, size_t height, tn_region *region)
{
    tn_region found;
    if (!(factor >= 1) || !widen(box[0], box[2], factor, width, &found.x, &found.width) ||
        !widen(box[1], box[3], factor, height, &found.y, &found.height))
        return false;
    *region = found;
    return true;
}

tenebra_code tn_region_size(const tn_region *region, size_t scale, size_t cell, size_t min_pixels, size_t max_pixels,
                            size_t *width, size_t *height, tenebra_error *error)
{
    if (scale == 0 || scale > TN_IMAGE_SIDE_MAX || region->width > TN_IMAGE_SIDE_MAX / scale ||
        region->height > TN_IMAGE_SIDE_MAX / scale)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "region", "%zu x %zu pixels cannot be shown %zu times as large",
                       region->width, region->height, scale);
    return tn_smart_resize(region->height * scale, region->width * scale, cell, min_pixels, max_pixels, height, width,
                           error);
}

tenebra_code tn_region_show(const tn_image *image, const tn_region *region, size_t width, size_t height, tn_image *out,
                            tenebra_error *error)
{
    tn_image cut = { 0 };
    memset(out, 0, sizeof *out);
    TN_TRY(tn_image_check(image, error));
    TN_TRY(tn_image_crop(image, region->x, region->y, region->width, region->height, &cut, error));
    tenebra_code code = tn_image_resize(&cut, width, height, TN_RESAMPLE_LANCZOS, out, error);
    tn_image_free(&cut);
    return code;
}
