/* Decodes image files to RGB: JPEG, PNG, WebP.
 *
 * The type is determined by the bytes; names and MIME types are ignored. The result equals Pillow's with the same
 * libraries (libjpeg-turbo with the slow integer DCT and smooth chroma, libpng, libwebp):
 *   JPEG  8 bit, baseline, progressive or arithmetic, any subsampling; grey, YCbCr, RGB, CMYK and YCCK.
 *         CMYK values are treated as inverted (Adobe's convention) whether or not a marker says so.
 *   PNG   1 to 16 bit, grey, palette, RGB, with alpha or a transparent colour, interlaced or not. 16-bit
 *         values keep their high byte. (Pillow does so for colour; its 16-bit grey clips all values above
 *         255 to white, which is not copied.) A colour outside the palette is black. Gamma and colour
 *         profiles are ignored.
 *   WebP  lossy, lossless, alpha. Animated files are refused.
 * Alpha is blended over white (TN_BLEND_ROUND), as qwen_vl_utils does for RGBA. For grey with alpha and palettes with
 * alpha, qwen_vl_utils drops the alpha instead, which shows hidden colours; this is not copied.
 * A file with truncated pixel data is an error, never a partial image. Missing or damaged data after the pixels of a
 * PNG does not matter, as in Pillow. Changed bytes in the pixels of a PNG are an error, because they have checksums.
 * JPEG and WebP have none: nearly all changed bytes in their pixel data change pixels without notice, here as in every
 * decoder. */
#ifndef TN_IMAGE_DECODE_H
#define TN_IMAGE_DECODE_H

#include "image/image.h"

/* Decodes `length` bytes into a new RGB image.
 *   limits      NULL for the defaults; sizes are checked before memory for pixels is allocated
 *   apply_exif  rotate the image upright as its metadata says (image/orientation.h); off if a reference ignores it
 *   name        appears in error records; NULL for "image"
 * Errors: FORMAT (truncated or visibly damaged), UNSUPPORTED (another file type, which is named; animation; lossless or
 * 12-bit JPEG), LIMIT, MEMORY; *image is then empty. Threads: any. */
tenebra_code tn_image_decode(tn_image *image, const void *bytes, size_t length, const tn_image_limits *limits,
                             bool apply_exif, const char *name, tenebra_error *error);

/* The same for a file. Errors: also IO. */
tenebra_code tn_image_read(tn_image *image, const char *path, const tn_image_limits *limits, bool apply_exif,
                           tenebra_error *error);

#endif
