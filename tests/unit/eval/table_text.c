/* Tables as text: columns are aligned whatever labels contain, and the sentence below if questions are open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/table.h"
#include "text/visible.h"
#include "unit/store/files.h"

/* The table "methods" of a file with one correct answer for each label; of open questions, or of such with two options. */
static char *methods_text(const char *const *labels, size_t count, bool open)
{
    char *directory = make_directory(), *text = NULL, path[1024];
    char lines[2048] = "{\"tenebra_eval\":1,\"data\":{\"questions\":1,\"of\":1,\"digest\":\"d\"}}\n";
    for (size_t i = 0; i < count; i++)
        snprintf(lines + strlen(lines), sizeof lines - strlen(lines), "{\"n\":0,\"id\":\"q\",\"method\":\"%s\",\"options\":%d,"
                 "\"choice\":%s,\"correct\":true}\n", labels[i], open ? 0 : 2, open ? "null" : "1");
    write_file(directory, "x.jsonl", lines, strlen(lines));
    snprintf(path, sizeof path, "%s/x.jsonl", directory);
    tn_results results = { 0 };
    tn_table_groups groups = { 0 };
    json_t *report;
    assert_int_equal(tn_results_add(&results, path, NULL), TENEBRA_OK);
    assert_int_equal(tn_table_group_sets(&groups, &results, 0, results.count, NULL, NULL), TENEBRA_OK);
    assert_int_equal(tn_table_report(&report, &groups, NULL), TENEBRA_OK);
    assert_int_equal(tn_table_write(&text, report, TN_TABLE_TEXT, "methods", NULL), TENEBRA_OK);
    json_decref(report);
    tn_table_groups_free(&groups);
    tn_results_free(&results);
    remove_directory(directory);
    return text;
}

/* Labels with escapes, line ends and wide characters: every line is as wide as the others. */
static void test_columns(void **state)
{
    (void)state;
    static const char *const labels[] = { "a", "b\\u001b[31mred", "line\\nend", "\xE6\xBC\xA2\xE5\xAD\x97" };
    char *text = methods_text(labels, 4, false);
    size_t widths[6] = { 0 }, count = 0;
    for (char *line = strtok(text, "\n"); line != NULL && count < 6; line = strtok(NULL, "\n"))
        widths[count++] = tn_visible_width(line);
    for (size_t i = 2; i < 6; i++) /* 0: the title */
        assert_int_equal(widths[i], widths[1]);
    free(text);
}

/* Open questions have no options that an answer could name. */
static void test_open_questions(void **state)
{
    (void)state;
    for (int open = 0; open < 2; open++) {
        char *text = methods_text((const char *const[]){ "a" }, 1, open == 1);
        assert_int_equal(strstr(text, "The questions are open") != NULL, open);
        assert_int_equal(strstr(text, "strict") == NULL, open);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_columns), cmocka_unit_test(test_open_questions) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
