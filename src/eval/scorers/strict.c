/* Ours: the last statement of what the answer is, and only within the options.
 *
 * Statements: "the answer is X" or "answer: X", "X is correct" (the right, best answer), [[X]], <answer>X</answer>,
 * \boxed{X}; X is an option's letter, its text, or its index where labels are indices. A statement that names several
 * options, or says that none is right, takes back those before it. Without any statement: the whole text or its last line
 * if it names an option, else the parenthesised letters if they are all the same. */
#include "eval/score_content.h"

#include <string.h>

typedef struct strict_reading {
    const tn_content *content;
    tn_slice text;
    long choice; /* of the last statement  */
    bool stated; /* there was a statement  */
} strict_reading;

/* The first of `words` (ends with NULL) that stands at `at` as a whole; returns where it ends, 0 if none does. */
static size_t match_one(tn_slice text, size_t at, const char *const *words)
{
    for (; *words != NULL; words++) {
        size_t end = tn_match_words(text, at, *words);
        if (end > 0 && !tn_python_is_word(tn_slice_char(text, end, NULL)))
            return end;
    }
    return 0;
}

/* Whether another option's letter follows at `at` as an alternative: "or B", ", B", "/B", "and B". */
static bool is_hedged(const strict_reading *reading, size_t at, long choice)
{
    static const char *const words[] = { "or", "and", NULL };
    tn_slice text = reading->text;
    size_t start = tn_skip_spaces(text, at), end;
    if (start < text.length && memchr(",/&", text.bytes[start], 3) != NULL)
        start = tn_skip_spaces(text, start + 1);
    size_t word = match_one(text, start, words);
    start = word > 0 ? word : start;
    long other = start > at && start < text.length ? tn_content_letter(reading->content, text, start, &end) : TN_NO_CHOICE;
    return other != TN_NO_CHOICE && other != choice && (word > 0 || memchr(text.bytes + at, '\n', start - at) == NULL);
}

static void state(strict_reading *reading, long choice)
{
    reading->choice = choice;
    reading->stated = true;
}

/* What follows "answer is". */
static tenebra_code read_payload(strict_reading *reading, size_t at, tenebra_error *error)
{
    static const char *const kinds[] = { "the option", "the choice", "the letter", "option", "choice", "letter", NULL };
    static const char *const denials[] = { "not", "none", "neither", "unknown", "unclear", NULL };
    tn_slice text = reading->text;
    size_t start = tn_skip_marks(text, at), end;
    if (match_one(text, start, denials) > 0) {
        state(reading, TN_NO_CHOICE);
        return TENEBRA_OK;
    }
    size_t kind = match_one(text, start, kinds);
    start = kind > 0 ? tn_skip_spaces(text, kind) : at;
    long choice = tn_content_letter(reading->content, text, start, &end);
    if (choice != TN_NO_CHOICE) {
        state(reading, is_hedged(reading, end, choice) ? TN_NO_CHOICE : choice);
        return TENEBRA_OK;
    }
    TN_TRY(tn_content_start(reading->content, tn_slice_part(text, start, text.length), &choice, error));
    if (choice != TN_NO_CHOICE)
        state(reading, choice);
    return TENEBRA_OK;
}

/* "answer is", "answer would be", "answer:", and the like for options with a verb; 0: not at `at`. */
static size_t match_head(tn_slice text, size_t at)
{
    static const char *const nouns[] = { "answer", "option is", "choice is", NULL };
    static const char *const verbs[] = { "is", "would be", "should be", "must be", "will be", NULL };
    size_t noun = match_one(text, at, nouns);
    if (noun == 0)
        return 0;
    size_t verb = text.bytes[at] == 'a' || text.bytes[at] == 'A' ? 0 : noun, next = tn_skip_marks(text, noun);
    if (verb == 0)
        verb = match_one(text, next, verbs);
    next = tn_skip_marks(text, verb > 0 ? verb : noun);
    if (next < text.length && text.bytes[next] == ':')
        return next + 1;
    return verb;
}

