/* The latent loop: hidden states and picked image embeddings fed back as input, N times.
 *
 * Shared by the methods that differ only in their options. Source: arXiv:2510.12603, section 3;
 * without vision it is Coconut, arXiv:2412.06769. */
#ifndef TN_REASON_LATENT_H
#define TN_REASON_LATENT_H

#include "reason/reasoner.h"
#include "reason/select.h"

typedef enum tn_latent_text {
    TN_TEXT_KEEP,
    TN_TEXT_DROP,   /* the ablation "no latent text"                                    */
    TN_TEXT_ZERO,
    TN_TEXT_NOISE,  /* Gaussian of the same norm                                        */
    TN_TEXT_MEAN,   /* mean of the prompt's hidden states after the final norm          */
    TN_TEXT_FROZEN  /* the hidden state of step one at every step                       */
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

/* Takes the loop's state. Call from a method's open. Errors: LIMIT. */
tenebra_code tn_latent_open(tn_reasoner *reasoner, const tn_latent_settings *settings, tenebra_error *error);

/* A method's `next`: N latent passes, then the answer. */
tenebra_code tn_latent_next(tn_reasoner *reasoner, tn_action *action, tenebra_error *error);

#endif
