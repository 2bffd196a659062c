#include "text/split.h"

#include "text/pattern.h"
#include "text/unicode.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 16 };

/* How a step finds its pieces. */
typedef enum step_kind { STEP_OWN, STEP_PATTERN, STEP_NUMBERS, STEP_PUNCTUATION, STEP_SPACE } step_kind;

typedef struct step {
    step_kind kind;
    tn_split_behavior behavior;
    bool invert;
    size_t (*own)(const char *text, size_t length); /* OWN: bytes of the next piece */
    tn_pattern *pattern;                            /* PATTERN                      */
} step;

struct tn_splitter {
    step steps[STEPS_MAX];
    size_t count;
};

tenebra_code tn_splitter_open(tn_splitter **opened, tenebra_error *error)
{
    *opened = calloc(1, sizeof **opened);
    return *opened != NULL ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_MEMORY, "splitter", "no memory for it");
}

void tn_splitter_close(tn_splitter *splitter)
{
    if (splitter == NULL)
        return;
    for (size_t i = 0; i < splitter->count; i++)
        tn_pattern_close(splitter->steps[i].pattern);
    free(splitter);
}

static tenebra_code add(tn_splitter *splitter, step made, const char *name, tenebra_error *error)
{
    if (splitter->count == STEPS_MAX) {
        tn_pattern_close(made.pattern);
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, name, "the pre_tokenizer has more than %d steps", STEPS_MAX);
    }
    splitter->steps[splitter->count++] = made;
    return TENEBRA_OK;
}

static bool is_pattern(const char *known, const char *pattern, size_t length)
{
    return strlen(known) == length && memcmp(known, pattern, length) == 0;
}

tenebra_code tn_splitter_add_pattern(tn_splitter *splitter, const char *pattern, size_t length, const tn_split_options *options,
                                     const char *name, tenebra_error *error)
{
    static const tn_split_options standard;
    options = options != NULL ? options : &standard;
    step made = { .kind = STEP_PATTERN, .behavior = options->behavior, .invert = options->invert };
    bool covers = options->behavior == TN_SPLIT_ISOLATED || (options->behavior == TN_SPLIT_REMOVED && options->invert);
    if (covers && !options->literal && !options->general) { /* their matches leave no text between them */
        made.own = is_pattern(TN_PATTERN_QWEN2, pattern, length)  ? tn_split_qwen2
                   : is_pattern(TN_PATTERN_GPT2, pattern, length) ? tn_split_gpt2
                                                                   : NULL;
        made.kind = made.own != NULL ? STEP_OWN : STEP_PATTERN;
    }
    if (made.kind == STEP_PATTERN)
        TN_TRY(tn_pattern_open(pattern, length, options->literal, name, &made.pattern, error));
    return add(splitter, made, name, error);
}

tenebra_code tn_splitter_open_pattern(const char *pattern, size_t length, const tn_split_options *options, const char *name,
                                      tn_splitter **opened, tenebra_error *error)
{
    TN_TRY(tn_splitter_open(opened, error));
    tenebra_code code = tn_splitter_add_pattern(*opened, pattern, length, options, name, error);
    if (code != TENEBRA_OK) {
        tn_splitter_close(*opened);
        *opened = NULL;
    }
    return code;
}

tenebra_code tn_splitter_add_kind(tn_splitter *splitter, tn_split_kind kind, tn_split_behavior behavior, const char *name,
                                  tenebra_error *error)
{
    return add(splitter, (step){ .kind = kind == TN_SPLIT_NUMBERS ? STEP_NUMBERS : STEP_PUNCTUATION, .behavior = behavior }, name,
               error);
}

tenebra_code tn_splitter_add_space(tn_splitter *splitter, const char *name, tenebra_error *error)
{
    return add(splitter, (step){ .kind = STEP_SPACE }, name, error);
}

/* ------------------------------------------------------------ one text -- */

typedef struct splitting {
    const tn_splitter *splitter;
    tn_matches matches[STEPS_MAX]; /* of PATTERN steps                      */
    tn_text spaced[STEPS_MAX];     /* of SPACE steps: the piece with a space */
    tn_piece_fn *each;
    void *user;
} splitting;

static tenebra_code split_from(splitting *s, size_t number, const char *text, size_t length, tenebra_error *error);

/* The recursion is as deep as the list of steps, at most STEPS_MAX.
 * NOLINTBEGIN(misc-no-recursion) */

/* A piece of step `number` for the step after it. */
static tenebra_code pass_on(splitting *s, size_t number, const char *text, size_t length, tenebra_error *error)
{
    if (length == 0)
        return TENEBRA_OK;
    if (number + 1 == s->splitter->count)
        return s->each(s->user, text, length, error);
    return split_from(s, number + 1, text, length, error);
}

/* The spans of a step in order become pieces; one is held back, as the next may belong to it. */
typedef struct joining {
    splitting *s;
    size_t number;
    const char *text;
    size_t begin, end;     /* the span that is held back        */
    bool holds, was_match; /* was_match: the last span was one  */
} joining;

