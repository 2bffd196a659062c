/* Position tables of prompts with images (M-RoPE), against tables written by hand from the rule of
 * arXiv:2409.12191, section 2.1: text continues the count, an image fills a block from the next free position, and text
 * continues after the largest position used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/model/models.h"

enum { IMG = 278, ROWS_MAX = 64 }; /* the image token of the golden model */

static const tn_backbone *backbone;
static tn_model_config config;

static int open_config(void **state)
{
    (void)state;
    return tn_model_read_config(TIED, NULL, &backbone, &config, NULL, NULL) != TENEBRA_OK || config.picture_token != IMG;
}

typedef struct table {
    const char *name;
    size_t count, grid_count;
    int32_t first, next;
    tn_grid grids[3];
    int32_t ids[ROWS_MAX];
    int32_t t[ROWS_MAX], h[ROWS_MAX], w[ROWS_MAX];
} table;

static const table tables[] = {
    { .name = "text alone", .count = 4, .first = 0, .next = 4, .ids = { 5, 6, 7, 8 },
      .t = { 0, 1, 2, 3 }, .h = { 0, 1, 2, 3 }, .w = { 0, 1, 2, 3 } },
    { .name = "text that goes on", .count = 2, .first = 17, .next = 19, .ids = { 5, 6 },
      .t = { 17, 18 }, .h = { 17, 18 }, .w = { 17, 18 } },
    /* 2 x 3 cells from position 2; text continues at 2 + 3 */
    { .name = "one image", .count = 10, .grid_count = 1, .next = 7, .grids = { { 1, 4, 6 } },
      .ids = { 5, 6, IMG, IMG, IMG, IMG, IMG, IMG, 7, 8 },
      .t = { 0, 1, 2, 2, 2, 2, 2, 2, 5, 6 },
      .h = { 0, 1, 2, 2, 2, 3, 3, 3, 5, 6 },
      .w = { 0, 1, 2, 3, 4, 2, 3, 4, 5, 6 } },
    { .name = "high image", .count = 8, .grid_count = 1, .next = 5, .grids = { { 1, 6, 4 } },
      .ids = { 5, IMG, IMG, IMG, IMG, IMG, IMG, 7 },
      .t = { 0, 1, 1, 1, 1, 1, 1, 4 },
      .h = { 0, 1, 1, 2, 2, 3, 3, 4 },
      .w = { 0, 1, 2, 1, 2, 1, 2, 4 } },
    { .name = "image first and last", .count = 5, .grid_count = 2, .next = 5, .grids = { { 1, 2, 4 }, { 1, 4, 2 } },
      .ids = { IMG, IMG, 5, IMG, IMG },
      .t = { 0, 0, 2, 3, 3 },
      .h = { 0, 0, 2, 3, 4 },
      .w = { 0, 1, 2, 3, 3 } },
    { .name = "image alone", .count = 1, .grid_count = 1, .next = 1, .grids = { { 1, 2, 2 } },
      .ids = { IMG }, .t = { 0 }, .h = { 0 }, .w = { 0 } },
    { .name = "two images, text between", .count = 12, .grid_count = 2, .next = 10, .grids = { { 1, 2, 8 }, { 1, 4, 4 } },
      .ids = { 5, IMG, IMG, IMG, IMG, 6, IMG, IMG, IMG, IMG, 7, 8 },
      .t = { 0, 1, 1, 1, 1, 5, 6, 6, 6, 6, 8, 9 },
      .h = { 0, 1, 1, 1, 1, 5, 6, 6, 7, 7, 8, 9 },
      .w = { 0, 1, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9 } },
    { .name = "two images without text between", .count = 7, .grid_count = 2, .next = 5, .grids = { { 1, 4, 4 }, { 1, 2, 4 } },
      .ids = { 5, IMG, IMG, IMG, IMG, IMG, IMG },
      .t = { 0, 1, 1, 1, 1, 3, 3 },
      .h = { 0, 1, 1, 2, 2, 3, 3 },
      .w = { 0, 1, 2, 1, 2, 3, 4 } },
    { .name = "second turn", .count = 4, .grid_count = 1, .first = 30, .next = 34, .grids = { { 1, 2, 4 } },
      .ids = { IMG, IMG, 9, 9 }, .t = { 30, 30, 32, 33 }, .h = { 30, 30, 32, 33 }, .w = { 30, 31, 32, 33 } },
    { .name = "two frames", .count = 6, .grid_count = 1, .next = 4, .grids = { { 2, 2, 4 } },
      .ids = { 5, IMG, IMG, IMG, IMG, 6 },
      .t = { 0, 1, 1, 2, 2, 3 },
      .h = { 0, 1, 1, 1, 1, 3 },
      .w = { 0, 1, 2, 1, 2, 3 } },
    { .name = "more frames than cells", .count = 5, .grid_count = 1, .next = 5, .grids = { { 4, 2, 2 } },
      .ids = { IMG, IMG, IMG, IMG, 6 }, .t = { 0, 1, 2, 3, 4 }, .h = { 0, 0, 0, 0, 4 }, .w = { 0, 0, 0, 0, 4 } },
};

