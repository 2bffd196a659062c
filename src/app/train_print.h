/* The output of `tenebra train`: the plan on stdout, progress on stderr. */
#ifndef TN_APP_TRAIN_PRINT_H
#define TN_APP_TRAIN_PRINT_H

#include "train/trainer.h"

typedef struct tn_train_progress {
    const tn_train_config *config;
    const tn_trainer *trainer;
    size_t planned;
    double started;     /* ms */
    double recent_ms;   /* of an update, running mean */
    bool line_open;     /* a bar is on the terminal */
} tn_train_progress;

/* The keys with defaults and help. */
void tn_train_print_keys(void);

/* Epochs, stages, batches, memory, time. Returns the exit code. */
int tn_train_print_plan(tn_trainer *trainer, const tn_train_config *config, bool json);

void tn_train_print_start(tn_train_progress *progress);
void tn_train_print_event(void *user, const tn_train_event *event);
void tn_train_end_line(tn_train_progress *progress);
void tn_train_print_summary(const json_t *summary);

#endif
