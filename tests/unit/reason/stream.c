/* The answer's text as it grows: stop texts over token borders, whole characters, what is shown and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"
#include "reason/parts.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { CAPACITY = 1 << 14 };

/* A reasoner of which only the text is in use, and what its caller got to see. */
typedef struct bench {
    tn_reasoner reasoner;
    tenebra_request request;
    const char *stops[4];
    tn_tokenizer *tokenizer;
    char text[CAPACITY], shown[CAPACITY];
    size_t events, cancel_at;
} bench;

static bool collect(void *user, const tenebra_event *event)
{
    bench *b = user;
    assert_int_equal(event->kind, TENEBRA_EVENT_TEXT);
    assert_true(event->text[0] != '\0');
    assert_true(tn_utf8_valid(event->text, strlen(event->text)));
    assert_true(strlen(b->shown) + strlen(event->text) < CAPACITY);
    strcat(b->shown, event->text);
    return ++b->events != b->cancel_at;
}

static int set_up(void **state)
{
    bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    tn_tokenizer_open(TENEBRA_TEST_DATA "/tokenizer-small", &b->tokenizer, NULL);
    assert_non_null(b->tokenizer);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    bench *b = *state;
    tn_text_free(&b->reasoner.answer.piece);
    tn_tokenizer_close(b->tokenizer);
    free(b);
    return 0;
}

/* A fresh answer, ended by the given texts (NULL: none). */
static void start(bench *b, const char *first, const char *second)
{
    tn_text_free(&b->reasoner.answer.piece);
    b->stops[0] = first;
    b->stops[1] = second;
    b->request = (tenebra_request){ .stops = b->stops, .stop_count = (size_t)(first != NULL) + (second != NULL),
                                    .on_event = collect, .user = b };
    b->reasoner = (tn_reasoner){ .request = &b->request, .answer.text = b->text, .answer.text_capacity = CAPACITY,
                                 .answer.stream = { .tokenizer = b->tokenizer, .skip_special = true } };
    b->text[0] = b->shown[0] = '\0';
    b->events = b->cancel_at = 0;
}

/* The token of one byte; every vocabulary of this kind has all 256. */
static int32_t byte_token(const bench *b, char byte)
{
    for (size_t id = 0; id < tn_tokenizer_size(b->tokenizer); id++) {
        size_t length;
        const char *bytes = tn_tokenizer_bytes(b->tokenizer, (int32_t)id, &length);
        if (length == 1 && bytes[0] == byte)
            return (int32_t)id;
    }
    fail_msg("no token for byte %d", byte);
    return -1;
}

static int32_t token_of(const bench *b, const char *text)
{
    int32_t id = tn_tokenizer_find(b->tokenizer, text);
    assert_true(id >= 0);
    return id;
}

/* One token a byte, until the answer ends. */
static void feed_bytes(bench *b, const char *text, size_t length)
{
    for (size_t i = 0; i < length && !b->reasoner.answer.ended; i++)
        assert_int_equal(tn_stream_token(&b->reasoner, byte_token(b, text[i]), NULL), TENEBRA_OK);
}

/* All of `text`, then the end; the answer and what was shown must both be `expected`. */
static void assert_answer(bench *b, const char *text, const char *expected, bool stopped)
{
    feed_bytes(b, text, strlen(text));
    assert_int_equal(b->reasoner.answer.ended, stopped);
    assert_int_equal(tn_stream_end(&b->reasoner, NULL), TENEBRA_OK);
    assert_string_equal(b->text, expected);
    assert_string_equal(b->shown, expected);
    if (stopped)
        assert_int_equal(b->reasoner.trace.finish, TENEBRA_FINISH_STOP_TEXT);
}

static void test_plain_text(void **state)
{
    bench *b = *state;
    start(b, NULL, NULL);
    assert_answer(b, "One, two.\nThree", "One, two.\nThree", false);
    assert_int_equal(b->events, 15); /* without stop texts nothing waits */
}

