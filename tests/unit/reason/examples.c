/* What any method may be given besides its question: a solved example, a turn that asks for an option, an adapter for
 * its second pass. Forced tokens make replies known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/lora.h"
#include "unit/reason/talk.h"

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
    size_t half = t->trace->image_count / 2;
    assert_true(is_drawn(t, half, PICTURE, 0, 0, 0));
    for (size_t i = 0; i < 2 * half; i++)
        assert_true(t->trace->images[i].source == (i < half ? SIZE_MAX : 0));
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

/* After the system message, before a conversation of several turns. */
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
    t = talk_new("mmcot"); /* there is no question */
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
    /* No row of the conversation ran again, and the turn's text contains no control token. */
    assert_int_equal(t->trace->pass[2].reused, 0);
    assert_true(t->trace->pass[2].prompt_tokens > 15 && t->trace->pass[2].prompt_tokens < 45);
    assert_int_equal(t->session->sequence.length, t->trace->pass[1].prompt_tokens + t->trace->pass[1].token_count - 1 +
                                             t->trace->pass[2].prompt_tokens + t->trace->pass[2].token_count - 1);
    check_account(t);
    talk_end(t);
}

/* Rows of latent steps stay where they are; the turn follows them. */
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
    const tn_lora_options options = { .rank = 2, .alpha = 40, .targets = { .pattern = "all-linear" }, .without_vision = !vision };
    tn_model *model = tiny_open_model(here, "reference");
    tn_adapter *adapter;
    assert_int_equal(tn_adapter_make(model, &options, &rng, &adapter, &error), TENEBRA_OK);
    for (size_t m = 0; m < adapter->module_count; m++)
        for (size_t i = 0; i < adapter->modules[m].rank * adapter->modules[m].outputs; i++)
            adapter->modules[m].b[i] = (tn_real)(tn_rng_uniform(&rng) - 0.5);
    char *directory = make_directory();
    if (tn_adapter_write(adapter, directory, NULL, TN_LORA_NAMES_BASE, &error) != TENEBRA_OK)
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
    tn_model *model;
    assert_int_equal(tn_model_open(here->path, &options, &model, NULL), TENEBRA_OK);
    return model;
}

/* The second pass equals that of a model with the adapter, the first that of one without. Rows of one pass are not reused in
 * the other, nor are embeddings if the tower changes. */
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
    assert_int_equal(t->reasoner->conversation.picture_count, 1);
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

/* An image that the method adds, then another prompt. */
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

/* Its embeddings could not be computed again when the tower changes. */
static void test_tower_changes_under_added_pictures(void **state)
{
    const tiny *here = *state;
    static const tn_option none[] = { TN_OPTIONS_END };
    static const tn_method adding = { .name = "adding", .options = none, .next = next_adding };
    char *directory = make_adapter(here, true);
    tn_model *model = open_with(here, directory, 2);
    talk *t = talk_new("direct");
    assert_int_equal(tn_session_open(model, &(tn_session_options){ .context = CONTEXT, .threads = 1 }, &t->session, NULL), TENEBRA_OK);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example_of_each_method),
        cmocka_unit_test(test_place_of_the_example),
        cmocka_unit_test(test_examples_that_do_not_fit),
        cmocka_unit_test(test_answer_turn),
        cmocka_unit_test(test_answer_turn_behind_latents),
        cmocka_unit_test(test_adapter_of_the_second_pass),
        cmocka_unit_test(test_tower_changes_under_added_pictures),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
