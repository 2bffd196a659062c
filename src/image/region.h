/* Parts of an image: a region, enlarged; and a cell of a grid over it. */
#ifndef TN_IMAGE_REGION_H
#define TN_IMAGE_REGION_H

#include "image/image.h"

/* Whole pixels of an image, at least one. */
typedef struct tn_region {
    size_t x, y, width, height;
} tn_region;

/* The region of an image of width x height pixels around a box [x0, y0, x1, y1]: the box, `factor` >= 1 times as large
 * about its centre, clipped to the image, with truncated corners. Returns false and does not change *region for a box
 * that is not inside the image (0 <= x0 < x1 <= width, 0 <= y0 < y1 <= height), contains NaN, or covers no pixel.
 * Threads: any. */
bool tn_region_around(const double box[4], double factor, size_t width, size_t height, tn_region *region);

/* Crops the region and resizes it to width x height pixels with Pillow's Lanczos filter, into a new image. Errors:
 * ARGUMENT (the region is not inside), MEMORY; *out is then empty. Threads: any. */
tenebra_code tn_region_show(const tn_image *image, const tn_region *region, size_t width, size_t height, tn_image *out,
                            tenebra_error *error);

/* Pixels from the upper left corner; x1 and y1 are exclusive. */
typedef struct tn_rectangle {
    double x0, y0, x1, y1;
} tn_rectangle;

/* The rectangle of cell number `cell`, in reading order, of a grid of frames x rows x columns over an image of width x height pixels.
 * Errors: ARGUMENT (a cell outside of the grid). */
tenebra_code tn_cell_rectangle(size_t cell, size_t frames, size_t rows, size_t columns, size_t width, size_t height,
                               tn_rectangle *rectangle, tenebra_error *error);

#endif
