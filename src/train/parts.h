/* Internal to the trainer: shared by its files. */
#ifndef TN_TRAIN_PARTS_H
#define TN_TRAIN_PARTS_H

#include "base/file.h"
#include "data/sample.h"
#include "model/parameters.h"
#include "reason/asked.h"
#include "reason/training.h"
#include "train/optimizer.h"
#include "train/trainer.h"

enum { TN_BEST_STAGES = 72 };

struct tn_trainer {
    const tn_train_config *config;
    tn_trainer_options options;
    tn_run_plan plan;

    tn_data *data, *validation; /* validation NULL: none */
    char data_mark[20];        /* hexadecimal digest of the training set's texts      */
    const tn_prompt_preset *prompt, *validation_prompt;
    tn_model *model;
    tn_adapter *adapter;       /* LoRA only */
    tn_parameters *parameters;
    tn_training *training;
    tn_optimizer optimizer;
    size_t threads;

    /* The progress of a run, which a checkpoint contains. */
    uint64_t update;           /* updates made                                        */
    uint64_t validated;        /* number of the update at the last validation         */
    double best[TN_BEST_STAGES]; /* accuracy per stage; negative: none yet            */
    uint64_t best_update[TN_BEST_STAGES];
    double train_ms;           /* rows that were trained, in all runs of this directory */
    uint64_t tokens;

    size_t *order, *lengths;   /* [plan.samples] */
    size_t order_epoch;        /* SIZE_MAX: not filled */
    tn_train_example *examples;        /* [plan.update_samples] */
    const tn_train_example **batch;   /* [plan.update_samples] */
    bool told_collected;       /* that batches run forward once more, for losses that compare */
    double peak;               /* 0: not measured       */
    tn_train_update last;
    int log;                   /* -1: none */
    int lock;                  /* descriptor of train.lock; -1: not held            */
    bool made_output;          /* this run created the directory                    */
    tn_path log_path, checkpoints;
    json_t *saved;             /* state of the checkpoint to continue from; NULL: none */
    char *saved_path;
    uint64_t saved_update;     /* the update in its file name                       */
    char base_mark[65];        /* hexadecimal digest of the model that the run starts from */
};

/* Sends an event to the caller. */
void tn_trainer_note(const tn_trainer *trainer, tn_train_event_kind kind, const char *text);
bool tn_trainer_is_stopped(const tn_trainer *trainer);

/* Locks the directory of the run, and finds the checkpoint to continue from or refuses an earlier run (place.c). Errors:
 * ARGUMENT (another training runs there, or there is an earlier run), those of checkpoints. */
tenebra_code tn_trainer_look_back(tn_trainer *trainer, tenebra_error *error);
/* Unlocks the directory. Unless `keep`, removes it if this run created it and it is empty. */
void tn_trainer_unlock(tn_trainer *trainer, bool keep);
/* Removes the files of an earlier run, and no others. Errors: ARGUMENT (this run starts from one of them), IO, MEMORY. */
tenebra_code tn_trainer_clear_old(const tn_trainer *trainer, tenebra_error *error);

/* Computes base_mark from the stored weights, all of which are read, and config.json (base.c). Errors: IO, LIMIT, MEMORY. */
tenebra_code tn_trainer_mark_base(tn_trainer *trainer, tenebra_error *error);

/* Whether a directory that tn_trainer_export writes may hold a file of that name (export.c). */
bool tn_export_is_own(const char *name);

/* Opens the model, the adapter, the trained parameters and the optimizer (setup.c). */
tenebra_code tn_trainer_open_model(tn_trainer *trainer, tenebra_error *error);

/* Gives random values to the parameters whose names match one of `globs` (ending with NULL), or, if it is NULL, to all but those of a
 * method's module, which has values of its own (initial.c). Matrices have a normal distribution. Their standard deviation is
 * `deviation`, divided by sqrt(2 L) of their network for those that write into the residual stream (GPT-2's initialisation as
 * described in arXiv:1909.08053, section 3); if `deviation` is 0, it is 1 / sqrt(inputs). Norms are 1, biases 0. Errors: ARGUMENT (no
 * name matches). */
tenebra_code tn_initial_values(tn_parameters *parameters, const char *const *globs, double deviation,
                               uint64_t seed, tenebra_error *error);

/* Makes the training example of sample number `sample` at `stage` (examples.c). Errors name the sample. */
tenebra_code tn_trainer_prepare(tn_trainer *trainer, size_t sample, size_t stage, tn_train_example *example, tenebra_error *error);
/* Its number of steps. */
tenebra_code tn_trainer_count_steps(const tn_trainer *trainer, const tn_sample *sample, size_t *count, tenebra_error *error);

/* Sets mean and deviation of what the denoiser of the method's module reconstructs, over a part of the training set, unless there is none
 * or they are set (targets.c). Errors: those of tn_trainer_prepare and tn_training_add_targets, CANCELLED. */
tenebra_code tn_trainer_measure_targets(tn_trainer *trainer, tenebra_error *error);

/* Floating-point operations of a forward and backward of these examples (cost.c). */
double tn_trainer_flops(const tn_trainer *trainer, const tn_train_example *const *examples, size_t count);

/* Answers the validation questions greedily, with the latents of `stage` (validate.c). *topics: an object with [correct,
 * questions] for each topic, which the caller owns. Errors: CANCELLED if the run was stopped. */
tenebra_code tn_trainer_validate(tn_trainer *trainer, size_t stage, double *accuracy, size_t *count, json_t **topics,
                                 tenebra_error *error);

/* Writes the current weights as a model directory, or the adapter, to output/name (export.c). */
tenebra_code tn_trainer_export(tn_trainer *trainer, const char *name, tenebra_error *error);

/* Corrects config.json and the processor files in a directory of exported weights: the type of the trained weights and the
 * sizes of images (export_config.c). */
tenebra_code tn_export_change(const tn_trainer *trainer, const char *directory, tn_dtype type, tenebra_error *error);

/* Converts the state besides the weights to JSON and back (state.c). */
json_t *tn_trainer_state(const tn_trainer *trainer);
tenebra_code tn_trainer_read_state(tn_trainer *trainer, const json_t *state, const char *where, tenebra_error *error);

#endif
