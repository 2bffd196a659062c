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

/* Runs one batch: forward, and backward if `learn`. */
tenebra_code tn_training_run(tn_training *training, const tn_train_example *const *examples, size_t count, bool learn, double scale,
                            tn_training_result *result, tenebra_error *error);

#endif
