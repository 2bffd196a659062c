/* Preparation of images, compared with the golden set tests/data/golden/preprocess (its README says how it was made).
 *
 * All comparisons are exact: u8 outputs to the level, pixel values to the bit. Each has a negative
 * control: another filter, another order, another configuration must be noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "image/patches.h"
#include "store/format.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct golden {
    tn_file file;
    tn_contents tensors;
} golden;

static int open_golden(void **state)
{
    static golden set;
    const char *path = TENEBRA_TEST_DATA "/golden/preprocess/case.safetensors";
    assert_int_equal(tn_file_read(&set.file, path, SIZE_MAX, NULL), TENEBRA_OK);
    assert_int_equal(tn_contents_open(&set.tensors, set.file.data, set.file.size, path, NULL), TENEBRA_OK);
    *state = &set;
    return 0;
}

static int close_golden(void **state)
{
    golden *set = *state;
    tn_contents_close(&set->tensors);
    tn_file_close(&set->file);
    return 0;
}

static const tn_stored *find(const golden *set, const char *name, tn_store_type type, size_t rank)
{
    for (size_t i = 0; i < set->tensors.count; i++)
        if (strcmp(set->tensors.tensors[i].name, name) == 0) {
            assert_int_equal(set->tensors.tensors[i].type, type);
            assert_int_equal(set->tensors.tensors[i].rank, rank);
            return &set->tensors.tensors[i];
        }
    fail_msg("the golden set has no tensor %s", name);
    return NULL;
}

/* A copy of an image [H, W, channels]. */
static tn_image picture(const golden *set, const char *name, size_t channels)
{
    const tn_stored *tensor = find(set, name, TN_STORE_U8, 3);
    assert_int_equal(tensor->shape[2], channels);
    tn_image image;
    assert_int_equal(tn_image_new(&image, tensor->shape[1], tensor->shape[0], channels, NULL), TENEBRA_OK);
    memcpy(image.pixels, tensor->data, tensor->bytes);
    return image;
}

static float float_at(const tn_stored *tensor, size_t i)
{
    float value;
    memcpy(&value, (const unsigned char *)tensor->data + i * sizeof value, sizeof value);
    return value;
}

static bool resize_matches(const tn_image *source, const tn_image *expected, tn_resample filter)
{
    tn_image out;
    assert_int_equal(tn_image_resize(source, expected->width, expected->height, filter, &out, NULL), TENEBRA_OK);
    bool same = memcmp(out.pixels, expected->pixels, out.width * out.height * 3) == 0;
    tn_image_free(&out);
    return same;
}

static void test_bicubic(void **state)
{
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "bicubic.%d.src", i);
        tn_image source = picture(*state, name, 3);
        snprintf(name, sizeof name, "bicubic.%d.out", i);
        tn_image expected = picture(*state, name, 3);
        assert_true(resize_matches(&source, &expected, TN_RESAMPLE_BICUBIC));
        assert_false(resize_matches(&source, &expected, TN_RESAMPLE_LANCZOS));
        assert_false(resize_matches(&source, &expected, TN_RESAMPLE_BILINEAR));
        tn_image_free(&source);
        tn_image_free(&expected);
    }
}

/* The number of rows of the table that differ if `spare` more pixels are allowed. */
static size_t wrong_sizes(const tn_stored *table, size_t spare)
{
    size_t wrong = 0;
    for (size_t i = 0; i < table->shape[0]; i++) {
        int64_t row[7];
        memcpy(row, (const unsigned char *)table->data + i * sizeof row, sizeof row);
        size_t height, width;
        assert_int_equal(tn_smart_resize((size_t)row[0], (size_t)row[1], (size_t)row[2], (size_t)row[3],
                                         (size_t)row[4] + spare, &height, &width, NULL), TENEBRA_OK);
        wrong += height != (size_t)row[5] || width != (size_t)row[6];
    }
    return wrong;
}

static void test_smart_resize(void **state)
{
    const tn_stored *table = find(*state, "smart_resize.table", TN_STORE_I64, 2);
    assert_int_equal(table->shape[0], 120);
    assert_int_equal(table->shape[1], 7);
    assert_int_equal(wrong_sizes(table, 0), 0);
    assert_true(wrong_sizes(table, 100000) > 0);
}

/* Values that differ at all from the golden ones. */
static size_t wrong_values(const tn_patches *patches, const tn_stored *expected)
{
    size_t wrong = 0;
    for (size_t i = 0; i < expected->elements; i++)
        wrong += !((float)patches->values[i] == float_at(expected, i));
    return wrong;
}

