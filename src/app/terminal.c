#include "app/app.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A signal handler can access only globals: the one exception to the rule. Both are lock-free atomics, which a handler
 * may use (C17, 7.14.1.1). */
static atomic_bool interrupted;
static _Atomic(tenebra_session *) watched;

static void note_interrupt(int signal_number)
{
    if (atomic_exchange(&interrupted, true))
        _exit(128 + signal_number);
    tenebra_session *session = atomic_load(&watched);
    if (session != NULL)
        tenebra_session_cancel(session);
}

void tn_app_catch_interrupts(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = note_interrupt;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool tn_app_interrupted(void)
{
    return atomic_load(&interrupted);
}

const atomic_bool *tn_app_interrupt_flag(void)
{
    return &interrupted;
}

void tn_app_interrupt_session(tenebra_session *session)
{
    atomic_store(&watched, session);
}

/* A file that is opened later must not get the descriptor of a closed stream, because printed text would go into it. A
 * missing stdout becomes one that cannot be written to, so that the failure is reported. */
void tn_app_open_streams(void)
{
    static const int modes[] = { O_WRONLY, O_RDONLY, O_RDWR };
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        if (fcntl(stream, F_GETFD) == -1 && errno == EBADF && open("/dev/null", modes[stream]) == -1)
            return;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    sigaction(SIGXFSZ, &action, NULL);
}

static bool reader_has_left(void)
{
    struct pollfd state = { .fd = STDOUT_FILENO, .events = POLLOUT };
    return poll(&state, 1, 0) > 0 && (state.revents & POLLERR);
}

int tn_app_close_output(int exit_code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return exit_code;
    if (!reader_has_left())
        tn_app_tell("tenebra: stdout: could not be written to the end\n");
    return exit_code == TN_EXIT_OK ? TN_EXIT_FAILED : exit_code;
}

void tn_app_print_error(const tenebra_error *error)
{
    if (error->code == TENEBRA_ERROR_CANCELLED && tn_app_interrupted()) {
        tn_app_tell("%stenebra: interrupted\n", isatty(STDERR_FILENO) ? "\n" : ""); /* after "^C" or an incomplete
                                                                                     * answer */
        return;
    }
    tn_app_tell("tenebra: %s%s%s\n", error->where, error->where[0] ? ": " : "", error->sentence);
}

int tn_app_fail(const tenebra_error *error)
{
    tn_app_print_error(error);
    return error->code == TENEBRA_ERROR_ARGUMENT ? TN_EXIT_USAGE : TN_EXIT_FAILED;
}
