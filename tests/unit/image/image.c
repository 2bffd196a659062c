/* Complete images: creating, cropping, rotating, blending. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image/image.h"

#include <math.h>
#include <string.h>

/* An image whose pixels contain their position: (x, y, 7). */
static tn_image located(size_t width, size_t height)
{
    tn_image image;
    assert_int_equal(tn_image_new(&image, width, height, 3, NULL), TENEBRA_OK);
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++) {
            unsigned char *pixel = image.pixels + (y * width + x) * 3;
            pixel[0] = (unsigned char)x;
            pixel[1] = (unsigned char)y;
            pixel[2] = 7;
        }
    return image;
}

static void test_new_refuses(void **state)
{
    (void)state;
    tn_image image;
    tenebra_error error;
    assert_int_equal(tn_image_new(&image, 0, 1, 3, &error), TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(tn_image_new(&image, 1, TN_IMAGE_SIDE_MAX + 1, 3, &error), TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(tn_image_new(&image, SIZE_MAX, SIZE_MAX, 3, &error), TENEBRA_ERROR_ARGUMENT);
    assert_null(image.pixels);
    tn_image_free(&image); /* an empty one may be freed */
}

static void test_crop(void **state)
{
    (void)state;
    tn_image image = located(5, 4), part;
    assert_int_equal(tn_image_crop(&image, 1, 2, 3, 2, &part, NULL), TENEBRA_OK);
    assert_int_equal(part.width, 3);
    assert_int_equal(part.height, 2);
    for (size_t y = 0; y < 2; y++)
        for (size_t x = 0; x < 3; x++) {
            assert_int_equal(part.pixels[(y * 3 + x) * 3], x + 1);
            assert_int_equal(part.pixels[(y * 3 + x) * 3 + 1], y + 2);
        }
    tn_image_free(&part);
    static const size_t outside[][4] = { { 0, 0, 6, 1 }, { 0, 0, 1, 5 },  { 5, 0, 1, 1 },        { 2, 0, 4, 1 },
                                         { 0, 0, 0, 1 }, { 0, 4, 1, 1 }, { 1, 0, SIZE_MAX, 1 }, { SIZE_MAX, 0, 2, 1 } };
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        const size_t *r = outside[i];
        assert_int_equal(tn_image_crop(&image, r[0], r[1], r[2], r[3], &part, NULL), TENEBRA_ERROR_ARGUMENT);
        assert_null(part.pixels);
    }
    tn_image_free(&image);
}

/* The position in a W x H image of the pixel that is moved to (x, y), written out from the text of the standard: row 0 and
 * column 0 of the file are the visual top, right side, and so on. */
static void stood_at(unsigned orientation, size_t W, size_t H, size_t x, size_t y, size_t *column, size_t *row)
{
    switch (orientation) {
    case 1: *column = x, *row = y; break;
    case 2: *column = W - 1 - x, *row = y; break;
    case 3: *column = W - 1 - x, *row = H - 1 - y; break;
    case 4: *column = x, *row = H - 1 - y; break;
    case 5: *column = y, *row = x; break;
    case 6: *column = y, *row = H - 1 - x; break;
    case 7: *column = W - 1 - y, *row = H - 1 - x; break;
    default: *column = W - 1 - y, *row = x; break;
    }
}

static void test_eight_orientations(void **state)
{
    (void)state;
    static const size_t sizes[][2] = { { 4, 3 }, { 1, 5 }, { 5, 1 }, { 1, 1 } };
    for (size_t s = 0; s < 4; s++)
        for (unsigned orientation = 1; orientation <= 8; orientation++) {
            size_t W = sizes[s][0], H = sizes[s][1];
            tn_image image = located(W, H);
            assert_int_equal(tn_image_orient(&image, orientation, NULL), TENEBRA_OK);
            assert_int_equal(image.width, orientation >= 5 ? H : W);
            assert_int_equal(image.height, orientation >= 5 ? W : H);
            for (size_t y = 0; y < image.height; y++)
                for (size_t x = 0; x < image.width; x++) {
                    size_t column, row;
                    stood_at(orientation, W, H, x, y, &column, &row);
                    assert_int_equal(image.pixels[(y * image.width + x) * 3], column);
                    assert_int_equal(image.pixels[(y * image.width + x) * 3 + 1], row);
                    assert_int_equal(image.pixels[(y * image.width + x) * 3 + 2], 7);
                }
            tn_image_free(&image);
        }
}

static void test_orientation_refused(void **state)
{
    (void)state;
    tn_image image = located(2, 2);
    assert_int_equal(tn_image_orient(&image, 0, NULL), TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(tn_image_orient(&image, 9, NULL), TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(image.pixels[3], 1);
    tn_image_free(&image);
    assert_int_equal(tn_image_orient(&image, 1, NULL), TENEBRA_ERROR_ARGUMENT); /* empty */
}

/* All pairs of value (column) and alpha (row), in red; black in green, white in blue. */
static tn_image all_blends(void)
{
    tn_image image;
    assert_int_equal(tn_image_new(&image, 256, 256, 4, NULL), TENEBRA_OK);
    for (size_t i = 0; i < 65536; i++) {
        unsigned char *pixel = image.pixels + i * 4;
        pixel[0] = (unsigned char)(i & 255);
        pixel[1] = 0;
        pixel[2] = 255;
        pixel[3] = (unsigned char)(i >> 8);
    }
    return image;
}

static void test_flatten_rounds(void **state)
{
    (void)state;
    tn_image image = all_blends();
    tn_image_flatten(&image, TN_BLEND_ROUND);
    assert_int_equal(image.channels, 3);
    for (size_t i = 0; i < 65536; i++) {
        double alpha = (double)(i >> 8), value = (double)(i & 255);
        assert_int_equal(image.pixels[i * 3], (int)floor((value * alpha + 255 * (255 - alpha)) / 255 + 0.5));
        assert_int_equal(image.pixels[i * 3 + 1], 255 - (i >> 8));
        assert_int_equal(image.pixels[i * 3 + 2], 255);
    }
    tn_image_free(&image);
}

/* Below the exact quotient by less than one level and the rounding of doubles; not the other rule. */
static void test_flatten_truncates(void **state)
{
    (void)state;
    tn_image image = all_blends(), rounded = all_blends();
    tn_image_flatten(&image, TN_BLEND_TRUNCATE);
    tn_image_flatten(&rounded, TN_BLEND_ROUND);
    size_t different = 0;
    for (size_t i = 0; i < 65536; i++) {
        double alpha = (double)(i >> 8), value = (double)(i & 255);
        double below = (value * alpha + 255 * (255 - alpha)) / 255 - image.pixels[i * 3];
        assert_true(below > -1e-9 && below < 1 + 1e-9);
        different += image.pixels[i * 3] != rounded.pixels[i * 3];
    }
    assert_true(different > 10000);
    tn_image_free(&image);
    tn_image_free(&rounded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_refuses),
        cmocka_unit_test(test_crop),
        cmocka_unit_test(test_eight_orientations),
        cmocka_unit_test(test_orientation_refused),
        cmocka_unit_test(test_flatten_rounds),
        cmocka_unit_test(test_flatten_truncates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
