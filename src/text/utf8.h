/* UTF-8 and growable byte strings. Source: The Unicode Standard 16, section 3.9, table 3-7. */
#ifndef TN_TEXT_UTF8_H
#define TN_TEXT_UTF8_H

#include "base/status.h"

/* A zeroed record is empty. `data` is owned and, after the first append, followed by a zero byte that does not count;
 * the text itself may contain zeros. */
typedef struct tn_text {
    char *data;
    size_t length, capacity;
} tn_text;

/* Appends. On failure the text is unchanged. Errors: MEMORY, LIMIT. */
tenebra_code tn_text_append(tn_text *text, const char *bytes, size_t length, tenebra_error *error);
/* `count` copies of `byte`. */
tenebra_code tn_text_fill(tn_text *text, char byte, size_t count, tenebra_error *error);
/* Frees and empties. A zeroed text may be freed. */
void tn_text_free(tn_text *text);

/* Values for bytes that are not a code point. */
enum { TN_UTF8_ILL_FORMED = -1, TN_UTF8_CUT = -2 };

/* The code point at `bytes` (length >= 1), and its length in bytes (1..4). If the bytes are ill-formed: the longest
 * start of a well-formed sequence, or one byte, with *code_point = TN_UTF8_ILL_FORMED; the same with TN_UTF8_CUT if the
 * sequence is only truncated by the end of the bytes. Threads: any. */
size_t tn_utf8_read(const char *bytes, size_t length, int32_t *code_point);

/* Writes a code point (a Unicode scalar value) and returns its bytes, 1..4. */
size_t tn_utf8_write(int32_t code_point, char bytes[4]);

bool tn_utf8_valid(const char *bytes, size_t length);

/* Appends `bytes` with U+FFFD for each maximal ill-formed part. */
tenebra_code tn_text_append_lossy(tn_text *text, const char *bytes, size_t length, tenebra_error *error);

/* Bytes in a form suitable for an error: control characters and invalid bytes are escaped, and "..." follows about the
 * first 80 bytes. Returns `shown`, zero-terminated. */
enum { TN_SHOWN_SIZE = 96 };
const char *tn_text_show(const char *bytes, size_t length, char shown[TN_SHOWN_SIZE]);

#define TN_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

#endif
