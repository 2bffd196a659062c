/* Losses of a method beside that of the tokens (tn_method.batch_losses), and what they see of a batch of training examples.
 *
 * An update may run its examples in several batches (gradient accumulation). Every loss is a mean over the examples of the whole
 * update, not of the batch, and has the same weight as the mean over the tokens, times its own weight. So the gradients do not depend
 * on the division into batches. */
#ifndef TN_REASON_LOSSES_H
#define TN_REASON_LOSSES_H

#include "reason/train_example.h"

/* The maximum number of losses of a method. */
enum { TN_LOSS_PARTS = 4 };

typedef struct tn_loss_example {
    const tn_train_example *example; /* its text as tokens, small pictures, digests */
    const tn_row *rows;              /* [count] rows of all latent steps in order, with gradients */
    size_t count;
    const tn_image_rows *pictures;   /* [example->picture_count] images as they are fed, with gradients if the tower is trained */
    uint64_t seed;                   /* for its random numbers in this update, whatever batch it is in */
} tn_loss_example;

typedef struct tn_loss_batch {
    tn_ops *ops;
    const tn_network *module;        /* tn_method.module, or NULL */
    const tn_decoder *decoder;       /* for embeddings of tokens, and of images that are tokens */
    const void *own;                 /* tn_latent_settings.own of the examples; NULL also if none of them has latent steps */
    const tn_loss_example *examples; /* [count] */
    size_t count;
    double share;                    /* weight of one example: that of the mean over the tokens, divided by `total` */
    /* The whole update. Its examples from `first` on are those of the batch. */
    const tn_train_example *const *all; /* [total] */
    size_t total, first;
    tn_tensor shown;                 /* [total * k, width] tn_method.show of all examples, as constants; empty: not collected, which is so
                                      * if the batch is the whole update or the method does not compare */
} tn_loss_batch;

/* One loss. */
typedef struct tn_loss_part {
    const char *name;  /* in logs: a word */
    tn_tensor loss;    /* [1, 1] recorded: weight * share * the sum of the losses of the batch's examples */
    double weight;
    bool whole;        /* `loss` is instead weight * share * total * the mean over the whole update, in which rows of other batches are
                        * constants (a loss that compares) */
} tn_loss_part;

#endif
