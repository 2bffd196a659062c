/* The pattern TN_PATTERN_QWEN2 as code. Its alternatives are tried in order, as in a regular expression; each function
 * returns the number of bytes that its alternative matches, 0 for none. */
#include "text/split_parts.h"

static bool is_line_end(int32_t code_point)
{
    return code_point == '\n' || code_point == '\r';
}

/* Lower-cases an ASCII letter; U+017F (long s) folds to s. Other characters are not changed. */
static int32_t fold(int32_t c)
{
    if (c == 0x17F)
        return 's';
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d) */
static size_t contraction(const tn_subject *in)
{
    if (in->text[0] != '\'')
        return 0;
    tn_character first = tn_peek(in, 1), second = tn_peek(in, 1 + first.size);
    int32_t a = fold(first.code_point), b = fold(second.code_point);
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 1 + first.size;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
        return 1 + first.size + second.size;
    return 0;
}

/* [^\r\n\p{L}\p{N}]?\p{L}+ */
static size_t word(const tn_subject *in, tn_character first)
{
    if (first.kind == TN_LETTER)
        return tn_run_end(in, first.size, TN_LETTER);
    if (first.kind == TN_NUMBER || is_line_end(first.code_point))
        return 0;
    size_t end = tn_run_end(in, first.size, TN_LETTER);
    return end > first.size ? end : 0;
}

/*  ?[^\s\p{L}\p{N}]+[\r\n]* */
static size_t symbols(const tn_subject *in, tn_character first)
{
    size_t begin = first.code_point == ' ' ? 1 : 0;
    size_t end = tn_run_end(in, begin, TN_OTHER);
    if (end == begin)
        return 0;
    while (end < in->length && is_line_end(in->text[end]))
        end++;
    return end;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ : up to the last line end of the run of spaces; without one, the complete run at the end of
 * the text, otherwise all but the last space, which belongs to the next piece. */
static size_t spaces(const tn_subject *in)
{
    size_t at = 0, last = 0, after_line_end = 0;
    for (;;) {
        tn_character c = tn_peek(in, at);
        if (c.size == 0 || c.kind != TN_SPACE)
            break;
        last = at;
        at += c.size;
        if (is_line_end(c.code_point))
            after_line_end = at;
    }
    if (after_line_end > 0)
        return after_line_end;
    return at < in->length && last > 0 ? last : at;
}

size_t tn_split_qwen2(const char *text, size_t length)
{
    tn_subject in = { text, length };
    size_t end = contraction(&in);
    if (end > 0)
        return end;
    tn_character first = tn_peek(&in, 0);
    end = word(&in, first);
    if (end > 0)
        return end;
    if (first.kind == TN_NUMBER)
        return first.size;
    end = symbols(&in, first);
    return end > 0 ? end : spaces(&in);
}
