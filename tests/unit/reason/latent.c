/* The latent loop, row by row: the number of passes, their inputs, and their trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"
#include "unit/reason/tiny.h"

/* Rows that the steps must have added, and the account that follows from them. */
static void assert_counts(const run *made, size_t steps, const size_t *picks, size_t text_rows)
{
    const tenebra_trace *trace = made->trace;
    size_t injected = 0;
    assert_int_equal(trace->latent_steps, steps);
    assert_int_equal(trace->step_count, steps);
    for (size_t s = 0; s < steps; s++) {
        assert_int_equal(trace->steps[s].pick_count, picks[s]);
        injected += picks[s];
    }
    assert_int_equal(trace->injected_tokens, injected);
    assert_int_equal(trace->positions_computed,
                     trace->prompt_tokens + injected + text_rows * steps + trace->token_count - 1);
    assert_int_equal(made->session->sequence.length, trace->positions_computed);
}

/* Steps run as configured, for several N and K, in both orders and both kinds of positions. */
static void test_passes_executed(void **state)
{
    const tiny *here = *state;
    for (size_t n = 0; n <= 4; n += 2)
        for (size_t k = 0; k <= 4; k += 2)
            for (int mode = 0; mode < 4; mode++) {
                question q;
                char steps[8], picks[8];
                ask_latent(&q, PICTURE, NULL);
                ask_set(&q, "n-latent", (snprintf(steps, sizeof steps, "%zu", n), steps));
                ask_set(&q, "k-select", (snprintf(picks, sizeof picks, "%zu", k), picks));
                ask_set(&q, "order", mode & 1 ? "text-first" : "vision-first");
                q.request.positions = mode & 2 ? "mrope" : "sequential";
                run *made = run_question(here->model, &q);
                const size_t expected[] = { k, k, k, k };
                assert_counts(made, n, expected, 1);
                assert_string_equal(made->trace->positions, q.request.positions);
                run_free(made);
            }
}

static void test_no_steps_is_plain_decoding(void **state)
{
    const tiny *here = *state;
    question latent, plain;
    ask_latent(&latent, PICTURE, NULL);
    ask_set(&latent, "n-latent", "0");
    ask_about(&plain, "direct", PICTURE, NULL, "What is small and green?");
    plain.request.positions = "sequential";
    run *a = run_question(here->model, &latent), *b = run_question(here->model, &plain);
    assert_true(same_tokens(a->trace, b->trace) && same_hidden(a, b));
    assert_int_equal(a->trace->positions_computed, b->trace->positions_computed);
    run_free(b);
    plain.request.positions = NULL; /* the model's own positions are others: the comparison can fail */
    b = run_question(here->model, &plain);
    assert_string_equal(b->trace->positions, "mrope");
    assert_false(same_hidden(a, b));
    run_free(a);
    run_free(b);
}

/* Without vision it is Coconut, in each way of asking for that. */
static void test_no_vision_is_latent_text_alone(void **state)
{
    const tiny *here = *state;
    question coconut, other;
    ask_about(&coconut, "coconut", PICTURE, NULL, "What is small and green?");
    run *wanted = run_question(here->model, &coconut);
    const size_t none[] = { 0, 0, 0 };
    assert_counts(wanted, 3, none, 1);
    const char *const ways[][2] = { { "k-select", "0" }, { "latent-picks", "none" } };
    for (size_t w = 0; w < 2; w++) {
        ask_latent(&other, PICTURE, NULL);
        ask_set(&other, ways[w][0], ways[w][1]);
        run *made = run_question(here->model, &other);
        assert_counts(made, 3, none, 1);
        assert_true(same_tokens(made->trace, wanted->trace) && same_hidden(made, wanted) &&
                    same_steps(made->trace, wanted->trace));
        assert_true(isnan(made->trace->steps[2].attention_ratio) && isnan(made->trace->steps[2].attention_focus));
        run_free(made);
    }
    ask_latent(&other, PICTURE, NULL);
    run *made = run_question(here->model, &other);
    assert_false(same_hidden(made, wanted));
    run_free(made);
    run_free(wanted);
}

/* Without latent text only picked rows are fed; without both, nothing is. */
static void test_without_text(void **state)
{
    const tiny *here = *state;
    question q, plain;
    const size_t four[] = { 4, 4, 4 };
    ask_latent(&q, PICTURE, NULL);
    ask_set(&q, "latent-text", "drop");
    run *made = run_question(here->model, &q);
    assert_counts(made, 3, four, 0);
    for (size_t i = 0; i < 12; i++)
        assert_ptr_equal(made->reasoner.span.rows[made->trace->prompt_tokens + i].picture->embeds.data,
                         made->reasoner.conversation.pictures[0].rows.embeds.data);
    assert_true(isnan(made->trace->steps[0].attention_ratio) && made->trace->steps[0].attention_focus > 0);
    run_free(made);

    ask_set(&q, "latent-picks", "none");
    made = run_question(here->model, &q);
    assert_counts(made, 0, NULL, 0);
    ask_about(&plain, "direct", PICTURE, NULL, "What is small and green?");
    plain.request.positions = "sequential";
    run *wanted = run_question(here->model, &plain);
    assert_true(same_tokens(made->trace, wanted->trace) && same_hidden(made, wanted));
    run_free(made);
    run_free(wanted);
}

