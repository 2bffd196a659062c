/* include/tenebra.h, "defaults": a model is asked from C as the program asks it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"
#include "reason/question.h"
#include "reason/trained.h"
#include "tenebra.h"

#define MODEL TENEBRA_TEST_DATA "/../../models/default"
#define UNTRAINED TENEBRA_TEST_DATA "/golden/qwen2vl_tied/model"

static tenebra_model *open_model(const char *directory)
{
    tenebra_error error = { 0 };
    tenebra_model *model;
    tenebra_model_open(&model, directory, NULL, &error);
    if (model == NULL)
        fail_msg("%s: %s", error.where, error.sentence);
    return model;
}

static const char *setting_of(const tenebra_request *request, const char *name)
{
    for (size_t i = 0; i < request->setting_count; i++)
        if (strcmp(request->settings[i].name, name) == 0)
            return request->settings[i].value;
    return NULL;
}

static void test_defaults_are_those_of_training(void **state)
{
    (void)state;
    tenebra_model *model = open_model(MODEL);
    tenebra_request request = TENEBRA_INIT(tenebra_request);
    tenebra_model_defaults(model, &request);
    assert_string_equal(request.method, "ivt-lr");
    assert_string_equal(request.positions, "sequential");
    assert_string_equal(setting_of(&request, "n-latent"), "6");
    assert_string_equal(setting_of(&request, "k-select"), "4");
    assert_null(setting_of(&request, "cue")); /* no option of this method */
    assert_int_equal(request.image.max_pixels, 0); /* the size of training overrides it */
    assert_int_equal(request.image.width, 112);
    assert_int_equal(request.image.height, 112);
    assert_int_equal(request.message_count, 0);
    assert_int_equal(request.max_tokens, 0);
    tenebra_model_close(model);
    model = open_model(UNTRAINED);
    request = TENEBRA_INIT(tenebra_request);
    tenebra_model_defaults(model, &request);
    assert_null(request.method);
    assert_null(request.positions);
    assert_int_equal(request.setting_count, 0);
    tenebra_model_close(model);
}

static const char *const choices[] = { " red ", "blue" };
static const char *const images[] = { "a.png", "b.png" };

static tenebra_prompt *make(const tenebra_model *model, const tenebra_question *question)
{
    tenebra_error error = { 0 };
    tenebra_prompt *prompt;
    tenebra_prompt_make(&prompt, model, question, &error);
    if (prompt == NULL)
        fail_msg("%s: %s", error.where, error.sentence);
    return prompt;
}

static void test_prompt_as_it_is(void **state)
{
    (void)state;
    const tenebra_question question = { .size = sizeof question, .text = "What? ", .images = images, .image_count = 2, .system = "Be brief." };
    tenebra_prompt *prompt = make(NULL, &question);
    size_t count;
    const tenebra_message *turns = tenebra_prompt_messages(prompt, &count);
    assert_int_equal(count, 2);
    assert_string_equal(turns[0].role, "system");
    assert_string_equal(turns[0].parts[0].text, "Be brief.");
    assert_string_equal(turns[1].role, "user");
    assert_int_equal(turns[1].part_count, 3);
    assert_int_equal(turns[1].parts[1].kind, TENEBRA_PART_IMAGE_FILE);
    assert_string_equal(turns[1].parts[1].text, "b.png");
    assert_string_equal(turns[1].parts[2].text, "What? ");
    tenebra_prompt_free(prompt);
    tenebra_prompt_free(NULL);
}

/* The text of a user's turn without images. */
static void expect_text(const tenebra_model *model, const tenebra_question *question, const char *wanted)
{
    tenebra_prompt *prompt = make(model, question);
    size_t count;
    const tenebra_message *turns = tenebra_prompt_messages(prompt, &count);
    assert_int_equal(count, 1);
    assert_int_equal(turns[0].part_count, 1);
    assert_int_equal(turns[0].parts[0].length, strlen(wanted));
    assert_memory_equal(turns[0].parts[0].text, wanted, strlen(wanted));
    tenebra_prompt_free(prompt);
}

static void test_prompt_in_a_wording(void **state)
{
    (void)state;
    tenebra_question question = { .size = sizeof question, .text = "Which?", .choices = choices, .choice_count = 2 };
    const char *standard = "[Question]:{Which?}\n[Options]:\nA.{red}\nB.{blue}\nAnswer:";
    expect_text(NULL, &question, standard);
    question.preset = "plain";
    expect_text(NULL, &question, "Which?\nA) red\nB) blue\nAnswer:");
    question.choice_count = 0;
    expect_text(NULL, &question, "Which?\nAnswer:");

    /* the wording of training, if the model has one */
    tenebra_model *model = open_model(MODEL);
    question = (tenebra_question){ .size = sizeof question, .text = "Which?", .choices = choices, .choice_count = 2 };
    tenebra_prompt *as_trained = make(model, &question);
    question.preset = tn_trained_wording(model->trained)->name;
    assert_string_not_equal(question.preset, tn_prompt_standard()->name);
    size_t count;
    expect_text(NULL, &question, tenebra_prompt_messages(as_trained, &count)[0].parts[0].text);
    tenebra_prompt_free(as_trained);
    tenebra_model_close(model);
}

static void test_mistakes(void **state)
{
    (void)state;
    static const char *const many[TN_CHOICES_MAX + 1], *const hole[] = { "a", NULL };
    const struct {
        tenebra_question question;
        const char *word;
    } cases[] = { { { .text = NULL }, "no text" },
                  { { .text = "x", .image_count = 1 }, "missing" },
                  { { .text = "x", .choice_count = 1 }, "missing" },
                  { { .text = "x", .choices = many, .choice_count = TN_CHOICES_MAX + 1 }, "26" },
                  { { .text = "x", .choices = hole, .choice_count = 2 }, "choice 2" },
                  { { .text = "x", .images = hole, .image_count = 2 }, "image 2" },
                  { { .text = "x", .preset = "wrods" }, "did you mean 'words'" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tenebra_error error = { 0 };
        tenebra_question question = cases[i].question;
        tenebra_prompt *prompt;
        question.size = sizeof question;
        assert_int_equal(tenebra_prompt_make(&prompt, NULL, &question, &error), TENEBRA_ERROR_ARGUMENT);
        assert_null(prompt);
        assert_int_equal(error.code, TENEBRA_ERROR_ARGUMENT);
        assert_non_null(strstr(error.sentence, cases[i].word));
        assert_int_equal(tenebra_prompt_make(&prompt, NULL, &question, NULL), TENEBRA_ERROR_ARGUMENT);
        assert_null(prompt);
    }
}

static void test_presets_are_listed(void **state)
{
    (void)state;
    size_t count = 0;
    const char *summary = NULL;
    while (tenebra_preset_at(count, &summary) != NULL) {
        const tenebra_question question = { .size = sizeof question, .text = "x", .preset = tenebra_preset_at(count, NULL) };
        tenebra_prompt_free(make(NULL, &question));
        assert_true(strlen(summary) > 0);
        count++;
    }
    assert_true(count > 5);
    assert_null(tenebra_preset_at(count + 5, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_defaults_are_those_of_training), cmocka_unit_test(test_prompt_as_it_is),
                                        cmocka_unit_test(test_prompt_in_a_wording), cmocka_unit_test(test_mistakes),
                                        cmocka_unit_test(test_presets_are_listed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
