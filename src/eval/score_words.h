/* Answers in words, compared as a whole: for scorers of open questions. */
#ifndef TN_EVAL_SCORE_WORDS_H
#define TN_EVAL_SCORE_WORDS_H

#include "eval/score_text.h"

/* Appends a text in the form in which texts are compared. Errors: MEMORY. */
typedef tenebra_code tn_words_form_fn(tn_text *out, tn_slice text, tenebra_error *error);

/* The verdict: of an open question right if the text is one of its right answers (label and answers); of one with options the
 * option whose text, letter or index it is. `text` is the answer, `part` a part of it that may stand for it (or all of it).
 * Empty forms are equal to nothing. Errors: MEMORY. */
tenebra_code tn_words_judge(tn_verdict *verdict, const tn_scored *answer, tn_slice text, tn_slice part, tn_words_form_fn *form,
                            tenebra_error *error);

#endif
