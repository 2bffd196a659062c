/* Dots and their labels: exact pixels, colours, sizes, borders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image/overlay.h"

#include <stdlib.h>
#include <string.h>

static tn_image plain(size_t width, size_t height, unsigned char red, unsigned char green, unsigned char blue)
{
    tn_image image;
    assert_int_equal(tn_image_new(&image, width, height, 3, NULL), TENEBRA_OK);
    for (size_t i = 0; i < width * height; i++) {
        image.pixels[3 * i] = red;
        image.pixels[3 * i + 1] = green;
        image.pixels[3 * i + 2] = blue;
    }
    return image;
}

static tn_image overlaid(const tn_image *image, size_t rows, size_t columns, size_t sequence)
{
    tn_image out;
    tenebra_error error = { 0 };
    if (tn_overlay_dots(image, rows, columns, sequence, &out, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    assert_true(out.width == image->width && out.height == image->height && out.channels == 3);
    return out;
}

static const unsigned char *at(const tn_image *image, size_t x, size_t y)
{
    return image->pixels + (y * image->width + x) * 3;
}

static bool is_grey(const tn_image *image, size_t x, size_t y, unsigned char value)
{
    const unsigned char *pixel = at(image, x, y);
    return pixel[0] == value && pixel[1] == value && pixel[2] == value;
}

/* Whether the rectangle from (x, y) on looks as drawn: '#' is `ink`, '.' the paper of every channel. */
static bool looks(const tn_image *image, size_t x, size_t y, const char *const *rows, unsigned char ink,
                  unsigned char paper)
{
    for (size_t row = 0; rows[row] != NULL; row++)
        for (size_t column = 0; rows[row][column] != '\0'; column++)
            if (!is_grey(image, x + column, y + row, rows[row][column] == '#' ? ink : paper))
                return false;
    return true;
}

/* "(2,3)" as it is drawn at 8 pixels. */
static const char *const label_23[] = { "..#..###.....####..#..", ".#..#...#........#..#.", "#.......#........#...#",
                                        "#......#......###....#", "#.....#..........#...#", "#....#.....#.....#...#",
                                        ".#..#####..#.####...#.", "..#.......#........#..", NULL };

static size_t count_grey(const tn_image *image, unsigned char value)
{
    size_t count = 0;
    for (size_t i = 0; i < image->width * image->height; i++)
        count += is_grey(image, i % image->width, i / image->width, value);
    return count;
}

/* 280 x 280, 6 x 6: steps of 40 pixels, radius 1, letters of 8 pixels. */
static void check_small(unsigned char paper, unsigned char ink)
{
    tn_image image = plain(280, 280, paper, paper, paper), out = overlaid(&image, 6, 6, 0);
    for (size_t i = 0; i < 6 * 6 * 9; i++) { /* discs of 3 x 3 */
        size_t column = i / 9 % 6 + 1, row = i / 54 + 1;
        assert_true(is_grey(&out, 40 * column - 1 + i % 3, 40 * row - 1 + i / 3 % 3, ink));
    }
    assert_true(is_grey(&out, 118, 80, paper) && is_grey(&out, 122, 81, paper) && is_grey(&out, 120, 78, paper));
    assert_true(looks(&out, 123, 80, label_23, ink, paper));
    assert_false(looks(&out, 83, 80, label_23, ink, paper));  /* (2,2) */
    assert_false(looks(&out, 83, 120, label_23, ink, paper)); /* (3,2) */
    assert_false(looks(&out, 124, 80, label_23, ink, paper));
    assert_true(count_grey(&out, ink) > 36 * (9 + 30));
    assert_int_equal(count_grey(&out, ink) + count_grey(&out, paper), 280 * 280);
    assert_int_equal(count_grey(&image, paper), 280 * 280); /* the original is not changed */
    tn_image_free(&image);
    tn_image_free(&out);
}

static void test_dots_and_labels(void **state)
{
    (void)state;
    check_small(255, 0);
    check_small(0, 255);
}

/* The border between black and white lies between sums of 382 and 383, and the one pixel under the centre decides. */
static void test_colour_follows_the_pixel(void **state)
{
    (void)state;
    static const struct {
        unsigned char pixel[3], ink;
    } rows[] = {
        { { 127, 127, 128 }, 255 }, { { 127, 128, 128 }, 0 }, { { 255, 127, 0 }, 255 }, { { 255, 0, 128 }, 0 }
    };
    for (size_t i = 0; i < 4; i++) {
        unsigned char ink = rows[i].ink, other = (unsigned char)(255 - ink);
        tn_image image = plain(280, 280, rows[i].pixel[0], rows[i].pixel[1], rows[i].pixel[2]);
        tn_image out = overlaid(&image, 1, 1, 0);
        assert_true(is_grey(&out, 140, 140, ink));
        assert_int_equal(count_grey(&out, other), 0);
        tn_image_free(&out);
        memset(image.pixels + (140 * 280 + 140) * 3, ink, 3);
        out = overlaid(&image, 1, 1, 0);
        assert_true(is_grey(&out, 140, 140, other));
        assert_int_equal(count_grey(&out, ink), 0);
        tn_image_free(&out);
        tn_image_free(&image);
    }
}

