/* Options: every kind with its limits, words, defaults, names. */
#include "base/option.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct record {
    bool on;
    const char *text, *word;
    size_t choice, size, sides[2];
    uint64_t seed;
    double number;
    tn_option_list list;
} record;

static const char *colour(size_t index)
{
    static const char *const colours[] = { "red", "green", NULL };
    return colours[index];
}

#define TN_RECORD record
static const tn_option options[] = {
    TN_SWITCH(0, "on", on, "a switch"),
    TN_TEXT('t', "some-text", text, "TEXT", "nothing", "a text", .aliases = " words other_words "),
    TN_WORD(0, "word", word, "COLOUR", NULL, "a word", .names = colour),
    TN_CHOICE(0, "choice", choice, "one|two|three", "two", "a choice", .means = TN_MEANS_CUE),
    TN_SIZE(0, "size", size, "N", "7", 2, 9, "a size", .hint = "take a smaller one"),
    TN_SEED('s', "seed", seed, "0", "a seed"),
    TN_NUMBER(0, "number", number, "X", "0.5", -1, 1, "a number"),
    TN_SIDES(0, "sides", sides, "two sides"),
    TN_LIST(0, "list", list, "ITEM", "items"),
    TN_OPTIONS_END
};

/* Reads into a fresh record with the defaults. */
static record read_one(const char *name, const char *text, tenebra_code wanted, tenebra_error *error)
{
    record r = { 0 };
    assert_int_equal(tn_options_set_defaults(options, &r, NULL), TENEBRA_OK);
    *error = (tenebra_error){ 0 };
    assert_int_equal(tn_option_read(tn_option_find(options, name), text, &r, error), wanted);
    assert_int_equal(tn_option_check(tn_option_find(options, name), text, NULL), wanted);
    return r;
}

static record take(const char *name, const char *text)
{
    tenebra_error error;
    return read_one(name, text, TENEBRA_OK, &error);
}

/* The record keeps its default; the error sentence contains the text in quotes and `says`. */
static void refuse(const char *name, const char *text, const char *says)
{
    tenebra_error error;
    char quoted[64];
    record kept = read_one(name, text, TENEBRA_ERROR_ARGUMENT, &error), fresh = { 0 };
    assert_int_equal(tn_options_set_defaults(options, &fresh, NULL), TENEBRA_OK);
    assert_true(kept.on == fresh.on && kept.text == fresh.text && kept.word == fresh.word && kept.choice == fresh.choice &&
                kept.size == fresh.size && kept.seed == fresh.seed && kept.number == fresh.number && kept.sides[0] == fresh.sides[0]);
    snprintf(quoted, sizeof quoted, "'%s' ", text);
    assert_string_equal(error.where, name);
    assert_true(strncmp(error.sentence, quoted, strlen(quoted)) == 0);
    if (strstr(error.sentence, says) == NULL)
        fail_msg("%s: %s", name, error.sentence);
}

static void test_defaults(void **state)
{
    (void)state;
    record r = take("on", "false");
    assert_false(r.on);
    assert_string_equal(r.text, "nothing");
    assert_null(r.word);
    assert_true(r.choice == 1 && r.size == 7 && r.seed == 0 && r.number == 0.5 && r.sides[0] == 0);
    static const tn_option wrong[] = { TN_SIZE(0, "size", size, "N", "1", 2, 9, "its default is out of range"), TN_OPTIONS_END };
    assert_int_equal(tn_options_set_defaults(wrong, &r, NULL), TENEBRA_ERROR_ARGUMENT);
}

