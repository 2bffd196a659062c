#include "eval/journal.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mark.h"
#include "base/output.h"
#include "eval/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_LIMIT ((size_t)8 << 30)
enum { SYNC_MS = 2000, LINE_MAX_BYTES = 64 << 20 };

/* -------------------------------------------------------------- reading -- */

static tenebra_code parse_line(const char *line, size_t length, size_t number, const char *path, json_t **value, tenebra_error *error)
{
    char where[256];
    snprintf(where, sizeof where, "%.230s:%zu", path, number);
    if (length > LINE_MAX_BYTES)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, where, "the line has more than %d bytes", LINE_MAX_BYTES);
    TN_TRY(tn_json_parse(line, length, where, value, error));
    if (json_is_object(*value))
        return TENEBRA_OK;
    json_decref(*value);
    return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "is not a JSON object");
}

/* A file while it is read. */
typedef struct reading {
    const char *path;
    json_t *manifest; /* the manifest in effect; NULL: none yet */
    tn_digest digest; /* of it                                */
    bool sealed;      /* it has one                           */
    size_t number;    /* of the line                          */
    size_t whole;     /* bytes of complete lines              */
    tn_journal_fn *each;
    void *user;
} reading;

static tenebra_code broken(const reading *r, const char *what, tenebra_error *error)
{
    char where[256];
    snprintf(where, sizeof where, "%.230s:%zu", r->path, r->number);
    return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "%s; restore the file, or start again with --force-new", what);
}

/* A line that was changed or is from another file does not count. */
static tenebra_code check_seal(reading *r, const char *line, size_t length, bool first, tenebra_error *error)
{
    tn_digest digest = { { 0 } };
    tn_seal seal = tn_seal_check(line, length, first ? NULL : &r->digest, &digest);
    bool expected = r->sealed;
    if (first) {
        r->sealed = seal != TN_SEAL_NONE;
        r->digest = digest;
    }
    if (seal == TN_SEAL_BROKEN)
        return broken(r, "the line was changed after it was written: its digest does not match", error);
    return seal == TN_SEAL_NONE && expected ? broken(r, "the line has no digest at its end, as the others have", error) : TENEBRA_OK;
}

static tenebra_code read_line(reading *r, const char *line, size_t length, tenebra_error *error)
{
    json_t *value;
    TN_TRY(parse_line(line, length, r->number, r->path, &value, error));
    bool manifest = json_is_integer(json_object_get(value, "tenebra_eval"));
    tenebra_code code = r->manifest == NULL && !manifest
                            ? tn_fail(error, TENEBRA_ERROR_FORMAT, r->path, "is not a result file of 'tenebra eval'")
                            : check_seal(r, line, length, manifest, error);
    if (code == TENEBRA_OK && manifest) {
        json_decref(r->manifest);
        r->manifest = json_incref(value);
    } else if (code == TENEBRA_OK) {
        code = r->each(r->user, value, error);
    }
    json_decref(value);
    return code;
}

static tenebra_code read_lines(reading *r, const char *bytes, size_t size, tenebra_error *error)
{
    const char *end = size > 0 ? bytes + size : bytes, *at = size > 0 ? bytes + tn_mark_length(bytes, size) : bytes, *newline;
    tenebra_code code = TENEBRA_OK;
    for (; code == TENEBRA_OK && (newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL) != NULL; at = newline + 1) {
        size_t length = (size_t)(newline - at);
        r->number++;
        code = read_line(r, at, length - (length > 0 && at[length - 1] == '\r'), error); /* line ends of Windows change nothing */
    }
    r->whole = (size_t)(at - bytes);
    return code;
}

tenebra_code tn_journal_parse(const void *bytes, size_t length, const char *path, json_t **manifest, tn_journal_fn *each, void *user,
                              tenebra_error *error)
{
    reading r = { .path = path, .each = each, .user = user };
    tenebra_code code = read_lines(&r, bytes, length, error);
    if (code == TENEBRA_OK && r.manifest == NULL)
        code = tn_fail(error, TENEBRA_ERROR_FORMAT, path, "is not a result file of 'tenebra eval'");
    *manifest = code == TENEBRA_OK ? r.manifest : NULL;
    if (code != TENEBRA_OK)
        json_decref(r.manifest);
    return code;
}

