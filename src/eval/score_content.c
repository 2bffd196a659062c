#include "eval/score_content.h"

#include "eval/score_plain.h"

#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------- marks -- */

/* Opening and closing quotes, U+2018 to U+201F. */
static bool is_quote(int32_t c)
{
    return c == '"' || c == '\'' || c == '`' || (c >= 0x2018 && c <= 0x201F);
}

static bool is_one_of(int32_t c, const char *set)
{
    return c > 0 && c < 0x80 && strchr(set, c) != NULL;
}

static bool is_mark(int32_t c)
{
    return is_quote(c) || is_one_of(c, "*_[](){}<>") || tn_python_is_space(c);
}

static bool is_stop(int32_t c)
{
    return is_one_of(c, ".,;:!?");
}

/* A hyphen, or a dash. */
static bool is_dash(int32_t c)
{
    return c == '-' || (c >= 0x2010 && c <= 0x2015);
}

size_t tn_skip_marks(tn_slice text, size_t at)
{
    size_t next;
    while (at < text.length && is_mark(tn_slice_char(text, at, &next)))
        at = next;
    return at;
}

/* Removes marks from both ends and stops from the end; if nothing would be left, removes only white space. */
static tn_slice trim(tn_slice text)
{
    size_t begin = tn_skip_marks(text, 0), end = begin, next;
    for (size_t at = begin; at < text.length; at = next) {
        int32_t c = tn_slice_char(text, at, &next);
        if (!is_mark(c) && !is_stop(c))
            end = next;
    }
    return end > begin ? tn_slice_part(text, begin, end) : tn_slice_strip(text);
}

/* --------------------------------------------------------------- options -- */

static tenebra_code add_option(tn_content *content, const char *option, size_t room, tenebra_error *error)
{
    tn_text plain = { 0 };
    size_t before = content->lower.length;
    tenebra_code code = tn_plain_text(&plain, TN_SLICE(option), error);
    tn_slice words = trim(plain.length > 0 ? (tn_slice){ plain.data, plain.length } : TN_SLICE(option));
    if (code == TENEBRA_OK)
        code = tn_text_append(&content->texts, words.bytes, words.length, error);
    if (code == TENEBRA_OK)
        code = tn_python_lower(&content->lower, words, error);
    tn_text_free(&plain);
    TN_TRY(code);
    size_t length = content->lower.length - before;
    content->ends[content->count] = content->texts.length;
    content->ends[room + content->count++] = content->lower.length;
    content->longest = length > content->longest ? length : content->longest;
    return TENEBRA_OK;
}

/* an open question is answered in words */
static bool is_open(const tn_sample *sample)
{
    return sample->option_count == 0 && (sample->open || tn_label_index(sample->label) == TN_NO_CHOICE);
}

/* The number of options that letters can name: all letters for rows whose number of options is unknown, none for open
 * questions. */
static size_t letters_of(const tn_scored *answer)
{
    size_t count = tn_option_count(answer);
    return is_open(answer->sample) ? 0 : count > 0 && count < 26 ? count : 26;
}

tenebra_code tn_content_open(tn_content *content, const tn_scored *answer, tenebra_error *error)
{
    const tn_sample *sample = answer->sample;
    size_t room = is_open(sample) ? 1 + sample->answer_count : sample->option_count;
    *content = (tn_content){ .sample = sample, .letters = letters_of(answer) };
    content->ends = calloc(room + 1, 2 * sizeof *content->ends);
    if (content->ends == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, sample->id, "no memory for %zu options", sample->option_count);
    tenebra_code code = is_open(sample) ? add_option(content, sample->label, room, error) : TENEBRA_OK;
    for (size_t i = 0; i < sample->answer_count && is_open(sample) && code == TENEBRA_OK; i++)
        code = add_option(content, sample->answers[i], room, error);
    for (size_t i = 0; i < sample->option_count && code == TENEBRA_OK; i++)
        code = add_option(content, sample->options[i], room, error);
    if (code == TENEBRA_OK && answer->text.bytes != NULL)
        code = tn_plain_text(&content->answer, answer->text, error);
    if (code != TENEBRA_OK)
        tn_content_close(content);
    return code;
}

