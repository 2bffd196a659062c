/* Gradients of pictures that are tokens, and of pictures that add rows after decoder layers: the toys of tests/toys, through the rows that
 * refer to their pictures, some of them fed again, and through logits of which some are ruled out. */
#include "check.h"
#include "small_decoder.h"

#include "toys/codes.h"
#include "toys/deep.h"

enum { ROWS = 12, CELLS = 3, TURN = 4 /* rows before a further turn, which shows the second picture */ };

/* The tower of a toy; its slots lead to parameters, or to constants. */
static tn_network *tower;
static tn_model_config config;

static int open_tower(const tn_image_encoder *encoder, const char *part)
{
    json_t *json = json_loads(part, 0, NULL);
    tenebra_code code = encoder->read_config(json, "config.json", &config, NULL);
    json_decref(json);
    tower = calloc(1, encoder->layout->bytes);
    if (code != TENEBRA_OK || tower == NULL)
        return -1;
    tower->layout = encoder->layout;
    memcpy(tower->sizes, config.vision.sizes, sizeof tower->sizes);
    return tn_network_open(tower, NULL) == TENEBRA_OK ? 0 : -1;
}

static int close_tower(void **state)
{
    (void)state;
    tn_network_close(tower);
    free(tower);
    free(config.vision.ids);
    return 0;
}

static int open_deep(void **state)
{
    (void)state;
    config = (tn_model_config){ .decoder.hidden_size = HIDDEN };
    return open_tower(&deep_encoder, "{\"width\": 10, \"inner\": 5, \"piece\": 1, \"shown\": 4}");
}

static int open_codes(void **state)
{
    static const int32_t ids[] = { 9, 2, 7, 4 };
    (void)state;
    config = (tn_model_config){ .decoder.hidden_size = HIDDEN, .vision = { .ids = malloc(sizeof ids), .code_count = 4 } };
    if (config.vision.ids == NULL)
        return -1;
    memcpy(config.vision.ids, ids, sizeof ids);
    return open_tower(&codes_encoder, "{\"width\": 3, \"side\": 1}");
}

/* ------------------------------------------------------------- the graph -- */

/* Two pictures, of two cells and of one. */
static void see(gradient_case *c, constants *all, const tn_image_encoder *encoder, tn_image_rows pictures[2])
{
    bool deep = encoder == &deep_encoder;
    size_t squares = deep ? 4 : 1;
    const tn_prepared first = { 2 * squares, 3, { 1, 2, 2 * squares / 2 }, 0, constant(all, 2 * squares * 3, 0, 1) };
    const tn_prepared second = { squares, 3, { 1, 1, squares }, 0, constant(all, squares * 3, 0, 1) };
    const tn_prepared *const prepared[] = { &first, &second };
    const tn_encoded made = encoder->encode(&c->ops, tower, prepared, 2);
    int32_t *ids = tn_arena_take(&c->work, CELLS, sizeof *ids);
    assert_non_null(ids);
    for (size_t i = 0; made.codes != NULL && i < CELLS; i++)
        ids[i] = config.vision.ids[made.codes[i]];
    for (size_t p = 0, at = 0; p < 2; at += pictures[p++].rows) {
        pictures[p] = (tn_image_rows){ .rows = 2 - p, .frames = 1, .grid_rows = 1, .grid_columns = 2 - p, .deep_count = config.vision.deep };
        pictures[p].ids = made.codes != NULL ? ids + at : NULL;
        if (deep)
            pictures[p].embeds = tn_op_rows(&c->ops, made.embeds, at, pictures[p].rows);
        for (size_t d = 0; d < config.vision.deep; d++)
            pictures[p].deep[d] = tn_op_rows(&c->ops, made.deep[d], at, pictures[p].rows);
    }
}

