/* Internal to the files training_*.c: a batch of training examples on its way through the model. */
#ifndef TN_REASON_TRAINING_BATCH_H
#define TN_REASON_TRAINING_BATCH_H

#include "reason/losses.h"
#include "reason/training_parts.h"

/* The progress of an example through the decoder. */
typedef struct tn_example_run {
    const tn_train_example *example;
    tn_sequence sequence;
    size_t part;           /* current part of the example                      */
    size_t part_count;     /* parts that run: all, or those up to the last latent steps */
    size_t steps_left;     /* remaining latent steps of the part              */
    size_t next_row;       /* number of text rows that ran                    */
    tn_image_rows *pictures, *picked; /* encoded images of the example, then those that picks are read from (look.h); `picked`: without
                                       * gradient, unless through_picks */
    size_t *candidates;    /* [candidate_count] rows of the prompt that are cells of its images */
    size_t candidate_count;
    tn_real *scores;       /* [candidate_count] attention of the last row that was tapped */
    int32_t next_position;
    tn_choice choice;
    tn_row *laid;          /* [laid_count] rows of all latent steps           */
    size_t laid_count;
    tn_row_ref hidden, raw; /* the last row after and before the final norm, as the next latent step sees it */
    tn_row_ref question;   /* the question's rows after the final norm, if the method reads them */
    size_t question_rows;
    tn_row_ref last;       /* the last row that ran, before the final norm    */
    size_t steps;          /* latent steps done in all parts                  */
    tn_span_tap tap;
    uint64_t seed;         /* seed of its random numbers                      */
    tn_rng rng;            /* for latent steps                                */
    size_t rows;           /* that were laid                                  */
} tn_example_run;

/* Constants from which, with the example's seed, the seeds of a row's dropout are made. */
enum { TN_DRAW_LATENTS, TN_DRAW_PICTURE, TN_DRAW_ROW, TN_DRAW_LABEL };

typedef struct tn_batch {
    tn_training *training;
    tn_engine *engine;
    tn_ops *ops;              /* the engine's */
    tn_update *update;        /* the batch is its examples from `first` on */
    size_t first;
    tn_training_mode mode;
    tn_example_run *runs;
    size_t count;
    tn_row *rows;             /* [row_count] of the round         */
    tn_span *spans;           /* [active_count] of the round      */
    tn_example_run **active;
    size_t active_count, row_count;
    tn_row_ref *predictors;   /* rows that predict a labelled token */
    int32_t *labels;
    size_t label_count;
    uint64_t *row_seeds, *label_seeds; /* seeds of dropout: of all rows of all rounds, and of the predictors */
    tn_dropout dropout;
    tn_tensor borders;        /* [2, C] tn_method.marks, or empty */
    tn_training_result *result;
} tn_batch;

/* Zeroed memory until the end of the batch; NULL: ops->failure is set. */
void *tn_batch_take(tn_batch *b, size_t count, size_t size);

/* Keeps the first error in ops->failure. */
void tn_batch_note(tn_batch *b, tenebra_code code, const tenebra_error *problem);

/* Sets the seeds of dropout for the rows that run next. */
void tn_batch_draw(tn_batch *b, const uint64_t *seeds, size_t rows);

/* Encodes the images of all examples. */
void tn_batch_encode(tn_batch *b);

/* The losses of the method, added to that of the tokens, which is `scale` times a sum; and what the examples show to others. */
tn_tensor tn_batch_losses(tn_batch *b, tn_tensor loss, double scale);
tn_tensor tn_batch_show(tn_batch *b);

#endif
