/* A matrix of dots with their coordinates drawn on a picture, so that words can point at places. */
#ifndef TN_IMAGE_OVERLAY_H
#define TN_IMAGE_OVERLAY_H

#include "image/image.h"

enum { TN_DOTS_MAX = 99 /* rows, columns, and pictures of a sequence */ };

/* Copies an RGB picture W x H into a fresh one and draws rows x columns dots on it:
 *   centre   of dot (r, c), both from 1: x = floor(c W / (columns + 1)), y = floor(r H / (rows + 1))
 *   colour   black where the picture's R + G + B under the centre is at least 382.5, else white; of dot and label
 *   dot      a disc of radius floor(W / 240), at least 1
 *   label    "(r,c)", or "(t,r,c)" with sequence t > 0, its upper left corner at (x + 3, y); letters of
 *            floor(W / 40) pixels, at least 8, in whole multiples of 8
 * What lies outside of the picture is not drawn. Where dots stand too close, later labels (row by row) cover earlier ones;
 * every dot is drawn over the labels.
 * Errors: ARGUMENT (not RGB; rows, columns or sequence out of range), MEMORY; *out is empty then. Threads: any.
 * Source: arXiv:2402.12058, section 3.1, and its published code; the least sizes and the letters are ours. */
tenebra_code tn_overlay_dots(const tn_image *image, size_t rows, size_t columns, size_t sequence, tn_image *out,
                             tenebra_error *error);

#endif
