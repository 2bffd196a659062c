#include "image/region.h"

#include "base/checked.h"
#include "image/resize.h"

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

tenebra_code tn_cell_rectangle(size_t cell, size_t frames, size_t rows, size_t columns, size_t width, size_t height,
                               tn_rectangle *rectangle, tenebra_error *error)
{
    size_t cells, all;
    if (!tn_size_mul(rows, columns, &cells) || !tn_size_mul(cells, frames, &all) || cell >= all)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "cell", "number %zu is not in a grid of %zu x %zu x %zu cells", cell, frames, rows,
                       columns);
    size_t row = cell % cells / columns, column = cell % columns;
    double cell_width = (double)width / (double)columns, cell_height = (double)height / (double)rows;
    *rectangle = (tn_rectangle){ (double)column * cell_width, (double)row * cell_height,
                                 (double)(column + 1) * cell_width, (double)(row + 1) * cell_height };
    return TENEBRA_OK;
}
