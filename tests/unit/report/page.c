/* Whole pages of hand-made result files: what is in them, the limit of their size, what is chosen, hostile texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "report/figures.h"
#include "report/head.h"
#include "report/report.h"
#include "unit/store/files.h"

#include <math.h>

/* Breaks out of every context that it could come into. */
#define HOSTILE "\\u0022'></script><script>alert(1)</script><!--\\u2028\\u0001"

enum { QUESTIONS = 40 };

typedef struct made {
    char *directory;
    tn_results results;
    tn_table_groups groups;
} made;

static void write_row(FILE *out, size_t n, const char *method, bool right, const char *text)
{
    fprintf(out, "{\"n\":%zu,\"id\":\"q%zu%s\",\"method\":\"%s\",\"gold\":\"A\",\"domain\":\"d%s\",\"topic\":\"t-%zu\",\"options\":4,"
            "\"choice\":%d,\"correct\":%s,\"text\":\"%s\",\"tokens\":{\"sampled\":%zu,\"latent\":%d,\"injected\":0},"
            "\"ms\":{\"total\":2000,\"vision\":500},\"steps\":[{\"picks\":[],\"attention_ratio\":2,\"hidden_norm\":3}]}\n",
            n, n, n == 3 ? HOSTILE : "", method, n == 3 ? HOSTILE : "", n % 3 + 1, right ? 0 : 2, right ? "true" : "false", text, 5 + n,
            strncmp(method, "think", 5) == 0 ? 3 : 0);
}

