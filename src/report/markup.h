/* A page under construction. Texts from outside (questions, answers, names of files) must go through tn_markup_text or
 * tn_markup_json and no other function. */
#ifndef TN_REPORT_MARKUP_H
#define TN_REPORT_MARKUP_H

#include "base/json.h"
#include "text/utf8.h"

/* A zeroed record is empty. `full`: an allocation failed and the page is incomplete; all functions remain safe to call. */
typedef struct tn_markup {
    tn_text text;
    bool full;
} tn_markup;

void tn_markup_free(tn_markup *out);

/* Adds our own markup unchanged. */
void tn_markup_put(tn_markup *out, const char *markup);
void tn_markup_bytes(tn_markup *out, const void *bytes, size_t length);
/* Adds formatted markup of our own; at most 1023 bytes. */
void tn_markup_format(tn_markup *out, const char *format, ...) TN_PRINTF(2, 3);

/* Adds any bytes as text of an element or of a quoted attribute: & < > " ' become references; invalid UTF-8, and
 * control characters except tab and line ends, become U+FFFD. NULL adds nothing. */
void tn_markup_text(tn_markup *out, const char *text);
void tn_markup_text_bytes(tn_markup *out, const char *text, size_t length);

/* Adds JSON for the inside of a script element: ASCII, without any < > & in it. NULL counts as a failed allocation. */
void tn_markup_json(tn_markup *out, const json_t *value);

/* Adds bytes in base64 (RFC 4648, section 4). */
void tn_markup_base64(tn_markup *out, const void *bytes, size_t length);

/* A JSON string of any text; invalid UTF-8 becomes U+FFFD. NULL gives null. The caller owns it; NULL without memory. */
json_t *tn_markup_string(const char *text);

#endif
