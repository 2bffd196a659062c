/* Scorers: what answer a text gives, and whether it is the right one.
 *
 *     const tn_scorer *scorer = tn_scorer_find("NAME");            (tn_scorer_standard() is ours)
 *     tn_scored answer = { .sample = sample, .text = { bytes, length } };
 *     tn_verdict verdict;
 *     code = scorer->judge(&verdict, &answer, 0, &error);
 *
 * A scorer is one file of scorers/, found by the build (cmake/registry.cmake): `const tn_scorer tn_scorer_<stem>`. Those
 * that repeat a published program say so, and repeat its mistakes too. */
#ifndef TN_EVAL_SCORE_H
#define TN_EVAL_SCORE_H

#include "data/sample.h"

/* Text: valid UTF-8 that may hold zeros. */
typedef struct tn_slice {
    const char *bytes; /* NULL: there is none */
    size_t length;
} tn_slice;

#define TN_SLICE(text) ((tn_slice){ (text), strlen(text) })

/* No option: an index of this value. */
#define TN_NO_CHOICE (-1L)

/* One answered question. */
typedef struct tn_scored {
    /* Of it scorers look at: question, options, label. option_count 0: the options are not known, or the question is open.
     * label: the right answer as published: a letter "B", the option's index "1", or words of an open answer. */
    const tn_sample *sample;
    tn_slice text;   /* what was generated; bytes NULL: not known                                       */
    tn_slice prompt; /* the user's turn; NULL: not known, made from question and options where needed   */
    size_t option_limit; /* how many options there are where the sample does not tell them; 0: not known */
    bool chosen;     /* a program has already made an index of the text ...                             */
    long choice;     /* ... this one, any number                                                        */
} tn_scored;

typedef struct tn_verdict {
    bool correct;
    bool found;       /* the text gives an answer at all, right or not */
    long choice;      /* index of the answer found, also outside of the options; TN_NO_CHOICE: none, or several
                       * (of a scorer that collects them), or words (open questions)                 */
    uint32_t letters; /* all letters found, bit 0 is A (scorers of letters)                                        */
} tn_verdict;

typedef struct tn_scorer {
    const char *name, *summary;
    bool standard;               /* ours, where nothing else is asked for                                       */
    bool by_choice;              /* can also judge answers that have a choice and no text                       */
    const char *const *variants; /* names of the ways it exists in, the usual one first, ends with NULL; or NULL */

    /* Judges one answer in variant `variant` (0 where there are none). The text's bytes are there, or by_choice and chosen.
     * Work is linear in the text's length, or times the options'. Errors: MEMORY. Threads: any. */
    tenebra_code (*judge)(tn_verdict *verdict, const tn_scored *answer, size_t variant, tenebra_error *error);
} tn_scorer;

/* All scorers, NULL-terminated; one by name, NULL if there is none; and the standard one. */
extern const tn_scorer *const tn_scorers[];
const tn_scorer *tn_scorer_find(const char *name);
const tn_scorer *tn_scorer_standard(void);

/* "NAME" or "NAME:VARIANT" with its index. Errors: ARGUMENT, with the names that there are. */
tenebra_code tn_scorer_choose(const char *name, const tn_scorer **scorer, size_t *variant, tenebra_error *error);

/* How many options the question has; 0: not known, or an open question. */
size_t tn_option_count(const tn_scored *answer);

/* A verdict for the answer with this index: right if the label names it. */
void tn_verdict_choose(tn_verdict *verdict, const tn_scored *answer, long choice);

/* The index that a label of one letter (A-Z) or of digits names; TN_NO_CHOICE for words. */
long tn_label_index(const char *label);

/* Whether it is an index in digits, as some sets publish. */
bool tn_label_is_index(const char *label);

#endif
