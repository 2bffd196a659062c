/* Answers without markup: TeX around words, HTML and Markdown emphasis, letters of other widths. For our own scorers,
 * which read options and answers in the same form. */
#ifndef TN_EVAL_SCORE_PLAIN_H
#define TN_EVAL_SCORE_PLAIN_H

#include "eval/score_text.h"

/* Appends `text` in plain form:
 *   - full-width, mathematical, circled and parenthesised letters, and Chinese and Japanese brackets and stops, become ASCII;
 *     zero-width characters are removed
 *   - $...$, $$...$$, \(...\), \[...\] lose their marks; \text{...}, \mathrm{...}, \textbf{...} and similar commands are
 *     replaced by their contents; \boxed{...} and \fbox{...} become \boxed{...}, also without braces; \left, \right and
 *     spaces are removed
 *   - pairs of emphasis tags in HTML, and of underscores around words, are removed, and so are marks of headings and lists at
 *     the start of a line
 * A dollar that opens no formula is kept: it opens one if no white space follows, and closes one if no white space is
 * before it and no digit after it (Pandoc's rule). Linear in the text. Errors: MEMORY. */
tenebra_code tn_plain_text(tn_text *out, tn_slice text, tenebra_error *error);

#endif
