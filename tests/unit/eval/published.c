/* Outputs of published models with the figures and verdicts of the official programs. The files may not be copied into this
 * repository; the test finds them through TENEBRA_EVAL_DATA and is skipped without it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/file.h"
#include "eval/outputs.h"
#include "eval/score_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SKIPPED = 77 };

static const char *root(void)
{
    const char *path = getenv("TENEBRA_EVAL_DATA");
    return path != NULL && path[0] != '\0' ? path : NULL;
}

static const char *place(char path[512], const char *folder, const char *name)
{
    snprintf(path, 512, "%s/%s/%s", root(), folder, name);
    return path;
}

static json_t *read_json(const char *folder, const char *name)
{
    char path[512];
    json_t *value;
    tn_json_read(place(path, folder, name), 1 << 26, &value, NULL);
    assert_non_null(value);
    return value;
}

static tn_key *read_key(const char *folder, const char *name, const char *change)
{
    char path[512];
    tn_key *key;
    tn_key_open("test", &key, NULL);
    assert_int_equal(tn_key_add(key, place(path, folder, name), NULL), TENEBRA_OK);
    if (change != NULL)
        assert_int_equal(tn_key_add(key, place(path, folder, change), NULL), TENEBRA_OK);
    return key;
}

static json_t *score(const char *scorer, const char *folder, const char *name, const tn_key *key)
{
    char path[512];
    tn_outputs outputs;
    tn_tally tally = { 0 };
    assert_int_equal(tn_scorer_choose(scorer, &tally.scorer, &tally.variant, NULL), TENEBRA_OK);
    assert_int_equal(tn_outputs_read(&outputs, place(path, folder, name), key, NULL), TENEBRA_OK);
    for (size_t i = 0; i < outputs.count; i++)
        assert_int_equal(tn_tally_add(&tally, &outputs.rows[i].scored, NULL), TENEBRA_OK);
    tn_tally_finish(&tally);
    json_t *scores = tn_tally_json(&tally);
    tn_tally_free(&tally);
    tn_outputs_free(&outputs);
    assert_non_null(scores);
    return scores;
}

static bool is_like(const json_t *group, const json_t *expected, const char *percent)
{
    char text[32];
    snprintf(text, sizeof text, "%.2f", json_real_value(json_object_get(group, "acc")));
    return json_equal(json_object_get(group, "total"), json_object_get(expected, "total")) &&
           json_equal(json_object_get(group, "correct"), json_object_get(expected, "correct")) &&
           strcmp(text, json_string_value(json_object_get(expected, percent))) == 0;
}

/* Every figure; with one group's expectation changed, not. */
static size_t expect_groups(const json_t *scores, json_t *expected, const char *percent)
{
    const char *name;
    json_t *group;
    size_t count = 0;
    json_object_foreach(expected, name, group) {
        const json_t *ours = json_object_get(json_object_get(scores, "groups"), name);
        assert_true(is_like(ours, group, percent));
        json_object_set_new(group, "correct", json_integer(json_integer_value(json_object_get(group, "correct")) + 1));
        assert_false(is_like(ours, group, percent));
        count++;
    }
    return count;
}

static void expect_judged(const char *file, json_t *expected, const tn_key *key)
{
    json_t *scores = score("m3cot", "m3cot/results", file, key);
    assert_true(is_like(scores, json_object_get(expected, "all"), "acc_pct"));
    assert_int_equal(expect_groups(scores, json_object_get(expected, "domain"), "acc_pct"), 3);
    const char *domain;
    json_t *topics;
    size_t count = 0;
    json_object_foreach(json_object_get(expected, "topic"), domain, topics)
        count += expect_groups(scores, topics, "acc_pct");
    assert_int_equal(count, 9);
    json_decref(scores);
}

static void test_m3cot_figures(void **state)
{
    (void)state;
    json_t *expected = read_json("m3cot", "expected.json"), *figures;
    tn_key *carried = read_key("m3cot", "test_key.jsonl", NULL);
    tn_key *published = read_key("m3cot", "test_key.jsonl", "key_override.json");
    const char *file;
    json_object_foreach(json_object_get(expected, "files"), file, figures) {
        expect_judged(file, json_object_get(figures, "key_files"), carried);
        expect_judged(file, json_object_get(figures, "key_published"), published);
    }
    tn_key_close(carried);
    tn_key_close(published);
    json_decref(expected);
}

