/* A training run: the loop around the forward and backward passes.
 *
 *     tn_trainer_open(&config, &options, &trainer, &error);
 *     tn_trainer_run(trainer, &error);         CANCELLED after options.stop became true: a checkpoint is written
 *     tn_trainer_close(trainer);
 *
 * The directory of a run contains:
 *     training.json                 the configuration in effect
 *     initial/                      the random model that a run from a shape starts with
 *     checkpoints/update-N...       the complete state (train/checkpoint.h)
 *     stage-S/                      the best model of stage S by validation accuracy: a model directory, or an adapter
 *     model/ or adapter/            the result
 *     log.jsonl, log.csv, curves.html
 *
 * An update takes `update_samples` samples in micro-batches. Its loss is the mean over all their labelled tokens,
 * whatever their lengths and their division into micro-batches. All random numbers depend on (seed, epoch, sample) or
 * (seed, update), so a run that was killed and resumed ends with the same bits as one without interruption. */
#ifndef TN_TRAIN_TRAINER_H
#define TN_TRAIN_TRAINER_H

#include "reason/training.h"
#include "train/config.h"
#include "train/stages.h"

#include <stdatomic.h>

typedef struct tn_trainer tn_trainer;

/* Numbers of one update. */
typedef struct tn_train_update {
    uint64_t update;  /* from 1 */
    size_t epoch, stage;
    double loss;      /* mean over the labelled tokens */
    double auxiliary; /* the method's own losses with their weights, mean over the samples; NaN: it has none */
    tn_loss_value parts[TN_LOSS_PARTS]; /* [part_count] each of them without its weight */
    size_t part_count;
    double lr, grad_norm, token_accuracy;
    size_t samples, labels, tokens; /* tokens: rows that ran through the decoder */
    double ms, tokens_per_second;
    double mfu;       /* floating-point work of the model divided by the rate of the kernels in one large product */
} tn_train_update;

typedef enum tn_train_event_kind {
    TN_TRAIN_NOTE,       /* text                                       */
    TN_TRAIN_UPDATE,     /* update                                     */
    TN_TRAIN_QUESTION,   /* done of total validation questions         */
    TN_TRAIN_VALIDATION, /* accuracy over total questions, stage, best */
    TN_TRAIN_SAVED       /* text: the file that was written            */
} tn_train_event_kind;

typedef struct tn_train_event {
    tn_train_event_kind kind;
    const char *text;
    const tn_train_update *update;
    size_t done, total, stage;
    double accuracy, best;
} tn_train_event;

/* Called from the thread that runs the trainer. */
typedef void tn_train_event_fn(void *user, const tn_train_event *event);

typedef struct tn_trainer_options {
    bool resume;    /* continue from the newest checkpoint of the output directory, if there is one */
    bool overwrite; /* replace a run in the output directory                                     */
    bool plan_only; /* nothing is written                                                        */
    const char *kernels;
    const atomic_bool *stop; /* may be NULL; checked between updates and questions                */
    tn_train_event_fn *on_event;
    void *user;
} tn_trainer_options;

/* Opens data, model and trained parameters. config and options must outlive the trainer. *opened is NULL on failure. Errors: those
 * of all parts; ARGUMENT (keys that are missing or exclude each other; an output directory in use). */
tenebra_code tn_trainer_open(const tn_train_config *config, const tn_trainer_options *options, tn_trainer **opened, tenebra_error *error);
void tn_trainer_close(tn_trainer *trainer); /* NULL is allowed */

/* Runs to the end and writes the result. Errors: those of all parts; files saved before are kept. */
tenebra_code tn_trainer_run(tn_trainer *trainer, tenebra_error *error);

/* ---------------------------------------------------------------- facts -- */

const tn_run_plan *tn_trainer_plan(const tn_trainer *trainer);

/* Updates made so far, in all runs of this directory. */
uint64_t tn_trainer_updates(const tn_trainer *trainer);

/* The cost of a micro-batch of a stage. */
typedef struct tn_stage_cost {
    size_t stage, latents, skip; /* skip: TN_SKIP_ALL for all   */
    double rows, labels;         /* per sample, mean of the probe */
    double sample_ms;            /* measured; 0: not            */
    double sample_flops;         /* forward and backward        */
} tn_stage_cost;

/* Memory in bytes, counted or estimated. */
typedef struct tn_train_memory {
    size_t elements;   /* trained values                         */
    size_t parameters; /* values, gradients, copies              */
    size_t moments;
    size_t activations;
    size_t mapped;     /* weights of the model as stored         */
} tn_train_memory;

/* Prepares a micro-batch of the training set at `stage` and, if `measure`, runs it forward and backward (twice; the
 * second counts) without leaving a gradient. Not during a run. Errors: those of preparing and running. */
tenebra_code tn_trainer_probe(tn_trainer *trainer, size_t stage, bool measure, tn_stage_cost *cost,
                              tn_train_memory *memory, tenebra_error *error);

/* Floating-point operations per second that the kernels reach in one large product on all threads; measured once. */
double tn_trainer_peak(tn_trainer *trainer);

/* The run as JSON: directory, counts, loss, accuracies, best models; NULL without memory. */
json_t *tn_trainer_summary(const tn_trainer *trainer);

#endif
