/* Processes that share work: one process hands out jobs, one at a time to each, and gets a line of text back for each.
 *
 * What a job gives must not depend on who runs it or on what ran before; then the lines are the same for any number of
 * processes, and only their order differs. */
#ifndef TN_EVAL_CREW_H
#define TN_EVAL_CREW_H

#include "base/status.h"

#include <stdatomic.h>

typedef struct tn_crew_calls {
    /* In the new process. Returns what `run` gets; NULL: the whole crew fails with this error. */
    void *(*open)(void *user, tenebra_error *error);
    /* A line in fresh memory; NULL: no memory. */
    char *(*run)(void *state, size_t job);
    void (*close)(void *state);
    /* In the first process, in the order in which jobs end. A failure stops the crew. */
    tenebra_code (*done)(void *user, size_t job, const char *line, size_t length, tenebra_error *error);
    /* The process that ran the job died; `why` says of what. Another takes its place. */
    tenebra_code (*died)(void *user, size_t job, const char *why, tenebra_error *error);
    /* Now and then, between jobs. May be NULL. */
    void (*tick)(void *user);
    /* Ends the calling process at once, as _exit does: a new process leaves by it. */
    void (*leave)(int code);
} tn_crew_calls;

/* Runs the jobs in `workers` new processes (>= 1; the memory of this one is shared with them as it is now). The caller
 * must have no other threads. *stop (may be NULL) set to true ends the jobs at hand: CANCELLED.
 * Errors: IO (no more processes), what `open` and `done` say; FORMAT when processes only die. */
tenebra_code tn_crew_run(size_t workers, const size_t *jobs, size_t count, const tn_crew_calls *calls, void *user,
                         const atomic_bool *stop, tenebra_error *error);

#endif
