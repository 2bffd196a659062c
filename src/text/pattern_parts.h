/* Between the files of pattern.h. */
#ifndef TN_TEXT_PATTERN_PARTS_H
#define TN_TEXT_PATTERN_PARTS_H

#include "text/utf8.h"

/* Appends the regular expression `text` as PCRE2 writes it (to be compiled with PCRE2_MULTILINE). Errors: UNSUPPORTED (names what
 * is), MEMORY. */
tenebra_code tn_pattern_read(const char *text, size_t length, const char *name, tn_text *out, tenebra_error *error);

#endif
