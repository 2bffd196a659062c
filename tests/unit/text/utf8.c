#include "unit/text/support.h"

typedef struct reading {
    const char *bytes;
    size_t length, size;
    int32_t code_point;
} reading;

static void reads_each_kind_of_sequence(void **state)
{
    (void)state;
    static const reading readings[] = {
        { "a", 1, 1, 'a' },
        { "\0", 1, 1, 0 },
        { "\xC3\xA9", 2, 2, 0xE9 },
        { "\xE4\xB8\xAD", 3, 3, 0x4E2D },
        { "\xF0\x9F\x98\x80", 4, 4, 0x1F600 },
        { "\xF4\x8F\xBF\xBF", 4, 4, 0x10FFFF },
        { "\x80", 1, 1, TN_UTF8_ILL_FORMED },             /* only a second byte  */
        { "\xC0\x80", 2, 1, TN_UTF8_ILL_FORMED },         /* overlong             */
        { "\xE0\x80\x80", 3, 1, TN_UTF8_ILL_FORMED },     /* overlong             */
        { "\xED\xA0\x80", 3, 1, TN_UTF8_ILL_FORMED },     /* surrogate            */
        { "\xF4\x90\x80\x80", 4, 1, TN_UTF8_ILL_FORMED }, /* above U+10FFFF       */
        { "\xF5", 1, 1, TN_UTF8_ILL_FORMED },
        { "\xE4\xB8(", 3, 2, TN_UTF8_ILL_FORMED },        /* longest valid start  */
        { "\xF0\x9F\x98(", 4, 3, TN_UTF8_ILL_FORMED },
        { "\xE4\xB8", 2, 2, TN_UTF8_CUT },
        { "\xF0\x9F\x98", 3, 3, TN_UTF8_CUT },
        { "\xC3", 1, 1, TN_UTF8_CUT },
    };
    for (size_t i = 0; i < sizeof readings / sizeof readings[0]; i++) {
        int32_t c;
        size_t size = tn_utf8_read(readings[i].bytes, readings[i].length, &c);
        assert_int_equal(size, readings[i].size);
        assert_int_equal(c, readings[i].code_point);
    }
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    for (int32_t c = 0; c <= 0x10FFFF; c++) {
        if (c >= 0xD800 && c <= 0xDFFF)
            continue;
        char bytes[4];
        int32_t back;
        size_t size = tn_utf8_write(c, bytes);
        assert_int_equal(tn_utf8_read(bytes, size, &back), size);
        assert_int_equal(back, c);
    }
}

static void replaces_maximal_ill_formed_parts(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *text;
    } cases[] = {
        { "sound", "sound" },
        { "", "" },
        { "a\xFF" "b", "a\xEF\xBF\xBD" "b" },
        { "\xF0\x9F\x98", "\xEF\xBF\xBD" },
        { "\xF0\x9F\x98" "a\xE4", "\xEF\xBF\xBD" "a\xEF\xBF\xBD" },
        { "\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tn_text text = { 0 };
        assert_int_equal(tn_text_append_lossy(&text, cases[i].bytes, strlen(cases[i].bytes), NULL), TENEBRA_OK);
        assert_true(equal_text(&text, cases[i].text, strlen(cases[i].text)));
        assert_true(tn_utf8_valid(text.data, text.length));
        assert_int_equal(tn_utf8_valid(cases[i].bytes, strlen(cases[i].bytes)),
                         strcmp(cases[i].bytes, cases[i].text) == 0);
        tn_text_free(&text);
    }
}

static void refuses_a_length_that_wraps(void **state)
{
    (void)state;
    tn_text text = { 0 };
    tenebra_error error;
    assert_int_equal(tn_text_append(&text, "ab", 2, &error), TENEBRA_OK);
    assert_int_equal(tn_text_append(&text, "x", SIZE_MAX - 1, &error), TENEBRA_ERROR_LIMIT);
    assert_true(equal_text(&text, "ab", 2));
    tn_text_free(&text);
}

static void shows_any_bytes_in_errors(void **state)
{
    (void)state;
    char shown[TN_SHOWN_SIZE], all[256];
    assert_string_equal(tn_text_show("a\n\xC3\xA9\xFF\xC2\x85", 7, shown), "a\\x0A\xC3\xA9\\xFF\\xC2\\x85");
    assert_string_equal(tn_text_show("", 0, shown), "");
    for (int filler = 0; filler < 4; filler++) {
        memset(all, "\xFF" "a\x01\xF0"[filler], sizeof all);
        tn_text_show(all, sizeof all, shown);
        assert_true(strlen(shown) < TN_SHOWN_SIZE && strlen(shown) > 60);
        assert_string_equal(shown + strlen(shown) - 3, "...");
        assert_true(tn_utf8_valid(shown, strlen(shown)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_each_kind_of_sequence),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(replaces_maximal_ill_formed_parts),
        cmocka_unit_test(refuses_a_length_that_wraps),
        cmocka_unit_test(shows_any_bytes_in_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
