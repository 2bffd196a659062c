/* Worker processes: one process distributes jobs, one at a time to each worker, and gets a line of text back for each.
 *
 * The result of a job must not depend on the worker or on earlier jobs. Then the lines are the same for any number of
 * workers, and only their order differs. */
#ifndef TN_EVAL_CREW_H
#define TN_EVAL_CREW_H

#include "base/status.h"

#include <stdatomic.h>

typedef struct tn_crew_calls {
    /* Called in the new process. Returns the argument of `run`; if NULL, the whole run fails with this error. */
    void *(*open)(void *user, tenebra_error *error);
    /* A line that the caller frees; NULL without memory. */
    char *(*run)(void *state, size_t job);
    void (*close)(void *state);
    /* Called in the first process, in the order in which jobs end. A failure stops all workers. */
    tenebra_code (*done)(void *user, size_t job, const char *line, size_t length, tenebra_error *error);
    /* The worker of the job died; `why` gives the cause. Another takes its place. */
    tenebra_code (*died)(void *user, size_t job, const char *why, tenebra_error *error);
    /* Called from time to time between jobs. May be NULL. */
    void (*tick)(void *user);
    /* Ends the calling process at once, like _exit; a worker process ends with it. */
    void (*leave)(int code);
} tn_crew_calls;

/* Runs the jobs in `workers` new processes (>= 1), which share the memory of this one as it is now. The caller must
 * have no other threads. If *stop (may be NULL) becomes true, the current jobs end: CANCELLED. Errors: IO (no more
 * processes), those of `open` and `done`; FORMAT if every new process dies. */
tenebra_code tn_crew_run(size_t workers, const size_t *jobs, size_t count, const tn_crew_calls *calls, void *user,
                         const atomic_bool *stop, tenebra_error *error);

#endif
