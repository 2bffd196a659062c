/* Tables of hand-made result files: counts, intervals, pairs, seeds, forms; and what a probe says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/probe.h"
#include "unit/store/files.h"

#include <math.h>

static char *directory;

static int set_up(void **state)
{
    (void)state;
    directory = make_directory();
    return directory == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    remove_directory(directory);
    return 0;
}

static void path_of(char *path, const char *name)
{
    snprintf(path, 1024, "%s/%s", directory, name);
}

static void write_head(FILE *out, size_t questions)
{
    fprintf(out, "{\"tenebra_eval\":1,\"data\":{\"questions\":%zu,\"of\":%zu,\"partial\":false,\"digest\":\"d\"},\"methods\":[]}\n",
            questions, questions);
}

/* What a wrong answer chose. */
static const char *silent_choice = "2";

/* Question n in domain d0 or d1 and topic t-1 or t-2, as n is even or odd. Method "b" has its step in words: no hidden state. */
static void write_row(FILE *out, size_t n, const char *method, bool right, double sampled)
{
    fprintf(out, "{\"n\":%zu,\"id\":\"q%zu\",\"method\":\"%s\",\"domain\":\"d%zu\",\"topic\":\"t-%zu\",\"options\":4,\"choice\":%s,"
            "\"correct\":%s,\"tokens\":{\"sampled\":%g,\"latent\":3,\"injected\":8},\"ms\":{\"total\":2000},\"steps\":["
            "{\"attention_ratio\":2,\"attention_focus\":0.5,\"hidden_norm\":%s,\"hidden_cosine\":null}]}\n",
            n, n, method, n % 2, n % 2 + 1, right ? "1" : silent_choice, right ? "true" : "false", sampled, strcmp(method, "b") == 0 ? "null" : "3");
}

static FILE *start_file(const char *name, size_t questions)
{
    char path[1024];
    path_of(path, name);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    write_head(out, questions);
    return out;
}

