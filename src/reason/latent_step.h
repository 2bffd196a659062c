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
    TN_PICKS_NONE,   /* the ablation "no latent vision" */
    TN_PICKS_ALL     /* all embeddings in every step, which then has no picks of its own; for steps that only read */
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
    bool reads;        /* a step reads its picks and feeds one row, its vector */
    bool returns;      /* an embedding may be picked again in a later step */
    double alike;      /* answering: stop after a step, the second or a later one, whose vector has a cosine above 1 - alike with the
                        * one before; 0: never */
    const void *own;   /* settings of one method, which outlive the question or the training; NULL: none */
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
    tn_row_ref text;     /* the vector of the last step, before an intervention */
    tn_row_ref *thoughts; /* [settings.steps] vectors that the steps fed; of steps that feed one each */
    tn_row_ref frozen;   /* the hidden state of step one */
} tn_choice;

/* Sets the rows of the next candidate, in order: cell `cell` of an image of the prompt, as `look` shows it (may be NULL). */
void tn_choice_add(tn_choice *choice, size_t candidate, const tn_image_rows *shown, const tn_image_rows *look, size_t cell);

/* Writes the rows of a candidate [choice->most] and returns their number. */
size_t tn_choice_cells(const tn_choice *choice, size_t candidate, tn_row *cells);

/* The maximum number of rows that a step feeds: picks, unless it only reads them, and a vector. */
static inline size_t tn_choice_rows(const tn_choice *choice)
{
    return choice->settings.reads ? 1 : choice->settings.picks * choice->most + 1;
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
    tn_row_ref question;     /* the question's rows after the final norm, one after another, if tn_method.reads_question; with
                              * gradients if they may flow */
    size_t question_rows;
    bool answering;
    /* For interventions, which replace the hidden state in answering; not used in training. */
    tn_tensor made;          /* [1, C] memory of the replacing row           */
    tn_tensor thought;       /* [1, C] memory of the vector that a method with a module computes; empty in training */
    tn_tensor mean;          /* [1, C] mean of the prompt's rows             */
    const float *given;      /* [given_steps, given_size] rows of the request */
    size_t given_steps, given_size;
} tn_latent_view;

/* The parts of a step, for methods with steps of their own. The first chooses the next step's embeddings: choice->picks, and
 * choice->done counts the step. The second writes the row that is fed for the vector in view->hidden, or view->raw, or what an
 * intervention replaces it by. Errors of the second: ARGUMENT (a given row is missing), MEMORY. */
void tn_choice_pick(tn_choice *choice, const tn_real *scores, tn_rng *rng);
tenebra_code tn_choice_text(tn_choice *choice, const tn_latent_view *view, tn_row *row, tenebra_error *error);

/* The rows of a prompt [count] that ask: all after the last image, or all if nothing follows it. Returns the first one. */
size_t tn_question_begins(const tn_row *rows, size_t count);

/* Writes the rows of the next step, without positions, to `rows` [tn_choice_rows] and sets their number; choice->picks are
 * the chosen embeddings. Errors: ARGUMENT (a given row is missing). */
tenebra_code tn_latent_step(tn_choice *choice, const tn_latent_view *view, tn_row *rows, size_t *count, tenebra_error *error);

#endif
