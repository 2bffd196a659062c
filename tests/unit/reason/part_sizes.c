/* Sizes of images from a part, the request or the model's rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/patches.h"
#include "unit/image/pictures.h"
#include "unit/reason/tiny.h"

typedef struct size_row {
    char name[64];
    tenebra_part part;
    size_t least, most, first_width, first_height, width, height;
    unsigned crc;
} size_row;

static bool read_row(FILE *file, size_row *row)
{
    char line[256];
    *row = (size_row){ .part = { .kind = TENEBRA_PART_IMAGE_FILE } };
    return fgets(line, sizeof line, file) != NULL &&
           sscanf(line, "%63[^,],%zu,%zu,%zu,%zu,%zu,%zu,%zu,%zu,%zu,%zu,%x", row->name, &row->part.resized_width,
                  &row->part.resized_height, &row->part.min_pixels, &row->part.max_pixels, &row->least, &row->most,
                  &row->first_width, &row->first_height, &row->width, &row->height, &row->crc) == 12;
}

static void read_picture(const char *name, tn_image *image)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/image/%s", TENEBRA_TEST_DATA, name);
    assert_int_equal(tn_image_read(image, path, NULL, false, NULL), TENEBRA_OK);
}

/* Pixels of what qwen_vl_utils 0.0.14 and the processor make, with Pillow 12.0 (tools/make_part_sizes.py). */
static void parts_are_resized_as_the_reference_does(void **state)
{
    const tiny *here = *state;
    tn_session *session;
    assert_int_equal(tn_session_open(here->model, NULL, &session, NULL), TENEBRA_OK);
    question q;
    ask_about(&q, "direct", PICTURE, NULL, "?");
    q.request.image.width = q.request.image.height = 0;
    tn_reasoner *reasoner = calloc(1, sizeof *reasoner);
    assert_int_equal(tn_reasoner_open(reasoner, session, &q.request, NULL, NULL), TENEBRA_OK);
    tn_patch_config *rule = here->model->rule, usual = *rule;
    FILE *file = fopen(TENEBRA_TEST_DATA "/image/part-sizes.csv", "r");
    size_row row;
    size_t rows = 0, twice = 0;
    assert_non_null(file);
    for (; read_row(file, &row); rows++) {
        tn_image image, resized;
        rule->min_pixels = row.least;
        rule->max_pixels = row.most;
        read_picture(row.name, &image);
        assert_int_equal(tn_reasoner_resize(reasoner, &row.part, &image, &resized, NULL, NULL), TENEBRA_OK);
        if (resized.width != row.width || resized.height != row.height || crc32_of_image(&resized) != row.crc)
            fail_msg("row %zu: %zu x %zu, not %zu x %zu, or other pixels", rows, resized.width, resized.height, row.width, row.height);
        bool plain = row.part.resized_width + row.part.min_pixels + row.part.max_pixels == 0;
        if (!plain && (row.first_width != row.width || row.first_height != row.height)) {
            tn_image straight; /* the control: resizing once gives other pixels */
            assert_int_equal(tn_image_resize(&image, row.width, row.height, TN_RESAMPLE_BICUBIC, &straight, NULL), TENEBRA_OK);
            twice += crc32_of_image(&straight) != row.crc;
            tn_image_free(&straight);
        }
        tn_image_free(&resized);
        tn_image_free(&image);
    }
    fclose(file);
    *rule = usual;
    assert_int_equal(rows, 48);
    assert_true(twice >= 8);
    tn_reasoner_close(reasoner);
    free(reasoner);
    tn_session_close(session);
}

/* The grid of a question's image, or the error. */
static tenebra_code see(const tiny *here, const question *q, size_t *rows, size_t *columns, tenebra_error *error)
{
    tenebra_session_options options = { .size = sizeof options, .threads = 1 };
    tenebra_session *session;
    assert_int_equal(tenebra_session_open(&session, here->model, &options, NULL), TENEBRA_OK);
    const tenebra_trace *trace;
    tenebra_code code = tenebra_session_ask(session, &q->request, &trace, error);
    *rows = *columns = 0;
    if (code == TENEBRA_OK) {
        *rows = trace->images[0].rows;
        *columns = trace->images[0].columns;
    }
    tenebra_session_close(session);
    return code;
}

