/* Damaged files. If pixels are cut off anywhere or have a gap, this is an error. Changed bytes are an error in the pixels of a
 * PNG; in formats without checksums they give an error or a complete image. Damage after the pixels of a PNG has no effect. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "unit/image/pictures.h"

/* Decodes a copy that ends where the allocation ends. */
static tenebra_code decode_copy(const unsigned char *bytes, size_t size, const tn_image_limits *limits,
                                tn_image *image, tenebra_error *error)
{
    unsigned char *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    tenebra_code code = tn_image_decode(image, copy, size, limits, true, "copy", error);
    free(copy);
    return code;
}

/* Where the pixels of a PNG end, with their last checksum; the size of another file, whose last byte counts. */
static size_t end_of_pixels(const picture_row *row, const unsigned char *bytes, size_t size)
{
    size_t end = size;
    if (strstr(row->name, ".png") == NULL)
        return end;
    for (size_t at = 8; at + 12 <= size;) {
        size_t length = (size_t)bytes[at + 2] << 8 | bytes[at + 3];
        if (memcmp(bytes + at + 4, "IDAT", 4) == 0)
            end = at + 12 + length;
        at += 12 + length;
    }
    assert_true(end < size);
    return end;
}

static void check_whole(const picture_row *row, const unsigned char *bytes, size_t size)
{
    tn_image image;
    assert_int_equal(decode_copy(bytes, size, NULL, &image, NULL), TENEBRA_OK);
    assert_int_equal(crc32_of_image(&image), row->upright_crc);
    tn_image_free(&image);
}

static void check_cut(const picture_row *row, const unsigned char *bytes, size_t size)
{
    tn_image image;
    tenebra_error error = { 0 };
    if (decode_copy(bytes, size, NULL, &image, &error) == TENEBRA_OK)
        fail_msg("%s: its first %zu bytes pass for a picture", row->name, size);
    assert_null(image.pixels);
    assert_true(error.code != TENEBRA_OK && error.sentence[0] != '\0');
}

static void cut(const picture_row *row)
{
    size_t size;
    unsigned char *bytes = picture_bytes(row->name, &size);
    size_t end = end_of_pixels(row, bytes, size);
    for (size_t sixteenth = 0; sixteenth < 16; sixteenth++)
        check_cut(row, bytes, end * sixteenth / 16);
    for (size_t missing = 1; missing <= 16; missing++)
        check_cut(row, bytes, end - missing);
    for (size_t left = end; left <= size; left++) /* control: nothing of the pixels is missing */
        check_whole(row, bytes, left);
    free(bytes);
}

static void test_cut_files_are_errors(void **state)
{
    (void)state;
    assert_true(for_each_picture(cut) > 0);
}

/* Files whose middle is missing although both ends are complete: a decoder that continues would paint the rest grey. */
static void test_files_with_a_gap_are_errors(void **state)
{
    (void)state;
    static const char *const names[] = { "420.jpg", "444.jpg", "420p.jpg", "grey.jpg", "restart.jpg", "cmyk.jpg",
                                         "rgb8.png", "lossless.webp" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size;
        unsigned char *bytes = picture_bytes(names[i], &size);
        size_t kept = size * 3 / 4, tail = 16; /* JPEG headers take more than the half of these small files */
        memmove(bytes + kept, bytes + size - tail, tail);
        tn_image image;
        tenebra_error error = { 0 };
        if (decode_copy(bytes, kept + tail, NULL, &image, &error) == TENEBRA_OK)
            fail_msg("%s passes for a picture without its middle", names[i]);
        assert_int_equal(error.code, TENEBRA_ERROR_FORMAT);
        assert_null(image.pixels);
        free(bytes);
    }
}

static void check_damaged(const char *name, const unsigned char *bytes, size_t size)
{
    tn_image image;
    tenebra_error error = { 0 };
    if (decode_copy(bytes, size, NULL, &image, &error) == TENEBRA_OK)
        fail_msg("a damaged %s passes for a picture", name);
    assert_int_equal(error.code, TENEBRA_ERROR_FORMAT);
}

/* Enough data, but none of it means anything: a code of ones only is in no Huffman table. No more than the
 * picture needs: with 512 bytes a block still to come, libjpeg-turbo's fast path takes such codes for 0 and
 * says nothing (as src/image/decode.h warns). */
