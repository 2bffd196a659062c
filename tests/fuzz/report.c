/* Fuzz target: the page of a result file.
 *
 * Whatever a result file contains, the page must be complete: our three scripts and no other, no comment that could hide them,
 * data that parses, and no more bytes than allowed. */
#include "report/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_MOST = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static size_t count_of(const char *page, const char *word)
{
    size_t count = 0;
    for (const char *at = page; (at = strstr(at, word)) != NULL; at++)
        count++;
    return count;
}

static void check_data(const char *page)
{
    static const char start[] = "<script type=\"application/json\" id=\"data\">";
    const char *begin = strstr(page, start), *end = begin != NULL ? strstr(begin, "</script>") : NULL;
    require(end != NULL);
    begin += strlen(start);
    json_t *data = json_loadb(begin, (size_t)(end - begin), 0, NULL);
    require(json_is_array(json_object_get(data, "questions")) && json_is_array(json_object_get(data, "ways")));
    json_decref(data);
}

static void check_page(const char *page, size_t length)
{
    static const char tail[] = "</script>\n</body>\n</html>\n";
    require(strlen(page) == length && length <= PAGE_MOST && length > sizeof tail);
    require(strcmp(page + length - strlen(tail), tail) == 0);
    require(count_of(page, "<script") == 3 && count_of(page, "</script") == 3 && count_of(page, "<!--") == 0);
    check_data(page);
}

static void make_page(const char *path)
{
    tn_results results = { 0 };
    tn_table_groups groups = { 0 };
    tenebra_error error = { 0 };
    tn_report_account account;
    tenebra_code code = tn_results_add(&results, path, &error);
    if (code == TENEBRA_OK)
        code = tn_table_group_sets(&groups, &results, 0, results.count, NULL, &error);
    if (code == TENEBRA_OK) {
        tn_report_options options = { .limit = 4, .max_bytes = PAGE_MOST };
        char *page;
        code = tn_report_eval(&results, &groups, &options, &account, &page, &error);
        require(code == TENEBRA_OK ? page != NULL : code == TENEBRA_ERROR_LIMIT);
        if (page != NULL)
            check_page(page, account.bytes);
        free(page);
    }
    tn_table_groups_free(&groups);
    tn_results_free(&results);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char path[64];
    FILE *file = tmpfile(); /* results are read by path, and this one is gone with the process */
    require(file != NULL);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fileno(file));
    if (fwrite(bytes, 1, size, file) == size && fflush(file) == 0)
        make_page(path);
    fclose(file);
    return 0;
}