tenebra_code tn_journal_read(const char *path, json_t **manifest, tn_journal_fn *each, void *user, tenebra_error *error)
{
    tn_file file;
    *manifest = NULL;
    TN_TRY(tn_file_read(&file, path, JOURNAL_LIMIT, error));
    tenebra_code code = tn_journal_parse(file.data, file.size, path, manifest, each, user, error);
    tn_file_close(&file);
    return code;
}

/* -------------------------------------------------------------- opening -- */

static tenebra_code lock(int file, const char *path, tenebra_error *error)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    if (fcntl(file, F_SETLK, &whole) == 0)
        return TENEBRA_OK;
    if (errno == EACCES || errno == EAGAIN)
        return tn_fail(error, TENEBRA_ERROR_IO, path, "another process is writing to it");
    return TENEBRA_OK; /* the file system has no locks */
}

static tenebra_code rename_aside(const char *path, tenebra_error *error)
{
    char *name = malloc(strlen(path) + 24);
    if (name == NULL)
        return tn_fail_memory(error, path);
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

/* Renames an older file to a free name, unless another process writes to it. */
static tenebra_code put_aside(const char *path, tenebra_error *error)
{
    int file = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file < 0 && errno == ENOENT)
        return TENEBRA_OK;
    tenebra_code code = file >= 0 ? lock(file, path, error) : TENEBRA_OK;
    if (code == TENEBRA_OK)
        code = rename_aside(path, error);
    if (file >= 0)
        close(file);
    return code;
}

/* True if the path still leads to the file that was opened: another process may have renamed it before this one got the
 * lock. */
static bool is_still_there(const tn_journal *journal)
{
    struct stat opened, named;
    return fstat(journal->file, &opened) == 0 && stat(journal->path, &named) == 0 && opened.st_dev == named.st_dev &&
           opened.st_ino == named.st_ino;
}

/* The whole file in memory, read through the descriptor that holds the lock, because closing another descriptor would
 * release it. */
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
        return tn_fail_memory(error, journal->path);
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

static tenebra_code sync_file(tn_journal *journal, tenebra_error *error)
{
    journal->synced = tn_clock_ms();
    if (fsync(journal->file) != 0 && errno != EINVAL && errno != ENOSYS)
        return tn_fail(error, TENEBRA_ERROR_IO, journal->path, "cannot be synced to the disk: %s", strerror(errno));
    return TENEBRA_OK;
}

/* Appends a line with its seal. */
static tenebra_code append(tn_journal *journal, const char *line, size_t length, const tn_digest *before, tn_digest *digest,
                           tenebra_error *error)
{
    size_t sealed;
    char *whole = tn_seal_line(line, length, before, &sealed, digest);
    if (whole == NULL)
        return tn_fail_memory(error, journal->path);
    whole[sealed++] = '\n'; /* replaces the final zero */
    size_t done = 0;
    int reason = 0;
    while (done < sealed && reason == 0) { /* one call, unless the disk is full: then the second call gives the reason */
        ssize_t written = write(journal->file, whole + done, sealed - done);
        if (written < 0 && errno != EINTR)
            reason = errno;
        done += written > 0 ? (size_t)written : 0;
    }
    free(whole);
    if (reason != 0)
        return tn_output_fail(journal->path, "written", reason, error);
    return tn_clock_ms() - journal->synced > SYNC_MS ? sync_file(journal, error) : TENEBRA_OK;
}

static tenebra_code write_manifest(tn_journal *journal, const json_t *manifest, tenebra_error *error)
{
    char *text = json_dumps(manifest, JSON_COMPACT);
    if (text == NULL)
        return tn_fail_memory(error, journal->path);
    journal->synced = -1e18;
    tenebra_code code = append(journal, text, strlen(text), NULL, &journal->digest, error);
    free(text);
    return code;
}

