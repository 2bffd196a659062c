/* Result files and keys: what is read, what is left out and why, how it is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "eval/outputs.h"
#include "eval/score_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DATA TENEBRA_TEST_DATA "/eval/"

static tn_key *read_key(const char *split, const char *path)
{
    tn_key *key;
    tn_key_open(split, &key, NULL);
    assert_int_equal(tn_key_add(key, path, NULL), TENEBRA_OK);
    return key;
}

/* A file with these bytes, for a moment. */
static char *write_file(char path[64], const char *bytes)
{
    strcpy(path, "/tmp/tenebra-outputs-XXXXXX");
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
    close(file);
    return path;
}

static json_t *score(const char *scorer, const tn_outputs *outputs)
{
    tn_tally tally = { 0 };
    assert_int_equal(tn_scorer_choose(scorer, &tally.scorer, &tally.variant, NULL), TENEBRA_OK);
    for (size_t i = 0; i < outputs->count; i++)
        assert_int_equal(tn_tally_add(&tally, &outputs->rows[i].scored, NULL), TENEBRA_OK);
    tn_tally_finish(&tally);
    json_t *scores = tn_tally_json(&tally);
    tn_tally_free(&tally);
    return scores;
}

static void expect_group(const json_t *scores, const char *name, long total, long correct)
{
    const json_t *group = name != NULL ? json_object_get(json_object_get(scores, "groups"), name) : scores;
    assert_non_null(group);
    assert_int_equal(json_integer_value(json_object_get(group, "total")), total);
    assert_int_equal(json_integer_value(json_object_get(group, "correct")), correct);
}

static void test_rows_with_key(void **state)
{
    (void)state;
    tn_key *key = read_key("test", DATA "key.jsonl");
    tn_outputs outputs;
    assert_int_equal(tn_key_count(key), 4);
    assert_null(tn_key_find(key, "other"));
    assert_int_equal(tn_outputs_read(&outputs, DATA "results.jsonl", key, NULL), TENEBRA_OK);
    assert_int_equal(outputs.count, 3);
    assert_int_equal(outputs.unreadable, 2);
    assert_int_equal(outputs.repeated, 1);
    assert_int_equal(outputs.unknown, 2);
    json_t *scores = score("m3cot", &outputs);
    expect_group(scores, NULL, 3, 2);
    expect_group(scores, "science", 1, 1); /* the key's answer, domain and topic, not the row's */
    expect_group(scores, "optics", 1, 1);
    expect_group(scores, "algebra", 1, 1); /* by the key's choices */
    expect_group(scores, "commonsense", 1, 0);
    assert_null(json_object_get(json_object_get(scores, "groups"), "wrong"));
    const char *first = json_object_iter_key(json_object_iter(json_object_get(scores, "groups")));
    assert_string_equal(first, "science");
    json_decref(scores);
    tn_outputs_free(&outputs);
    tn_key_close(key);
}

static void test_rows_without_key(void **state)
{
    (void)state;
    tn_outputs outputs;
    assert_int_equal(tn_outputs_read(&outputs, DATA "results.jsonl", NULL, NULL), TENEBRA_OK);
    assert_int_equal(outputs.count, 1);
    assert_int_equal(outputs.unkeyed, 4);
    json_t *scores = score("m3cot", &outputs);
    expect_group(scores, NULL, 1, 0);
    json_decref(scores);
    tn_outputs_free(&outputs);
}

static void test_changed_answers(void **state)
{
    (void)state;
    char path[64];
    tn_key *key = read_key("test", DATA "key.jsonl");
    assert_int_equal(tn_key_add(key, write_file(path, "{\"one\": \"B\", \"nobody\": \"A\"}"), NULL), TENEBRA_OK);
    unlink(path);
    assert_string_equal(tn_key_find(key, "one")->label, "B");
    assert_string_equal(tn_key_find(key, "one")->topic, "optics");
    assert_null(tn_key_find(key, "nobody"));
    tn_key_close(key);
    key = read_key("all", DATA "key.jsonl");
    assert_int_equal(tn_key_count(key), 5);
    tn_key_close(key);
}

