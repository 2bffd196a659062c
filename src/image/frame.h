/* A plain frame around a picture, as screenshots and scans have one. */
#ifndef TN_IMAGE_FRAME_H
#define TN_IMAGE_FRAME_H

#include "image/region.h"

/* What a frame leaves of a picture: on each side the lines of one colour from the edge on are taken away, at most a third of the side
 * and at least two pixels, if what follows differs from them along almost its whole length. So a ground on which objects stand is no
 * frame; one that is as coloured as the ground behind it is not seen either. Without a frame the whole picture. `image` is RGB.
 * Threads: any. */
tn_region tn_frame_inside(const tn_image *image);

#endif
