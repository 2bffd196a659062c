/* Requirements of methods without latent loop: several passes that share rows, image rows and new images in the middle of an
 * answer, attention while decoding. The methods in this file exist only here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"
#include "unit/reason/tiny.h"

static const tn_option no_options[] = { TN_OPTIONS_END };

/* ----------------------------------------------------------- two passes -- */

#define CUE " Answer now."

enum { FIRST_TOKENS = 5 };

static tenebra_code arrange_second(tn_reasoner *reasoner, tn_script *script, tenebra_error *error)
{
    return reasoner->pass > 0 ? tn_script_add_cue(script, CUE, error) : TENEBRA_OK;
}

static tenebra_code next_of_two(tn_reasoner *reasoner, tn_action *action, tenebra_error *error)
{
    (void)error;
    tn_act_answer(reasoner, action);
    if (reasoner->pass == 0 && (reasoner->answer.ended || reasoner->answer.pass_tokens == FIRST_TOKENS))
        action->kind = TN_ACT_PASS;
    return TENEBRA_OK;
}

static const tn_method two_passes = { .name = "two-passes", .options = no_options, .arrange = arrange_second,
                                      .next = next_of_two };

/* The number of rows at the beginning of both runs' caches with the same tokens or images. */
static size_t shared_prompt(const run *made, const run *first)
{
    size_t shared = 0, limit = tn_min(made->reasoner.conversation.prompt_count, first->session->sequence.length);
    while (shared < limit && made->reasoner.span.rows[shared].token == first->reasoner.span.rows[shared].token &&
           memcmp(&made->reasoner.span.rows[shared].position, &first->reasoner.span.rows[shared].position, sizeof(tn_position)) == 0)
        shared++;
    return shared;
}

/* The second pass answers as a fresh session that was asked its question at once, to the last bit, and the
 * rows that both prompts begin with ran once. */
static void check_two_passes(const tiny *here, const char *positions)
{
    question q, first, fresh;
    ask_about(&q, "direct", PICTURE, NULL, "What is green?");
    ask_about(&first, "direct", PICTURE, NULL, "What is green?");
    ask_about(&fresh, "direct", PICTURE, NULL, "What is green?" CUE);
    q.request.positions = first.request.positions = fresh.request.positions = positions;
    first.request.max_tokens = FIRST_TOKENS + 1;
    run *made = run_method(here->model, 1, &q, &two_passes);
    run *before = run_question(here->model, &first);
    run *alone = run_question(here->model, &fresh);

    size_t tokens = made->reasoner.answer.pass_tokens;
    assert_int_equal(tokens, alone->trace->token_count);
    assert_memory_equal(made->trace->tokens + made->trace->token_count - tokens, alone->trace->tokens,
                        tokens * sizeof *alone->trace->tokens);
    assert_string_equal(made->trace->text, alone->trace->text);
    assert_true(same_hidden(made, alone));
    assert_int_equal(made->trace->prompt_tokens, alone->trace->prompt_tokens);
    assert_int_equal(made->trace->token_count, FIRST_TOKENS + tokens);

    size_t shared = shared_prompt(made, before);
    assert_true(shared > 16); /* the complete image */
    assert_true(shared < made->trace->prompt_tokens);
    assert_int_equal(made->trace->positions_computed,
                     before->trace->prompt_tokens + FIRST_TOKENS + alone->trace->positions_computed - shared);
    run_free(made);
    run_free(before);
    run_free(alone);
}

static void test_two_passes_share_rows(void **state)
{
    check_two_passes(*state, "mrope");
    check_two_passes(*state, "sequential");
}

/* The same prompt again: only its last row runs, whose hidden state is wanted. */
static void test_second_pass_of_the_same_prompt(void **state)
{
    const tiny *here = *state;
    static const tn_method again = { .name = "again", .options = no_options, .next = next_of_two };
    question q;
    ask_about(&q, "direct", PICTURE, NULL, "What is green?");
    run *made = run_method(here->model, 1, &q, &again), *alone = run_question(here->model, &q);
    assert_string_equal(made->trace->text, alone->trace->text);
    assert_true(same_hidden(made, alone));
    assert_int_equal(made->trace->positions_computed,
                     made->trace->prompt_tokens + FIRST_TOKENS + 1 + made->reasoner.answer.pass_tokens - 1);
    run_free(made);
    run_free(alone);
}

