/* The byte order mark that some editors put before a text in UTF-8. */
#ifndef TN_BASE_MARK_H
#define TN_BASE_MARK_H

#include <stddef.h>
#include <string.h>

/* Bytes of U+FEFF at the start of a text: 3, or 0 without it. RFC 8259, section 8.1, lets readers of JSON skip it. */
static inline size_t tn_mark_length(const void *text, size_t length)
{
    return length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}

#endif
