/* The latent step: the rows that are fed next, computed from the state of a sequence. It is written once, in operations;
 * answering (reason/latent.c) and training (reason/training_run.c) call the same function, and in training its rows may carry
 * gradients.
 *
 * A method's step is tn_method.latent_step. The step in this file is that of IVT-LR (arXiv:2510.12603, section 3): picked image
 * embeddings and a hidden state; without picks it is Coconut's (arXiv:2412.06769). */
#ifndef TN_REASON_LATENT_STEP_H
#define TN_REASON_LATENT_STEP_H

#include "reason/look.h"
#include "reason/select.h"

typedef enum tn_latent_text {
    TN_TEXT_KEEP,
    TN_TEXT_DROP,   /* only the picks                                                   */
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
    bool text_first;   /* [h, z], the paper's order; else [z, h], that of the code */
    bool raw_hidden;   /* feed the hidden state before the final norm        */
    bool repick;       /* fill up with used embeddings if fewer than K are left */
    tn_pick_order order;
    tn_latent_text text;
    tn_latent_picks source;
    size_t look[2];    /* width and height of the images that picks are read from; 0: as the prompt shows them (look.h) */
} tn_latent_settings;

/* The picks of one sequence. The caller owns the memory: available [candidates], starts [candidates + 1], picks and first [K], and
 * cells: the rows of all candidates. */
typedef struct tn_choice {
    tn_latent_settings settings;
    size_t candidates;   /* image embeddings of the prompt          */
    bool *available;     /* not picked yet; all true at first       */
    tn_row *cells;       /* the embeddings as rows: those of candidate i are from starts[i] to before starts[i + 1] */
    size_t *starts;
    size_t most;         /* maximum number of rows of a candidate   */
    size_t *picks;       /* picks of the last step: indices of candidates */
    size_t pick_count;
    size_t *first;       /* picks of step one */
    size_t first_count;
    size_t done;         /* steps that were chosen */
    tn_row_ref frozen;   /* the hidden state of step one */
} tn_choice;

/* Sets the rows of the next candidate, in order: cell `cell` of an image of the prompt, as `look` shows it (may be NULL). */
void tn_choice_add(tn_choice *choice, size_t candidate, const tn_image_rows *shown, const tn_image_rows *look, size_t cell);

/* Writes the rows of a candidate [choice->most] and returns their number. */
size_t tn_choice_cells(const tn_choice *choice, size_t candidate, tn_row *cells);

/* The maximum number of rows of a step of picks and a vector. */
static inline size_t tn_choice_rows(const tn_choice *choice)
{
    return choice->settings.picks * choice->most + 1;
}

/* Whether there is another step: fewer than N are done, and it would feed something. */
bool tn_choice_goes_on(const tn_choice *choice);

/* Whether the next step requires attention scores. */
bool tn_choice_needs_scores(const tn_choice *choice);

/* The state before a step. */
typedef struct tn_latent_view {
    tn_ops *ops;
    const tn_network *module; /* the method's module (tn_method.module), or NULL */
    const tn_decoder *decoder; /* for vectors of cells (tn_rows_input) */
    tn_row_ref hidden, raw;  /* the last row after and before the final norm; with a gradient if it may flow */
    const tn_real *scores;   /* [choice->candidates] attention of the last row to the candidates, if tn_choice_needs_scores */
    tn_rng *rng;
    /* For interventions, which replace the hidden state in answering; not used in training. */
    tn_tensor made;          /* [1, C] memory of the replacing row           */
    tn_tensor mean;          /* [1, C] mean of the prompt's rows             */
    const float *given;      /* [given_steps, given_size] rows of the request */
    size_t given_steps, given_size;
} tn_latent_view;

/* The rows of the latent steps of one training example, for a loss of the method (tn_method.batch_loss). */
typedef struct tn_latent_rows {
    const tn_row *rows; /* [count] rows of all steps in order, with gradients */
    size_t count;
    const tn_image_rows *pictures; /* [picture_count] images of the example */
    size_t picture_count;
} tn_latent_rows;

/* Writes the rows of the next step, without positions, to `rows` [tn_choice_rows] and sets their number; choice->picks are
 * the chosen embeddings. Errors: ARGUMENT (a given row is missing). */
tenebra_code tn_latent_step(tn_choice *choice, const tn_latent_view *view, tn_row *rows, size_t *count, tenebra_error *error);

#endif