static void make_results(made *m)
{
    static const char *const labels[] = { "say", "think:k-select=2", "think:k-select=8", ("odd " HOSTILE) };
    char path[1024];
    m->directory = make_directory();
    snprintf(path, sizeof path, "%s/run.jsonl", m->directory);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    fprintf(out, "{\"tenebra_eval\":1,\"version\":\"" HOSTILE "\",\"data\":{\"set\":\"nowhere\",\"split\":\"test\",\"place\":\"nowhere:/nowhere\","
            "\"questions\":%d,\"of\":%d,\"partial\":false,\"digest\":\"d\"},\"model\":{\"directory\":\"/m/" HOSTILE "\",\"digest\":\"x\"},"
            "\"methods\":[{\"label\":\"think:k-select=2\",\"method\":\"think\",\"settings\":{\"k-select\":\"2\"}},"
            "{\"label\":\"think:k-select=8\",\"method\":\"think\",\"settings\":{\"k-select\":\"8\"}}]}\n", QUESTIONS, QUESTIONS);
    for (size_t n = 0; n < QUESTIONS; n++)
        for (size_t w = 0; w < sizeof labels / sizeof *labels; w++)
            write_row(out, n, labels[w], (n * 7 + w) % 3 > 0, n == 3 ? HOSTILE : "The answer is A.");
    fclose(out);
    tenebra_error error = { 0 };
    if (tn_results_add(&m->results, path, &error) != TENEBRA_OK ||
        tn_table_group_sets(&m->groups, &m->results, 0, m->results.count, NULL, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
}

static int set_up(void **state)
{
    made *m = calloc(1, sizeof *m);
    assert_non_null(m);
    make_results(m);
    *state = m;
    return 0;
}

static int tear_down(void **state)
{
    made *m = *state;
    tn_table_groups_free(&m->groups);
    tn_results_free(&m->results);
    remove_directory(m->directory);
    free(m);
    return 0;
}

static char *make_page(const made *m, const tn_report_options *options, tn_report_account *account)
{
    tenebra_error error = { 0 };
    char *page;
    if (tn_report_eval(&m->results, &m->groups, options, account, &page, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return page;
}

static size_t count_of(const char *page, const char *word)
{
    size_t count = 0;
    for (const char *at = page; (at = strstr(at, word)) != NULL; at++)
        count++;
    return count;
}

/* The JSON in the script element of that id. */
static json_t *data_of(const char *page, const char *id)
{
    char start[128];
    json_error_t where;
    snprintf(start, sizeof start, "<script type=\"application/json\" id=\"%s\">", id);
    const char *begin = strstr(page, start);
    assert_non_null(begin);
    begin += strlen(start);
    const char *end = strstr(begin, "</script>");
    assert_non_null(end);
    json_t *data = json_loadb(begin, (size_t)(end - begin), 0, &where);
    if (data == NULL)
        fail_msg("%s at %d", where.text, where.position);
    return data;
}

static void test_questions_are_there(void **state)
{
    tn_report_account account;
    char *page = make_page(*state, &(tn_report_options){ .date = "2026-01-02" }, &account);
    json_t *data = data_of(page, "data"), *pictures = data_of(page, "pictures");
    const json_t *questions = json_object_get(data, "questions"), *first = json_array_get(questions, 0);
    assert_int_equal(account.bytes, strlen(page));
    assert_int_equal(account.questions, QUESTIONS);
    assert_int_equal(account.shown, QUESTIONS);
    assert_int_equal(json_array_size(questions), QUESTIONS);
    assert_int_equal(json_array_size(json_object_get(data, "ways")), 4);
    assert_int_equal(json_array_size(json_object_get(first, "answers")), 4);
    assert_string_equal(json_string_value(json_object_get(first, "id")), "q0");
    assert_int_equal(json_array_size(pictures), 0);
    assert_non_null(strstr(page, "2026-01-02"));
    assert_non_null(strstr(page, "the data set is not where the result file says"));
    json_decref(data);
    json_decref(pictures);
    free(page);
}

/* The page has only our scripts, whatever the texts contain; and the hostile texts are in the page, so the test could fail. */
static void test_hostile_texts(void **state)
{
    char *page = make_page(*state, &(tn_report_options){ .date = "<script>" }, NULL);
    assert_int_equal(count_of(page, "<script"), 3);
    assert_int_equal(count_of(page, "</script"), 3);
    assert_int_equal(count_of(page, "<!--"), 0);
    assert_int_equal(count_of(page, "<style"), 1);
    assert_true(count_of(page, "&lt;/script&gt;") > 0);
    assert_true(count_of(page, "alert(1)") > 10);
    assert_int_equal(count_of(page, "\x01"), 0);
    json_t *data = data_of(page, "data");
    const json_t *question = json_array_get(json_object_get(data, "questions"), 3);
    const char *text = json_string_value(json_object_get(json_array_get(json_object_get(question, "answers"), 0), "text"));
    assert_string_equal(text, "\"'></script><script>alert(1)</script><!--\xE2\x80\xA8\x01"); /* to the letter */
    json_decref(data);
    free(page);
}

/* Nothing but data: URIs, and our own names of XML. */
static void test_no_network(void **state)
{
    const made *m = *state;
    char *page = make_page(*state, &(tn_report_options){ 0 }, NULL);
    assert_int_equal(count_of(page, "http:") + count_of(page, "https:"), count_of(page, "http://www.w3.org/2000/svg"));
    assert_int_equal(count_of(page, "src=\""), 0);
    assert_int_equal(count_of(page, "@import") + count_of(page, "url("), 0);
    assert_int_equal(count_of(page, "default-src 'none'"), 1);
    assert_int_equal(count_of(page, m->directory), 0);
    free(page);
}

static void test_same_input_same_page(void **state)
{
    char *first = make_page(*state, &(tn_report_options){ .limit = 7 }, NULL);
    char *second = make_page(*state, &(tn_report_options){ .limit = 7 }, NULL);
    char *other = make_page(*state, &(tn_report_options){ .limit = 8 }, NULL);
    assert_string_equal(first, second);
    assert_string_not_equal(first, other);
    free(first);
    free(second);
    free(other);
}

static void test_limit_is_spread(void **state)
{
    for (size_t limit = 1; limit <= QUESTIONS + 1; limit += 8) {
        tn_report_account account;
        char *page = make_page(*state, &(tn_report_options){ .limit = limit }, &account);
        size_t wanted = limit < QUESTIONS ? limit : QUESTIONS, last = 0;
        assert_int_equal(account.shown, wanted);
        assert_int_equal(strstr(page, "spread evenly") != NULL, limit < QUESTIONS);
        json_t *data = data_of(page, "data");
        for (size_t i = 0; i < wanted; i++) {
            const json_t *question = json_array_get(json_object_get(data, "questions"), i);
            size_t number = (size_t)strtoul(json_string_value(json_object_get(question, "id")) + 1, NULL, 10);
            assert_true(i == 0 || number > last);
            assert_true(number * limit / QUESTIONS == i || wanted == QUESTIONS);
            last = number;
        }
        json_decref(data);
        free(page);
    }
}

static void test_ids(void **state)
{
    made *m = *state;
    tn_report_account account;
    free(make_page(m, &(tn_report_options){ .ids = "q7,q12,unknown" }, &account));
    assert_int_equal(account.shown, 2);
    tenebra_error error = { 0 };
    char *page;
    assert_int_equal(tn_report_eval(&m->results, &m->groups, &(tn_report_options){ .ids = "unknown" }, NULL, &page, &error), TENEBRA_ERROR_ARGUMENT);
    assert_null(page);
}

/* A page is never larger than its limit. It says what it leaves out, and is an error if nothing can be left out. */
static void test_size(void **state)
{
    made *m = *state;
    tn_report_account whole, account;
    free(make_page(m, &(tn_report_options){ 0 }, &whole));
    char *page = make_page(m, &(tn_report_options){ .max_bytes = whole.bytes - 6000 }, &account);
    assert_int_equal(strlen(page), account.bytes);
    assert_true(account.bytes <= whole.bytes - 6000);
    assert_true(account.shown > 0 && account.shown < QUESTIONS);
    assert_non_null(strstr(page, "--max-size"));
    free(page);
    page = make_page(m, &(tn_report_options){ .max_bytes = whole.bytes + 8192 }, &account);
    assert_int_equal(account.shown, QUESTIONS);
    assert_null(strstr(page, "--max-size"));
    free(page);
    tenebra_error error = { 0 };
    assert_int_equal(tn_report_eval(&m->results, &m->groups, &(tn_report_options){ .max_bytes = 10000 }, NULL, &page, &error), TENEBRA_ERROR_LIMIT);
    assert_int_equal(tn_report_eval(&m->results, &m->groups, &(tn_report_options){ .max_bytes = 10000 }, NULL, &page, NULL), TENEBRA_ERROR_LIMIT);
}

static void test_named_data_set_is_missed(void **state)
{
    made *m = *state;
    tenebra_error error = { 0 };
    const char *const places[] = { "nowhere:/elsewhere" };
    char *page;
    assert_int_equal(tn_report_eval(&m->results, &m->groups, &(tn_report_options){ .places = places, .place_count = 1 }, NULL, &page, &error), TENEBRA_ERROR_ARGUMENT);
    assert_null(page);
    const char *const others[] = { "somewhere:/elsewhere" }; /* is not an id */
    free(make_page(m, &(tn_report_options){ .places = others, .place_count = 1 }, NULL));
}

static void test_charts(void **state)
{
    made *m = *state;
    char *page = make_page(m, &(tn_report_options){ 0 }, NULL);
    assert_non_null(strstr(page, "Accuracy, % against K"));
    assert_null(strstr(page, "Accuracy, % against latent steps"));
    assert_non_null(strstr(page, "by number of looks"));
    assert_non_null(strstr(page, "Attention ratio by step"));
    assert_null(strstr(page, "Attention focus by step")); /* no record has it */
    assert_int_equal(count_of(page, "nan") + count_of(page, "-inf"), 0);
    free(page);
}

static void test_styles(void **state)
{
    made *m = *state;
    char style[TN_STYLE_SIZE];
    const char *const expected[] = { "b0", "a0", "a1", "b1" };
    for (size_t g = 0; g < 4; g++) {
        tn_figure_style(&m->groups, g, style);
        assert_string_equal(style, expected[g]);
    }
}

static void test_five_numbers(void **state)
{
    (void)state;
    double values[] = { 20, 4, 0, 8, 12, 16, 2, 6, 10, 14, 18 }, five[5];
    tn_figure_five(values, 11, five);
    const double expected[] = { 1, 5, 10, 15, 19 };
    for (size_t i = 0; i < 5; i++)
        assert_true(fabs(five[i] - expected[i]) <= 1e-12);
    tn_figure_five(values, 1, five);
    for (size_t i = 0; i < 5; i++)
        assert_true(five[i] == values[0]);
    tn_figure_five(values, 0, five);
    assert_true(isnan(five[0]) && isnan(five[4]));
}

static void test_one_answer(void **state)
{
    (void)state;
    json_t *record = json_pack("{s:s, s:{s:i, s:i}, s:{s:f}, s:[]}", "text", "</script>", "tokens", "sampled", 3, "latent", 0, "ms", "total",
                               2.0, "steps");
    const tenebra_part pictures[] = { { .kind = TENEBRA_PART_IMAGE_FILE, .text = TENEBRA_TEST_DATA "/image/rgb8.png" } };
    tn_report_answer answer = { .model = "/some/model", .question = "What? </script>\xFF", .pictures = pictures, .picture_count = 1,
                                .record = record, .method = "say", .sampling = "greedy", .kernels = "reference",
                                .settings = &(tenebra_setting){ "k-select", "2" }, .setting_count = 1 };
    tn_report_account account;
    tenebra_error error = { 0 };
    char *page;
    if (tn_report_one(&answer, &(tn_report_options){ 0 }, &account, &page, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    assert_int_equal(account.pictures, 1);
    assert_int_equal(count_of(page, "</script"), 3);
    json_t *data = data_of(page, "data");
    const json_t *question = json_array_get(json_object_get(data, "questions"), 0);
    assert_string_equal(json_string_value(json_object_get(question, "question")), "What? </script>\xEF\xBF\xBD");
    assert_true(json_is_true(json_object_get(data, "single")));
    const json_t *picks = json_object_get(json_array_get(json_object_get(data, "ways"), 0), "picks");
    assert_string_equal(json_string_value(json_array_get(picks, 0)), "k-select");
    assert_string_equal(json_string_value(json_array_get(picks, 1)), "2");
    assert_non_null(strstr(page, "<title>What? &lt;/script&gt;"));
    json_decref(data);
    free(page);
    assert_int_equal(tn_report_one(&answer, &(tn_report_options){ .max_bytes = 100 }, NULL, &page, &error), TENEBRA_ERROR_LIMIT);
    assert_null(page);
    json_decref(record);
}

/* The title is the question: on one line, and shortened between words. */
static void test_titles(void **state)
{
    (void)state;
    static const struct {
        const char *question, *title;
    } cases[] = { { "Which?", "<title>Which?</title>" },
                  { " Which \n\t colour? ", "<title>Which colour?</title>" },
                  { "a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h i j "
                    "k l m n o p q r s t u v w x y z", NULL } };
    json_t *record = json_pack("{s:s, s:[]}", "text", "x", "steps");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_report_answer answer = { .model = "m", .title = cases[i].question, .question = "Not this.", .record = record, .method = "say",
                                    .sampling = "greedy", .kernels = "reference" };
        char *page;
        assert_int_equal(tn_report_one(&answer, &(tn_report_options){ 0 }, NULL, &page, NULL), TENEBRA_OK);
        const char *title = strstr(page, "<title>"), *end = strstr(title, "</title>");
        assert_true(end - title < 170);
        if (i < 2)
            assert_memory_equal(title, cases[i].title, strlen(cases[i].title));
        else
            assert_memory_equal(end - 3, "\xE2\x80\xA6", 3); /* an ellipsis */
        free(page);
    }
    json_decref(record);
}

/* All runs have a model/ and an adapter/, so the name of the run distinguishes them. */
static void test_names(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        { "/runs/cot-1/model", "cot-1/model" }, { "cot-1/adapter/", "cot-1/adapter/" }, { "/m/Qwen2-VL-2B", "Qwen2-VL-2B" },
        { "model", "model" }, { "/model", "model" }, { "/x/models/", "models/" }, { "/", "" }, { "", "" },
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_string_equal(tn_head_name(names[i][0]), names[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names), cmocka_unit_test(test_titles),
        cmocka_unit_test(test_questions_are_there), cmocka_unit_test(test_hostile_texts),
        cmocka_unit_test(test_no_network),          cmocka_unit_test(test_same_input_same_page),
        cmocka_unit_test(test_limit_is_spread),     cmocka_unit_test(test_ids),
        cmocka_unit_test(test_size),                cmocka_unit_test(test_named_data_set_is_missed),
        cmocka_unit_test(test_charts),              cmocka_unit_test(test_styles),
        cmocka_unit_test(test_five_numbers),        cmocka_unit_test(test_one_answer),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
