/* The scorers that repeat Python programs, and the strings under them, against Python on odd and random texts
 * (tools/make_scorer_cases.py). Another file of cases may be given as the argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/file.h"
#include "eval/outputs.h"
#include "eval/score_text.h"

#include <stdlib.h>
#include <string.h>

static const char *const options[] = { "red", "Blue bird", "no", "\xCE\x9F\xCE\x94\xCE\x9F\xCE\xA3",
                                       "\xC4\xB0stanbul stra\xC3\237e" };

typedef struct case_counts {
    const char *path;
    size_t cases, found;
} case_counts;

static tn_slice slice_of(const json_t *string)
{
    return (tn_slice){ json_string_value(string), json_string_length(string) };
}

static tn_verdict judge(const char *scorer, const tn_sample *sample, tn_slice text, size_t variant)
{
    tn_verdict verdict;
    tn_scored answer = { .sample = sample, .text = text, .prompt = { "", 0 } };
    assert_int_equal(tn_scorer_find(scorer)->judge(&verdict, &answer, variant, NULL), TENEBRA_OK);
    return verdict;
}

static void check_strings(const json_t *row, tn_slice text)
{
    tn_text low = { 0 };
    assert_int_equal(tn_python_lower(&low, text, NULL), TENEBRA_OK);
    assert_true(tn_slice_equal((tn_slice){ low.data, low.length }, slice_of(json_object_get(row, "lower"))));
    assert_true(tn_slice_equal(tn_slice_strip(text), slice_of(json_object_get(row, "strip"))));
    tn_text_free(&low);
}

/* The index that Python finds, -1 if it finds none. */
static long expected_index(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    if (json_is_string(value))
        return json_string_value(value)[0] - 'A';
    return value != NULL ? (long)json_integer_value(value) : TN_NO_CHOICE;
}

static void check_tag(const json_t *row, const char *key, size_t variant, tn_slice text)
{
    const json_t *expected = json_object_get(row, key);
    tn_sample sample = { .id = "x", .question = "", .label = expected != NULL ? json_string_value(expected) : "none of it" };
    tn_verdict verdict = judge("answer_tag", &sample, text, variant);
    assert_int_equal(verdict.found, expected != NULL);
    assert_int_equal(verdict.correct, expected != NULL);
}

static tenebra_code check_case(void *user, const char *line, size_t length, tenebra_error *error)
{
    case_counts *counts = user;
    tn_sample sample = { .id = "x", .question = "", .options = options, .option_count = 5, .label = "Z" };
    (void)error;
    json_t *row = tn_python_json(line, length);
    assert_true(json_is_object(row));
    tn_slice text = slice_of(json_object_get(row, "text"));
    check_strings(row, text);
    assert_int_equal(judge("m3cot", &sample, text, 0).choice, expected_index(row, "m3cot"));
    assert_int_equal(judge("ivtlr-sqa", &sample, text, 0).choice, expected_index(row, "index"));
    assert_int_equal(judge("sqa", &sample, text, 0).choice, expected_index(row, "sqa"));
    assert_int_equal(judge("sqa_paren", &sample, text, 0).choice, expected_index(row, "paren"));
    uint32_t letters = 0;
    const char *names = json_string_value(json_object_get(row, "letters"));
    for (; names != NULL && *names != '\0'; names++)
        letters |= 1u << (*names - 'A');
    assert_int_equal(judge("ivtlr-m3cot", &sample, text, 0).letters, letters);
    check_tag(row, "first", 0, text);
    check_tag(row, "last", 1, text);
    counts->found += letters != 0;
    counts->cases++;
    json_decref(row);
    return TENEBRA_OK;
}

static void test_cases(void **state)
{
    case_counts *counts = *state;
    tn_file file;
    assert_int_equal(tn_file_read(&file, counts->path, SIZE_MAX, NULL), TENEBRA_OK);
    assert_int_equal(tn_each_line((const char *)file.data, file.size, check_case, counts, NULL), TENEBRA_OK);
    tn_file_close(&file);
    assert_true(counts->cases >= 600 && counts->found * 20 > counts->cases);
}

/* What the cases rely on is not matched by too little, either. */
static void test_negative_control(void **state)
{
    (void)state;
    tn_sample sample = { .id = "x", .question = "", .options = options, .option_count = 5, .label = "B" };
    assert_int_equal(judge("ivtlr-m3cot", &sample, TN_SLICE("the an\xC5\xBFwer \xC4\xB0s\xC2\xA0(B)"), 0).letters, 0);
    assert_int_equal(judge("ivtlr-m3cot", &sample, TN_SLICE("the an\xC5\xBFwer \xC4\xB0s\xC2\xA0" "B"), 0).letters, 2);
    assert_int_equal(judge("ivtlr-m3cot", &sample, TN_SLICE("the answer\xE2\x80\x8B is B"), 0).letters, 0); /* U+200B is not a
                                                                                                             * space */
    assert_int_equal(judge("ivtlr-sqa", &sample, TN_SLICE("answer is:\xE3\x80\x80\xD9\xA3"), 0).choice, 3);
    assert_int_equal(judge("ivtlr-sqa", &sample, TN_SLICE("answer is:\xE3\x80\x80\xC2\xB2"), 0).choice, TN_NO_CHOICE); /* no decimal */
}

/* The classes of all characters, by their numbers and a sum over them (Python 3.11, Unicode 14). */
static void test_classes(void **state)
{
    (void)state;
    size_t words = 0, spaces = 0, digits = 0;
    long values = 0;
    for (int32_t c = 0; c < 0x110000; c++) {
        words += tn_python_is_word(c);
        spaces += tn_python_is_space(c);
        int digit = tn_python_digit(c);
        digits += digit >= 0;
        values += digit >= 0 ? digit : 0;
    }
    assert_int_equal(words, 133548);
    assert_int_equal(spaces, 29);
    assert_int_equal(digits, 660);
    assert_int_equal(values, 66 * 45);
    assert_false(tn_python_is_word(-1) || tn_python_is_space(-1) || tn_python_digit(-1) >= 0);
}

static void test_find(void **state)
{
    (void)state;
    tn_slice text = TN_SLICE("abcabcabd");
    assert_int_equal(tn_slice_find(text, TN_SLICE("abcabd"), 0), 3);
    assert_int_equal(tn_slice_find(text, TN_SLICE("abc"), 1), 3);
    assert_int_equal(tn_slice_find_last(text, TN_SLICE("ab")), 6);
    assert_int_equal(tn_slice_find(text, TN_SLICE("abe"), 0), 10);
    assert_int_equal(tn_slice_find(text, TN_SLICE("abcabcabde"), 0), 10);
    assert_int_equal(tn_slice_find(text, TN_SLICE(""), 9), 9);
    assert_int_equal(tn_slice_find(text, TN_SLICE("d"), 8), 8);
    assert_int_equal(tn_slice_find(text, TN_SLICE("d"), 9), 10);
}

int main(int argc, char **argv)
{
    case_counts counts = { .path = argc > 1 ? argv[1] : TENEBRA_TEST_DATA "/eval/python.jsonl" };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_cases, &counts),
        cmocka_unit_test(test_negative_control),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