static void test_stop_over_tokens(void **state)
{
    bench *b = *state;
    start(b, "END", NULL);
    assert_answer(b, "abENDcd", "ab", true);
    start(b, "END", NULL);
    assert_answer(b, "abENcd", "abENcd", false);
    start(b, "END", NULL);
    assert_answer(b, "abEEEND", "abEE", true);
}

static void test_overlapping_stops(void **state)
{
    bench *b = *state;
    start(b, "aab", NULL);
    assert_answer(b, "aaab", "a", true);
    start(b, "bcd", "abcde"); /* the shorter is complete first */
    assert_answer(b, "xabcdx", "xa", true);
    start(b, "abc", "b"); /* "b" is complete before "abc" */
    assert_answer(b, "xabc", "xa", true);
    start(b, "abab", NULL);
    assert_answer(b, "ababab", "", true);
}

static void test_stop_at_the_start(void **state)
{
    bench *b = *state;
    start(b, "\n", NULL);
    assert_answer(b, "\nabc", "", true);
    assert_int_equal(b->events, 0);
}

/* Two stop texts inside one token: the earlier one counts, and nothing after it is sent. */
static void test_stops_inside_a_token(void **state)
{
    bench *b = *state;
    int32_t small = token_of(b, " small");
    start(b, "al", "ma");
    assert_int_equal(tn_stream_token(&b->reasoner, small, NULL), TENEBRA_OK);
    assert_true(b->reasoner.answer.ended);
    assert_int_equal(tn_stream_end(&b->reasoner, NULL), TENEBRA_OK);
    assert_string_equal(b->text, " s");
    assert_string_equal(b->shown, " s");
}

static void test_what_may_become_a_stop_waits(void **state)
{
    bench *b = *state;
    start(b, "Question:", NULL);
    feed_bytes(b, "A. Quest", 8);
    assert_string_equal(b->shown, "A. ");
    assert_string_equal(b->text, "A. Quest");
    feed_bytes(b, "!", 1);
    assert_string_equal(b->shown, "A. Quest!");
    feed_bytes(b, "Que", 3);
    assert_string_equal(b->shown, "A. Quest!");
    assert_int_equal(tn_stream_end(&b->reasoner, NULL), TENEBRA_OK); /* the end decides: it was none */
    assert_string_equal(b->shown, "A. Quest!Que");
}

static void test_characters_are_whole(void **state)
{
    bench *b = *state;
    start(b, NULL, NULL);
    assert_answer(b, "na\xC3\xAFve \xF0\x9F\x98\x80!", "na\xC3\xAFve \xF0\x9F\x98\x80!", false);
    start(b, "\xC3\xAF", NULL); /* the stop text itself consists of two tokens */
    assert_answer(b, "na\xC3\xAFve", "na", true);
    start(b, NULL, NULL);
    feed_bytes(b, "a\xF0\x9F", 3);
    assert_string_equal(b->shown, "a");
    assert_int_equal(tn_stream_end(&b->reasoner, NULL), TENEBRA_OK); /* never completed */
    assert_string_equal(b->text, "a" TN_REPLACEMENT);
    assert_string_equal(b->shown, b->text);
    start(b, "b", NULL); /* cut off by a stop text after it: the invalid character stays before the stop */
    assert_answer(b, "a\xF0\x9F" "b", "a" TN_REPLACEMENT, true);
}

static void test_zero_byte(void **state)
{
    bench *b = *state;
    start(b, NULL, NULL);
    feed_bytes(b, "a\0b", 3);
    assert_int_equal(tn_stream_end(&b->reasoner, NULL), TENEBRA_OK);
    assert_string_equal(b->text, "a" TN_REPLACEMENT "b");
    assert_string_equal(b->shown, b->text);
}

