/* Rounds of many sequences, with models of the program and with the toys, whose pictures are tokens or add rows after layers: whatever
 * runs together (pieces of prompts, decoded tokens, latent blocks, injected rows), and in whatever pieces, every row, tap and logit has
 * the same bits as if its sequence ran alone, with every kernel set. */
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
extern const tn_backbone tn_backbone_qwen2_vl;
const tn_backbone *const tn_backbones[] = { &tn_backbone_qwen2_vl, &codes_backbone, &deep_backbone, NULL };
const tn_shape tn_shapes[] = {
    { "toy-codes", (const unsigned char *)codes_shape, sizeof codes_shape - 1 },
    { "toy-deep", (const unsigned char *)deep_shape, sizeof deep_shape - 1 },
    { NULL, NULL, 0 },
};

enum { SEQUENCES_MAX = 32, ROWS_MAX = 48, BLOCK = 5, MIXES = 12 };

/* One sequence: its rows, their results when it runs alone, and its position in the mix. */
typedef struct line {
    tn_sequence sequence;
    tn_row rows[ROWS_MAX];
    size_t count;
    tn_real *raw;    /* [count, C] alone                                */
    tn_real *logits; /* [V] of the last row, alone                      */
    tn_real mean[ROWS_MAX]; /* attention of the last row to all rows, alone */
    size_t keys[ROWS_MAX];
} line;

/* Tokens, a run of cells of an image, and vectors, as in a latent block. */
static void make_rows(line *l, const tn_image_rows *picture, tn_tensor vectors, tn_rng *rng)
{
    l->count = 2 + (size_t)tn_rng_below(rng, ROWS_MAX - 1);
    size_t cells = 0;
    for (size_t i = 0; i < l->count; i++) {
        uint64_t kind = tn_rng_below(rng, 8);
        bool cell = cells > 0 ? cells < picture->rows : kind == 0;
        l->rows[i] = cell        ? tn_row_of_cell(picture, cells)
                     : kind <= 2 ? tn_row_of_vector(vectors, (size_t)tn_rng_below(rng, vectors.rows))
                                 : tn_row_of_token((int32_t)tn_rng_below(rng, 256));
        cells = cell ? cells + 1 : 0;
        l->rows[i].position = (tn_position){ { (int32_t)i, (int32_t)i, (int32_t)i } };
        l->keys[i] = i;
    }
}

static void run_alone(line *l, tn_engine *engine)
{
    size_t cols = engine->model->config.decoder.hidden_size, mark = tn_ops_mark(&engine->ops);
    const tn_span_tap tap = { .query = l->count - 1, .keys = l->keys, .count = l->count, .mean = l->mean };
    tn_span span = { .sequence = &l->sequence, .rows = l->rows, .count = l->count, .tap = &tap, .logits = l->logits, .wants_rows = true };
    assert_int_equal(tn_engine_run(engine, &span, 1, NULL), TENEBRA_OK);
    memcpy(l->raw, span.out.source.data + span.out.row * cols, l->count * cols * sizeof *l->raw);
    tn_ops_release(&engine->ops, mark);
    tn_sequence_forget(&l->sequence);
}

/* The next piece of a sequence: a token, a block, or a longer piece. */
static size_t next_piece(const line *l, tn_rng *rng)
{
    static const size_t sizes[] = { 1, 1, BLOCK, 17 };
    size_t wanted = sizes[tn_rng_below(rng, 4)];
    return tn_min(wanted, l->count - l->sequence.length);
}

