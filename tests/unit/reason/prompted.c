/* Methods that reason in words over one or two prompts: their prompts as text, shared rows, caps, pictures drawn over,
 * solved examples, the turn that asks for an option. Forced tokens make replies known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"
#include "image/decode.h"
#include "image/overlay.h"
#include "model/lora.h"
#include "unit/reason/tiny.h"

enum { CONTEXT = 2048, FORCED_MAX = 256 };

#define SYSTEM   "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
#define USER     "<|im_start|>user\n"
#define VIEW     "<|vision_start|><|image_pad|><|vision_end|>"
#define REPLY    "<|im_end|>\n<|im_start|>assistant\n"
#define QUESTION "What is green?\nA) a hat\nB) a cup"

/* -------------------------------------------------------------- asking -- */

typedef struct talk {
    question q;
    tenebra_message messages[3];
    tenebra_part system, example_parts[2];
    tenebra_example example;
    int32_t forced[FORCED_MAX];
    tn_session *session;
    tn_reasoner *reasoner;
    const tenebra_trace *trace;
    char drafts[4096], text[4096]; /* as they were told */
} talk;

static bool listen(void *user, const tenebra_event *event)
{
    talk *t = user;
    char *to = event->kind == TENEBRA_EVENT_DRAFT ? t->drafts : event->kind == TENEBRA_EVENT_TEXT ? t->text : NULL;
    if (to != NULL) {
        assert_true(strlen(to) + strlen(event->text) < sizeof t->text);
        strcat(to, event->text);
    }
    return true;
}

static talk *talk_new(const char *method)
{
    talk *t = calloc(1, sizeof *t);
    assert_non_null(t);
    ask_about(&t->q, method, PICTURE, NULL, QUESTION "\nAnswer:\n");
    t->q.request.max_tokens = 40;
    t->q.request.on_event = listen;
    t->q.request.user = t;
    return t;
}

/* A solved question about the other picture. */
static void talk_example(talk *t)
{
    t->example_parts[0] = (tenebra_part){ .kind = TENEBRA_PART_IMAGE_FILE, .text = OTHER_PICTURE };
    t->example_parts[1] = (tenebra_part){ .kind = TENEBRA_PART_TEXT, .text = "What is red?\nAnswer:" };
    t->example = (tenebra_example){ .parts = t->example_parts,
                                    .part_count = 2,
                                    .answer = "So it is A",
                                    .label = "A",
                                    .rationale = "First this.\nThen that.",
                                    .scene_graph = "{\"objects\": []}" };
    t->q.request.example = &t->example;
}

/* The first tokens are those of these texts, each ended by the end token. */
static void talk_force(talk *t, const tn_model *model, const char *const *replies)
{
    t->q.request.forced = t->forced;
    t->q.request.forced_count = 0;
    for (; *replies != NULL; replies++) {
        const tn_text_span span = { *replies, strlen(*replies), false };
        tn_ids ids = { 0 };
        assert_int_equal(tn_tokenizer_encode(model->tokenizer, &span, 1, &ids, NULL), TENEBRA_OK);
        assert_true(t->q.request.forced_count + ids.count < FORCED_MAX);
        memcpy(t->forced + t->q.request.forced_count, ids.ids, ids.count * sizeof *ids.ids);
        t->q.request.forced_count += ids.count;
        t->forced[t->q.request.forced_count++] = model->config.eos_tokens[0];
        tn_ids_free(&ids);
    }
}

/* The first `count` tokens do not end anything. */
static void talk_fill(talk *t, size_t count)
{
    assert_true(count <= FORCED_MAX);
    for (size_t i = 0; i < count; i++)
        t->forced[i] = 5 + (int32_t)(i % 3);
    t->q.request.forced = t->forced;
    t->q.request.forced_count = count;
}

static tenebra_code talk_try(talk *t, const tn_model *model, tenebra_error *error)
{
    t->session = tn_session_open(model, &(tn_session_options){ .context = CONTEXT, .threads = 1 }, NULL);
    t->reasoner = calloc(1, sizeof *t->reasoner);
    assert_true(t->session != NULL && t->reasoner != NULL);
    t->trace = &t->reasoner->trace;
    TN_TRY(tn_reasoner_open(t->reasoner, t->session, &t->q.request, NULL, error));
    return tn_reasoner_answer(t->reasoner, error);
}

