/* A page under construction. What comes from elsewhere (questions, answers, names of files) goes through
 * tn_markup_text or tn_markup_json; nothing else may carry it. */
#ifndef TN_REPORT_MARKUP_H
#define TN_REPORT_MARKUP_H

#include "base/json.h"
#include "text/utf8.h"

/* Zeroed is empty. `full`: there was no memory, and the page is not whole; all functions go on without harm. */
typedef struct tn_markup {
    tn_text text;
    bool full;
} tn_markup;

void tn_markup_free(tn_markup *out);

/* Our own markup, as it is. */
void tn_markup_put(tn_markup *out, const char *markup);
void tn_markup_bytes(tn_markup *out, const void *bytes, size_t length);
/* Markup with numbers and our own words; at most 1023 bytes. */
void tn_markup_format(tn_markup *out, const char *format, ...) TN_PRINTF(2, 3);

/* Any bytes, as text of an element or of a quoted attribute: & < > " ' become references, what is no UTF-8, and control
 * characters other than tab and line ends, U+FFFD. NULL: nothing. */
void tn_markup_text(tn_markup *out, const char *text);
void tn_markup_text_bytes(tn_markup *out, const char *text, size_t length);

/* JSON for the inside of a script element: ASCII, without any < > & in it. NULL: no memory. */
void tn_markup_json(tn_markup *out, const json_t *value);

/* Bytes in base64 (RFC 4648, section 4). */
void tn_markup_base64(tn_markup *out, const void *bytes, size_t length);

/* A JSON string of any text: what is no UTF-8 becomes U+FFFD. NULL gives null. The caller owns it; NULL: no memory. */
json_t *tn_markup_string(const char *text);

#endif
