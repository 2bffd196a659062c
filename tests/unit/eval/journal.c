/* Result files as other programs leave them: line ends of Windows and a byte order mark change nothing, anything else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/journal.h"
#include "eval/seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tenebra_code count_record(void *user, const json_t *record, tenebra_error *error)
{
    (void)error;
    *(size_t *)user += json_object_get(record, "n") != NULL;
    return TENEBRA_OK;
}

/* A manifest and two records, sealed, with `end` after each line. */
static void write_file(char text[1024], const char *front, const char *end)
{
    static const char *const lines[] = { "{\"tenebra_eval\":1}", "{\"n\":0}", "{\"n\":1}" };
    tn_digest head, digest;
    size_t used = (size_t)snprintf(text, 1024, "%s", front), length;
    for (size_t i = 0; i < 3; i++) {
        char *line = tn_seal_line(lines[i], strlen(lines[i]), i > 0 ? &head : NULL, &length, i > 0 ? &digest : &head);
        assert_non_null(line);
        used += (size_t)snprintf(text + used, 1024 - used, "%s%s", line, end);
        free(line);
    }
}

static tenebra_code parse(const char *text, size_t *count, tenebra_error *error)
{
    json_t *manifest = NULL;
    *count = 0;
    tenebra_code code = tn_journal_parse(text, strlen(text), "x.jsonl", &manifest, count_record, count, error);
    json_decref(manifest);
    return code;
}

static void test_line_ends(void **state)
{
    (void)state;
    static const struct { const char *front, *end; bool good; } cases[] = {
        { "", "\n", true }, { "", "\r\n", true }, { "\xEF\xBB\xBF", "\n", true }, { "\xEF\xBB\xBF", "\r\n", true },
        { "\xEF\xBB", "\n", false }, { "x", "\n", false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        size_t count;
        tenebra_error error = { 0 };
        write_file(text, cases[i].front, cases[i].end);
        assert_int_equal(parse(text, &count, &error) == TENEBRA_OK, cases[i].good);
        assert_true(!cases[i].good || count == 2);
        strstr(text, "\"n\":1")[4] = '2'; /* a changed line is noticed, whatever the line ends */
        assert_int_not_equal(parse(text, &count, &error), TENEBRA_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_line_ends) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