static void talk_run(talk *t, const tn_model *model)
{
    tenebra_error error = { 0 };
    if (talk_try(t, model, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
}

static void talk_end(talk *t)
{
    tn_reasoner_close(t->reasoner);
    free(t->reasoner);
    tn_session_close(t->session);
    free(t);
}

static void check_prompt(const talk *t, size_t pass, const char *prompt)
{
    assert_true(pass < t->trace->passes);
    assert_string_equal(t->trace->pass[pass].prompt, prompt);
}

/* Rows that ran: of each prompt those that were not known, and of each reply all tokens but the last. Nothing else. */
static void check_account(const talk *t)
{
    size_t rows = 0, tokens = 0;
    for (size_t i = 0; i < t->trace->passes; i++) {
        const tenebra_pass *pass = &t->trace->pass[i];
        rows += pass->prompt_tokens - pass->reused + pass->token_count - 1;
        tokens += pass->token_count;
    }
    assert_int_equal(t->trace->positions_computed, rows);
    assert_int_equal(t->trace->token_count, tokens);
    assert_true(t->trace->latent_steps == 0 && t->trace->injected_tokens == 0 && t->trace->crops == 0);
    assert_string_equal(t->trace->text, t->trace->pass[t->trace->passes - 1].text);
    assert_string_equal(t->text, t->trace->text);
}

/* The last pass answers as a session that is asked its prompt at once: `text` is that prompt's question. */
static void check_last_pass(const talk *t, const tn_model *model, const char *text, size_t limit)
{
    talk *fresh = talk_new("direct");
    fresh->q.parts[1].text = text;
    fresh->q.request.max_tokens = limit;
    talk_run(fresh, model);
    const tenebra_pass *last = &t->trace->pass[t->trace->passes - 1];
    assert_string_equal(last->prompt, fresh->trace->pass[0].prompt);
    assert_string_equal(last->text, fresh->trace->text);
    assert_int_equal(last->token_count, fresh->trace->token_count);
    assert_memory_equal(t->trace->tokens + t->trace->token_count - last->token_count, fresh->trace->tokens,
                        last->token_count * sizeof *fresh->trace->tokens);
    talk_end(fresh);
}

/* ----------------------------------------------------- rationale, answer -- */

static void test_rationale_then_answer(void **state)
{
    const tiny *here = *state;
    static const char *const replies[] = { " It\n\n stands  still. \n", NULL };
    talk *t = talk_new("mmcot");
    talk_force(t, here->model, replies);
    ask_set(&t->q, "answer-tokens", "5");
    talk_run(t, here->model);
    assert_int_equal(t->trace->passes, 2);
    check_prompt(t, 0, SYSTEM USER VIEW QUESTION "\nSolution:" REPLY);
    check_prompt(t, 1, SYSTEM USER VIEW QUESTION "\nSolution: It stands still.\nAnswer:" REPLY);
    assert_string_equal(t->trace->pass[0].text, replies[0]);
    assert_string_equal(t->drafts, replies[0]);
    assert_int_equal(t->trace->pass[0].finish, TENEBRA_FINISH_END_TOKEN);
    assert_int_equal(t->trace->pass[1].token_count, 5);
    assert_int_equal(t->trace->pass[1].finish, TENEBRA_FINISH_LENGTH);
    /* All up to "Solution:" is known: less is what only follows it in the first prompt. */
    assert_int_equal(t->trace->pass[0].reused, 0);
    assert_true(t->trace->pass[1].reused > 16 + 8);
    assert_true(t->trace->pass[1].reused < t->trace->pass[0].prompt_tokens);
    check_account(t);
    check_last_pass(t, here->model, QUESTION "\nSolution: It stands still.\nAnswer:", 5);
    talk_end(t);
}

static void test_caps_of_both_passes(void **state)
{
    const tiny *here = *state;
    talk *t = talk_new("mmcot");
    ask_set(&t->q, "rationale-tokens", "3");
    talk_fill(t, 3 + 40);
    talk_run(t, here->model);
    assert_int_equal(t->trace->pass[0].token_count, 3);
    assert_int_equal(t->trace->pass[1].token_count, 40); /* 64, and no more than the request wants */
    check_account(t);
    talk_end(t);
}

/* As the reference: each prompt runs whole, with the same answer. */
static void test_recomputing(void **state)
{
    const tiny *here = *state;
    talk *t = talk_new("mmcot"), *shared = talk_new("mmcot");
    ask_set(&t->q, "rationale-tokens", "6");
    ask_set(&shared->q, "rationale-tokens", "6");
    t->q.request.recompute = true;
    talk_run(t, here->model);
    talk_run(shared, here->model);
    assert_true(shared->trace->pass[1].reused > 0);
    assert_int_equal(t->trace->pass[1].reused, 0);
    assert_string_equal(t->trace->pass[0].text, shared->trace->pass[0].text);
    assert_string_equal(t->trace->text, shared->trace->text);
    for (size_t i = 0; i < 2; i++)
        assert_true(t->trace->pass[i].prompt_tokens == shared->trace->pass[i].prompt_tokens);
    assert_true(t->trace->positions_computed >= shared->trace->positions_computed + shared->trace->pass[1].reused);
    talk_end(t);
    talk_end(shared);
}

static void test_one_pass(void **state)
{
    const tiny *here = *state;
    talk *t = talk_new("mmcot");
    ask_set(&t->q, "passes", "1");
    talk_run(t, here->model);
    assert_int_equal(t->trace->passes, 1);
    check_prompt(t, 0, SYSTEM USER VIEW QUESTION "\nSolution:" REPLY);
    assert_string_equal(t->drafts, "");
    check_account(t);
    talk_end(t);
}

/* ----------------------------------------------------------- scene graph -- */

#define GRAPH_REQUEST                                                                                                  \
    "\nWrite a scene graph in JSON for this picture and this question. It holds, as far as they matter for the "       \
    "answer:"                                                                                                          \
    "\n(1) the objects\n(2) the attributes of the objects\n(3) the relationships between the objects"
#define GRAPH_CONTEXT(graph)                                                                                           \
    "Scene Graph: " graph "\n\nTake the picture and the scene graph as context for this question:\n"
#define LETTER "\nAnswer with the letter of the right option alone."

static void test_scene_graph_then_answer(void **state)
{
    const tiny *here = *state;
    static const char *const replies[] = { " {\"a\": 1} so\n", NULL };
    talk *t = talk_new("ccot");
    talk_force(t, here->model, replies);
    talk_run(t, here->model);
    assert_int_equal(t->trace->passes, 2);
    check_prompt(t, 0, SYSTEM USER VIEW QUESTION GRAPH_REQUEST "\nScene Graph:" REPLY);
    check_prompt(t, 1, SYSTEM USER VIEW GRAPH_CONTEXT("{\"a\": 1} so") QUESTION LETTER REPLY);
    assert_string_equal(t->drafts, replies[0]);
    assert_true(t->trace->pass[1].reused >= 16 + 8); /* the system message and the picture */
    check_account(t);
    check_last_pass(t, here->model, GRAPH_CONTEXT("{\"a\": 1} so") QUESTION LETTER, 40);
    talk_end(t);
}

static void test_scene_graph_variants(void **state)
{
    const tiny *here = *state;
    talk *t = talk_new("ccot");
    ask_set(&t->q, "graph-cue", "off");
    ask_set(&t->q, "graph-options", "cut");
    ask_set(&t->q, "graph-tokens", "7");
    ask_set(&t->q, "letter-cue", "");
    talk_fill(t, 7 + 40);
    talk_run(t, here->model);
    check_prompt(t, 0, SYSTEM USER VIEW "What is green?" GRAPH_REQUEST REPLY);
    assert_non_null(strstr(t->trace->pass[1].prompt, "this question:\n" QUESTION REPLY)); /* whole again */
    assert_int_equal(t->trace->pass[0].token_count, 7);
    assert_int_equal(t->trace->pass[0].finish, TENEBRA_FINISH_LENGTH);
    assert_int_equal(t->trace->pass[1].token_count, 40);
    check_account(t);
    talk_end(t);
}

/* The published cap without being asked: 256 tokens, however many the answer may have. */
static void test_cap_of_the_scene_graph(void **state)
{
    const tiny *here = *state;
    talk *t = talk_new("ccot");
    t->q.request.max_tokens = 300;
    talk_fill(t, FORCED_MAX);
    talk_run(t, here->model);
    assert_int_equal(t->trace->pass[0].token_count, 256);
    assert_int_equal(t->trace->pass[0].finish, TENEBRA_FINISH_LENGTH);
    check_account(t);
    talk_end(t);
}

/* The graph ends where its outermost bracket closes; brackets in strings and behind backslashes do not count. */
static void test_json_close(void **state)
{
    const tiny *here = *state;
    static const struct {
        const char *reply, *kept;
    } rows[] = {
        { "Here: {\"a}\": \"\\\"}\", \"b\": [1, {}]} and {\"c\": 1}", "Here: {\"a}\": \"\\\"}\", \"b\": [1, {}]}" },
        { "[{}] {}", "[{}]" },
        { "a \"quoted { word\" {\"x\": \"\\\\\"} tail", NULL },
        { "} no { end", NULL },
        { "nothing at all", NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int closing = 0; closing < 2; closing++) {
            const char *const replies[] = { rows[i].reply, NULL };
            talk *t = talk_new("ccot");
            talk_force(t, here->model, replies);
            t->q.request.max_tokens = 100;
            ask_set(&t->q, "close-json", closing ? "on" : "off");
            talk_run(t, here->model);
            bool cut = closing && rows[i].kept != NULL;
            assert_string_equal(t->trace->pass[0].text, cut ? rows[i].kept : rows[i].reply);
            assert_int_equal(t->trace->pass[0].finish, cut ? TENEBRA_FINISH_STOP_TEXT : TENEBRA_FINISH_END_TOKEN);
            const char *context = strstr(t->trace->pass[1].prompt, "Scene Graph: ");
            assert_non_null(context);
            assert_memory_equal(context + 13, t->trace->pass[0].text, strlen(t->trace->pass[0].text));
            assert_memory_equal(context + 13 + strlen(t->trace->pass[0].text), "\n\n", 2);
            if (!cut)
                check_account(t);
            talk_end(t);
        }
}

/* ------------------------------------------------------------------ dots -- */

/* Whether the picture is `file` with dots (rows 0: without) as number `sequence`. */
static bool is_drawn(const talk *t, size_t picture, const char *file, size_t rows, size_t columns, size_t sequence)
{
    tn_image image = { 0 }, drawn = { 0 };
    assert_int_equal(tn_image_read(&image, file, NULL, true, NULL), TENEBRA_OK);
    if (rows > 0)
        assert_int_equal(tn_overlay_dots(&image, rows, columns, sequence, &drawn, NULL), TENEBRA_OK);
    size_t before = t->reasoner->picture_count;
    assert_int_equal(tn_reasoner_add_picture(t->reasoner, rows > 0 ? &drawn : &image, NULL), TENEBRA_OK);
    tn_image_free(&image);
    tn_image_free(&drawn);
    assert_true(picture < before);
    t->reasoner->picture_count = before;
    return tn_digest_equal(&t->reasoner->pictures[picture].content, &t->reasoner->pictures[before].content);
}

#define RULES                                                                                                          \
    "Work by these rules:\n1. When you name something that matters, say the coordinates of the dot nearest to it "     \
    "first.\n"                                                                                                         \
    "2. Tell from the coordinates how things lie to each other: x is the row and grows from top to bottom, y is the "  \
    "column and grows from left to right.\n"                                                                           \
    "3. Use the dots to go through the picture region by region, and reason about each.\n"                             \
    "4. Put your final answer between double square brackets, as in [[answer]]."
#define GUIDE_BOTH                                                                                                     \
    "Each picture comes twice: as it is, and then drawn over with a matrix of 6 x 6 dots. Beside each dot stand its "  \
    "coordinates, (x,y). " RULES

static void test_dots_behind_the_picture(void **state)
{
    const tiny *here = *state;
    talk *t = talk_new("scaffold");
    talk_run(t, here->model);
    check_prompt(t, 0, "<|im_start|>system\n" GUIDE_BOTH "<|im_end|>\n" USER VIEW VIEW QUESTION REPLY);
    assert_int_equal(t->reasoner->picture_count, 2);
    assert_int_equal(t->trace->image_tokens, 32);
    assert_true(is_drawn(t, 0, PICTURE, 0, 0, 0));
    assert_true(is_drawn(t, 1, PICTURE, 6, 6, 0));
    assert_false(is_drawn(t, 1, PICTURE, 0, 0, 0));
    assert_false(is_drawn(t, 1, PICTURE, 6, 5, 0));
    check_account(t);
    talk_end(t);
}

static void test_dots_alone(void **state)
{
    const tiny *here = *state;
    talk *t = talk_new("scaffold");
    ask_set(&t->q, "images", "overlay");
    ask_set(&t->q, "dot-rows", "2");
    ask_set(&t->q, "dot-columns", "3");
    t->system = (tenebra_part){ .kind = TENEBRA_PART_TEXT, .text = "Be brief." };
    t->messages[0] = (tenebra_message){ "system", &t->system, 1 };
    t->messages[1] = t->q.message;
    t->q.request.messages = t->messages;
    t->q.request.message_count = 2;
    talk_run(t, here->model);
    check_prompt(t, 0,
                 "<|im_start|>system\nBe brief.\n\nEach picture is drawn over with a matrix of 2 x 3 dots. Beside each "
                 "dot stand "
                 "its coordinates, (x,y). " RULES "<|im_end|>\n" USER VIEW QUESTION REPLY);
    assert_int_equal(t->reasoner->picture_count, 1);
    assert_true(is_drawn(t, 0, PICTURE, 2, 3, 0));
    talk_end(t);
}

/* Several pictures are numbered. */
static void test_dots_on_two_pictures(void **state)
{
    const tiny *here = *state;
    talk *t = talk_new("scaffold");
    tenebra_part text = t->q.parts[1];
    t->q.parts[1] = (tenebra_part){ .kind = TENEBRA_PART_IMAGE_FILE, .text = OTHER_PICTURE };
    t->q.parts[2] = text;
    t->q.message.part_count = 3;
    talk_run(t, here->model);
    assert_non_null(strstr(t->trace->pass[0].prompt, "coordinates, (t,x,y). t is the number of the picture. Work"));
    assert_non_null(strstr(t->trace->pass[0].prompt, USER VIEW VIEW VIEW VIEW QUESTION));
    assert_true(is_drawn(t, 0, PICTURE, 0, 0, 0) && is_drawn(t, 1, PICTURE, 6, 6, 1));
    assert_true(is_drawn(t, 2, OTHER_PICTURE, 0, 0, 0) && is_drawn(t, 3, OTHER_PICTURE, 6, 6, 2));
    assert_false(is_drawn(t, 3, OTHER_PICTURE, 6, 6, 1));
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(t->trace->pictures[i].source, i / 2);
    talk_end(t);
}

/* -------------------------------------------------------------- examples -- */

static void check_example(const tiny *here, const char *method, size_t passes, const char *const *prompts)
{
    talk *t = talk_new(method);
    static const char *const replies[] = { "one", NULL };
    talk_example(t);
    talk_force(t, here->model, replies);
    talk_run(t, here->model);
    assert_int_equal(t->trace->passes, passes);
    for (size_t i = 0; i < passes; i++)
        check_prompt(t, i, prompts[i]);
    assert_true(is_drawn(t, 0, OTHER_PICTURE, 0, 0, 0)); /* in the order of the conversation */
    size_t half = t->trace->picture_count / 2;
    assert_true(is_drawn(t, half, PICTURE, 0, 0, 0));
    for (size_t i = 0; i < 2 * half; i++)
        assert_true(t->trace->pictures[i].source == (i < half ? SIZE_MAX : 0));
    check_account(t);
    talk_end(t);
}

static void test_example_of_each_method(void **state)
{
    static const char *const direct[] = { SYSTEM USER VIEW "What is red?\nAnswer:" REPLY
                                                           "So it is A<|im_end|>\n" USER VIEW QUESTION
                                                           "\nAnswer:\n" REPLY };
    static const char *const cot[] = { SYSTEM USER VIEW
                                       "What is red?\nAnswer:\nLet's think step by step." REPLY
                                       "First this.\nThen that.\nSo it is A<|im_end|>\n" USER VIEW QUESTION
                                       "\nAnswer:\n\nLet's think step by step." REPLY };
    static const char *const mmcot[] = {
        SYSTEM USER VIEW "What is red?\nSolution:" REPLY "First this.\nThen that.<|im_end|>\n" USER VIEW QUESTION
                         "\nSolution:" REPLY,
        SYSTEM USER VIEW "What is red?\nSolution: First this. Then that.\nAnswer:" REPLY
                         "So it is A<|im_end|>\n" USER VIEW QUESTION "\nSolution: one\nAnswer:" REPLY,
    };
    static const char *const ccot[] = {
        SYSTEM USER VIEW "What is red?" GRAPH_REQUEST "\nScene Graph:" REPLY
                         "{\"objects\": []}<|im_end|>\n" USER VIEW QUESTION GRAPH_REQUEST "\nScene Graph:" REPLY,
        SYSTEM USER VIEW GRAPH_CONTEXT("{\"objects\": []}") "What is red?" LETTER REPLY
                                                            "A<|im_end|>\n" USER VIEW GRAPH_CONTEXT("one")
                                                                QUESTION LETTER REPLY,
    };
    static const char *const scaffold[] = {
        "<|im_start|>system\n" GUIDE_BOTH "<|im_end|>\n" USER VIEW VIEW "What is red?" REPLY
        "First this.\nThen that.\n[[A]]<|im_end|>\n" USER VIEW VIEW QUESTION REPLY
    };
    check_example(*state, "direct", 1, direct);
    check_example(*state, "cot", 1, cot);
    check_example(*state, "mmcot", 2, mmcot);
    check_example(*state, "ccot", 2, ccot);
    check_example(*state, "scaffold", 1, scaffold);
}

/* Behind the system message, before a conversation of several turns. */
static void test_place_of_the_example(void **state)
{
    const tiny *here = *state;
    talk *t = talk_new("direct");
    talk_example(t);
    t->system = (tenebra_part){ .kind = TENEBRA_PART_TEXT, .text = "Be brief." };
    t->messages[0] = (tenebra_message){ "system", &t->system, 1 };
    t->messages[1] = (tenebra_message){ "assistant", &t->system, 1 };
    t->messages[2] = t->q.message;
    t->q.request.messages = t->messages;
    t->q.request.message_count = 3;
    talk_run(t, here->model);
    check_prompt(t, 0,
                 "<|im_start|>system\nBe brief.<|im_end|>\n" USER VIEW "What is red?\nAnswer:" REPLY
                 "So it is A<|im_end|>\n<|im_start|>assistant\nBe brief.<|im_end|>\n" USER VIEW QUESTION
                 "\nAnswer:\n" REPLY);
    talk_end(t);
}

static void refuse(const tiny *here, talk *t, const char *words)
{
    tenebra_error error = { 0 };
    assert_int_equal(talk_try(t, here->model, &error), TENEBRA_ERROR_ARGUMENT);
    if (strstr(error.sentence, words) == NULL)
        fail_msg("'%s' does not hold '%s'", error.sentence, words);
    talk_end(t);
}

static void test_examples_that_do_not_fit(void **state)
{
    talk *t = talk_new("ivt-lr");
    talk_example(t);
    refuse(*state, t, "takes none");
    t = talk_new("mmcot");
    talk_example(t);
    t->example.rationale = NULL;
    refuse(*state, t, "rationale");
    t = talk_new("ccot");
    talk_example(t);
    t->example.scene_graph = NULL;
    refuse(*state, t, "scene graph");
    t = talk_new("direct");
    talk_example(t);
    t->example.answer = NULL;
    refuse(*state, t, "no answer");
    t = talk_new("direct");
    talk_example(t);
    t->example.rationale = "\xFF";
    refuse(*state, t, "UTF-8");
    t = talk_new("direct");
    talk_example(t);
    t->example.parts = NULL;
    refuse(*state, t, "missing");
    t = talk_new("direct");
    talk_example(t);
    t->example_parts[1].text = NULL;
    refuse(*state, t, "no text");
    t = talk_new("direct");
    t->q.request.answer_turn = "\xC0";
    refuse(*state, t, "UTF-8");
    t = talk_new("mmcot"); /* nobody asks */
    t->q.message.role = "system";
    refuse(*state, t, "no message of the user");
    t = talk_new("mmcot");
    talk_example(t); /* who only asks in the example does not ask either */
    t->q.message.role = "system";
    t->messages[0] = t->q.message;
    t->messages[1] = (tenebra_message){ "assistant", &t->q.parts[1], 1 };
    t->q.request.messages = t->messages;
    t->q.request.message_count = 2;
    refuse(*state, t, "no message of the user");
}

/* ---------------------------------------------------------- answer turn -- */

static void test_answer_turn(void **state)
{
    const tiny *here = *state;
    static const char *const replies[] = { "It stands.", "a cup, B", "B", NULL };
    talk *t = talk_new("mmcot");
    t->q.request.answer_turn = "Which <|im_end|> option?";
    talk_force(t, here->model, replies);
    talk_run(t, here->model);
    assert_int_equal(t->trace->passes, 3);
    check_prompt(t, 1, SYSTEM USER VIEW QUESTION "\nSolution: It stands.\nAnswer:" REPLY);
    check_prompt(t, 2, "<|im_end|>\n" USER "Which <|im_end|> option?" REPLY);
    assert_string_equal(t->trace->text, "B");
    assert_string_equal(t->drafts, "It stands.a cup, B");
    /* Nothing of the conversation ran again, and the turn's own text is no control token. */
    assert_int_equal(t->trace->pass[2].reused, 0);
    assert_true(t->trace->pass[2].prompt_tokens > 15 && t->trace->pass[2].prompt_tokens < 45);
    assert_int_equal(t->session->length, t->trace->pass[1].prompt_tokens + t->trace->pass[1].token_count - 1 +
                                             t->trace->pass[2].prompt_tokens + t->trace->pass[2].token_count - 1);
    check_account(t);
    talk_end(t);
}

/* Rows of latent steps stay where they are: the turn comes behind them. */
static void test_answer_turn_behind_latents(void **state)
{
    const tiny *here = *state;
    talk *t = talk_new("ivt-lr"), *without = talk_new("ivt-lr");
    ask_set(&t->q, "k-select", "4");
    ask_set(&without->q, "k-select", "4");
    t->q.request.answer_turn = "Which?";
    t->q.request.max_tokens = without->q.request.max_tokens = 6;
    talk_run(t, here->model);
    talk_run(without, here->model);
    assert_int_equal(t->trace->passes, 2);
    assert_int_equal(t->trace->latent_steps, 3);
    assert_string_equal(t->trace->pass[0].text, without->trace->text);
    assert_string_equal(t->drafts, without->trace->text);
    assert_string_equal(without->drafts, "");
    assert_int_equal(t->trace->positions_computed, without->trace->positions_computed +
                                                       t->trace->pass[1].prompt_tokens + t->trace->pass[1].token_count -
                                                       1);
    talk_end(t);
    talk_end(without);
}

/* --------------------------------------------------- adapters of passes -- */

/* An adapter of all linear layers, in a fresh directory. */
static char *make_adapter(const tiny *here, bool vision)
{
    tenebra_error error = { 0 };
    tn_rng rng = tn_rng_seed(9);
    const tn_lora_options options = { .rank = 2, .alpha = 40, .pattern = "all-linear", .without_vision = !vision };
    tn_model *model = tiny_open_model(here, "reference");
    tn_adapter *adapter = tn_adapter_make(model, &options, &rng, &error);
    assert_non_null(adapter);
    for (size_t m = 0; m < adapter->module_count; m++)
        for (size_t i = 0; i < adapter->modules[m].rank * adapter->modules[m].outputs; i++)
            adapter->modules[m].b[i] = (tn_real)(tn_rng_uniform(&rng) - 0.5);
    char *directory = make_directory();
    if (tn_adapter_write(adapter, directory, NULL, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    tn_adapter_close(adapter);
    tn_model_close(model);
    return directory;
}

/* pass 0: always. */
static tn_model *open_with(const tiny *here, const char *directory, size_t pass)
{
    const tenebra_adapter adapter = { .directory = directory, .strength = 1, .pass = pass };
    const tn_model_options options = { .kernels = "reference", .adapters = &adapter, .adapter_count = 1 };
    tn_model *model = tn_model_open(here->path, &options, NULL);
    assert_non_null(model);
    return model;
}

/* The second pass is that of a model with the adapter, the first that of one without, and rows of the one are not taken
 * for rows of the other, nor embeddings if the tower changes. */
static void check_adapter(const tiny *here, bool vision)
{
    char *directory = make_adapter(here, vision), text[1024];
    tn_model *with = open_with(here, directory, 0), *both = open_with(here, directory, 2);
    talk *t = talk_new("mmcot"), *plain = talk_new("mmcot");
    ask_set(&t->q, "rationale-tokens", "6");
    ask_set(&plain->q, "rationale-tokens", "6");
    talk_run(t, both);
    talk_run(plain, here->model);
    assert_string_equal(t->trace->pass[0].text, plain->trace->pass[0].text);
    assert_string_equal(t->trace->pass[1].prompt, plain->trace->pass[1].prompt);
    assert_string_not_equal(t->trace->pass[1].text, plain->trace->pass[1].text);
    assert_true(plain->trace->pass[1].reused > 0);
    assert_int_equal(t->trace->pass[1].reused, 0);
    assert_int_equal(t->reasoner->picture_count, 1);
    const char *begin = strstr(t->trace->pass[1].prompt, QUESTION);
    const char *end = strstr(t->trace->pass[1].prompt, "Answer:<|im_end|>");
    assert_true(begin != NULL && end != NULL);
    snprintf(text, sizeof text, "%.*sAnswer:", (int)(end - begin), begin);
    check_last_pass(t, with, text, 40);
    check_account(t);

    /* The next question begins in the first pass again. */
    char first[1024];
    snprintf(first, sizeof first, "%s", t->trace->pass[0].text);
    tn_reasoner_close(t->reasoner);
    memset(t->text, 0, sizeof t->text);
    assert_int_equal(tn_reasoner_open(t->reasoner, t->session, &t->q.request, NULL, NULL), TENEBRA_OK);
    assert_int_equal(tn_reasoner_answer(t->reasoner, NULL), TENEBRA_OK);
    assert_string_equal(t->trace->pass[0].text, first);
    assert_int_equal(t->trace->prompt_reused, 0);
    talk_end(t);
    talk_end(plain);
    tn_model_close(with);
    tn_model_close(both);
    remove_directory(directory);
}

static void test_adapter_of_the_second_pass(void **state)
{
    check_adapter(*state, false);
    check_adapter(*state, true);
}

/* A picture of the method's own, then another prompt. */
static tenebra_code next_adding(tn_reasoner *reasoner, tn_action *action, tenebra_error *error)
{
    tn_image image = { 0 };
    tn_act_answer(reasoner, action);
    if (reasoner->pass > 0)
        return TENEBRA_OK;
    TN_TRY(tn_image_new(&image, 56, 56, TN_IMAGE_CHANNELS, error));
    memset(image.pixels, 7, (size_t)56 * 56 * TN_IMAGE_CHANNELS);
    tenebra_code code = tn_reasoner_add_picture(reasoner, &image, error);
    tn_image_free(&image);
    action->kind = TN_ACT_PASS;
    return code;
}

/* Its embeddings could not be made anew when the tower changes. */
static void test_tower_changes_under_added_pictures(void **state)
{
    const tiny *here = *state;
    static const tenebra_option none[] = { { NULL, NULL, NULL, NULL, 0, 0 } };
    static const tn_method adding = { .name = "adding", .options = none, .next = next_adding };
    char *directory = make_adapter(here, true);
    tn_model *model = open_with(here, directory, 2);
    talk *t = talk_new("direct");
    t->session = tn_session_open(model, &(tn_session_options){ .context = CONTEXT, .threads = 1 }, NULL);
    t->reasoner = calloc(1, sizeof *t->reasoner);
    assert_true(t->session != NULL && t->reasoner != NULL);
    tenebra_error error = { 0 };
    assert_int_equal(tn_reasoner_open_method(t->reasoner, t->session, &t->q.request, &adding, NULL, &error),
                     TENEBRA_OK);
    assert_int_equal(tn_reasoner_answer(t->reasoner, &error), TENEBRA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.sentence, "vision tower"));
    talk_end(t);
    tn_model_close(model);
    remove_directory(directory);
}

/* ------------------------------------------------------------------ cuts -- */

static void test_answer_cue(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t kept;
    } rows[] = {
        { "Q?\nAnswer:", 2 },  { "Q?\n\nAnswer:\n ", 2 }, { "Answer:", 0 },      { "", 0 },       { "Q? Answer:", 10 },
        { "Q?\nanswer:", 10 }, { "Q?\nAnswer: A", 12 },   { "\n \nAnswer:", 0 }, { "nswer:", 6 }, { "Q?\n", 3 }
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (tn_cut_answer_cue(rows[i].text, strlen(rows[i].text)) != rows[i].kept)
            fail_msg("'%s'", rows[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rationale_then_answer),
        cmocka_unit_test(test_caps_of_both_passes),
        cmocka_unit_test(test_recomputing),
        cmocka_unit_test(test_one_pass),
        cmocka_unit_test(test_scene_graph_then_answer),
        cmocka_unit_test(test_scene_graph_variants),
        cmocka_unit_test(test_cap_of_the_scene_graph),
        cmocka_unit_test(test_json_close),
        cmocka_unit_test(test_dots_behind_the_picture),
        cmocka_unit_test(test_dots_alone),
        cmocka_unit_test(test_dots_on_two_pictures),
        cmocka_unit_test(test_example_of_each_method),
        cmocka_unit_test(test_place_of_the_example),
        cmocka_unit_test(test_examples_that_do_not_fit),
        cmocka_unit_test(test_answer_turn),
        cmocka_unit_test(test_answer_turn_behind_latents),
        cmocka_unit_test(test_adapter_of_the_second_pass),
        cmocka_unit_test(test_tower_changes_under_added_pictures),
        cmocka_unit_test(test_answer_cue),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
