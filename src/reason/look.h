/* Looking again in more detail: the prompt shows an image in its own size, and what a method picks from it is read from a second
 * encoding of the same image in a larger size. A cell of the prompt stands for the cells of the larger image that cover the same
 * rectangle. */
#ifndef TN_REASON_LOOK_H
#define TN_REASON_LOOK_H

#include "model/row.h"

typedef struct tn_reasoner tn_reasoner;
typedef struct tn_picture tn_picture;

/* The number of cells of `look` in one cell of the image that the prompt shows; look NULL or empty: 1. */
static inline size_t tn_look_ratio(const tn_image_rows *shown, const tn_image_rows *look)
{
    return look == NULL || look->rows == 0 ? 1 : look->rows / shown->rows;
}

/* Writes the rows [tn_look_ratio] for cell `cell` of the image that the prompt shows: the cells of `look` that cover the same
 * rectangle, row by row; look NULL or empty: the cell itself. Returns their number. */
size_t tn_look_cells(const tn_image_rows *shown, const tn_image_rows *look, size_t cell, tn_row *cells);

/* Reads what is picked from the images of the question in this size {width, height}, in pixels; {0, 0}: in that of the prompt. Call
 * from the method's open. */
void tn_look_open(tn_reasoner *reasoner, const size_t size[2]);

/* Adds the larger image to one that the prompt shows, if the method reads it; `image` is the original of both. Errors: ARGUMENT
 * (cells of the prompt's image are not whole numbers of cells of the larger one; it would show another part of the image), MEMORY. */
tenebra_code tn_look_add(const tn_reasoner *reasoner, const tn_image *image, tn_picture *picture, tenebra_error *error);

#endif