/* The token limit applies to each pass separately; the trace has the tokens of all passes. */
static void test_each_pass_has_its_limit(void **state)
{
    const tiny *here = *state;
    question q;
    ask_about(&q, "direct", NULL, NULL, "What is green?");
    q.request.max_tokens = 3;
    run *made = run_method(here->model, 1, &q, &two_passes);
    assert_int_equal(made->trace->token_count, 6);
    assert_int_equal(made->trace->finish, TENEBRA_FINISH_LENGTH);
    assert_int_equal(made->reasoner.pass, 2);
    run_free(made);
}

static tenebra_code next_without_end(tn_reasoner *reasoner, tn_action *action, tenebra_error *error)
{
    (void)reasoner, (void)error;
    action->kind = TN_ACT_DECODE;
    return TENEBRA_OK;
}

/* A method that never ends cannot run over its tokens. */
static void test_decoding_beyond_the_limit(void **state)
{
    const tiny *here = *state;
    static const tn_method endless = { .name = "endless", .options = no_options, .next = next_without_end };
    question q;
    ask_about(&q, "direct", NULL, NULL, "What is green?");
    q.request.max_tokens = 3;
    tn_session *session = tiny_session(here->model, 1);
    tn_reasoner *reasoner = calloc(1, sizeof *reasoner);
    tenebra_error error = { 0 };
    assert_int_equal(tn_reasoner_open_method(reasoner, session, &q.request, &endless, NULL, &error), TENEBRA_OK);
    assert_int_equal(tn_reasoner_answer(reasoner, &error), TENEBRA_ERROR_LIMIT);
    assert_int_equal(reasoner->trace.token_count, 3);
    tn_reasoner_close(reasoner);
    free(reasoner);
    tn_session_close(session);
}

/* ------------------------------------------- image rows in the middle -- */

enum { BEFORE = 3, INJECTED = 2 };

static const tn_position triples[INJECTED] = { { { 40, 41, 42 } }, { { 40, 43, 41 } } };

/* Three tokens, two image rows at chosen positions, then the rest of the answer. */
static tenebra_code next_injecting(tn_reasoner *reasoner, tn_action *action, tenebra_error *error)
{
    (void)error;
    tn_act_answer(reasoner, action);
    bool injected = reasoner->state != NULL;
    if (reasoner->answer.token_count == BEFORE && !injected) {
        assert_non_null(tn_reasoner_take_state(reasoner, 1));
        for (size_t i = 0; i < INJECTED; i++)
            assert_true(tn_span_add(reasoner, tn_row_of_vector(reasoner->conversation.pictures[0].rows.embeds, 3 + 2 * i), &triples[i]));
        *action = (tn_action){ .kind = TN_ACT_APPEND };
    }
    return TENEBRA_OK;
}

static const tn_method injecting = { .name = "injecting", .options = no_options, .sequential = true,
                                     .next = next_injecting };

static void test_injected_rows(void **state)
{
    const tiny *here = *state;
    question q;
    ask_about(&q, "direct", PICTURE, NULL, "What is green?");
    run *made = run_method(here->model, 1, &q, &injecting);
    size_t at = made->trace->prompt_tokens + BEFORE;
    const tn_row *rows = made->reasoner.span.rows;
    for (size_t i = 0; i < INJECTED; i++) {
        assert_ptr_equal(rows[at + i].vector.source.data, made->reasoner.conversation.pictures[0].rows.embeds.data);
        assert_int_equal(rows[at + i].vector.row, 3 + 2 * i);
        assert_memory_equal(&rows[at + i].position, &triples[i], sizeof triples[i]);
    }
    assert_int_equal(rows[at - 1].token, made->trace->tokens[BEFORE - 1]);
    assert_int_equal(rows[at + INJECTED].token, made->trace->tokens[BEFORE]);
    int32_t wanted = (int32_t)tn_max(at, 44); /* one after all previous rows */
    for (size_t axis = 0; axis < 3; axis++)
        assert_int_equal(rows[at + INJECTED].position.axis[axis], wanted);

    /* The same rows in one span give the same hidden state: nothing but them went in. */
    tn_session *again = replay(made, made->session->sequence.length, NULL);
    size_t width = tn_session_hidden(again).cols;
    assert_true(rows_within(tn_session_hidden(again).data, tn_session_hidden(made->session).data, width, 1e-4));
    tn_session_close(again);
    made->reasoner.span.rows[at].position.axis[0] += 3; /* and the positions matter */
    again = replay(made, made->session->sequence.length, NULL);
    assert_false(rows_within(tn_session_hidden(again).data, tn_session_hidden(made->session).data, width, 1e-4));
    tn_session_close(again);
    run_free(made);
}

