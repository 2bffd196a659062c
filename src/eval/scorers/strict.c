/* Ours: the last statement of what the answer is, and only within the options.
 *
 * Statements: "the answer is X" or "answer: X", "X is correct" (the right, best answer), [[X]], <answer>X</answer>,
 * \boxed{X}, and a last line that is an option and nothing else, unless the line before is one, too (a list). X is an
 * option's letter, its text, or its index where labels are indices. A statement that names several options, or says that
 * none is right, takes back those before it. The text of an option behind its letter states nothing ("(A) the answer is
 * B"). Without any statement: the first line if it is an option, or the letters in parentheses if they are all the same. */
#include "eval/score_content.h"

#include <string.h>

typedef struct strict_reading {
    const tn_content *content;
    tn_slice text;
    long choice; /* of the last statement  */
    bool stated; /* there was a statement  */
} strict_reading;

static void state(strict_reading *reading, long choice)
{
    reading->choice = choice;
    reading->stated = true;
}

/* Options of which the text is longer than a letter: "A" as a text would be taken for the letter. */
enum { TEXT_MIN = 3 };

/* What follows "answer is". */
static tenebra_code read_payload(strict_reading *reading, size_t at, tenebra_error *error)
{
    static const char *const kinds[] = { "the option", "the choice", "the letter", "option", "choice", "letter", NULL };
    static const char *const denials[] = { "not", "none", "neither", "unknown", "unclear", NULL };
    tn_slice text = reading->text;
    size_t start = tn_skip_marks(text, at), end, length, kind = tn_match_one(text, start, kinds);
    long named, choice;
    TN_TRY(tn_content_start(reading->content, tn_slice_part(text, start, text.length), &named, &length, error));
    if (length < TEXT_MIN && tn_match_one(text, start, denials) > 0) {
        state(reading, TN_NO_CHOICE);
        return TENEBRA_OK;
    }
    start = kind > 0 ? tn_skip_spaces(text, kind) : at;
    choice = length < TEXT_MIN ? tn_content_letter(reading->content, text, start, &end) : TN_NO_CHOICE;
    if (choice != TN_NO_CHOICE)
        state(reading, tn_content_hedged(reading->content, text, end, choice) ? TN_NO_CHOICE : choice);
    else if (named != TN_NO_CHOICE)
        state(reading, named);
    return TENEBRA_OK;
}

/* "answer is", "answer would be", "answer:", and the like for options with a verb; 0: not at `at`. */
static size_t match_head(tn_slice text, size_t at)
{
    static const char *const nouns[] = { "answer", "option is", "choice is", NULL };
    static const char *const verbs[] = { "is", "would be", "should be", "must be", "will be", NULL };
    size_t noun = tn_match_one(text, at, nouns);
    if (noun == 0)
        return 0;
    size_t verb = text.bytes[at] == 'a' || text.bytes[at] == 'A' ? 0 : noun, next = tn_skip_marks(text, noun);
    if (verb == 0)
        verb = tn_match_one(text, next, verbs);
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
    if (choice != TN_NO_CHOICE && tn_match_one(reading->text, tn_skip_spaces(reading->text, end), praise) > 0)
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

/* Moves *at from an option's letter behind its text, if that follows, as in "(A) text". */
static tenebra_code skip_option(const strict_reading *reading, size_t *at, tenebra_error *error)
{
    tn_slice text = reading->text;
    size_t end, length;
    long named, letter = tn_content_letter(reading->content, text, *at, &end);
    if (letter == TN_NO_CHOICE || *at + 1 >= text.length || text.bytes[*at + 1] == '\0' || strchr(")].:", text.bytes[*at + 1]) == NULL)
        return TENEBRA_OK;
    end += end < text.length && (text.bytes[end] == '.' || text.bytes[end] == ':');
    TN_TRY(tn_content_start(reading->content, tn_slice_part(text, end, text.length), &named, &length, error));
    if (named == letter)
        *at = end + length;
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
        size_t behind = at;
        if (!inside && is_letter(c))
            TN_TRY(skip_option(reading, &behind, error));
        inside = behind == at && tn_python_is_word(c);
        next = behind > at ? behind : next;
    }
    return TENEBRA_OK;
}