/* Runs one round of some of the sequences. Returns the number of rows that differ from those of the sequence alone. */
static size_t run_mixed(line *lines, size_t count, tn_engine *engine, tn_rng *rng, tn_real *logits)
{
    size_t cols = engine->model->config.decoder.hidden_size, vocabulary = engine->model->decoder.head.matrix.rows;
    tn_span spans[SEQUENCES_MAX];
    tn_span_tap taps[SEQUENCES_MAX];
    tn_real means[SEQUENCES_MAX][ROWS_MAX];
    line *of[SEQUENCES_MAX];
    size_t active = 0, wrong = 0, mark = tn_ops_mark(&engine->ops);
    for (size_t i = 0; i < count; i++) {
        line *l = &lines[i];
        size_t rows = next_piece(l, rng);
        if (rows == 0 || tn_rng_below(rng, 3) == 0)
            continue;
        bool last = l->sequence.length + rows == l->count;
        taps[active] = (tn_span_tap){ .query = rows - 1, .keys = l->keys, .count = l->count, .mean = means[active] };
        spans[active] = (tn_span){ .sequence = &l->sequence, .rows = l->rows + l->sequence.length, .count = rows,
                                   .tap = last ? &taps[active] : NULL, .logits = last ? logits + active * vocabulary : NULL,
                                   .wants_rows = true };
        of[active++] = l;
    }
    if (active == 0)
        return 0;
    assert_int_equal(tn_engine_run(engine, spans, active, NULL), TENEBRA_OK);
    for (size_t s = 0; s < active; s++) {
        const tn_real *got = spans[s].out.source.data + spans[s].out.row * cols;
        const tn_real *expected = of[s]->raw + (of[s]->sequence.length - spans[s].count) * cols;
        for (size_t row = 0; row < spans[s].count; row++)
            wrong += memcmp(got + row * cols, expected + row * cols, cols * sizeof *got) != 0;
        if (spans[s].logits != NULL)
            wrong += memcmp(spans[s].logits, of[s]->logits, vocabulary * sizeof *logits) != 0 ||
                     memcmp(means[s], of[s]->mean, of[s]->count * sizeof *means[s]) != 0;
    }
    tn_ops_release(&engine->ops, mark);
    return wrong;
}

static bool all_done(const line *lines, size_t count)
{
    bool done = true;
    for (size_t i = 0; i < count; i++)
        done = done && lines[i].sequence.length == lines[i].count;
    return done;
}

static size_t run_all(line *lines, size_t count, tn_engine *engine, tn_rng *rng, tn_real *logits)
{
    size_t wrong = 0;
    while (!all_done(lines, count))
        wrong += run_mixed(lines, count, engine, rng, logits);
    return wrong;
}

/* A picture of random pixels, encoded. */
static tn_image_rows show(tn_session *session, uint64_t seed)
{
    const tn_model *model = session->model;
    const tn_image_encoder *encoder = model->backbone->encoder;
    static const tenebra_image_rule nothing = { 0 };
    tn_rng rng = tn_rng_seed(seed);
    tn_image image, seen;
    tn_fit fit;
    tn_prepared prepared;
    assert_int_equal(tn_image_new(&image, 160, 110, 3, NULL), TENEBRA_OK);
    for (size_t i = 0; i < 160 * 110 * 3; i++)
        image.pixels[i] = (unsigned char)tn_rng_below(&rng, 256);
    assert_int_equal(encoder->fit(model->rule, 160, 110, &nothing, &fit, NULL), TENEBRA_OK);
    assert_int_equal(tn_fit_apply(&fit, &image, &seen, NULL), TENEBRA_OK);
    tn_image_rows picture = tn_model_measure(model, seen.width, seen.height);
    assert_int_equal(encoder->prepare(model->rule, &seen, &prepared, NULL), TENEBRA_OK);
    const tn_prepared *from = &prepared;
    tn_image_rows *to = &picture;
    assert_int_equal(tn_engine_encode(session->engine, &from, &to, 1, &session->kept, NULL), TENEBRA_OK);
    assert_true(tn_picture_is_encoded(&picture) && picture.rows > 5);
    tn_prepared_free(&prepared);
    tn_image_free(&image);
    tn_image_free(&seen);
    return picture;
}

