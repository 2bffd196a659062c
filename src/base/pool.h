/* A pool of threads as an object.
 *
 * Work is a number of independent chunks. How it is divided must not depend on the number of threads: the chunks are
 * always the same, and only the thread that runs a chunk differs, so results are equal bit for bit for any thread
 * count. */
#ifndef TN_BASE_POOL_H
#define TN_BASE_POOL_H

#include "base/status.h"

typedef struct tn_pool tn_pool;

/* Runs chunk `chunk` (from 0). `worker` (0 .. tn_pool_threads - 1) identifies the running thread, for its own scratch
 * memory. */
typedef void tn_chunk_fn(void *argument, size_t chunk, size_t worker);

/* threads >= 1, including the caller's own thread. Errors: ARGUMENT, MEMORY. */
tenebra_code tn_pool_open(size_t threads, tn_pool **opened, tenebra_error *error);

/* Runs all chunks and returns when the last is done. The calling thread takes part. With a NULL pool, the caller runs
 * everything. Not reentrant: a chunk must not call it on the same pool, and only one caller may use a pool at a time. */
void tn_pool_run(tn_pool *pool, size_t chunks, tn_chunk_fn *run, void *argument);

/* Number of threads, 1 for a NULL pool. */
size_t tn_pool_threads(const tn_pool *pool);

/* Waits for the threads to end. NULL is allowed. */
void tn_pool_close(tn_pool *pool);

/* Processors this process may run on (affinity respected), at least 1. */
size_t tn_cpu_count(void);

#endif
