#include "eval/journal.h"

#include "base/clock.h"
#include "base/file.h"
#include "eval/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_LIMIT ((size_t)8 << 30)
enum { SYNC_MS = 2000, LINE_MAX_BYTES = 64 << 20 };

static tenebra_code no_memory(const char *path, tenebra_error *error)
{
    return tn_fail(error, TENEBRA_ERROR_MEMORY, path, "no memory for the results");
}

/* -------------------------------------------------------------- reading -- */

/* Where the next whole line ends; NULL: there is none any more. */
static const char *line_end(const char *at, const char *end)
{
    return at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
}

static json_t *parse_line(const char *line, size_t length, size_t number, const char *path, tenebra_error *error)
{
    char where[256];
    snprintf(where, sizeof where, "%.230s:%zu", path, number);
    if (length > LINE_MAX_BYTES) {
        tn_fail(error, TENEBRA_ERROR_LIMIT, where, "the line has more than %d bytes", LINE_MAX_BYTES);
        return NULL;
    }
    json_t *value = tn_json_parse(line, length, where, error);
    if (value != NULL && !json_is_object(value)) {
        tn_fail(error, TENEBRA_ERROR_FORMAT, where, "is no JSON object");
        json_decref(value);
        return NULL;
    }
    return value;
}

/* Reads a mapped file. *manifest NULL with success: the file has no whole line yet. *whole: bytes of whole lines. */
static tenebra_code read_lines(const tn_file *file, const char *path, json_t **manifest, tn_journal_fn *each, void *user,
                               size_t *whole, tenebra_error *error)
{
    const char *start = (const char *)file->data, *end = file->size > 0 ? start + file->size : start, *at = start, *newline;
    tenebra_code code = TENEBRA_OK;
    *manifest = NULL;
    for (size_t number = 1; code == TENEBRA_OK && (newline = line_end(at, end)) != NULL; number++, at = newline + 1) {
        json_t *line = parse_line(at, (size_t)(newline - at), number, path, error);
        if (line == NULL)
            code = error->code;
        else if (number == 1 && !json_is_integer(json_object_get(line, "tenebra_eval")))
            code = tn_fail(error, TENEBRA_ERROR_FORMAT, path, "is no result file of 'tenebra eval'");
        else if (number == 1)
            *manifest = json_incref(line);
        else
            code = each(user, line, error);
        json_decref(line);
    }
    *whole = (size_t)(at - start);
    return code;
}

tenebra_code tn_journal_read(const char *path, json_t **manifest, tn_journal_fn *each, void *user, tenebra_error *error)
{
    tn_file file;
    size_t whole;
    tenebra_error own;
    error = error != NULL ? error : &own;
    *manifest = NULL;
    TN_TRY(tn_file_read(&file, path, JOURNAL_LIMIT, error));
    tenebra_code code = read_lines(&file, path, manifest, each, user, &whole, error);
    if (code == TENEBRA_OK && *manifest == NULL)
        code = tn_fail(error, TENEBRA_ERROR_FORMAT, path, "is no result file of 'tenebra eval'");
    tn_file_close(&file);
    if (code != TENEBRA_OK) {
        json_decref(*manifest);
        *manifest = NULL;
    }
    return code;
}

/* -------------------------------------------------------------- opening -- */

/* Renames an older file to a name that is free. */
static tenebra_code put_aside(const char *path, tenebra_error *error)
{
    char *name = malloc(strlen(path) + 24);
    if (name == NULL)
        return no_memory(path, error);
    tenebra_code code = TENEBRA_OK;
    struct stat info;
    for (unsigned number = 1; code == TENEBRA_OK; number++) {
        sprintf(name, "%s.%u", path, number);
        if (lstat(name, &info) == 0)
            continue;
        if (rename(path, name) != 0 && errno != ENOENT)
            code = tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be renamed: %s", strerror(errno));
        break;
    }
    free(name);
    return code;
}

static tenebra_code lock(const tn_journal *journal, tenebra_error *error)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    if (fcntl(journal->file, F_SETLK, &whole) == 0)
        return TENEBRA_OK;
    if (errno == EACCES || errno == EAGAIN)
        return tn_fail(error, TENEBRA_ERROR_IO, journal->path, "another process is writing to it");
    return TENEBRA_OK; /* a file system without locks */
}

/* The whole file in memory, read through the descriptor that holds the lock: closing another would give it up. */
static tenebra_code load(const tn_journal *journal, tn_file *file, tenebra_error *error)
{
    struct stat info;
    *file = (tn_file){ 0 };
    if (fstat(journal->file, &info) != 0 || !S_ISREG(info.st_mode))
        return tn_fail(error, TENEBRA_ERROR_IO, journal->path, "is not a regular file");
    if ((unsigned long long)info.st_size > JOURNAL_LIMIT)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, journal->path, "has %lld bytes", (long long)info.st_size);
    size_t size = (size_t)info.st_size;
    unsigned char *bytes = malloc(size + 1);
    if (bytes == NULL)
        return no_memory(journal->path, error);
    for (size_t got = 0; got < size;) {
        ssize_t count = pread(journal->file, bytes + got, size - got, (off_t)got);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            free(bytes);
            return tn_fail(error, TENEBRA_ERROR_IO, journal->path, "cannot be read: %s", count < 0 ? strerror(errno) : "it shrinks");
        }
        got += (size_t)count;
    }
    *file = (tn_file){ .data = bytes, .size = size };
    return TENEBRA_OK;
}

