/* Picture files to RGB: JPEG, PNG, WebP.
 *
 * The kind is read from the bytes; names and MIME types are not asked. The result equals what Pillow gives
 * with the same libraries (libjpeg-turbo with the slow integer DCT and smooth chroma, libpng, libwebp):
 *   JPEG  8 bit, baseline, progressive or arithmetic, any subsampling; grey, YCbCr, RGB, CMYK and YCCK.
 *         CMYK values are taken as inverted (Adobe's convention) whether or not a marker says so.
 *   PNG   1 to 16 bit, grey, palette, RGB, with alpha or a transparent colour, interlaced or not. 16-bit
 *         values keep their high byte. (Pillow does so for colour; its 16-bit grey clips all values above
 *         255 to white, which is not copied.) A colour outside of the palette is black. Gamma and colour
 *         profiles are ignored.
 *   WebP  lossy, lossless, alpha. Animated files are refused.
 * Alpha is blended over white (TN_BLEND_ROUND). This is what qwen_vl_utils does for RGBA; for grey with
 * alpha and palettes with alpha it drops the alpha instead, which shows hidden colours and is not copied.
 * A file whose pixels are cut off is an error, never a part of a picture; what is missing or damaged behind the pixels of a
 * PNG does not count, as in Pillow. Bytes that were changed are an error in the pixels of a PNG, which have checksums. JPEG and
 * WebP have none: nearly all changed bytes in their pixel data make other pixels without notice, here as in every decoder. */
#ifndef TN_IMAGE_DECODE_H
#define TN_IMAGE_DECODE_H

#include "image/image.h"

/* Decodes `length` bytes into a fresh RGB picture.
 *   limits      NULL for the defaults; sizes are checked before memory for pixels is asked for
 *   apply_exif  turn the picture upright by what its metadata says (image/orientation.h); off where a reference ignores it
 *   name        stands in error records; NULL for "image"
 * Errors: FORMAT (cut off, or damaged so that it shows), UNSUPPORTED (another kind of file, by name; animation; lossless or
 * 12-bit JPEG), LIMIT, MEMORY; *image is empty then. Threads: any. */
tenebra_code tn_image_decode(tn_image *image, const void *bytes, size_t length, const tn_image_limits *limits,
                             bool apply_exif, const char *name, tenebra_error *error);

/* The same for a file. Errors: also IO. */
tenebra_code tn_image_read(tn_image *image, const char *path, const tn_image_limits *limits, bool apply_exif,
                           tenebra_error *error);

#endif
