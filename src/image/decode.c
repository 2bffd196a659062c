#include "image/decode.h"

#include "base/checked.h"
#include "base/file.h"
#include "image/codec.h"
#include "image/orientation.h"

#include <string.h>

/* The start of a file type: `length` bytes `magic` at `offset`. */
typedef struct signature {
    const char *kind;
    size_t offset, length;
    const char *magic;
} signature;

/* Types that are recognised only to name them in errors. Brands of ISO files: ISO 14496-12, 4.3. */
static const signature foreign[] = {
    { "GIF", 0, 4, "GIF8" },
    { "BMP", 0, 2, "BM" },
    { "TIFF", 0, 4, "II*\0" },
    { "TIFF", 0, 4, "MM\0*" },
    { "BigTIFF", 0, 4, "II+\0" },
    { "BigTIFF", 0, 4, "MM\0+" },
    { "AVIF", 4, 8, "ftypavif" },
    { "AVIF", 4, 8, "ftypavis" },
    { "HEIC", 4, 8, "ftypheic" },
    { "HEIC", 4, 8, "ftypheix" },
    { "HEIF", 4, 8, "ftypmif1" },
    { "HEIF", 4, 8, "ftypmsf1" },
    { "an MP4 or QuickTime video", 4, 4, "ftyp" },
    { "JPEG XL", 0, 2, "\xFF\x0A" },
    { "JPEG XL", 4, 8, "JXL \r\n\x87\n" },
    { "JPEG 2000", 4, 8, "jP  \r\n\x87\n" },
    { "JPEG 2000", 0, 4, "\xFF\x4F\xFF\x51" },
    { "a Photoshop document", 0, 4, "8BPS" },
    { "an icon (ICO)", 0, 4, "\0\0\1\0" },
    { "OpenEXR", 0, 4, "\x76\x2F\x31\x01" },
    { "QOI", 0, 4, "qoif" },
    { "PBM", 0, 2, "P4" },
    { "PGM", 0, 2, "P5" },
    { "PPM", 0, 2, "P6" },
    { "PDF", 0, 4, "%PDF" },
    { "SVG", 0, 4, "<svg" },
    { "XML (SVG?)", 0, 5, "<?xml" },
    { "HTML", 0, 9, "<!DOCTYPE" },
    { "HTML", 0, 5, "<html" },
    { "a zip archive", 0, 4, "PK\x03\x04" },
    { "gzip data", 0, 2, "\x1F\x8B" },
};

static bool begins(const tn_source *source, size_t offset, const char *magic, size_t length)
{
    return source->length >= offset + length && memcmp(source->bytes + offset, magic, length) == 0;
}

static tenebra_code refuse(const tn_source *source, tenebra_error *error)
{
    TN_TRY(tn_lfs_check(source->bytes, source->length, source->name, error));
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (begins(source, foreign[i].offset, foreign[i].magic, foreign[i].length))
            return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, source->name,
                           "looks like %s; JPEG, PNG and WebP images can be read", foreign[i].kind);
    return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, source->name,
                   "is not a known type of image; JPEG, PNG and WebP can be read");
}

tenebra_code tn_source_check_size(const tn_source *source, size_t width, size_t height, tenebra_error *error)
{
    const tn_image_limits *limits = source->limits;
    size_t side = tn_min(limits->max_side, TN_IMAGE_SIDE_MAX), pixels;
    if (width == 0 || height == 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, source->name, "declares an image of %zu x %zu pixels", width,
                       height);
    if (width > side || height > side)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, source->name,
                       "has %zu x %zu pixels; the limit for a side is %zu", width, height, side);
    if (!tn_size_mul(width, height, &pixels) || pixels > limits->max_pixels)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, source->name, "has %zu x %zu pixels; the limit is %zu in all",
                       width, height, limits->max_pixels);
    return TENEBRA_OK;
}

static tenebra_code decode_by_kind(tn_image *image, const tn_source *source, tenebra_error *error)
{
    if (begins(source, 0, "\xFF\xD8\xFF", 3))
        return tn_jpeg_decode(image, source, error);
    if (begins(source, 0, "\x89PNG\r\n\x1A\n", 8))
        return tn_png_decode(image, source, error);
    if (begins(source, 0, "RIFF", 4) && begins(source, 8, "WEBP", 4))
        return tn_webp_decode(image, source, error);
    return refuse(source, error);
}

tenebra_code tn_image_decode(tn_image *image, const void *bytes, size_t length, const tn_image_limits *limits,
                             bool apply_exif, const char *name, tenebra_error *error)
{
    memset(image, 0, sizeof *image);
    tn_image_limits defaults = tn_image_limits_default();
    tn_source source = { bytes, length, limits ? limits : &defaults, name ? name : "image" };
    if (length == 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, source.name, "is empty");
    if (length > source.limits->max_bytes)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, source.name, "has %zu bytes; the limit is %zu", length,
                       source.limits->max_bytes);
    unsigned orientation = 1;
    tenebra_code code = decode_by_kind(image, &source, error);
    if (code == TENEBRA_OK && apply_exif)
        code = tn_orientation_of(bytes, length, &orientation, error);
    if (code == TENEBRA_OK)
        code = tn_image_orient(image, orientation, error);
    if (code != TENEBRA_OK)
        tn_image_free(image);
    return code;
}

tenebra_code tn_image_read(tn_image *image, const char *path, const tn_image_limits *limits, bool apply_exif,
                           tenebra_error *error)
{
    memset(image, 0, sizeof *image);
    tn_image_limits defaults = tn_image_limits_default();
    tn_file file;
    TN_TRY(tn_file_read(&file, path, (limits ? limits : &defaults)->max_bytes, error));
    tenebra_code code = tn_image_decode(image, file.data, file.size, limits, apply_exif, path, error);
    tn_file_close(&file);
    return code;
}
