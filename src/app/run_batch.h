/* tenebra run --jsonl: one request per line on stdin, one answer per line on stdout. */
#ifndef TN_APP_RUN_BATCH_H
#define TN_APP_RUN_BATCH_H

#include "app/method_table.h"
#include "reason/scope.h"

typedef struct tn_run_batch {
    const tenebra_request *base; /* defaults for the lines, from the command line; method NULL: as trained */
    const tn_method_table *methods;
    const tn_trained *trained;
    const tn_scope *scope; /* what the model can answer */
    const char *preset, *system;
    bool whole; /* answers with the complete trace */
} tn_run_batch;

/* Answers every line in order, with one session: images and rows that it has are not computed again. A line that cannot
 * be answered gets an error with its number, and the next ones are answered. Returns the exit code: FAILED if a line
 * failed, or after an interrupt. */
int tn_run_batch_answer(const tn_run_batch *batch, tenebra_session *session);

#endif