static void test_values(void **state)
{
    (void)state;
    assert_true(take("on", NULL).on && take("on", "Yes").on);
    assert_string_equal(take("some-text", "").text, "");
    assert_string_equal(take("word", "green").word, "green");
    assert_int_equal(take("choice", "three").choice, 2);
    assert_true(take("size", "2").size == 2 && take("size", "9").size == 9);
    assert_true(take("seed", "9223372036854775807").seed == 9223372036854775807u);
    assert_true(take("number", "-1").number == -1 && take("number", "1e-3").number == 1e-3);
    record r = take("sides", "1x65535");
    assert_true(r.sides[0] == 1 && r.sides[1] == 65535);
    r.sides[0] = 3;
    const tn_option named = { .name = "look", .kind = TN_OPTION_SIDES, .offset = offsetof(record, sides), .value = "prompt" };
    assert_int_equal(tn_option_read(&named, "prompt", &r, NULL), TENEBRA_OK); /* the default is a word, for none */
    assert_true(r.sides[0] == 0 && r.sides[1] == 0);
    assert_int_equal(tn_option_read(&named, "prompts", &r, NULL), TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(tn_option_read(&named, "5x6", &r, NULL), TENEBRA_OK);
    assert_true(r.sides[0] == 5 && r.sides[1] == 6);
}

static void test_refusals(void **state)
{
    (void)state;
    static const char *const no_sizes[] = { "", "x", "1", "10", "3.0", "1e1", "-3", " 3", "3 ", "99999999999999999999" };
    for (size_t i = 0; i < sizeof no_sizes / sizeof *no_sizes; i++)
        refuse("size", no_sizes[i], "is not a whole number from 2 to 9; take a smaller one");
    refuse("seed", "9223372036854775808", "whole number");
    refuse("number", "1.0001", "must lie between -1 and 1");
    refuse("number", "nan", "is not a number");
    refuse("number", "inf", "is not a number");
    refuse("number", "0.5x", "is not a number");
    refuse("number", "", "is not a number");
    refuse("on", "perhaps", "neither true nor false");
    refuse("word", "gren", "is not one of red|green; did you mean 'green'?");
    refuse("word", "", "is not one of");
    refuse("choice", "tw", "one|two|three");
    refuse("choice", "one|two", "one|two|three");
    static const char *const no_sides[] = { "", "x", "1x", "x1", "0x5", "5x0", "65536x1", "1x65536", "5X5", "5x5x5", "5", "-1x5" };
    for (size_t i = 0; i < sizeof no_sides / sizeof *no_sides; i++)
        refuse("sides", no_sides[i], "WIDTHxHEIGHT");
}

static void test_lists_grow(void **state)
{
    (void)state;
    record r = { 0 };
    const tn_option *list = tn_option_find(options, "list");
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(tn_option_read(list, colour(i % 2), &r, NULL), TENEBRA_OK);
    assert_int_equal(r.list.count, 3);
    assert_string_equal(r.list.items[1], "green");
    assert_string_equal(r.list.items[2], "red");
    free(r.list.items);
}

static void test_finding(void **state)
{
    (void)state;
    assert_ptr_equal(tn_option_find(options, "some_text"), &options[1]);
    assert_ptr_equal(tn_option_find(options, "words"), &options[1]);
    assert_ptr_equal(tn_option_find(options, "other_words"), &options[1]);
    assert_null(tn_option_find(options, "other"));
    assert_null(tn_option_find(options, ""));
    assert_null(tn_option_find(NULL, "size"));
    assert_ptr_equal(tn_option_that_means(options, TN_MEANS_CUE), &options[3]);
    assert_null(tn_option_that_means(options, TN_MEANS_PICKS));
}

static void test_words(void **state)
{
    (void)state;
    size_t length;
    assert_string_equal(tn_option_word(&options[2], 1, &length), "green");
    assert_int_equal(length, 5);
    assert_null(tn_option_word(&options[2], 2, &length));
    assert_int_equal(strncmp(tn_option_word(&options[3], 1, &length), "two|", 4), 0);
    assert_int_equal(length, 3);
    assert_null(tn_option_word(&options[3], 3, &length));
    assert_null(tn_option_word(&options[4], 0, &length)); /* a number has none, whatever its argument */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),   cmocka_unit_test(test_values),  cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_lists_grow), cmocka_unit_test(test_finding), cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
