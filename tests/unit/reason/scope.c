/* scope.json: the questions that a model can answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "reason/scope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/tenebra-scope-XXXXXX";

static tenebra_code read_text(const char *text, tn_scope *scope, tenebra_error *error)
{
    char path[256];
    snprintf(path, sizeof path, "%s/" TN_SCOPE_FILE, folder);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    tenebra_code code = tn_scope_read(scope, folder, error);
    remove(path);
    return code;
}

static void test_words(void **state)
{
    (void)state;
    tn_scope scope;
    tenebra_error error;
    assert_int_equal(read_text("{\"about\": \"where arrows lead\", \"words\": [\"arrow\", \"Red\"]}", &scope, &error), TENEBRA_OK);
    assert_string_equal(scope.about, "where arrows lead");
    static const char *const known[] = { "arrow", "An ARROW?", "the red one", "\n(red)", "3red4", "no-arrow" };
    static const char *const strange[] = { "", "arrows", "narrow", "ar row", "What is this?", "redder", "r e d" };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_true(tn_scope_fits(&scope, known[i]));
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++)
        assert_false(tn_scope_fits(&scope, strange[i]));
    tn_scope_free(&scope);
}

static void test_nothing_told(void **state)
{
    (void)state;
    tn_scope scope;
    tenebra_error error;
    assert_int_equal(tn_scope_read(&scope, folder, &error), TENEBRA_OK); /* no file */
    assert_true(tn_scope_fits(&scope, "anything"));
    tn_scope_free(&scope);
    assert_int_equal(read_text("{\"words\": []}", &scope, &error), TENEBRA_OK);
    assert_null(scope.about);
    assert_true(tn_scope_fits(&scope, ""));
    tn_scope_free(&scope);
}

/* Whole words, of either case, one of those between strokes, with blanks and line ends between; the first kind counts. */
static void test_kinds_that_were_not_learned(void **state)
{
    (void)state;
    tn_scope scope;
    tenebra_error error;
    assert_int_equal(read_text("{\"words\": [\"red\"], \"unlearned\": [{\"what\": \"to count\", \"phrases\": [\"how many\", "
                               "\"number of red|blue things\"]}, {\"what\": \"to see stars\", \"phrases\": [\"Star|stars\", \"^red|green dots\"]}]}",
                               &scope, &error), TENEBRA_OK);
    static const struct {
        const char *text, *what;
    } cases[] = {
        { "How many are there?", "to count" },
        { "tell me HOW  MANY", "to count" },
        { "how\nmany", "to count" },
        { "how many stars?", "to count" },
        { "the number of blue things", "to count" },
        { "number of red things?", "to count" },
        { "Is it a (STAR)?", "to see stars" },
        { "stars", "to see stars" },
        { "Green dots", "to see stars" },
        { "", NULL },
        { "how, many", NULL },
        { "how-many", NULL },
        { "how", NULL },
        { "show many", NULL },
        { "how manya", NULL },
        { "number of green things", NULL },
        { "number of red blue things", NULL },
        { "number of red", NULL },
        { "a starry night", NULL },
        { " green dots", NULL },
        { "the green dots", NULL },
        { "green", NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *what = tn_scope_unlearned(&scope, cases[i].text);
        if ((what == NULL) != (cases[i].what == NULL) || (what != NULL && strcmp(what, cases[i].what) != 0))
            fail_msg("'%s': %s", cases[i].text, what != NULL ? what : "nothing");
    }
    tn_scope_free(&scope);
    assert_null(tn_scope_unlearned(&scope, "how many"));
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        { "[]", "object" },
        { "{\"about\": \"x\"}", "\"words\"" },
        { "{\"words\": [\"a\", 1]}", "number 2" },
        { "{\"words\": [\"two words\"]}", "number 1" },
        { "{\"words\": [\"\"]}", "number 1" },
        { "{\"words\": [\"re\\u0000d\"]}", "" },
        { "{\"words\": [\"a\"], \"about\": 3}", "about" },
        { "{\"words\": [\"a\"], \"phrases\": []}", "phrases" },
        { "{\"words\": [\"a\"], \"unlearned\": {}}", "list of kinds" },
        { "{\"words\": [\"a\"], \"unlearned\": [3]}", "number 1 must be an object" },
        { "{\"words\": [\"a\"], \"unlearned\": [{\"what\": \"x\", \"phrases\": []}]}", "number 1 must be an object" },
        { "{\"words\": [\"a\"], \"unlearned\": [{\"phrases\": [\"x\"]}]}", "\"what\"" },
        { "{\"words\": [\"a\"], \"unlearned\": [{\"what\": \"x\", \"phrases\": [\"x\"], \"word\": 1}]}", "unknown members: word" },
        { "{\"words\": [\"a\"], \"unlearned\": [{\"what\": \"x\", \"phrases\": [\"x\", \"x  y\"]}]}", "phrase 2" },
        { "{\"words\": [\"a\"], \"unlearned\": [{\"what\": \"x\", \"phrases\": [\"x |y\"]}]}", "phrase 1" },
        { "{\"words\": [\"a\"], \"unlearned\": [{\"what\": \"x\", \"phrases\": [\"x|\"]}]}", "phrase 1" },
        { "{\"words\": [\"a\"], \"unlearned\": [{\"what\": \"x\", \"phrases\": [\" x\"]}]}", "phrase 1" },
        { "{\"words\": [\"a\"], \"unlearned\": [{\"what\": \"x\", \"phrases\": [\"x ^y\"]}]}", "phrase 1" },
        { "{\"words\": [\"a\"], \"unlearned\": [{\"what\": \"x\", \"phrases\": [\"^\"]}]}", "phrase 1" },
        { "{\"words\": [", "" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_scope scope;
        tenebra_error error = { 0 };
        assert_int_equal(read_text(cases[i].text, &scope, &error), TENEBRA_ERROR_FORMAT);
        if (strstr(error.sentence, cases[i].part) == NULL)
            fail_msg("'%s' is not in: %s", cases[i].part, error.sentence);
        assert_null(scope.json);
    }
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_nothing_told),
        cmocka_unit_test(test_kinds_that_were_not_learned),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