/* A row that does not fit into the span is refused and not written. */
static void test_full_span(void **state)
{
    const tiny *here = *state;
    question q;
    ask_about(&q, "direct", PICTURE, NULL, "What is green?");
    run *made = run_question(here->model, &q);
    made->reasoner.span.count = 0;
    for (size_t i = made->session->sequence.length; i < TINY_CONTEXT; i++)
        assert_true(tn_span_add(&made->reasoner, tn_row_of_token(1), NULL));
    assert_false(tn_span_add(&made->reasoner, tn_row_of_token(1), NULL));
    assert_false(tn_span_add(&made->reasoner, tn_row_of_vector(made->reasoner.conversation.pictures[0].rows.embeds, 0), NULL));
    size_t many[TINY_CONTEXT + 1] = { 0 };
    tenebra_error error = { 0 };
    assert_int_equal(tn_reasoner_watch_rows(&made->reasoner, many, TINY_CONTEXT, &error), TENEBRA_ERROR_LIMIT);
    run_free(made);
}

/* ------------------------------------------------------------ new crops -- */

/* A crop of 56 x 70 pixels, cut from made-up pixels: what matters is that it comes late. */
static void make_crop(tn_image *crop)
{
    assert_int_equal(tn_image_new(crop, 70, 56, 3, NULL), TENEBRA_OK);
    for (size_t i = 0; i < (size_t)70 * 56 * 3; i++)
        crop->pixels[i] = (unsigned char)(i * 7 % 251);
}

/* After two tokens: a crop through the tower, all of its rows into the answer. */
static tenebra_code next_cropping(tn_reasoner *reasoner, tn_action *action, tenebra_error *error)
{
    tn_act_answer(reasoner, action);
    if (reasoner->answer.token_count != 2 || reasoner->conversation.picture_count != 1)
        return TENEBRA_OK;
    tn_image crop = { 0 };
    make_crop(&crop);
    tenebra_code code = tn_reasoner_add_picture(reasoner, &crop, error);
    tn_image_free(&crop);
    TN_TRY(code);
    const tn_model_config *config = &reasoner->session->model->config;
    tn_span_add(reasoner, tn_row_of_token(config->picture_begin), NULL);
    for (size_t i = 0; i < reasoner->conversation.pictures[1].rows.rows; i++)
        tn_span_add(reasoner, tn_row_of_cell(&reasoner->conversation.pictures[1].rows, i), NULL);
    tn_span_add(reasoner, tn_row_of_token(config->picture_end), NULL);
    *action = (tn_action){ .kind = TN_ACT_APPEND };
    return TENEBRA_OK;
}

static const tn_method cropping = { .name = "cropping", .options = no_options, .next = next_cropping };

