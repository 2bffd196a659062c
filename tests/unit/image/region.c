/* Regions around boxes, and what is shown of them, against Pillow; boxes that mean harm. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/rng.h"
#include "image/patches.h"
#include "image/region.h"
#include "image/resize.h"
#include "unit/image/pictures.h"

#include <math.h>

/* A row of regions.csv (tools/make_region_cases.py). */
typedef struct region_row {
    uint64_t seed;
    size_t width, height, percent, scale, cell, least, most;
    double box[4];
    tn_region region;
    size_t new_width, new_height;
    unsigned crc;
} region_row;

static bool read_row(FILE *file, region_row *row)
{
    char line[256];
    if (fgets(line, sizeof line, file) == NULL)
        return false;
    assert_int_equal(sscanf(line, "%" SCNu64 ",%zu,%zu,%lf,%lf,%lf,%lf,%zu,%zu,%zu,%zu,%zu,%zu,%zu,%zu,%zu,%zu,%zu,%x",
                            &row->seed, &row->width, &row->height, &row->box[0], &row->box[1], &row->box[2],
                            &row->box[3], &row->percent, &row->scale, &row->cell, &row->least, &row->most,
                            &row->region.x, &row->region.y, &row->region.width, &row->region.height, &row->new_width,
                            &row->new_height, &row->crc),
                     19);
    return true;
}

static void make_noise(const region_row *row, tn_image *image)
{
    assert_int_equal(tn_image_new(image, row->width, row->height, 3, NULL), TENEBRA_OK);
    tn_rng rng = tn_rng_seed(row->seed);
    for (size_t i = 0; i < row->width * row->height * 3; i++)
        image->pixels[i] = (unsigned char)(tn_rng_next(&rng) >> 56);
}

static bool is_region(const tn_region *a, const tn_region *b)
{
    return a->x == b->x && a->y == b->y && a->width == b->width && a->height == b->height;
}

/* Whether what is shown of a region is what Pillow shows. */
static bool shows(const region_row *row, const tn_region *region)
{
    tn_image image, out;
    make_noise(row, &image);
    assert_int_equal(tn_region_show(&image, region, row->new_width, row->new_height, &out, NULL), TENEBRA_OK);
    bool same = crc32_of_image(&out) == row->crc;
    tn_image_free(&image);
    tn_image_free(&out);
    return same;
}

static void test_equals_pillow(void **state)
{
    (void)state;
    FILE *file = fopen(TENEBRA_TEST_DATA "/image/regions.csv", "r");
    assert_non_null(file);
    region_row row;
    size_t shown = 0, refused = 0;
    while (read_row(file, &row)) {
        tn_region region = { 7, 7, 7, 7 };
        size_t width, height;
        bool found = tn_region_around(row.box, (double)row.percent / 100, row.width, row.height, &region);
        assert_int_equal(found, row.crc != 0);
        if (!found) {
            assert_true(is_region(&region, &(tn_region){ 7, 7, 7, 7 })); /* as it was */
            refused++;
            continue;
        }
        assert_true(is_region(&region, &row.region));
        assert_int_equal(tn_smart_resize(region.height * row.scale, region.width * row.scale, row.cell, row.least, row.most, &height,
                                         &width, NULL), TENEBRA_OK);
        assert_int_equal(width, row.new_width);
        assert_int_equal(height, row.new_height);
        assert_true(shows(&row, &region));
        if (region.width + region.x < row.width) { /* negative control: one pixel to the right, the region is different */
            region.x++;
            assert_false(shows(&row, &region));
        }
        shown++;
    }
    fclose(file);
    assert_true(shown > 70 && refused > 15);
}

static void test_hostile_boxes(void **state)
{
    (void)state;
    static const double boxes[][4] = {
        { NAN, 0, 10, 10 },       { 0, NAN, 10, 10 },     { 0, 0, NAN, 10 },       { 0, 0, 10, NAN },
        { -1, 0, 10, 10 },        { 0, -0.001, 10, 10 },  { 0, 0, 100.001, 10 },   { 0, 0, 10, 51 },
        { 10, 0, 10, 10 },        { 0, 10, 10, 10 },      { 20, 0, 10, 10 },       { 0, 20, 10, 10 },
        { -INFINITY, 0, 10, 10 }, { 0, 0, INFINITY, 10 }, { 1e300, 0, 1e301, 10 }, { -1e300, -1e300, 1e300, 1e300 },
        { 0, 0, 0, 0 },           { 100, 0, 101, 10 },    { 0, 50, 10, 60 },       { 0, 0, 1e-300, 1e-300 },
    };
    for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
        tn_region region = { 1, 2, 3, 4 };
        if (tn_region_around(boxes[i], 1.5, 100, 50, &region))
            fail_msg("box %zu was taken", i);
        assert_true(is_region(&region, &(tn_region){ 1, 2, 3, 4 }));
    }
    const double good[4] = { 10, 10, 20, 20 };
    tn_region region;
    assert_false(tn_region_around(good, 0.5, 100, 50, &region));
    assert_false(tn_region_around(good, (double)NAN, 100, 50, &region));
    assert_true(tn_region_around(good, 1.5, 100, 50, &region));
    assert_true(is_region(&region, &(tn_region){ 7, 7, 15, 15 })); /* 7.5 to 22.5, truncated */
    assert_true(tn_region_around(good, 1e300, 100, 50, &region));
    assert_true(is_region(&region, &(tn_region){ 0, 0, 100, 50 }));
}

static void test_regions_outside(void **state)
{
    (void)state;
    tn_image image = { 0 }, out;
    assert_int_equal(tn_region_show(&image, &(tn_region){ 0, 0, 1, 1 }, 28, 28, &out, NULL), TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(tn_image_new(&image, 20, 10, 3, NULL), TENEBRA_OK);
    memset(image.pixels, 9, 20 * 10 * 3);
    assert_int_equal(tn_region_show(&image, &(tn_region){ 10, 0, 11, 1 }, 28, 28, &out, NULL), TENEBRA_ERROR_ARGUMENT);
    assert_null(out.pixels);
    tn_image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_pillow),
        cmocka_unit_test(test_hostile_boxes),
        cmocka_unit_test(test_regions_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
