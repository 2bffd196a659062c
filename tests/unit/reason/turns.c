/* Dialogues: a further turn is appended after the reply as it was generated, with new images, at the positions of the complete
 * conversation; nothing runs twice. Forced tokens determine the reply. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"
#include "unit/reason/tiny.h"

static const tn_option no_options[] = { TN_OPTIONS_END };

enum { TURNS = 3 };

/* ------------------------------------------------------------- a method -- */

static tenebra_code arrange_turn(tn_reasoner *reasoner, tn_script *script, tenebra_error *error)
{
    if (reasoner->pass == 0)
        return TENEBRA_OK;
    assert_int_equal(script->message_count, 0);
    tn_chat_part *parts = tn_reasoner_take(reasoner, 2, sizeof *parts);
    assert_non_null(parts);
    parts[0] = (tn_chat_part){ .is_image = true };
    parts[1] = (tn_chat_part){ .text = "Look <|im_end|> again.", .length = 22 };
    return tn_script_add_message(script, &(tn_chat_message){ .role = "user", .parts = parts, .part_count = 2 }, error);
}

/* An image of 56 x 84 pixels that differs from turn to turn. */
static tenebra_code add_view(tn_reasoner *reasoner, tenebra_error *error)
{
    tn_image image = { 0 };
    TN_TRY(tn_image_new(&image, 56, 84, TN_IMAGE_CHANNELS, error));
    for (size_t i = 0; i < (size_t)56 * 84 * 3; i++)
        image.pixels[i] = (unsigned char)(i * (reasoner->pass + 1) * 7);
    tenebra_code code = tn_reasoner_add_picture(reasoner, &image, error);
    tn_image_free(&image);
    return code;
}

static tenebra_code next_turn(tn_reasoner *reasoner, tn_action *action, tenebra_error *error)
{
    tn_act_answer(reasoner, action);
    if (action->kind != TN_ACT_FINISH || reasoner->pass + 1 == TURNS)
        return TENEBRA_OK;
    action->kind = TN_ACT_TURN;
    return add_view(reasoner, error);
}

static const tn_method talking = {
    .name = "talking", .options = no_options, .arrange = arrange_turn, .next = next_turn
};

/* ----------------------------------------------------------------- tests -- */

static int32_t find(const tn_model *model, const char *token)
{
    int32_t id = tn_tokenizer_find(model->tokenizer, token);
    assert_true(id >= 0);
    return id;
}

/* Two replies: four tokens that end by themselves, among them "i" and "t" apart, which no tokenizer would write; and
 * six that the limit ends. */
