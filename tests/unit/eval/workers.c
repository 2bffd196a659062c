/* Processes that share work: every job once, deaths, failures, stopping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/workers.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS = 40, DEADLY = 7, LARGE = 300000 };

typedef struct record {
    size_t at_once;                   /* 0: 1 */
    size_t mine[JOBS], mine_count;    /* in progress, in the worker's memory */
    size_t most;                      /* that were, when this one was */
    bool cannot_open, all_deadly, none_deadly, turns;
    size_t seen[JOBS], dead[JOBS], lines, stop_after;
    atomic_bool stop;
    char why[256];
} record;

static tenebra_code open_state(void *user, void **state, tenebra_error *error)
{
    const record *r = user;
    if (r->cannot_open)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "here", "the door is %s", "locked");
    *state = user;
    return TENEBRA_OK;
}

static bool begin_job(void *state, size_t job)
{
    record *r = state;
    r->mine[r->mine_count++] = job;
    return true;
}

/* In every second call nothing is complete, otherwise the job that began last is. Job 3 gives a line that does not fit into a
 * pipe at once. */
static bool proceed(void *state, size_t *job, char **line)
{
    record *r = state;
    r->most = r->mine_count > r->most ? r->mine_count : r->most;
    if ((r->turns = !r->turns))
        return true;
    *job = r->mine[--r->mine_count];
    if (r->all_deadly || (*job == DEADLY && !r->none_deadly))
        raise(SIGKILL);
    *line = calloc(1, LARGE + 64);
    if (*line != NULL) {
        int length = snprintf(*line, 64, "job %zu of %03zu ", *job, r->most);
        if (*job == 3)
            memset(*line + length, 'x', LARGE);
    }
    return *line != NULL;
}

static void close_state(void *state) { (void)state; }

static tenebra_code done(void *user, size_t job, const char *line, size_t length, tenebra_error *error)
{
    record *r = user;
    char expected[64];
    (void)error;
    snprintf(expected, sizeof expected, "job %zu of ", job);
    assert_true(length == strlen(expected) + strlen("000 ") + (job == 3 ? LARGE : 0));
    assert_memory_equal(line, expected, strlen(expected));
    size_t most = strtoul(line + strlen(expected), NULL, 10);
    r->most = most > r->most ? most : r->most;
    r->seen[job]++;
    if (++r->lines == r->stop_after)
        atomic_store(&r->stop, true);
    return TENEBRA_OK;
}

static tenebra_code died(void *user, size_t job, const char *why, tenebra_error *error)
{
    record *r = user;
    (void)error;
    r->dead[job]++;
    snprintf(r->why, sizeof r->why, "%s", why);
    return TENEBRA_OK;
}

static tenebra_code run_workers(record *r, size_t workers, tenebra_error *error)
{
    const tn_workers_calls calls = { .open = open_state, .begin = begin_job, .proceed = proceed, .close = close_state, .done = done, .died = died,
                                  .leave = _exit };
    size_t jobs[JOBS];
    for (size_t i = 0; i < JOBS; i++)
        jobs[i] = i;
    tenebra_code code = tn_workers_run(workers, r->at_once > 0 ? r->at_once : 1, jobs, JOBS, &calls, r, &r->stop, error);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no process is left */
    return code;
}

static void test_every_job_once(void **state)
{
    (void)state;
    for (size_t at_once = 1; at_once <= 16; at_once += 5)
        for (size_t workers = 1; workers <= 64; workers = workers * 3 + 1) {
            record r = { .none_deadly = true, .at_once = at_once };
            assert_int_equal(run_workers(&r, workers, NULL), TENEBRA_OK);
            for (size_t i = 0; i < JOBS; i++)
                assert_true(r.seen[i] == 1 && r.dead[i] == 0);
            assert_true(r.most <= at_once && (workers > 1 || at_once == 1 || r.most > 1));
        }
}

static void test_a_death_costs_one_job(void **state)
{
    (void)state;
    for (size_t at_once = 1; at_once <= 16; at_once += 5) /* the others that were in progress are answered nevertheless */
        for (size_t workers = 1; workers <= 3; workers++) {
            record r = { .at_once = at_once };
            assert_int_equal(run_workers(&r, workers, NULL), TENEBRA_OK);
            for (size_t i = 0; i < JOBS; i++)
                assert_true(r.seen[i] == (i != DEADLY) && r.dead[i] == (i == DEADLY));
            assert_non_null(strstr(r.why, "signal 9"));
        }
}

static void test_only_deaths(void **state)
{
    (void)state;
    record r = { .all_deadly = true };
    tenebra_error error = { 0 };
    assert_int_equal(run_workers(&r, 2, &error), TENEBRA_ERROR_FORMAT);
    assert_non_null(strstr(error.sentence, "died"));
}

static void test_a_worker_that_cannot_open(void **state)
{
    (void)state;
    record r = { .cannot_open = true };
    tenebra_error error = { 0 };
    assert_int_equal(run_workers(&r, 2, &error), TENEBRA_ERROR_LIMIT);
    assert_string_equal(error.where, "here");
    assert_string_equal(error.sentence, "the door is locked");
}

static void test_stopping(void **state)
{
    (void)state;
    record r = { .none_deadly = true, .stop_after = 5 };
    tenebra_error error = { 0 };
    assert_int_equal(run_workers(&r, 2, &error), TENEBRA_ERROR_CANCELLED);
    assert_true(r.lines >= 5 && r.lines < JOBS);
}

static void test_numbers_of_workers(void **state)
{
    (void)state;
    record r = { .none_deadly = true };
    tenebra_error error = { 0 };
    assert_int_equal(run_workers(&r, 0, &error), TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(run_workers(&r, 100000, &error), TENEBRA_ERROR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_job_once),       cmocka_unit_test(test_a_death_costs_one_job),
        cmocka_unit_test(test_only_deaths),          cmocka_unit_test(test_a_worker_that_cannot_open),
        cmocka_unit_test(test_stopping),             cmocka_unit_test(test_numbers_of_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
