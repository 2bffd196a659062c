#include "eval/workers.h"

#include "base/checked.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TICK_MS = 200, WORKERS_MAX = 256, DEATHS_MAX = 20 };
#define MESSAGE_MAX ((size_t)1 << 30)

typedef enum message_kind { MESSAGE_LINE = 1, MESSAGE_FAILURE } message_kind;

/* Header of each message of a worker: `length` bytes follow, a line or a tenebra_error. */
typedef struct header {
    size_t kind, job, length;
} header;

typedef struct worker {
    pid_t process;   /* 0: none              */
    int jobs, lines; /* this side's ends; -1: closed */
    size_t jobs_given[TN_WORKERS_JOBS_MAX], given; /* in progress */
    bool alone;      /* replaces one that died: one job at a time until there are no suspects */
    header head;
    size_t got;      /* bytes of header and text received so far */
    char *text;
} worker;

typedef struct job_run {
    const tn_workers_calls *calls;
    void *user;
    const size_t *jobs;
    size_t count, next; /* jobs[next] is assigned next */
    size_t at_once;
    size_t *suspects;   /* [suspect_count] jobs that were in progress together when a worker died */
    size_t suspect_count;
    worker *workers;
    size_t worker_count;
    size_t deaths;      /* consecutive deaths of workers */
} job_run;

/* Transfers all bytes, or returns false. */
static bool write_all(int file, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t count = write(file, at, length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        at += count;
        length -= (size_t)count;
    }
    return true;
}

static bool read_all(int file, void *bytes, size_t length)
{
    char *at = bytes;
    while (length > 0) {
        ssize_t count = read(file, at, length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        at += count;
        length -= (size_t)count;
    }
    return true;
}

/* ---------------------------------------------------- in the new process -- */

static bool send_message(int file, message_kind kind, size_t job, const void *bytes, size_t length)
{
    header head = { kind, job, length };
    return write_all(file, &head, sizeof head) && write_all(file, bytes, length);
}

/* Whether something can be read, or the other side is closed. */
static bool is_waiting(int file)
{
    struct pollfd one = { .fd = file, .events = POLLIN };
    return poll(&one, 1, 0) > 0;
}

static void work(const job_run *c, int jobs, int lines)
{
    tenebra_error error = { 0 };
    void *state = NULL;
    size_t busy = 0, job;
    bool more = c->calls->open(c->user, &state, &error) == TENEBRA_OK, fits = true;
    if (!more)
        send_message(lines, MESSAGE_FAILURE, 0, &error, sizeof error);
    tn_fail(&error, TENEBRA_ERROR_MEMORY, "eval", "no memory for a record");
    while (more || busy > 0) {
        while (fits && more && busy < c->at_once && (busy == 0 || is_waiting(jobs)) && (more = read_all(jobs, &job, sizeof job))) {
            fits = c->calls->begin(state, job);
            busy++;
        }
        char *line = NULL;
        fits = fits && (busy == 0 || c->calls->proceed(state, &job, &line));
        if (!fits)
            send_message(lines, MESSAGE_FAILURE, 0, &error, sizeof error);
        bool sent = fits && (line == NULL || send_message(lines, MESSAGE_LINE, job, line, strlen(line)));
        more = more && sent;
        busy = sent ? busy - (line != NULL) : 0;
        free(line);
    }
    if (state != NULL)
        c->calls->close(state);
}

/* Ctrl-C reaches every process of a terminal; only the first one handles it. */
static void calm_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_IGN;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGPIPE, &action, NULL);
    action.sa_handler = SIG_DFL;
    sigaction(SIGTERM, &action, NULL);
}

/* Closes the pipes of the other workers, because as long as one process keeps a pipe open, its end is not noticed. */
static void close_others(const job_run *c)
{
    for (size_t i = 0; i < c->worker_count; i++) {
        if (c->workers[i].jobs >= 0)
            close(c->workers[i].jobs);
        if (c->workers[i].lines >= 0)
            close(c->workers[i].lines);
    }
}

/* -------------------------------------------------- in the first process -- */

