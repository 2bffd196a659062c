/* Ours: the last statement of the answer, and only within the options.
 *
 * Texts are read in plain form (eval/score_plain.h): $B$, \(B\), \text{B}, **B** and full-width letters are "B".
 *
 * Statements: "the answer is X", "answer: X", "answer - X", "Ans: X", "correct option: X" and similar; "X is correct",
 * "X is the answer"; "I choose X"; "I think it's X"; "therefore, X" and "it must be X" at a line's end; [[X]],
 * <answer>X</answer>, \boxed{X}; and a last line that is only an option (also after "So,"), unless the line before is
 * one, too (a list). X is an option's letter, also as "option B", its text, or its
 * index if labels are indices. A statement that names several options, or says that none is correct, cancels those
 * before it; a box with any other content states nothing. The text of an option after its letter states nothing ("(A)
 * the answer is B"). Without any statement: the first line if it is an option and does not start a list, or the letters
 * in parentheses if they are all the same. */
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

/* Options whose text is longer than a letter: "A" as a text would be mistaken for the letter. */
enum { TEXT_MIN = 3 };

/* The kinds of starts of a statement. */
typedef enum lead {
    NO_LEAD,
    PLAIN_LEAD,  /* "the answer is": an option in any form follows */
    BARE_LEAD,   /* "answer": a letter that ends the line          */
    CHOICE_LEAD, /* "I choose": a letter                           */
    DENIAL_LEAD  /* "the answer isn't"                             */
} lead;

static const char *const denials[] = { "not", "none", "neither", "unknown", "unclear", NULL };

/* The position after words like "therefore" at `at`, with commas and colons. */
static size_t skip_fillers(tn_slice text, size_t at)
{
    static const char *const fillers[] = { "therefore", "thus", "then", "hence", "clearly", "obviously", "definitely", "most likely",
                                           "likely", "probably", "simply", "indeed", "so", "in fact", NULL };
    for (size_t start, end;; at = end) {
        start = tn_skip_marks(text, at);
        bool comma = start < text.length && (text.bytes[start] == ',' || text.bytes[start] == ':');
        end = comma ? start + 1 : tn_match_one(text, start, fillers);
        if (end == 0)
            return at;
    }
}

/* True if the letter before `end`, with its option's text if that follows, is next to another option as an alternative. */
static tenebra_code is_hedged(const strict_reading *reading, long choice, size_t end, bool *hedged, tenebra_error *error)
{
    size_t behind;
    TN_TRY(tn_content_skip_text(reading->content, reading->text, end, choice, &behind, error));
    *hedged = tn_content_hedged(reading->content, reading->text, end, choice) ||
              tn_content_hedged(reading->content, reading->text, behind, choice);
    return TENEBRA_OK;
}

/* Reads the text after "the answer is". */
static tenebra_code read_payload(strict_reading *reading, size_t at, tenebra_error *error)
{
    tn_slice text = reading->text;
    size_t start = tn_skip_marks(text, at), end, length;
    long named, choice;
    bool hedged = false;
    TN_TRY(tn_content_start(reading->content, tn_slice_part(text, start, text.length), &named, &length, error));
    if (length < TEXT_MIN) { /* no option starts with these words */
        at = skip_fillers(text, at);
        start = tn_skip_marks(text, at);
        if (tn_match_one(text, start, denials) > 0) {
            state(reading, TN_NO_CHOICE);
            return TENEBRA_OK;
        }
        size_t kind = tn_content_kind(text, start);
        at = kind > 0 ? skip_fillers(text, tn_skip_spaces(text, kind)) : at;
        start = tn_skip_marks(text, at);
        TN_TRY(tn_content_start(reading->content, tn_slice_part(text, start, text.length), &named, &length, error));
    }
    choice = length < TEXT_MIN ? tn_content_letter(reading->content, text, at, &end) : TN_NO_CHOICE;
    if (choice != TN_NO_CHOICE) {
        TN_TRY(is_hedged(reading, choice, end, &hedged, error));
        state(reading, hedged ? TN_NO_CHOICE : choice);
    } else if (named != TN_NO_CHOICE) {
        state(reading, named);
    }
    return TENEBRA_OK;
}

/* Whether only stops and emphasis follow on the line. */
static bool ends_line(tn_slice text, size_t at)
{
    while (at < text.length && text.bytes[at] != '\0' && strchr(" .!*", text.bytes[at]) != NULL)
        at++;
    return at == text.length || text.bytes[at] == '\n';
}

