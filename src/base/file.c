#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static tenebra_code map_open_file(tn_file *file, int descriptor, const char *path, size_t limit,
                                  tenebra_error *error)
{
    struct stat info;
    if (fstat(descriptor, &info) != 0)
        return tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be examined: %s", strerror(errno));
    if (!S_ISREG(info.st_mode))
        return tn_fail(error, TENEBRA_ERROR_IO, path, "is not a regular file");
    if (info.st_size < 0 || (unsigned long long)info.st_size > limit)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, path, "has %lld bytes, more than the limit of %zu",
                       (long long)info.st_size, limit);
    if (info.st_size == 0)
        return TENEBRA_OK;
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (data == MAP_FAILED)
        return tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be mapped: %s", strerror(errno));
    file->data = data;
    file->size = (size_t)info.st_size;
    return TENEBRA_OK;
}

tenebra_code tn_file_map_limited(tn_file *file, const char *path, size_t limit, tenebra_error *error)
{
    memset(file, 0, sizeof *file);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        return tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be opened: %s", strerror(errno));
    tenebra_code code = map_open_file(file, descriptor, path, limit, error);
    close(descriptor);
    return code;
}

tenebra_code tn_file_map(tn_file *file, const char *path, tenebra_error *error)
{
    return tn_file_map_limited(file, path, SIZE_MAX, error);
}

void tn_file_unmap(tn_file *file)
{
    if (file->data != NULL)
        munmap((void *)(uintptr_t)file->data, file->size);
    memset(file, 0, sizeof *file);
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
