/* Patch order, arithmetic, configuration, and rectangles of tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image/patches.h"
#include "image/region.h"

#include <math.h>
#include <string.h>

/* -------------------------------------------------------- configuration -- */

static tenebra_code read_config(const char *text, tn_patch_config *config, tenebra_error *error)
{
    json_t *json;
    tn_json_parse(text, strlen(text), "test", &json, NULL);
    assert_non_null(json);
    tenebra_code code = tn_patch_config_read(json, "preprocessor_config.json", config, error);
    json_decref(json);
    return code;
}

static void test_published_config(void **state)
{
    (void)state;
    tn_patch_config config;
    assert_int_equal(read_config("{\"min_pixels\":3136,\"max_pixels\":12845056,\"patch_size\":14,"
                                 "\"temporal_patch_size\":2,\"merge_size\":2,"
                                 "\"image_mean\":[0.48145466,0.4578275,0.40821073],"
                                 "\"image_std\":[0.26862954,0.26130258,0.27577711],"
                                 "\"image_processor_type\":\"Qwen2VLImageProcessor\"}", &config, NULL), TENEBRA_OK);
    tn_patch_config expected = tn_patch_config_default();
    assert_int_equal(config.max_pixels, 12845056);
    assert_int_equal(config.min_pixels, expected.min_pixels);
    assert_int_equal(config.patch_size, 14);
    assert_int_equal(config.merge_size, 2);
    assert_int_equal(config.temporal_patch_size, 2);
    assert_int_equal(config.resample, TN_RESAMPLE_BICUBIC);
    assert_true(config.resize);
    assert_true(config.rescale == 1.0 / 255.0);
    assert_memory_equal(config.mean, expected.mean, sizeof config.mean);
    assert_memory_equal(config.std, expected.std, sizeof config.std);
}

static void test_config_forms(void **state)
{
    (void)state;
    tn_patch_config config;
    assert_int_equal(read_config("{\"size\":{\"shortest_edge\":1000,\"longest_edge\":2000}}", &config, NULL),
                     TENEBRA_OK);
    assert_int_equal(config.min_pixels, 1000);
    assert_int_equal(config.max_pixels, 2000);
    assert_int_equal(read_config("{\"size\":{\"min_pixels\":784,\"max_pixels\":1568},\"max_pixels\":3000,"
                                 "\"min_pixels\":null}", &config, NULL), TENEBRA_OK);
    assert_int_equal(config.min_pixels, 784);
    assert_int_equal(config.max_pixels, 3000);
    assert_int_equal(read_config("{\"do_resize\":false,\"do_rescale\":false,\"do_normalize\":false,\"resample\":1,"
                                 "\"image_mean\":0.5}", &config, NULL), TENEBRA_OK);
    assert_false(config.resize);
    assert_true(config.rescale == 1.0);
    assert_true(config.mean[0] == 0.0 && config.mean[2] == 0.0 && config.std[1] == 1.0);
    assert_int_equal(config.resample, TN_RESAMPLE_LANCZOS);
    assert_int_equal(read_config("{\"image_mean\":0.5,\"rescale_factor\":0.0078}", &config, NULL), TENEBRA_OK);
    assert_true(config.mean[0] == 0.5 && config.mean[2] == 0.5 && config.rescale == 0.0078);
    assert_int_equal(read_config("{}", &config, NULL), TENEBRA_OK);
    assert_int_equal(config.max_pixels, 1003520);
}

