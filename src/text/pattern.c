#include "text/pattern.h"

#include "text/pattern_parts.h"

#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Largest number of backtracking steps of one match. A reasonable pattern takes a few per character. */
enum { MATCH_LIMIT = 20000000 };
/* Longest pattern, bytes. */
enum { PATTERN_LIMIT = 65536 };

struct tn_pattern {
    pcre2_code *code;
};

static tenebra_code compile(tn_pattern *pattern, const char *text, size_t length, uint32_t flags, const char *name, tenebra_error *error)
{
    int problem;
    PCRE2_SIZE offset;
    pattern->code = pcre2_compile((PCRE2_SPTR)(text != NULL ? text : ""), length, flags | PCRE2_UTF, &problem, &offset, NULL);
    if (pattern->code == NULL) {
        char reason[160] = "";
        pcre2_get_error_message(problem, (PCRE2_UCHAR *)reason, sizeof reason);
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "the pattern does not compile: %s (at byte %zu)", reason, (size_t)offset);
    }
    /* Without a just-in-time compiler, the interpreter matches: slower, with the same result. */
    (void)pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);
    return TENEBRA_OK;
}

/* The anchors ^ and $ are those of lines. */
static tenebra_code compile_regex(tn_pattern *pattern, const char *text, size_t length, const char *name, tenebra_error *error)
{
    tn_text own = { 0 };
    tenebra_code code = tn_pattern_read(text, length, name, &own, error);
    if (code == TENEBRA_OK)
        code = compile(pattern, own.data, own.length, PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, name, error);
    tn_text_free(&own);
    return code;
}

tenebra_code tn_pattern_open(const char *text, size_t length, bool literal, const char *name, tn_pattern **opened, tenebra_error *error)
{
    *opened = NULL;
    if (length > PATTERN_LIMIT)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, name, "the pattern has %zu bytes, more than %d", length, PATTERN_LIMIT);
    tn_pattern *pattern = calloc(1, sizeof *pattern);
    if (pattern == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, name, "no memory for a pattern");
    tenebra_code code = literal ? compile(pattern, text, length, PCRE2_LITERAL, name, error)
                                : compile_regex(pattern, text, length, name, error);
    if (code == TENEBRA_OK)
        *opened = pattern;
    else
        tn_pattern_close(pattern);
    return code;
}

void tn_pattern_close(tn_pattern *pattern)
{
    if (pattern == NULL)
        return;
    pcre2_code_free(pattern->code);
    free(pattern);
}

bool tn_pattern_matches_nothing(const tn_pattern *pattern)
{
    uint32_t empty = 1;
    return pcre2_pattern_info(pattern->code, PCRE2_INFO_MATCHEMPTY, &empty) != 0 || empty != 0;
}

tenebra_code tn_matches_open(tn_matches *matches, const tn_pattern *pattern, tenebra_error *error)
{
    *matches = (tn_matches){ .pattern = pattern, .context = pcre2_match_context_create(NULL),
                             .data = pcre2_match_data_create_from_pattern(pattern->code, NULL) };
    if (matches->context == NULL || matches->data == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "pattern", "no memory to match");
    pcre2_set_match_limit(matches->context, MATCH_LIMIT);
    return TENEBRA_OK;
}

void tn_matches_close(tn_matches *matches)
{
    pcre2_match_data_free(matches->data);
    pcre2_match_context_free(matches->context);
    *matches = (tn_matches){ 0 };
}

/* The first match at or after `from`. */
static tenebra_code look(tn_matches *matches, const char *text, size_t length, size_t from, bool *found, size_t *begin, size_t *end,
                         tenebra_error *error)
{
    const pcre2_code *code = matches->pattern->code;
    int count = pcre2_match(code, (PCRE2_SPTR)text, length, from, PCRE2_NO_UTF_CHECK, matches->data, matches->context);
    if (count == PCRE2_ERROR_JIT_STACKLIMIT) /* deep patterns only: the interpreter uses the heap */
        count = pcre2_match(code, (PCRE2_SPTR)text, length, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, matches->data, matches->context);
    *found = count >= 0;
    if (count == PCRE2_ERROR_NOMATCH)
        return TENEBRA_OK;
    if (count < 0) {
        char reason[160] = "";
        pcre2_get_error_message(count, (PCRE2_UCHAR *)reason, sizeof reason);
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "pattern", "gives up on this text: %s", reason);
    }
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(matches->data);
    *begin = span[0];
    *end = span[1];
    /* \K in a lookaround may put the start after the end or before `from`. */
    if (*begin < from || *begin > *end || *end > length)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, "pattern", "moves the start of its matches");
    return TENEBRA_OK;
}

static size_t after_character(const char *text, size_t length, size_t at)
{
    do
        at++;
    while (at < length && ((unsigned char)text[at] & 0xC0) == 0x80);
    return at;
}

tenebra_code tn_matches_next(tn_matches *matches, tn_match_place *place, const char *text, size_t length, bool *found,
                             size_t *begin, size_t *end, tenebra_error *error)
{
    *found = false;
    while (place->from <= length) {
        TN_TRY(look(matches, text, length, place->from, found, begin, end, error));
        if (!*found)
            return TENEBRA_OK;
        bool refused = *begin == *end && place->any && place->last == *end;
        place->from = *begin < *end ? *end : after_character(text, length, *end);
        if (refused)
            continue;
        place->last = *end;
        place->any = true;
        return TENEBRA_OK;
    }
    *found = false;
    return TENEBRA_OK;
}