static void force(const tn_model *model, int32_t *ids)
{
    const char *const words[] = { "i", "t", "a", "<|im_end|>", "t", "i", "t", "i", "a", "a" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        ids[i] = find(model, words[i]);
}

/* The tokens of the cache in order, with image tokens for embeddings. */
static size_t read_cache(const run *made, int32_t *ids)
{
    const tn_session *session = made->session;
    for (size_t i = 0; i < session->sequence.length; i++)
        ids[i] = made->reasoner.span.rows[i].token >= 0 ? made->reasoner.span.rows[i].token : session->model->config.picture_token;
    return session->sequence.length;
}

static run *talk(const tiny *here, question *q, const int32_t *forced, const char *positions)
{
    ask_about(q, "direct", PICTURE, NULL, "What is it?");
    q->request.forced = forced;
    q->request.forced_count = 10;
    q->request.positions = positions;
    return run_method(here->model, 1, q, &talking);
}

static void expect_turn(const tn_model *model, tn_ids *ids)
{
    const tn_text_span spans[] = { { "<|im_end|>\n<|im_start|>user\n<|vision_start|>", 44, true },
                                   { "", 0, false },
                                   { "<|vision_end|>", 14, true },
                                   { "Look <|im_end|> again.", 22, false },
                                   { "<|im_end|>\n<|im_start|>assistant\n", 33, true } };
    assert_int_equal(tn_tokenizer_encode(model->tokenizer, spans, 1, ids, NULL), TENEBRA_OK);
    for (size_t i = 0; i < 16; i++) /* 112 x 112, as the request says */
        assert_int_equal(tn_ids_push(ids, model->config.picture_token, NULL), TENEBRA_OK);
    assert_int_equal(tn_tokenizer_encode(model->tokenizer, spans + 2, 3, ids, NULL), TENEBRA_OK);
}

static void test_rows_of_a_dialogue(void **state)
{
    const tiny *here = *state;
    question q;
    int32_t forced[10], cached[TINY_CONTEXT];
    force(here->model, forced);
    run *made = talk(here, &q, forced, "mrope");
    tn_ids expected = { 0 };
    assert_true(read_cache(made, cached) > made->reasoner.conversation.prompt_count);
    assert_int_equal(tn_ids_append(&expected, cached, made->reasoner.conversation.prompt_count, NULL), TENEBRA_OK);
    assert_int_equal(tn_ids_append(&expected, forced, 3, NULL), TENEBRA_OK); /* the end is the template's */
    expect_turn(here->model, &expected);
    assert_int_equal(tn_ids_append(&expected, forced + 4, 6, NULL), TENEBRA_OK); /* the last one, too */
    expect_turn(here->model, &expected);
    assert_int_equal(made->trace->token_count, 10 + made->reasoner.answer.pass_tokens);
    size_t last = made->reasoner.answer.pass_tokens - 1; /* of the third reply: the one that ends it does not run */
    assert_int_equal(tn_ids_append(&expected, made->trace->tokens + 10, last, NULL), TENEBRA_OK);
    assert_int_equal(read_cache(made, cached), expected.count);
    assert_memory_equal(cached, expected.ids, expected.count * sizeof *cached);
    assert_int_equal(made->trace->passes, 3);
    assert_int_equal(made->trace->images_added, 2);
    assert_int_equal(made->trace->positions_computed, expected.count); /* every row once */
    tn_ids_free(&expected);
    run_free(made);
}

/* Positions are those of the whole conversation in one prompt, and so is the last row, to the last bit. */
static void check_one_prompt(const tiny *here, const char *way)
{
    question q;
    int32_t forced[10];
    force(here->model, forced);
    run *made = talk(here, &q, forced, way);
    tn_row rows[TINY_CONTEXT];
    size_t count = made->session->sequence.length;
    memcpy(rows, made->reasoner.span.rows, count * sizeof *rows);
    here->model->backbone->positions(rows, count, 0);
    bool sequential = way[0] == 's';
    for (size_t i = 0; i < count; i++) {
        const tn_position plain = { { (int32_t)i, (int32_t)i, (int32_t)i } };
        assert_memory_equal(&made->reasoner.span.rows[i].position, sequential ? &plain : &rows[i].position, sizeof plain);
    }
    tn_session *whole = replay(made, count, NULL);
    assert_memory_equal(tn_session_hidden(whole).data, tn_session_hidden(made->session).data, tn_session_hidden(whole).cols * sizeof(tn_real));
    tn_session_close(whole);
    /* Negative control: another token in the reply gives another row. */
    made->reasoner.span.rows[made->reasoner.conversation.prompt_count].token = find(here->model, "a");
    whole = replay(made, count, NULL);
    assert_memory_not_equal(tn_session_hidden(whole).data, tn_session_hidden(made->session).data, tn_session_hidden(whole).cols * sizeof(tn_real));
    tn_session_close(whole);
    run_free(made);
}

static void test_as_one_prompt(void **state)
{
    check_one_prompt(*state, "mrope");
    check_one_prompt(*state, "sequential");
}

/* Candidates of later images follow those of the first, each with its row. */
static void test_candidates_of_later_pictures(void **state)
{
    const tiny *here = *state;
    question q;
    int32_t forced[10];
    force(here->model, forced);
    run *made = talk(here, &q, forced, "mrope");
    const tn_reasoner *reasoner = &made->reasoner;
    assert_int_equal(reasoner->conversation.candidate_count, 48);
    for (size_t i = 0; i < 48; i++) {
        const tn_candidate_row *candidate = &reasoner->conversation.candidates[i];
        const tn_picture *picture = &reasoner->conversation.pictures[candidate->picture];
        assert_int_equal(candidate->picture, i / 16);
        assert_int_equal(candidate->index, i % 16);
        assert_memory_equal(row_values(&made->reasoner.span.rows[candidate->row]),
                            picture->rows.embeds.data + candidate->index * picture->rows.embeds.cols,
                            picture->rows.embeds.cols * sizeof(tn_real));
    }
    run_free(made);
}

/* The rows of a dialogue may be reused by the next question. */
static void test_rows_stay_reusable(void **state)
{
    const tiny *here = *state;
    question q;
    int32_t forced[10];
    force(here->model, forced);
    run *made = talk(here, &q, forced, "mrope");
    tn_reasoner *again = calloc(1, sizeof *again);
    assert_non_null(again);
    assert_int_equal(tn_reasoner_open_method(again, made->session, &q.request, &talking, NULL, NULL), TENEBRA_OK);
    assert_int_equal(tn_reasoner_answer(again, NULL), TENEBRA_OK);
    assert_int_equal(again->trace.prompt_reused, again->trace.prompt_tokens - 1);
    assert_true(again->trace.token_count > 10);
    tn_session *whole = replay(made, made->session->sequence.length, NULL);
    assert_memory_equal(tn_session_hidden(whole).data, tn_session_hidden(made->session).data, tn_session_hidden(whole).cols * sizeof(tn_real));
    tn_session_close(whole);
    tn_reasoner_close(again);
    free(again);
    run_free(made);
}

/* ---------------------------------------------------------- forced tokens -- */

/* The tokens of an answer give it again, whatever is sampled otherwise. */
static void test_forced_tokens_replay_an_answer(void **state)
{
    const tiny *here = *state;
    question q, again;
    ask_latent(&q, PICTURE, NULL);
    run *made = run_question(here->model, &q);
    ask_latent(&again, PICTURE, NULL);
    again.request.sampling.temperature = 50;
    again.request.sampling.seed = 5;
    run *sampled = run_question(here->model, &again);
    assert_false(same_tokens(made->trace, sampled->trace)); /* negative control */
    again.request.forced = made->trace->tokens;
    again.request.forced_count = made->trace->token_count;
    run *replayed = run_question(here->model, &again);
    assert_true(same_tokens(made->trace, replayed->trace));
    assert_true(same_hidden(made, replayed));
    run_free(made);
    run_free(sampled);
    run_free(replayed);
}

static void test_forced_tokens_are_checked(void **state)
{
    const tiny *here = *state;
    const int32_t wrong[] = { -1, INT32_MAX, (int32_t)tn_model_vocabulary(here->model) };
    for (size_t i = 0; i < 3; i++) {
        question q;
        tenebra_error error = { 0 };
        tn_session *session = tiny_session(here->model, 1);
        tn_reasoner *reasoner = calloc(1, sizeof *reasoner);
        assert_non_null(reasoner);
        ask_about(&q, "direct", NULL, NULL, "What?");
        q.request.forced = &wrong[i];
        q.request.forced_count = 1;
        assert_int_equal(tn_reasoner_open(reasoner, session, &q.request, NULL, &error), TENEBRA_OK);
        assert_int_equal(tn_reasoner_answer(reasoner, &error), TENEBRA_ERROR_ARGUMENT);
        assert_string_equal(error.where, "forced");
        tn_reasoner_close(reasoner);
        q.request.forced = NULL;
        assert_int_equal(tn_reasoner_open(reasoner, session, &q.request, NULL, &error), TENEBRA_ERROR_ARGUMENT);
        free(reasoner);
        tn_session_close(session);
    }
}

/* ------------------------------------------------------------ no room -- */

static void test_a_turn_that_does_not_fit(void **state)
{
    const tiny *here = *state;
    question q;
    int32_t forced[10];
    tenebra_error error = { 0 };
    force(here->model, forced);
    ask_about(&q, "direct", PICTURE, NULL, "What is it?");
    q.request.forced = forced;
    q.request.forced_count = 10;
    run *made = talk(here, &q, forced, "mrope");
    size_t rows = made->reasoner.conversation.prompt_count + 3 + made->reasoner.conversation.turn_rows;
    run_free(made);
    for (size_t missing = 0; missing < 2; missing++) {
        tn_session *session;
        assert_int_equal(tn_session_open(here->model, &(tn_session_options){ .context = rows - missing, .threads = 1 }, &session, NULL),
                         TENEBRA_OK);
        tn_reasoner *reasoner = calloc(1, sizeof *reasoner);
        assert_non_null(reasoner);
        assert_int_equal(tn_reasoner_open_method(reasoner, session, &q.request, &talking, NULL, &error), TENEBRA_OK);
        assert_int_equal(tn_reasoner_answer(reasoner, &error), TENEBRA_ERROR_LIMIT);
        assert_int_equal(reasoner->pass, missing ? 1 : 2); /* which turn is the one too many */
        tn_reasoner_close(reasoner);
        free(reasoner);
        tn_session_close(session);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_of_a_dialogue),
        cmocka_unit_test(test_as_one_prompt),
        cmocka_unit_test(test_candidates_of_later_pictures),
        cmocka_unit_test(test_rows_stay_reusable),
        cmocka_unit_test(test_forced_tokens_replay_an_answer),
        cmocka_unit_test(test_forced_tokens_are_checked),
        cmocka_unit_test(test_a_turn_that_does_not_fit),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
