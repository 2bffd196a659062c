/* LaRe in answering: what it is equal to when parts of it are off, what its steps read, and that the cached loop computes what a
 * recomputation does. The module is new, with small random weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reason/latent.h"
#include "reason/modules.h"
#include "unit/reason/tiny.h"

enum { CELLS = 16 };

static tn_model *with_module(const tiny *here, uint64_t seed, const tenebra_setting *more, size_t count)
{
    tenebra_setting settings[4] = { { "lq-width", "32" } };
    tenebra_error error = { 0 };
    tn_model *model = tiny_open_model(here, "reference");
    for (size_t i = 0; i < count; i++)
        settings[i + 1] = more[i];
    if (tn_modules_train(model, tn_method_find("lare"), settings, count + 1, seed, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return model;
}

static void ask_lare(question *q, const char *steps, const char *picks)
{
    ask_about(q, "lare", PICTURE, NULL, "What is small and green?");
    ask_set(q, "n-latent", steps);
    ask_set(q, "k-select", picks);
}

static bool same(const run *a, const run *b)
{
    return same_tokens(a->trace, b->trace) && same_hidden(a, b) && same_steps(a->trace, b->trace);
}

/* T1: no steps, no marks. */
static void test_no_steps_is_plain(void **state)
{
    tn_model *model = with_module(*state, 1, NULL, 0);
    question q, plain;
    ask_lare(&q, "0", "4");
    ask_about(&plain, "direct", PICTURE, NULL, "What is small and green?");
    plain.request.positions = "sequential";
    run *none = run_question(model, &q), *wanted = run_question(model, &plain);
    assert_true(same(none, wanted));
    assert_int_equal(none->trace->positions_computed, wanted->trace->positions_computed);
    ask_lare(&q, "1", "4");
    run *one = run_question(model, &q);
    assert_false(same_hidden(one, wanted));
    assert_int_equal(one->trace->positions_computed, wanted->trace->positions_computed + 3); /* the marks and the thought */
    assert_int_equal(one->trace->injected_tokens, 0);
    run_free(none);
    run_free(wanted);
    run_free(one);
    tn_model_close(model);
}

/* T2: without the LQ-Former and without the scale, a step feeds the last hidden state, as Coconut's does, whatever the weights are. */
static void test_off_is_coconut(void **state)
{
    tn_model *model = with_module(*state, 1, NULL, 0), *other = with_module(*state, 2, NULL, 0);
    tn_method loop = *tn_method_find("lare");
    question q;
    loop.latent_step = tn_latent_step;
    ask_lare(&q, "3", "4");
    run *full = run_question(model, &q), *full_other = run_question(other, &q);
    assert_false(same_hidden(full, full_other));
    ask_set(&q, "refine", "no");
    ask_set(&q, "rescale", "no");
    run *off = run_question(model, &q), *off_other = run_question(other, &q);
    assert_true(same(off, off_other));
    ask_set(&q, "latent-picks", "none");
    run *coconut = run_method(model, 1, &q, &loop);
    assert_true(same_tokens(off->trace, coconut->trace) && same_hidden(off, coconut));
    assert_false(same_hidden(off, full));
    for (size_t s = 0; s < 3; s++)
        assert_true(off->trace->steps[s].pick_count == 4 && coconut->trace->steps[s].hidden_norm == off->trace->steps[s].hidden_norm);
    run_free(full);
    run_free(full_other);
    run_free(off);
    run_free(off_other);
    run_free(coconut);
    tn_model_close(model);
    tn_model_close(other);
}

