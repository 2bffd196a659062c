/* Training of vocabularies: merges computed by hand, and the result is loaded and used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "text/bpe_train.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

static const char *const added[] = { "<|end|>", "<|image|>", "<|latent|>", NULL };
enum { ADDED = 3, SPECIAL = 2 };

/* A trainer that has seen `texts` (ends with NULL) and was run. */
static tn_bpe_trainer *train(const char *const *texts, size_t size, size_t least)
{
    tenebra_error error;
    tn_bpe_trainer *trainer;
    tn_bpe_trainer_open(false, &trainer, &error);
    assert_non_null(trainer);
    for (size_t i = 0; texts[i] != NULL; i++)
        assert_int_equal(tn_bpe_trainer_add(trainer, texts[i], strlen(texts[i]), &error), TENEBRA_OK);
    if (tn_bpe_trainer_run(trainer, size, least, added, SPECIAL, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return trainer;
}

/* The merges in order, against `expected` (ends with NULL); blanks are written in the byte alphabet. */
static void expect_merges(const tn_bpe_trainer *trainer, const char *const *expected)
{
    json_t *root = tn_bpe_trainer_json(trainer);
    assert_non_null(root);
    const json_t *merges = json_object_get(json_object_get(root, "model"), "merges");
    for (size_t i = 0; i < json_array_size(merges) || expected[i] != NULL; i++) {
        assert_non_null(expected[i]);
        assert_string_equal(json_string_value(json_array_get(merges, i)), expected[i]);
    }
    json_decref(root);
}

#define TEXTS(...) (const char *const[]){ __VA_ARGS__, NULL }
#define SPACE "\xC4\xA0" /* U+0120, a blank */

static void test_most_frequent_pairs_first(void **state)
{
    (void)state;
    /* hug 10, pug 5, pun 12, bun 4, hugs 5: the example of the method's usual textbook. u g 20, u n 16, h ug 15. */
    const char *texts[64] = { NULL };
    size_t count = 0;
    static const struct {
        const char *word;
        size_t times;
    } words[] = { { "hug", 10 }, { "pug", 5 }, { "pun", 12 }, { "bun", 4 }, { "hugs", 5 } };
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < words[i].times; k++)
            texts[count++] = words[i].word;
    tn_bpe_trainer *trainer = train(texts, 256 + ADDED + 3, 1);
    expect_merges(trainer, TEXTS("u g", "u n", "h ug"));
    assert_int_equal(tn_bpe_trainer_size(trainer), 256 + ADDED + 3);
    tn_bpe_trainer_close(trainer);
    trainer = train(texts, 1000, 1);
    expect_merges(trainer, TEXTS("u g", "u n", "h ug", "p un", "p ug", "hug s", "b un"));
    assert_int_equal(tn_bpe_trainer_size(trainer), 256 + ADDED + 7); /* then no pair is left */
    tn_bpe_trainer_close(trainer);
    trainer = train(texts, 1000, 6);
    expect_merges(trainer, TEXTS("u g", "u n", "h ug", "p un"));
    tn_bpe_trainer_close(trainer);
}

static void test_ties_go_to_smaller_ids(void **state)
{
    (void)state;
    tn_bpe_trainer *trainer = train(TEXTS("dc", "ba", "ca"), 256 + ADDED + 2, 1);
    expect_merges(trainer, TEXTS("b a", "c a")); /* not the order of the texts */
    tn_bpe_trainer_close(trainer);
}

static void test_repeated_letters(void **state)
{
    (void)state;
    tn_bpe_trainer *trainer = train(TEXTS("aaaaa"), 1000, 1); /* aa aa a; then aaaa a */
    expect_merges(trainer, TEXTS("a a", "aa a", "aa aaa"));
    tn_bpe_trainer_close(trainer);
}

static void test_pieces_do_not_join(void **state)
{
    (void)state;
    tn_bpe_trainer *trainer = train(TEXTS("a a", "a a", "12", "12"), 1000, 1); /* digits stay apart */
    expect_merges(trainer, TEXTS(SPACE " a"));
    tn_bpe_trainer_close(trainer);
}

static tn_tokenizer *load(const tn_bpe_trainer *trainer)
{
    json_t *root = tn_bpe_trainer_json(trainer);
    char *text = json_dumps(root, 0);
    tenebra_error error;
    tn_tokenizer *tokenizer;
    tn_tokenizer_read(text, strlen(text), "trained", &tokenizer, &error);
    if (tokenizer == NULL)
        fail_msg("%s: %s", error.where, error.sentence);
    free(text);
    json_decref(root);
    return tokenizer;
}

static tn_ids encode(const tn_tokenizer *tokenizer, const char *text)
{
    tn_ids ids = { 0 };
    tn_text_span span = { text, strlen(text), true };
    assert_int_equal(tn_tokenizer_encode(tokenizer, &span, 1, &ids, NULL), TENEBRA_OK);
    return ids;
}

static void test_round_trip(void **state)
{
    (void)state;
    static const char *const sentences[] = { "the red circle points to the blue square.",
                                             "Follow two arrows from the red circle. What is there?",
                                             "never seen: \xE6\x97\xA5\xE6\x9C\xAC, \xF0\x9F\x90\x88, 1234\t\n\n  x",
                                             "<|image|>the<|end|> <|latent|>", "", NULL };
    tn_bpe_trainer *trainer = train(TEXTS(sentences[0], sentences[0], sentences[1], sentences[1]), 1000, 2);
    tn_tokenizer *tokenizer = load(trainer);
    assert_int_equal(tn_tokenizer_size(tokenizer), tn_bpe_trainer_size(trainer));
    for (size_t i = 0; sentences[i] != NULL; i++) {
        tn_ids ids = encode(tokenizer, sentences[i]);
        tn_text back = { 0 };
        assert_int_equal(tn_tokenizer_decode(tokenizer, ids.ids, ids.count, false, &back, NULL), TENEBRA_OK);
        assert_string_equal(back.data != NULL ? back.data : "", sentences[i]);
        tn_text_free(&back);
        tn_ids_free(&ids);
    }
    tn_ids ids = encode(tokenizer, sentences[0]); /* every word is whole */
    assert_int_equal(ids.count, 9);
    tn_ids_free(&ids);
    int32_t first = (int32_t)tn_bpe_trainer_size(trainer) - ADDED;
    for (int32_t i = 0; i < ADDED; i++) {
        assert_int_equal(tn_tokenizer_find(tokenizer, added[i]), first + i);
        assert_int_equal(tn_tokenizer_is_special(tokenizer, first + i), i < SPECIAL);
    }
    tn_tokenizer_close(tokenizer);
    tn_bpe_trainer_close(trainer);
}

static void test_nothing_and_bad_text(void **state)
{
    (void)state;
    tn_bpe_trainer *trainer = train((const char *const[]){ NULL }, 1000, 1);
    expect_merges(trainer, (const char *const[]){ NULL });
    assert_int_equal(tn_bpe_trainer_size(trainer), 256 + ADDED);
    tn_tokenizer *tokenizer = load(trainer);
    tn_ids ids = encode(tokenizer, "abc");
    assert_int_equal(ids.count, 3);
    tn_ids_free(&ids);
    tn_tokenizer_close(tokenizer);
    tn_bpe_trainer_close(trainer);
    trainer = train(TEXTS("\xFF\xFE", "\xFF\xFE", "e\xCC\x81", "e\xCC\x81"), 1000, 2); /* U+FFFD; form C */
    tokenizer = load(trainer);
    ids = encode(tokenizer, "\xC3\xA9");
    assert_int_equal(ids.count, 1);
    tn_ids_free(&ids);
    ids = encode(tokenizer, "\xEF\xBF\xBD");
    assert_int_equal(ids.count, 1);
    tn_ids_free(&ids);
    tn_tokenizer_close(tokenizer);
    tn_bpe_trainer_close(trainer);
}

/* "Aa" is twice as frequent as "aa"; in lower case they are one word, and the tokenizer reads both equally. */
static void test_small_letters(void **state)
{
    (void)state;
    tenebra_error error;
    tn_bpe_trainer *trainer;
    tn_bpe_trainer_open(true, &trainer, &error);
    assert_non_null(trainer);
    const char *const texts[] = { "Aa", "Aa", "aa" };
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(tn_bpe_trainer_add(trainer, texts[i], 2, &error), TENEBRA_OK);
    assert_int_equal(tn_bpe_trainer_run(trainer, 256 + ADDED + 1, 3, added, SPECIAL, &error), TENEBRA_OK);
    expect_merges(trainer, TEXTS("a a"));
    json_t *root = tn_bpe_trainer_json(trainer);
    char *text = json_dumps(root, JSON_COMPACT);
    tn_tokenizer *tokenizer;
    tn_tokenizer_read(text, strlen(text), "trained", &tokenizer, &error);
    assert_non_null(tokenizer);
    for (size_t i = 0; i < 3; i++) {
        tn_ids ids = { 0 };
        assert_int_equal(tn_tokenizer_encode(tokenizer, &(tn_text_span){ texts[i], 2, false }, 1, &ids, &error), TENEBRA_OK);
        assert_int_equal(ids.count, 1);
        tn_ids_free(&ids);
    }
    tn_tokenizer_close(tokenizer);
    tn_bpe_trainer_close(trainer);
    free(text);
    json_decref(root);
}

static void test_mistakes(void **state)
{
    (void)state;
    tenebra_error error;
    tn_bpe_trainer *trainer;
    tn_bpe_trainer_open(false, &trainer, &error);
    assert_int_equal(tn_bpe_trainer_run(trainer, 256 + ADDED - 1, 1, added, SPECIAL, &error), TENEBRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.sentence, "259"));
    assert_int_equal(tn_bpe_trainer_run(trainer, (size_t)1 << 40, 1, added, SPECIAL, &error), TENEBRA_ERROR_LIMIT);
    assert_int_equal(tn_bpe_trainer_run(trainer, 300, 1, added, SPECIAL, &error), TENEBRA_OK);
    assert_int_equal(tn_bpe_trainer_run(trainer, 300, 1, added, SPECIAL, &error), TENEBRA_ERROR_ARGUMENT);
    tn_bpe_trainer_close(trainer);
    tn_bpe_trainer_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_most_frequent_pairs_first), cmocka_unit_test(test_ties_go_to_smaller_ids),
        cmocka_unit_test(test_repeated_letters),          cmocka_unit_test(test_pieces_do_not_join),
        cmocka_unit_test(test_round_trip),                cmocka_unit_test(test_nothing_and_bad_text),
        cmocka_unit_test(test_small_letters),             cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
