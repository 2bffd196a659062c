/* Normalizers and pre-tokenizers of all kinds against Hugging Face tokenizers, with a vocabulary of the structure of Chameleon's
 * (tests/data/tokenizer-chameleon, made by tools/make_tokenizer_cases.py). */
#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DATA TENEBRA_TEST_DATA "/tokenizer-chameleon"

enum { HASHED = 500, HASH_DIGITS = 8 };

static tenebra_error problem;
static json_t *strings, *base; /* the texts, and tokenizer.json */

static json_t *read_data(const char *name)
{
    json_t *value;
    char path[600];
    snprintf(path, sizeof path, DATA "/%s", name);
    tn_json_read(path, (size_t)16 << 20, &value, &problem);
    if (value == NULL)
        fail_msg("%s", problem.sentence);
    return value;
}

static int open_data(void **state)
{
    (void)state;
    strings = read_data("strings.json");
    base = read_data("tokenizer.json");
    return 0;
}

static int close_data(void **state)
{
    (void)state;
    json_decref(strings);
    json_decref(base);
    return 0;
}

/* The tokenizer with parts of `change` in the place of its own (NULL: none). */
static tn_tokenizer *open_changed(const json_t *change)
{
    json_t *root = json_copy(base), *model = json_copy(json_object_get(base, "model"));
    static const char *const parts[] = { "normalizer", "pre_tokenizer" };
    for (size_t i = 0; i < 2 && change != NULL; i++)
        json_object_set(root, parts[i], json_object_get(change, parts[i]));
    if (change != NULL)
        json_object_set(model, "ignore_merges", json_object_get(change, "ignore_merges"));
    json_object_set_new(root, "model", model);
    char *text = json_dumps(root, JSON_COMPACT);
    tn_tokenizer *tokenizer;
    tn_tokenizer_read(text, strlen(text), "test.json", &tokenizer, &problem);
    if (tokenizer == NULL)
        fail_msg("%s", problem.sentence);
    free(text);
    json_decref(root);
    return tokenizer;
}

static tn_ids encode(const tn_tokenizer *tokenizer, size_t number, tn_text_control control)
{
    const json_t *text = json_array_get(strings, number);
    const tn_text_span span = { json_string_value(text), json_string_length(text), control };
    tn_ids ids = { 0 };
    if (tn_tokenizer_encode(tokenizer, &span, 1, &ids, &problem) != TENEBRA_OK)
        fail_msg("text %zu: %s", number, problem.sentence);
    return ids;
}

static bool is_list(const tn_ids *ids, const json_t *expected)
{
    bool same = json_array_size(expected) == ids->count;
    for (size_t i = 0; i < ids->count && same; i++)
        same = json_integer_value(json_array_get(expected, i)) == ids->ids[i];
    return same;
}

