/* The orientation in an image file's metadata, found without a decoder. */
#ifndef TN_IMAGE_ORIENTATION_H
#define TN_IMAGE_ORIENTATION_H

#include "base/status.h"

/* The orientation, 1 to 8 (tn_image_orient), of a JPEG, PNG or WebP file; 1 if there is none or it cannot be read, and
 * for other file types. It is the one that Pillow 13.0 applies (ImageOps.exif_transpose), from the first of these that
 * exists:
 *   EXIF      JPEG: all APP1 segments "Exif\0\0" (EXIF 2.32, 4.7.2) joined, without the name of later ones, whatever is
 *             between them; PNG: the last eXIf chunk, before or after the pixels (PNG 3rd edition, 11.3.3.3), or a text of that
 *             name; WebP: the first EXIF chunk (RIFF container specification)
 *   raw EXIF  PNG: a text with the name "Raw profile type exif", digits in base 16 from the fourth line on, as ImageMagick writes
 * and, if that has no orientation tag, from
 *   XMP       tiff:Orientation, as an attribute in double quotes or an element. PNG: text "XML:com.adobe.xmp"; JPEG: the last
 *             APP1 segment with Adobe's name; WebP: the first XMP chunk
 * Texts of a PNG may be compressed; the last of several counts. If Pillow fails to open a file because of its metadata,
 * that metadata counts as absent here. Before Pillow 11, XMP counted only in PNG; before 13, the last of two tags
 * counted, and a tag with truncated data ended the directory; before 10, segments after the first were not read.
 * tests/data/image/orientation/table.csv has each case in six versions.
 * Nothing outside the bytes is read. Errors: MEMORY. Threads: any. */
tenebra_code tn_orientation_of(const void *bytes, size_t length, unsigned *orientation, tenebra_error *error);

#endif