/* T3: as many picks as there are embeddings select nothing: the same as reading all, or as reading the lowest. */
static void test_all_picks(void **state)
{
    tn_model *model = with_module(*state, 1, NULL, 0);
    question q;
    ask_lare(&q, "2", "16");
    run *top = run_question(model, &q);
    for (size_t s = 0; s < 2; s++)
        for (size_t i = 0; i < CELLS; i++)
            assert_int_equal(top->trace->steps[s].picks[i].index, i);
    ask_lare(&q, "2", "40");
    run *more = run_question(model, &q);
    assert_true(same_tokens(top->trace, more->trace) && same_hidden(top, more));
    ask_set(&q, "latent-picks", "all");
    run *all = run_question(model, &q);
    assert_true(same_tokens(top->trace, all->trace) && same_hidden(top, all));
    assert_int_equal(all->trace->steps[0].pick_count, 0);
    ask_lare(&q, "2", "4");
    run *few = run_question(model, &q);
    assert_false(same_hidden(top, few));
    ask_set(&q, "latent-picks", "none");
    run *none = run_question(model, &q);
    assert_false(same_hidden(none, few));
    run_free(top);
    run_free(more);
    run_free(all);
    run_free(few);
    run_free(none);
    tn_model_close(model);
}

/* T5: the rows of an answer, run once more in one span, give the same last state. */
static void test_cache_agrees(void **state)
{
    tn_model *model = with_module(*state, 1, NULL, 0);
    question q;
    ask_lare(&q, "4", "4");
    run *made = run_question(model, &q);
    tn_session *again = replay(made, made->session->sequence.length, NULL);
    assert_memory_equal(tn_session_hidden(again).data, tn_session_hidden(made->session).data,
                        tn_session_hidden(again).cols * sizeof(tn_real));
    q.request.recompute = true;
    run *recomputed = run_question(model, &q);
    assert_true(same(made, recomputed));
    assert_true(recomputed->trace->positions_computed > made->trace->positions_computed);
    tn_session_close(again);
    run_free(made);
    run_free(recomputed);
    tn_model_close(model);
}

/* One layer, all of whose heads are alike: a row asks for `strength` times the projection of another one's norm to `direction`, in a pair
 * of the slowest turn, whose angles are nearly 0. */
typedef struct one_head {
    tn_real *q, *k, *bias, *zeros;
} one_head;

static one_head make_one_head(tn_model *model, const double *direction, double strength)
{
    const tn_decoder_config *d = &model->config.decoder;
    size_t cols = d->hidden_size, dim = d->head_dim, rows = d->num_attention_heads * dim, pair = dim / 2 - 1;
    one_head made = { calloc(rows * cols, sizeof *made.q), calloc(rows * cols, sizeof *made.k), calloc(rows, sizeof *made.bias),
                      calloc(rows, sizeof *made.zeros) };
    assert_true(made.q != NULL && made.k != NULL && made.bias != NULL && made.zeros != NULL);
    for (size_t h = 0; h < d->num_attention_heads; h++)
        made.bias[h * dim + pair] = (tn_real)strength;
    for (size_t h = 0; h < d->num_key_value_heads; h++)
        for (size_t c = 0; c < cols; c++)
            made.k[(h * dim + pair) * cols + c] = (tn_real)direction[c];
    tn_decoder_layer *layer = &model->decoder.layers[0];
    layer->q = (tn_weight){ { TN_F32, rows, cols, made.q, TN_ROWS }, NULL, NULL };
    layer->k = (tn_weight){ { TN_F32, d->num_key_value_heads * dim, cols, made.k, TN_ROWS }, NULL, NULL };
    layer->q_bias = (tn_vector){ rows, made.bias, NULL };
    layer->k_bias = (tn_vector){ d->num_key_value_heads * dim, made.zeros, NULL };
    model->config.decoder.num_hidden_layers = model->decoder.config.num_hidden_layers = 1;
    return made;
}

static void free_one_head(const one_head *made)
{
    free(made->q);
    free(made->k);
    free(made->bias);
    free(made->zeros);
}

