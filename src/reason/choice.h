/* What a latent step feeds: which image embeddings, whether a hidden state, and in which order. One rule, for
 * answering (reason/latent.c) and for training (reason/teach.c). */
#ifndef TN_REASON_CHOICE_H
#define TN_REASON_CHOICE_H

#include "reason/select.h"

typedef enum tn_latent_text {
    TN_TEXT_KEEP,
    TN_TEXT_DROP,   /* picks alone                                                      */
    TN_TEXT_ZERO,
    TN_TEXT_NOISE,  /* Gaussian of the same norm                                        */
    TN_TEXT_MEAN,   /* mean of the prompt's hidden states after the final norm          */
    TN_TEXT_FROZEN, /* the hidden state of step one at every step                       */
    TN_TEXT_SHUFFLE, /* its entries in random order: same values, same norm             */
    TN_TEXT_GIVEN   /* rows of the request                                              */
} tn_latent_text;

typedef enum tn_latent_picks {
    TN_PICKS_TOP,
    TN_PICKS_RANDOM,
    TN_PICKS_LOWEST,
    TN_PICKS_REPEAT, /* those of step one at every step */
    TN_PICKS_NONE    /* the ablation "no latent vision" */
} tn_latent_picks;

typedef struct tn_latent_settings {
    size_t steps;      /* N */
    size_t picks;      /* K */
    bool text_first;   /* [h, z]: the paper's order; else [z, h]: the code's */
    bool raw_hidden;   /* feed the hidden state before the final norm        */
    bool repick;       /* fill up with used embeddings when fewer than K are left */
    tn_pick_order order;
    tn_latent_text text;
    tn_latent_picks source;
} tn_latent_settings;

/* The picks of one sequence. Memory is the caller's: available [candidates], picks and first [K]. */
typedef struct tn_choice {
    tn_latent_settings settings;
    size_t candidates;   /* image embeddings of the prompt          */
    bool *available;     /* not picked yet; all true at first       */
    size_t *picks;       /* of the last step: indices of candidates */
    size_t pick_count;
    size_t *first;       /* of step one */
    size_t first_count;
    size_t done;         /* steps that were chosen */
} tn_choice;

/* Whether there is another step: fewer than N are done, and it would feed something. */
bool tn_choice_goes_on(const tn_choice *choice);

/* Chooses the next step's embeddings. scores [candidates] are read only where `source` goes by them. */
void tn_choice_next(tn_choice *choice, const tn_real *scores, tn_rng *rng);

/* Whether attention scores are wanted before the next step. */
bool tn_choice_needs_scores(const tn_choice *choice);

/* Rows that the step feeds, and row `row` of them: the hidden state, or *pick of the candidates. */
size_t tn_choice_rows(const tn_choice *choice);
bool tn_choice_is_text(const tn_choice *choice, size_t row, size_t *pick);

#endif
