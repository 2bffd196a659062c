/* Decoders: every kind of image compared with Pillow's pixels, limits, other kinds of files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <zlib.h>

#include "image/png_write.h"
#include "unit/image/pictures.h"

static void check_row(const picture_row *row)
{
    size_t size;
    unsigned char *bytes = picture_bytes(row->name, &size);
    for (int upright = 0; upright < 2; upright++) {
        tn_image image;
        tenebra_error error = { 0 };
        if (tn_image_decode(&image, bytes, size, NULL, upright, row->name, &error) != TENEBRA_OK)
            fail_msg("%s: %s", error.where, error.sentence);
        assert_int_equal(image.channels, 3);
        assert_int_equal(image.width, upright ? row->upright_width : row->width);
        assert_int_equal(image.height, upright ? row->upright_height : row->height);
        unsigned expected = upright ? row->upright_crc : row->crc;
        if (crc32_of_image(&image) != expected)
            fail_msg("%s: pixels differ from Pillow's", row->name);
        image.pixels[image.width * image.height] ^= 1; /* the comparison must see one bit */
        assert_int_not_equal(crc32_of_image(&image), expected);
        tn_image_free(&image);
    }
    free(bytes);
}

static void test_all_kinds_equal_pillow(void **state)
{
    (void)state;
    assert_int_equal(for_each_picture(check_row), 71);
}

/* Were the switch without effect, the table above would not notice files with orientation 1. */
static void test_exif_switch_matters(void **state)
{
    (void)state;
    static const char *const names[] = { "exif5.jpg", "exif6.png", "exif6.webp" };
    for (size_t i = 0; i < 3; i++) {
        size_t size;
        unsigned char *bytes = picture_bytes(names[i], &size);
        tn_image stored, upright;
        assert_int_equal(tn_image_decode(&stored, bytes, size, NULL, false, names[i], NULL), TENEBRA_OK);
        assert_int_equal(tn_image_decode(&upright, bytes, size, NULL, true, names[i], NULL), TENEBRA_OK);
        assert_int_equal(stored.width, upright.height);
        assert_int_not_equal(crc32_of_image(&stored), crc32_of_image(&upright));
        tn_image_free(&stored);
        tn_image_free(&upright);
        free(bytes);
    }
}

static tenebra_code decode_code(const void *bytes, size_t size, const tn_image_limits *limits, tenebra_error *error)
{
    tn_image image;
    tenebra_code code = tn_image_decode(&image, bytes, size, limits, true, "x", error);
    if (code != TENEBRA_OK) {
        assert_null(image.pixels);
        assert_int_equal(image.width, 0);
    }
    tn_image_free(&image);
    return code;
}

static void test_other_kinds_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *kind;
    } files[] = {
        { "GIF89a\1\0\1\0", 10, "GIF" },
        { "BM\0\0\0\0\0\0\0\0", 10, "BMP" },
        { "II*\0\10\0\0\0", 8, "TIFF" },
        { "MM\0*\0\0\0\10", 8, "TIFF" },
        { "\0\0\0\34ftypheic\0\0\0\0", 16, "HEIC" },
        { "\0\0\0\34ftypavif\0\0\0\0", 16, "AVIF" },
        { "<svg xmlns=\"\">", 14, "SVG" },
        { "<?xml version=\"1.0\"?>", 21, "SVG" },
        { "%PDF-1.7", 8, "PDF" },
        { "some text", 9, "not a known type" },
        { "\xFF", 1, "not a known type" },
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        tenebra_error error = { 0 };
        assert_int_equal(decode_code(files[i].bytes, files[i].size, NULL, &error), TENEBRA_ERROR_UNSUPPORTED);
        assert_non_null(strstr(error.sentence, files[i].kind));
        assert_string_equal(error.where, "x");
    }
    assert_int_equal(decode_code("", 0, NULL, NULL), TENEBRA_ERROR_FORMAT);
}

static void test_animation_is_refused(void **state)
{
    (void)state;
    size_t size;
    unsigned char *bytes = picture_bytes("animated.webp", &size);
    tenebra_error error = { 0 };
    assert_int_equal(decode_code(bytes, size, NULL, &error), TENEBRA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.sentence, "animated"));
    free(bytes);
}

static void put_big_endian(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> (24 - 8 * i));
}

