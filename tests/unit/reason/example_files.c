/* Solved examples from files: the answer that is shown is the one that the file names, in every wording. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reason/example.h"

#include <stdio.h>
#include <string.h>

static tenebra_code parse(tn_example *example, const char *json, const tn_prompt_preset *preset, tenebra_error *error)
{
    return tn_example_parse(example, json, strlen(json), "folder/example.json", preset, error);
}

static void test_answer_is_the_files_in_every_wording(void **state)
{
    (void)state;
    static const char *const words[] = { "a red cup", "blue", "grey" };
    for (const tn_prompt_preset *preset = tn_prompt_presets; preset->name != NULL; preset++)
        for (size_t right = 0; right < 3; right++) {
            char json[200], expected[100], letter[] = { (char)('A' + right), '\0' };
            snprintf(json, sizeof json, "{\"question\": \"What?\", \"options\": [\" a red cup\", \"blue\", \"grey\\n\"], \"answer\": \"%s\"}",
                     letter);
            snprintf(expected, sizeof expected, "%s%s", preset->in_words ? " " : "Therefore, the answer is ",
                     preset->in_words ? words[right] : letter);
            tn_example example;
            assert_int_equal(parse(&example, json, preset, NULL), TENEBRA_OK);
            if (strcmp(example.example.answer, expected) != 0)
                fail_msg("%s shows '%s', not '%s'", preset->name, example.example.answer, expected);
            assert_string_equal(example.example.label, letter);
            assert_string_equal(example.unknown, "");
            tn_example_free(&example);
        }
}

static void test_answers_without_options(void **state)
{
    (void)state;
    tn_example example;
    assert_int_equal(parse(&example, "{\"question\": \"How many?\", \"answer\": \"seven\"}", tn_prompt_find("brief"), NULL), TENEBRA_OK);
    assert_string_equal(example.example.answer, " seven");
    tn_example_free(&example);
    assert_int_equal(parse(&example, "{\"prompt\": \"As it is\", \"choices\": [\"x\", \"y\"], \"answer\": \"B\"}",
                           tn_prompt_find("words"), NULL), TENEBRA_OK);
    assert_string_equal(example.example.answer, " y");
    assert_string_equal(example.example.label, "B");
    assert_string_equal(example.asked.prompt.text, "As it is");
    tn_example_free(&example);
}

static void test_refusals_and_other_members(void **state)
{
    (void)state;
    static const char *const wrong[] = { "\"C\"", "\"b\"", "\"y\"", "\"AB\"", "\"\"", "1" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char json[200];
        tenebra_error error = { 0 };
        tn_example example;
        snprintf(json, sizeof json, "{\"question\": \"What?\", \"options\": [\"x\", \"y\"], \"answer\": %s}", wrong[i]);
        assert_int_equal(parse(&example, json, tn_prompt_find("brief"), &error), TENEBRA_ERROR_FORMAT);
        assert_non_null(strstr(error.sentence, "\"answer\""));
    }
    tn_example example;
    assert_int_equal(parse(&example, "{\"question\": \"What?\", \"answer\": \"x\", \"id\": \"1\", \"topic\": \"t\", \"explanation\": \"\", "
                                     "\"ratio\\u001bnale\": \"\"}", tn_prompt_find("plain"), NULL), TENEBRA_OK);
    assert_string_equal(example.unknown, "explanation, ratio?nale");
    tn_example_free(&example);
    assert_int_equal(parse(&example, "{\"question\": \"What?\", \"answer\": \"x\", \"image\": null, \"image_path\": \"a.png\"}",
                           tn_prompt_find("plain"), NULL), TENEBRA_OK);
    assert_int_equal(example.image_count, 1);
    assert_string_equal(example.images[0], "folder/a.png");
    tn_example_free(&example);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer_is_the_files_in_every_wording),
        cmocka_unit_test(test_answers_without_options),
        cmocka_unit_test(test_refusals_and_other_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