static tenebra_code write_manifest(tn_journal *journal, const json_t *manifest, tenebra_error *error)
{
    if (ftruncate(journal->file, 0) != 0)
        return tn_fail(error, TENEBRA_ERROR_IO, journal->path, "cannot be written: %s", strerror(errno));
    char *text = json_dumps(manifest, JSON_COMPACT);
    if (text == NULL)
        return no_memory(journal->path, error);
    journal->synced = -1e18;
    tenebra_code code = tn_journal_append(journal, text, strlen(text), error);
    free(text);
    return code;
}

/* What begins like a manifest that was cut off may be written over; anything else is somebody's. */
static bool is_torn_start(const tn_file *file)
{
    static const char start[] = "{\"tenebra_eval\":";
    size_t length = file->size < sizeof start - 1 ? file->size : sizeof start - 1;
    return file->size == 0 || memcmp(file->data, start, length) == 0;
}

static tenebra_code go_on(tn_journal *journal, const json_t *manifest, tn_journal_fn *each, void *user, tenebra_error *error)
{
    tn_file file;
    json_t *saved = NULL;
    size_t whole = 0;
    TN_TRY(load(journal, &file, error));
    tenebra_code code = read_lines(&file, journal->path, &saved, each, user, &whole, error);
    if (code == TENEBRA_OK && saved == NULL && !is_torn_start(&file))
        code = tn_fail(error, TENEBRA_ERROR_FORMAT, journal->path, "is no result file of 'tenebra eval'; choose another name");
    if (code == TENEBRA_OK && saved == NULL)
        code = write_manifest(journal, manifest, error);
    else if (code == TENEBRA_OK)
        code = tn_eval_manifest_compare(manifest, saved, journal->path, error);
    if (code == TENEBRA_OK && saved != NULL && whole < file.size && ftruncate(journal->file, (off_t)whole) != 0)
        code = tn_fail(error, TENEBRA_ERROR_IO, journal->path, "cannot be written: %s", strerror(errno));
    json_decref(saved);
    free((void *)(uintptr_t)file.data);
    return code;
}

tenebra_code tn_journal_open(tn_journal *journal, const char *path, const json_t *manifest, bool anew, tn_journal_fn *each,
                             void *user, tenebra_error *error)
{
    *journal = (tn_journal){ .path = strdup(path), .file = -1 };
    if (journal->path == NULL)
        return no_memory(path, error);
    tenebra_code code = anew ? put_aside(path, error) : TENEBRA_OK;
    if (code == TENEBRA_OK) {
        journal->file = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (journal->file < 0)
            code = tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be opened: %s", strerror(errno));
    }
    if (code == TENEBRA_OK)
        code = lock(journal, error);
    tenebra_error own;
    if (code == TENEBRA_OK)
        code = go_on(journal, manifest, each, user, error != NULL ? error : &own);
    journal->synced = tn_clock_ms();
    if (code != TENEBRA_OK)
        tn_journal_close(journal, NULL);
    return code;
}

/* -------------------------------------------------------------- writing -- */

static tenebra_code sync_file(tn_journal *journal, tenebra_error *error)
{
    journal->synced = tn_clock_ms();
    if (fsync(journal->file) != 0 && errno != EINVAL && errno != ENOSYS)
        return tn_fail(error, TENEBRA_ERROR_IO, journal->path, "cannot be brought to the disk: %s", strerror(errno));
    return TENEBRA_OK;
}

tenebra_code tn_journal_append(tn_journal *journal, const char *line, size_t length, tenebra_error *error)
{
    char *whole = malloc(length + 1);
    if (whole == NULL)
        return no_memory(journal->path, error);
    memcpy(whole, line, length);
    whole[length++] = '\n';
    ssize_t written;
    do
        written = write(journal->file, whole, length);
    while (written < 0 && errno == EINTR);
    int reason = errno;
    free(whole);
    if (written < 0 || (size_t)written != length)
        return tn_fail(error, TENEBRA_ERROR_IO, journal->path, "cannot be written: %s",
                       written < 0 ? strerror(reason) : "the disk is full");
    return tn_clock_ms() - journal->synced > SYNC_MS ? sync_file(journal, error) : TENEBRA_OK;
}

tenebra_code tn_journal_close(tn_journal *journal, tenebra_error *error)
{
    tenebra_code code = TENEBRA_OK;
    if (journal->file >= 0) {
        code = sync_file(journal, error);
        close(journal->file);
    }
    free(journal->path);
    *journal = (tn_journal){ .file = -1 };
    return code;
}
