/* The orientation in EXIF data.
 *
 * Metadata is often damaged although the image is not. Metadata that is missing, truncated or out of range counts as
 * absent and is never an error. Nothing outside the bytes is read. Threads: any. */
#ifndef TN_IMAGE_EXIF_H
#define TN_IMAGE_EXIF_H

#include "base/status.h"

/* Tag 0x0112 of the first directory of a TIFF structure, after "Exif\0\0" once, twice or not at all. False if there is
 * none. A value of any type counts, the first of several; anything but an integer from 1 to 8 gives 1 (upright). As in
 * Pillow 13.0, the first of two such tags counts; a tag with more data than the structure has bytes is skipped; a tag
 * whose data is outside the structure ends the directory. Source: TIFF 6.0 section 2, EXIF 2.32 section 4.6.4. */
bool tn_exif_orientation(const unsigned char *tiff, size_t length, unsigned *orientation);

#endif