static void check_mix(const tn_model *model, size_t count, uint64_t seed)
{
    tn_rng rng = tn_rng_seed(seed);
    size_t cols = model->config.decoder.hidden_size, vocabulary = model->decoder.head.matrix.rows;
    tn_session *session = open_session(model, 64, 3);
    tn_engine *engine = session->engine;
    tn_image_rows picture = show(session, seed);
    tn_real values[7 * 512];
    assert_true(cols <= 512);
    for (size_t i = 0; i < 7 * cols; i++)
        values[i] = (tn_real)tn_rng_normal(&rng);
    tn_real *logits = calloc(SEQUENCES_MAX * vocabulary, sizeof *logits);
    line *lines = calloc(count, sizeof *lines);
    assert_true(logits != NULL && lines != NULL);
    for (size_t i = 0; i < count; i++) {
        make_rows(&lines[i], &picture, (tn_tensor){ 7, cols, values, NULL }, &rng);
        lines[i].raw = calloc(lines[i].count * cols, sizeof(tn_real));
        lines[i].logits = calloc(vocabulary, sizeof(tn_real));
        assert_true(lines[i].raw != NULL && lines[i].logits != NULL);
        assert_int_equal(tn_sequence_open(&lines[i].sequence, &model->config.decoder, ROWS_MAX, TN_F32, NULL), TENEBRA_OK);
        run_alone(&lines[i], engine);
    }
    size_t wrong = run_all(lines, count, engine, &rng, logits);
    if (wrong > 0)
        print_error("%s: %zu sequences, seed %zu: %zu rows differ\n", model->kernels->name, count, (size_t)seed, wrong);
    assert_int_equal(wrong, 0);
    /* Negative control: another first row changes every row of its sequence that sees it, and no other. */
    for (size_t i = 0; i < count; i++)
        tn_sequence_forget(&lines[i].sequence);
    lines[0].rows[0] = tn_row_of_token(lines[0].rows[0].token == 7 ? 8 : 7);
    wrong = run_all(lines, count, engine, &rng, logits);
    assert_true(wrong > 0 && wrong <= lines[0].count + 1);
    for (size_t i = 0; i < count; i++) {
        tn_sequence_close(&lines[i].sequence);
        free(lines[i].raw);
        free(lines[i].logits);
    }
    free(lines);
    free(logits);
    tn_session_close(session);
}

static void test_rounds(void **state)
{
    (void)state;
    for (size_t i = 0; tn_kernels_at(i) != NULL; i++) {
        if (!is_steady(tn_kernels_at(i)))
            continue;
        tn_model *model = open_model(UNTIED, tn_kernels_at(i)->name);
        for (size_t mix = 0; mix < MIXES; mix++) /* 1 to 32 sequences */
            check_mix(model, 1 + mix * (SEQUENCES_MAX - 1) / (MIXES - 1), 100 * i + mix + 1);
        tn_model_close(model);
    }
}

static void test_rounds_of_toys(void **state)
{
    (void)state;
    for (const tn_shape *shape = tn_shapes; shape->name != NULL; shape++) {
        char *directory = make_directory(), path[1024];
        snprintf(path, sizeof path, "%s/model", directory);
        const tn_random_options options = { .shape = shape->name, .seed = 5, .type = TN_F32 };
        assert_int_equal(tn_random_model_write(path, &options, NULL), TENEBRA_OK);
        for (size_t i = 0; tn_kernels_at(i) != NULL; i++) {
            if (!is_steady(tn_kernels_at(i)))
                continue;
            tn_model *model = open_model(path, tn_kernels_at(i)->name);
            for (size_t mix = 0; mix < MIXES; mix += 3)
                check_mix(model, 1 + mix * (SEQUENCES_MAX - 1) / (MIXES - 1), 1000 + 100 * i + mix);
            tn_model_close(model);
        }
        remove_directory(strdup(path));
        remove_directory(directory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rounds), cmocka_unit_test(test_rounds_of_toys) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