/* Whether a clause ends: the line, a sentence (no small letter follows), or before a comma or a reason. */
static bool ends_clause(tn_slice text, size_t at)
{
    static const char *const reasons[] = { "because", "since", "as", "given", NULL };
    size_t next = tn_skip_spaces(text, at), after;
    char c = next < text.length ? text.bytes[next] : '.';
    if (ends_line(text, at) || c == ',' || tn_match_one(text, next, reasons) > 0)
        return true;
    int32_t first = tn_slice_char(text, tn_skip_spaces(text, next + 1), &after);
    return (c == '.' || c == '!' || c == ';') && !(first >= 'a' && first <= 'z');
}

/* A letter, perhaps with its option's text, that ends a clause or the line; `words`: the text of an option alone counts, too. */
static tenebra_code read_ending(strict_reading *reading, size_t at, bool clause, bool words, tenebra_error *error)
{
    tn_slice text = reading->text;
    size_t kind = tn_content_kind(text, tn_skip_spaces(text, at)), end, behind, length;
    bool hedged;
    at = tn_skip_spaces(text, kind > 0 ? kind : at);
    long named, choice = tn_content_letter(reading->content, text, at, &end);
    int32_t first = tn_slice_char(text, tn_skip_marks(text, at), NULL);
    bool small = first >= 'a' && first <= 'z' && at < text.length && text.bytes[at] != '(' && text.bytes[at] != '[';
    if (choice != TN_NO_CHOICE && !small) {
        TN_TRY(tn_content_skip_text(reading->content, text, end, choice, &behind, error));
        TN_TRY(is_hedged(reading, choice, end, &hedged, error));
        if (!hedged && (clause ? ends_clause(text, behind) : ends_line(text, behind)))
            state(reading, choice);
        return TENEBRA_OK;
    }
    TN_TRY(tn_content_start(reading->content, tn_slice_part(text, at, text.length), &named, &length, error));
    if (words && named != TN_NO_CHOICE && length >= TEXT_MIN && ends_clause(text, at + length))
        state(reading, named);
    return TENEBRA_OK;
}

static bool begins_sentence(tn_slice text, size_t at)
{
    while (at > 0 && strchr(" *\"'(", text.bytes[at - 1]) != NULL && text.bytes[at - 1] != '\0')
        at--;
    return at == 0 || (text.bytes[at - 1] != '\0' && strchr(".!?:;\n", text.bytes[at - 1]) != NULL);
}

/* "I think it's B", "It must be B.", "Therefore, B.". */
static tenebra_code read_opinion(strict_reading *reading, size_t at, tenebra_error *error)
{
    static const char *const opinions[] = { "i think", "i believe", "i guess", "i suspect", "i would say", "i'd say", "i would guess",
                                            "i'm sure", "i am sure", "i'm confident", "i am confident", "my guess is", NULL };
    static const char *const it[] = { "it's", "it\xE2\x80\x99s", "it is", "it must be", "it should be", "it would be", NULL };
    static const char *const therefore[] = { "therefore", "thus", "hence", "so", "in conclusion", "finally", NULL };
    tn_slice text = tn_slice_part(reading->text, 0, at + 96 < reading->text.length ? at + 96 : reading->text.length); /* linear work */
    size_t opinion = tn_match_one(text, at, opinions), conclusion = tn_match_one(text, at, therefore), next;
    if (opinion > 0) {
        next = tn_match_words(text, tn_skip_spaces(text, opinion), "that");
        opinion = next > 0 ? next : opinion;
        next = tn_match_one(text, tn_skip_spaces(text, opinion), it);
        return read_ending(reading, skip_fillers(text, next > 0 ? next : opinion), true, next > 0, error);
    }
    size_t start = conclusion > 0 ? skip_fillers(text, conclusion) : at;
    next = tn_match_one(text, tn_skip_spaces(text, start), it);
    if (conclusion == 0 && (next == 0 || !begins_sentence(text, at)))
        return TENEBRA_OK;
    return read_ending(reading, next > 0 ? skip_fillers(text, next) : start, false, false, error);
}