void tn_content_close(tn_content *content)
{
    tn_text_free(&content->texts);
    tn_text_free(&content->lower);
    tn_text_free(&content->answer);
    free(content->ends);
    *content = (tn_content){ 0 };
}

static tn_slice slice_of(const tn_text *text)
{
    return (tn_slice){ text->data != NULL ? text->data : "", text->length };
}

tn_slice tn_content_text(const tn_content *content)
{
    return slice_of(&content->answer);
}

static tn_slice part_of(const tn_text *texts, const size_t *ends, size_t index)
{
    size_t begin = index > 0 ? ends[index - 1] : 0;
    return tn_slice_part(slice_of(texts), begin, ends[index]);
}

/* The text of an option in its published case. */
static tn_slice exact_text(const tn_content *content, size_t index)
{
    return part_of(&content->texts, content->ends, index);
}

static bool starts_with(tn_slice text, tn_slice words)
{
    return words.length <= text.length && (words.length == 0 || memcmp(text.bytes, words.bytes, words.length) == 0);
}

static tn_slice option_text(const tn_content *content, size_t index)
{
    return part_of(&content->lower, content->ends + content->count, index);
}

/* --------------------------------------------------------------- letters -- */

static bool ends_line(tn_slice text, size_t at)
{
    for (size_t next; at < text.length && text.bytes[at] != '\n'; at = next) {
        int32_t c = tn_slice_char(text, at, &next);
        if (!is_mark(c) && !is_stop(c))
            return false;
    }
    return true;
}

/* Whether "A" before `at` is an article: a blank and a word follow, and the word is none of those that can follow an answer. */
static bool is_article(tn_slice text, size_t at)
{
    static const char *const others[] = { "is", "because", "since", "as", "and", "or", "for", "so", "but", "which", "due",
                                          "based", "given" };
    size_t word = tn_skip_spaces(text, at);
    if (word == at || word >= text.length || memchr(text.bytes + at, '\n', word - at) != NULL)
        return false;
    int32_t c = tn_slice_char(text, word, NULL);
    if (!tn_python_is_word(c) || (c >= 'A' && c <= 'Z'))
        return false;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        size_t end = tn_match_word(text, word, others[i]);
        if (end > 0 && !tn_python_is_word(tn_slice_char(text, end, NULL)))
            return false;
    }
    return true;
}

/* Whether the letter before `at` is the beginning of a word: "B's", "A-frame". */
static bool goes_on(tn_slice text, size_t at)
{
    size_t next;
    int32_t c = tn_slice_char(text, at, &next);
    bool joins = c == '-' || c == '\'' || c == 0x2019;
    return tn_python_is_word(c) || (joins && tn_python_is_word(tn_slice_char(text, next, NULL)));
}

long tn_content_letter(const tn_content *content, tn_slice text, size_t at, size_t *end)
{
    at = tn_skip_marks(text, at);
    size_t behind = at + 1;
    if (at >= text.length || goes_on(text, behind))
        return TN_NO_CHOICE;
    int32_t c = tn_slice_char(text, at, NULL);
    bool small = c >= 'a' && c <= 'z';
    long index = small ? c - 'a' : c - 'A';
    if (index < 0 || index >= (long)content->letters)
        return TN_NO_CHOICE;
    bool bracketed = at > 0 && is_one_of(text.bytes[at - 1], "([{<*") && is_one_of(tn_slice_char(text, behind, NULL), ")]}>*");
    if (!bracketed && (small ? !ends_line(text, behind) : c == 'A' && is_article(text, behind)))
        return TN_NO_CHOICE;
    size_t next = behind;
    for (int32_t mark; behind < text.length; behind = next) {
        mark = tn_slice_char(text, behind, &next);
        if (!is_mark(mark) || tn_python_is_space(mark))
            break;
    }
    *end = behind;
    return index;
}

size_t tn_content_kind(tn_slice text, size_t at)
{
    static const char *const kinds[] = { "the option", "the choice", "the letter", "the correct option", "the correct choice", "the answer",
                                         "option number", "choice number", "answer choice", "answer option", "option", "choice",
                                         "letter", NULL };
    return tn_match_one(text, at, kinds);
}

