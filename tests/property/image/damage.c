/* Damaged files: cut anywhere, they are errors; with flipped bytes, they are errors or whole pictures. */
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
    for (size_t sixteenth = 0; sixteenth < 16; sixteenth++)
        check_cut(row, bytes, size * sixteenth / 16);
    for (size_t missing = 1; missing <= 16; missing++)
        check_cut(row, bytes, size - missing);
    tn_image image; /* control: nothing missing */
    assert_int_equal(decode_copy(bytes, size, NULL, &image, NULL), TENEBRA_OK);
    tn_image_free(&image);
    free(bytes);
}

static void test_cut_files_are_errors(void **state)
{
    (void)state;
    assert_true(for_each_picture(cut) > 0);
}

static void bend(const picture_row *row)
{
    static const tn_image_limits limits = { 1 << 20, 1 << 16, 1 << 12 };
    size_t size;
    unsigned char *bytes = picture_bytes(row->name, &size);
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
        cmocka_unit_test(test_bent_files_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
