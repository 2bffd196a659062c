/* Regular expressions of tokenizers are written for Oniguruma in its syntax for Ruby. This makes one for PCRE2 of them, with the same
 * meaning; what means something else in the two, or depends on their tables of word characters, is refused by name. */
#include "text/pattern_parts.h"

#include <string.h>

typedef struct reading {
    const char *text;
    size_t length, at;
    bool in_class;
    tn_text *out;
    const char *name;
    tenebra_error *error;
} reading;

static tenebra_code refuse(const reading *r, size_t length)
{
    return tn_fail(r->error, TENEBRA_ERROR_UNSUPPORTED, r->name, "the pattern contains \"%.*s\" (at byte %zu), which is not supported",
                   (int)length, r->text + r->at, r->at);
}

static tenebra_code copy(reading *r, size_t length)
{
    TN_TRY(tn_text_append(r->out, r->text + r->at, length, r->error));
    r->at += length;
    return TENEBRA_OK;
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* \s and \S are about white space as Unicode defines it (for PCRE2, U+180E is some, too). */
static tenebra_code read_escape(reading *r)
{
    static const char same[] = "dDpPtnrfaexAzZ";
    if (r->at + 1 == r->length)
        return copy(r, 1); /* the compiler says what is wrong */
    char c = r->text[r->at + 1];
    if (c == 's' || c == 'S') {
        const char *property = c == 's' ? "\\p{White_Space}" : "\\P{White_Space}";
        r->at += 2;
        return tn_text_append(r->out, property, strlen(property), r->error);
    }
    if (is_letter_or_digit(c) && strchr(same, c) == NULL)
        return refuse(r, 2);
    return copy(r, 2);
}

/* Of flags, only i means the same. */
static tenebra_code read_group(reading *r)
{
    if (r->length - r->at < 3 || r->text[r->at + 1] != '?')
        return copy(r, 1);
    size_t end = r->at + 2;
    while (end < r->length && (r->text[end] == 'i' || r->text[end] == '-'))
        end++;
    bool flags = end > r->at + 2 && end < r->length && (r->text[end] == ':' || r->text[end] == ')');
    bool around = r->text[r->at + 2] == '<' && r->length - r->at > 3 && (r->text[r->at + 3] == '=' || r->text[r->at + 3] == '!');
    if (!flags && !around && strchr(":=!>", r->text[r->at + 2]) == NULL)
        return refuse(r, 3);
    return copy(r, 2);
}

/* Sets inside of sets, their intersections, and named sets are written differently. */
static tenebra_code read_in_class(reading *r)
{
    char c = r->text[r->at];
    if (c == '[' || (c == '&' && r->at + 1 < r->length && r->text[r->at + 1] == '&'))
        return refuse(r, r->length - r->at > 1 ? 2 : 1);
    r->in_class = c != ']';
    return copy(r, 1);
}

/* The bracket, "^", and a "]" that is the first member. */
static tenebra_code open_class(reading *r)
{
    r->in_class = true;
    TN_TRY(copy(r, 1));
    if (r->at < r->length && r->text[r->at] == '^')
        TN_TRY(copy(r, 1));
    return r->at < r->length && r->text[r->at] == ']' ? copy(r, 1) : TENEBRA_OK;
}

tenebra_code tn_pattern_read(const char *text, size_t length, const char *name, tn_text *out, tenebra_error *error)
{
    reading r = { .text = text, .length = length, .out = out, .name = name, .error = error };
    while (r.at < length) {
        char c = text[r.at];
        if (c == '\\')
            TN_TRY(read_escape(&r));
        else if (r.in_class)
            TN_TRY(read_in_class(&r));
        else if (c == '[')
            TN_TRY(open_class(&r));
        else if (c == '(')
            TN_TRY(read_group(&r));
        else
            TN_TRY(copy(&r, 1));
    }
    return TENEBRA_OK;
}