/* ---------------------------------------------------------- what is fed -- */

/* Each block: the picked rows of the tower in the order of the trace, and the hidden state of the row before
 * the block, at positions that go on by one. */
static void check_blocks(const run *made, bool text_first, bool raw)
{
    size_t at = made->trace->prompt_tokens, width = tn_session_hidden(made->session).cols;
    for (size_t s = 0; s < made->trace->step_count; s++) {
        const tenebra_step *step = &made->trace->steps[s];
        size_t text = text_first ? at : at + step->pick_count;
        tn_session *before = replay(made, at, NULL);
        tn_tensor wanted = raw ? tn_session_raw(before) : tn_session_hidden(before), other = raw ? tn_session_hidden(before) : tn_session_raw(before);
        const tn_real *fed = row_values(&made->reasoner.span.rows[text]);
        assert_true(rows_within(fed, wanted.data, width, 1e-4));
        assert_false(rows_within(fed, other.data, width, 1e-4));
        assert_true(within(step->hidden_norm, norm_of_row(fed, width), 1e-4));
        tn_session_close(before);
        for (size_t p = 0; p < step->pick_count; p++) {
            const tn_row *row = &made->reasoner.span.rows[at + p + text_first];
            const tn_picture *picture = &made->reasoner.conversation.pictures[step->picks[p].image];
            assert_ptr_equal(row->picture, &picture->rows);
            assert_int_equal(row->cell, step->picks[p].index);
        }
        at += step->pick_count + 1;
    }
    for (size_t row = 0; row < made->session->sequence.length; row++)
        for (size_t axis = 0; axis < 3; axis++)
            assert_int_equal(made->reasoner.span.rows[row].position.axis[axis], row);
}

static void test_rows_of_the_blocks(void **state)
{
    const tiny *here = *state;
    for (int mode = 0; mode < 4; mode++) {
        question q;
        ask_latent(&q, PICTURE, NULL);
        ask_set(&q, "order", mode & 1 ? "text-first" : "vision-first");
        ask_set(&q, "hidden", mode & 2 ? "raw" : "normed");
        run *made = run_question(here->model, &q);
        assert_int_equal(made->trace->step_count, 3);
        check_blocks(made, mode & 1, mode & 2);
        run_free(made);
    }
}

/* The norm that this model's first hidden state has before and after the final norm: which one a checkpoint
 * was trained with decides, since they differ in size. */
static void test_norm_snapshot(void **state)
{
    const tiny *here = *state;
    const double expected[] = { 11.229, 17.132 };
    double norms[2];
    for (int raw = 0; raw < 2; raw++) {
        question q;
        ask_latent(&q, PICTURE, NULL);
        ask_set(&q, "hidden", raw ? "raw" : "normed");
        run *made = run_question(here->model, &q);
        norms[raw] = made->trace->steps[0].hidden_norm;
        run_free(made);
    }
    for (int raw = 0; raw < 2; raw++)
        if (!within(norms[raw], expected[raw], 1e-3 * expected[raw]))
            fail_msg("norms %g and %g", norms[0], norms[1]);
}

/* ------------------------------------------------------------- images -- */

static void test_no_picture(void **state)
{
    const tiny *here = *state;
    question q, coconut;
    const size_t none[] = { 0, 0, 0 };
    ask_latent(&q, NULL, NULL);
    ask_about(&coconut, "coconut", NULL, NULL, "What is small and green?");
    run *made = run_question(here->model, &q), *wanted = run_question(here->model, &coconut);
    assert_counts(made, 3, none, 1);
    assert_int_equal(made->trace->image_tokens, 0);
    assert_true(same_tokens(made->trace, wanted->trace) && same_hidden(made, wanted));
    run_free(made);
    run_free(wanted);
    ask_set(&q, "latent-text", "drop"); /* nothing at all to think with */
    ask_set(&q, "exhausted", "repick");
    made = run_question(here->model, &q);
    assert_counts(made, 0, NULL, 0);
    run_free(made);
}

/* The place of an embedding in its image: cells row by row, scaled to the original image. */
static void assert_place(const run *made, const tenebra_pick *pick)
{
    const tn_picture *picture = &made->reasoner.conversation.pictures[pick->image];
    size_t columns = picture->rows.grid_columns, rows = picture->rows.grid_rows;
    double width = (double)picture->width / (double)columns, height = (double)picture->height / (double)rows;
    assert_true(pick->index < columns * rows);
    assert_true(within(pick->x0, (double)(pick->index % columns) * width, 1e-9));
    assert_true(within(pick->y0, (double)(pick->index / columns) * height, 1e-9));
    assert_true(within(pick->x1, pick->x0 + width, 1e-9) && within(pick->y1, pick->y0 + height, 1e-9));
}

