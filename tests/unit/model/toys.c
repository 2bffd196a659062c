/* What pictures of the toys of tests/toys give the decoder: rows that are added after layers, each to the row of its cell, whether it
 * stands in the prompt or is fed again; and tokens of the vocabulary, as if a text had them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/random.h"
#include "toys/codes.h"
#include "toys/deep.h"
#include "unit/model/models.h"

/* In the place of the lists that the build makes. */
const tn_backbone *const tn_backbones[] = { &codes_backbone, &deep_backbone, NULL };
const tn_shape tn_shapes[] = {
    { "toy-codes", (const unsigned char *)codes_shape, sizeof codes_shape - 1 },
    { "toy-deep", (const unsigned char *)deep_shape, sizeof deep_shape - 1 },
    { NULL, NULL, 0 },
};

enum { ROWS = 24, CELLS_MAX = 16, C = 32, LAYERS = 3 };

typedef struct place {
    char *directory, path[1024];
    tn_model *model;
    tn_session *session;
    tn_image_rows picture;
    tn_real inputs[LAYERS][ROWS * C]; /* of the layers */
} place;

static void watch_layers(void *user, const char *name, size_t index, const tn_tensor *value)
{
    place *p = user;
    if (strcmp(name, "decoder.layer") == 0 && value->rows == ROWS)
        assert_true(tn_op_read(&p->session->engine->ops, *value, p->inputs[index]));
}

static void open_place(place *p, const char *shape)
{
    p->directory = make_directory();
    snprintf(p->path, sizeof p->path, "%s/model", p->directory);
    const tn_random_options options = { .shape = shape, .seed = 5, .type = TN_F32 };
    assert_int_equal(tn_random_model_write(p->path, &options, NULL), TENEBRA_OK);
    p->model = open_model(p->path, "reference");
    p->session = open_session(p->model, 64, 1);
    tn_rng rng = tn_rng_seed(2);
    tn_image image;
    tn_prepared prepared;
    size_t side = strcmp(shape, "toy-deep") == 0 ? 36 : 24;
    assert_int_equal(tn_image_new(&image, side, side, 3, NULL), TENEBRA_OK);
    for (size_t i = 0; i < side * side * 3; i++)
        image.pixels[i] = (unsigned char)tn_rng_below(&rng, 256);
    p->picture = tn_model_measure(p->model, side, side);
    assert_int_equal(p->picture.rows, 9);
    assert_int_equal(p->model->backbone->encoder->prepare(p->model->rule, &image, &prepared, NULL), TENEBRA_OK);
    const tn_prepared *from = &prepared;
    tn_image_rows *to = &p->picture;
    assert_int_equal(tn_engine_encode(p->session->engine, &from, &to, 1, &p->session->kept, NULL), TENEBRA_OK);
    tn_prepared_free(&prepared);
    tn_image_free(&image);
}

static void close_place(place *p)
{
    tn_session_close(p->session);
    tn_model_close(p->model);
    remove_directory(strdup(p->path));
    remove_directory(p->directory);
}

/* Text, the whole picture, text, and three cells once more. */
static void make_prompt(const place *p, tn_row rows[ROWS], size_t cells[ROWS])
{
    static const size_t again[] = { 7, 2, 2 };
    for (size_t i = 0; i < ROWS; i++) {
        cells[i] = i >= 3 && i < 3 + p->picture.rows ? i - 3 : i >= 18 && i < 21 ? again[i - 18] : SIZE_MAX;
        rows[i] = cells[i] != SIZE_MAX ? tn_row_of_cell(&p->picture, cells[i]) : tn_row_of_token((int32_t)(3 * i + 1));
        rows[i].position = (tn_position){ { (int32_t)i, (int32_t)i, (int32_t)i } };
    }
}

static void run(place *p, const tn_row *rows)
{
    tn_sequence_forget(&p->session->sequence);
    p->session->engine->ops.watch = watch_layers;
    p->session->engine->ops.watch_user = p;
    assert_int_equal(tn_session_append(p->session, rows, ROWS, NULL, NULL, NULL), TENEBRA_OK);
    p->session->engine->ops.watch = NULL;
}