static void test_crop_in_the_middle(void **state)
{
    const tiny *here = *state;
    question q;
    ask_about(&q, "direct", PICTURE, NULL, "What is green?");
    run *made = run_method(here->model, 1, &q, &cropping);
    const tn_picture *crop = &made->reasoner.conversation.pictures[1];
    assert_int_equal(made->reasoner.conversation.picture_count, 2);
    assert_true(crop->width == 70 && crop->height == 56);
    assert_int_equal(made->trace->image_tokens, 16); /* of the prompt */

    /* The tower gives the same when it runs before everything else. */
    tn_session *session = tiny_session(here->model, 1);
    tn_reasoner *fresh = calloc(1, sizeof *fresh);
    assert_int_equal(tn_reasoner_open(fresh, session, &q.request, NULL, NULL), TENEBRA_OK);
    tn_image pixels = { 0 };
    make_crop(&pixels);
    assert_int_equal(tn_reasoner_add_picture(fresh, &pixels, NULL), TENEBRA_OK);
    tn_image_free(&pixels);
    assert_int_equal(tn_reasoner_encode_pictures(fresh, NULL), TENEBRA_OK);
    assert_int_equal(fresh->conversation.pictures[0].rows.embeds.rows, crop->rows.embeds.rows);
    assert_memory_equal(fresh->conversation.pictures[0].rows.embeds.data, crop->rows.embeds.data,
                        crop->rows.embeds.rows * crop->rows.embeds.cols * sizeof *crop->rows.embeds.data);
    assert_memory_not_equal(made->reasoner.conversation.pictures[0].rows.embeds.data, crop->rows.embeds.data,
                            crop->rows.embeds.cols * sizeof *crop->rows.embeds.data);
    tn_reasoner_close(fresh);
    free(fresh);
    tn_session_close(session);

    size_t at = made->trace->prompt_tokens + 2;
    for (size_t i = 0; i < crop->rows.embeds.rows; i++)
        assert_memory_equal(row_values(&made->reasoner.span.rows[at + 1 + i]), crop->rows.embeds.data + i * crop->rows.embeds.cols,
                            crop->rows.embeds.cols * sizeof *crop->rows.embeds.data);
    assert_int_equal(made->trace->positions_computed,
                     made->trace->prompt_tokens + crop->rows.embeds.rows + 2 + made->trace->token_count - 1);
    run_free(made);
}

/* ------------------------------------------------ attention of decoding -- */

enum { TAPPED = 4 };

typedef struct taps {
    tn_real sums[TAPPED], image[TAPPED];
    size_t rows[TAPPED], count;
} taps;

/* Watches every row that is not a candidate, including the next one, so that all attention is seen. */
static tenebra_code next_tapping(tn_reasoner *reasoner, tn_action *action, tenebra_error *error)
{
    taps *seen = reasoner->request->user;
    size_t total = reasoner->conversation.candidate_count + reasoner->span.extra_count;
    if (reasoner->answer.token_count > 0 && seen->count < TAPPED && !reasoner->answer.ended) {
        seen->rows[seen->count] = total;
        for (size_t i = 0; i < total; i++)
            *(i < reasoner->conversation.candidate_count ? &seen->image[seen->count] : &seen->sums[seen->count]) += reasoner->span.scores[i];
        seen->sums[seen->count] += seen->image[seen->count];
        seen->count++;
    }
    size_t rows[TINY_CONTEXT], count = 0;
    for (size_t row = 0, candidate = 0; row <= reasoner->session->sequence.length; row++) {
        if (candidate < reasoner->conversation.candidate_count && reasoner->conversation.candidates[candidate].row == row)
            candidate++;
        else
            rows[count++] = row;
    }
    tn_act_answer(reasoner, action);
    action->tap = true;
    return tn_reasoner_watch_rows(reasoner, rows, count, error);
}

static const tn_method tapping = { .name = "tapping", .options = no_options, .next = next_tapping };

static void test_attention_while_decoding(void **state)
{
    const tiny *here = *state;
    question q;
    taps seen = { 0 };
    ask_about(&q, "direct", PICTURE, NULL, "What is green?");
    q.request.user = &seen;
    run *made = run_method(here->model, 1, &q, &tapping);
    assert_int_equal(seen.count, TAPPED);
    for (size_t i = 0; i < TAPPED; i++) {
        assert_int_equal(seen.rows[i], made->trace->prompt_tokens + i + 1);
        assert_true(within((double)seen.sums[i], 1, 1e-5)); /* probabilities of all rows */
        assert_true(seen.image[i] > 0.05f && seen.image[i] < 0.95f);
    }
    question plain;
    ask_about(&plain, "direct", PICTURE, NULL, "What is green?");
    run *untapped = run_question(here->model, &plain);
    assert_true(same_tokens(made->trace, untapped->trace)); /* looking changes nothing */
    assert_true(same_hidden(made, untapped));
    run_free(untapped);
    run_free(made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_passes_share_rows),     cmocka_unit_test(test_second_pass_of_the_same_prompt),
        cmocka_unit_test(test_each_pass_has_its_limit),
        cmocka_unit_test(test_decoding_beyond_the_limit), cmocka_unit_test(test_injected_rows),
        cmocka_unit_test(test_full_span),                 cmocka_unit_test(test_crop_in_the_middle),
        cmocka_unit_test(test_attention_while_decoding),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
