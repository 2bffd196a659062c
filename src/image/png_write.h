/* Writes RGB images as PNG. */
#ifndef TN_IMAGE_PNG_WRITE_H
#define TN_IMAGE_PNG_WRITE_H

#include "image/image.h"

/* Writes an RGB image to a new file (replacing one of that name), 8 bits, not interlaced, without metadata: the same
 * pixels give the same bytes with the same libpng and zlib. An unfinished file is removed. Errors: ARGUMENT (not RGB),
 * IO, MEMORY. Threads: any. */
tenebra_code tn_png_write(const tn_image *image, const char *path, tenebra_error *error);

/* The same bytes in memory that the caller frees. Errors: ARGUMENT, MEMORY; *bytes is then NULL. Threads: any. */
tenebra_code tn_png_encode(const tn_image *image, unsigned char **bytes, size_t *length, tenebra_error *error);

#endif