static tenebra_code start_worker(job_run *c, worker *w, tenebra_error *error)
{
    int jobs[2], lines[2];
    *w = (worker){ .jobs = -1, .lines = -1 };
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, jobs) != 0) /* not a pipe: writing to a pipe without a reader raises a
                                                         * signal */
        return tn_fail(error, TENEBRA_ERROR_IO, "workers", "a pipe cannot be made: %s", strerror(errno));
    if (pipe(lines) != 0) {
        close(jobs[0]);
        close(jobs[1]);
        return tn_fail(error, TENEBRA_ERROR_IO, "workers", "a pipe cannot be made: %s", strerror(errno));
    }
    w->process = fork();
    if (w->process == 0) {
        close_others(c);
        close(jobs[1]);
        close(lines[0]);
        calm_signals();
        work(c, jobs[0], lines[1]);
        c->calls->leave(0);
    }
    close(jobs[0]);
    close(lines[1]);
    w->jobs = jobs[1];
    w->lines = lines[0];
    return w->process > 0 ? TENEBRA_OK
                          : tn_fail(error, TENEBRA_ERROR_IO, "workers", "a process cannot be started: %s", strerror(errno));
}

/* Gives the worker its next jobs or, if there are none, tells it to end. */
static void assign(job_run *c, worker *w)
{
    w->alone = w->alone && (c->suspect_count > 0 || w->given > 0);
    while (w->given < (w->alone ? 1 : c->at_once) && (w->alone ? c->suspect_count > 0 : c->next < c->count)) {
        size_t job = w->alone ? c->suspects[--c->suspect_count] : c->jobs[c->next++];
        w->jobs_given[w->given++] = job;
        (void)send(w->jobs, &job, sizeof job, MSG_NOSIGNAL); /* if this fails, the end of its lines will be noticed */
    }
    if (w->given == 0) {
        close(w->jobs);
        w->jobs = -1;
    }
}

static int await(worker *w)
{
    int status = 0;
    while (w->process > 0 && waitpid(w->process, &status, 0) < 0 && errno == EINTR)
        ;
    w->process = 0;
    return status;
}

static void dismiss(worker *w)
{
    if (w->jobs >= 0)
        close(w->jobs);
    if (w->lines >= 0)
        close(w->lines);
    w->jobs = w->lines = -1;
    free(w->text);
    w->text = NULL;
}

/* Handles the end of a worker's lines: it ended because there were no more jobs, or it died. */
static tenebra_code end_worker(job_run *c, worker *w, tenebra_error *error)
{
    size_t given = w->given, job = w->jobs_given[0];
    dismiss(w);
    int status = await(w);
    if (given == 0)
        return TENEBRA_OK;
    for (size_t i = given; given > 1 && i > 0; i--) /* suspects are assigned from the end of the list */
        c->suspects[c->suspect_count++] = w->jobs_given[i - 1];
    char why[128];
    if (WIFSIGNALED(status))
        snprintf(why, sizeof why, "the process that answered it was ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(why, sizeof why, "the process that answered it ended with code %d", WEXITSTATUS(status));
    if (given == 1)
        TN_TRY(c->calls->died(c->user, job, why, error));
    if (++c->deaths >= DEATHS_MAX)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, "workers", "%d processes died one after the other: %s", DEATHS_MAX, why);
    TN_TRY(start_worker(c, w, error));
    w->alone = c->suspect_count > 0;
    assign(c, w);
    return TENEBRA_OK;
}

static void forget(worker *w, size_t job)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->given; i++)
        if (w->jobs_given[i] != job)
            w->jobs_given[kept++] = w->jobs_given[i];
    w->given = kept;
}

static tenebra_code take_message(job_run *c, worker *w, tenebra_error *error)
{
    if (w->head.kind == MESSAGE_FAILURE) {
        tenebra_error theirs = { 0 };
        memcpy(&theirs, w->text, tn_min(w->head.length, sizeof theirs));
        theirs.where[sizeof theirs.where - 1] = theirs.sentence[sizeof theirs.sentence - 1] = '\0';
        return tn_fail(error, theirs.code, theirs.where, "%s", theirs.sentence);
    }
    forget(w, w->head.job);
    c->deaths = 0;
    tenebra_code code = c->calls->done(c->user, w->head.job, w->text, w->head.length, error);
    free(w->text);
    w->text = NULL;
    w->got = 0;
    if (code == TENEBRA_OK)
        assign(c, w);
    return code;
}

