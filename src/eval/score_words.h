/* Answers as text, compared as a whole: for scorers of open questions. */
#ifndef TN_EVAL_SCORE_WORDS_H
#define TN_EVAL_SCORE_WORDS_H

#include "eval/score_text.h"

/* Appends a text in the form for comparison. Errors: MEMORY. */
typedef tenebra_code tn_words_form_fn(tn_text *out, tn_slice text, tenebra_error *error);

/* The verdict: for an open question, correct if the text is one of its correct answers (label and answers); for one
 * with options, the option whose text, letter or index it is. `text` is the answer, `part` a part of it that may count
 * as the answer (or all of it). Empty texts match nothing. Errors: MEMORY. */
tenebra_code tn_words_judge(tn_verdict *verdict, const tn_scored *answer, tn_slice text, tn_slice part, tn_words_form_fn *form,
                            tenebra_error *error);

#endif