bool tn_content_hedged(const tn_content *content, tn_slice text, size_t at, long choice)
{
    static const char *const words[] = { "or", "and", NULL };
    size_t start = tn_skip_spaces(text, at), end;
    if (start < text.length && text.bytes[start] != '\0' && strchr(",/&", text.bytes[start]) != NULL)
        start = tn_skip_spaces(text, start + 1);
    size_t word = tn_match_one(text, start, words);
    start = word > 0 ? word : start;
    long other = start > at && start < text.length ? tn_content_letter(content, text, start, &end) : TN_NO_CHOICE;
    return other != TN_NO_CHOICE && other != choice && (word > 0 || memchr(text.bytes + at, '\n', start - at) == NULL);
}

/* ----------------------------------------------------------------- words -- */

static bool has_indices(const tn_content *content)
{
    return !is_open(content->sample) && tn_label_is_index(content->sample->label);
}

/* Reads an index in digits at the start. */
static long start_index(const tn_content *content, tn_slice text)
{
    long value = 0;
    size_t at = 0;
    for (; at < text.length && at < 6 && text.bytes[at] >= '0' && text.bytes[at] <= '9'; at++)
        value = value * 10 + (text.bytes[at] - '0');
    size_t next;
    int32_t c = tn_slice_char(text, at, &next);
    bool fraction = c == '.' && tn_python_digit(tn_slice_char(text, next, NULL)) >= 0;
    return at == 0 || tn_python_is_word(c) || fraction || value >= (long)content->letters ? TN_NO_CHOICE : value;
}

tenebra_code tn_content_start(const tn_content *content, tn_slice text, long *choice, size_t *length, tenebra_error *error)
{
    size_t marks = tn_skip_marks(text, 0);
    *choice = TN_NO_CHOICE;
    *length = 0;
    text = tn_slice_part(text, marks, text.length);
    /* Text in lower case is at most three times shorter than the original; one character more is needed to see the border. */
    size_t wanted = 3 * content->longest + 4, end = 0;
    while (end < text.length && end < wanted)
        tn_slice_char(text, end, &end);
    tn_text low = { 0 };
    tenebra_code code = tn_python_lower(&low, tn_slice_part(text, 0, end), error);
    tn_slice start = { low.data, low.length };
    size_t longest = 0;
    for (size_t i = 0; i < content->count && code == TENEBRA_OK; i++) {
        tn_slice option = option_text(content, i);
        bool fits = option.length > 0 && starts_with(start, option) &&
                    !tn_python_is_word(tn_slice_char(start, option.length, NULL));
        bool exact = option.length == longest && starts_with(text, exact_text(content, i));
        if (fits && (option.length > longest || exact)) {
            longest = option.length;
            *choice = (long)i;
        }
    }
    tn_text_free(&low);
    if (longest > 0)
        *length = marks + longest < marks + text.length ? marks + longest : marks + text.length;
    else if (code == TENEBRA_OK && has_indices(content))
        *choice = start_index(content, text);
    return code;
}

tenebra_code tn_content_skip_text(const tn_content *content, tn_slice text, size_t at, long choice, size_t *end, tenebra_error *error)
{
    size_t start = at, length, next;
    long named;
    for (int32_t c; start < text.length; start = next) {
        c = tn_slice_char(text, start, &next);
        if (!is_stop(c) && !is_dash(c) && c != ' ')
            break;
    }
    TN_TRY(tn_content_start(content, tn_slice_part(text, start, text.length), &named, &length, error));
    *end = named == choice && length > 0 ? start + length : at;
    return TENEBRA_OK;
}

/* Whether an option with its text, which ends at `at`, is followed by another one with its text, so that this is a list. */
static tenebra_code goes_on_as_list(const tn_content *content, tn_slice text, size_t at, long choice, bool *list, tenebra_error *error)
{
    size_t next, end = at, behind;
    *list = false;
    for (int32_t c; at < text.length; at = next) {
        c = tn_slice_char(text, at, &next);
        if (!is_stop(c) && !tn_python_is_space(c))
            break;
    }
    long other = tn_content_letter(content, text, at, &end);
    if (other == TN_NO_CHOICE || other == choice)
        return TENEBRA_OK;
    TN_TRY(tn_content_skip_text(content, text, end, other, &behind, error));
    *list = behind > end;
    return TENEBRA_OK;
}

/* The option whose letter begins `text`, if it is followed only by the option's text or by the end of a line or sentence, or is
 * in brackets. */