static void a_part_goes_before_the_request_and_bounds_may_be_pixels(void **state)
{
    const tiny *here = *state;
    tenebra_error error;
    question q;
    size_t rows, columns;
    ask_about(&q, "direct", PICTURE, NULL, "?");
    q.request.max_tokens = 1;
    assert_int_equal(see(here, &q, &rows, &columns, &error), TENEBRA_OK);
    assert_true(rows == 4 && columns == 4);
    q.parts[0].resized_width = 280;
    q.parts[0].resized_height = 140;
    assert_int_equal(see(here, &q, &rows, &columns, &error), TENEBRA_OK);
    assert_true(rows == 5 && columns == 10);

    q.parts[0].resized_width = q.parts[0].resized_height = 0;
    q.request.image.width = q.request.image.height = 0;
    q.request.image.min_pixels = 50000; /* not a multiple of a cell: 63.8 */
    assert_int_equal(see(here, &q, &rows, &columns, &error), TENEBRA_OK);
    assert_true(rows == 7 && columns == 11);
    q.request.image.min_pixels = 1;
    q.request.image.max_pixels = 784;
    assert_int_equal(see(here, &q, &rows, &columns, &error), TENEBRA_OK);
    assert_true(rows == 1 && columns == 1);
}

static void impossible_sizes_are_refused(void **state)
{
    const tiny *here = *state;
    static const struct {
        size_t min_tokens, max_tokens, min_pixels, max_pixels;
        tenebra_part part;
        const char *where;
    } cases[] = {
        { .min_tokens = SIZE_MAX / 784 + 2, .where = "image-min-tokens" }, /* wraps to a small product */
        { .min_tokens = SIZE_MAX, .where = "image-min-tokens" },
        { .max_tokens = SIZE_MAX / 784 + 5, .where = "image-max-tokens" },
        { .min_pixels = SIZE_MAX, .where = "image_min_pixels" },
        { .min_pixels = 6272, .max_pixels = 3136, .where = "image_min_pixels" },
        { .min_tokens = 8, .min_pixels = 6272, .where = "image_min_pixels" },
        { .part = { .resized_width = 280 }, .where = "image" },
        { .part = { .resized_width = 280, .resized_height = 280, .max_pixels = 3136 }, .where = "image" },
        { .part = { .min_pixels = 6272, .max_pixels = 3136 }, .where = "image" },
        { .part = { .resized_width = SIZE_MAX, .resized_height = 28 }, .where = "" },
        { .part = { .min_pixels = (size_t)1 << 40, .max_pixels = (size_t)1 << 40 }, .where = "" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        question q;
        tenebra_error error = { 0 };
        size_t rows, columns;
        ask_about(&q, "direct", PICTURE, NULL, "?");
        q.request.image.width = q.request.image.height = 0;
        q.request.image.min_tokens = cases[i].min_tokens;
        q.request.image.max_tokens = cases[i].max_tokens;
        q.request.image.min_pixels = cases[i].min_pixels;
        q.request.image.max_pixels = cases[i].max_pixels;
        q.parts[0].resized_width = cases[i].part.resized_width;
        q.parts[0].resized_height = cases[i].part.resized_height;
        q.parts[0].min_pixels = cases[i].part.min_pixels;
        q.parts[0].max_pixels = cases[i].part.max_pixels;
        tenebra_code code = see(here, &q, &rows, &columns, &error);
        if (code != TENEBRA_ERROR_ARGUMENT && code != TENEBRA_ERROR_LIMIT)
            fail_msg("case %zu: code %d, %s: %s", i, (int)code, error.where, error.sentence);
        if (cases[i].where[0] != '\0')
            assert_string_equal(error.where, cases[i].where);
    }
    question q;
    tenebra_error error;
    size_t rows, columns;
    ask_about(&q, "direct", NULL, NULL, "?");
    q.parts[0].max_pixels = 3136;
    assert_int_equal(see(here, &q, &rows, &columns, &error), TENEBRA_ERROR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_resized_as_the_reference_does),
        cmocka_unit_test(a_part_goes_before_the_request_and_bounds_may_be_pixels),
        cmocka_unit_test(impossible_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
