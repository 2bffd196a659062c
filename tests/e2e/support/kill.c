/* Runs a program and kills it, and all that it started, at the n-th system call that changes a file.
 *
 *     kill N MODE PROGRAM [ARGUMENT ...]
 *
 * N counts from 1; 0 kills nobody. MODE "before": the call does not take place; "half": where it writes, half of its
 * bytes are written first (x86-64; elsewhere as "before"). Prints on the last line of stderr how many such calls were
 * seen and what the last one was: "calls: 57 write". Exit code: the program's, 137 if it was killed, 77 if the
 * system does not let a process be traced.
 *
 * Counted are opening for writing, write, pwrite64, writev, pwritev to files other than the standard streams, ftruncate,
 * fsync, fdatasync, rename, link, unlink, mkdir and rmdir with their *at forms. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* linux/ptrace.h and sys/ptrace.h cannot be included together everywhere: the request and its record (Linux 5.3). */
#define GET_SYSCALL_INFO ((enum __ptrace_request)0x420e)
enum { AT_ENTRY = 1 };
struct call {
    uint8_t kind, padding[3];
    uint32_t machine;
    uint64_t instruction, stack, number, arguments[6];
    uint64_t spare[4];
};

struct counted {
    long number;
    const char *name;
    int file, flags; /* which argument is a file descriptor, or opening flags; -1: none */
    bool writes;     /* its third argument is a number of bytes */
};

static const struct counted table[] = {
    { SYS_openat, "open", -1, 2, false },
#ifdef SYS_open
    { SYS_open, "open", -1, 1, false },         { SYS_rename, "rename", -1, -1, false },
    { SYS_unlink, "unlink", -1, -1, false },    { SYS_mkdir, "mkdir", -1, -1, false },
    { SYS_rmdir, "rmdir", -1, -1, false },      { SYS_link, "link", -1, -1, false },
#endif
    { SYS_write, "write", 0, -1, true },        { SYS_pwrite64, "pwrite", 0, -1, true },
    { SYS_writev, "writev", 0, -1, false },     { SYS_pwritev, "pwritev", 0, -1, false },
    { SYS_ftruncate, "ftruncate", 0, -1, false }, { SYS_fsync, "fsync", 0, -1, false },
    { SYS_fdatasync, "fdatasync", 0, -1, false }, { SYS_linkat, "link", -1, -1, false },
#ifdef SYS_renameat
    { SYS_renameat, "rename", -1, -1, false },
#endif
    { SYS_renameat2, "rename", -1, -1, false }, { SYS_unlinkat, "unlink", -1, -1, false },
    { SYS_mkdirat, "mkdir", -1, -1, false },
};

static const struct counted *find(const struct call *call)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct counted *row = &table[i];
        if ((uint64_t)row->number != call->number)
            continue;
        if (row->flags >= 0 && (call->arguments[row->flags] & O_ACCMODE) == O_RDONLY)
            return NULL;
        if (row->file >= 0 && (int)call->arguments[row->file] <= STDERR_FILENO)
            return NULL;
        return row;
    }
    return NULL;
}

/* Makes the call that is about to start write half of its bytes. */
static bool halve(pid_t thread, const struct counted *row, const struct call *call)
{
#ifdef __x86_64__
    struct user_regs_struct registers;
    if (!row->writes || call->arguments[2] < 2 || ptrace(PTRACE_GETREGS, thread, NULL, &registers) != 0)
        return false;
    registers.rdx /= 2;
    return ptrace(PTRACE_SETREGS, thread, NULL, &registers) == 0;
#else
    (void)thread, (void)row, (void)call;
    return false;
#endif
}

static pid_t start(char **command)
{
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(77);
        raise(SIGSTOP);
        execv(command[0], command);
        _exit(127);
    }
    return child;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    size_t target = strtoul(argv[1], NULL, 10), seen = 0;
    bool halves = strcmp(argv[2], "half") == 0, killed = false;
    const char *last = "none";
    pid_t child = start(argv + 3), killing = -1;
    int status, code = 1;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 77;
    if (!WIFSTOPPED(status))
        return WIFEXITED(status) ? WEXITSTATUS(status) : 77;
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SETOPTIONS, child, NULL, options) != 0) {
        kill(child, SIGKILL);
        return 77;
    }
    ptrace(PTRACE_SYSCALL, child, NULL, NULL);
    for (pid_t thread; (thread = waitpid(-1, &status, __WALL)) > 0;) {
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (thread == child)
                code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            continue;
        }
        int signal_number = WSTOPSIG(status), passed = 0;
        if (signal_number == (SIGTRAP | 0x80)) {
            struct call call;
            memset(&call, 0, sizeof call);
            if (thread == killing) { /* the halved write is done */
                killed = true;
            } else if (ptrace(GET_SYSCALL_INFO, thread, sizeof call, &call) > 0 && call.kind == AT_ENTRY) {
                const struct counted *row = find(&call);
                if (row != NULL && ++seen > 0)
                    last = row->name;
                if (row != NULL && seen == target) {
                    if (halves && halve(thread, row, &call))
                        killing = thread;
                    else
                        killed = true;
                }
            }
        } else if (signal_number != SIGTRAP && signal_number != SIGSTOP) {
            passed = signal_number;
        }
        if (killed)
            kill(-child, SIGKILL);
        ptrace(PTRACE_SYSCALL, thread, NULL, (void *)(intptr_t)passed);
    }
    fprintf(stderr, "calls: %zu %s\n", seen, last);
    return code;
}
