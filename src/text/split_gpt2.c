/* The pattern TN_PATTERN_GPT2 as code. Its alternatives are tried in order, as in a regular expression; each function
 * returns the number of bytes that its alternative matches, 0 for none. */
#include "text/split_parts.h"

#include <string.h>

/* 's|'t|'re|'ve|'m|'ll|'d */
static size_t contraction(const tn_subject *in)
{
    static const char *const ends[] = { "'s", "'t", "'re", "'ve", "'m", "'ll", "'d" };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t length = strlen(ends[i]);
        if (in->length >= length && memcmp(in->text, ends[i], length) == 0)
            return length;
    }
    return 0;
}

/* A space, or nothing, and characters of one class: \p{L}+, \p{N}+ or [^\s\p{L}\p{N}]+. */
static size_t run(const tn_subject *in)
{
    size_t begin = in->text[0] == ' ' ? 1 : 0;
    tn_character first = tn_peek(in, begin);
    return first.size == 0 || first.kind == TN_SPACE ? 0 : tn_run_end(in, begin, first.kind);
}

/* \s+(?!\S)|\s+ : the complete run at the end of the text, otherwise all but the last space, if there are more. */
static size_t spaces(const tn_subject *in)
{
    size_t at = 0, last = 0;
    for (;;) {
        tn_character c = tn_peek(in, at);
        if (c.size == 0 || c.kind != TN_SPACE)
            break;
        last = at;
        at += c.size;
    }
    return at < in->length && last > 0 ? last : at;
}

size_t tn_split_gpt2(const char *text, size_t length)
{
    tn_subject in = { text, length };
    size_t end = contraction(&in);
    if (end == 0)
        end = run(&in);
    return end > 0 ? end : spaces(&in);
}