static void test_two_pictures(void **state)
{
    const tiny *here = *state;
    question q;
    ask_latent(&q, PICTURE, OTHER_PICTURE);
    ask_set(&q, "k-select", "8");
    q.request.image.width = 140; /* 5 x 4 cells: columns and rows differ */
    run *made = run_question(here->model, &q);
    assert_int_equal(made->trace->image_tokens, 40);
    assert_true(made->reasoner.conversation.pictures[0].width != made->reasoner.conversation.pictures[1].width ||
                made->reasoner.conversation.pictures[0].height != made->reasoner.conversation.pictures[1].height);
    check_blocks(made, false, false);
    size_t of_image[2] = { 0 };
    bool seen[2][20] = { { false } };
    for (size_t s = 0; s < 3; s++)
        for (size_t p = 0; p < 8; p++) {
            const tenebra_pick *pick = &made->trace->steps[s].picks[p];
            assert_in_range(pick->image, 0, 1);
            assert_place(made, pick);
            assert_false(seen[pick->image][pick->index]); /* never twice */
            seen[pick->image][pick->index] = true;
            of_image[pick->image]++;
        }
    assert_true(of_image[0] > 0 && of_image[1] > 0);
    run_free(made);
}

static void test_more_picks_than_embeddings(void **state)
{
    const tiny *here = *state;
    question q;
    ask_latent(&q, PICTURE, NULL);
    ask_set(&q, "k-select", "32");
    run *made = run_question(here->model, &q);
    const size_t taken[] = { 16, 0, 0 };
    assert_counts(made, 3, taken, 1);
    run_free(made);
    ask_set(&q, "exhausted", "repick");
    made = run_question(here->model, &q);
    const size_t repicked[] = { 16, 16, 16 };
    assert_counts(made, 3, repicked, 1);
    run_free(made);
}

static void test_more_steps_than_embeddings(void **state)
{
    const tiny *here = *state;
    question q;
    ask_latent(&q, PICTURE, NULL);
    q.request.image.width = q.request.image.height = 56; /* 4 embeddings */
    ask_set(&q, "k-select", "1");
    ask_set(&q, "n-latent", "6");
    run *made = run_question(here->model, &q);
    const size_t ones[] = { 1, 1, 1, 1, 0, 0 };
    assert_counts(made, 6, ones, 1);
    run_free(made);
    ask_set(&q, "k-select", "3");
    ask_set(&q, "exhausted", "repick");
    made = run_question(here->model, &q);
    const size_t threes[] = { 3, 3, 3, 3, 3, 3 };
    assert_counts(made, 6, threes, 1);
    for (size_t p = 0; p < 3; p++) /* all are used, so the lowest come first */
        assert_int_equal(made->trace->steps[3].picks[p].index, p);
    run_free(made);
    ask_set(&q, "exhausted", "take");
    ask_set(&q, "latent-text", "drop"); /* steps without anything to feed are left out */
    made = run_question(here->model, &q);
    const size_t rest[] = { 3, 1 };
    assert_counts(made, 2, rest, 0);
    run_free(made);
}

/* Every token that the head reads: falling probabilities, the first of them what decoding would take. */
static void test_lens(void **state)
{
    const tiny *here = *state;
    question q;
    ask_latent(&q, PICTURE, NULL);
    q.request.lens = 4;
    run *made = run_question(here->model, &q);
    for (size_t s = 0; s < 3; s++) {
        const tenebra_step *step = &made->trace->steps[s];
        assert_int_equal(step->lens_count, 4);
        tn_session *before = replay(made, made->trace->prompt_tokens + 5 * s, NULL);
        assert_int_equal(tn_session_logits(before, NULL), TENEBRA_OK);
        assert_int_equal(step->lens[0].token, tn_sample_greedy(before->logits.data, before->logits.cols));
        double total = 0;
        for (size_t i = 0; i < before->logits.cols; i++)
            total += exp((double)before->logits.data[i]);
        for (size_t t = 0; t < 4; t++) {
            double wanted = exp((double)before->logits.data[step->lens[t].token]) / total;
            assert_true(within(step->lens[t].probability, wanted, 1e-6));
            assert_true(t == 0 || step->lens[t].probability <= step->lens[t - 1].probability);
        }
        tn_session_close(before);
    }
    run_free(made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passes_executed),
        cmocka_unit_test(test_no_steps_is_plain_decoding),
        cmocka_unit_test(test_no_vision_is_latent_text_alone),
        cmocka_unit_test(test_without_text),
        cmocka_unit_test(test_rows_of_the_blocks),
        cmocka_unit_test(test_norm_snapshot),
        cmocka_unit_test(test_no_picture),
        cmocka_unit_test(test_two_pictures),
        cmocka_unit_test(test_more_picks_than_embeddings),
        cmocka_unit_test(test_more_steps_than_embeddings),
        cmocka_unit_test(test_lens),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
