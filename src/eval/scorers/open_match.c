/* Ours, for open questions: the answer, or the text after its last "answer is" or "answer:", equals one of the correct
 * ones after both are normalised, as for VQA (Antol et al. 2015): lower case; full-width and decorated letters are
 * plain; punctuation and marks are removed, except signs, points and commas inside numbers, of which commas between
 * digits are removed; the number words zero to twenty become digits; "a", "an", "the" are left out; one blank between
 * words. */
#include "eval/score_plain.h"
#include "eval/score_words.h"

#include <stdio.h>
#include <string.h>

enum { WORD_MAX = 16 };

static bool is_digit(int32_t c)
{
    return c >= '0' && c <= '9';
}

/* Appends a normalised word; `articles`: keep these, too. */
static tenebra_code put_word(tn_text *out, tn_slice word, bool with_articles, tenebra_error *error)
{
    static const char *const numbers[] = { "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
                                           "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
                                           "twenty" };
    static const char *const articles[] = { "a", "an", "the" };
    char digits[WORD_MAX];
    for (size_t i = 0; i < sizeof articles / sizeof *articles && !with_articles; i++)
        if (tn_slice_equal(word, TN_SLICE(articles[i])))
            return TENEBRA_OK;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (tn_slice_equal(word, TN_SLICE(numbers[i]))) {
            snprintf(digits, sizeof digits, "%zu", i);
            word = TN_SLICE(digits);
        }
    if (out->length > 0)
        TN_TRY(tn_text_append(out, " ", 1, error));
    return tn_text_append(out, word.bytes, word.length, error);
}

/* True if the character at `at` continues the word; *kept says whether it is kept. */
static bool is_inside(tn_slice text, size_t at, size_t next, int32_t before, int32_t c, bool *kept)
{
    int32_t behind = tn_slice_char(text, next, NULL);
    *kept = tn_python_is_word(c) && c != '_';
    if (*kept || c == '\'' || c == 0x2019)
        return true; /* "don't" becomes "dont" */
    bool sign = (c == '-' || c == '+') && is_digit(behind) && (at == 0 || !(tn_python_is_word(before) || before == ')'));
    bool point = c == '.' && is_digit(before) && is_digit(behind);
    *kept = sign || point || c == '%' || (c >= 0x20A0 && c <= 0x20CF) || c == '$' || c == 0xB0;
    return *kept || (c == ',' && is_digit(before) && is_digit(behind));
}

static tenebra_code write_words(tn_text *out, tn_slice text, bool with_articles, tenebra_error *error)
{
    tn_text plain = { 0 }, low = { 0 }, word = { 0 };
    tenebra_code code = tn_plain_text(&plain, text, error);
    if (code == TENEBRA_OK)
        code = tn_python_lower(&low, (tn_slice){ plain.data != NULL ? plain.data : "", plain.length }, error);
    tn_slice lower = { low.data != NULL ? low.data : "", low.length };
    int32_t before = -1;
    for (size_t at = 0, next; at < lower.length && code == TENEBRA_OK; at = next) {
        bool kept;
        int32_t c = tn_slice_char(lower, at, &next);
        if (is_inside(lower, at, next, before, c, &kept)) {
            code = kept ? tn_text_append(&word, lower.bytes + at, next - at, error) : TENEBRA_OK;
        } else if (word.length > 0) {
            code = put_word(out, (tn_slice){ word.data, word.length }, with_articles, error);
            word.length = 0;
        }
        before = c;
    }
    if (code == TENEBRA_OK && word.length > 0)
        code = put_word(out, (tn_slice){ word.data, word.length }, with_articles, error);
    tn_text_free(&plain);
    tn_text_free(&low);
    tn_text_free(&word);
    return code;
}

/* An answer that is only an article keeps it, because it may be the letter A. */
static tenebra_code normalise(tn_text *out, tn_slice text, tenebra_error *error)
{
    TN_TRY(write_words(out, text, false, error));
    return out->length > 0 ? TENEBRA_OK : write_words(out, text, true, error);
}

/* The rest of the line after the last "answer is" or "answer:"; all of the text if there is none. */
static tn_slice stated(tn_slice text)
{
    tn_slice last = text;
    bool inside = false;
    for (size_t at = 0, next; at < text.length; at = next) {
        static const char *const heads[] = { "answer is", "answer", "ans", NULL };
        int32_t c = tn_slice_char(text, at, &next);
        size_t end = inside ? 0 : tn_match_one(text, at, heads);
        size_t mark = end > 0 ? tn_skip_spaces(text, end) : 0;
        bool colon = mark > 0 && mark < text.length && text.bytes[mark] == ':';
        inside = tn_python_is_word(c);
        if (end == 0 || (end - at < 8 && !colon))
            continue;
        size_t begin = tn_skip_spaces(text, colon ? mark + 1 : end);
        const char *newline = begin < text.length ? memchr(text.bytes + begin, '\n', text.length - begin) : NULL;
        last = tn_slice_part(text, begin, newline != NULL ? (size_t)(newline - text.bytes) : text.length);
    }
    return last;
}

static tenebra_code judge(tn_verdict *verdict, const tn_scored *answer, size_t variant, tenebra_error *error)
{
    (void)variant;
    return tn_words_judge(verdict, answer, answer->text, stated(answer->text), normalise, error);
}

const tn_scorer tn_scorer_open_match = {
    .name = "match",
    .summary = "ours, for open questions: a correct answer apart from case, articles, punctuation, number words",
    .judge = judge,
};
