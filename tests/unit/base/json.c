/* JSON that is read: what is one value, what is refused and with what words, and the typed members. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

static void what_is_no_json_is_told_with_its_place(void **state)
{
    (void)state;
    static const struct { const char *text, *words; } cases[] = {
        { "", "(column " },           { "{\"a\": 1,\n \"a\": 2}", "line 2" }, { "[1, 2", "(column " },   { "{} {}", "(column " },
        { "[1e999]", "(column " },    { "\"\\ud800\"", "(column " },            { "[01]", "(column " },    { "\"a\xFF\"", "(column " },
        { "{\"a\" 1}", "(column " }, { "[1,]", "(column " },                   { "nul", "(column " },
        { "\n\n[tru]", "line 3" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tenebra_error error = { 0 };
        json_t *value;
        tn_json_parse(cases[i].text, strlen(cases[i].text), "given.json", &value, &error);
        if (value != NULL || error.code != TENEBRA_ERROR_FORMAT || strstr(error.sentence, cases[i].words) == NULL)
            fail_msg("%s: %d, %s", cases[i].text, (int)error.code, error.sentence);
        assert_string_equal(error.where, "given.json");
    }
}

static void any_value_is_read_to_the_last_byte(void **state)
{
    (void)state;
    static const char *const texts[] = { "null", "-0.5e1", "\"a\\u0000b\"", "[]", " {\"a\": [true, false, null, 12]} ", "\"\xE2\x82\xAC\"" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        tenebra_error error = { 0 };
        json_t *value;
        tn_json_parse(texts[i], strlen(texts[i]), "x", &value, &error);
        if (value == NULL)
            fail_msg("%s: %s", texts[i], error.sentence);
        json_decref(value);
    }
    json_t *text;
    tn_json_parse(texts[2], strlen(texts[2]), "x", &text, NULL);
    assert_int_equal(json_string_length(text), 3);
    assert_memory_equal(json_string_value(text), "a\0b", 3);
    json_decref(text);
}

/* RFC 8259, section 8.1: a reader may ignore a byte order mark. Only one, only at the start. */
static void a_byte_order_mark_is_skipped(void **state)
{
    (void)state;
    static const struct { const char *text; bool good; } cases[] = {
        { "\xEF\xBB\xBF{\"a\": 1}", true }, { "\xEF\xBB\xBF\xEF\xBB\xBF{}", false }, { "{}\xEF\xBB\xBF", false },
        { "\xEF\xBB\xBF", false }, { "\xEF\xBB{}", false }, { "\xFF\xFE{\0}\0", false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *value;
        tn_json_parse(cases[i].text, strlen(cases[i].text), "x", &value, NULL);
        assert_int_equal(value != NULL, cases[i].good);
        json_decref(value);
    }
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    enum { DEEP = 1 << 20 };
    char *text = malloc(DEEP);
    assert_non_null(text);
    memset(text, '[', DEEP);
    tenebra_error error = { 0 };
    json_t *value;
    assert_int_not_equal(tn_json_parse(text, DEEP, "x", &value, &error), TENEBRA_OK);
    assert_null(value);
    assert_int_equal(error.code, TENEBRA_ERROR_FORMAT);
    memset(text + 500, ']', 500);
    tn_json_parse(text, 1000, "x", &value, NULL);
    assert_non_null(value);
    json_decref(value);
    free(text);
}

static void members_have_types_and_ranges(void **state)
{
    (void)state;
    static const char given[] = "{\"n\": 3, \"r\": 4.0, \"h\": 0.5, \"t\": true, \"s\": \"x\", \"z\": null, \"m\": -1, "
                                "\"big\": 9223372036854775807, \"real\": 1e18}";
    json_t *object;
    tn_json_parse(given, strlen(given), "x", &object, NULL);
    assert_non_null(object);
    size_t size = 9;
    double number = 9;
    bool truth = false;
    const char *text = "none";
    tenebra_error error = { 0 };
    assert_int_equal(tn_json_size(object, "n", 0, 3, &size, "x", NULL), TENEBRA_OK);
    assert_int_equal(size, 3);
    assert_int_equal(tn_json_size(object, "r", 0, 10, &size, "x", NULL), TENEBRA_OK);
    assert_int_equal(size, 4);
    assert_int_equal(tn_json_size(object, "missing", 0, 10, &size, "x", NULL), TENEBRA_OK);
    assert_int_equal(tn_json_size(object, "z", 0, 10, &size, "x", NULL), TENEBRA_OK);
    assert_int_equal(size, 4); /* the caller's stays */
    static const char *const wrong[] = { "h", "t", "s", "m" };
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(tn_json_size(object, wrong[i], 0, 10, &size, "x", &error), TENEBRA_ERROR_FORMAT);
        assert_non_null(strstr(error.sentence, wrong[i]));
    }
    assert_int_equal(tn_json_size(object, "n", 4, 10, &size, "x", NULL), TENEBRA_ERROR_FORMAT);
    assert_int_equal(tn_json_size(object, "real", 0, SIZE_MAX, &size, "x", NULL), TENEBRA_ERROR_FORMAT);
    assert_int_equal(size, 4);
    size_t big = 0;
    assert_int_equal(tn_json_size(object, "big", 0, INT64_MAX, &big, "x", NULL), TENEBRA_OK);
    assert_true(big == INT64_MAX); /* to the last digit */
    static const char beyond[] = "{\"over\": 9223372036854775808, \"small\": 7}"; /* read as real numbers, which have fewer digits */
    json_t *other;
    tn_json_parse(beyond, strlen(beyond), "x", &other, NULL);
    assert_int_equal(tn_json_size(other, "over", 0, INT64_MAX, &size, "x", NULL), TENEBRA_ERROR_FORMAT);
    assert_int_equal(tn_json_size(other, "over", 0, SIZE_MAX, &size, "x", NULL), TENEBRA_ERROR_FORMAT);
    assert_int_equal(tn_json_size(other, "small", 0, SIZE_MAX, &big, "x", NULL), TENEBRA_OK);
    assert_int_equal(big, 7);
    json_decref(other);
    assert_int_equal(size, 4);
    assert_int_equal(tn_json_number(object, "h", 0, 1, &number, "x", NULL), TENEBRA_OK);
    assert_true(number == 0.5);
    assert_int_equal(tn_json_number(object, "h", 0.6, 1, &number, "x", NULL), TENEBRA_ERROR_FORMAT);
    assert_int_equal(tn_json_bool(object, "t", &truth, "x", NULL), TENEBRA_OK);
    assert_true(truth);
    assert_int_equal(tn_json_bool(object, "n", &truth, "x", NULL), TENEBRA_ERROR_FORMAT);
    assert_int_equal(tn_json_string(object, "s", &text, "x", NULL), TENEBRA_OK);
    assert_string_equal(text, "x");
    assert_int_equal(tn_json_string(object, "n", &text, "x", NULL), TENEBRA_ERROR_FORMAT);
    json_decref(object);
}