/* The softmax over the rows up to `last`, at the cells of the image. */
static void softmax_row(const run *made, const double *direction, double strength, size_t last, double *shares)
{
    const tn_model *model = made->session->model;
    tn_ops *ops = &made->session->engine->ops;
    size_t cols = model->config.decoder.hidden_size, mark = tn_ops_mark(ops);
    const tn_tensor x = tn_rows_input(ops, &model->decoder, made->reasoner.span.rows, last + 1);
    const tn_real *scale = tn_vector_values(&model->decoder.layers[0].input_norm);
    double *logits = calloc(last + 1, sizeof *logits), total = 0;
    assert_true(logits != NULL && x.data != NULL && scale != NULL);
    for (size_t i = 0; i <= last; i++) {
        double square = 0;
        for (size_t c = 0; c < cols; c++) {
            square += (double)x.data[i * cols + c] * (double)x.data[i * cols + c] / (double)cols;
            logits[i] += (double)x.data[i * cols + c] * (double)scale[c] * direction[c];
        }
        logits[i] = exp(strength * logits[i] / sqrt(square + model->config.decoder.rms_norm_eps) / sqrt((double)model->config.decoder.head_dim));
        total += logits[i];
    }
    for (size_t i = 0; i < CELLS; i++)
        shares[i] = logits[made->reasoner.conversation.candidates[i].row] / total;
    free(logits);
    tn_ops_release(ops, mark);
}

/* T4: the scores of a step are the softmax of the last row, of whose shares the image has less than all; equal scores: the first ones. */
static void test_scores_are_attention(void **state)
{
    tn_model *model = with_module(*state, 1, NULL, 0);
    question q;
    double direction[256], none[256] = { 0 }, shares[CELLS];
    tn_rng rng = tn_rng_seed(9);
    size_t cols = model->config.decoder.hidden_size;
    assert_true(cols <= 256);
    for (size_t c = 0; c < cols; c++)
        direction[c] = tn_rng_normal(&rng);
    ask_lare(&q, "3", "4");
    q.request.scores = true;
    for (size_t flat = 0; flat < 2; flat++) {
        const one_head made_of = make_one_head(model, flat ? none : direction, 1);
        run *made = run_question(model, &q);
        assert_int_equal(made->trace->step_count, 3);
        for (size_t s = 0; s < 3; s++) {
            const tenebra_step *step = &made->trace->steps[s];
            double sum = 0, spread = 0;
            softmax_row(made, flat ? none : direction, 1, made->trace->prompt_tokens + s, shares);
            for (size_t i = 0; i < CELLS; i++) {
                assert_true(within((double)step->scores[i], shares[i], 1e-5 * shares[i]));
                sum += (double)step->scores[i];
                spread = fmax(spread, fabs(shares[i] - shares[0]) / shares[0]);
            }
            assert_true(sum > 0 && sum < 1);
            assert_true(flat ? spread == 0 : spread > 0.1);
            for (size_t i = 0; flat && i < 4; i++)
                assert_int_equal(step->picks[i].index, i);
        }
        run_free(made);
        free_one_head(&made_of);
    }
    model->config.decoder.num_hidden_layers = model->decoder.config.num_hidden_layers = 4; /* for closing */
    tn_model_close(model);
}

/* The parts of a step, each of which changes the result. */
static void test_parts_count(void **state)
{
    static const char *const others[][2] = { { "gate", "half" }, { "gate", "vision" }, { "gate", "text" }, { "refine", "no" },
                                             { "rescale", "no" }, { "latent-picks", "random" }, { "latent-picks", "lowest" },
                                             { "latent-text", "zero" }, { "latent-text", "noise" }, { "latent-text", "mean" },
                                             { "latent-text", "frozen" }, { "latent-text", "shuffle" } };
    tn_model *model = with_module(*state, 1, NULL, 0);
    question q;
    ask_lare(&q, "3", "4");
    run *plain = run_question(model, &q);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ask_lare(&q, "3", "4");
        ask_set(&q, others[i][0], others[i][1]);
        run *made = run_question(model, &q);
        if (same_hidden(made, plain))
            fail_msg("%s %s changes nothing", others[i][0], others[i][1]);
        run_free(made);
    }
    /* Embeddings that may be read in one step only. */
    ask_lare(&q, "3", "8");
    ask_set(&q, "exclude", "yes");
    run *once = run_question(model, &q);
    assert_int_equal(once->trace->steps[1].pick_count, 8);
    assert_int_equal(once->trace->steps[2].pick_count, 0);
    for (size_t i = 0; i < 8; i++)
        for (size_t j = 0; j < 8; j++)
            assert_true(once->trace->steps[0].picks[i].index != once->trace->steps[1].picks[j].index);
    run_free(once);
    run_free(plain);
    tn_model_close(model);
}

