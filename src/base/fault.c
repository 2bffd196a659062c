#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
/* Mapped files that another program truncates. */
#include "tenebra.h"

#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Access after the end of a mapped file: maps a page of zeros there, and the thread continues. Code that reads a mapped
 * file calls tn_file_check before it uses the result. For any other cause of the signal, the faulting instruction runs
 * again and ends the process, as it would without a handler.
 * mmap is not in the list of functions that a handler may call (POSIX 2.4.3); on Linux it is a bare system call. */
static void patch_page(int number, siginfo_t *info, void *context)
{
    (void)context;
    uintptr_t size = (uintptr_t)sysconf(_SC_PAGESIZE), page = (uintptr_t)info->si_addr / size * size;
    if (info->si_code != BUS_ADRERR ||
        mmap((void *)page, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
        signal(number, SIG_DFL);
}

bool tenebra_faults_catch(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = patch_page;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, NULL) == 0;
}
