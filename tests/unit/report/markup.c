/* External text in a page is escaped, whatever it contains; JSON in a script stays valid and cannot end the script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "report/markup.h"

#include <stdlib.h>
#include <string.h>

static const char *const hostile[] = {
    "</script><script>alert(1)</script>", "<!--<script>", "]]>", "\" onload=\"x", "' onload='x", "a & b &amp; c",
    "\xE2\x80\xA8\xE2\x80\xA9", "\x01\x1B[31m\x7F", "\xC3\x28\xF0\x9F\x92", "\xED\xA0\x80", "\\u003c\\", "\n\t\r", "", "\xF0\x9F\x92\xA9",
};
enum { HOSTILE = sizeof hostile / sizeof *hostile };

static void test_text_holds_no_markup(void **state)
{
    (void)state;
    for (size_t i = 0; i < HOSTILE; i++) {
        tn_markup out = { 0 };
        tn_markup_text(&out, hostile[i]);
        const char *text = out.text.data != NULL ? out.text.data : "";
        assert_false(out.full);
        assert_null(strpbrk(text, "<>\"'"));
        assert_true(tn_utf8_valid(text, out.text.length));
        for (size_t k = 0; k < out.text.length; k++)
            assert_true((unsigned char)text[k] >= ' ' || strchr("\n\t\r", text[k]) != NULL);
        tn_markup_free(&out);
    }
}

static void test_text_by_hand(void **state)
{
    (void)state;
    tn_markup out = { 0 };
    tn_markup_text(&out, "<b>&\"'\xFFz\x02");
    assert_string_equal(out.text.data, "&lt;b&gt;&amp;&quot;&#39;" TN_REPLACEMENT "z" TN_REPLACEMENT);
    tn_markup_free(&out);
    tn_markup_text_bytes(&out, "a\0b", 3); /* a zero byte does not end the text */
    assert_string_equal(out.text.data, "a" TN_REPLACEMENT "b");
    tn_markup_free(&out);
    tn_markup_text(&out, NULL);
    assert_int_equal(out.text.length, 0);
    tn_markup_put(&out, "<b>"); /* ours is not escaped: the tests above can fail */
    assert_string_equal(out.text.data, "<b>");
    tn_markup_free(&out);
}

/* The script's text parses to the input, and contains nothing that could end the script. */
static void test_json_comes_back(void **state)
{
    (void)state;
    json_t *list = json_array();
    for (size_t i = 0; i < HOSTILE; i++)
        assert_int_equal(json_array_append_new(list, tn_markup_string(hostile[i])), 0);
    tn_markup out = { 0 };
    tn_markup_json(&out, list);
    assert_false(out.full);
    assert_null(strpbrk(out.text.data, "<>&"));
    for (size_t i = 0; i < out.text.length; i++)
        assert_true((unsigned char)out.text.data[i] < 0x80);
    json_t *back = json_loads(out.text.data, 0, NULL);
    assert_non_null(back);
    assert_true(json_equal(back, list));
    json_array_set_new(back, 0, json_string("other"));
    assert_false(json_equal(back, list));
    json_decref(back);
    json_decref(list);
    tn_markup_free(&out);
}

static void test_strings(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = { { "plain", "plain" }, { "\xFF", TN_REPLACEMENT }, { "a\xF0\x9F\x92", "a" TN_REPLACEMENT }, { "", "" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *string = tn_markup_string(cases[i].text);
        assert_string_equal(json_string_value(string), cases[i].expected);
        json_decref(string);
    }
    json_t *nothing = tn_markup_string(NULL);
    assert_true(json_is_null(nothing));
    json_decref(nothing);
}

static void test_base64(void **state)
{
    (void)state;
    static const char *const cases[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
                                            { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" } }; /* RFC 4648, section 10 */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_markup out = { 0 };
        tn_markup_base64(&out, cases[i][0], strlen(cases[i][0]));
        assert_string_equal(out.text.data != NULL ? out.text.data : "", cases[i][1]);
        tn_markup_free(&out);
    }
    tn_markup out = { 0 };
    tn_markup_base64(&out, "\xFB\xFF\xBF", 3);
    assert_string_equal(out.text.data, "+/+/");
    tn_markup_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_holds_no_markup), cmocka_unit_test(test_text_by_hand), cmocka_unit_test(test_json_comes_back),
        cmocka_unit_test(test_strings),              cmocka_unit_test(test_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
