/* The EXIF orientation of a picture file, found without a decoder.
 *
 * Metadata is often damaged while the picture is fine: whatever is missing, cut off or out of range reads
 * as "upright" and is never an error. No function here reads outside of its bytes. Threads: any. */
#ifndef TN_IMAGE_EXIF_H
#define TN_IMAGE_EXIF_H

#include "base/status.h"

/* Orientation 1..8 (tag 0x0112 of the first directory) of a TIFF structure, with or without the "Exif\0\0"
 * before it; 1 if there is none. Source: TIFF 6.0 section 2, EXIF 2.32 section 4.6.4. */
unsigned tn_exif_orientation(const unsigned char *tiff, size_t length);

/* The same of a whole file: the first APP1 "Exif" segment of a JPEG (EXIF 2.32 section 4.7.2), the eXIf
 * chunk of a PNG (PNG 3rd edition, 11.3.3.3), the EXIF chunk of a WebP (RIFF container specification). */
unsigned tn_exif_of_jpeg(const unsigned char *bytes, size_t length);
unsigned tn_exif_of_png(const unsigned char *bytes, size_t length);
unsigned tn_exif_of_webp(const unsigned char *bytes, size_t length);

#endif
