/* As in png.c, libpng's errors arrive by a callback that must not return. */
#include "image/png_write.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

/* One run of the library; it belongs to the caller of the function that calls setjmp. */
typedef struct encoder {
    png_structp png;
    png_infop info;
    jmp_buf escape;
    FILE *file; /* NULL: into memory */
    unsigned char *bytes;
    size_t length, capacity;
    const tn_image *image;
    char message[160];
} encoder;

static PNG_NORETURN void on_error(png_structp png, png_const_charp message)
{
    encoder *self = png_get_error_ptr(png);
    snprintf(self->message, sizeof self->message, "%s", message);
    longjmp(self->escape, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void keep_bytes(encoder *self, const unsigned char *bytes, size_t length)
{
    if (length > self->capacity - self->length) {
        size_t capacity = 2 * (self->length + length);
        unsigned char *grown = realloc(self->bytes, capacity);
        if (grown == NULL)
            png_error(self->png, "no memory");
        self->bytes = grown;
        self->capacity = capacity;
    }
    memcpy(self->bytes + self->length, bytes, length);
    self->length += length;
}

static void write_bytes(png_structp png, png_bytep bytes, size_t length)
{
    encoder *self = png_get_io_ptr(png);
    if (self->file == NULL)
        keep_bytes(self, bytes, length);
    else if (fwrite(bytes, 1, length, self->file) != length)
        png_error(png, strerror(errno));
}

static void flush_bytes(png_structp png)
{
    (void)png; /* fclose reports errors */
}

/* Runs the library; false after a jump. */
static bool run(encoder *self)
{
    const tn_image *image = self->image;
    snprintf(self->message, sizeof self->message, "no memory");
    if (setjmp(self->escape) != 0)
        return false;
    self->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, self, on_error, on_warning);
    self->info = self->png != NULL ? png_create_info_struct(self->png) : NULL;
    if (self->info == NULL)
        return false;
    png_set_write_fn(self->png, self, write_bytes, flush_bytes);
    png_set_compression_level(self->png, 6);
    png_set_filter(self->png, 0, PNG_FILTER_NONE);
    png_set_IHDR(self->png, self->info, (png_uint_32)image->width, (png_uint_32)image->height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(self->png, self->info);
    for (size_t y = 0; y < image->height; y++)
        png_write_row(self->png, image->pixels + y * image->width * TN_IMAGE_CHANNELS);
    png_write_end(self->png, NULL);
    return true;
}

tenebra_code tn_png_write(const tn_image *image, const char *path, tenebra_error *error)
{
    TN_TRY(tn_image_check(image, error));
    encoder self = { .image = image, .file = fopen(path, "wb") };
    if (self.file == NULL)
        return tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be written: %s", strerror(errno));
    bool done = run(&self);
    png_destroy_write_struct(&self.png, &self.info);
    if (fclose(self.file) != 0 && done) {
        done = false;
        snprintf(self.message, sizeof self.message, "%s", strerror(errno));
    }
    if (done)
        return TENEBRA_OK;
    remove(path);
    return tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be written: %s", self.message);
}

tenebra_code tn_png_encode(const tn_image *image, unsigned char **bytes, size_t *length, tenebra_error *error)
{
    *bytes = NULL;
    *length = 0;
    TN_TRY(tn_image_check(image, error));
    encoder self = { .image = image };
    bool done = run(&self);
    png_destroy_write_struct(&self.png, &self.info);
    if (!done) {
        free(self.bytes);
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "image", "cannot be made a PNG: %s", self.message);
    }
    *bytes = self.bytes;
    *length = self.length;
    return TENEBRA_OK;
}
