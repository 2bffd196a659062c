/* The forward and backward of a batch of training examples.
 *
 *     tn_training_open(model, &options, &training, &error);
 *     tn_training_prepare(training, &source, &example, &error);              any number of examples
 *     tn_training_learn(training, examples, count, 1.0 / labels, &result, &error);
 *     ... the gradients are in the parameters (model/parameters.h), for the optimizer ...
 *
 * There is one forward and one backward, however many latent steps there are: the spans of inference are recorded. All examples
 * of a batch run together, packed one after another without padding. Attention, the KV cache and the choice of image embeddings
 * are separate for each example, so the result is the same as that of each example by itself.
 *
 * The loss is scale times the SUM of the cross entropies of all labelled tokens. For the mean over the tokens of
 * several micro-batches, add up example.label_count first and pass 1 / that sum to each call, or call tn_training_update, which also
 * takes losses of a method over all of them. */
#ifndef TN_REASON_TRAINING_H
#define TN_REASON_TRAINING_H

#include "reason/denoise.h"
#include "reason/losses.h"

/* Receives the picks of each latent step, e.g. to compare them with a reference. `example`: index in the batch. */
typedef void tn_picks_fn(void *user, size_t example, size_t step, const size_t *picks, size_t count);

typedef struct tn_training_options {
    const char *method;             /* NULL: "direct", as in a request */
    const tenebra_setting *settings;
    size_t setting_count;
    const char *positions;          /* "sequential", "mrope"; NULL: the method's */
    size_t threads;                 /* 0: all processors */
    bool through_hidden; /* gradients flow through the latent text to the rows that it comes from; the reference detaches it */
    bool through_picks;  /* gradients flow through picked image embeddings to the tower */
    bool checkpoint;     /* gradient checkpointing: keep only the input of each decoder layer and run the layer again in the
                          * backward */
    uint64_t seed;       /* of dropout and random picks */
    tenebra_image_rule image;
    bool ignore_orientation;
    tn_picks_fn *on_picks;
    void *user;
} tn_training_options;

/* The value of a loss of the method (reason/losses.h), without its weight. */
typedef struct tn_loss_value {
    const char *name;
    double value;
} tn_loss_value;

typedef struct tn_training_result {
    double loss;        /* sum of the cross entropies, not scaled         */
    size_t labels;      /* number of labelled tokens                      */
    double auxiliary;   /* the losses of the method with their weights, mean over the training examples; NaN: it has none */
    tn_loss_value parts[TN_LOSS_PARTS]; /* [part_count] each without its weight */
    size_t part_count;
    bool collected;     /* tn_training_update first ran all batches forward, for losses that compare their examples */
    size_t correct;     /* of these, the head's first choice              */
    size_t rows;        /* rows that ran through the decoder              */
    size_t prepared;    /* rows of input of the tower                     */
    size_t latent_steps;
    size_t peak_bytes;  /* maximum working memory in use                  */
} tn_training_result;

typedef struct tn_training tn_training;

/* The model must outlive the training. *opened is NULL on failure. Errors: ARGUMENT (method, settings; a latent text that is not
 * possible in training), MEMORY. */
tenebra_code tn_training_open(const tn_model *model, const tn_training_options *options, tn_training **opened, tenebra_error *error);
void tn_training_close(tn_training *training); /* NULL is allowed */

/* The threads, for the optimizer; NULL: one. The flag (may be NULL) ends tn_training_learn early: CANCELLED. */
tn_pool *tn_training_pool(tn_training *training);
void tn_training_watch_cancel(tn_training *training, const atomic_bool *cancel);

/* Sets the seed of dropout and random picks, e.g. from (seed, number of the update), so that a resumed run draws the same
 * numbers as an uninterrupted one. The numbers of an example depend only on this seed and its number (tn_train_example.number),
 * not on the batch. */
void tn_training_seed(tn_training *training, uint64_t seed);

/* Reads the images, renders the conversation and lets the method arrange the example. On failure *example is empty. Errors:
 * those of images and tokenizer, LIMIT (the example exceeds source->limit even without steps). Free it with
 * tn_train_example_free. Threads: one at a time. */
tenebra_code tn_training_prepare(tn_training *training, const tn_train_example_source *source, tn_train_example *example,
                                tenebra_error *error);

/* Forward and backward; adds to the gradients. Errors: LIMIT, MEMORY, MISMATCH (ids, images), CANCELLED; the gradients must
 * then not be used. */
tenebra_code tn_training_learn(tn_training *training, const tn_train_example *const *examples, size_t count, double scale,
                              tn_training_result *result, tenebra_error *error);

/* All examples of an update, in batches of batch_size. The gradients are those of one batch of all of them: of the mean over the
 * labelled tokens, and of the method's losses. *result sums up the batches. Errors: as above, MISMATCH (no label). */
tenebra_code tn_training_update(tn_training *training, const tn_train_example *const *examples, size_t count, size_t batch_size,
                                tn_training_result *result, tenebra_error *error);

/* The denoiser of the method's module (reason/denoise.h); false: there is none. The second adds the targets of examples, in their own
 * units, to sums over them. Errors: MEMORY, those of the image encoder. */
bool tn_training_denoiser(const tn_training *training, tn_denoiser *denoiser);
tenebra_code tn_training_add_targets(tn_training *training, const tn_train_example *const *examples, size_t count, tn_denoiser_sums *sums,
                                     tenebra_error *error);

/* Only the forward, without dropout: the loss of held-out examples. */
tenebra_code tn_training_measure(tn_training *training, const tn_train_example *const *examples, size_t count,
                                tn_training_result *result, tenebra_error *error);

/* Working memory [bytes] that a batch of these examples takes in a recorded forward, estimated from the shapes. */
size_t tn_training_cost(const tn_training *training, const tn_train_example *const *examples, size_t count);

#endif
