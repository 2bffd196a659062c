/* The ends of a prompt: a token of the tokenizer before it, a separator after the latent steps, and prompts without either. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reason/training.h"
#include "text/tokenizer_parts.h"
#include "unit/reason/tiny.h"

#define SEPARATOR "<reserved08706>"
#define QUESTION "What is small and green?"

enum { FRONT = 5 };

/* A model whose template writes a separator that comes after latent steps. The small vocabulary gets the template's tokens for
 * images, which have no rows of their own; the separator and the borders of images are ordinary text to it. */
static tn_model *open_separating(const tiny *here, bool front)
{
    tenebra_error error = { 0 };
    tn_model *model = tiny_open_model(here, "reference");
    if (tn_chat_template_find(here->path, "chameleon", NULL, &model->chat_template, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    tn_tokenizer *tokenizer = (tn_tokenizer *)(uintptr_t)model->tokenizer;
    int32_t id;
    assert_int_equal(tn_tokenizer_add(tokenizer, "<image>", true, &id, NULL), TENEBRA_OK);
    if (front)
        assert_int_equal(tn_ids_push(&tokenizer->front, FRONT, NULL), TENEBRA_OK);
    return model;
}

static tn_ids ids_of(const tn_model *model, const char *text)
{
    tn_ids ids = { 0 };
    const tn_text_span span = { text, strlen(text), TN_CONTROL_NONE };
    assert_int_equal(tn_tokenizer_encode(model->tokenizer, &span, 1, &ids, NULL), TENEBRA_OK);
    return ids;
}

/* Whether the rows are the tokens of the text; *count is then their number. */
static bool rows_say(const tn_model *model, const tn_row *rows, const char *text, size_t *count)
{
    tn_ids ids = ids_of(model, text);
    bool same = true;
    for (size_t i = 0; i < ids.count && same; i++)
        same = rows[i].kind == TN_ROW_TOKEN && rows[i].token == ids.ids[i];
    *count = ids.count;
    tn_ids_free(&ids);
    return same;
}

static const char *const methods[] = { "direct", "coconut", "ivt-lr" };

/* Front, image between its borders, question; latent steps; separator; answer. */
static void the_separator_follows_latent_steps(void **state)
{
    const tiny *here = *state;
    for (size_t m = 0; m < 3; m++)
        for (int front = 0; front < 2; front++) {
            tn_model *model = open_separating(here, front);
            question q;
            ask_about(&q, methods[m], PICTURE, NULL, QUESTION);
            q.request.positions = "sequential";
            if (m > 0)
                ask_set(&q, "n-latent", "2");
            if (m == 2)
                ask_set(&q, "k-select", "3");
            run *made = run_question(model, &q);
            const tn_row *rows = made->reasoner.span.rows;
            size_t at = 0, count;
            if (front)
                assert_true(rows[at].kind == TN_ROW_TOKEN && rows[at++].token == FRONT);
            assert_true(rows_say(model, rows + at, "<racm3:break>", &count));
            at += count;
            for (size_t cell = 0; cell < 16; cell++)
                assert_int_equal(rows[at++].kind, TN_ROW_CELL);
            assert_true(rows_say(model, rows + at, "<eoss>" QUESTION, &count));
            at += count;
            for (size_t step = 0; step < 2 * (size_t)(m > 0); step++) {
                for (size_t pick = 0; pick < 3 * (size_t)(m == 2); pick++)
                    assert_int_equal(rows[at++].kind, TN_ROW_CELL);
                assert_int_equal(rows[at++].kind, TN_ROW_VECTOR);
            }
            size_t before = at;
            assert_true(rows_say(model, rows + at, SEPARATOR, &count));
            at += count;
            for (size_t i = 0; i < at; i++)
                assert_int_equal(rows[i].position.axis[0], i);
            size_t inserted = m == 0 ? 0 : m == 1 ? 2 : 8;
            assert_int_equal(made->trace->prompt_tokens, at - inserted);
            assert_int_equal(made->trace->positions_computed, at + made->trace->token_count - 1);
            for (size_t i = 0; i + 1 < made->trace->token_count; i++)
                assert_int_equal(rows[at + i].token, made->trace->tokens[i]);
            if (m > 0) /* not at the end of the prompt, where another method has it */
                assert_false(rows_say(model, rows + before - inserted, SEPARATOR, &count));
            run_free(made);
            tn_model_close(model);
        }
}

/* The rows run once more, and computed as the reference does. */
static void the_answer_is_that_of_the_rows(void **state)
{
    const tiny *here = *state;
    tn_model *model = open_separating(here, true);
    for (size_t m = 0; m < 3; m++) {
        question q;
        ask_about(&q, methods[m], PICTURE, NULL, QUESTION);
        run *made = run_question(model, &q);
        q.request.recompute = true;
        run *again = run_question(model, &q);
        assert_true(same_tokens(made->trace, again->trace));
        tn_session *session = replay(made, made->session->sequence.length, NULL);
        assert_true(rows_within(tn_session_hidden(session).data, tn_session_hidden(made->session).data,
                                tn_session_hidden(session).cols, 1e-4));
        tn_session_close(session);
        run_free(again);
        run_free(made);
    }
    tn_model_close(model);
}

/* A dialogue goes on after the reply: the rows of the separator are there once for each turn. */
static void a_further_turn(void **state)
{
    const tiny *here = *state;
    tn_model *model = open_separating(here, true);
    question q;
    ask_about(&q, "ivt-lr", PICTURE, NULL, QUESTION);
    ask_set(&q, "n-latent", "1");
    q.request.answer_turn = "Say it again.";
    run *made = run_question(model, &q);
    const tn_row *rows = made->reasoner.span.rows;
    size_t found = 0, length = made->session->sequence.length, count;
    for (size_t i = 0; i + 4 < length; i++)
        found += rows_say(model, rows + i, SEPARATOR, &count);
    assert_int_equal(found, 3); /* of the question, of the reply, of the second question */
    run_free(made);
    tn_model_close(model);
}

/* Nothing but the texts and images of the message. */
static void a_bare_message(void **state)
{
    const tiny *here = *state;
    tn_model *model = open_separating(here, true);
    question q;
    ask_about(&q, "ivt-lr", PICTURE, NULL, QUESTION);
    ask_set(&q, "n-latent", "1");
    q.message.role = "bare";
    run *made = run_question(model, &q);
    const tn_row *rows = made->reasoner.span.rows;
    size_t count;
    for (size_t cell = 0; cell < 16; cell++)
        assert_int_equal(rows[cell].kind, TN_ROW_CELL);
    assert_true(rows_say(model, rows + 16, QUESTION, &count));
    assert_int_equal(made->trace->prompt_tokens, 16 + count);
    run_free(made);
    tenebra_message two[2] = { q.message, { "user", q.parts + 1, 1 } };
    q.request.messages = two;
    q.request.message_count = 2;
    tenebra_error error = { 0 };
    tn_session *session = tiny_session(model, 1);
    tn_reasoner reasoner;
    assert_int_equal(tn_reasoner_open(&reasoner, session, &q.request, NULL, &error), TENEBRA_OK);
    assert_int_equal(tn_reasoner_answer(&reasoner, &error), TENEBRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.sentence, "must be the only one"));
    tn_reasoner_close(&reasoner);
    tn_session_close(session);
    tn_model_close(model);
}

/* Training examples have the same rows before their labels. */
static void training_examples_have_it_in_the_same_place(void **state)
{
    const tiny *here = *state;
    tn_model *model = open_separating(here, true);
    static const tenebra_setting settings[] = { { "n-latent", "2" }, { "k-select", "3" } };
    const tn_training_options options = { .method = "ivt-lr", .settings = settings, .setting_count = 2, .threads = 1,
                                          .image.width = 112, .image.height = 112 };
    tenebra_error error = { 0 };
    tn_training *training;
    assert_int_equal(tn_training_open(model, &options, &training, &error), TENEBRA_OK);
    tenebra_part parts[] = { { .kind = TENEBRA_PART_IMAGE_FILE, .text = PICTURE }, { .kind = TENEBRA_PART_TEXT, .text = QUESTION } };
    static const char *const steps[] = { "It is round.", "It is green." };
    for (size_t latents = 0; latents < 3; latents++)
        for (int bare = 0; bare < 2; bare++) {
            const tenebra_message message = { bare ? "bare" : "user", parts, 2 };
            const tn_train_example_source source = { .messages = &message, .message_count = 1, .steps = steps, .step_count = 2,
                                                     .answer = "B", .latents = latents, .skip = latents };
            tn_train_example example;
            assert_int_equal(tn_training_prepare(training, &source, &example, &error), TENEBRA_OK);
            size_t count = 0, at = example.prompt;
            bool there = rows_say(model, example.text + at, SEPARATOR, &count);
            assert_int_equal(there, !bare);
            at += there ? count : 0;
            for (size_t i = 0; i < at; i++)
                assert_int_equal(example.labels[i], -1);
            assert_true(example.labels[at] >= 0);
            assert_int_equal(example.latent_steps, latents);
            assert_int_equal(example.part_count, latents > 0 ? 3 : 1);
            if (latents > 0)
                assert_int_equal(example.parts[0].rows, example.prompt);
            assert_int_equal(example.text[0].kind, bare ? TN_ROW_CELL : TN_ROW_TOKEN);
            assert_true(bare || example.text[0].token == FRONT);
            tn_train_example_free(&example);
        }
    tn_training_close(training);
    tn_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_separator_follows_latent_steps),
        cmocka_unit_test(the_answer_is_that_of_the_rows),
        cmocka_unit_test(a_further_turn),
        cmocka_unit_test(a_bare_message),
        cmocka_unit_test(training_examples_have_it_in_the_same_place),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