/* Each row's letter and verdict. */
static void test_m3cot_verdicts(void **state)
{
    (void)state;
    json_t *verdicts = read_json("m3cot", "verdicts.json"), *expected;
    tn_key *key = read_key("m3cot", "test_key.jsonl", NULL);
    const char *file;
    size_t checked = 0;
    json_object_foreach(verdicts, file, expected) {
        char path[512];
        tn_outputs outputs;
        assert_int_equal(tn_outputs_read(&outputs, place(path, "m3cot/results", file), key, NULL), TENEBRA_OK);
        const char *letters = json_string_value(json_object_get(expected, "pred"));
        const char *correct = json_string_value(json_object_get(expected, "correct_key_files"));
        assert_int_equal(strlen(letters), outputs.count);
        for (size_t i = 0; i < outputs.count; i++, checked++) {
            tn_verdict verdict;
            assert_int_equal(tn_scorer_find("m3cot")->judge(&verdict, &outputs.rows[i].scored, 0, NULL), TENEBRA_OK);
            assert_int_equal(verdict.choice, letters[i] == '-' ? TN_NO_CHOICE : letters[i] - 'A');
            assert_int_equal(verdict.correct, correct[i] == '1');
        }
        tn_outputs_free(&outputs);
    }
    assert_int_equal(checked, 4 * 2318);
    tn_key_close(key);
    json_decref(verdicts);
}

static void test_scienceqa_figures(void **state)
{
    (void)state;
    json_t *expected = read_json("scienceqa", "expected.json"), *figures, *topic;
    tn_key *whole = read_key("scienceqa", "test_meta.jsonl", NULL), *part = read_key("scienceqa", "problems_subset.json", NULL);
    const char *file, *name;
    assert_int_equal(tn_key_count(whole), 4241);
    json_object_foreach(json_object_get(expected, "files"), file, figures) {
        json_t *full = score("sqa", "scienceqa/results", file, whole), *subset = score("sqa", "scienceqa/results", file, part);
        assert_int_equal(expect_groups(full, json_object_get(figures, "full_test"), "acc"), 4);
        assert_null(json_object_get(json_object_get(full, "groups"), "NAT"));
        assert_int_equal(expect_groups(subset, json_object_get(figures, "subset"), "acc"), 9);
        size_t topics = 0;
        json_object_foreach(json_object_get(figures, "subset_topics"), name, topic) {
            const json_t *ours = json_object_get(json_object_get(json_object_get(subset, "groups"), name), "acc");
            char text[32];
            snprintf(text, sizeof text, "%.2f", json_real_value(ours));
            assert_string_equal(text, json_is_string(topic) ? json_string_value(topic) : "-1.00");
            topics++;
        }
        assert_int_equal(topics, 26);
        json_decref(full);
        json_decref(subset);
    }
    tn_key_close(whole);
    tn_key_close(part);
    json_decref(expected);
}

/* ------------------------------------------------- the IVT-LR programs -- */

typedef tenebra_code case_fn(void *user, const char *line, size_t length, tenebra_error *error);

static void each_case(const char *name, case_fn *each, size_t *count)
{
    char path[512];
    tn_file file;
    assert_int_equal(tn_file_read(&file, place(path, "ivtlr", name), SIZE_MAX, NULL), TENEBRA_OK);
    assert_int_equal(tn_each_line((const char *)file.data, file.size, each, count, NULL), TENEBRA_OK);
    tn_file_close(&file);
}

static tn_slice text_of(const json_t *row, const char *key)
{
    const json_t *text = json_object_get(row, key);
    assert_true(json_is_string(text));
    return (tn_slice){ json_string_value(text), json_string_length(text) };
}

static tenebra_code check_set(void *user, const char *line, size_t length, tenebra_error *error)
{
    static const char *const variants[] = { "headers_kept", "headers_dropped" };
    json_t *row = tn_python_json(line, length), *letter;
    tn_sample sample = { .id = "x", .question = "", .label = json_string_value(json_object_get(row, "gt")) };
    tn_scored answer = { .sample = &sample, .text = text_of(row, "generated"), .prompt = text_of(row, "prompt") };
    (void)error;
    for (size_t i = 0; i < 2; i++) {
        const json_t *expected = json_object_get(row, variants[i]);
        tn_verdict verdict;
        uint32_t letters = 0;
        size_t place_in_list;
        json_array_foreach(json_object_get(expected, "candidates"), place_in_list, letter)
            letters |= 1u << (json_string_value(letter)[0] - 'A');
        assert_int_equal(tn_scorer_find("ivtlr-m3cot")->judge(&verdict, &answer, i, NULL), TENEBRA_OK);
        assert_int_equal(verdict.letters, letters);
        assert_int_equal(verdict.correct, json_is_true(json_object_get(expected, "correct")));
    }
    *(size_t *)user += 1;
    json_decref(row);
    return TENEBRA_OK;
}