static void test_tokens_without_text(void **state)
{
    bench *b = *state;
    start(b, NULL, NULL);
    feed_bytes(b, "a", 1);
    assert_int_equal(tn_stream_token(&b->reasoner, token_of(b, "<|im_start|>"), NULL), TENEBRA_OK);
    assert_int_equal(tn_stream_token(&b->reasoner, (int32_t)tn_tokenizer_size(b->tokenizer) + 5, NULL), TENEBRA_OK);
    feed_bytes(b, "b", 1);
    assert_string_equal(b->shown, "ab");
    b->reasoner.answer.stream.tokenizer = NULL; /* a model without one */
    assert_int_equal(tn_stream_token(&b->reasoner, 3, NULL), TENEBRA_OK);
    assert_int_equal(tn_stream_end(&b->reasoner, NULL), TENEBRA_OK);
    assert_string_equal(b->text, "ab");
}

static void test_cancelling_and_limits(void **state)
{
    bench *b = *state;
    tenebra_error error = { 0 };
    start(b, NULL, NULL);
    b->cancel_at = 2;
    feed_bytes(b, "a", 1);
    assert_int_equal(tn_stream_token(&b->reasoner, byte_token(b, 'b'), &error), TENEBRA_ERROR_CANCELLED);
    assert_int_equal(error.code, TENEBRA_ERROR_CANCELLED);
    start(b, NULL, NULL);
    b->reasoner.answer.text_capacity = 8;
    feed_bytes(b, "ab", 2);
    tenebra_code code = TENEBRA_OK;
    for (size_t i = 0; i < 8 && code == TENEBRA_OK; i++)
        code = tn_stream_token(&b->reasoner, byte_token(b, 'c'), &error);
    assert_int_equal(code, TENEBRA_ERROR_LIMIT);
    assert_true(strlen(b->text) < 8);
}

/* The definition: the text up to the first stop text of the shortest prefix that contains one. */
static void define_answer(const char *text, const char *const *stops, size_t stop_count, char *answer)
{
    for (size_t length = 1; length <= strlen(text); length++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "%.*s", (int)length, text);
        size_t cut = length;
        for (size_t s = 0; s < stop_count; s++) {
            const char *found = strstr(prefix, stops[s]);
            if (found != NULL)
                cut = tn_min(cut, (size_t)(found - prefix));
        }
        if (cut < length) {
            snprintf(answer, 64, "%.*s", (int)cut, text);
            return;
        }
    }
    snprintf(answer, 64, "%s", text);
}

static void random_word(tn_rng *rng, char *word, size_t least, size_t most)
{
    size_t length = least + tn_rng_below(rng, most - least + 1);
    for (size_t i = 0; i < length; i++)
        word[i] = (char)('a' + tn_rng_below(rng, 2));
    word[length] = '\0';
}

static void test_random_texts_and_stops(void **state)
{
    bench *b = *state;
    tn_rng rng = tn_rng_seed(21);
    size_t stopped = 0;
    for (size_t trial = 0; trial < 3000; trial++) {
        char text[24], first[8], second[8], expected[64];
        random_word(&rng, text, 1, 20);
        random_word(&rng, first, 3, 6);
        random_word(&rng, second, 3, 6);
        start(b, first, second);
        define_answer(text, b->stops, 2, expected);
        stopped += strlen(expected) < strlen(text);
        assert_answer(b, text, expected, strlen(expected) < strlen(text));
    }
    assert_true(stopped > 500 && stopped < 2900); /* both kinds occur */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_text),           cmocka_unit_test(test_stop_over_tokens),
        cmocka_unit_test(test_overlapping_stops),    cmocka_unit_test(test_stop_at_the_start),
        cmocka_unit_test(test_stops_inside_a_token), cmocka_unit_test(test_what_may_become_a_stop_waits),
        cmocka_unit_test(test_characters_are_whole), cmocka_unit_test(test_zero_byte),
        cmocka_unit_test(test_tokens_without_text),  cmocka_unit_test(test_cancelling_and_limits),
        cmocka_unit_test(test_random_texts_and_stops),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
