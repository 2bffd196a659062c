#define _DEFAULT_SOURCE /* madvise */
#include "base/file.h"

#include "base/address.h"
#include "base/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_MAX = 1 << 30 /* bytes per system call: Linux accepts less than 2 GiB */ };

/* Opens a regular file and returns its size. O_NONBLOCK: opening a pipe without a writer must not block. */
static tenebra_code open_regular(const char *path, size_t limit, int *descriptor, struct stat *info, tenebra_error *error)
{
    *descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*descriptor < 0) {
        int reason = errno;
        const char *hint = tn_address_hint(path);
        return tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be opened: %s", hint != NULL ? hint : strerror(reason));
    }
    tenebra_code code = TENEBRA_OK;
    if (fstat(*descriptor, info) != 0)
        code = tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be examined: %s", strerror(errno));
    else if (!S_ISREG(info->st_mode))
        code = tn_fail(error, TENEBRA_ERROR_IO, path, "is not a regular file");
    else if (info->st_size < 0 || (unsigned long long)info->st_size > limit)
        code = tn_fail(error, TENEBRA_ERROR_LIMIT, path, "has %lld bytes, more than the limit of %zu", (long long)info->st_size,
                       limit);
    if (code != TENEBRA_OK)
        close(*descriptor);
    return code;
}

static tenebra_code read_all(int descriptor, unsigned char *data, size_t size, const char *path, tenebra_error *error)
{
    for (size_t done = 0; done < size;) {
        ssize_t count = read(descriptor, data + done, tn_min(size - done, READ_MAX));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be read: %s", strerror(errno));
        if (count == 0)
            return tn_fail(error, TENEBRA_ERROR_IO, path, "became shorter while it was read");
        done += (size_t)count;
    }
    return TENEBRA_OK;
}

tenebra_code tn_file_read(tn_file *file, const char *path, size_t limit, tenebra_error *error)
{
    struct stat info;
    int descriptor;
    memset(file, 0, sizeof *file);
    TN_TRY(open_regular(path, limit, &descriptor, &info, error));
    size_t size = (size_t)info.st_size;
    unsigned char *data = size > 0 ? malloc(size) : NULL;
    tenebra_code code = TENEBRA_OK;
    if (size > 0 && data == NULL)
        code = tn_fail(error, TENEBRA_ERROR_MEMORY, path, "no memory for its %zu bytes", size);
    else
        code = read_all(descriptor, data, size, path, error);
    close(descriptor);
    if (code == TENEBRA_OK)
        *file = (tn_file){ .data = data, .size = size };
    else
        free(data);
    return code;
}

tenebra_code tn_file_map(tn_file *file, const char *path, tenebra_error *error)
{
    struct stat info;
    int descriptor;
    memset(file, 0, sizeof *file);
    TN_TRY(open_regular(path, SIZE_MAX, &descriptor, &info, error));
    if (info.st_size == 0) {
        close(descriptor);
        return TENEBRA_OK;
    }
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (data == MAP_FAILED) {
        int reason = errno;
        close(descriptor);
        return tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be mapped: %s", strerror(reason));
    }
    *file = (tn_file){ data, (size_t)info.st_size, true, descriptor, info.st_mtim };
    return TENEBRA_OK;
}

tenebra_code tn_file_check(const tn_file *file, const char *path, tenebra_error *error)
{
    struct stat info;
    if (!file->mapped)
        return TENEBRA_OK;
    if (fstat(file->descriptor, &info) != 0)
        return tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be examined: %s", strerror(errno));
    if (info.st_size < 0 || (size_t)info.st_size < file->size)
        return tn_fail(error, TENEBRA_ERROR_IO, path, "was cut from %zu bytes to %lld while it was in use; start again with the "
                       "whole file", file->size, (long long)info.st_size);
    if (info.st_mtim.tv_sec != file->changed.tv_sec || info.st_mtim.tv_nsec != file->changed.tv_nsec)
        return tn_fail(error, TENEBRA_ERROR_IO, path, "was written to while it was in use; start again");
    return TENEBRA_OK;
}

void tn_file_forget(const tn_file *file, const void *begin, size_t bytes)
{
    const unsigned char *first = begin;
    if (!file->mapped || first < file->data || first > file->data + file->size || bytes > file->size - (size_t)(first - file->data))
        return;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), start = (size_t)(first - file->data), end = start + bytes;
    start = tn_pieces(start, page) * page;
    end = end / page * page;
    if (start < end)
        madvise((void *)(uintptr_t)(file->data + start), end - start, MADV_DONTNEED);
}

void tn_file_close(tn_file *file)
{
    void *data = (void *)(uintptr_t)file->data;
    if (file->mapped) {
        munmap(data, file->size);
        close(file->descriptor);
    } else {
        free(data);
    }
    memset(file, 0, sizeof *file);
}

tenebra_code tn_lfs_check(const void *bytes, size_t size, const char *name, tenebra_error *error)
{
    /* Source: the specification of Git LFS, "The Pointer". */
    static const char first[] = "version https://git-lfs.github.com/spec/";
    if (size < sizeof first - 1 || memcmp(bytes, first, sizeof first - 1) != 0)
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "is a Git LFS pointer, not the file itself; fetch the file with "
                   "'git lfs pull' where it was cloned");
}

tenebra_code tn_path_print(tn_path *path, tenebra_error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(path->text, sizeof path->text, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof path->text)
        return tn_fail(error, TENEBRA_ERROR_IO, path->text, "a path of more than %zu bytes cannot be opened", sizeof path->text - 1);
    return TENEBRA_OK;
}

char *tn_path_join(const char *directory, const char *name)
{
    size_t length = strlen(directory) + strlen(name) + 2;
    char *path = malloc(length);
    if (path != NULL)
        snprintf(path, length, "%s/%s", directory, name);
    return path;
}

bool tn_path_is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool tn_path_is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}
