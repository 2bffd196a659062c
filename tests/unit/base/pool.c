/* The pool of threads: every chunk runs once, on whichever thread, and a pool may be run again immediately. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/pool.h"

enum { MOST = 1000 };

typedef struct job {
    atomic_int ran[MOST];
    atomic_size_t wrong; /* workers that do not exist */
    size_t threads;
} job;

static void run_chunk(void *argument, size_t chunk, size_t worker)
{
    job *j = argument;
    atomic_fetch_add(&j->ran[chunk], 1);
    if (worker >= j->threads)
        atomic_fetch_add(&j->wrong, 1);
}

static void each_chunk_runs_once(void **state)
{
    (void)state;
    static const size_t chunks[] = { 0, 1, 2, 3, 7, 64, MOST };
    for (size_t threads = 0; threads <= 5; threads++) { /* 0: no pool */
        tn_pool *pool = NULL;
        if (threads > 0)
            tn_pool_open(threads, &pool, NULL);
        assert_true((pool == NULL) == (threads == 0));
        assert_int_equal(tn_pool_threads(pool), threads > 0 ? threads : 1);
        for (size_t round = 0; round < 50; round++) {
            size_t count = chunks[round % (sizeof chunks / sizeof *chunks)];
            static job j;
            memset(&j, 0, sizeof j);
            j.threads = tn_pool_threads(pool);
            tn_pool_run(pool, count, run_chunk, &j);
            for (size_t i = 0; i < MOST; i++)
                assert_int_equal(atomic_load(&j.ran[i]), i < count);
            assert_int_equal(atomic_load(&j.wrong), 0);
        }
        tn_pool_close(pool);
    }
}

static void a_wrong_number_of_threads_is_an_error(void **state)
{
    (void)state;
    static const size_t wrong[] = { 0, (size_t)-1 };
    for (size_t i = 0; i < 2; i++) {
        tenebra_error error = { 0 };
        tn_pool *pool;
        assert_int_equal(tn_pool_open(wrong[i], &pool, &error), TENEBRA_ERROR_ARGUMENT);
        assert_null(pool);
        assert_string_equal(error.where, "threads");
    }
    assert_true(tn_cpu_count() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_chunk_runs_once),
        cmocka_unit_test(a_wrong_number_of_threads_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
