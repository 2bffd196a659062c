/* What the splitters without a regular expression share: the characters of a text and their classes. */
#ifndef TN_TEXT_SPLIT_PARTS_H
#define TN_TEXT_SPLIT_PARTS_H

#include "text/split.h"
#include "text/unicode.h"
#include "text/utf8.h"

typedef struct tn_subject {
    const char *text;
    size_t length;
} tn_subject;

typedef struct tn_character {
    int32_t code_point; /* -1 at the end */
    size_t size;
    tn_char_class kind;
} tn_character;

static inline tn_char_class tn_class_of(int32_t c)
{
    if (c >= 0x80)
        return tn_unicode_class(c);
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return TN_LETTER;
    if (c >= '0' && c <= '9')
        return TN_NUMBER;
    return c == ' ' || (c >= '\t' && c <= '\r') ? TN_SPACE : TN_OTHER;
}

static inline tn_character tn_peek(const tn_subject *in, size_t at)
{
    tn_character c = { -1, 0, TN_OTHER };
    if (at >= in->length)
        return c;
    c.size = tn_utf8_read(in->text + at, in->length - at, &c.code_point);
    c.kind = tn_class_of(c.code_point);
    return c;
}

/* End of the run of characters of one class that starts at `at`. */
static inline size_t tn_run_end(const tn_subject *in, size_t at, tn_char_class kind)
{
    for (;;) {
        tn_character c = tn_peek(in, at);
        if (c.size == 0 || c.kind != kind)
            return at;
        at += c.size;
    }
}

#endif
