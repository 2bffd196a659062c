/* Loaded before the program (LD_PRELOAD): counts the requests for memory from main on and refuses some.
 *
 *   MEMORY_REFUSE=N     the N-th request (from 1) fails; 0 or absent: none
 *   MEMORY_REFUSE_ON=1  and all after it
 *   MEMORY_REQUESTS=F   the number of requests is written to the file F when the program ends
 *
 * Requests are malloc, calloc, realloc, posix_memalign, aligned_alloc, anonymous and file mappings, and threads. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static atomic_size_t requests;
static atomic_bool counting;
static size_t refused;
static bool onwards;
static const char *report;

static bool refuse(void)
{
    if (!atomic_load(&counting))
        return false;
    size_t number = atomic_fetch_add(&requests, 1) + 1;
    return refused != 0 && (number == refused || (onwards && number > refused));
}

void *malloc(size_t size)
{
    if (!refuse())
        return __libc_malloc(size);
    errno = ENOMEM;
    return NULL;
}

void *calloc(size_t count, size_t size)
{
    if (!refuse())
        return __libc_calloc(count, size);
    errno = ENOMEM;
    return NULL;
}

void *realloc(void *old, size_t size)
{
    if (!refuse())
        return __libc_realloc(old, size);
    errno = ENOMEM;
    return NULL;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    if (!refuse())
        return __libc_memalign(alignment, size);
    errno = ENOMEM;
    return NULL;
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    if (refuse() || (*memory = __libc_memalign(alignment, size)) == NULL)
        return ENOMEM;
    return 0;
}

void *mmap(void *at, size_t size, int protection, int flags, int file, off_t offset)
{
    if (!refuse())
        return (void *)syscall(SYS_mmap, at, size, protection, flags, file, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (refuse())
        return EAGAIN;
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    return real(thread, attributes, start, argument);
}

static void write_report(void)
{
    atomic_store(&counting, false);
    char text[32];
    int length = snprintf(text, sizeof text, "%zu\n", atomic_load(&requests));
    int file = report != NULL ? open(report, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
    if (file >= 0) {
        ssize_t written = write(file, text, (size_t)length);
        (void)written;
        close(file);
    }
}

static int (*real_main)(int, char **, char **);

static int counted_main(int argc, char **argv, char **environment)
{
    const char *number = getenv("MEMORY_REFUSE");
    refused = number != NULL ? strtoul(number, NULL, 10) : 0;
    onwards = getenv("MEMORY_REFUSE_ON") != NULL;
    report = getenv("MEMORY_REQUESTS");
    atomic_store(&counting, true);
    int code = real_main(argc, argv, environment);
    write_report();
    return code;
}

int __libc_start_main(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void), void (*)(void), void *);

int __libc_start_main(int (*program)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*loader_fini)(void), void *stack)
{
    int (*start)(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void), void (*)(void), void *);
    *(void **)&start = dlsym(RTLD_NEXT, "__libc_start_main");
    real_main = program;
    return start(counted_main, argc, argv, init, fini, loader_fini, stack);
}