/* "(" at three times its size, but for the two columns that a disc may cover. */
static bool is_large_bracket(const tn_image *image, size_t x, size_t y)
{
    static const char *const bracket[] = { "..#", ".#.", "#..", "#..", "#..", "#..", ".#.", "..#" };
    for (size_t row = 0; row < 24; row++)
        for (size_t column = 2; column < 9; column++)
            if (!is_grey(image, x + column, y + row, bracket[row / 3][column / 3] == '#' ? 0 : 255))
                return false;
    return true;
}

/* Centres are cut off to whole pixels; radius and letters grow with the width, letters in whole multiples of 8. */
static void test_large_pictures(void **state)
{
    (void)state;
    static const char *const disc[] = { "..#####..", ".#######.", "#########", "#########", "#########", NULL };
    static const size_t widths[] = { 1000, 960, 959 }; /* letters of 25, 24 and 23 pixels: 24, 24, 16 */
    for (size_t i = 0; i < 3; i++) {
        tn_image image = plain(widths[i], 101, 255, 255, 255), out = overlaid(&image, 2, 2, 0);
        size_t x = widths[i] / 3, y = 33, radius = widths[i] / 240;
        assert_true(looks(&out, x - 4, y - 4, disc, 0, 255) == (radius == 4));
        assert_true(is_grey(&out, x, y + radius, 0) && is_grey(&out, x, y + radius + 1, 255));
        assert_true(is_large_bracket(&out, x + 3, y) == (widths[i] >= 960));
        tn_image_free(&out);
        tn_image_free(&image);
    }
}

/* "(7,1,1)" begins like "(7,1)" and continues. */
static void test_sequence(void **state)
{
    (void)state;
    tn_image image = plain(280, 280, 255, 255, 255);
    tn_image one = overlaid(&image, 1, 1, 0), third = overlaid(&image, 1, 1, 3), fourth = overlaid(&image, 1, 1, 4);
    static const char *const three[] = { "####.", "....#", "....#", ".###.", "....#", "....#", "####.", NULL };
    assert_true(looks(&third, 143 + 4, 140, three, 0, 255));
    assert_false(looks(&fourth, 143 + 4, 140, three, 0, 255));
    assert_false(looks(&one, 143 + 4, 140, three, 0, 255));
    assert_true(count_grey(&third, 0) > count_grey(&one, 0));
    tn_image_free(&image);
    tn_image_free(&one);
    tn_image_free(&third);
    tn_image_free(&fourth);
}

/* Everything that does not fit is cut off; the pixel under each centre is drawn in any image. */
static void test_tiny_pictures(void **state)
{
    (void)state;
    static const size_t sizes[][2] = { { 1, 1 }, { 1, 40 }, { 40, 1 }, { 2, 3 }, { 7, 7 }, { 30, 20 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        tn_image image = plain(sizes[i][0], sizes[i][1], 255, 255, 255),
                 out = overlaid(&image, TN_DOTS_MAX, TN_DOTS_MAX, 99);
        assert_true(is_grey(&out, 50 * sizes[i][0] / 100, 50 * sizes[i][1] / 100, 0));
        tn_image_free(&image);
        tn_image_free(&out);
    }
}

static void test_mistakes(void **state)
{
    (void)state;
    tn_image image = plain(8, 8, 1, 2, 3), out;
    static const size_t wrong[][3] = { { 0, 6, 0 }, { 6, 0, 0 }, { 100, 6, 0 }, { 6, SIZE_MAX, 0 }, { 6, 6, 100 } };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        tenebra_error error = { 0 };
        assert_int_equal(tn_overlay_dots(&image, wrong[i][0], wrong[i][1], wrong[i][2], &out, &error),
                         TENEBRA_ERROR_ARGUMENT);
        assert_null(out.pixels);
        assert_non_null(strstr(error.sentence, "99"));
    }
    tn_image empty = { 0 };
    assert_int_equal(tn_overlay_dots(&empty, 6, 6, 0, &out, NULL), TENEBRA_ERROR_ARGUMENT);
    tn_image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dots_and_labels), cmocka_unit_test(test_colour_follows_the_pixel),
        cmocka_unit_test(test_large_pictures),  cmocka_unit_test(test_sequence),
        cmocka_unit_test(test_tiny_pictures),   cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
