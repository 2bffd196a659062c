/* Attention to all image embeddings in the trace: what the picks were chosen by, and nothing else changes for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/reason/tiny.h"

/* The scores of a row, computed again from the rows before it. */
static void assert_scores(const run *made, size_t rows, const float *scores, size_t count)
{
    tn_real again[64];
    size_t keys[64], found = 0;
    for (size_t i = 0; i < made->reasoner.conversation.candidate_count; i++)
        keys[found++] = made->reasoner.conversation.candidates[i].row;
    assert_int_equal(found, count);
    tn_span_tap tap = { .query = rows - 1, .keys = keys, .count = found, .mean = again };
    tn_session_close(replay(made, rows, &tap));
    for (size_t i = 0; i < count; i++)
        assert_true(within((double)scores[i], (double)again[i], 1e-6));
}

static void test_scores_are_those_of_the_picks(void **state)
{
    const tiny *here = *state;
    question q;
    ask_latent(&q, PICTURE, OTHER_PICTURE);
    q.request.scores = true;
    run *made = run_question(here->model, &q);
    const tenebra_trace *trace = made->trace;
    assert_int_equal(trace->image_count, 2);
    assert_int_equal(trace->prompt_score_count, 32);
    assert_scores(made, trace->prompt_tokens, trace->prompt_scores, 32);
    for (size_t s = 0; s < trace->step_count; s++) {
        const tenebra_step *step = &trace->steps[s];
        assert_int_equal(step->score_count, 32);
        assert_scores(made, trace->prompt_tokens + 5 * s, step->scores, 32);
        for (size_t i = 0; i < step->pick_count; i++) {
            const tenebra_pick *pick = &step->picks[i];
            assert_true((double)step->scores[16 * pick->image + pick->index] == (double)(float)pick->score);
        }
    }
    /* Each step has its own: the comparison can fail. */
    assert_false(within((double)trace->steps[0].scores[0], (double)trace->steps[1].scores[0], 1e-6));
    run_free(made);
}

static void test_nothing_else_changes(void **state)
{
    const tiny *here = *state;
    const char *const methods[] = { "direct", "cot", "coconut", "ivt-lr" };
    for (size_t m = 0; m < sizeof methods / sizeof *methods; m++) {
        question q;
        ask_about(&q, methods[m], PICTURE, NULL, "What is small and green?");
        run *plain = run_question(here->model, &q);
        q.request.scores = true;
        run *told = run_question(here->model, &q);
        assert_true(same_tokens(plain->trace, told->trace));
        assert_int_equal(plain->trace->positions_computed, told->trace->positions_computed);
        assert_null(plain->trace->prompt_scores);
        assert_int_equal(told->trace->prompt_score_count, 16);
        assert_int_equal(plain->trace->step_count, told->trace->step_count);
        for (size_t s = 0; s < told->trace->step_count; s++) {
            assert_null(plain->trace->steps[s].scores);
            assert_int_equal(told->trace->steps[s].score_count, 16);
            assert_true(same_number(plain->trace->steps[s].hidden_norm, told->trace->steps[s].hidden_norm));
        }
        run_free(plain);
        run_free(told);
    }
}

static void test_grids(void **state)
{
    const tiny *here = *state;
    question q;
    ask_about(&q, "direct", PICTURE, NULL, "What is small and green?");
    q.request.image.width = 140;
    run *made = run_question(here->model, &q);
    assert_int_equal(made->trace->image_count, 1);
    assert_int_equal(made->trace->images[0].rows, 4);
    assert_int_equal(made->trace->images[0].columns, 5);
    assert_int_equal(made->trace->images[0].width, made->reasoner.conversation.pictures[0].width);
    run_free(made);
    ask_about(&q, "ivt-lr", NULL, NULL, "What is small and green?");
    q.request.scores = true;
    made = run_question(here->model, &q); /* without an image there are no scores */
    assert_int_equal(made->trace->image_count, 0);
    assert_int_equal(made->trace->prompt_score_count, 0);
    assert_null(made->trace->prompt_scores);
    run_free(made);
}

static void test_json(void **state)
{
    const tiny *here = *state;
    question q;
    ask_latent(&q, PICTURE, NULL);
    for (int told = 0; told < 2; told++) {
        q.request.scores = told;
        run *made = run_question(here->model, &q);
        char *text = tenebra_trace_json(made->trace);
        assert_non_null(text);
        assert_true((strstr(text, "\"prompt_scores\"") != NULL) == told);
        assert_true((strstr(text, "\"scores\"") != NULL) == told);
        assert_true((strstr(text, "\"columns\"") != NULL) == told);
        free(text);
        run_free(made);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scores_are_those_of_the_picks),
        cmocka_unit_test(test_nothing_else_changes),
        cmocka_unit_test(test_grids),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
