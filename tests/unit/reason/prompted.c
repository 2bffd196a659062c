/* Methods that reason in words with one or two prompts: their prompts as text, shared rows, limits, drawn images. Forced tokens
 * determine the replies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/reason/talk.h"

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
    assert_int_equal(t->trace->pass[1].token_count, 40); /* 64, and no more than the request allows */
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
    assert_true(t->trace->pass[1].reused >= 16 + 8); /* the system message and the image */
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

/* A question without lettered options: the prompt asks for no letter, unless the option says so. */
static void test_no_letters(void **state)
{
    const tiny *here = *state;
    static const struct { const char *text, *cue; bool letter, other; } cases[] = {
        { "What is green?", NULL, false, false },         { "What is green? A dog: B", NULL, false, false },
        { "Plan A) or C)?", NULL, false, false },         { "What is green?\n(A).{a hat}\n(B).{a cup}", NULL, true, false },
        { "Green?\nA.{x}\nB.{y}", NULL, true, false },    { "What is green?", "\nA letter, please.", false, true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        talk *t = talk_new("ccot");
        t->q.parts[1].text = cases[i].text;
        if (cases[i].cue != NULL)
            ask_set(&t->q, "letter-cue", cases[i].cue);
        talk_fill(t, 40);
        talk_run(t, here->model);
        assert_int_equal(strstr(t->trace->pass[1].prompt, LETTER) != NULL, cases[i].letter);
        assert_int_equal(strstr(t->trace->pass[1].prompt, "A letter, please.") != NULL, cases[i].other);
        talk_end(t);
    }
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

/* The graph ends when its outermost bracket is closed; brackets in strings and after backslashes do not count. */
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

static void test_dots_behind_the_picture(void **state)
{
    const tiny *here = *state;
    talk *t = talk_new("scaffold");
    talk_run(t, here->model);
    check_prompt(t, 0, "<|im_start|>system\n" GUIDE_BOTH "<|im_end|>\n" USER VIEW VIEW QUESTION REPLY);
    assert_int_equal(t->reasoner->conversation.picture_count, 2);
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
    assert_int_equal(t->reasoner->conversation.picture_count, 1);
    assert_true(is_drawn(t, 0, PICTURE, 2, 3, 0));
    talk_end(t);
}

/* Several images are numbered. */
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
        assert_int_equal(t->trace->images[i].source, i / 2);
    talk_end(t);
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
        cmocka_unit_test(test_no_letters),
        cmocka_unit_test(test_cap_of_the_scene_graph),
        cmocka_unit_test(test_json_close),
        cmocka_unit_test(test_dots_behind_the_picture),
        cmocka_unit_test(test_dots_alone),
        cmocka_unit_test(test_dots_on_two_pictures),
        cmocka_unit_test(test_answer_cue),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
