/* What a short piece of text, found where an answer belongs, names: an option's letter, its text, its index, or the words of
 * an open answer. For scorers of our own making. Threads: any. */
#ifndef TN_EVAL_SCORE_CONTENT_H
#define TN_EVAL_SCORE_CONTENT_H

#include "eval/score_text.h"

/* A question's options as they are compared, in plain form (score_plain.h) with marks around them cut off; and the answer.
 * Freed with tn_content_close, also a zeroed one. */
typedef struct tn_content {
    const tn_sample *sample;
    size_t letters; /* so many options can be named by letter */
    tn_text texts;  /* one after the other; of an open question its right answers stand for options  */
    tn_text lower;  /* the same in lower case                                                        */
    size_t *ends;   /* [2, count] where each ends in `texts`, and in `lower`                         */
    size_t count;
    size_t longest; /* bytes in lower case */
    tn_text answer; /* the answer's text, where it has one */
} tn_content;

/* Errors: MEMORY; *content is empty then. */
tenebra_code tn_content_open(tn_content *content, const tn_scored *answer, tenebra_error *error);
void tn_content_close(tn_content *content);

/* The answer's text in plain form. Valid until the content is closed. */
tn_slice tn_content_text(const tn_content *content);

/* Where white space, quotes, emphasis and brackets that begin at `at` end. */
size_t tn_skip_marks(tn_slice text, size_t at);

/* The option whose letter stands at `at`, alone as a word and perhaps between marks; *end takes where it ends, closing
 * marks but no white space included. A small letter counts only in brackets or at the end of a line, "A" not where it reads as an article.
 * TN_NO_CHOICE: there is none. */
long tn_content_letter(const tn_content *content, tn_slice text, size_t at, size_t *end);

/* Where "option", "the choice", "letter" and the like at `at`, which announce a letter, end; 0: there are none. */
size_t tn_content_kind(tn_slice text, size_t at);

/* Whether the letter of `choice`, which ends at `at`, is followed by another option's as an alternative: "or B", ", B". */
bool tn_content_hedged(const tn_content *content, tn_slice text, size_t at, long choice);

/* The option that the beginning of `text` names by its text (the longest that fits, of these rather one in the same case),
 * or by its index where labels are indices. TN_NO_CHOICE: none. Options of an open question are its right answers. *length takes the
 * bytes that the text takes. Errors: MEMORY. */
tenebra_code tn_content_start(const tn_content *content, tn_slice text, long *choice, size_t *length, tenebra_error *error);

/* Where the text of option `choice` that stands at `at`, behind its letter and stops, ends; `at` where other words stand there.
 * Errors: MEMORY. */
tenebra_code tn_content_skip_text(const tn_content *content, tn_slice text, size_t at, long choice, size_t *end, tenebra_error *error);

/* The option that all of `text` names: "C", "(C)", "**C**", "option C", "C. and more", its text, its index; none where it lists
 * several with their texts. Errors: MEMORY. */
tenebra_code tn_content_whole(const tn_content *content, tn_slice text, long *choice, tenebra_error *error);

/* The same for a part of the answer as it was written, not yet in plain form. Errors: MEMORY. */
tenebra_code tn_content_written(const tn_content *content, tn_slice text, long *choice, tenebra_error *error);

/* The verdict for what one of these found; `found` says whether there was an answer at all (an open question can be
 * answered in wrong words). */
void tn_content_verdict(tn_verdict *verdict, const tn_scored *answer, long choice, bool found);

#endif