/* Rows of ids with images of these grids of patches. */
typedef struct prompt {
    tn_image_rows pictures[3];
    tn_row rows[ROWS_MAX];
} prompt;

static tenebra_code lay(prompt *p, const int32_t *ids, size_t count, const tn_grid *grids, size_t grid_count, tenebra_error *error)
{
    const tn_image_rows *pictures[3];
    for (size_t i = 0; i < grid_count; i++) {
        p->pictures[i] = (tn_image_rows){ tn_grid_patches(grids[i]) / 4, grids[i].t, grids[i].h / 2, grids[i].w / 2, .embeds = { 0 } };
        pictures[i] = &p->pictures[i];
    }
    return tn_rows_of_ids(&config, ids, count, pictures, grid_count, p->rows, error);
}

/* Whether the table is what the backbone computes. */
static bool agrees(const table *t, const tn_grid *grids, int32_t first)
{
    prompt p;
    assert_int_equal(lay(&p, t->ids, t->count, grids, t->grid_count, NULL), TENEBRA_OK);
    bool same = backbone->positions(p.rows, t->count, first) == t->next;
    for (size_t i = 0; same && i < t->count; i++)
        same = p.rows[i].position.axis[0] == t->t[i] && p.rows[i].position.axis[1] == t->h[i] &&
               p.rows[i].position.axis[2] == t->w[i];
    return same;
}

static void test_tables(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        const table *t = &tables[i];
        if (!agrees(t, t->grids, t->first))
            print_error("%s\n", t->name);
        assert_true(agrees(t, t->grids, t->first));
        /* Negative controls: another start; an image turned by 90 degrees. */
        assert_false(agrees(t, t->grids, t->first + 1));
        if (t->grid_count > 0 && t->grids[0].h != t->grids[0].w) {
            tn_grid turned[3];
            memcpy(turned, t->grids, sizeof turned);
            turned[0] = (tn_grid){ t->grids[0].t, t->grids[0].w, t->grids[0].h };
            assert_false(agrees(t, turned, t->first));
        }
    }
}

/* A second turn continues at *next, with the positions of one long prompt. */
static void test_turns(void **state)
{
    (void)state;
    static const int32_t ids[] = { 5, IMG, IMG, 6, 7, IMG, IMG, IMG, IMG, 8 };
    static const tn_grid grids[] = { { 1, 2, 4 }, { 1, 4, 4 } };
    prompt whole, parts;
    assert_int_equal(lay(&whole, ids, 10, grids, 2, NULL), TENEBRA_OK);
    assert_int_equal(lay(&parts, ids, 10, grids, 2, NULL), TENEBRA_OK);
    int32_t end = backbone->positions(whole.rows, 10, 0);
    for (size_t cut = 3; cut <= 5; cut++) {
        int32_t middle = backbone->positions(parts.rows, cut, 0);
        assert_int_equal(backbone->positions(parts.rows + cut, 10 - cut, middle), end);
        for (size_t i = 0; i < 10; i++)
            assert_memory_equal(&parts.rows[i].position, &whole.rows[i].position, sizeof(tn_position));
    }
}

/* --------------------------------------------------------------- refused -- */

typedef struct misfit {
    size_t count, grid_count;
    tn_grid grids[2];
    int32_t ids[12];
    const char *words;
} misfit;

static const misfit misfits[] = {
    { 4, 0, { { 0 } }, { 5, IMG, IMG, 6 }, "more than 0 images" },                  /* tokens without an image */
    { 3, 1, { { 1, 2, 4 } }, { 5, 6, 7 }, "1 images were given" },              /* an image without tokens */
    { 4, 1, { { 1, 2, 6 } }, { 5, IMG, IMG, 6 }, "requires 3 image tokens, but has 2" },   /* too few                */
    { 3, 1, { { 1, 2, 6 } }, { 5, IMG, IMG }, "requires 3 image tokens, but has 2" },                  /* cut at the end         */
    { 5, 1, { { 1, 2, 4 } }, { 5, IMG, IMG, IMG, 6 }, "more than 1 images" },         /* too many               */
    { 6, 1, { { 1, 4, 4 } }, { IMG, IMG, 5, IMG, IMG, 6 }, "requires 4 image tokens, but has 2" }, /* a gap in the run   */
    { 5, 2, { { 1, 2, 4 }, { 1, 2, 4 } }, { IMG, IMG, 5, IMG, 6 }, "image 2 requires 2 image tokens, but has 1" },
    { 4, 2, { { 1, 2, 4 }, { 1, 2, 4 } }, { 5, IMG, IMG, 6 }, "2 images were given, but the prompt has room for 1" },
};

static void test_misfits(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof misfits / sizeof *misfits; i++) {
        const misfit *m = &misfits[i];
        prompt p;
        tenebra_error error = { 0 };
        assert_int_equal(lay(&p, m->ids, m->count, m->grids, m->grid_count, &error), TENEBRA_ERROR_MISMATCH);
        assert_error(&error, TENEBRA_ERROR_MISMATCH, "prompt", m->words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_misfits),
    };
    return cmocka_run_group_tests(tests, open_config, NULL);
}