/* Whether a span belongs to the one that is held back. */
static bool joins(tn_split_behavior behavior, bool was_match, bool is_match)
{
    return behavior == TN_SPLIT_MERGED_WITH_PREVIOUS ? is_match && !was_match
           : behavior == TN_SPLIT_MERGED_WITH_NEXT   ? was_match && !is_match
                                                     : behavior == TN_SPLIT_CONTIGUOUS && is_match == was_match;
}

static tenebra_code release(joining *j, tenebra_error *error)
{
    bool holds = j->holds;
    j->holds = false;
    return holds ? pass_on(j->s, j->number, j->text + j->begin, j->end - j->begin, error) : TENEBRA_OK;
}

/* The next span, which may be empty; spans follow each other without a gap. */
static tenebra_code take(joining *j, size_t begin, size_t end, bool is_match, tenebra_error *error)
{
    const step *at = &j->s->splitter->steps[j->number];
    is_match = is_match != at->invert;
    if (at->behavior == TN_SPLIT_REMOVED && is_match)
        return TENEBRA_OK;
    if (at->behavior <= TN_SPLIT_REMOVED)
        return pass_on(j->s, j->number, j->text + begin, end - begin, error);
    bool joined = j->holds && joins(at->behavior, j->was_match, is_match);
    j->was_match = is_match;
    if (joined) {
        j->end = end;
        return TENEBRA_OK;
    }
    TN_TRY(release(j, error));
    j->begin = begin;
    j->end = end;
    j->holds = true;
    return TENEBRA_OK;
}

static tenebra_code split_pattern(joining *j, size_t length, tenebra_error *error)
{
    tn_match_place place = { 0 };
    size_t done = 0;
    for (;;) {
        size_t begin, end;
        bool found;
        TN_TRY(tn_matches_next(&j->s->matches[j->number], &place, j->text, length, &found, &begin, &end, error));
        if (!found)
            break;
        if (begin > done)
            TN_TRY(take(j, done, begin, false, error));
        TN_TRY(take(j, begin, end, true, error));
        done = end;
    }
    if (length > done)
        TN_TRY(take(j, done, length, false, error));
    return release(j, error);
}

static bool is_kind(step_kind kind, int32_t c)
{
    return kind == STEP_PUNCTUATION ? tn_unicode_is_punctuation(c) : tn_unicode_class(c) == TN_NUMBER;
}

static tenebra_code split_kind(joining *j, size_t length, tenebra_error *error)
{
    step_kind kind = j->s->splitter->steps[j->number].kind;
    size_t done = 0;
    for (size_t at = 0; at < length;) {
        int32_t c;
        size_t size = tn_utf8_read(j->text + at, length - at, &c);
        if (is_kind(kind, c)) {
            if (at > done)
                TN_TRY(take(j, done, at, false, error));
            TN_TRY(take(j, at, at + size, true, error));
            done = at + size;
        }
        at += size;
    }
    if (length > done)
        TN_TRY(take(j, done, length, false, error));
    return release(j, error);
}

static tenebra_code split_own(splitting *s, size_t number, const char *text, size_t length, tenebra_error *error)
{
    size_t (*own)(const char *, size_t) = s->splitter->steps[number].own;
    for (size_t at = 0; at < length;) {
        size_t size = own(text + at, length - at);
        TN_TRY(pass_on(s, number, text + at, size, error));
        at += size;
    }
    return TENEBRA_OK;
}

static tenebra_code add_space(splitting *s, size_t number, const char *text, size_t length, tenebra_error *error)
{
    tn_text *spaced = &s->spaced[number];
    if (text[0] == ' ')
        return pass_on(s, number, text, length, error);
    spaced->length = 0;
    TN_TRY(tn_text_append(spaced, " ", 1, error));
    TN_TRY(tn_text_append(spaced, text, length, error));
    return pass_on(s, number, spaced->data, spaced->length, error);
}

/* Splits a piece by step `number` and those after it. */
static tenebra_code split_from(splitting *s, size_t number, const char *text, size_t length, tenebra_error *error)
{
    joining j = { .s = s, .number = number, .text = text };
    switch (s->splitter->steps[number].kind) {
    case STEP_OWN:
        return split_own(s, number, text, length, error);
    case STEP_PATTERN:
        return split_pattern(&j, length, error);
    case STEP_SPACE:
        return add_space(s, number, text, length, error);
    default:
        return split_kind(&j, length, error);
    }
}
/* NOLINTEND(misc-no-recursion) */

tenebra_code tn_split(const tn_splitter *splitter, const char *text, size_t length, tn_piece_fn *each,
                      void *user, tenebra_error *error)
{
    if (length == 0)
        return TENEBRA_OK;
    if (splitter->count == 0)
        return each(user, text, length, error);
    splitting s = { .splitter = splitter, .each = each, .user = user };
    tenebra_code code = TENEBRA_OK;
    for (size_t i = 0; i < splitter->count && code == TENEBRA_OK; i++)
        if (splitter->steps[i].pattern != NULL)
            code = tn_matches_open(&s.matches[i], splitter->steps[i].pattern, error);
    if (code == TENEBRA_OK)
        code = split_from(&s, 0, text, length, error);
    for (size_t i = 0; i < splitter->count; i++) {
        tn_matches_close(&s.matches[i]);
        tn_text_free(&s.spaced[i]);
    }
    return code;
}
