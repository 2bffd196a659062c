/* Internal to training.h: shared by its files. */
#ifndef TN_REASON_TRAINING_PARTS_H
#define TN_REASON_TRAINING_PARTS_H

#include "reason/parts.h"
#include "reason/training.h"

struct tn_training {
    const tn_model *model;
    tn_training_options options;
    tn_session *session;      /* threads and memory; its cache is not used */
    tn_reasoner reasoner;     /* method and settings                       */
    tenebra_request request;
    tenebra_setting *settings; /* own copies */
    uint64_t seed;             /* seed of random numbers, combined with the number of each example */
};

/* An update, whose examples may run in several batches. */
typedef struct tn_update {
    const tn_train_example *const *examples; /* [count] */
    size_t count;
    size_t labels;   /* tokens with a loss, of all examples */
    tn_real *shown;  /* [shown_rows, shown_cols] tn_method.show of all examples; NULL: not collected */
    size_t shown_rows, shown_cols;
} tn_update;

typedef enum tn_training_mode {
    TN_TRAINING_MEASURE, /* forward without dropout */
    TN_TRAINING_SHOW,    /* forward as in LEARN up to the last latent step, and tn_method.show */
    TN_TRAINING_LEARN    /* forward and backward */
} tn_training_mode;

/* Runs one batch, the examples from `first` on. SHOW writes to update->shown. */
tenebra_code tn_training_run(tn_training *training, tn_update *update, size_t first, size_t count, tn_training_mode mode, double scale,
                            tn_training_result *result, tenebra_error *error);

/* Whether the method compares the examples of an update. */
bool tn_update_compares(const tn_training *training, const tn_update *update);

/* Keeps what the examples of a batch show. Errors: MEMORY, MISMATCH. */
tenebra_code tn_update_keep(tn_update *update, tn_ops *ops, tn_tensor shown, size_t first, size_t count, tenebra_error *error);

#endif