/* A PNG that ends after its header: only a check of the header itself can find that it is too large. */
static tenebra_code decode_png_header(uint32_t width, uint32_t height, const tn_image_limits *limits,
                                      tenebra_error *error)
{
    unsigned char file[33] = "\x89PNG\r\n\x1A\n\0\0\0\15IHDR";
    put_big_endian(file + 16, width);
    put_big_endian(file + 20, height);
    file[24] = 8;
    file[25] = 2;
    put_big_endian(file + 29, crc32_of(file + 12, 17));
    return decode_code(file, sizeof file, limits, error);
}

static void test_png_size_is_checked_first(void **state)
{
    (void)state;
    tenebra_error error = { 0 };
    assert_int_equal(decode_png_header(20000, 20000, NULL, &error), TENEBRA_ERROR_LIMIT);
    assert_non_null(strstr(error.sentence, "20000 x 20000"));
    assert_int_equal(decode_png_header(32769, 1, NULL, &error), TENEBRA_ERROR_LIMIT);
    assert_int_equal(decode_png_header(1, 0xFFFFFFFFu, NULL, &error), TENEBRA_ERROR_LIMIT);
    assert_int_equal(decode_png_header(0, 7, NULL, &error), TENEBRA_ERROR_FORMAT);
    assert_int_equal(decode_png_header(7, 7, NULL, &error), TENEBRA_ERROR_FORMAT); /* in bounds, but cut off */
    tn_image_limits limits = { 1 << 20, 48, 100, 0 };
    assert_int_equal(decode_png_header(7, 7, &limits, &error), TENEBRA_ERROR_LIMIT);
    limits.max_pixels = 49;
    assert_int_equal(decode_png_header(7, 7, &limits, &error), TENEBRA_ERROR_FORMAT);
}

/* zlib's answer to a stream that it reads piece by piece with a window as large as the header says. */
static int inflate_strictly(const unsigned char *stream, size_t size)
{
    unsigned char piece[64];
    z_stream z = { .next_in = (unsigned char *)(uintptr_t)stream, .avail_in = (uInt)size };
    assert_int_equal(inflateInit2(&z, 0), Z_OK);
    int ended = Z_OK;
    while (ended == Z_OK) {
        z.next_out = piece;
        z.avail_out = sizeof piece;
        ended = inflate(&z, Z_SYNC_FLUSH);
    }
    inflateEnd(&z);
    return ended;
}

/* Some encoders write a header of 256 bytes for a stream that reaches further back; Pillow and browsers read it. */
static void test_png_with_too_small_a_window(void **state)
{
    (void)state;
    size_t size, at = 8;
    unsigned char *bytes;
    tn_image before, after;
    assert_int_equal(tn_image_new(&before, 100, 40, 3, NULL), TENEBRA_OK);
    for (size_t i = 0; i < 40 * 300; i++) /* every second row is the same noise, 602 bytes back */
        before.pixels[i] = (unsigned char)((i % 600 + 1) * 2654435761u >> 16);
    assert_int_equal(tn_png_encode(&before, &bytes, &size, NULL), TENEBRA_OK);
    while (memcmp(bytes + at + 4, "IDAT", 4) != 0)
        at += 12 + ((size_t)bytes[at + 2] << 8 | bytes[at + 3]);
    size_t length = (size_t)bytes[at + 2] << 8 | bytes[at + 3];
    unsigned char *stream = bytes + at + 8;
    assert_int_equal(inflate_strictly(stream, length), Z_STREAM_END);
    stream[0] = 0x08; /* deflate, 2^8 bytes */
    stream[1] = (unsigned char)(31 - 0x0800 % 31);
    put_big_endian(stream + length, crc32_of(bytes + at + 4, length + 4));
    assert_int_equal(inflate_strictly(stream, length), Z_DATA_ERROR); /* or the test would show nothing */
    assert_int_equal(tn_image_decode(&after, bytes, size, NULL, false, "after", NULL), TENEBRA_OK);
    assert_int_equal(crc32_of_image(&after), crc32_of_image(&before));
    tn_image_free(&before);
    tn_image_free(&after);
    free(bytes);
}