static tenebra_code cut(const tn_journal *journal, size_t size, tenebra_error *error)
{
    return ftruncate(journal->file, (off_t)size) == 0
               ? TENEBRA_OK
               : tn_fail(error, TENEBRA_ERROR_IO, journal->path, "cannot be written: %s", strerror(errno));
}

/* The start of a truncated manifest may be overwritten; anything else may be a user's file. */
static bool is_torn_start(const tn_file *file)
{
    static const char start[] = "{\"tenebra_eval\":";
    size_t length = file->size < sizeof start - 1 ? file->size : sizeof start - 1;
    return file->size == 0 || memcmp(file->data, start, length) == 0;
}

/* Continues the run in the file. */
static tenebra_code take_up(tn_journal *journal, const reading *r, size_t size, const json_t *manifest, tn_journal_fit_fn *fit,
                            void *user, tenebra_error *error)
{
    bool more = false;
    if (!r->sealed)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, journal->path,
                "was written by an older version, without digests; choose another name, or start again with --force-new");
    TN_TRY(fit(user, r->manifest, &more, error));
    journal->digest = r->digest;
    if (r->whole < size)
        TN_TRY(cut(journal, r->whole, error));
    return more ? write_manifest(journal, manifest, error) : TENEBRA_OK;
}

static tenebra_code go_on(tn_journal *journal, const json_t *manifest, tn_journal_fn *each, tn_journal_fit_fn *fit, void *user,
                          tenebra_error *error)
{
    tn_file file;
    reading r = { .path = journal->path, .each = each, .user = user };
    TN_TRY(load(journal, &file, error));
    tenebra_code code = read_lines(&r, (const char *)file.data, file.size, error);
    if (code == TENEBRA_OK && r.manifest != NULL)
        code = take_up(journal, &r, file.size, manifest, fit, user, error);
    else if (code == TENEBRA_OK && !is_torn_start(&file))
        code = tn_fail(error, TENEBRA_ERROR_FORMAT, journal->path, "is not a result file of 'tenebra eval'; choose another name");
    else if (code == TENEBRA_OK && (code = cut(journal, 0, error)) == TENEBRA_OK) {
        code = write_manifest(journal, manifest, error);
        if (code != TENEBRA_OK && is_still_there(journal)) /* nothing of use is in it, and the next run would find it */
            unlink(journal->path);
    }
    json_decref(r.manifest);
    free((void *)(uintptr_t)file.data);
    return code;
}

static tenebra_code open_file(tn_journal *journal, tenebra_error *error)
{
    enum { TRIES = 8 };
    for (size_t i = 0; i < TRIES; i++) {
        journal->file = open(journal->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (journal->file < 0)
            return tn_fail(error, TENEBRA_ERROR_IO, journal->path, "cannot be opened: %s", strerror(errno));
        TN_TRY(lock(journal->file, journal->path, error));
        if (is_still_there(journal))
            return TENEBRA_OK;
        close(journal->file);
        journal->file = -1;
    }
    return tn_fail(error, TENEBRA_ERROR_IO, journal->path, "is renamed repeatedly by other processes");
}

tenebra_code tn_journal_open(tn_journal *journal, const char *path, const json_t *manifest, bool anew, tn_journal_fn *each,
                             tn_journal_fit_fn *fit, void *user, tenebra_error *error)
{
    *journal = (tn_journal){ .path = strdup(path), .file = -1 };
    if (journal->path == NULL)
        return tn_fail_memory(error, path);
    tenebra_code code = anew ? put_aside(path, error) : TENEBRA_OK;
    if (code == TENEBRA_OK)
        code = open_file(journal, error);
    if (code == TENEBRA_OK)
        code = go_on(journal, manifest, each, fit, user, error);
    journal->synced = tn_clock_ms();
    if (code != TENEBRA_OK)
        tn_journal_close(journal, NULL);
    return code;
}

tenebra_code tn_journal_append(tn_journal *journal, const char *line, size_t length, tenebra_error *error)
{
    tn_digest digest;
    return append(journal, line, length, &journal->digest, &digest, error);
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