/* Beside the same vectors without a picture, the second layer gets exactly the sum. */
static void test_rows_after_layers(void **state)
{
    (void)state;
    place *p = calloc(1, sizeof *p);
    tn_row rows[ROWS], bare[ROWS];
    size_t cells[ROWS];
    tn_real with[2][ROWS * C], deep[9 * C];
    open_place(p, "toy-deep");
    assert_int_equal(p->picture.deep_count, 2);
    make_prompt(p, rows, cells);
    run(p, rows);
    memcpy(with, p->inputs, sizeof with);
    for (size_t i = 0; i < ROWS; i++) {
        bare[i] = cells[i] != SIZE_MAX ? tn_row_of_vector(p->picture.embeds, cells[i]) : rows[i];
        bare[i].position = rows[i].position;
    }
    run(p, bare);
    assert_memory_equal(with[0], p->inputs[0], sizeof with[0]);
    assert_true(tn_op_read(&p->session->engine->ops, p->picture.deep[0], deep));
    for (size_t i = 0; i < ROWS; i++)
        for (size_t k = 0; k < C; k++) {
            tn_real added = cells[i] != SIZE_MAX ? deep[cells[i] * C + k] : 0;
            assert_true(with[1][i * C + k] == p->inputs[1][i * C + k] + added);
        }
    /* The control: cells are told apart, and both layers add something of their own. */
    assert_memory_not_equal(deep, deep + C, C * sizeof *deep);
    tn_real second[9 * C];
    assert_true(tn_op_read(&p->session->engine->ops, p->picture.deep[1], second));
    assert_memory_not_equal(deep, second, sizeof second);
    close_place(p);
    free(p);
}

/* The same ids as text give the same numbers; with other codes they do not. */
static void test_pictures_as_tokens(void **state)
{
    (void)state;
    place *p = calloc(1, sizeof *p);
    tn_row rows[ROWS], text[ROWS];
    size_t cells[ROWS], different = 0;
    tn_real with[LAYERS][ROWS * C];
    open_place(p, "toy-codes");
    const tn_encoder_config *vision = &p->model->config.vision;
    assert_true(tn_tensor_is_empty(p->picture.embeds) && p->picture.ids != NULL);
    make_prompt(p, rows, cells);
    run(p, rows);
    memcpy(with, p->inputs, sizeof with);
    for (size_t i = 0; i < ROWS; i++) {
        text[i] = cells[i] != SIZE_MAX ? tn_row_of_token(p->picture.ids[cells[i]]) : rows[i];
        text[i].position = rows[i].position;
        different += cells[i] != SIZE_MAX && p->picture.ids[cells[i]] != p->picture.ids[0];
    }
    assert_true(different > 0);
    run(p, text);
    assert_memory_equal(with, p->inputs, sizeof with);
    text[3].token = text[3].token == vision->ids[0] ? vision->ids[1] : vision->ids[0];
    run(p, text);
    assert_memory_not_equal(with, p->inputs, sizeof with);
    close_place(p);
    free(p);
}

typedef struct changing {
    place *p;
    const tn_row *rows;
    size_t count;
} changing;

/* A change of a norm's scale or shift, or of a bias, changes what the last layer reads. */
static tenebra_code change(void *user, const tn_place *at, tenebra_error *error)
{
    changing *c = user;
    static tn_real before[ROWS * C];
    (void)error;
    if (tn_place_is_matrix(at) || at->network->layout->kind != TN_NETWORK_DECODER || at->row->last || at->number + 1 == LAYERS)
        return TENEBRA_OK;
    tn_real *values = (tn_real *)(uintptr_t)tn_vector_values(at->slot);
    run(c->p, c->rows);
    memcpy(before, c->p->inputs[LAYERS - 1], sizeof before);
    for (size_t i = 0; i < at->cols; i += 5) { /* of every head */
        values[i] += 1;
        run(c->p, c->rows);
        if (memcmp(before, c->p->inputs[LAYERS - 1], sizeof before) == 0)
            fail_msg("value %zu of %s does not count", i, at->name);
        values[i] -= 1;
        c->count++;
    }
    return TENEBRA_OK;
}

static void test_every_vector_counts(void **state)
{
    (void)state;
    for (const tn_shape *shape = tn_shapes; shape->name != NULL; shape++) {
        place *p = calloc(1, sizeof *p);
        tn_row rows[ROWS];
        size_t cells[ROWS];
        open_place(p, shape->name);
        make_prompt(p, rows, cells);
        changing c = { p, rows, 0 };
        assert_int_equal(tn_networks_each(&p->model->networks, change, &c, NULL), TENEBRA_OK);
        assert_true(c.count > 2 * 2 * (LAYERS - 1));
        close_place(p);
        free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows_after_layers), cmocka_unit_test(test_pictures_as_tokens),
                                         cmocka_unit_test(test_every_vector_counts) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