/* A thought that is like the one before ends the thinking; from the second on. */
static void test_stops_when_alike(void **state)
{
    tn_model *model = with_module(*state, 1, NULL, 0);
    question q;
    ask_lare(&q, "8", "4");
    ask_set(&q, "alike", "2");
    run *early = run_question(model, &q);
    assert_int_equal(early->trace->step_count, 2);
    ask_lare(&q, "2", "4");
    run *two = run_question(model, &q);
    assert_true(same(early, two));
    ask_lare(&q, "8", "4");
    ask_set(&q, "alike", "0");
    run *whole = run_question(model, &q);
    assert_int_equal(whole->trace->step_count, 8);
    run_free(early);
    run_free(two);
    run_free(whole);
    tn_model_close(model);
}

/* More queries than one, and sizes that do not fit. */
static void test_shapes(void **state)
{
    static const tenebra_setting queries[] = { { "lq-queries", "3" }, { "lq-layers", "1" } };
    static const tenebra_setting wrong[] = { { "lq-heads", "5" } };
    tenebra_error error = { 0 };
    tn_model *model = with_module(*state, 1, queries, 2), *bare = tiny_open_model(*state, "reference");
    question q;
    ask_lare(&q, "2", "4");
    run *made = run_question(model, &q);
    assert_int_equal(made->trace->step_count, 2);
    run_free(made);
    ask_lare(&q, "17", "4");
    tn_session *session = tiny_session(model, 1);
    tn_reasoner reasoner;
    assert_int_equal(tn_reasoner_open(&reasoner, session, &q.request, NULL, &error), TENEBRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.sentence, "at most 16"));
    tn_reasoner_close(&reasoner);
    tn_session_close(session);
    assert_int_equal(tn_modules_train(bare, tn_method_find("lare"), wrong, 1, 1, &error), TENEBRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.sentence, "5 heads do not divide"));
    tn_model_close(bare);
    tn_model_close(model);
}

/* A new module starts from the embeddings: marks are their mean, thoughts have their size. */
static void test_starts_from_embeddings(void **state)
{
    tn_model *model = with_module(*state, 1, NULL, 0);
    question q;
    size_t cols = model->config.decoder.hidden_size, rows = model->decoder.embed.matrix.rows;
    tn_real *row = malloc(cols * sizeof *row);
    assert_non_null(row);
    double size = 0;
    for (size_t i = 0; i < rows; i++) {
        tn_matrix_unpack(&model->decoder.embed.matrix, i, 0, cols, row);
        size += norm_of_row(row, cols) / sqrt((double)cols) / (double)rows;
    }
    ask_lare(&q, "2", "4");
    run *made = run_question(model, &q);
    for (size_t s = 0; s < 2; s++)
        assert_true(within(made->trace->steps[s].hidden_norm, size * sqrt((double)cols), 1e-4 * size * sqrt((double)cols)));
    run_free(made);
    free(row);
    tn_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_steps_is_plain), cmocka_unit_test(test_off_is_coconut),
        cmocka_unit_test(test_all_picks),         cmocka_unit_test(test_cache_agrees),
        cmocka_unit_test(test_parts_count),       cmocka_unit_test(test_stops_when_alike),
        cmocka_unit_test(test_shapes),            cmocka_unit_test(test_starts_from_embeddings),
        cmocka_unit_test(test_scores_are_attention),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