static void test_config_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word;
        tenebra_code code;
    } bad[] = {
        { "[]", "object", TENEBRA_ERROR_FORMAT },
        { "{\"patch_size\":0}", "patch_size", TENEBRA_ERROR_FORMAT },
        { "{\"patch_size\":-14}", "patch_size", TENEBRA_ERROR_FORMAT },
        { "{\"patch_size\":1e18}", "patch_size", TENEBRA_ERROR_FORMAT },
        { "{\"patch_size\":14.5}", "patch_size", TENEBRA_ERROR_FORMAT },
        { "{\"patch_size\":\"14\"}", "patch_size", TENEBRA_ERROR_FORMAT },
        { "{\"merge_size\":0}", "merge_size", TENEBRA_ERROR_FORMAT },
        { "{\"temporal_patch_size\":65}", "temporal_patch_size", TENEBRA_ERROR_FORMAT },
        { "{\"min_pixels\":10,\"max_pixels\":9}", "at least 10", TENEBRA_ERROR_FORMAT },
        { "{\"max_pixels\":0}", "max_pixels", TENEBRA_ERROR_FORMAT },
        { "{\"max_pixels\":300000000}", "max_pixels", TENEBRA_ERROR_FORMAT },
        { "{\"size\":{\"height\":1,\"width\":2}}", "size", TENEBRA_ERROR_FORMAT },
        { "{\"size\":448}", "size", TENEBRA_ERROR_FORMAT },
        { "{\"size\":{\"shortest_edge\":[]}}", "shortest_edge", TENEBRA_ERROR_FORMAT },
        { "{\"image_std\":[0,1,1]}", "image_std", TENEBRA_ERROR_FORMAT },
        { "{\"image_std\":[1,-1,1]}", "image_std", TENEBRA_ERROR_FORMAT },
        { "{\"image_mean\":[1,1]}", "image_mean", TENEBRA_ERROR_FORMAT },
        { "{\"image_mean\":[1,1,\"x\"]}", "image_mean", TENEBRA_ERROR_FORMAT },
        { "{\"image_mean\":{}}", "image_mean", TENEBRA_ERROR_FORMAT },
        { "{\"rescale_factor\":0}", "rescale_factor", TENEBRA_ERROR_FORMAT },
        { "{\"do_resize\":1}", "do_resize", TENEBRA_ERROR_FORMAT },
        { "{\"resample\":0}", "nearest", TENEBRA_ERROR_UNSUPPORTED },
        { "{\"resample\":5}", "Hamming", TENEBRA_ERROR_UNSUPPORTED },
        { "{\"resample\":6}", "resample", TENEBRA_ERROR_FORMAT },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tn_patch_config config;
        tenebra_error error = { 0 };
        assert_int_equal(read_config(bad[i].text, &config, &error), bad[i].code);
        if (strstr(error.sentence, bad[i].word) == NULL)
            fail_msg("%s: %s", bad[i].text, error.sentence);
        bool inside = strcmp(bad[i].word, "shortest_edge") == 0;
        assert_string_equal(error.where, inside ? "preprocessor_config.json: size" : "preprocessor_config.json");
    }
}

/* -------------------------------------------------------------- patches -- */

/* A small configuration whose values are the levels themselves. */
static tn_patch_config plain_config(void)
{
    tn_patch_config config = tn_patch_config_default();
    config.patch_size = 2;
    config.merge_size = 2;
    config.rescale = 1.0;
    for (size_t c = 0; c < 3; c++) {
        config.mean[c] = 0.0;
        config.std[c] = 1.0;
    }
    return config;
}

static tn_image located(size_t width, size_t height)
{
    tn_image image;
    assert_int_equal(tn_image_new(&image, width, height, 3, NULL), TENEBRA_OK);
    for (size_t i = 0; i < width * height; i++) {
        image.pixels[i * 3] = (unsigned char)(i % width);
        image.pixels[i * 3 + 1] = (unsigned char)(i / width);
        image.pixels[i * 3 + 2] = 200;
    }
    return image;
}

/* Counts values that are not the pixel at which [t, gh/m, gw/m, m, m, C, tp, p, p] places them; with
 * `grouped` false the plain row-major order of patches is expected instead. */
static size_t misplaced(const tn_patches *patches, bool grouped)
{
    size_t wrong = 0, across = patches->grid_w, cells = across / 2;
    for (size_t r = 0; r < patches->count; r++) {
        size_t cell = r / 4, py = cell / cells * 2 + r % 4 / 2, px = cell % cells * 2 + r % 2;
        if (!grouped) {
            py = r / across;
            px = r % across;
        }
        const tn_real *row = patches->values + r * patches->columns;
        for (size_t i = 0; i < 24; i++) {
            size_t channel = i / 8, y = i % 4 / 2, x = i % 2;
            double expected = channel == 0 ? (double)(px * 2 + x) : channel == 1 ? (double)(py * 2 + y) : 200.0;
            wrong += !((double)row[i] == expected);
        }
    }
    return wrong;
}

static void test_order(void **state)
{
    (void)state;
    tn_patch_config config = plain_config();
    tn_image image = located(12, 8);
    tn_patches patches;
    assert_int_equal(tn_patches_cut(&config, &image, &patches, NULL), TENEBRA_OK);
    assert_int_equal(patches.grid_t, 1);
    assert_int_equal(patches.grid_h, 4);
    assert_int_equal(patches.grid_w, 6);
    assert_int_equal(patches.count, 24);
    assert_int_equal(patches.columns, 24);
    assert_int_equal(misplaced(&patches, true), 0);
    assert_true(misplaced(&patches, false) > 0);
    tn_patches_free(&patches);
    tn_image_free(&image);
}

