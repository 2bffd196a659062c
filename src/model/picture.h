/* What an image encoder makes of one picture: rows of input in reading order. Their number follows from the size of the picture
 * alone (tn_picture_measure), so that a prompt can be laid and checked before anything is computed. */
#ifndef TN_MODEL_PICTURE_H
#define TN_MODEL_PICTURE_H

#include "base/digest.h"
#include "image/patches.h"
#include "model/network.h"

typedef struct tn_image_rows {
    size_t rows;                            /* J = frames * grid_rows * grid_columns                    */
    size_t frames, grid_rows, grid_columns; /* of cells: patches that become one row                    */
    tn_digest content;                      /* of the pixels that the encoder sees; zero: not known     */
    tn_tensor embeds;                       /* [J, C]; without data: not encoded yet                    */
} tn_image_rows;

/* The rows that a picture of these sides (pixels, after resizing) will have. Sides that do not fill whole cells are cut off. */
tn_image_rows tn_picture_measure(const tn_patch_config *config, size_t width, size_t height);

/* Patches of a picture of these rows, as the vision tower takes them; `merge` patches make a side of a cell. */
static inline tn_grid tn_picture_grid(const tn_image_rows *rows, size_t merge)
{
    return (tn_grid){ rows->frames, rows->grid_rows * merge, rows->grid_columns * merge };
}

#endif
