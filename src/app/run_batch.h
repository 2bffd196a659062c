/* tenebra run --jsonl: one request a line on stdin, one answer a line on stdout. */
#ifndef TN_APP_RUN_BATCH_H
#define TN_APP_RUN_BATCH_H

#include "app/method_table.h"

typedef struct tn_run_batch {
    const tenebra_request *base; /* what lines leave open, as the command line says it; method NULL: as trained */
    const tn_method_table *methods;
    const tn_trained *trained;
    const char *preset, *system;
    bool whole; /* answers with the whole trace */
} tn_run_batch;

/* Answers every line in order, with one session: pictures and rows that it knows are not computed again. A line that cannot be
 * answered gets an error with its number; the next ones go on. Returns the exit code: FAILED where a line failed, or after an
 * interrupt. */
int tn_run_batch_answer(const tn_run_batch *batch, tenebra_session *session);

#endif
