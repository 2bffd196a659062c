/* Answers without what only dresses them: TeX around words, HTML and Markdown of emphasis, letters of other widths. For scorers
 * of our own making, which read options and answers in this form alike. */
#ifndef TN_EVAL_SCORE_PLAIN_H
#define TN_EVAL_SCORE_PLAIN_H

#include "eval/score_text.h"

/* Appends `text` in plain form:
 *   - full-width, mathematical, circled and parenthesised letters, and brackets and stops of Chinese and Japanese, become ASCII;
 *     characters of no width go
 *   - $...$, $$...$$, \(...\), \[...\] lose their marks, \text{...}, \mathrm{...}, \textbf{...} and the like stand for what is in
 *     them; \boxed{...} and \fbox{...} become \boxed{...}, also where the braces are left out; \left, \right and spaces go
 *   - pairs of HTML tags that emphasise go, and of underscores around words; so do marks of headings and lists at the start of a line
 * A dollar that opens no formula stays: it opens one where no white space follows, and closes it where none stands before and no
 * digit behind (Pandoc's rule). Linear in the text. Errors: MEMORY. */
tenebra_code tn_plain_text(tn_text *out, tn_slice text, tenebra_error *error);

#endif