/* Reads the text after "I choose", or "answer" without a verb; `loose`: also a letter inside a sentence. */
static tenebra_code read_named_letter(strict_reading *reading, size_t at, bool loose, tenebra_error *error)
{
    tn_slice text = reading->text;
    size_t start = tn_skip_marks(text, at), kind = tn_content_kind(text, start), end;
    bool hedged;
    if (kind > 0 && !loose)
        return TENEBRA_OK; /* "answer choice B ..." states nothing about B */
    at = kind > 0 ? tn_skip_spaces(text, kind) : at;
    long choice = tn_content_letter(reading->content, text, at, &end);
    if (choice == TN_NO_CHOICE)
        return TENEBRA_OK;
    TN_TRY(is_hedged(reading, choice, end, &hedged, error));
    if (!hedged && (loose || ends_line(text, end)))
        state(reading, choice);
    return TENEBRA_OK;
}

/* "answer", "ans", "correct option", "best choice"; *alone: a verb must follow ("option"). 0: not at `at`. */
static size_t match_noun(tn_slice text, size_t at, bool *alone)
{
    static const char *const nouns[] = { "answer choice", "answer option", "answer letter", "answer", "ans", NULL };
    static const char *const praised[] = { "correct", "right", "best", "final", "chosen", "selected", "my", NULL };
    static const char *const kinds[] = { "option", "choice", "letter", "selection", NULL };
    static const char *const questions[] = { "to the question", "to this question", "to this", "here", "for this question", NULL };
    size_t noun = tn_match_one(text, at, nouns), praise = noun == 0 ? tn_match_one(text, at, praised) : 0;
    *alone = false;
    if (noun > 0) {
        size_t more = tn_match_one(text, tn_skip_spaces(text, noun), questions);
        return more > 0 ? more : noun;
    }
    *alone = praise == 0;
    return tn_match_one(text, praise > 0 ? tn_skip_spaces(text, praise) : at, kinds);
}

/* A dash or an arrow between white space, "answer - B", "answer -> B": where it ends. 0: none. */
static size_t match_dash(tn_slice text, size_t at)
{
    static const char *const dashes[] = { "->", "=>", "--", "-", "\xE2\x80\x93", "\xE2\x80\x94", "\xE2\x86\x92", "\xE2\x87\x92", NULL };
    size_t start = tn_skip_spaces(text, at);
    for (const char *const *dash = dashes; *dash != NULL && start > at; dash++) {
        size_t end = start + strlen(*dash);
        if (end <= text.length && memcmp(text.bytes + start, *dash, end - start) == 0)
            return tn_skip_spaces(text, end) > end ? end : 0;
    }
    return 0;
}

/* The kind of start of a statement at the word at `at`; *end is set to the place of its option. */
static lead match_lead(tn_slice text, size_t at, size_t *end)
{
    static const char *const verbs[] = { "is", "would be", "should be", "must be", "will be", "has to be", "can only be", "seems to be",
                                         "appears to be", "should then be", "must then be", "should therefore be", "must therefore be",
                                         NULL };
    static const char *const refusals[] = { "isn't", "isn\xE2\x80\x99t", "cannot be", "can't be", "can\xE2\x80\x99t be", NULL };
    static const char *const choosing[] = { "choose", "chose", "pick", "picked", "select", "selected", "go with", "going with", "opt for",
                                            NULL };
    bool alone;
    size_t noun = match_noun(text, at, &alone), next;
    if (noun == 0) {
        *end = tn_match_one(text, at, choosing);
        return *end > 0 ? CHOICE_LEAD : NO_LEAD;
    }
    next = tn_skip_marks(text, noun);
    size_t denied = tn_match_one(text, next, refusals), verb = tn_match_one(text, next, verbs);
    if (denied > 0)
        return DENIAL_LEAD;
    size_t mark = tn_skip_marks(text, verb > 0 ? verb : noun), dash = verb == 0 && !alone ? match_dash(text, noun) : 0;
    bool colon = mark < text.length && (text.bytes[mark] == ':' || (verb == 0 && text.bytes[mark] == '='));
    bool stop = mark < text.length && text.bytes[mark] == '.' && noun - at == 3; /* "Ans." */
    *end = colon || stop ? mark + 1 : verb;
    if (alone ? verb > 0 : *end > 0)
        return PLAIN_LEAD;
    *end = dash > 0 ? dash : noun;
    return alone ? NO_LEAD : BARE_LEAD;
}