/* Text, both pictures, and cells of them once more. Variant 1: gradient checkpointing; 2: in two spans, as a dialogue. */
static tn_tensor build(gradient_case *c, const tn_image_encoder *encoder)
{
    static const int32_t labels[ROWS] = { -1, 5, -1, -1, 3, -1, 8, -1, 0, 3, -1, 6 };
    constants all = { tn_rng_seed(13), c };
    tn_image_rows *pictures = tn_arena_take(&c->work, 2, sizeof *pictures);
    tn_decoder *decoder = tn_arena_take(&c->work, 1, sizeof *decoder);
    tn_keys *keys = tn_arena_take(&c->work, LAYERS, sizeof *keys);
    assert_true(pictures != NULL && decoder != NULL && keys != NULL);
    make_decoder(c, &all, &deep_layout, encoder == &deep_encoder, config.vision.ids, config.vision.code_count, decoder);
    if (encoder == &deep_encoder)
        tn_network_each(tower, fill_parameter, &(filler){ c, 1, false }, NULL);
    else
        tn_network_each(tower, fill_fixed, &all, NULL);
    see(c, &all, encoder, pictures);
    for (size_t l = 0; l < LAYERS; l++)
        keys[l] = cache(c, ROWS, HEADS * DIM);
    tn_row rows[ROWS] = { tn_row_of_token(1), tn_row_of_cell(&pictures[0], 0), tn_row_of_cell(&pictures[0], 1), tn_row_of_token(5),
                          tn_row_of_token(5), tn_row_of_cell(&pictures[1], 0), tn_row_of_token(8), tn_row_of_cell(&pictures[0], 1),
                          tn_row_of_cell(&pictures[1], 0), tn_row_of_token(0), tn_row_of_token(3), tn_row_of_token(10) };
    for (int32_t i = 0; i < ROWS; i++)
        rows[i].position = (tn_position){ { i, i, i } };
    c->ops.checkpoint = c->variant & 1;
    size_t first = c->variant & 2 ? TURN : ROWS;
    const tn_decoder_part part = { first, 0, keys, NULL }, rest = { ROWS - first, first, keys, NULL };
    tn_tensor x = tn_rows_run(&c->ops, decoder, rows, first, &part, 1);
    if (first < ROWS)
        x = tn_op_join(&c->ops, (const tn_tensor[]){ x, tn_rows_run(&c->ops, decoder, rows + first, ROWS - first, &rest, 1) }, 2);
    return tn_op_cross_entropy(&c->ops, tn_decoder_logits(&c->ops, decoder, tn_decoder_norm(&c->ops, decoder, x)), labels, 0.25);
}

static tn_tensor build_deep(gradient_case *c)
{
    return build(c, &deep_encoder);
}

static tn_tensor build_codes(gradient_case *c)
{
    return build(c, &codes_encoder);
}

static void open_case(gradient_case *c, uint64_t seed, bool deep)
{
    case_open(c, seed);
    add(c, VOCABULARY, HIDDEN, 0, 2);
    if (deep)
        tn_network_each(tower, fill_parameter, &(filler){ c, 1, true }, NULL);
}

static void rows_after_layers_are_right(void **state)
{
    (void)state;
    for (uint64_t variant = 0; variant < 4; variant++) {
        gradient_case c;
        open_case(&c, 3 + variant % 2, true);
        c.variant = variant;
        check(&c, build_deep);
        case_close(&c);
    }
}

/* The table's rows of the codes get their gradient from cells alone: they are ruled out as logits, and no token of the text. */
static void pictures_as_tokens_are_right(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 3; seed++) {
        gradient_case c;
        open_case(&c, seed, false);
        c.variant = seed & 2;
        record(&c, build_codes);
        double codes = 0;
        for (size_t i = 0; i < config.vision.code_count * HIDDEN; i++)
            codes += fabs(c.parameters[0].grad[(size_t)config.vision.ids[i / HIDDEN] * HIDDEN + i % HIDDEN]);
        assert_true(codes > 1e-3);
        check(&c, build_codes);
        case_close(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_after_layers_are_right, open_deep, close_tower),
        cmocka_unit_test_setup_teardown(pictures_as_tokens_are_right, open_codes, close_tower),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