/* Texts whose ids differ from the reference's; `plain`: no control tokens are recognised. */
static size_t different(const tn_tokenizer *tokenizer, bool plain, bool tell)
{
    json_t *all = read_data("ids.json"), *others = read_data("plain.json");
    size_t wrong = 0;
    for (size_t i = 0; i < json_array_size(strings); i++) {
        char key[24];
        snprintf(key, sizeof key, "%zu", i);
        const json_t *expected = plain ? json_object_get(others, key) : NULL;
        tn_ids ids = encode(tokenizer, i, plain ? TN_CONTROL_NONE : TN_CONTROL_TOKENS);
        if (!is_list(&ids, expected != NULL ? expected : json_array_get(all, i)) && ++wrong <= 3 && tell) {
            char *shown = json_dumps(json_array_get(strings, i), JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
            print_message("text %zu differs: %s\n", i, shown);
            free(shown);
        }
        tn_ids_free(&ids);
    }
    json_decref(all);
    json_decref(others);
    return wrong;
}

static void ids_of_all_texts(void **state)
{
    (void)state;
    assert_true(json_array_size(strings) >= 3000);
    tn_tokenizer *tokenizer = open_changed(NULL);
    assert_int_equal(different(tokenizer, false, true), 0);
    assert_int_equal(different(tokenizer, true, true), 0);
    tn_tokenizer_close(tokenizer);
}

/* The token at the beginning is not part of a text. */
static void the_front(void **state)
{
    (void)state;
    tn_tokenizer *tokenizer = open_changed(NULL);
    const tn_ids *front = tn_tokenizer_front(tokenizer);
    assert_int_equal(front->count, 1);
    assert_int_equal(front->ids[0], tn_tokenizer_find(tokenizer, "<s>"));
    assert_int_equal(front->ids[0], 0);
    tn_tokenizer_close(tokenizer);
}

/* Texts that no normalizer changes come back. */
static void decoding_gives_the_text(void **state)
{
    (void)state;
    tn_tokenizer *tokenizer = open_changed(NULL);
    for (size_t i = 0; i < json_array_size(strings); i++) {
        const json_t *text = json_array_get(strings, i);
        tn_ids ids = encode(tokenizer, i, TN_CONTROL_TOKENS);
        tn_text back = { 0 };
        assert_int_equal(tn_tokenizer_decode(tokenizer, ids.ids, ids.count, false, &back, &problem), TENEBRA_OK);
        assert_int_equal(back.length, json_string_length(text));
        assert_true(back.length == 0 || memcmp(back.data, json_string_value(text), back.length) == 0);
        tn_text_free(&back);
        tn_ids_free(&ids);
    }
    tn_tokenizer_close(tokenizer);
}

/* ----------------------------------------------------------- pipelines -- */

/* FNV-1a of the ids as little-endian bytes. */
static uint32_t hash_of(const tn_ids *ids)
{
    uint32_t hash = 0x811C9DC5u;
    for (size_t i = 0; i < ids->count; i++)
        for (unsigned shift = 0; shift < 32; shift += 8)
            hash = (hash ^ ((uint32_t)ids->ids[i] >> shift & 0xFF)) * 0x01000193u;
    return hash;
}

/* Texts whose ids have another hash than the digits say. */
static size_t other_hashes(const tn_tokenizer *tokenizer, const char *digits, const char *told)
{
    size_t wrong = 0;
    assert_int_equal(strlen(digits), HASHED * HASH_DIGITS);
    for (size_t i = 0; i < HASHED; i++) {
        char digit[HASH_DIGITS + 1] = { 0 };
        memcpy(digit, digits + i * HASH_DIGITS, HASH_DIGITS);
        tn_ids ids = encode(tokenizer, i, TN_CONTROL_TOKENS);
        if (hash_of(&ids) != strtoul(digit, NULL, 16) && ++wrong <= 3 && told != NULL) {
            char *shown = json_dumps(json_array_get(strings, i), JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
            print_message("%s: text %zu differs: %s\n", told, i, shown);
            free(shown);
        }
        tn_ids_free(&ids);
    }
    return wrong;
}

/* The lines of pipelines.jsonl as a list. */
static json_t *read_pipelines(void)
{
    tn_file file;
    json_t *list = json_array();
    assert_int_equal(tn_file_read(&file, DATA "/pipelines.jsonl", SIZE_MAX, &problem), TENEBRA_OK);
    const char *at = (const char *)file.data, *end = at + file.size;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        json_t *line;
        assert_non_null(stop);
        tn_json_parse(at, (size_t)(stop - at), "pipelines.jsonl", &line, &problem);
        assert_non_null(line);
        json_array_append_new(list, line);
        at = stop + 1;
    }
    tn_file_close(&file);
    return list;
}

static const char *word(const json_t *pipeline, const char *key)
{
    return json_string_value(json_object_get(pipeline, key));
}

static void each_pipeline(void **state)
{
    (void)state;
    json_t *list = read_pipelines();
    assert_true(json_array_size(list) > 40);
    size_t wrong = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *pipeline = json_array_get(list, i);
        tn_tokenizer *tokenizer = open_changed(pipeline);
        wrong += other_hashes(tokenizer, word(pipeline, "hashes"), word(pipeline, "name"));
        tn_tokenizer_close(tokenizer);
    }
    assert_int_equal(wrong, 0);
    json_decref(list);
}

/* Negative control: with the hashes of the pipeline after it, every pipeline is found wrong, and so is the tokenizer without any of
 * its steps. */
static void pipelines_are_told_apart(void **state)
{
    (void)state;
    json_t *list = read_pipelines();
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count; i++) {
        const json_t *pipeline = json_array_get(list, i);
        const char *other = word(json_array_get(list, (i + 1) % count), "hashes");
        if (strcmp(other, word(pipeline, "hashes")) == 0)
            continue;
        tn_tokenizer *tokenizer = open_changed(pipeline);
        assert_true(other_hashes(tokenizer, other, NULL) > 0);
        tn_tokenizer_close(tokenizer);
    }
    json_decref(list);
    const json_t *steps = json_object_get(json_object_get(base, "pre_tokenizer"), "pretokenizers");
    assert_int_equal(json_array_size(steps), 6);
    for (size_t left = 2; left < 5; left++) { /* the first two find names, in which hardly anything merges */
        json_t *change = json_pack("{s:n, s:b, s:{s:s, s:o}}", "normalizer", "ignore_merges", 0, "pre_tokenizer", "type", "Sequence",
                                   "pretokenizers", json_copy((json_t *)(uintptr_t)steps));
        json_array_remove(json_object_get(json_object_get(change, "pre_tokenizer"), "pretokenizers"), left);
        tn_tokenizer *tokenizer = open_changed(change);
        if (different(tokenizer, true, false) == 0)
            fail_msg("without step %zu nothing differs", left);
        tn_tokenizer_close(tokenizer);
        json_decref(change);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_of_all_texts),
        cmocka_unit_test(the_front),
        cmocka_unit_test(decoding_gives_the_text),
        cmocka_unit_test(each_pipeline),
        cmocka_unit_test(pipelines_are_told_apart),
    };
    return cmocka_run_group_tests(tests, open_data, close_data);
}
