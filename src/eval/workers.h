/* Worker processes: one process distributes jobs, one or a few at a time to each worker, and gets a line of text back for each.
 *
 * The result of a job must not depend on the worker or on earlier jobs. Then the lines are the same for any number of
 * workers, and only their order differs. */
#ifndef TN_EVAL_WORKERS_H
#define TN_EVAL_WORKERS_H

#include "base/status.h"

#include <stdatomic.h>

typedef struct tn_workers_calls {
    /* These four are called in the new process. `open` makes the argument of the others; if it fails, the whole run fails
     * with this error. */
    tenebra_code (*open)(void *user, void **state, tenebra_error *error);
    /* Begins a job. False without memory. */
    bool (*begin)(void *state, size_t job);
    /* Continues the jobs in progress. *line is the line of a job that is complete, which the caller frees; NULL if none is
     * complete yet. False without memory. */
    bool (*proceed)(void *state, size_t *job, char **line);
    void (*close)(void *state);
    /* Called in the first process, in the order in which jobs end. A failure stops all workers. */
    tenebra_code (*done)(void *user, size_t job, const char *line, size_t length, tenebra_error *error);
    /* The worker of the job died; `why` gives the cause. Another worker replaces it. If several jobs were in progress, it is
     * not known which one was the cause, so they are started again one by one. */
    tenebra_code (*died)(void *user, size_t job, const char *why, tenebra_error *error);
    /* Called from time to time between jobs. May be NULL. */
    void (*tick)(void *user);
    /* Ends the calling process at once, like _exit; a worker process ends with it. */
    void (*leave)(int code);
} tn_workers_calls;

/* Runs the jobs in `workers` new processes (>= 1), each with up to `at_once` jobs in progress (1 to TN_WORKERS_JOBS_MAX), which share the
 * memory of this one as it is now. The caller must have no other threads. If *stop (may be NULL) becomes true, the current jobs end:
 * CANCELLED. Errors: ARGUMENT, IO (no more processes), those of `open` and `done`; FORMAT if every new process dies. */
enum { TN_WORKERS_JOBS_MAX = 64 };
tenebra_code tn_workers_run(size_t workers, size_t at_once, const size_t *jobs, size_t count, const tn_workers_calls *calls, void *user,
                         const atomic_bool *stop, tenebra_error *error);

#endif
