/* PNG through libpng, whose errors arrive by a callback that must not return. */
#include "image/codec.h"

#include "base/checked.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

/* One run of the library; it belongs to the caller of the function that calls setjmp (C17 7.13.2.1). */
typedef struct decoder {
    png_structp png;
    png_infop info;
    jmp_buf escape;
    const tn_source *source;
    size_t at; /* bytes consumed */
    tn_image *image;
    bool starved;      /* an allocation of the library failed */
    bool whole;        /* all rows are complete */
    tenebra_code code; /* code of our own error, already in *error, or TENEBRA_OK */
    char message[160];
    tenebra_error *error;
} decoder;

static PNG_NORETURN void on_error(png_structp png, png_const_charp message)
{
    decoder *self = png_get_error_ptr(png);
    snprintf(self->message, sizeof self->message, "%s", message);
    longjmp(self->escape, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static png_voidp take(png_structp png, png_alloc_size_t size)
{
    decoder *self = png_get_mem_ptr(png);
    void *memory = malloc(size);
    self->starved |= memory == NULL;
    return memory;
}

static void give_back(png_structp png, png_voidp memory)
{
    (void)png;
    free(memory);
}

static void read_bytes(png_structp png, png_bytep to, size_t length)
{
    decoder *self = png_get_io_ptr(png);
    if (length > self->source->length - self->at)
        png_error(png, "the file ends too early");
    memcpy(to, self->source->bytes + self->at, length);
    self->at += length;
}

static uint32_t big_endian(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The size from the first chunk, before the library allocates anything (PNG 3rd edition, 11.2.1). */
static tenebra_code check_header(const tn_source *source, tenebra_error *error)
{
    enum { HEADER_END = 8 + 8 + 8 }; /* signature, length and type of the chunk, width and height */
    if (source->length < HEADER_END || memcmp(source->bytes + 12, "IHDR", 4) != 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, source->name, "is a damaged or incomplete PNG: no header");
    return tn_source_check_size(source, big_endian(source->bytes + 16), big_endian(source->bytes + 20), error);
}

/* Converts everything to 8-bit RGB, with alpha if the file has any. Only chunks that affect pixels are read; a wrong
 * checksum in any of them is an error. */
static void configure(decoder *self)
{
    png_structp png = self->png;
    size_t side = tn_min(self->source->limits->max_side, TN_IMAGE_SIDE_MAX);
    png_set_read_fn(png, self, read_bytes);
    png_set_option(png, PNG_MAXIMUM_INFLATE_WINDOW, PNG_OPTION_ON); /* some encoders declare a window that is too small */
    png_set_user_limits(png, (png_uint_32)side, (png_uint_32)side);
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(png, self->info);
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_gray_to_rgb(png);
}

static void read_rows(decoder *self)
{
    int passes = png_set_interlace_handling(self->png);
    png_read_update_info(self->png, self->info);
    tn_image *image = self->image;
    size_t channels = png_get_channels(self->png, self->info);
    if (channels != 3 && channels != 4)
        png_error(self->png, "unexpected number of channels");
    self->code = tn_image_new(image, png_get_image_width(self->png, self->info),
                              png_get_image_height(self->png, self->info), channels, self->error);
    if (self->code != TENEBRA_OK)
        longjmp(self->escape, 1);
    size_t stride = image->width * channels;
    if (png_get_rowbytes(self->png, self->info) != stride)
        png_error(self->png, "unexpected length of a row");
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < image->height; y++)
            png_read_row(self->png, image->pixels + y * stride, NULL);
    self->whole = true; /* libpng has compared the checksums of the pixels */
    png_read_end(self->png, NULL);
}

/* Runs the library; false after a jump. */
static bool run(decoder *self)
{
    if (setjmp(self->escape) != 0)
        return self->whole; /* errors after the pixels do not affect them */
    self->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, self, on_error, on_warning, self, take, give_back);
    self->info = self->png ? png_create_info_struct(self->png) : NULL;
    if (self->info == NULL) {
        self->code = tn_fail(self->error, TENEBRA_ERROR_MEMORY, self->source->name, "no memory to decode the PNG");
        return false;
    }
    configure(self);
    read_rows(self);
    return true;
}

tenebra_code tn_png_decode(tn_image *image, const tn_source *source, tenebra_error *error)
{
    memset(image, 0, sizeof *image);
    TN_TRY(check_header(source, error));
    decoder self = { .source = source, .image = image, .error = error };
    tenebra_code code = TENEBRA_OK;
    if (!run(&self)) {
        code = self.code;
        if (code == TENEBRA_OK && self.starved)
            code = tn_fail(error, TENEBRA_ERROR_MEMORY, source->name, "no memory to decode the PNG");
        else if (code == TENEBRA_OK)
            code = tn_fail(error, TENEBRA_ERROR_FORMAT, source->name, "is a damaged or incomplete PNG: %s",
                           self.message);
        tn_image_free(image);
    }
    png_destroy_read_struct(&self.png, &self.info, NULL);
    tn_image_flatten(image, TN_BLEND_ROUND);
    return code;
}
