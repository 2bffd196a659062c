/* Text of others as a terminal may show it: what it would obey instead is written as an escape. */
#ifndef TN_TEXT_VISIBLE_H
#define TN_TEXT_VISIBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether a terminal may act on a code point instead of showing it: controls, and overrides of the writing direction. Line ends and
 * tabs are what they are. */
bool tn_visible_is_active(int32_t code_point);

/* The longest escape, with its zero. */
enum { TN_VISIBLE_ESCAPE = 20 };

/* The escape of `size` bytes of a text: "\\u001b" for a code point, or "\\xff" for invalid bytes (a negative code point). */
const char *tn_visible_escape(int32_t code_point, const char *bytes, size_t size, char escape[TN_VISIBLE_ESCAPE]);

/* A text on one line: active code points, line ends, tabs and stray bytes as escapes, as much as fits into `line` [room > 0]. */
void tn_visible_line(const char *text, char *line, size_t room);

/* Columns of a terminal that a text takes: none for marks that combine, two for wide characters (Unicode, East Asian Width). */
size_t tn_visible_width(const char *text);

#endif
