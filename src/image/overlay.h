/* Draws a matrix of dots with their coordinates on an image, so that text can refer to places. */
#ifndef TN_IMAGE_OVERLAY_H
#define TN_IMAGE_OVERLAY_H

#include "image/image.h"

enum { TN_DOTS_MAX = 99 /* rows, columns, and images of a sequence */ };

/* Copies an RGB image W x H into a new one and draws rows x columns dots on it:
 *   centre   of dot (r, c), both from 1: x = floor(c W / (columns + 1)), y = floor(r H / (rows + 1))
 *   colour   of dot and label: black if the image's R + G + B at the centre is at least 382.5, else white
 *   dot      a disc of radius floor(W / 240), at least 1
 *   label    "(r,c)", or "(t,r,c)" with sequence t > 0, its upper left corner at (x + 3, y); letters of
 *            floor(W / 40) pixels, at least 8, in whole multiples of 8
 * Parts outside the image are not drawn. If dots are too close, later labels (row by row) cover earlier ones; every dot
 * is drawn over the labels.
 * Errors: ARGUMENT (not RGB; rows, columns or sequence out of range), MEMORY; *out is then empty. Threads: any.
 * Source: arXiv:2402.12058, section 3.1, and its published code; the minimum sizes and the letters are ours. */
tenebra_code tn_overlay_dots(const tn_image *image, size_t rows, size_t columns, size_t sequence, tn_image *out,
                             tenebra_error *error);

#endif
