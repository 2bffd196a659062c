/* Properties of sizes for every image: smart_resize, and patches of any shape. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/rng.h"
#include "image/patches.h"

#include <math.h>
#include <string.h>

enum { FACTOR = 28 };

/* Sides are positive multiples of the factor. The number of pixels is within the bounds: at most the maximum, unless a side is
 * as small as the factor; at least the minimum, if the bounds leave room for a multiple. */
static void check_size(size_t height, size_t width, size_t least, size_t most)
{
    size_t h, w;
    tenebra_error error = { 0 };
    tenebra_code code = tn_smart_resize(height, width, FACTOR, least, most, &h, &w, &error);
    if (tn_max(height, width) > 200 * tn_min(height, width)) {
        assert_int_equal(code, TENEBRA_ERROR_ARGUMENT);
        assert_non_null(strstr(error.sentence, "200"));
        return;
    }
    assert_int_equal(code, TENEBRA_OK);
    assert_true(h >= FACTOR && w >= FACTOR);
    assert_true(h % FACTOR == 0 && w % FACTOR == 0);
    if (tn_min(h, w) > FACTOR)
        assert_true(h * w <= most);
    if (least <= most / 4) /* otherwise there may be no multiple of the factor between them */
        assert_true(h * w >= least);
}

static void test_smart_resize(void **state)
{
    (void)state;
    tn_rng rng = tn_rng_seed(7);
    for (size_t i = 0; i < 20000; i++) {
        size_t range = (size_t)1 << (1 + tn_rng_below(&rng, 13));
        size_t height = 1 + tn_rng_below(&rng, range), width = 1 + tn_rng_below(&rng, range);
        size_t most = 784 * (1 + tn_rng_below(&rng, 1280)), least = 1 + tn_rng_below(&rng, most / 4);
        check_size(height, width, least, most);
        check_size(height, width, 3136, 12845056);
    }
    for (size_t side = 1; side <= 300; side++) {
        check_size(1, side, 3136, 1003520);
        check_size(side, 1, 3136, 1003520);
        check_size(side, side * 199, 784, 3136);
    }
}

/* The images of two published bug reports: a budget too small for the shape, and tiny sides. */
static void test_reported_sizes(void **state)
{
    (void)state;
    size_t h, w;
    assert_int_equal(tn_smart_resize(31, 639, 28, 784, 4 * 784, &h, &w, NULL), TENEBRA_OK);
    assert_int_equal(h, 28); /* 0 in the reference */
    assert_int_equal(w % 28, 0);
    assert_int_equal(tn_smart_resize(1, 1, 28, 3136, 1003520, &h, &w, NULL), TENEBRA_OK);
    assert_int_equal(h, 56);
    assert_int_equal(w, 56);
    assert_int_equal(tn_smart_resize(5, 1000, 28, 3136, 1003520, &h, &w, NULL), TENEBRA_OK);
    assert_int_equal(tn_smart_resize(5, 1001, 28, 3136, 1003520, &h, &w, NULL), TENEBRA_ERROR_ARGUMENT);
}

/* Halves go to the even neighbour, as Python's round has it. */
static void test_halves(void **state)
{
    (void)state;
    static const size_t pairs[][2] = { { 42, 56 }, { 70, 56 }, { 98, 112 }, { 126, 112 }, { 43, 56 }, { 69, 56 } };
    for (size_t i = 0; i < 6; i++) {
        size_t h, w;
        assert_int_equal(tn_smart_resize(pairs[i][0], 280, 28, 784, 1003520, &h, &w, NULL), TENEBRA_OK);
        assert_int_equal(h, pairs[i][1]);
        assert_int_equal(w, 280);
    }
}

static void test_bad_requests(void **state)
{
    (void)state;
    size_t h, w;
    static const size_t bad[][5] = {
        { 0, 9, 28, 1, 9 },        { 9, 0, 28, 1, 9 },          { 9, 9, 0, 1, 9 }, { 9, 9, 28, 9, 8 },
        { 9, 9, 28, 0, 0 },        { SIZE_MAX, 9, 28, 1, 9 },   { 9, 9, SIZE_MAX, 1, 9 },
        { 9, 9, 28, 1, SIZE_MAX },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(tn_smart_resize(bad[i][0], bad[i][1], bad[i][2], bad[i][3], bad[i][4], &h, &w, NULL),
                         TENEBRA_ERROR_ARGUMENT);
}

static void fill(tn_image *image, tn_rng *rng)
{
    for (size_t i = 0; i < image->width * image->height * 3; i++)
        image->pixels[i] = (unsigned char)tn_rng_next(rng);
}

/* An image of any shape, also one pixel wide, gives a grid that fits and finite values in range. */
static void test_patches_of_odd_pictures(void **state)
{
    (void)state;
    tn_patch_config config = tn_patch_config_default();
    config.max_pixels = 56 * 56 * 4;
    tn_rng rng = tn_rng_seed(3);
    for (size_t i = 0; i < 150; i++) {
        size_t width = i < 20 ? 1 : 1 + tn_rng_below(&rng, 130), height = 1 + tn_rng_below(&rng, 130);
        if (i >= 20 && i < 40)
            height = 1;
        tn_image image;
        assert_int_equal(tn_image_new(&image, width, height, 3, NULL), TENEBRA_OK);
        fill(&image, &rng);
        tn_patches patches;
        assert_int_equal(tn_patches_make(&config, &image, &patches, NULL), TENEBRA_OK);
        assert_int_equal(patches.count, patches.grid_t * patches.grid_h * patches.grid_w);
        assert_true(patches.grid_h % 2 == 0 && patches.grid_w % 2 == 0 && patches.count >= 4);
        assert_int_equal(patches.columns, 1176);
        for (size_t k = 0; k < patches.count * patches.columns; k++)
            assert_true(fabs((double)patches.values[k]) < 3.0); /* NaN fails */
        tn_patches_free(&patches);
        tn_image_free(&image);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smart_resize),
        cmocka_unit_test(test_reported_sizes),
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_patches_of_odd_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
