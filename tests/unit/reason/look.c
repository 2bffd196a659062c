/* Picks that are read from a larger image: which cells they are, what is fed and counted, that the size of the prompt changes nothing,
 * and sizes that do not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image/region.h"
#include "reason/look.h"
#include "unit/reason/tiny.h"

/* -------------------------------------------------------------- mapping -- */

/* The cells of a larger grid that lie in the rectangle of a cell of the prompt, in reading order, each in one cell only. */
static void test_cells_cover_the_rectangle(void **state)
{
    (void)state;
    const tn_image_rows shown = { .rows = 12, .frames = 2, .grid_rows = 2, .grid_columns = 3 },
                        look = { .rows = 72, .frames = 2, .grid_rows = 6, .grid_columns = 6 };
    tn_row cells[6];
    size_t seen[72] = { 0 };
    assert_int_equal(tn_look_ratio(&shown, &look), 6);
    for (size_t cell = 0; cell < shown.rows; cell++) {
        tn_rectangle whole, part;
        tn_cell_rectangle(cell, 2, 2, 3, 600, 600, &whole, NULL);
        assert_int_equal(tn_look_cells(&shown, &look, cell, cells), 6);
        for (size_t i = 0; i < 6; i++) {
            tn_cell_rectangle(cells[i].cell, 2, 6, 6, 600, 600, &part, NULL);
            assert_true(cells[i].kind == TN_ROW_CELL && cells[i].picture == &look);
            assert_int_equal(cells[i].cell / 36, cell / 6); /* the same frame */
            assert_true(part.x0 >= whole.x0 && part.x1 <= whole.x1 && part.y0 >= whole.y0 && part.y1 <= whole.y1);
            assert_true(i == 0 || cells[i].cell > cells[i - 1].cell);
            seen[cells[i].cell]++;
        }
    }
    for (size_t i = 0; i < 72; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(tn_look_cells(&shown, NULL, 7, cells), 1);
    assert_true(cells[0].picture == &shown && cells[0].cell == 7);
}

/* ------------------------------------------------------------ answering -- */

static run *look(const tiny *here, const char *method, const char *second, const char *size)
{
    question q;
    ask_latent(&q, PICTURE, second);
    if (method != NULL)
        q.request.method = method;
    if (size != NULL)
        ask_set(&q, "look-size", size);
    return run_question(here->model, &q);
}

static void test_size_of_the_prompt_changes_nothing(void **state)
{
    for (size_t pictures = 1; pictures <= 2; pictures++) {
        const char *second = pictures == 2 ? OTHER_PICTURE : NULL;
        run *plain = look(*state, NULL, second, NULL), *same = look(*state, NULL, second, "112x112"),
            *named = look(*state, NULL, second, "prompt"), *larger = look(*state, NULL, second, "224x224");
        assert_true(same_tokens(plain->trace, same->trace) && same_steps(plain->trace, same->trace) && same_hidden(plain, same));
        assert_true(same_steps(plain->trace, named->trace) && same_hidden(plain, named));
        assert_int_equal(same->trace->injected_tokens, plain->trace->injected_tokens);
        assert_int_equal(same->trace->vision_cached, pictures); /* the same pixels */
        assert_false(same_hidden(plain, larger));
        assert_true(same_picks(&plain->trace->steps[0], &larger->trace->steps[0])); /* chosen by attention to the prompt */
        run_free(plain);
        run_free(same);
        run_free(named);
        run_free(larger);
    }
}

/* Every pick is followed by the cells that cover it, with the vectors that the image has in that size in a prompt. */
static void check_fed(const run *made, const run *large, size_t down, size_t across)
{
    size_t at = made->trace->prompt_tokens, columns = 4 * across, injected = 0;
    const tn_picture *picture = &made->reasoner.conversation.pictures[0];
    assert_int_equal(made->trace->step_count, 3);
    assert_int_equal(picture->rows.rows, 16);
    assert_int_equal(picture->look.rows, 16 * down * across);
    for (size_t s = 0; s < 3; s++) {
        const tenebra_step *step = &made->trace->steps[s];
        assert_int_equal(step->pick_count, 4);
        for (size_t p = 0; p < 4; p++)
            for (size_t i = 0; i < down * across; i++, at++, injected++) {
                const tn_row *row = &made->reasoner.span.rows[at];
                size_t pick = step->picks[p].index, cell = (pick / 4 * down + i / across) * columns + pick % 4 * across + i % across;
                assert_true(row->kind == TN_ROW_CELL && row->picture == &picture->look);
                assert_int_equal(row->cell, cell);
                const tn_row wanted = tn_row_of_cell(&large->reasoner.conversation.pictures[0].rows, cell);
                assert_memory_equal(row_values(row), row_values(&wanted), picture->look.embeds.cols * sizeof(tn_real));
            }
        assert_true(made->reasoner.span.rows[at++].kind == TN_ROW_VECTOR);
        double x0 = (double)picture->width / 4 * (double)(step->picks[0].index % 4);
        assert_true(within(step->picks[0].x0, x0, 1e-9) && within(step->picks[0].x1, x0 + (double)picture->width / 4, 1e-9));
    }
    assert_int_equal(made->trace->injected_tokens, injected);
    assert_int_equal(made->trace->positions_computed, made->trace->prompt_tokens + injected + 3 + made->trace->token_count - 1);
    for (size_t row = 0; row < at; row++)
        assert_int_equal(made->reasoner.span.rows[row].position.axis[0], row);
}

static void test_rows_that_are_fed(void **state)
{
    const tiny *here = *state;
    static const struct {
        const char *size;
        size_t width, height;
    } sizes[] = { { "224x224", 224, 224 }, { "112x224", 112, 224 }, { "336x112", 336, 112 } };
    for (size_t i = 0; i < 3; i++) {
        question q;
        ask_about(&q, "direct", PICTURE, NULL, "What is small and green?");
        q.request.image = (tenebra_image_rule){ .width = sizes[i].width, .height = sizes[i].height };
        run *made = look(here, NULL, NULL, sizes[i].size), *large = run_question(here->model, &q);
        check_fed(made, large, sizes[i].height / 112, sizes[i].width / 112);
        run_free(made);
        run_free(large);
    }
}

/* All rows again in every span, several threads, a session that knows both sizes. */
static void test_ways_agree(void **state)
{
    const tiny *here = *state;
    question q;
    ask_latent(&q, PICTURE, OTHER_PICTURE);
    ask_set(&q, "look-size", "224x224");
    run *made = run_question(here->model, &q), *threads = run_method(here->model, 3, &q, NULL);
    assert_true(same_tokens(made->trace, threads->trace) && same_steps(made->trace, threads->trace) && same_hidden(made, threads));
    tn_session *session = tiny_session(here->model, 1);
    for (size_t i = 0; i < 2; i++) {
        tn_reasoner reasoner;
        assert_int_equal(tn_reasoner_open(&reasoner, session, &q.request, NULL, NULL), TENEBRA_OK);
        assert_int_equal(tn_reasoner_answer(&reasoner, NULL), TENEBRA_OK);
        assert_true(same_tokens(made->trace, &reasoner.trace) && same_steps(made->trace, &reasoner.trace));
        assert_int_equal(reasoner.trace.vision_cached, 4 * i);
        tn_reasoner_close(&reasoner);
    }
    tn_session_close(session);
    q.request.recompute = true;
    run *again = run_question(here->model, &q);
    assert_true(same_tokens(made->trace, again->trace));
    for (size_t s = 0; s < 3; s++)
        assert_true(same_picks(&made->trace->steps[s], &again->trace->steps[s]) &&
                    within(made->trace->steps[s].hidden_norm, again->trace->steps[s].hidden_norm, 1e-4));
    run_free(made);
    run_free(threads);
    run_free(again);
}

/* Without picks there is no second image. */
static void test_no_picks_no_look(void **state)
{
    const tiny *here = *state;
    static const char *const settings[][2] = { { "k-select", "0" }, { "latent-picks", "none" }, { "n-latent", "0" } };
    for (size_t i = 0; i < 3; i++) {
        question q;
        ask_latent(&q, PICTURE, NULL);
        ask_set(&q, settings[i][0], settings[i][1]);
        run *plain = run_question(here->model, &q);
        ask_set(&q, "look-size", "224x224");
        run *made = run_question(here->model, &q);
        assert_int_equal(made->reasoner.conversation.pictures[0].look.rows, 0);
        assert_true(same_hidden(made, plain));
        run_free(made);
        run_free(plain);
    }
}

static void test_interventions(void **state)
{
    static const char *const sources[] = { "random", "lowest", "repeat" };
    const tiny *here = *state;
    for (size_t i = 0; i < 3; i++) {
        question q;
        ask_latent(&q, PICTURE, NULL);
        ask_set(&q, "look-size", "224x224");
        ask_set(&q, "latent-picks", sources[i]);
        run *made = run_question(here->model, &q);
        assert_int_equal(made->trace->injected_tokens, 3 * 4 * 4);
        assert_int_equal(made->trace->step_count, 3);
        assert_true(i != 2 || same_picks(&made->trace->steps[0], &made->trace->steps[2]));
        run_free(made);
    }
}

/* --------------------------------------------------------------- errors -- */

static void refuse(const tn_model *model, question *q, size_t context, tenebra_code expected, const char *part)
{
    tenebra_error error = { 0 };
    tn_session *session;
    tn_reasoner reasoner;
    assert_int_equal(tn_session_open(model, &(tn_session_options){ .context = context, .threads = 1 }, &session, NULL), TENEBRA_OK);
    tenebra_code code = tn_reasoner_open(&reasoner, session, &q->request, NULL, &error);
    if (code == TENEBRA_OK)
        code = tn_reasoner_answer(&reasoner, &error);
    assert_int_equal(code, expected);
    if (strstr(error.sentence, part) == NULL)
        fail_msg("'%s' is not in: %s", part, error.sentence);
    tn_reasoner_close(&reasoner);
    tn_session_close(session);
}

static void test_sizes_that_do_not_fit(void **state)
{
    const tiny *here = *state;
    static const char *const sizes[] = { "168x168", "56x56", "224x200", "113x112" };
    question q;
    for (size_t i = 0; i < 4; i++) {
        ask_latent(&q, PICTURE, NULL);
        ask_set(&q, "look-size", sizes[i]);
        refuse(here->model, &q, TINY_CONTEXT, TENEBRA_ERROR_ARGUMENT, "such as 224x224");
    }
    ask_latent(&q, PICTURE, NULL);
    ask_set(&q, "look-size", "large");
    refuse(here->model, &q, TINY_CONTEXT, TENEBRA_ERROR_ARGUMENT, "WIDTHxHEIGHT");
    ask_about(&q, "coconut", PICTURE, NULL, "Which?"); /* has no picks */
    ask_set(&q, "look-size", "224x224");
    refuse(here->model, &q, TINY_CONTEXT, TENEBRA_ERROR_ARGUMENT, "no such option");
}

/* The rows of a step are counted as they are fed: what fits without a larger image does not fit with one. */
static void test_context(void **state)
{
    const tiny *here = *state;
    run *plain = look(here, NULL, NULL, NULL);
    size_t context = plain->trace->positions_computed + 1;
    question q;
    run_free(plain);
    ask_latent(&q, PICTURE, NULL);
    ask_set(&q, "look-size", "112x112");
    tn_session *session;
    assert_int_equal(tn_session_open(here->model, &(tn_session_options){ .context = context, .threads = 1 }, &session, NULL), TENEBRA_OK);
    run *fits = run_in(session, &q, NULL);
    run_free(fits);
    ask_latent(&q, PICTURE, NULL);
    ask_set(&q, "look-size", "224x224");
    refuse(here->model, &q, context, TENEBRA_ERROR_LIMIT, "a latent step does not fit");
}

/* -------------------------------------------------------- images as tokens -- */

static int set_up_tokens(void **state)
{
    return tiny_set_up_as(state, "chameleon-tiny", TENEBRA_TEST_DATA "/tokenizer-chameleon", 5);
}

static void ask_tokens(question *q, const char *size)
{
    ask_latent(q, OTHER_PICTURE, NULL);
    memset(&q->request.image, 0, sizeof q->request.image); /* 32 x 32, 8 x 8 cells, cropped on two sides */
    if (size != NULL)
        ask_set(q, "look-size", size);
}

static void test_tokens(void **state)
{
    const tiny *here = *state;
    question q;
    ask_tokens(&q, "64x64");
    run *made = run_question(here->model, &q);
    const tn_picture *picture = &made->reasoner.conversation.pictures[0];
    assert_int_equal(picture->rows.rows, 64);
    assert_int_equal(picture->look.rows, 256);
    assert_non_null(picture->look.ids);
    assert_int_equal(made->trace->injected_tokens, 3 * 4 * 4);
    for (size_t p = 0, at = made->reasoner.conversation.prompt_count; p < 4; p++)
        for (size_t i = 0; i < 4; i++, at++) {
            size_t pick = made->trace->steps[0].picks[p].index, cell = (pick / 8 * 2 + i / 2) * 16 + pick % 8 * 2 + i % 2;
            assert_int_equal(tn_row_token(&made->reasoner.span.rows[at]), picture->look.ids[cell]);
        }
    ask_tokens(&q, NULL);
    run *plain = run_question(here->model, &q);
    ask_tokens(&q, "32x32");
    run *same = run_question(here->model, &q);
    assert_true(same_steps(plain->trace, same->trace) && same_hidden(plain, same));
    assert_false(same_hidden(plain, made));
    run_free(made);
    run_free(plain);
    run_free(same);
    ask_tokens(&q, "48x48");
    refuse(here->model, &q, TINY_CONTEXT, TENEBRA_ERROR_ARGUMENT, "such as 64x64");
    ask_tokens(&q, "32x64"); /* would crop otherwise */
    refuse(here->model, &q, TINY_CONTEXT, TENEBRA_ERROR_ARGUMENT, "another part of the image");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells_cover_the_rectangle),
        cmocka_unit_test(test_size_of_the_prompt_changes_nothing),
        cmocka_unit_test(test_rows_that_are_fed),
        cmocka_unit_test(test_ways_agree),
        cmocka_unit_test(test_no_picks_no_look),
        cmocka_unit_test(test_interventions),
        cmocka_unit_test(test_sizes_that_do_not_fit),
        cmocka_unit_test(test_context),
        cmocka_unit_test_setup_teardown(test_tokens, set_up_tokens, tiny_tear_down),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