static void test_results_by_id(void **state)
{
    (void)state;
    tn_key *key = read_key("test", DATA "problems.json");
    tn_outputs outputs;
    assert_int_equal(tn_key_count(key), 3);
    assert_string_equal(tn_key_pictured(key, 1)->id, "9");
    assert_null(tn_key_pictured(key, 2));
    assert_int_equal(tn_outputs_read(&outputs, DATA "results.json", key, NULL), TENEBRA_OK);
    assert_int_equal(outputs.unknown, 1);
    json_t *scores = score("sqa", &outputs);
    expect_group(scores, NULL, 3, 2);
    expect_group(scores, "NAT", 1, 1);
    expect_group(scores, "natural", 1, 1);
    expect_group(scores, "LAN", 1, 0);
    expect_group(scores, "TXT", 1, 1);
    expect_group(scores, "IMG", 2, 2);
    expect_group(scores, "NO", 1, 0);
    expect_group(scores, "G1-6", 1, 1);
    expect_group(scores, "G7-12", 2, 1);
    expect_group(scores, "Avg", 3, 2);
    expect_group(scores, "verbs", 1, 0);
    expect_group(scores, "biology", 0, 0);
    const json_t *none = json_object_get(json_object_get(json_object_get(scores, "groups"), "biology"), "acc");
    assert_true(json_real_value(none) == -1);
    json_decref(scores);
    scores = score("ivtlr-sqa", &outputs); /* reads the texts if there are any */
    expect_group(scores, NULL, 3, 2);
    json_decref(scores);
    tn_outputs_free(&outputs);
    tn_key_close(key);
}

/* Ids that count the questions with images. */
static void test_results_by_place(void **state)
{
    (void)state;
    char path[64];
    tn_key *key = read_key("test", DATA "problems.json");
    tn_outputs outputs;
    assert_int_equal(tn_outputs_read(&outputs, write_file(path, "{\"results\": {\"0\": 1, \"1\": 0}}"), key, NULL), TENEBRA_OK);
    unlink(path);
    assert_int_equal(outputs.count, 2);
    assert_string_equal(outputs.rows[0].sample.id, "7");
    assert_string_equal(outputs.rows[1].sample.id, "9");
    json_t *scores = score("ivtlr-sqa", &outputs);
    expect_group(scores, NULL, 2, 1);
    json_decref(scores);
    assert_false(tn_scorer_find("m3cot")->by_choice);
    tn_tally tally = { .scorer = tn_scorer_find("m3cot") };
    tenebra_error error;
    assert_int_equal(tn_tally_add(&tally, &outputs.rows[0].scored, &error), TENEBRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.sentence, "m3cot"));
    tn_tally_free(&tally);
    tn_outputs_free(&outputs);
    tn_key_close(key);
}

/* Our own records: methods apart, failures wrong, the first line no row, the last of several counts. */
static void test_own_records(void **state)
{
    (void)state;
    char path[64];
    tn_outputs outputs;
    const char *bytes = "{\"tenebra_eval\": 1, \"data\": {\"place\": \"hops:x\", \"split\": \"dev\"}}\n"
                        "{\"n\": 2, \"id\": \"c\", \"method\": \"one\", \"gold\": \"D\", \"options\": 4, \"failed\": true}\n"
                        "{\"n\": 2, \"id\": \"c\", \"method\": \"one\", \"gold\": \"D\", \"options\": 4, \"text\": \"D\"}\n"
                        "{\"n\": 3, \"id\": \"d\", \"method\": \"one\", \"gold\": \"A\", \"options\": 2, \"text\": \"The answer is C\"}\n"
                        "{\"n\": 0, \"id\": \"a\", \"method\": \"one\", \"gold\": \"B\", \"options\": 4, \"text\": \"The answer is B\"}\n"
                        "{\"n\": 0, \"id\": \"a\", \"method\": \"two\", \"gold\": \"B\", \"options\": 4, \"text\": \"C\"}\r\n"
                        "{\"n\": 1, \"id\": \"b\", \"method\": \"one\", \"gold\": \"A\", \"options\": 4, \"failed\": true}\n";
    assert_int_equal(tn_outputs_read(&outputs, write_file(path, bytes), NULL, NULL), TENEBRA_OK);
    unlink(path);
    assert_int_equal(outputs.count, 5);
    assert_int_equal(outputs.repeated, 1);
    assert_int_equal(outputs.unreadable, 0);
    assert_int_equal(outputs.fallible, 1);
    assert_string_equal(outputs.place, "hops:x");
    assert_string_equal(outputs.split, "dev");
    assert_string_equal(outputs.rows[3].method, "two");
    json_t *scores = score("strict", &outputs);
    expect_group(scores, NULL, 5, 2);
    tn_verdict verdict;
    tn_scorer_standard()->judge(&verdict, &outputs.rows[1].scored, 0, NULL);
    assert_false(verdict.found); /* the third of two options */
    json_decref(scores);
    tn_outputs_free(&outputs);
}

