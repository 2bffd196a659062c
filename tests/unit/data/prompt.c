/* The wordings of prompts, letter by letter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "data/sample.h"

#include <stdlib.h>
#include <string.h>

static const char *const colours[] = { " red ", "blue\n" };
static const char *const pictures[] = { "a.png" };

static tn_sample sample(void)
{
    return (tn_sample){ .id = "x", .question = "  Which {one}? ", .context = " Look. ", .options = colours, .option_count = 2,
                        .answer = 1, .label = "B", .images = pictures, .image_count = 1 };
}

static void expect(const char *preset, const tn_sample *sample, const char *expected, size_t image_at)
{
    tn_prompt prompt;
    assert_non_null(tn_prompt_find(preset));
    assert_int_equal(tn_prompt_write(&prompt, tn_prompt_find(preset), sample, NULL), TENEBRA_OK);
    assert_string_equal(prompt.text, expected);
    assert_int_equal(prompt.length, strlen(expected));
    assert_int_equal(prompt.image_at, image_at);
    tn_prompt_free(&prompt);
}

static void test_wordings(void **state)
{
    (void)state;
    tn_sample row = sample();
    expect("ivtlr-train", &row, "[Question]:{Which {one}?}\n[Options]:\n(A).{red}\n(B).{blue}\nAnswer:\n", 0);
    expect("ivtlr-infer", &row, "[Question]:{Which {one}?}\n[Options]:\nA.{red}\nB.{blue}\nAnswer:", 0);
    expect("ivtlr-fused-train", &row, "[Question]:{  Which {one}?}\n[Options]:\n(A).{red}\n(B).{blue}", 12);
    expect("ivtlr-fused-infer", &row, "[Question]:{Which {one}?}\n[Options]:\n(A).{red}\n(B).{blue}\nAnswer:", 0);
    expect("ivtlr-infer-parens", &row, "[Question]:{Which {one}?}\n[Options]:\n(A).{red}\n(B).{blue}\nAnswer:", 0);
    expect("words", &row, "[Question]:{Which {one}?}\n[Options]:\nA.{red}\nB.{blue}\nAnswer:", 0);
    expect("plain", &row, "Look.\nWhich {one}?\nA) red\nB) blue\nAnswer:", 0);
}

static void test_open_questions_have_no_options(void **state)
{
    (void)state;
    tn_sample row = sample();
    row.option_count = 0;
    row.image_count = 0;
    row.context = "";
    expect("ivtlr-train", &row, "[Question]:{Which {one}?}\nAnswer:\n", 0);
    expect("ivtlr-fused-train", &row, "[Question]:{Which {one}?}", 12);
    expect("plain", &row, "Which {one}?\nAnswer:", 0);
}

static void test_answers(void **state)
{
    (void)state;
    tn_sample row = sample();
    for (const tn_prompt_preset *preset = tn_prompt_presets; preset->name != NULL; preset++) {
        char *answer;
        tn_prompt_answer(preset, &row, &answer, NULL);
        assert_string_equal(answer, preset->in_words ? " blue" : "Therefore, the answer is B");
        free(answer);
        row.option_count = 0; /* an open question: what the row says */
        tn_prompt_answer(preset, &row, &answer, NULL);
        assert_string_equal(answer, preset->in_words ? " B" : "Therefore, the answer is B");
        free(answer);
        row.option_count = 2;
    }
    assert_true(tn_prompt_find("words")->in_words);
    assert_string_equal(tn_prompt_find("brief")->step[0], " ");
    assert_string_equal(tn_prompt_find("brief")->step[1], "");
    assert_null(tn_prompt_find("no-such-preset"));
    assert_null(tn_prompt_find(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wordings),
        cmocka_unit_test(test_open_questions_have_no_options),
        cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