static void test_full_pipeline(void **state)
{
    tn_image source = picture(*state, "qwen_full.src", 3);
    const tn_stored *expected = find(*state, "qwen_full.pixel_values", TN_STORE_F32, 2);
    const tn_stored *grid = find(*state, "qwen_full.grid_thw", TN_STORE_I64, 2);
    tn_patch_config config = tn_patch_config_default();
    config.min_pixels = 784;
    config.max_pixels = 1568;
    tn_patches patches;
    assert_int_equal(tn_patches_make(&config, &source, &patches, NULL), TENEBRA_OK);
    int64_t thw[3];
    assert_int_equal(grid->bytes, sizeof thw);
    memcpy(thw, grid->data, sizeof thw);
    assert_true(patches.grid_t == (size_t)thw[0] && patches.grid_h == (size_t)thw[1] &&
                patches.grid_w == (size_t)thw[2]);
    assert_int_equal(patches.count, expected->shape[0]);
    assert_int_equal(patches.columns, expected->shape[1]);
    assert_int_equal(wrong_values(&patches, expected), 0);
    tn_patches_free(&patches);

    config.resample = TN_RESAMPLE_LANCZOS;
    assert_int_equal(tn_patches_make(&config, &source, &patches, NULL), TENEBRA_OK);
    assert_true(wrong_values(&patches, expected) > 0);
    /* Two rows exchanged, as an order of patches without merging would do. */
    config.resample = TN_RESAMPLE_BICUBIC;
    tn_patches_free(&patches);
    assert_int_equal(tn_patches_make(&config, &source, &patches, NULL), TENEBRA_OK);
    for (size_t i = 0; i < patches.columns; i++) {
        tn_real kept = patches.values[patches.columns + i];
        patches.values[patches.columns + i] = patches.values[2 * patches.columns + i];
        patches.values[2 * patches.columns + i] = kept;
    }
    assert_true(wrong_values(&patches, expected) > 0);
    tn_patches_free(&patches);
    tn_image_free(&source);
}

/* Largest distance of (u8 * 0.0078 - 1) from the golden values [3, 24, 24], after the shortest edge is
 * resized to 24 and the middle cropped; NaN and infinity give infinity. */
static double centre_distance(const tn_image *source, const tn_stored *expected, tn_resample filter)
{
    size_t shortest = source->width < source->height ? source->width : source->height;
    tn_image resized, cut;
    assert_int_equal(tn_image_resize(source, 24 * source->width / shortest, 24 * source->height / shortest, filter,
                                     &resized, NULL), TENEBRA_OK);
    assert_int_equal(tn_image_crop(&resized, (resized.width - 24) / 2, (resized.height - 24) / 2, 24, 24, &cut,
                                   NULL), TENEBRA_OK);
    assert_int_equal(expected->elements, 3 * 24 * 24);
    double largest = 0.0;
    for (size_t i = 0; i < expected->elements; i++) {
        float value = (float)(cut.pixels[i % 576 * 3 + i / 576] * 0.0078) - 1.0f;
        double distance = fabs((double)value - (double)float_at(expected, i));
        if (!(distance <= largest))
            largest = isfinite(distance) ? distance : INFINITY;
    }
    tn_image_free(&resized);
    tn_image_free(&cut);
    return largest;
}

static void test_lanczos_and_crop(void **state)
{
    for (int i = 0; i < 2; i++) {
        char name[64];
        snprintf(name, sizeof name, "chameleon.%d.src", i);
        tn_image source = picture(*state, name, 3);
        snprintf(name, sizeof name, "chameleon.%d.pixel_values", i);
        const tn_stored *expected = find(*state, name, TN_STORE_F32, 3);
        assert_true(centre_distance(&source, expected, TN_RESAMPLE_LANCZOS) == 0.0);
        assert_true(centre_distance(&source, expected, TN_RESAMPLE_BICUBIC) > 0.0078);
        tn_image_free(&source);
    }
}

/* The processor of this case drops the fraction; the rounding of the Qwen2-VL tools is up to two levels
 * away after the resize and must be noticed. */
static void test_alpha_over_white(void **state)
{
    const tn_stored *expected = find(*state, "chameleon.rgba.pixel_values", TN_STORE_F32, 3);
    tn_image source = picture(*state, "chameleon.rgba.src", 4);
    tn_image_flatten(&source, TN_BLEND_TRUNCATE);
    assert_true(centre_distance(&source, expected, TN_RESAMPLE_LANCZOS) == 0.0);
    tn_image_free(&source);
    source = picture(*state, "chameleon.rgba.src", 4);
    tn_image_flatten(&source, TN_BLEND_ROUND);
    assert_true(centre_distance(&source, expected, TN_RESAMPLE_LANCZOS) > 0.0078);
    tn_image_free(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bicubic),          cmocka_unit_test(test_smart_resize),
        cmocka_unit_test(test_full_pipeline),    cmocka_unit_test(test_lanczos_and_crop),
        cmocka_unit_test(test_alpha_over_white),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
