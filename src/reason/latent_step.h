/* The latent step: the rows that are fed next, from what is known of a sequence. It is written once, in operations, so that
 * answering (reason/latent.c) and training (reason/teach_run.c) call the same function; in training its rows may carry gradients.
 *
 * A method names its step in tn_method.latent_step. The one here is that of IVT-LR (arXiv:2510.12603, section 3): picked image
 * embeddings and a hidden state; without picks it is Coconut's (arXiv:2412.06769). */
#ifndef TN_REASON_LATENT_STEP_H
#define TN_REASON_LATENT_STEP_H

#include "model/row.h"
#include "reason/select.h"

typedef enum tn_latent_text {
    TN_TEXT_KEEP,
    TN_TEXT_DROP,   /* picks alone                                                      */
    TN_TEXT_ZERO,
    TN_TEXT_NOISE,  /* Gaussian of the same norm                                        */
    TN_TEXT_MEAN,   /* mean of the prompt's hidden states after the final norm          */
    TN_TEXT_FROZEN, /* the hidden state of step one at every step                       */
    TN_TEXT_SHUFFLE, /* its entries in random order: same values, same norm             */
    TN_TEXT_GIVEN    /* rows of the request                                             */
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

/* The picks of one sequence. Memory is the caller's: available and cells [candidates], picks and first [K]. */
typedef struct tn_choice {
    tn_latent_settings settings;
    size_t candidates;   /* image embeddings of the prompt          */
    bool *available;     /* not picked yet; all true at first       */
    tn_row *cells;       /* them as rows                            */
    size_t *picks;       /* of the last step: indices of candidates */
    size_t pick_count;
    size_t *first;       /* of step one */
    size_t first_count;
    size_t done;         /* steps that were chosen */
    tn_row_ref frozen;   /* the hidden state of step one */
} tn_choice;

/* Whether there is another step: fewer than N are done, and it would feed something. */
bool tn_choice_goes_on(const tn_choice *choice);

/* Whether attention scores are wanted before the next step. */
bool tn_choice_needs_scores(const tn_choice *choice);

/* What is known before a step. */
typedef struct tn_latent_view {
    tn_ops *ops;
    const tn_network *module; /* the method's (tn_method.module), or NULL */
    const tn_decoder *decoder; /* for the vectors of cells: tn_rows_input */
    tn_row_ref hidden, raw;  /* the last row after and before the final norm; with a gradient where it may flow */
    const tn_real *scores;   /* [choice->candidates] attention of the last row to them, where tn_choice_needs_scores says so */
    tn_rng *rng;
    /* For interventions, which stand in for the hidden state in answering; training has none of it. */
    tn_tensor made;          /* [1, C] memory of the row that they make      */
    tn_tensor mean;          /* [1, C] of the prompt's rows                  */
    const float *given;      /* [given_steps, given_size] rows of the request */
    size_t given_steps, given_size;
} tn_latent_view;

/* What the latent steps of one training example laid, for a loss of the method (tn_method.batch_loss). */
typedef struct tn_latent_rows {
    const tn_row *rows; /* [count] of all steps, in order; with gradients */
    size_t count;
    const tn_image_rows *pictures; /* [picture_count] of the example */
    size_t picture_count;
} tn_latent_rows;

/* Writes the rows of the next step to `rows` [settings.picks + 1], without positions, and how many there are; choice->picks
 * are those that were chosen. Errors: ARGUMENT (no given row). */
tenebra_code tn_latent_step(tn_choice *choice, const tn_latent_view *view, tn_row *rows, size_t *count, tenebra_error *error);

#endif