static void load(tn_results *results, const char *name)
{
    char path[1024];
    tenebra_error error = { 0 };
    path_of(path, name);
    if (tn_results_add(results, path, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
}

static const json_t *find_table(const json_t *report, const char *name)
{
    const json_t *tables = json_object_get(report, "tables");
    for (size_t i = 0; i < json_array_size(tables); i++)
        if (strcmp(json_string_value(json_object_get(json_array_get(tables, i), "name")), name) == 0)
            return json_array_get(tables, i);
    fail_msg("no table %s", name);
    return NULL;
}

/* Cell of the column called `name`. */
static const json_t *cell(const json_t *table, size_t row, const char *name)
{
    const json_t *columns = json_object_get(table, "columns");
    for (size_t i = 0; i < json_array_size(columns); i++)
        if (strcmp(json_string_value(json_object_get(json_array_get(columns, i), "name")), name) == 0)
            return json_array_get(json_array_get(json_object_get(table, "rows"), row), i);
    fail_msg("no column %s", name);
    return NULL;
}

static double number_at(const json_t *table, size_t row, const char *name)
{
    return json_number_value(cell(table, row, name));
}

static double part(const json_t *table, size_t row, const char *name, const char *key)
{
    const json_t *value = json_object_get(cell(table, row, name), key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static bool near(double a, double b) { return fabs(a - b) <= 1e-3; }

static json_t *report_of(tn_results *results, const char *group)
{
    tn_table_groups groups = { 0 };
    tenebra_error error = { 0 };
    assert_int_equal(tn_table_group_sets(&groups, results, 0, results->count, group, &error), TENEBRA_OK);
    json_t *report;
    assert_int_equal(tn_table_report(&report, &groups, &error), TENEBRA_OK);
    tn_table_groups_free(&groups);
    return report;
}

/* Lines out of order, and one question answered twice, of which the last counts. `a` has 7 of 10 correct, `b` 4; 5 only a, 2
 * only b. */
static void write_two(const char *name)
{
    FILE *out = start_file(name, 10);
    static const bool a[] = { 1, 1, 1, 1, 1, 1, 1, 0, 0, 0 }, b[] = { 1, 1, 0, 0, 0, 0, 0, 1, 1, 0 };
    write_row(out, 4, "a", false, 7);
    for (size_t n = 10; n-- > 0;) {
        write_row(out, n, "a", a[n], 7);
        write_row(out, n, "b", b[n], n == 0 ? 20 : 10);
    }
    fprintf(out, "{\"n\":1,\"id\":\"q1\",\"met"); /* cut off */
    fclose(out);
}

static void test_counts(void **state)
{
    (void)state;
    tn_results results = { 0 };
    write_two("two.jsonl");
    load(&results, "two.jsonl");
    json_t *report = report_of(&results, NULL);
    const json_t *methods = find_table(report, "methods");
    assert_string_equal(json_string_value(cell(methods, 0, "method")), "a");
    assert_true(number_at(methods, 0, "questions") == 10);
    assert_true(near(part(methods, 0, "accuracy", "value"), 70));
    /* Wilson for 7 of 10: (0.7 + z^2/20 -+ z sqrt(0.021 + z^2/400)) / (1 + z^2/10) */
    assert_true(near(part(methods, 0, "accuracy", "low"), 39.6775) && near(part(methods, 0, "accuracy", "high"), 89.2209));
    assert_true(near(number_at(methods, 0, "AR steps"), 10) && near(number_at(methods, 1, "AR steps"), 14));
    assert_true(near(number_at(methods, 1, "with injected"), 22) && near(number_at(methods, 0, "seconds"), 2));
    const json_t *domains = find_table(report, "domains");
    assert_true(number_at(domains, 0, "questions") == 5);
    assert_true(near(part(domains, 0, "a", "value"), 80) && near(part(domains, 1, "a", "value"), 60));
    assert_true(near(part(find_table(report, "looks"), 1, "a", "value"), 60));
    const json_t *latents = find_table(report, "latents");
    assert_true(near(number_at(latents, 0, "attention ratio"), 2) && json_is_null(cell(latents, 0, "cosine to the previous")));
    assert_true(number_at(latents, 0, "norm") == 3 && json_is_null(cell(latents, 1, "norm")));
    assert_true(number_at(latents, 1, "answers") == 10 && near(number_at(latents, 1, "attention ratio"), 2));
    const json_t *pairs = find_table(report, "pairs");
    assert_true(number_at(pairs, 0, "only first") == 5 && number_at(pairs, 0, "only second") == 2);
    assert_true(near(part(pairs, 0, "difference", "value"), 30));
    assert_true(near(number_at(pairs, 0, "p (exact)"), 0.453125)); /* 2 * (1 + 7 + 21) / 128 */
    json_decref(report);
    tn_results_free(&results);
}

/* Three seeds with 60, 70 and 80 %: mean 70, half width 4.3027 * 10 / sqrt(3). */
static void test_seeds(void **state)
{
    (void)state;
    tn_results results = { 0 };
    static const char *const names[] = { "s1.jsonl", "s2.jsonl", "s3.jsonl" };
    for (size_t i = 0; i < 3; i++) {
        FILE *out = start_file(names[i], 10);
        for (size_t n = 0; n < 10; n++)
            write_row(out, n, "a", n < 6 + i, 7);
        fclose(out);
        load(&results, names[i]);
    }
    json_t *report = report_of(&results, "seeds"), *alone = report_of(&results, NULL);
    const json_t *methods = find_table(report, "methods");
    assert_int_equal(json_array_size(json_object_get(methods, "rows")), 1);
    assert_string_equal(json_string_value(cell(methods, 0, "method")), "seeds");
    assert_true(number_at(methods, 0, "runs") == 3 && near(part(methods, 0, "accuracy", "value"), 70));
    assert_true(near(part(methods, 0, "accuracy", "low"), 70 - 24.8416) && near(part(methods, 0, "accuracy", "high"), 94.8416));
    assert_string_equal(json_string_value(cell(find_table(alone, "methods"), 1, "method")), "s2: a");
    json_decref(report);
    json_decref(alone);
    tn_results_free(&results);
}

static bool notes_say(const json_t *report, const char *words)
{
    const json_t *notes = json_object_get(report, "notes");
    bool found = false;
    for (size_t i = 0; i < json_array_size(notes); i++)
        found |= strstr(json_string_value(json_array_get(notes, i)), words) != NULL;
    return found;
}

/* What a spreadsheet would take for a formula is marked as text; numbers stay numbers. */
static void test_formulas(void **state)
{
    (void)state;
    static const struct { const char *label, *cell; } cells[] = {
        { "=1+1", "methods,\"'=1+1\"," }, { "+cmd", "methods,\"'+cmd\"," }, { "@sum", "methods,\"'@sum\"," },
        { "-x", "methods,\"'-x\"," }, { "\\tx", "methods,\"'\tx\"," }, { "-1.5", "methods,-1.5," }, { "+2", "methods,+2," },
        { "\xEF\xBC\x9D" "A1", "methods,\"'\xEF\xBC\x9D" "A1\"," }, { "-0x1", "methods,\"'-0x1\"," }, { "a=1", "methods,a=1," },
        { "-", "methods,\"'-\"," }, { "-nan", "methods,\"'-nan\"," },
    };
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) {
        tn_results results = { 0 };
        FILE *out = start_file("formula.jsonl", 1);
        write_row(out, 0, cells[i].label, true, 5);
        fclose(out);
        load(&results, "formula.jsonl");
        json_t *report = report_of(&results, NULL);
        char *text;
        assert_int_equal(tn_table_write(&text, report, TN_TABLE_CSV, "methods", NULL), TENEBRA_OK);
        if (strstr(text, cells[i].cell) == NULL)
            fail_msg("%s does not hold %s", text, cells[i].cell);
        free(text);
        json_decref(report);
        tn_results_free(&results);
    }
}

/* Answers that name no option are counted next to the accuracy, and in a sentence below each table of accuracies. */
static void test_silence(void **state)
{
    (void)state;
    tn_results results = { 0 };
    FILE *out = start_file("silent.jsonl", 4);
    for (size_t n = 0; n < 4; n++) {
        write_row(out, n, "b", n > 0, 5);
        fprintf(out, "{\"n\":%zu,\"id\":\"q%zu\",\"method\":\"a\",\"domain\":\"d\",\"topic\":\"t-1\",\"options\":%d,\"choice\":null,"
                "\"correct\":false}\n", n, n, n == 3 ? 0 : 4); /* the last one is an open question */
    }
    fclose(out);
    load(&results, "silent.jsonl");
    json_t *report = report_of(&results, NULL);
    const json_t *methods = find_table(report, "methods");
    assert_string_equal(json_string_value(cell(methods, 1, "method")), "a");
    assert_true(number_at(methods, 0, "no answer") == 0 && number_at(methods, 1, "no answer") == 3);
    static const char *const names[] = { "methods", "domains", "topics", "looks", "pairs" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *notes = json_object_get(find_table(report, names[i]), "notes");
        assert_string_equal(json_string_value(json_array_get(notes, 0)),
                            "Answers that name no option (scorer 'strict'; they count as wrong): a 3 of 4, others none.");
        for (tn_table_form form = TN_TABLE_TEXT; form <= TN_TABLE_LATEX; form++) {
            char *text;
            assert_int_equal(tn_table_write(&text, report, form, names[i], NULL), TENEBRA_OK);
            assert_true(form == TN_TABLE_CSV || strstr(text, "a 3 of 4") != NULL);
            assert_true(i > 0 || strstr(text, "no answer") != NULL);
            free(text);
        }
    }
    json_decref(report);
    tn_results_free(&results);
}

/* Differences of several runs are also within the possible range. */
static void test_possible_differences(void **state)
{
    (void)state;
    tn_results results = { 0 };
    tn_table_groups groups = { 0 };
    for (size_t run = 0; run < 4; run++) { /* a: 10 and 8 of 10; b: none and 1 */
        char name[16];
        snprintf(name, sizeof name, "r%zu.jsonl", run);
        FILE *out = start_file(name, 10);
        for (size_t n = 0; n < 10; n++)
            write_row(out, n, run < 2 ? "a" : "b", run < 2 ? n < 10 - 2 * run : n < run - 2, 5);
        fclose(out);
        load(&results, name);
    }
    assert_int_equal(tn_table_group_sets(&groups, &results, 0, 2, "a", NULL), TENEBRA_OK);
    assert_int_equal(tn_table_group_sets(&groups, &results, 2, 4, "b", NULL), TENEBRA_OK);
    json_t *report;
    assert_int_equal(tn_table_report(&report, &groups, NULL), TENEBRA_OK);
    const json_t *pairs = find_table(report, "pairs");
    assert_true(near(part(pairs, 0, "difference", "value"), 85));
    assert_true(part(pairs, 0, "difference", "high") == 100 && part(pairs, 0, "difference", "low") < 0); /* 85 -+ 12.7 * 15 */
    assert_true(part(pairs, 0, "difference", "low") >= -100);
    json_decref(report);
    tn_table_groups_free(&groups);
    tn_results_free(&results);
}

/* Runs with the same accuracy, each with other correct answers: Student's interval would be a point. As a control, the last run of "a"
 * may have another accuracy. */
static void test_equal_runs(void **state)
{
    (void)state;
    enum { QUESTIONS = 10 };
    for (size_t other = 0; other < 2; other++) {
        tn_results results = { 0 };
        tn_table_groups groups = { 0 };
        for (size_t run = 0; run < 6; run++) { /* a: 6 of 10; b: 3 of 10, all of them also correct in a */
            char name[16];
            snprintf(name, sizeof name, "e%zu.jsonl", run);
            FILE *out = start_file(name, QUESTIONS);
            for (size_t n = 0; n < QUESTIONS; n++) {
                size_t place = (n + QUESTIONS - run % 3) % QUESTIONS;
                write_row(out, n, run < 3 ? "a" : "b", place < (run < 3 ? 6 + (run == 2 ? other : 0) : 3), 5);
            }
            fclose(out);
            load(&results, name);
        }
        assert_int_equal(tn_table_group_sets(&groups, &results, 0, 3, "a", NULL), TENEBRA_OK);
        assert_int_equal(tn_table_group_sets(&groups, &results, 3, 6, "b", NULL), TENEBRA_OK);
        json_t *report;
        assert_int_equal(tn_table_report(&report, &groups, NULL), TENEBRA_OK);
        const json_t *methods = find_table(report, "methods"), *pairs = find_table(report, "pairs");
        tn_interval one = tn_wilson(3, QUESTIONS, TN_Z95);
        assert_true(near(part(methods, 1, "accuracy", "low"), 100 * one.low) && near(part(methods, 1, "accuracy", "high"), 100 * one.high));
        assert_true(notes_say(report, "all 3 runs of b have the same accuracy"));
        assert_int_equal(notes_say(report, "all 3 runs of a"), !other);
        double low = part(methods, 0, "accuracy", "low"), spread = 4.3027 * 10 / 3; /* of 60, 60, 70: deviation 10 / sqrt(3) */
        one = tn_wilson(6, QUESTIONS, TN_Z95);
        assert_true(near(low, other ? 190.0 / 3 - spread : 100 * one.low));
        tn_paired first = { .both = 3, .only_first = 3, .only_second = 0, .neither = 4 };
        tn_interval difference = tn_paired_difference(&first, TN_Z95);
        low = part(pairs, 0, "difference", "low");
        assert_true(near(low, other ? 100.0 / 3 - spread : -100 * difference.high));
        assert_true(other || near(part(pairs, 0, "difference", "high"), -100 * difference.low));
        json_decref(report);
        tn_table_groups_free(&groups);
        tn_results_free(&results);
    }
}

/* The same run twice would have no spread; with one other answer it is another run. */
static void test_the_same_run_twice(void **state)
{
    (void)state;
    for (int other = 0; other < 2; other++) {
        tn_results results = { 0 };
        tn_table_groups groups = { 0 };
        tenebra_error error = { 0 };
        for (int run = 0; run < 2; run++) {
            FILE *out = start_file(run ? "again.jsonl" : "once.jsonl", 3);
            for (size_t n = 0; n < 3; n++)
                write_row(out, n, "a", n == 0 || (other && run == 1), 5);
            fclose(out);
            load(&results, run ? "again.jsonl" : "once.jsonl");
        }
        assert_int_equal(tn_table_group_sets(&groups, &results, 0, 2, "a", &error), other ? TENEBRA_OK : TENEBRA_ERROR_ARGUMENT);
        assert_true(other || strstr(error.sentence, "the same run twice") != NULL);
        tn_table_groups_free(&groups);
        tn_results_free(&results);
    }
}

/* Many steps, topics, labels and answers in another order: work that grows with their square would take for ever. */
static void test_large_files(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    tn_results results = { 0 };
    FILE *out = start_file("large.jsonl", MANY);
    for (size_t n = 0; n < MANY; n++)
        for (size_t way = 0; way < 2; way++)
            fprintf(out, "{\"n\":%zu,\"id\":\"q%zu\",\"method\":\"%c\",\"domain\":\"d\",\"topic\":\"t%zu\",\"options\":4,\"choice\":1,"
                    "\"correct\":%s}\n", n, way == 0 ? n : (n * 7919) % MANY, way == 0 ? 'a' : 'b', n, n % 3 == way ? "true" : "false");
    fprintf(out, "{\"n\":%d,\"id\":\"s\",\"method\":\"a\",\"domain\":\"d\",\"topic\":\"t\",\"options\":4,\"choice\":1,\"correct\":true,"
            "\"steps\":[{}", MANY);
    for (size_t i = 1; i < MANY; i++)
        fprintf(out, ",{\"hidden_norm\":%zu}", i);
    fprintf(out, "]}\n");
    fclose(out);
    load(&results, "large.jsonl");
    json_t *report = report_of(&results, NULL);
    assert_int_equal(json_array_size(json_object_get(find_table(report, "latents"), "rows")), MANY);
    assert_int_equal(json_array_size(json_object_get(find_table(report, "topics"), "rows")), MANY + 1);
    assert_true(number_at(find_table(report, "pairs"), 0, "questions") == MANY);
    char *text;
    assert_int_equal(tn_table_write(&text, report, TN_TABLE_TEXT, NULL, NULL), TENEBRA_OK);
    free(text);
    json_decref(report);
    tn_results_free(&results);
}

static void test_forms(void **state)
{
    (void)state;
    tn_results results = { 0 };
    tenebra_error error = { 0 };
    FILE *out = start_file("odd.jsonl", 3);
    for (size_t n = 0; n < 2; n++)
        write_row(out, n, "x|y_1,z%", n == 0, 5);
    fprintf(out, "{\"n\":2,\"id\":\"q2\",\"method\":\"x|y_1,z%%\",\"failed\":true,\"error\":{\"code\":1}}\n");
    fclose(out);
    load(&results, "odd.jsonl");
    json_t *report = report_of(&results, NULL);
    static const char *const found[] = { "x|y_1,z%", "x\\|y\\_1,z%", "\"x|y_1,z%\"", "x|y\\_1,z\\%" };
    for (size_t form = TN_TABLE_TEXT; form <= TN_TABLE_LATEX; form++) {
        char *text;
        assert_int_equal(tn_table_write(&text, report, (tn_table_form)form, "methods", &error), TENEBRA_OK);
        assert_non_null(strstr(text, found[form]));
        assert_non_null(strstr(text, "33.3"));
        free(text);
    }
    assert_true(notes_say(report, "1 answer of x|y_1,z% failed and counts") && notes_say(report, "without digests") && !notes_say(report, directory));
    char *nothing;
    assert_int_equal(tn_table_write(&nothing, report, TN_TABLE_TEXT, "nothing", &error), TENEBRA_ERROR_ARGUMENT);
    assert_null(nothing);
    json_decref(report);
    tn_results_free(&results);
}

static void test_bad_files(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "{}\n", "[1]\n", "{\"tenebra_eval\":1}\n[]\n", "{\"tenebra_eval\":1}\n{\"n\":0,\"id\":\"a\"}\n",
        "{\"tenebra_eval\":1}\n{\"n\":-1,\"id\":\"a\",\"method\":\"m\"}\n", "{\"tenebra_eval\":1}\n{\"n\":0,\"method\":\"m\"}\n",
        "{\"tenebra_eval\":1}\n{\"n\":0,\n", "{\"tenebra_eval\":1}\n",
        "{\"tenebra_eval\":1}\n{\"n\":0,\"id\":\"a\",\"method\":\"m\",\"options\":\"x\"}\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char path[1024];
        tn_results results = { 0 };
        tenebra_error error = { 0 };
        write_file(directory, "bad.jsonl", bad[i], strlen(bad[i]));
        path_of(path, "bad.jsonl");
        assert_int_equal(tn_results_add(&results, path, &error), TENEBRA_ERROR_FORMAT);
        assert_true(error.sentence[0] != '\0');
        tn_results_free(&results);
    }
}

static void test_mean(void **state)
{
    (void)state;
    static const double values[] = { 1, 2, 3, 4 };
    double half;
    assert_true(near(tn_table_mean(values, 4, &half), 2.5));
    assert_true(near(half, 3.1824 * 1.290994 / 2));
    assert_true(near(tn_table_mean(values, 1, &half), 1) && isnan(half));
    static const double equal[] = { 0.1, 0.1, 0.1 };
    assert_true(tn_table_mean(equal, 3, &half) == 0.1 && half == 0); /* their sum is not 0.3 */
}

/* ----------------------------------------------------------------- probe -- */

/* `total` questions, of which the unchanged method answers the first `right` correctly; an intervention keeps all correct
 * answers except `lost`. */
static double tokens_without = 5; /* sampled tokens of an answer without latent steps */

static void write_probe(const tn_eval_plan *plan, size_t total, size_t right, size_t lost_text, size_t lost_picks)
{
    FILE *out = start_file("probe.jsonl", total);
    for (size_t e = 0; e < plan->entry_count; e++) {
        const char *label = plan->entries[e].label;
        size_t lost = strstr(label, "latent-text=") ? lost_text : strstr(label, "latent-picks=") ? lost_picks : 0;
        for (size_t n = 0; n < total; n++)
            write_row(out, n, label, n >= lost && n < right, strstr(label, "n-latent=0") ? tokens_without : 5);
    }
    fclose(out);
}

static json_t *probe(const tn_eval_plan *plan)
{
    tn_results results = { 0 };
    tenebra_error error = { 0 };
    load(&results, "probe.jsonl");
    json_t *report;
    assert_int_equal(tn_probe_report(&report, &results, plan, &error), TENEBRA_OK);
    assert_non_null(report);
    tn_results_free(&results);
    return report;
}

static bool says(const json_t *report, size_t index, const char *words)
{
    const char *sentence = json_string_value(json_array_get(json_object_get(report, "words"), index));
    return sentence != NULL && strstr(sentence, words) != NULL;
}

static void test_probe(void **state)
{
    (void)state;
    tn_eval_plan plan = { 0 };
    tenebra_error error = { 0 };
    assert_int_equal(tn_eval_plan_add(&plan, "ivt-lr", &error), TENEBRA_OK);
    assert_int_equal(tn_probe_plan(&plan, &error), TENEBRA_OK);
    size_t given = 0;
    for (size_t e = 0; e < plan.entry_count; e++)
        given += plan.entries[e].other;
    assert_true(plan.entry_count > 15 && given == 1);
    write_probe(&plan, 200, 160, 40, 0);
    json_t *report = probe(&plan);
    const json_t *table = find_table(report, "probe");
    assert_int_equal(json_array_size(json_object_get(table, "rows")), plan.entry_count);
    assert_true(near(part(table, 1, "difference", "value"), -20) && part(table, 1, "difference", "high") < -10);
    assert_true(says(report, 0, "depend on the latent text") && says(report, 0, "falls by 20.0 points"));
    assert_true(says(report, 1, "could not be shown") && says(report, 1, "picked image embeddings"));
    assert_true(says(report, 2, "could not be shown") && says(report, 2, "losses below about 1.") && !says(report, 2, "in words"));
    json_decref(report);
    tokens_without = 9; /* the steps may be in the answer */
    write_probe(&plan, 200, 160, 40, 0);
    report = probe(&plan);
    assert_true(says(report, 2, "Answers then have 9.0 tokens instead of 5.0, so steps may be written in words") && !says(report, 1, "in words"));
    assert_true(number_at(find_table(report, "probe"), 0, "tokens") == 5);
    json_decref(report);
    tokens_without = 5;
    write_probe(&plan, 2, 2, 0, 0); /* too few for any */
    report = probe(&plan);
    assert_true(says(report, 2, "any loss could be undetected") && !says(report, 2, "points could be undetected"));
    json_decref(report);
    write_probe(&plan, 200, 160, 0, 40);
    report = probe(&plan);
    assert_true(says(report, 0, "could not be shown") && says(report, 1, "The answers depend on the picked"));
    json_decref(report);
    write_probe(&plan, 200, 55, 40, 40); /* 27.5 % of 25 % */
    report = probe(&plan);
    assert_true(says(report, 0, "not answer better than guessing") && !says(report, 0, "depend on the latent text"));
    json_decref(report);
    silent_choice = "null"; /* the same losses, but the answers name no option */
    write_probe(&plan, 200, 160, 40, 0);
    report = probe(&plan);
    table = find_table(report, "probe");
    assert_true(near(part(table, 1, "difference", "value"), -20) && number_at(table, 1, "lost, no answer") == 40);
    assert_true(number_at(table, 0, "no answer") == 40 && number_at(table, 1, "no answer") == 80);
    assert_true(says(report, 0, "Nothing can be concluded about the latent text") && says(report, 0, "40 answers are lost, but 40"));
    assert_true(says(report, 0, "--scorer") && !says(report, 0, "depend"));
    json_decref(report);
    write_probe(&plan, 200, 60, 40, 0); /* most answers of the method itself */
    report = probe(&plan);
    assert_true(says(report, 0, "Without intervention, 140 of 200 answers name no option") && !says(report, 1, ""));
    json_decref(report);
    silent_choice = "2";
    tn_eval_plan_free(&plan);
}

/* Reconstructions: means with intervals, of the question's own steps and of another's; a method without any has no row. */
static void test_reconstructions(void **state)
{
    (void)state;
    static const double own[] = { 0.2, 0.4, 0.3, 0.5 }, other[] = { 1, 1.2, 0.2, 1.6 };
    FILE *out = start_file("made.jsonl", 4);
    for (size_t n = 0; n < 4; n++) {
        write_row(out, n, "b", true, 5);
        fprintf(out, "{\"n\":%zu,\"id\":\"q%zu\",\"method\":\"a\",\"domain\":\"d\",\"topic\":\"t\",\"options\":4,\"choice\":1,"
                "\"correct\":true,\"tokens\":{\"sampled\":1},\"ms\":{\"total\":1},\"steps\":[],"
                "\"reconstruction\":{\"error\":%g,\"other_error\":%g}}\n", n, n, own[n], other[n]);
    }
    assert_int_equal(fclose(out), 0);
    tn_results results = { 0 };
    load(&results, "made.jsonl");
    json_t *report = report_of(&results, NULL);
    const json_t *table = find_table(report, "reconstruction");
    assert_int_equal(json_array_size(json_object_get(table, "rows")), 1);
    assert_string_equal(json_string_value(cell(table, 0, "method")), "a");
    assert_true(near(number_at(table, 0, "answers"), 4));
    assert_true(near(number_at(table, 0, "error"), 0.35) && near(number_at(table, 0, "another question's"), 1));
    assert_true(near(number_at(table, 0, "difference"), 0.65));
    /* Standard deviation 0.1291 (n - 1), divided by 2, times 1.96. */
    assert_true(near(number_at(table, 0, "+-"), 0.1265));
    assert_true(near(part(table, 0, "own is nearer", "value"), 75));
    json_decref(report);
    tn_results_free(&results);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),    cmocka_unit_test(test_seeds), cmocka_unit_test(test_forms),
        cmocka_unit_test(test_formulas),  cmocka_unit_test(test_silence), cmocka_unit_test(test_the_same_run_twice),
        cmocka_unit_test(test_possible_differences), cmocka_unit_test(test_equal_runs),
        cmocka_unit_test(test_large_files), cmocka_unit_test(test_reconstructions),
        cmocka_unit_test(test_bad_files), cmocka_unit_test(test_mean),  cmocka_unit_test(test_probe),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
