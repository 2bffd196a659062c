/* A plain frame around an image, as in screenshots and scans. */
#ifndef TN_IMAGE_FRAME_H
#define TN_IMAGE_FRAME_H

#include "image/region.h"

/* The region of an image inside a plain frame. On each side, lines of one colour starting at the edge are removed, at least two
 * pixels and at most a third of the side, if the next line differs from them along almost its whole length. So a ground with
 * objects on it is not a frame, and a frame in the colour of the ground is not found. Without a frame, the region is the
 * complete image. `image` is RGB. Threads: any. */
tn_region tn_frame_inside(const tn_image *image);

#endif
