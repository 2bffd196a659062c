#include "app/input.h"

#include "base/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool tn_input_is_stream(const char *path)
{
    struct stat info;
    return strcmp(path, "-") == 0 || (stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode));
}

static tenebra_code read_to_end(int descriptor, const char *name, size_t limit, char **bytes, size_t *length, tenebra_error *error)
{
    size_t capacity = 1 << 16;
    char *grown = *bytes = malloc(capacity);
    for (*length = 0; grown != NULL;) {
        ssize_t count = read(descriptor, *bytes + *length, capacity - *length - 1);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return tn_fail(error, TENEBRA_ERROR_IO, name, "cannot be read: %s", strerror(errno));
        *length += (size_t)count;
        (*bytes)[*length] = '\0';
        if (*length > limit)
            return tn_fail(error, TENEBRA_ERROR_LIMIT, name, "holds more than %zu bytes", limit);
        if (count == 0)
            return TENEBRA_OK;
        if (*length + 1 == capacity && (grown = realloc(*bytes, capacity *= 2)) != NULL)
            *bytes = grown;
    }
    return tn_fail(error, TENEBRA_ERROR_MEMORY, name, "no memory");
}

tenebra_code tn_input_read(const char *path, size_t limit, char **bytes, size_t *length, tenebra_error *error)
{
    bool own = strcmp(path, "-") != 0;
    int descriptor = own ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    const char *name = own ? path : "stdin";
    *bytes = NULL;
    *length = 0;
    if (descriptor < 0)
        return tn_fail(error, TENEBRA_ERROR_IO, name, "cannot be opened: %s", strerror(errno));
    tenebra_code code = read_to_end(descriptor, name, limit, bytes, length, error);
    if (own)
        close(descriptor);
    if (code != TENEBRA_OK) {
        free(*bytes);
        *bytes = NULL;
    }
    return code;
}
