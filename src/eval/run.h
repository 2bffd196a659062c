/* A run of an evaluation: every question with every entry of a plan, written line by line, in several processes.
 *
 *     tn_eval_open(&eval, &plan, &options, &error);
 *     code = tn_eval_run(eval, &error);      (once; to continue a stopped run, open it again)
 *     json_t *summary = tn_eval_summary(eval);
 *     tn_eval_close(eval); */
#ifndef TN_EVAL_RUN_H
#define TN_EVAL_RUN_H

#include "eval/plan.h"

#include <stdatomic.h>

typedef struct tn_eval tn_eval;

/* Counts so far, including those of an older run. */
typedef struct tn_eval_count {
    const char *label;
    size_t done, right, failed;
    size_t silent; /* of questions with options: the answer names none (by the default scorer) */
} tn_eval_count;

typedef struct tn_eval_event {
    const tn_eval_count *counts; /* [entries]                     */
    size_t entries;
    size_t done, total, now;     /* answers; `now`: of this run   */
    const char *failure, *where; /* why and where the last question failed; NULL if it did not */
    const char *id, *label;      /* of the last question          */
} tn_eval_event;

typedef struct tn_eval_options {
    const char *output;       /* the file of the run */
    bool anew;                /* rename an older file */
    bool retry;               /* ask questions again if they failed in an older run */
    size_t workers, threads;  /* processes (0: 1), and threads of all of them together (0: all processors) */
    size_t parallel;          /* questions that each of them answers at once (0: 1) */
    void (*leave)(int code);  /* _exit */
    const atomic_bool *stop;  /* may be NULL */
    void (*on_event)(void *user, const tn_eval_event *event);
    void *user;
} tn_eval_options;

/* Opens questions, model and file, whose older records count. Plan and options must outlive it. *eval is NULL after
 * a failure. Errors: those of the plan, the model and the journal. */
tenebra_code tn_eval_open(tn_eval **eval, const tn_eval_plan *plan, const tn_eval_options *options, tenebra_error *error);

/* Notes about the run before it starts, each a sentence: unused fields of data rows and of the example. */
void tn_eval_notes(const tn_eval *eval, void (*say)(void *user, const char *sentence), void *user);

/* Asks the remaining questions. Questions that fail are recorded and do not end the run. Errors: CANCELLED (stopped),
 * IO, MEMORY, LIMIT (no session). */
tenebra_code tn_eval_run(tn_eval *eval, tenebra_error *error);

/* The model in use. */
const tenebra_model *tn_eval_model(const tn_eval *eval);

/* Questions that failed, for all entries together. */
size_t tn_eval_failures(const tn_eval *eval);

/* The counts with accuracies, as JSON. NULL without memory. */
json_t *tn_eval_summary(const tn_eval *eval);

void tn_eval_close(tn_eval *eval); /* NULL is allowed */

#endif