/* The only letter in parentheses; *several: there are different ones. */
static long only_letter(const strict_reading *reading, bool *several)
{
    long only = TN_NO_CHOICE;
    *several = false;
    size_t end;
    for (size_t at = 0; at + 2 < reading->text.length; at++) {
        const char *c = reading->text.bytes + at;
        bool enclosed = c[0] == '(' && is_letter(c[1]) && c[2] == ')';
        long choice = enclosed ? tn_content_letter(reading->content, reading->text, at + 1, &end) : TN_NO_CHOICE;
        if (choice == TN_NO_CHOICE)
            continue;
        *several |= only != TN_NO_CHOICE && only != choice;
        only = choice;
    }
    return *several ? TN_NO_CHOICE : only;
}

/* The last line of `text` that is not empty, and cuts it off. */
static tn_slice take_line(tn_slice *text)
{
    *text = tn_slice_strip(*text);
    size_t begin = text->length;
    while (begin > 0 && text->bytes[begin - 1] != '\n')
        begin--;
    tn_slice line = tn_slice_part(*text, begin, text->length);
    text->length = begin;
    return line;
}

/* A number or a small letter on a line of its own is more often part of a formula than an answer. */
static bool is_loose(tn_slice line)
{
    int32_t c = tn_slice_char(line, 0, NULL);
    return line.length < TEXT_MIN && ((c >= 'a' && c <= 'z') || tn_python_digit(c) >= 0);
}

static tenebra_code read_last_line(strict_reading *reading, tenebra_error *error)
{
    tn_slice rest = reading->text, line = take_line(&rest), last = take_line(&rest);
    long choice, before;
    TN_TRY(tn_content_whole(reading->content, line, &choice, error));
    TN_TRY(tn_content_whole(reading->content, last, &before, error));
    bool loose = last.length > 0 && is_loose(line);
    if (choice != TN_NO_CHOICE && !loose && (before == TN_NO_CHOICE || before == choice))
        state(reading, choice);
    return TENEBRA_OK;
}

/* Where nothing is stated: the first line, or the only letter in parentheses. */
static tenebra_code read_rest(strict_reading *reading, tenebra_error *error)
{
    tn_slice line = tn_slice_strip(reading->text);
    const char *end = line.length > 0 ? memchr(line.bytes, '\n', line.length) : NULL;
    line.length = end != NULL ? (size_t)(end - line.bytes) : 0;
    bool several;
    long only = only_letter(reading, &several), first = TN_NO_CHOICE;
    if (!several && !is_loose(line))
        TN_TRY(tn_content_whole(reading->content, line, &first, error));
    if (first == TN_NO_CHOICE || only == TN_NO_CHOICE || first == only)
        reading->choice = first != TN_NO_CHOICE ? first : only;
    return TENEBRA_OK;
}

static tenebra_code judge(tn_verdict *verdict, const tn_scored *answer, size_t variant, tenebra_error *error)
{
    (void)variant;
    strict_reading reading = { .text = answer->text, .choice = TN_NO_CHOICE };
    if (answer->text.bytes == NULL) {
        long count = (long)tn_option_count(answer);
        bool within = answer->choice >= 0 && (count == 0 || answer->choice < count);
        tn_content_verdict(verdict, answer, within ? answer->choice : TN_NO_CHOICE, within);
        return TENEBRA_OK;
    }
    tn_content content;
    TN_TRY(tn_content_open(&content, answer, error));
    reading.content = &content;
    tenebra_code code = read_statements(&reading, error);
    if (code == TENEBRA_OK)
        code = read_last_line(&reading, error);
    if (code == TENEBRA_OK && !reading.stated)
        code = read_rest(&reading, error);
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
