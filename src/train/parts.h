/* What the files of the trainer share among themselves. */
#ifndef TN_TRAIN_PARTS_H
#define TN_TRAIN_PARTS_H

#include "data/sample.h"
#include "model/parameters.h"
#include "reason/asked.h"
#include "reason/teach.h"
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
    tn_teacher *teacher;
    tn_optimizer optimizer;
    size_t threads;

    /* Place and memory of the run; what a checkpoint holds. */
    uint64_t update;           /* updates made                                        */
    uint64_t validated;        /* number of the update that was validated last        */
    double best[TN_BEST_STAGES]; /* accuracy per stage; negative: none yet            */
    uint64_t best_update[TN_BEST_STAGES];
    double train_ms;           /* of all runs                                         */
    uint64_t tokens;

    size_t *order, *lengths;   /* [plan.samples] */
    size_t order_epoch;        /* SIZE_MAX: not filled */
    tn_lesson *lessons;        /* [plan.update_samples] */
    const tn_lesson **batch;   /* [config.batch_size]   */
    double peak;               /* 0: not measured       */
    tn_train_update last;
    int log;                   /* -1: none */
    int lock;                  /* of the directory; -1: not held                    */
    bool made_output;          /* the directory was not there before                */
    char *log_path, *checkpoints;
    json_t *saved;             /* state of the checkpoint to go on from; NULL: none */
    char *saved_path;
    uint64_t saved_update;     /* in the name of its file                           */
    char base_mark[65];        /* hexadecimal digest of the model that the run starts from */
};

/* Tells the user. */
void tn_trainer_note(const tn_trainer *trainer, tn_train_event_kind kind, const char *text);
bool tn_trainer_is_stopped(const tn_trainer *trainer);

/* "output/name" in fresh memory. Errors: MEMORY (returns NULL). */
char *tn_trainer_path(const tn_trainer *trainer, const char *name, tenebra_error *error);

/* Takes the directory of the run, and finds the checkpoint to go on from or refuses an earlier run (place.c). Errors: ARGUMENT
 * (another training is there, an earlier run), those of checkpoints. */
tenebra_code tn_trainer_look_back(tn_trainer *trainer, tenebra_error *error);
/* Gives the directory back; unless `keep`, takes one that was made for this run away again if it is empty. */
void tn_trainer_unlock(tn_trainer *trainer, bool keep);
/* Takes away what an earlier run left, and nothing else. Errors: ARGUMENT (this run starts from it), IO, MEMORY. */
tenebra_code tn_trainer_clear_old(const tn_trainer *trainer, tenebra_error *error);

/* Fills base_mark from the weights as they are stored and config.json (base.c). Reads all of them. Errors: IO, LIMIT, MEMORY. */
tenebra_code tn_trainer_mark_base(tn_trainer *trainer, tenebra_error *error);

/* Whether a directory that tn_trainer_export writes may hold a file of that name (export.c). */
bool tn_export_is_own(const char *name);

/* Opens model, adapter, parameters, teacher and optimizer (setup.c). */
tenebra_code tn_trainer_open_model(tn_trainer *trainer, tenebra_error *error);

/* Gives random values to the parameters whose names fit one of `globs` (ending with NULL), or to all if it is NULL
 * (initial.c). Matrices are normal: with a deviation, that one, and those that write into the residual stream smaller by
 * sqrt(2 L) of their tower (GPT-2's initialisation as written down in arXiv:1909.08053, section 3); with 0, 1 / sqrt(inputs).
 * Norms are 1, biases 0. Errors: ARGUMENT (nothing fits). */
tenebra_code tn_initial_values(tn_parameters *parameters, const char *const *globs, double deviation,
                               uint64_t seed, tenebra_error *error);

/* Sample number `sample` at `stage` as a lesson (lessons.c). Errors name the sample. */
tenebra_code tn_trainer_prepare(tn_trainer *trainer, size_t sample, size_t stage, tn_lesson *lesson, tenebra_error *error);
/* Its number of steps. */
tenebra_code tn_trainer_count_steps(const tn_trainer *trainer, const tn_sample *sample, size_t *count, tenebra_error *error);

/* Floating-point operations of a forward and backward over such lessons (cost.c). */
double tn_trainer_flops(const tn_trainer *trainer, const tn_lesson *const *lessons, size_t count);

/* Greedy answers to the validation questions with the latents of `stage` (validate.c). *topics: an object with
 * [right, questions] of each topic; the caller owns it. Errors: CANCELLED when the run was stopped. */
tenebra_code tn_trainer_validate(tn_trainer *trainer, size_t stage, double *accuracy, size_t *count, json_t **topics,
                                 tenebra_error *error);

/* Writes the present weights as a model directory, or the adapter, to output/name (export.c). */
tenebra_code tn_trainer_export(tn_trainer *trainer, const char *name, tenebra_error *error);

/* Makes config.json and the processor files in a directory of exported weights, trained ones of this type, say what is so
 * (export_config.c). */
tenebra_code tn_export_change(const tn_trainer *trainer, const char *directory, tn_dtype type, tenebra_error *error);

/* The state around the weights, as JSON, and back (state.c). */
json_t *tn_trainer_state(const tn_trainer *trainer);
tenebra_code tn_trainer_read_state(tn_trainer *trainer, const json_t *state, const char *where, tenebra_error *error);

#endif