/* Damage that leaves room for guesses is refused. Pillow 13.0.0 opens the second and the third of them (docs/golden.md). */
static void test_doubtful_pixels_are_refused(void **state)
{
    (void)state;
    static const struct { const char *name, *words; } cases[] = { { "wrong-checksum.png", "incorrect data check" },
                                                                  { "no-checksum.png", "Not enough image data" },
                                                                  { "wrong-restart.jpg", "found marker 0xd7 instead of RST3" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_image image;
        tenebra_error error = { 0 };
        char path[500];
        snprintf(path, sizeof path, TENEBRA_TEST_DATA "/fuzz/image/%s", cases[i].name);
        assert_int_equal(tn_image_read(&image, path, NULL, false, &error), TENEBRA_ERROR_FORMAT);
        assert_non_null(strstr(error.sentence, cases[i].words));
    }
    tn_image image; /* the same markers in order */
    assert_int_equal(tn_image_read(&image, TENEBRA_TEST_DATA "/image/restart.jpg", NULL, false, NULL), TENEBRA_OK);
    tn_image_free(&image);
}

static void test_jpeg_size_is_checked_first(void **state)
{
    (void)state;
    size_t size;
    unsigned char *bytes = picture_bytes("420.jpg", &size);
    unsigned char *frame = NULL;
    for (size_t i = 0; i + 9 < size && frame == NULL; i++)
        if (bytes[i] == 0xFF && bytes[i + 1] == 0xC0)
            frame = bytes + i;
    assert_non_null(frame);
    memcpy(frame + 5, "\x4E\x20\x4E\x20", 4);
    tenebra_error error = { 0 };
    assert_int_equal(decode_code(bytes, size, NULL, &error), TENEBRA_ERROR_LIMIT);
    assert_non_null(strstr(error.sentence, "20000 x 20000"));
    free(bytes);
}

static void test_webp_size_is_checked_first(void **state)
{
    (void)state;
    size_t size;
    unsigned char *bytes = picture_bytes("lossless.webp", &size);
    assert_memory_equal(bytes + 12, "VP8L", 4);
    assert_int_equal(bytes[20], 0x2F);
    memcpy(bytes + 21, "\xFF\xFF\xFF", 3); /* two times 14 bits of ones: 16384 x 16384 */
    bytes[24] |= 0x0F;
    tenebra_error error = { 0 };
    assert_int_equal(decode_code(bytes, size, NULL, &error), TENEBRA_ERROR_LIMIT);
    assert_non_null(strstr(error.sentence, "16384 x 16384"));
    free(bytes);
}

/* The position after the marker segments and scan data that follow `at`: the next marker that is not a restart. */
static size_t end_of_scan(const unsigned char *bytes, size_t size, size_t at)
{
    at += 2 + (size_t)bytes[at + 2] * 256 + bytes[at + 3];
    while (at + 1 < size && (bytes[at] != 0xFF || bytes[at + 1] == 0 || (bytes[at + 1] & 0xF8) == 0xD0))
        at++;
    return at;
}

/* A progressive file whose first scan comes `copies` more times. */
static tenebra_code decode_repeated_scan(size_t copies, const tn_image_limits *limits, tenebra_error *error)
{
    size_t size, start = 0;
    unsigned char *bytes = picture_bytes("420p.jpg", &size);
    while (start + 1 < size && (bytes[start] != 0xFF || bytes[start + 1] != 0xDA))
        start++;
    size_t end = end_of_scan(bytes, size, start), scan = end - start;
    assert_true(end < size);
    unsigned char *file = malloc(size + copies * scan);
    assert_non_null(file);
    memcpy(file, bytes, end);
    for (size_t i = 0; i < copies; i++)
        memcpy(file + end + i * scan, bytes + start, scan);
    memcpy(file + end + copies * scan, bytes + end, size - end);
    tenebra_code code = decode_code(file, size + copies * scan, limits, error);
    free(file);
    free(bytes);
    return code;
}

static void test_jpeg_scans_are_limited(void **state)
{
    (void)state;
    tenebra_error error = { 0 };
    assert_int_equal(decode_repeated_scan(0, NULL, &error), TENEBRA_OK);
    assert_int_equal(decode_repeated_scan(20, NULL, &error), TENEBRA_OK);
    assert_int_equal(decode_repeated_scan(600, NULL, &error), TENEBRA_ERROR_LIMIT);
    assert_non_null(strstr(error.sentence, "500 scans"));
}

/* Scans times pixels, which is what decoding costs; a usual number of scans is allowed at any size. */
static void test_jpeg_scans_of_large_pictures_are_limited_further(void **state)
{
    (void)state;
    tenebra_error error = { 0 };
    tn_image_limits limits = tn_image_limits_default();
    limits.max_scan_pixels = 45 * 35 * 40; /* the image has 45 x 35 pixels, and already has 10 scans */
    assert_int_equal(decode_repeated_scan(30, &limits, &error), TENEBRA_OK);
    assert_int_equal(decode_repeated_scan(31, &limits, &error), TENEBRA_ERROR_LIMIT);
    assert_non_null(strstr(error.sentence, "45 x 35 pixels in more than 40 scans"));
    limits.max_scan_pixels = 0;
    assert_int_equal(decode_repeated_scan(6, &limits, &error), TENEBRA_OK);
    assert_int_equal(decode_repeated_scan(7, &limits, &error), TENEBRA_ERROR_LIMIT);
    assert_non_null(strstr(error.sentence, "16 scans"));
}

/* 12 bits a sample, and a lossless frame: sound by the standard, but not read. */
static void test_unread_kinds_of_jpeg(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        size_t size, frame = 0;
        unsigned char *bytes = picture_bytes("420.jpg", &size);
        while (frame + 4 < size && (bytes[frame] != 0xFF || bytes[frame + 1] != 0xC0))
            frame++;
        assert_int_equal(bytes[frame + 4], 8);
        if (kind == 0)
            bytes[frame + 4] = 12;
        else
            bytes[frame + 1] = 0xC3;
        tenebra_error error = { 0 };
        assert_int_equal(decode_code(bytes, size, NULL, &error), TENEBRA_ERROR_UNSUPPORTED);
        free(bytes);
    }
}

