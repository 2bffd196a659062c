#include "app/app.h"

#include "base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A signal handler can reach nothing but a global: the one exception to the rule. */
static volatile sig_atomic_t interrupts;

static void count_interrupt(int signal_number)
{
    if (++interrupts > 1)
        _exit(128 + signal_number);
}

void tn_app_catch_interrupts(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = count_interrupt;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool tn_app_interrupted(void)
{
    return interrupts > 0;
}

void tn_app_print_error(const tenebra_error *error)
{
    fprintf(stderr, "tenebra: %s%s%s\n", error->where, error->where[0] ? ": " : "", error->sentence);
}

int tn_app_fail(const tenebra_error *error)
{
    tn_app_print_error(error);
    return error->code == TENEBRA_ERROR_ARGUMENT ? TN_EXIT_USAGE : TN_EXIT_FAILED;
}

void tn_app_progress(const char *label, size_t done, size_t total, double started_ms)
{
    enum { WIDTH = 30 };
    if (total == 0 || !isatty(STDERR_FILENO))
        return;
    double seconds = (tn_clock_ms() - started_ms) / 1e3;
    double left = done ? seconds * (double)(total - done) / (double)done : 0;
    char bar[WIDTH + 1];
    size_t filled = done * WIDTH / total;
    for (size_t i = 0; i < WIDTH; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[WIDTH] = '\0';
    fprintf(stderr, "\r%s [%s] %zu/%zu  %.0f s, %.0f s to go \033[K%s", label, bar, done, total, seconds, left,
            done == total ? "\n" : "");
}