/* Reads what a worker has written so far. */
static tenebra_code read_worker(job_run *c, worker *w, tenebra_error *error)
{
    bool in_header = w->got < sizeof w->head;
    char *to = in_header ? (char *)&w->head + w->got : w->text + (w->got - sizeof w->head);
    size_t room = in_header ? sizeof w->head - w->got : sizeof w->head + w->head.length - w->got;
    ssize_t count = read(w->lines, to, room);
    if (count < 0 && errno == EINTR)
        return TENEBRA_OK;
    if (count <= 0)
        return end_worker(c, w, error);
    w->got += (size_t)count;
    if (in_header && w->got == sizeof w->head) {
        w->text = w->head.length < MESSAGE_MAX ? malloc(w->head.length + 1) : NULL;
        if (w->text == NULL)
            return tn_fail(error, TENEBRA_ERROR_MEMORY, "workers", "no memory for a record of %zu bytes", w->head.length);
    }
    return w->got == sizeof w->head + w->head.length ? take_message(c, w, error) : TENEBRA_OK;
}

static tenebra_code watch_workers(job_run *c, const atomic_bool *stop, tenebra_error *error)
{
    struct pollfd files[WORKERS_MAX];
    for (;;) {
        size_t open = 0;
        for (size_t i = 0; i < c->worker_count; i++) {
            files[i] = (struct pollfd){ .fd = c->workers[i].lines, .events = POLLIN };
            open += c->workers[i].lines >= 0;
        }
        if (open == 0)
            return TENEBRA_OK;
        if (poll(files, c->worker_count, TICK_MS) < 0 && errno != EINTR)
            return tn_fail(error, TENEBRA_ERROR_IO, "workers", "cannot be waited for: %s", strerror(errno));
        if (stop != NULL && atomic_load(stop))
            return tn_fail(error, TENEBRA_ERROR_CANCELLED, "eval", "was stopped");
        for (size_t i = 0; i < c->worker_count; i++)
            if (files[i].fd >= 0 && (files[i].revents & (POLLIN | POLLHUP | POLLERR)))
                TN_TRY(read_worker(c, &c->workers[i], error));
        if (c->calls->tick != NULL)
            c->calls->tick(c->user);
    }
}

tenebra_code tn_workers_run(size_t workers, size_t at_once, const size_t *jobs, size_t count, const tn_workers_calls *calls, void *user,
                         const atomic_bool *stop, tenebra_error *error)
{
    if (count == 0)
        return TENEBRA_OK;
    if (workers == 0 || workers > WORKERS_MAX)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "workers", "%zu is not a number from 1 to %d", workers, WORKERS_MAX);
    if (at_once == 0 || at_once > TN_WORKERS_JOBS_MAX)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "parallel", "%zu is not a number from 1 to %d", at_once, TN_WORKERS_JOBS_MAX);
    job_run c = { .calls = calls, .user = user, .jobs = jobs, .count = count, .worker_count = tn_min(workers, count) };
    c.at_once = tn_min(at_once, (count - 1) / c.worker_count + 1); /* every worker gets some jobs */
    c.workers = calloc(c.worker_count, sizeof *c.workers);
    c.suspects = calloc(c.worker_count * at_once, sizeof *c.suspects);
    if (c.workers == NULL || c.suspects == NULL) {
        free(c.workers);
        free(c.suspects);
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "workers", "no memory");
    }
    for (size_t i = 0; i < c.worker_count; i++)
        c.workers[i].jobs = c.workers[i].lines = -1;
    tenebra_code code = TENEBRA_OK;
    for (size_t i = 0; i < c.worker_count && code == TENEBRA_OK; i++) {
        code = start_worker(&c, &c.workers[i], error);
        if (code == TENEBRA_OK)
            assign(&c, &c.workers[i]);
    }
    if (code == TENEBRA_OK)
        code = watch_workers(&c, stop, error);
    for (size_t i = 0; i < c.worker_count; i++) {
        if (c.workers[i].process > 0)
            kill(c.workers[i].process, SIGKILL);
        await(&c.workers[i]);
        dismiss(&c.workers[i]);
    }
    free(c.workers);
    free(c.suspects);
    return code;
}