static void test_limits(void **state)
{
    (void)state;
    static const char *const names[] = { "420.jpg", "lossy.webp" }; /* 45 x 35 */
    for (size_t i = 0; i < 2; i++) {
        size_t size;
        unsigned char *bytes = picture_bytes(names[i], &size);
        tn_image_limits limits = { size, 45 * 35, 45, 0 };
        assert_int_equal(decode_code(bytes, size, &limits, NULL), TENEBRA_OK);
        limits.max_bytes--;
        assert_int_equal(decode_code(bytes, size, &limits, NULL), TENEBRA_ERROR_LIMIT);
        limits = (tn_image_limits){ size, 45 * 35 - 1, 45, 0 };
        assert_int_equal(decode_code(bytes, size, &limits, NULL), TENEBRA_ERROR_LIMIT);
        limits = (tn_image_limits){ size, 45 * 35, 44, 0 };
        assert_int_equal(decode_code(bytes, size, &limits, NULL), TENEBRA_ERROR_LIMIT);
        free(bytes);
    }
}

static void test_read(void **state)
{
    (void)state;
    tn_image image;
    tenebra_error error = { 0 };
    assert_int_equal(tn_image_read(&image, TENEBRA_TEST_DATA "/image/rgb8.png", NULL, true, &error), TENEBRA_OK);
    assert_int_equal(image.width, 21);
    tn_image_free(&image);
    assert_int_equal(tn_image_read(&image, TENEBRA_TEST_DATA "/image/absent.png", NULL, true, &error),
                     TENEBRA_ERROR_IO);
    assert_non_null(strstr(error.where, "absent.png"));
    tn_image_limits limits = { 100, 1000, 100, 0 };
    assert_int_equal(tn_image_read(&image, TENEBRA_TEST_DATA "/image/rgb8.png", &limits, true, &error),
                     TENEBRA_ERROR_LIMIT);
    assert_null(image.pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_kinds_equal_pillow),
        cmocka_unit_test(test_exif_switch_matters),
        cmocka_unit_test(test_other_kinds_are_named),
        cmocka_unit_test(test_animation_is_refused),
        cmocka_unit_test(test_doubtful_pixels_are_refused),
        cmocka_unit_test(test_png_size_is_checked_first),
        cmocka_unit_test(test_jpeg_size_is_checked_first),
        cmocka_unit_test(test_webp_size_is_checked_first),
        cmocka_unit_test(test_jpeg_scans_are_limited),
        cmocka_unit_test(test_jpeg_scans_of_large_pictures_are_limited_further),
        cmocka_unit_test(test_png_with_too_small_a_window),
        cmocka_unit_test(test_unread_kinds_of_jpeg),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