static void test_invalid_codes_are_errors(void **state)
{
    (void)state;
    enum { PAIRS = 600 };
    size_t size, kept;
    unsigned char *bytes = picture_bytes("420.jpg", &size);
    kept = size * 3 / 4;
    unsigned char *file = malloc(kept + 2 * PAIRS + 2);
    assert_non_null(file);
    memcpy(file, bytes, kept);
    for (size_t i = 0; i < PAIRS; i++)
        memcpy(file + kept + 2 * i, "\xFF\0", 2);
    memcpy(file + kept + 2 * PAIRS, "\xFF\xD9", 2);
    check_damaged("420.jpg", file, kept + 2 * PAIRS + 2);
    free(file);
    free(bytes);
}

/* Arithmetic coding has invalid codes, too: some changes of the scan must be found by them and nothing else. */
static void test_invalid_arithmetic_codes_are_found(void **state)
{
    (void)state;
    size_t size, start = 0, found = 0;
    unsigned char *bytes = picture_bytes("arithmetic.jpg", &size);
    while (start + 1 < size && (bytes[start] != 0xFF || bytes[start + 1] != 0xDA))
        start++;
    for (size_t i = start + 16; i + 2 < size; i++) {
        unsigned char kept = bytes[i];
        if (kept == 0xFF || bytes[i - 1] == 0xFF) /* do not change markers and stuffing */
            continue;
        bytes[i] = 0xFE;
        tn_image image;
        tenebra_error error = { 0 };
        decode_copy(bytes, size, NULL, &image, &error);
        found += error.code == TENEBRA_ERROR_FORMAT && strstr(error.sentence, "arithmetic code") != NULL;
        tn_image_free(&image);
        bytes[i] = kept;
    }
    assert_true(found > 0);
    free(bytes);
}

/* A restart marker out of turn: a part of the scan is missing or comes twice. One step off, the library
 * waits for the right one; four steps off, it goes on as if nothing were wrong. */
static void test_wrong_restart_is_an_error(void **state)
{
    (void)state;
    size_t size, changed = 0;
    unsigned char *bytes = picture_bytes("restart.jpg", &size);
    for (size_t i = 0; i + 1 < size; i++)
        if (bytes[i] == 0xFF && bytes[i + 1] == 0xD1) {
            static const unsigned char others[] = { 0xD2, 0xD5 };
            for (size_t k = 0; k < 2; k++) {
                bytes[i + 1] = others[k];
                check_damaged("restart.jpg", bytes, size);
            }
            bytes[i + 1] = 0xD1;
            changed++;
        }
    assert_true(changed > 0);
    free(bytes);
}

static void bend(const picture_row *row)
{
    static const tn_image_limits limits = { 1 << 20, 1 << 16, 1 << 12, 1 << 20 };
    size_t size;
    unsigned char *bytes = picture_bytes(row->name, &size);
    size_t end = end_of_pixels(row, bytes, size);
    tn_rng rng = tn_rng_seed(size);
    for (size_t i = 0; i < 60; i++) {
        size_t at = tn_rng_below(&rng, size);
        unsigned char kept = bytes[at];
        bytes[at] ^= (unsigned char)(1 + tn_rng_below(&rng, 255));
        tn_image image;
        tenebra_error error = { 0 };
        tenebra_code code = decode_copy(bytes, size, &limits, &image, &error);
        assert_int_equal(code, error.code);
        if (code == TENEBRA_OK) {
            if (strstr(row->name, ".png") != NULL) { /* its checksums miss no single byte of what counts */
                assert_true(at >= end);
                assert_int_equal(crc32_of_image(&image), row->upright_crc);
            }
            assert_true(image.channels == 3 && image.width * image.height <= limits.max_pixels);
            (void)crc32_of_image(&image); /* every pixel is there */
        } else {
            assert_null(image.pixels);
        }
        tn_image_free(&image);
        bytes[at] = kept;
    }
    free(bytes);
}

static void test_bent_files_do_no_harm(void **state)
{
    (void)state;
    assert_true(for_each_picture(bend) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_files_are_errors),
        cmocka_unit_test(test_files_with_a_gap_are_errors),
        cmocka_unit_test(test_invalid_codes_are_errors),
        cmocka_unit_test(test_invalid_arithmetic_codes_are_found),
        cmocka_unit_test(test_wrong_restart_is_an_error),
        cmocka_unit_test(test_bent_files_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
