/* Scorers: which answer a text gives, and whether it is correct.
 *
 *     const tn_scorer *scorer = tn_scorer_find("NAME");            (tn_scorer_standard() is ours)
 *     tn_scored answer = { .sample = sample, .text = { bytes, length } };
 *     tn_verdict verdict;
 *     code = scorer->judge(&verdict, &answer, 0, &error);
 *
 * A scorer is one file of scorers/, found by the build (cmake/registry.cmake): `const tn_scorer tn_scorer_<stem>`.
 * Scorers that repeat a published program say so, and repeat its mistakes, too. */
#ifndef TN_EVAL_SCORE_H
#define TN_EVAL_SCORE_H

#include "data/sample.h"

/* Text: valid UTF-8 that may contain zeros. */
typedef struct tn_slice {
    const char *bytes; /* NULL: none */
    size_t length;
} tn_slice;

#define TN_SLICE(text) ((tn_slice){ (text), strlen(text) })

/* No option: an index of this value. */
#define TN_NO_CHOICE (-1L)

/* One answered question. */
typedef struct tn_scored {
    /* Scorers use its question, options and label. option_count 0: the options are not known, or the question is open.
     * label: the correct answer as published: a letter "B", the option's index "1", or the text of an open answer. */
    const tn_sample *sample;
    tn_slice text;   /* the generated text; bytes NULL: not known                                       */
    tn_slice prompt; /* the user's turn; NULL: not known, made from question and options if needed      */
    size_t option_limit; /* number of options if the sample does not have them; 0: not known */
    bool chosen;     /* a program has already made an index of the text ...                             */
    long choice;     /* ... this one, any number                                                        */
} tn_scored;

typedef struct tn_verdict {
    bool correct;
    bool found;       /* the text gives an answer, correct or not */
    long choice;      /* index of the answer found, also outside the options; TN_NO_CHOICE: none, or several (of a
                       * scorer that collects them), or text (open questions) */
    uint32_t letters; /* all letters found, bit 0 is A (scorers of letters)                                        */
} tn_verdict;

typedef struct tn_scorer {
    const char *name, *summary;
    bool standard;               /* ours, the default                                                           */
    const char *for_words;       /* NAME:VARIANT for answers in words, any of which is an answer; or NULL       */
    bool by_choice;              /* can also judge answers that have a choice and no text                       */
    const char *const *variants; /* names of its variants, the default first, ends with NULL; or NULL */

    /* Scores one answer with variant `variant` (0 if there are none). The text's bytes exist, or by_choice and chosen.
     * Work is linear in the text's length, or that times the options'. Errors: MEMORY. Threads: any. */
    tenebra_code (*judge)(tn_verdict *verdict, const tn_scored *answer, size_t variant, tenebra_error *error);
} tn_scorer;

/* All scorers, NULL-terminated; one by name, NULL if there is none; the standard one; what is for answers in words, NULL if none is. */
extern const tn_scorer *const tn_scorers[];
const tn_scorer *tn_scorer_find(const char *name);
const tn_scorer *tn_scorer_standard(void);
const char *tn_scorer_for_words(void);

/* "NAME" or "NAME:VARIANT" with its index. Errors: ARGUMENT, which lists the names. */
tenebra_code tn_scorer_choose(const char *name, const tn_scorer **scorer, size_t *variant, tenebra_error *error);

/* The number of the question's options; 0: not known, or an open question. */
size_t tn_option_count(const tn_scored *answer);

/* A verdict for the answer with this index: correct if the label names it. */
void tn_verdict_choose(tn_verdict *verdict, const tn_scored *answer, long choice);

/* The index of a label that is one letter (A-Z) or digits; TN_NO_CHOICE for text. */
long tn_label_index(const char *label);

/* True if the label is an index in digits, as some data sets publish. */
bool tn_label_is_index(const char *label);

#endif