static void test_arithmetic(void **state)
{
    (void)state;
    tn_patch_config config = tn_patch_config_default();
    tn_image image;
    assert_int_equal(tn_image_new(&image, 28, 28, 3, NULL), TENEBRA_OK);
    for (size_t i = 0; i < 28 * 28 * 3; i++)
        image.pixels[i] = (unsigned char)(i / 3);
    tn_patches patches;
    assert_int_equal(tn_patches_cut(&config, &image, &patches, NULL), TENEBRA_OK);
    assert_int_equal(patches.columns, 1176);
    for (size_t c = 0; c < 3; c++) /* the first line of the first patch has levels 0..13 */
        for (size_t x = 0; x < 14; x++) {
            double exact = ((double)x / 255.0 - config.mean[c]) / config.std[c];
            double value = (double)patches.values[c * 392 + x];
            assert_true(fabs(value - exact) <= 4e-7); /* three roundings of values below 2 */
            assert_true(patches.values[c * 392 + 196 + x] == patches.values[c * 392 + x]); /* second frame */
        }
    tn_patches_free(&patches);
    tn_image_free(&image);
}

static void test_cut_refuses(void **state)
{
    (void)state;
    tn_patch_config config = plain_config();
    tn_image image = located(12, 6);
    tn_patches patches;
    tenebra_error error = { 0 };
    assert_int_equal(tn_patches_cut(&config, &image, &patches, &error), TENEBRA_ERROR_ARGUMENT);
    assert_null(patches.values);
    assert_non_null(strstr(error.sentence, "12 x 6"));
    config.resize = false; /* the size is not changed to one that fits */
    assert_int_equal(tn_patches_make(&config, &image, &patches, &error), TENEBRA_ERROR_ARGUMENT);
    config.patch_size = 0;
    assert_int_equal(tn_patches_cut(&config, &image, &patches, &error), TENEBRA_ERROR_ARGUMENT);
    tn_image_free(&image);
    config = plain_config();
    assert_int_equal(tn_patches_cut(&config, &image, &patches, &error), TENEBRA_ERROR_ARGUMENT); /* empty */
    tn_patches_free(&patches);
}

/* ----------------------------------------------------------- rectangles -- */

/* One bright cell in the resized image: only the rows of the token whose rectangle is this cell contain it. */
static void test_rectangle_of_each_token(void **state)
{
    (void)state;
    tn_patch_config config = plain_config();
    for (size_t token = 0; token < 6; token++) {
        size_t cell_x = token % 3 * 4, cell_y = token / 3 * 4;
        tn_image image;
        assert_int_equal(tn_image_new(&image, 12, 8, 3, NULL), TENEBRA_OK);
        for (size_t i = 0; i < 12 * 8; i++)
            memset(image.pixels + i * 3, i % 12 / 4 * 4 == cell_x && i / 12 / 4 * 4 == cell_y, 3);
        tn_patches patches;
        assert_int_equal(tn_patches_cut(&config, &image, &patches, NULL), TENEBRA_OK);
        for (size_t i = 0; i < patches.count * patches.columns; i++)
            assert_true(patches.values[i] == (i / patches.columns / 4 == token ? 1 : 0));
        tn_rectangle r;
        assert_int_equal(tn_cell_rectangle(token, 1, 2, 3, 600, 200, &r, NULL), TENEBRA_OK);
        assert_true(r.x0 == (double)cell_x * 50 && r.x1 == r.x0 + 200);
        assert_true(r.y0 == (double)cell_y * 25 && r.y1 == r.y0 + 100);
        tn_patches_free(&patches);
        tn_image_free(&image);
    }
}

static void test_rectangle_bounds(void **state)
{
    (void)state;
    tn_rectangle r;
    assert_int_equal(tn_cell_rectangle(8, 2, 2, 3, 60, 40, &r, NULL), TENEBRA_OK); /* second frame */
    assert_true(r.x0 == 40 && r.y0 == 0 && r.x1 == 60 && r.y1 == 20);
    assert_int_equal(tn_cell_rectangle(6, 1, 2, 3, 60, 40, &r, NULL), TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(tn_cell_rectangle(0, 1, 0, 3, 60, 40, &r, NULL), TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(tn_cell_rectangle(0, 0, 2, 3, 60, 40, &r, NULL), TENEBRA_ERROR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_config),
        cmocka_unit_test(test_config_forms),
        cmocka_unit_test(test_config_refusals),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_cut_refuses),
        cmocka_unit_test(test_rectangle_of_each_token),
        cmocka_unit_test(test_rectangle_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
