#include "train/log.h"

#include "base/file.h"
#include "base/output.h"
#include "train/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_MAX = 1 << 30 };

/* True if a complete line belongs to the updates up to `update`, or to the validations up to `validated`, which follow
 * the updates. */
static bool line_stays(const char *line, size_t length, uint64_t update, uint64_t validated)
{
    json_t *object = json_loadb(line, length, 0, NULL);
    const json_t *number = json_object_get(object, "update");
    uint64_t last = json_object_get(object, "validation_accuracy") != NULL ? validated : update;
    bool stays = json_is_integer(number) && json_integer_value(number) >= 0 && (uint64_t)json_integer_value(number) <= last;
    json_decref(object);
    return stays;
}

static tenebra_code keep_lines(const char *path, uint64_t update, uint64_t validated, tenebra_error *error)
{
    tn_file file;
    if (!tn_path_is_file(path))
        return TENEBRA_OK;
    TN_TRY(tn_file_read(&file, path, LOG_MAX, error));
    char *kept = malloc(file.size + 1);
    size_t length = 0;
    tenebra_code code = kept != NULL ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_MEMORY, path, "no memory for the log");
    const char *at = (const char *)file.data, *end = file.size > 0 ? at + file.size : at;
    while (code == TENEBRA_OK && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (newline == NULL)
            break;
        size_t size = (size_t)(newline - at) + 1;
        if (line_stays(at, size, update, validated)) {
            memcpy(kept + length, at, size);
            length += size;
        }
        at = newline + 1;
    }
    if (code == TENEBRA_OK && length != file.size)
        code = tn_output_put(path, kept, length, error);
    free(kept);
    tn_file_close(&file);
    return code;
}

tenebra_code tn_log_open(const char *path, uint64_t update, uint64_t validated, int *log, tenebra_error *error)
{
    *log = -1;
    TN_TRY(keep_lines(path, update, validated, error));
    struct stat info;
    tenebra_code code = TENEBRA_OK;
    int opened = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0666); /* do not wait for a pipe */
    if (opened < 0 || fstat(opened, &info) != 0)
        code = tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be opened: %s", strerror(errno));
    else if (!S_ISREG(info.st_mode))
        code = tn_fail(error, TENEBRA_ERROR_IO, path, "is not a regular file, as a log must be");
    if (code == TENEBRA_OK)
        *log = opened;
    else if (opened >= 0)
        close(opened);
    return code;
}

/* One system call per line, so that a reader sees complete lines. */
tenebra_code tn_log_append(int log, const char *path, json_t *line, tenebra_error *error)
{
    char *whole = line != NULL ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(line);
    if (whole == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, path, "no memory for a line of the log");
    size_t length = strlen(whole) + 1;
    whole[length - 1] = '\n'; /* in place of the end */
    size_t done = 0;
    int reason = 0;
    while (done < length && reason == 0) { /* unless the disk is full, in one call; then the second call gives the
                                            * reason */
        ssize_t written = write(log, whole + done, length - done);
        if (written < 0 && errno != EINTR)
            reason = errno;
        done += written > 0 ? (size_t)written : 0;
    }
    free(whole);
    if (reason != 0)
        return tn_output_fail(path, "written", reason, error);
    return TENEBRA_OK;
}