static tenebra_code check_index(void *user, const char *line, size_t length, tenebra_error *error)
{
    json_t *row = tn_python_json(line, length);
    tn_sample sample = { .id = "x", .question = "", .label = "0" };
    tn_scored answer = { .sample = &sample, .text = text_of(row, "text") };
    tn_verdict verdict;
    (void)error;
    assert_int_equal(tn_scorer_find("ivtlr-sqa")->judge(&verdict, &answer, 0, NULL), TENEBRA_OK);
    assert_int_equal(verdict.choice, json_integer_value(json_object_get(row, "pred")));
    *(size_t *)user += 1;
    json_decref(row);
    return TENEBRA_OK;
}

static void test_ivtlr_verdicts(void **state)
{
    (void)state;
    size_t sets = 0, indices = 0;
    each_case("qwen_m3cot_cases.jsonl", check_set, &sets);
    each_case("chameleon_sqa_gpt3.jsonl", check_index, &indices);
    each_case("extract_answer_cases.jsonl", check_index, &indices);
    assert_int_equal(sets, 450);
    assert_int_equal(indices, 2017 + 213);
}

static void expect_total(const char *scorer, const char *folder, const char *file, const tn_key *key, long total, long correct)
{
    json_t *scores = score(scorer, folder, file, key);
    assert_int_equal(json_integer_value(json_object_get(scores, "total")), total);
    assert_int_equal(json_integer_value(json_object_get(scores, "correct")), correct);
    json_decref(scores);
}

static void test_ivtlr_totals(void **state)
{
    (void)state;
    expect_total("ivtlr-m3cot", "ivtlr", "qwen_m3cot_cases.jsonl", NULL, 450, 9);
    expect_total("ivtlr-m3cot:headers_dropped", "ivtlr", "qwen_m3cot_cases.jsonl", NULL, 450, 63);
    expect_total("ivtlr-sqa", "ivtlr", "chameleon_sqa_gpt3.jsonl", NULL, 2017, 1332);
    /* Prompts that consist of the options: 0.09 % and 30.80 %. */
    tn_key *key = read_key("m3cot", "test_key.jsonl", NULL);
    expect_total("ivtlr-m3cot", "m3cot/results", "llava-13b_ccot.jsonl", key, 2318, 2);
    expect_total("ivtlr-m3cot:headers_dropped", "m3cot/results", "llava-13b_ccot.jsonl", key, 2318, 714);
    tn_key_close(key);
}

/* In the form of training, all answers with the correct letter count as correct, and none with a wrong letter (P50). */
static void test_gold_on_published_questions(void **state)
{
    (void)state;
    static const char *const scorers[] = { "m3cot", "strict" };
    char path[512], text[64];
    tn_outputs outputs;
    assert_int_equal(tn_outputs_read(&outputs, place(path, "m3cot/results", "gpt4v_direct.jsonl"), NULL, NULL), TENEBRA_OK);
    for (size_t i = 0; i < outputs.count; i++)
        for (size_t letter = 0; letter < outputs.rows[i].sample.option_count; letter++)
            for (size_t k = 0; k < 2; k++) {
                tn_verdict verdict;
                snprintf(text, sizeof text, "Therefore, the answer is %c", (char)('A' + letter));
                tn_scored answer = { .sample = &outputs.rows[i].sample, .text = TN_SLICE(text) };
                assert_int_equal(tn_scorer_find(scorers[k])->judge(&verdict, &answer, 0, NULL), TENEBRA_OK);
                assert_int_equal(verdict.correct, outputs.rows[i].sample.label[0] == (char)('A' + letter));
            }
    tn_outputs_free(&outputs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_m3cot_figures),
        cmocka_unit_test(test_m3cot_verdicts),
        cmocka_unit_test(test_scienceqa_figures),
        cmocka_unit_test(test_ivtlr_verdicts),
        cmocka_unit_test(test_ivtlr_totals),
        cmocka_unit_test(test_gold_on_published_questions),
    };
    if (root() == NULL) {
        printf("skipped: TENEBRA_EVAL_DATA names no folder with published outputs\n");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
