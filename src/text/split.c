#include "text/split.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Largest number of backtracking steps of one match. A reasonable pattern takes a few per character. */
enum { MATCH_LIMIT = 20000000 };
/* Longest pattern, bytes. */
enum { PATTERN_LIMIT = 65536 };

struct tn_splitter {
    pcre2_code *code; /* NULL: tn_split_qwen2 */
    bool drop_gaps;
};

static tenebra_code compile(tn_splitter *splitter, const char *pattern, size_t length, const char *name,
                            tenebra_error *error)
{
    int problem;
    PCRE2_SIZE offset;
    splitter->code = pcre2_compile((PCRE2_SPTR)pattern, length,
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &problem, &offset, NULL);
    if (splitter->code == NULL) {
        char reason[160] = "";
        pcre2_get_error_message(problem, (PCRE2_UCHAR *)reason, sizeof reason);
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "the split pattern does not compile: %s (at byte %zu)",
                       reason, (size_t)offset);
    }
    /* Without a just-in-time compiler, the interpreter matches: slower, with the same result. */
    (void)pcre2_jit_compile(splitter->code, PCRE2_JIT_COMPLETE);
    return TENEBRA_OK;
}

tenebra_code tn_splitter_open(const char *pattern, size_t length, const tn_split_options *options, const char *name,
                              tn_splitter **opened, tenebra_error *error)
{
    *opened = NULL;
    if (length > PATTERN_LIMIT)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, name, "the split pattern has %zu bytes, more than %d", length, PATTERN_LIMIT);
    tn_splitter *splitter = calloc(1, sizeof *splitter);
    if (splitter == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, name, "no memory for the split pattern");
    bool general = options != NULL && options->general;
    splitter->drop_gaps = options != NULL && options->drop_gaps;
    bool qwen2 = length == strlen(TN_PATTERN_QWEN2) && memcmp(pattern, TN_PATTERN_QWEN2, length) == 0;
    tenebra_code code = qwen2 && !general ? TENEBRA_OK : compile(splitter, pattern, length, name, error);
    if (code == TENEBRA_OK)
        *opened = splitter;
    else
        tn_splitter_close(splitter);
    return code;
}

void tn_splitter_close(tn_splitter *splitter)
{
    if (splitter == NULL)
        return;
    pcre2_code_free(splitter->code);
    free(splitter);
}

static tenebra_code split_qwen2(const char *text, size_t length, tn_piece_fn *each, void *user,
                                tenebra_error *error)
{
    for (size_t at = 0; at < length;) {
        size_t size = tn_split_qwen2(text + at, length - at);
        TN_TRY(each(user, text + at, size, error));
        at += size;
    }
    return TENEBRA_OK;
}

/* The PCRE2 objects of one call of tn_split. */
typedef struct matcher {
    pcre2_match_context *context;
    pcre2_match_data *data;
} matcher;

static bool matcher_open(matcher *m, const pcre2_code *code)
{
    m->context = pcre2_match_context_create(NULL);
    m->data = pcre2_match_data_create_from_pattern(code, NULL);
    if (m->context == NULL || m->data == NULL)
        return false;
    pcre2_set_match_limit(m->context, MATCH_LIMIT);
    return true;
}

/* The next match at or after `from` in *begin and *end; begin == end == length if there is none. */
static tenebra_code next_match(const tn_splitter *splitter, matcher *m, const char *text, size_t length,
                               size_t from, size_t *begin, size_t *end, tenebra_error *error)
{
    int found = pcre2_match(splitter->code, (PCRE2_SPTR)text, length, from, PCRE2_NO_UTF_CHECK, m->data,
                            m->context);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) /* deep patterns only: the interpreter uses the heap */
        found = pcre2_match(splitter->code, (PCRE2_SPTR)text, length, from,
                            PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, m->data, m->context);
    *begin = *end = length;
    if (found == PCRE2_ERROR_NOMATCH)
        return TENEBRA_OK;
    if (found < 0) {
        char reason[160] = "";
        pcre2_get_error_message(found, (PCRE2_UCHAR *)reason, sizeof reason);
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "split pattern", "gives up on this text: %s", reason);
    }
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(m->data);
    *begin = span[0];
    *end = span[1];
    /* \K in a lookaround may put the start after the end or before `from`. */
    if (*begin < from || *begin > *end || *end > length)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, "split pattern", "moves the start of its matches");
    return TENEBRA_OK;
}

static tenebra_code split_general(const tn_splitter *splitter, matcher *m, const char *text, size_t length,
                                  tn_piece_fn *each, void *user, tenebra_error *error)
{
    size_t done = 0, from = 0;
    while (done < length) {
        size_t begin, end;
        TN_TRY(next_match(splitter, m, text, length, from, &begin, &end, error));
        if (begin == end && begin < length) { /* an empty match splits nothing: continue one character later */
            from = begin + 1;
            while (from < length && ((unsigned char)text[from] & 0xC0) == 0x80)
                from++;
            continue;
        }
        if (begin > done && !splitter->drop_gaps)
            TN_TRY(each(user, text + done, begin - done, error));
        if (end > begin)
            TN_TRY(each(user, text + begin, end - begin, error));
        done = from = end;
    }
    return TENEBRA_OK;
}

tenebra_code tn_split(const tn_splitter *splitter, const char *text, size_t length, tn_piece_fn *each,
                      void *user, tenebra_error *error)
{
    if (length == 0)
        return TENEBRA_OK;
    if (splitter->code == NULL)
        return split_qwen2(text, length, each, user, error);
    matcher m;
    tenebra_code code;
    if (matcher_open(&m, splitter->code))
        code = split_general(splitter, &m, text, length, each, user, error);
    else
        code = tn_fail(error, TENEBRA_ERROR_MEMORY, "split pattern", "no memory to match");
    pcre2_match_data_free(m.data);
    pcre2_match_context_free(m.context);
    return code;
}