static tenebra_code read_lead(strict_reading *reading, size_t at, bool *found, tenebra_error *error)
{
    size_t end;
    lead kind = match_lead(reading->text, at, &end);
    *found = kind != NO_LEAD;
    if (kind == PLAIN_LEAD)
        return read_payload(reading, end, error);
    if (kind == DENIAL_LEAD)
        state(reading, TN_NO_CHOICE);
    return kind == BARE_LEAD || kind == CHOICE_LEAD ? read_named_letter(reading, end, kind == CHOICE_LEAD, error) : TENEBRA_OK;
}

static bool is_letter(int32_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* "is correct", "would be the answer" after an option; `text`: after an option's text, where "is the best" may continue
 * differently. */
static bool is_praised(tn_slice text, size_t at, bool words)
{
    static const char *const verbs[] = { "is", "would be", "should be", "must be", "will be", "seems to be", "appears to be", "seems",
                                         NULL };
    static const char *const praise[] = { "correct", "right", "the correct answer", "the right answer", "the best answer",
                                          "the final answer", "the answer", "my answer", "our answer", "the correct option",
                                          "the right option", "the best option", "the correct choice", "the right choice",
                                          "the best choice", NULL };
    static const char *const more[] = { "the correct", "the right", "the best", "the most likely", "the most appropriate",
                                        "the most accurate", "my choice", "the solution", NULL };
    size_t verb = tn_match_one(text, tn_skip_spaces(text, at), verbs), next = tn_skip_spaces(text, verb);
    return verb > 0 && (tn_match_one(text, next, praise) > 0 || (!words && tn_match_one(text, next, more) > 0));
}

/* "X is correct". */
static tenebra_code read_praise(strict_reading *reading, size_t at, tenebra_error *error)
{
    tn_slice text = reading->text;
    size_t end, length;
    long named, choice = tn_content_letter(reading->content, text, at, &end);
    if (choice != TN_NO_CHOICE) {
        if (is_praised(text, end, false))
            state(reading, choice);
        return TENEBRA_OK;
    }
    TN_TRY(tn_content_start(reading->content, tn_slice_part(text, at, text.length), &named, &length, error));
    if (named != TN_NO_CHOICE && length >= TEXT_MIN && is_praised(text, at + length, true))
        state(reading, named);
    return TENEBRA_OK;
}

/* The position of the `close` that matches the opening before the text; braces inside come in pairs. text.length + 1:
 * none. */
static size_t find_close(tn_slice text, const char *close)
{
    size_t depth = 0;
    if (strcmp(close, "}") != 0)
        return tn_slice_find(text, TN_SLICE(close), 0);
    for (size_t at = 0; at < text.length; at++) {
        if (text.bytes[at] == '}' && depth-- == 0)
            return at;
        depth += text.bytes[at] == '{';
    }
    return text.length + 1;
}

/* Reads the text between `open`, found at `at`, and `close`: an option; several options or a denial, which cancel
 * earlier statements; or none of these. */
static tenebra_code read_between(strict_reading *reading, size_t at, const char *open, const char *close, tenebra_error *error)
{
    tn_slice text = reading->text;
    size_t length = strlen(open), begin = at + length, letter;
    if (text.length - at < length || memcmp(text.bytes + at, open, length) != 0)
        return TENEBRA_OK;
    /* An answer is short; a longer search would make the work grow with the square of the text. */
    size_t limit = begin + 3 * reading->content->longest + 64;
    tn_slice window = tn_slice_part(text, begin, limit < text.length ? limit : text.length);
    size_t end = find_close(window, close);
    if (end > window.length)
        return TENEBRA_OK;
    tn_slice inside = tn_slice_part(window, 0, end);
    long choice;
    TN_TRY(tn_content_whole(reading->content, inside, &choice, error));
    long first = choice == TN_NO_CHOICE ? tn_content_letter(reading->content, inside, 0, &letter) : TN_NO_CHOICE;
    bool several = first != TN_NO_CHOICE && tn_content_hedged(reading->content, inside, letter, first);
    if (choice != TN_NO_CHOICE || several || tn_match_one(inside, tn_skip_marks(inside, 0), denials) > 0)
        state(reading, choice);
    return TENEBRA_OK;
}

/* Moves *at from an option's letter to the end of its text, if that follows, as in "(A) text". */
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
    bool inside = false; /* in a word */
    for (size_t at = 0, next; at < text.length; at = next) {
        int32_t c = tn_slice_char(text, at, &next);
        bool found = false;
        if (!inside && is_letter(c))
            TN_TRY(read_lead(reading, at, &found, error));
        if (!inside && !found && is_letter(c))
            TN_TRY(read_opinion(reading, at, error));
        if (!inside && !found && tn_python_is_word(c))
            TN_TRY(read_praise(reading, at, error));
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

/* The only letter in parentheses; *several: there are different letters. */
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

/* Removes the last line of `text` that is not empty and returns it. */
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

/* A number or a small letter on its own line is more often part of a formula than an answer. */
static bool is_loose(tn_slice line)
{
    int32_t c = tn_slice_char(line, 0, NULL);
    return line.length < TEXT_MIN && ((c >= 'a' && c <= 'z') || tn_python_digit(c) >= 0);
}

/* The option of which a line consists, also after "So," and similar words. */
static tenebra_code read_line(const strict_reading *reading, tn_slice line, long *choice, tenebra_error *error)
{
    static const char *const conclusions[] = { "so", "thus", "therefore", "hence", "in conclusion", "conclusion", "finally", NULL };
    TN_TRY(tn_content_whole(reading->content, line, choice, error));
    size_t start = tn_skip_marks(line, 0), end = tn_match_one(line, start, conclusions);
    if (*choice != TN_NO_CHOICE || end == 0)
        return TENEBRA_OK;
    size_t behind, at = skip_fillers(line, end);
    if (tn_content_letter(reading->content, line, at, &behind) != TN_NO_CHOICE && !ends_clause(line, behind))
        return TENEBRA_OK; /* "So A. is false" */
    return tn_content_whole(reading->content, tn_slice_part(line, at, line.length), choice, error);
}

static tenebra_code read_last_line(strict_reading *reading, tenebra_error *error)
{
    tn_slice rest = reading->text, line = take_line(&rest), last = take_line(&rest);
    long choice, before;
    TN_TRY(read_line(reading, line, &choice, error));
    TN_TRY(tn_content_whole(reading->content, last, &before, error));
    bool loose = last.length > 0 && is_loose(line);
    if (choice != TN_NO_CHOICE && !loose && (before == TN_NO_CHOICE || before == choice))
        state(reading, choice);
    return TENEBRA_OK;
}

/* Removes the first line of `text` that is not empty and returns it. */
static tn_slice take_first_line(tn_slice *text)
{
    *text = tn_slice_strip(*text);
    const char *end = text->length > 0 ? memchr(text->bytes, '\n', text->length) : NULL;
    size_t length = end != NULL ? (size_t)(end - text->bytes) : text->length;
    tn_slice line = tn_slice_part(*text, 0, length);
    *text = tn_slice_part(*text, length, text->length);
    return line;
}

/* Without a statement: the first line, unless a list of options starts there, or the only letter in parentheses. */
static tenebra_code read_rest(strict_reading *reading, tenebra_error *error)
{
    tn_slice rest = reading->text, line = take_first_line(&rest), second = take_first_line(&rest);
    bool several;
    long only = only_letter(reading, &several), first = TN_NO_CHOICE, next = TN_NO_CHOICE;
    if (!several && !is_loose(line) && second.length > 0) {
        TN_TRY(tn_content_whole(reading->content, line, &first, error));
        TN_TRY(tn_content_whole(reading->content, second, &next, error));
    }
    if (next != TN_NO_CHOICE && next != first)
        first = TN_NO_CHOICE;
    if (first == TN_NO_CHOICE || only == TN_NO_CHOICE || first == only)
        reading->choice = first != TN_NO_CHOICE ? first : only;
    return TENEBRA_OK;
}

static tenebra_code judge(tn_verdict *verdict, const tn_scored *answer, size_t variant, tenebra_error *error)
{
    (void)variant;
    strict_reading reading = { .choice = TN_NO_CHOICE };
    if (answer->text.bytes == NULL) {
        long count = (long)tn_option_count(answer);
        bool within = answer->choice >= 0 && (count == 0 || answer->choice < count);
        tn_content_verdict(verdict, answer, within ? answer->choice : TN_NO_CHOICE, within);
        return TENEBRA_OK;
    }
    tn_content content;
    TN_TRY(tn_content_open(&content, answer, error));
    reading.content = &content;
    reading.text = tn_content_text(&content);
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
