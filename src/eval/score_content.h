/* What a short piece of text in the place of an answer names: an option's letter, its text, its index, or the text of
 * an open answer. For our own scorers. Threads: any. */
#ifndef TN_EVAL_SCORE_CONTENT_H
#define TN_EVAL_SCORE_CONTENT_H

#include "eval/score_text.h"

/* A question's options in the form for comparison, in plain form (score_plain.h) without surrounding marks; and the
 * answer. Free it with tn_content_close, also if it is zeroed. */
typedef struct tn_content {
    const tn_sample *sample;
    size_t letters; /* the number of options that letters can name */
    tn_text texts;  /* one after the other; for an open question its correct answers                 */
    tn_text lower;  /* the same in lower case                                                        */
    size_t *ends;   /* [2, count] the end of each in `texts`, and in `lower`                         */
    size_t count;
    size_t longest; /* bytes in lower case */
    tn_text answer; /* the answer's text, if it has one */
} tn_content;

/* Errors: MEMORY; *content is then empty. */
tenebra_code tn_content_open(tn_content *content, const tn_scored *answer, tenebra_error *error);
void tn_content_close(tn_content *content);

/* The answer's text in plain form. Valid until the content is closed. */
tn_slice tn_content_text(const tn_content *content);

/* The end of the white space, quotes, emphasis and brackets that start at `at`. */
size_t tn_skip_marks(tn_slice text, size_t at);

/* The option whose letter is at `at`, as a separate word and possibly between marks; *end is set to its end, including
 * closing marks but no white space. A small letter counts only in brackets or at the end of a line, "A" not if it reads
 * as an article. TN_NO_CHOICE: none. */
long tn_content_letter(const tn_content *content, tn_slice text, size_t at, size_t *end);

/* The end of "option", "the choice", "letter" and similar words at `at`, which announce a letter; 0: none. */
size_t tn_content_kind(tn_slice text, size_t at);

/* True if the letter of `choice`, which ends at `at`, is followed by another option's as an alternative: "or B", ", B". */
bool tn_content_hedged(const tn_content *content, tn_slice text, size_t at, long choice);

/* The option that the start of `text` names by its text (the longest that matches; among these preferably one in the
 * same case), or by its index if labels are indices. TN_NO_CHOICE: none. Options of an open question are its correct
 * answers. *length is set to the number of matched bytes. Errors: MEMORY. */
tenebra_code tn_content_start(const tn_content *content, tn_slice text, long *choice, size_t *length, tenebra_error *error);

/* The end of the text of option `choice` at `at`, after its letter and stops; `at` if other words are there. Errors:
 * MEMORY. */
tenebra_code tn_content_skip_text(const tn_content *content, tn_slice text, size_t at, long choice, size_t *end, tenebra_error *error);

/* The option that `text` as a whole names: "C", "(C)", "**C**", "option C", "C. and more", its text, its index; none if
 * it lists several with their texts. Errors: MEMORY. */
tenebra_code tn_content_whole(const tn_content *content, tn_slice text, long *choice, tenebra_error *error);

/* The same for a part of the original answer, not yet in plain form. Errors: MEMORY. */
tenebra_code tn_content_written(const tn_content *content, tn_slice text, long *choice, tenebra_error *error);

/* The verdict for the result of one of these; `found` says whether there was an answer at all (an open question can be
 * answered with a wrong text). */
void tn_content_verdict(tn_verdict *verdict, const tn_scored *answer, long choice, bool found);

#endif
