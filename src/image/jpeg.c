/* JPEG through libjpeg-turbo, whose errors arrive by longjmp. */
#include "image/codec.h"

#include "base/checked.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

/* In this order: the first requires FILE, the second the configuration in the first. */
#include <jpeglib.h>
#include <jerror.h>

/* A file may contain many scans that each visit all coefficients, and a scan takes only a few bytes, so that decoding a
 * small file can take long. Encoders write about ten scans; libjpeg-turbo's own fuzzers stop at 500. */
enum { MAX_SCANS = 500, USUAL_SCANS = 16 };

/* One run of the library. It belongs to the caller of the function that calls setjmp, so that its contents are defined
 * after a jump (C17 7.13.2.1). */
typedef struct decoder {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    const tn_source *source;
    tn_image *image;
    tenebra_code code;   /* code of our own error, already in *error, or TENEBRA_OK */
    size_t max_scans;    /* for an image of its size */
    bool too_many_scans;
    tenebra_error *error;
} decoder;

static void leave(j_common_ptr info)
{
    decoder *self = info->client_data;
    longjmp(self->escape, 1);
}

/* Warnings after which pixels are invented; other warnings (spare bytes, odd headers) leave the image complete. The
 * library does not warn about all damage: its fast path silently treats invalid Huffman codes as 0. */
static bool means_damage(int message)
{
    switch (message) {
    case JWRN_ARITH_BAD_CODE:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
        return true;
    default:
        return false;
    }
}

static void on_message(j_common_ptr info, int level)
{
    if (level < 0 && means_damage(info->err->msg_code))
        leave(info);
}

static void stay_silent(j_common_ptr info)
{
    (void)info;
}

static void on_progress(j_common_ptr info)
{
    decoder *self = info->client_data;
    if (self->info.input_scan_number > 0 && (size_t)self->info.input_scan_number > self->max_scans) {
        self->too_many_scans = true;
        leave(info);
    }
}

/* CMYK as Adobe writes it, 255 = no ink: value * black / 255, rounded as in Pillow. */
static void cmyk_to_rgb(const unsigned char *cmyk, unsigned char *rgb, size_t width)
{
    for (size_t x = 0; x < width; x++, cmyk += 4, rgb += TN_IMAGE_CHANNELS) {
        unsigned black = cmyk[3];
        for (size_t c = 0; c < TN_IMAGE_CHANNELS; c++) {
            unsigned ink = (255u - cmyk[c]) * black + 128;
            rgb[c] = (unsigned char)(black - (((ink >> 8) + ink) >> 8));
        }
    }
}

static void choose_output(decoder *self)
{
    switch (self->info.num_components) {
    case 1:
    case 3:
        self->info.out_color_space = JCS_RGB;
        return;
    case 4:
        self->info.out_color_space = JCS_CMYK;
        return;
    default:
        self->code = tn_fail(self->error, TENEBRA_ERROR_UNSUPPORTED, self->source->name,
                             "is a JPEG with %d components; 1, 3 or 4 can be read", self->info.num_components);
        leave((j_common_ptr)&self->info);
    }
}

static void read_rows(decoder *self)
{
    struct jpeg_decompress_struct *info = &self->info;
    size_t stride = (size_t)info->output_width * TN_IMAGE_CHANNELS;
    JSAMPARRAY inks = NULL;
    if (info->out_color_space == JCS_CMYK) /* from the library's pool, released with it */
        inks = info->mem->alloc_sarray((j_common_ptr)info, JPOOL_IMAGE, info->output_width * 4, 1);
    while (info->output_scanline < info->output_height) {
        unsigned char *row = self->image->pixels + info->output_scanline * stride;
        JSAMPROW target = row;
        if (jpeg_read_scanlines(info, inks ? inks : &target, 1) != 1)
            leave((j_common_ptr)info);
        if (inks)
            cmyk_to_rgb(inks[0], row, info->output_width);
    }
}

/* Runs the library; false after a jump. */
static bool run(decoder *self)
{
    struct jpeg_decompress_struct *info = &self->info;
    if (setjmp(self->escape) != 0)
        return false;
    jpeg_create_decompress(info);
    self->progress.progress_monitor = on_progress;
    info->progress = &self->progress;
    jpeg_mem_src(info, self->source->bytes, (unsigned long)self->source->length);
    jpeg_read_header(info, TRUE);
    self->code = tn_source_check_size(self->source, info->image_width, info->image_height, self->error);
    if (self->code != TENEBRA_OK)
        return false;
    size_t allowed = self->source->limits->max_scan_pixels / ((size_t)info->image_width * info->image_height);
    self->max_scans = tn_min(tn_max(allowed, USUAL_SCANS), MAX_SCANS);
    choose_output(self);
    jpeg_start_decompress(info);
    self->code = tn_image_new(self->image, info->output_width, info->output_height, TN_IMAGE_CHANNELS,
                              self->error);
    if (self->code != TENEBRA_OK)
        return false;
    read_rows(self);
    jpeg_finish_decompress(info);
    return true;
}

/* Fills the record from the library's last message, unless it is already filled. */
static tenebra_code explain(decoder *self)
{
    const char *name = self->source->name;
    if (self->code != TENEBRA_OK)
        return self->code;
    if (self->too_many_scans)
        return tn_fail(self->error, TENEBRA_ERROR_LIMIT, name, "is a JPEG of %u x %u pixels in more than %zu scans, which "
                       "would take too long; save it with fewer", self->info.image_width, self->info.image_height, self->max_scans);
    char message[JMSG_LENGTH_MAX];
    self->errors.format_message((j_common_ptr)&self->info, message);
    switch (self->errors.msg_code) {
    case JERR_OUT_OF_MEMORY:
        return tn_fail(self->error, TENEBRA_ERROR_MEMORY, name, "no memory to decode the JPEG");
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_ARITH_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_CCIR601_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
        return tn_fail(self->error, TENEBRA_ERROR_UNSUPPORTED, name, "is a kind of JPEG that cannot be read: %s",
                       message);
    default:
        return tn_fail(self->error, TENEBRA_ERROR_FORMAT, name, "is a damaged or incomplete JPEG: %s", message);
    }
}

tenebra_code tn_jpeg_decode(tn_image *image, const tn_source *source, tenebra_error *error)
{
    memset(image, 0, sizeof *image);
    decoder self = { .source = source, .image = image, .error = error };
    self.info.client_data = &self;
    self.info.err = jpeg_std_error(&self.errors);
    self.errors.error_exit = leave;
    self.errors.emit_message = on_message;
    self.errors.output_message = stay_silent;
    tenebra_code code = TENEBRA_OK;
    if (!run(&self)) {
        code = explain(&self);
        tn_image_free(image);
    }
    jpeg_destroy_decompress(&self.info);
    return code;
}
