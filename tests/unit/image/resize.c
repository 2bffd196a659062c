/* Resizing against Pillow: 400 sizes and filters on noise, up, down, one pixel wide. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/rng.h"
#include "image/resize.h"
#include "unit/image/pictures.h"

typedef struct resize_row {
    uint64_t seed;
    unsigned mode, filter, crc;
    size_t width, height, new_width, new_height;
} resize_row;

/* Noise of mode 0, or black and white of mode 1, where sums overshoot most. */
static tn_image noise(const resize_row *row)
{
    tn_image image;
    assert_int_equal(tn_image_new(&image, row->width, row->height, 3, NULL), TENEBRA_OK);
    tn_rng rng = tn_rng_seed(row->seed);
    for (size_t i = 0; i < row->width * row->height * 3; i++) {
        uint64_t number = tn_rng_next(&rng);
        image.pixels[i] = (unsigned char)(row->mode == 0 ? number >> 56 : (number >> 63) * 255);
    }
    return image;
}

static bool equals_pillow(const resize_row *row, const tn_image *image, tn_resample filter)
{
    tn_image out;
    assert_int_equal(tn_image_resize(image, row->new_width, row->new_height, filter, &out, NULL), TENEBRA_OK);
    assert_int_equal(out.width, row->new_width);
    assert_int_equal(out.height, row->new_height);
    bool equal = crc32_of_image(&out) == row->crc;
    tn_image_free(&out);
    return equal;
}

static void test_equals_pillow(void **state)
{
    (void)state;
    FILE *file = fopen(TENEBRA_TEST_DATA "/image/resize.csv", "r");
    assert_non_null(file);
    char line[256];
    size_t rows = 0, caught = 0, resized = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        resize_row row;
        assert_int_equal(sscanf(line, "%" SCNu64 ",%u,%zu,%zu,%zu,%zu,%u,%x", &row.seed, &row.mode, &row.width,
                                &row.height, &row.new_width, &row.new_height, &row.filter, &row.crc), 8);
        tn_image image = noise(&row);
        if (!equals_pillow(&row, &image, (tn_resample)row.filter))
            fail_msg("%zu x %zu to %zu x %zu with filter %u differs from Pillow's", row.width, row.height,
                     row.new_width, row.new_height, row.filter);
        rows++;
        bool same_size = row.width == row.new_width && row.height == row.new_height; /* no filter runs */
        if (!same_size && row.width > 2 && row.height > 2 && row.new_width > 2 && row.new_height > 2) {
            resized++; /* negative control: another filter must not pass */
            caught += !equals_pillow(&row, &image, row.filter == 3 ? TN_RESAMPLE_LANCZOS : TN_RESAMPLE_BICUBIC);
        }
        tn_image_free(&image);
    }
    fclose(file);
    assert_int_equal(rows, 400);
    assert_true(resized > 200);
    assert_int_equal(caught, resized);
}

static void test_flat_stays_flat(void **state)
{
    (void)state;
    static const tn_resample filters[] = { TN_RESAMPLE_LANCZOS, TN_RESAMPLE_BILINEAR, TN_RESAMPLE_BICUBIC,
                                           TN_RESAMPLE_BOX };
    static const unsigned char levels[] = { 0, 1, 127, 254, 255 };
    tn_image image, out;
    assert_int_equal(tn_image_new(&image, 37, 23, 3, NULL), TENEBRA_OK);
    for (size_t f = 0; f < 4; f++)
        for (size_t l = 0; l < 5; l++) {
            memset(image.pixels, levels[l], 37 * 23 * 3);
            assert_int_equal(tn_image_resize(&image, 61, 9, filters[f], &out, NULL), TENEBRA_OK);
            for (size_t i = 0; i < 61 * 9 * 3; i++)
                assert_int_equal(out.pixels[i], levels[l]);
            tn_image_free(&out);
        }
    tn_image_free(&image);
}

static void test_same_size_is_a_copy(void **state)
{
    (void)state;
    resize_row row = { .seed = 3, .width = 9, .height = 8 };
    tn_image image = noise(&row), out;
    assert_int_equal(tn_image_resize(&image, 9, 8, TN_RESAMPLE_LANCZOS, &out, NULL), TENEBRA_OK);
    assert_ptr_not_equal(image.pixels, out.pixels);
    assert_memory_equal(image.pixels, out.pixels, 9 * 8 * 3);
    tn_image_free(&out);
    tn_image_free(&image);
}

static void test_refusals(void **state)
{
    (void)state;
    resize_row row = { .seed = 3, .width = 2, .height = 2 };
    tn_image image = noise(&row), out;
    assert_int_equal(tn_image_resize(&image, 0, 2, TN_RESAMPLE_BICUBIC, &out, NULL), TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(tn_image_resize(&image, 2, TN_IMAGE_SIDE_MAX + 1, TN_RESAMPLE_BICUBIC, &out, NULL),
                     TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(tn_image_resize(&image, 2, 2, (tn_resample)5, &out, NULL), TENEBRA_ERROR_ARGUMENT);
    image.channels = 4;
    assert_int_equal(tn_image_resize(&image, 1, 1, TN_RESAMPLE_BICUBIC, &out, NULL), TENEBRA_ERROR_ARGUMENT);
    assert_null(out.pixels);
    tn_image_free(&image);
    assert_int_equal(tn_image_resize(&image, 1, 1, TN_RESAMPLE_BICUBIC, &out, NULL), TENEBRA_ERROR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_pillow),
        cmocka_unit_test(test_flat_stays_flat),
        cmocka_unit_test(test_same_size_is_a_copy),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
