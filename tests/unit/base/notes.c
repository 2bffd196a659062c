/* Unused keys: which are noted, that each is noted once, and the maximum number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/notes.h"

#include <stdio.h>
#include <string.h>

static const char *const known[] = { "size", "rate=1", "flag=false", NULL };

static void note(tn_notes *notes, const char *json, const char *prefix)
{
    json_t *object = json_loads(json, JSON_DECODE_ANY, NULL);
    assert_non_null(object);
    tn_notes_unknown(notes, object, known, "a.json", prefix);
    json_decref(object);
}

static void test_known(void **state)
{
    (void)state;
    static const struct {
        const char *json, *expected;
    } cases[] = {
        { "{}", "" },
        { "[1]", "" },
        { "{\"size\": [1], \"rate\": 1.0, \"flag\": false}", "" },
        { "{\"rate\": 2, \"flag\": true}", "a.json: rate, flag" },
        { "{\"rate\": \"1\"}", "a.json: rate" },
        { "{\"siz\": 1, \"sizes\": 1, \"rate=1\": 1}", "a.json: siz, sizes, rate=1" },
        { "{\"a\": null, \"b\": \"\", \"c\": [], \"d\": {}, \"e\": 0}", "a.json: e" },
        { "{\"b\\u001b[31m\": 1}", "a.json: b?[31m" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[TN_NOTES_TEXT];
        tn_notes notes = { 0 };
        note(&notes, cases[i].json, NULL);
        note(&notes, cases[i].json, NULL); /* once */
        assert_string_equal(tn_notes_print(&notes, text), cases[i].expected);
        tn_notes_unknown(NULL, NULL, known, "a.json", NULL);
    }
}

static void test_files(void **state)
{
    (void)state;
    char text[TN_NOTES_TEXT];
    tn_notes notes = { 0 }, all = { 0 };
    note(&notes, "{\"x\": 1}", "part");
    tn_notes_add(&all, "b.json", "y");
    tn_notes_append(&all, &notes);
    assert_string_equal(tn_notes_print(&all, text), "b.json: y; a.json: part.x");
}

static void test_many(void **state)
{
    (void)state;
    char text[TN_NOTES_TEXT], key[400];
    tn_notes notes = { 0 };
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "%d%.*s", i, 300, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
        tn_notes_add(&notes, "a.json", key);
    }
    assert_int_equal(notes.count, 100);
    assert_true(strlen(tn_notes_print(&notes, text)) < TN_NOTES_TEXT);
    assert_non_null(strstr(text, " more"));
    assert_non_null(strstr(text, "xx.., 1x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_known), cmocka_unit_test(test_files), cmocka_unit_test(test_many) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