/* tokenizer_config.json has such a one; other numbers of its file stay integers. */
static void numbers_beyond_integers_are_real(void **state)
{
    (void)state;
    static const char text[] = "{\"model_max_length\": 1000000000000000019884624838656, \"list\": [1, {\"two\": -2}, 2.5], \"s\": \"x\"}";
    tenebra_error error = { 0 };
    json_t *json;
    tn_json_parse(text, strlen(text), "t.json", &json, &error);
    assert_non_null(json);
    assert_true(json_is_real(json_object_get(json, "model_max_length")));
    assert_true(json_number_value(json_object_get(json, "model_max_length")) == 1e30);
    const json_t *list = json_object_get(json, "list");
    assert_int_equal(json_integer_value(json_array_get(list, 0)), 1);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 1), "two")), -2);
    assert_true(json_real_value(json_array_get(list, 2)) == 2.5);
    assert_string_equal(json_string_value(json_object_get(json, "s")), "x");
    json_decref(json);
    size_t size = 3;
    tn_json_parse("{\"n\": 18446744073709551616}", 27, "t.json", &json, &error);
    assert_non_null(json);
    assert_int_equal(tn_json_size(json, "n", 0, 9, &size, "t.json", &error), TENEBRA_ERROR_FORMAT);
    json_decref(json);
    assert_int_not_equal(tn_json_parse("[1e999]", 7, "t.json", &json, &error), TENEBRA_OK);
    assert_null(json); /* no real either */
    assert_int_equal(error.code, TENEBRA_ERROR_FORMAT);
    assert_int_not_equal(tn_json_parse("[18446744073709551616, ]", 24, "t.json", &json, &error), TENEBRA_OK);
    assert_null(json);
    assert_int_equal(error.code, TENEBRA_ERROR_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_json_is_told_with_its_place),
        cmocka_unit_test(any_value_is_read_to_the_last_byte),
        cmocka_unit_test(a_byte_order_mark_is_skipped), cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(members_have_types_and_ranges),
        cmocka_unit_test(numbers_beyond_integers_are_real),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
