#define _GNU_SOURCE
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* Number of times that a worker checks the job counter before it sleeps: about 20 us, the gap between two operations of
 * one layer. Longer spinning would take the core from other programs. */
enum { SPIN_TURNS = 4000, MAX_THREADS = 1024 };

struct tn_pool {
    size_t threads;       /* including the caller */
    pthread_t *handles;   /* threads - 1     */
    struct worker *workers;
    pthread_mutex_t lock;
    pthread_cond_t wake;  /* a new job, or the end */
    pthread_cond_t done;  /* the last worker left  */
    atomic_uint job;      /* counts jobs           */
    atomic_size_t busy;   /* workers still inside  */
    atomic_bool stop;
    tn_chunk_fn *run;
    void *argument;
};

/* Every worker has a range of consecutive chunks, so that the memory it reads is contiguous. A worker that has finished
 * its range takes chunks from the ranges of others. Each range is on its own cache line. */
struct worker {
    _Alignas(64) atomic_size_t next; /* next chunk of the range to take */
    size_t end;
    tn_pool *pool;
    size_t index;
};

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_chunks(tn_pool *pool, size_t worker)
{
    for (size_t i = 0; i < pool->threads; i++) {
        struct worker *range = &pool->workers[(worker + i) % pool->threads];
        size_t chunk;
        while ((chunk = atomic_fetch_add_explicit(&range->next, 1, memory_order_relaxed)) < range->end)
            pool->run(pool->argument, chunk, worker);
    }
}

/* Returns when job number `seen` is no longer the current one, or at the end. */
static void wait_for_job(tn_pool *pool, unsigned seen)
{
    for (int turn = 0; turn < SPIN_TURNS; turn++) {
        if (atomic_load_explicit(&pool->job, memory_order_acquire) != seen)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&pool->lock);
    while (atomic_load_explicit(&pool->job, memory_order_acquire) == seen)
        pthread_cond_wait(&pool->wake, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

static void *work(void *argument)
{
    struct worker *self = argument;
    tn_pool *pool = self->pool;
    unsigned seen = 0;
    for (;;) {
        wait_for_job(pool, seen);
        seen++;
        if (atomic_load(&pool->stop))
            return NULL;
        take_chunks(pool, self->index);
        if (atomic_fetch_sub(&pool->busy, 1) == 1) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->done);
            pthread_mutex_unlock(&pool->lock);
        }
    }
}

static void publish(tn_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add_explicit(&pool->job, 1, memory_order_release);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

tenebra_code tn_pool_open(size_t threads, tn_pool **opened, tenebra_error *error)
{
    *opened = NULL;
    if (threads < 1 || threads > MAX_THREADS)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "threads", "%zu is not a number of threads between 1 and %d", threads, MAX_THREADS);
    tn_pool *pool = calloc(1, sizeof *pool);
    struct worker *workers = aligned_alloc(_Alignof(struct worker), threads * sizeof *workers);
    pthread_t *handles = calloc(threads, sizeof *handles);
    if (pool == NULL || workers == NULL || handles == NULL) {
        free(pool);
        free(workers);
        free(handles);
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "threads", "no memory for %zu threads", threads);
    }
    for (size_t i = 0; i < threads; i++) {
        workers[i].pool = pool;
        workers[i].index = i;
        workers[i].end = 0;
        atomic_init(&workers[i].next, 0);
    }
    pool->workers = workers;
    pool->handles = handles;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (pool->threads = 1; pool->threads < threads; pool->threads++) {
        if (pthread_create(&handles[pool->threads - 1], NULL, work, &workers[pool->threads]) != 0) {
            size_t started = pool->threads;
            tn_pool_close(pool);
            return tn_fail(error, TENEBRA_ERROR_MEMORY, "threads", "the system starts no more than %zu of %zu threads", started,
                           threads);
        }
    }
    *opened = pool;
    return TENEBRA_OK;
}

/* floor(chunks * part / parts) without a product that could overflow. */
static size_t share(size_t chunks, size_t part, size_t parts)
{
    return chunks / parts * part + chunks % parts * part / parts;
}

void tn_pool_run(tn_pool *pool, size_t chunks, tn_chunk_fn *run, void *argument)
{
    if (pool == NULL || pool->threads == 1 || chunks <= 1) {
        for (size_t chunk = 0; chunk < chunks; chunk++)
            run(argument, chunk, 0);
        return;
    }
    pool->run = run;
    pool->argument = argument;
    for (size_t i = 0; i < pool->threads; i++) {
        pool->workers[i].end = share(chunks, i + 1, pool->threads);
        atomic_store_explicit(&pool->workers[i].next, share(chunks, i, pool->threads), memory_order_relaxed);
    }
    atomic_store(&pool->busy, pool->threads - 1);
    publish(pool);
    take_chunks(pool, 0);
    for (int turn = 0; turn < SPIN_TURNS; turn++) {
        if (atomic_load_explicit(&pool->busy, memory_order_acquire) == 0)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&pool->lock);
    while (atomic_load(&pool->busy) != 0)
        pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

size_t tn_pool_threads(const tn_pool *pool)
{
    return pool ? pool->threads : 1;
}

void tn_pool_close(tn_pool *pool)
{
    if (pool == NULL)
        return;
    atomic_store(&pool->stop, true);
    publish(pool);
    for (size_t i = 1; i < pool->threads; i++)
        pthread_join(pool->handles[i - 1], NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool->handles);
    free(pool->workers);
    free(pool);
}

size_t tn_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (size_t)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (size_t)online : 1;
}