static tenebra_code read_letter(const tn_content *content, tn_slice text, long *choice, tenebra_error *error)
{
    size_t end = 0, behind = 0, start = tn_skip_marks(text, 0), next;
    bool list = false;
    *choice = tn_content_letter(content, text, 0, &end);
    if (*choice == TN_NO_CHOICE) { /* "b) its text" */
        int32_t c = tn_slice_char(text, start, &end);
        *choice = c >= 'a' && c - 'a' < (long)content->letters && is_one_of(tn_slice_char(text, end, NULL), ").:") ? c - 'a' : TN_NO_CHOICE;
        if (*choice == TN_NO_CHOICE)
            return TENEBRA_OK;
        end++;
        TN_TRY(tn_content_skip_text(content, text, end, *choice, &behind, error));
        *choice = behind > end ? *choice : TN_NO_CHOICE;
    } else {
        int32_t c = tn_slice_char(text, end, &next);
        size_t blank = tn_skip_spaces(text, end);
        bool dash = is_dash(tn_slice_char(text, blank, NULL)) && blank > end;
        TN_TRY(tn_content_skip_text(content, text, end, *choice, &behind, error));
        bool closed = is_one_of(text.bytes[end - 1], ")]}*") || is_stop(c) || dash || ends_line(text, end) || behind > end;
        if (!closed || tn_content_hedged(content, text, end, *choice))
            *choice = TN_NO_CHOICE;
    }
    if (*choice != TN_NO_CHOICE && behind > end)
        TN_TRY(goes_on_as_list(content, text, behind, *choice, &list, error));
    *choice = list ? TN_NO_CHOICE : *choice;
    return TENEBRA_OK;
}

/* The option whose text is `words`; of two options that differ only in case, the exact one. */
static tenebra_code read_words(const tn_content *content, tn_slice words, long *choice, tenebra_error *error)
{
    tn_text low = { 0 };
    tenebra_code code = tn_python_lower(&low, words, error);
    for (size_t i = content->count; i > 0 && code == TENEBRA_OK; i--)
        if (tn_slice_equal(option_text(content, i - 1), slice_of(&low)))
            *choice = (long)i - 1;
    for (size_t i = content->count; i > 0 && code == TENEBRA_OK; i--)
        if (tn_slice_equal(exact_text(content, i - 1), words))
            *choice = (long)i - 1;
    tn_text_free(&low);
    return code;
}

tenebra_code tn_content_whole(const tn_content *content, tn_slice text, long *choice, tenebra_error *error)
{
    TN_TRY(read_letter(content, text, choice, error));
    tn_slice words = trim(text);
    if (*choice != TN_NO_CHOICE || words.length == 0)
        return TENEBRA_OK;
    TN_TRY(read_words(content, words, choice, error));
    size_t kind = tn_content_kind(words, 0);
    bool digits = words.length < 7 && strspn(words.bytes, "0123456789") >= words.length;
    if (*choice == TN_NO_CHOICE && kind > 0) {
        kind = tn_skip_spaces(words, kind);
        kind += kind < words.length && words.bytes[kind] == ':';
        return read_letter(content, tn_slice_part(words, kind, words.length), choice, error);
    }
    if (*choice == TN_NO_CHOICE && digits && has_indices(content))
        *choice = start_index(content, words);
    return TENEBRA_OK;
}

tenebra_code tn_content_written(const tn_content *content, tn_slice text, long *choice, tenebra_error *error)
{
    tn_text plain = { 0 };
    *choice = TN_NO_CHOICE;
    tenebra_code code = tn_plain_text(&plain, text, error);
    if (code == TENEBRA_OK)
        code = tn_content_whole(content, plain.length > 0 ? slice_of(&plain) : text, choice, error);
    tn_text_free(&plain);
    return code;
}

void tn_content_verdict(tn_verdict *verdict, const tn_scored *answer, long choice, bool found)
{
    tn_verdict_choose(verdict, answer, choice);
    verdict->found = found || choice != TN_NO_CHOICE;
    if (is_open(answer->sample)) {
        verdict->correct = choice != TN_NO_CHOICE;
        verdict->choice = TN_NO_CHOICE;
        verdict->letters = 0;
    }
}