static bool is_letter(int32_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* "X is correct". */
static void read_praise(strict_reading *reading, size_t at)
{
    static const char *const praise[] = { "is correct", "is right", "is the correct", "is the right", "is the best", NULL };
    size_t end;
    long choice = tn_content_letter(reading->content, reading->text, at, &end);
    if (choice != TN_NO_CHOICE && match_one(reading->text, tn_skip_spaces(reading->text, end), praise) > 0)
        state(reading, choice);
}

/* What stands between `open`, found at `at`, and `close`. */
static tenebra_code read_between(strict_reading *reading, size_t at, const char *open, const char *close, tenebra_error *error)
{
    tn_slice text = reading->text;
    size_t length = strlen(open), begin = at + length;
    if (text.length - at < length || memcmp(text.bytes + at, open, length) != 0)
        return TENEBRA_OK;
    /* An answer is short: looking further would make the work grow with the square of the text. */
    size_t limit = begin + 3 * reading->content->longest + 64;
    tn_slice window = tn_slice_part(text, begin, limit < text.length ? limit : text.length);
    size_t end = tn_slice_find(window, TN_SLICE(close), 0);
    if (end > window.length)
        return TENEBRA_OK;
    long choice;
    TN_TRY(tn_content_whole(reading->content, tn_slice_part(window, 0, end), &choice, error));
    state(reading, choice);
    return TENEBRA_OK;
}

static tenebra_code read_statements(strict_reading *reading, tenebra_error *error)
{
    tn_slice text = reading->text;
    bool inside = false; /* of a word */
    for (size_t at = 0, next; at < text.length; at = next) {
        int32_t c = tn_slice_char(text, at, &next);
        size_t head = inside ? 0 : match_head(text, at);
        if (head > 0)
            TN_TRY(read_payload(reading, head, error));
        else if (!inside && is_letter(c))
            read_praise(reading, at);
        if (c == '[')
            TN_TRY(read_between(reading, at, "[[", "]]", error));
        if (c == '<')
            TN_TRY(read_between(reading, at, "<answer>", "</answer>", error));
        if (c == '\\')
            TN_TRY(read_between(reading, at, "\\boxed{", "}", error));
        inside = tn_python_is_word(c);
    }
    return TENEBRA_OK;
}

/* The only letter in parentheses. */
static long only_letter(const strict_reading *reading)
{
    long only = TN_NO_CHOICE;
    size_t end;
    for (size_t at = 0; at + 2 < reading->text.length; at++) {
        const char *c = reading->text.bytes + at;
        bool enclosed = c[0] == '(' && is_letter(c[1]) && c[2] == ')';
        long choice = enclosed ? tn_content_letter(reading->content, reading->text, at + 1, &end) : TN_NO_CHOICE;
        if (choice == TN_NO_CHOICE)
            continue;
        if (only != TN_NO_CHOICE && only != choice)
            return TN_NO_CHOICE;
        only = choice;
    }
    return only;
}

static tenebra_code read_bare(strict_reading *reading, tenebra_error *error)
{
    tn_slice text = tn_slice_strip(reading->text);
    TN_TRY(tn_content_whole(reading->content, text, &reading->choice, error));
    size_t line = text.length;
    while (line > 0 && text.bytes[line - 1] != '\n')
        line--;
    if (reading->choice == TN_NO_CHOICE && line > 0)
        TN_TRY(tn_content_whole(reading->content, tn_slice_part(text, line, text.length), &reading->choice, error));
    if (reading->choice == TN_NO_CHOICE)
        reading->choice = only_letter(reading);
    return TENEBRA_OK;
}

static tenebra_code judge(tn_verdict *verdict, const tn_scored *answer, size_t variant, tenebra_error *error)
{
    (void)variant;
    strict_reading reading = { .text = answer->text, .choice = TN_NO_CHOICE };
    if (answer->text.bytes == NULL) {
        long count = (long)answer->sample->option_count;
        bool within = answer->choice >= 0 && (count == 0 || answer->choice < count);
        tn_content_verdict(verdict, answer, within ? answer->choice : TN_NO_CHOICE, within);
        return TENEBRA_OK;
    }
    tn_content content;
    TN_TRY(tn_content_open(&content, answer->sample, error));
    reading.content = &content;
    tenebra_code code = read_statements(&reading, error);
    if (code == TENEBRA_OK && !reading.stated)
        code = read_bare(&reading, error);
    tn_content_close(&content);
    tn_content_verdict(verdict, answer, reading.choice, false);
    return code;
}

const tn_scorer tn_scorer_strict = {
    .name = "strict",
    .summary = "ours: the last statement of the answer, within the options",
    .standard = true,
    .by_choice = true,
    .judge = judge,
};
