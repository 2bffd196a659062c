/* How a picture file says it stands, found without a decoder. */
#ifndef TN_IMAGE_ORIENTATION_H
#define TN_IMAGE_ORIENTATION_H

#include "base/status.h"

/* The orientation, 1 to 8 (tn_image_orient), of a JPEG, PNG or WebP file; 1 where nothing is said or can be read, and for other
 * kinds of files. It is the one that Pillow 13.0 applies (ImageOps.exif_transpose), from the first of these that is there:
 *   EXIF      JPEG: all APP1 segments "Exif\0\0" (EXIF 2.32, 4.7.2) joined, without the name of later ones, whatever stands in
 *             between; PNG: the last eXIf chunk, before or behind the pixels (PNG 3rd edition, 11.3.3.3), or text of that name;
 *             WebP: the first EXIF chunk (RIFF container specification)
 *   raw EXIF  PNG: text of the name "Raw profile type exif", digits in base 16 from the fourth line on, as ImageMagick writes
 * and, where what was found has no orientation tag, from
 *   XMP       tiff:Orientation, as an attribute in double quotes or an element. PNG: text "XML:com.adobe.xmp"; JPEG: the last
 *             APP1 segment of Adobe's name; WebP: the first XMP chunk
 * Texts of a PNG may be compressed; of several the last counts. Where Pillow fails to open a file because of its metadata, that
 * metadata is not there. Before Pillow 11 XMP counted in PNG only; before 13 the last of two tags counted, and a tag whose data
 * was cut off ended the directory; before 10 segments after the first were not read. tests/data/image/orientation/table.csv has each
 * case in six versions.
 * Nothing outside of the bytes is read. Errors: MEMORY. Threads: any. */
tenebra_code tn_orientation_of(const void *bytes, size_t length, unsigned *orientation, tenebra_error *error);

#endif
