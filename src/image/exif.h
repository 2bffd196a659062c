/* The orientation in EXIF data.
 *
 * Metadata is often damaged while the picture is fine: what is missing, cut off or out of range is not there, and never an
 * error. Nothing outside of the bytes is read. Threads: any. */
#ifndef TN_IMAGE_EXIF_H
#define TN_IMAGE_EXIF_H

#include "base/status.h"

/* Tag 0x0112 of the first directory of a TIFF structure, with or without "Exif\0\0" before it, once or twice. False: there is
 * none. A value of any type counts, of several the first; what is not a whole number from 1 to 8 gives 1 (upright).
 * As Pillow 13.0 reads it: of two such tags the first; a tag with more data than the structure has bytes is passed over; one
 * whose data lies outside ends the directory. Source: TIFF 6.0 section 2, EXIF 2.32 section 4.6.4. */
bool tn_exif_orientation(const unsigned char *tiff, size_t length, unsigned *orientation);

#endif