/* A prompt in the wording of the authors gets back the line that they cut off. */
static void test_prompts(void **state)
{
    (void)state;
    char path[64];
    tn_outputs outputs;
    const char *bytes = "[{\"id\": 1, \"answer\": \"A\", \"messages\": [\"[Question]:{x}\\n[Options]:\\nA.{y}\", \"A\"]},"
                        "{\"id\": 2, \"answer\": \"A\", \"prompt\": \"p\", \"generated\": \"A\"},"
                        "{\"id\": 3, \"answer\": 0, \"messages\": [\"x\", \"A\"]}]";
    assert_int_equal(tn_outputs_read(&outputs, write_file(path, bytes), NULL, NULL), TENEBRA_OK);
    unlink(path);
    assert_int_equal(outputs.count, 3);
    const char *expected = "[Question]:{x}\n[Options]:\nA.{y}\nAnswer:";
    assert_int_equal(outputs.rows[0].scored.prompt.length, strlen(expected));
    assert_memory_equal(outputs.rows[0].scored.prompt.bytes, expected, strlen(expected));
    assert_int_equal(outputs.rows[1].scored.prompt.length, 1);
    assert_null(outputs.rows[2].scored.prompt.bytes);
    assert_string_equal(outputs.rows[2].sample.label, "0");
    tn_outputs_free(&outputs);
}

static void test_python_json(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected; /* NULL: refused */
    } cases[] = {
        { "{\"a\": 1, \"a\": 2}", "{\"a\": 2}" },
        { "[NaN, Infinity, -Infinity, \"NaN\"]", "[null, null, null, \"NaN\"]" },
        { "\"x\\ud83dy\"", "\"x\\ufffdy\"" },
        { "\"\\ud83d\\ude00 \\ude00\"", "\"\\ud83d\\ude00 \\ufffd\"" },
        { "\"\\\\ud800\"", "\"\\\\ud800\"" },
        { "[-18446744073709551616, 0.1234567890123456789012, NaN]", "[\"-18446744073709551616\", 0.1234567890123456789012, null]" },
        { "{\"a\": ", NULL }, { "\"\\ud83d", NULL }, { "\"\\u12", NULL }, { "\"\\", NULL }, { "NaN1", NULL }, { "", NULL }, { "-", NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *value = tn_python_json(cases[i].text, strlen(cases[i].text));
        json_t *expected = cases[i].expected == NULL ? NULL : json_loads(cases[i].expected, JSON_DECODE_ANY, NULL);
        assert_int_equal(value != NULL, expected != NULL);
        assert_true(value == NULL || json_equal(value, expected));
        json_decref(value);
        json_decref(expected);
    }
}

static void test_errors(void **state)
{
    (void)state;
    char path[64];
    tn_outputs outputs;
    tenebra_error error;
    tn_key *key;
    tn_key_open("test", &key, NULL);
    assert_int_equal(tn_outputs_read(&outputs, "/nowhere/at/all", NULL, &error), TENEBRA_ERROR_IO);
    tn_outputs_free(&outputs);
    const char *const useless[] = { "", "\n\n", "x\ny\n", "{\"id\": \"a\", \"text\": \"B\"}\n", "{\"text\": \"B\", \"answer\": \"A\"}",
                                    "{\"results\": {}}", "[1, 2]", "{\"id\": \"a\\u0000b\", \"text\": \"A\", \"answer\": \"A\"}" };
    for (size_t i = 0; i < sizeof useless / sizeof *useless; i++) {
        assert_int_equal(tn_outputs_read(&outputs, write_file(path, useless[i]), NULL, &error), TENEBRA_ERROR_FORMAT);
        tn_outputs_free(&outputs);
        assert_int_equal(tn_key_add(key, path, &error), i == 4 || i == 7 ? error.code : TENEBRA_ERROR_FORMAT);
        unlink(path);
    }
    assert_int_equal(tn_key_add(key, "/nowhere/at/all", &error), TENEBRA_ERROR_IO);
    assert_int_equal(tn_key_count(key), 0);
    tn_key_close(key);
}

/* The same topic in two domains is two groups. */
static void test_names_of_groups(void **state)
{
    (void)state;
    tn_key *key = read_key("test", DATA "key.jsonl");
    tn_tally tally = { .scorer = tn_scorer_find("m3cot") };
    const char *const ids[] = { "two", "four" };
    for (size_t i = 0; i < 2; i++) {
        tn_scored answer = { .sample = tn_key_find(key, ids[i]), .text = TN_SLICE("(C)") };
        assert_int_equal(tn_tally_add(&tally, &answer, NULL), TENEBRA_OK);
    }
    tn_tally_finish(&tally);
    json_t *scores = tn_tally_json(&tally);
    expect_group(scores, "mathematics/algebra", 1, 1);
    expect_group(scores, "science/algebra", 1, 0);
    assert_null(json_object_get(json_object_get(scores, "groups"), "algebra"));
    json_decref(scores);
    tn_tally_free(&tally);
    tn_key_close(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_with_key),
        cmocka_unit_test(test_rows_without_key),
        cmocka_unit_test(test_changed_answers),
        cmocka_unit_test(test_results_by_id),
        cmocka_unit_test(test_results_by_place),
        cmocka_unit_test(test_own_records),
        cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_python_json),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_names_of_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
