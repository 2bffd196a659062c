#define _DEFAULT_SOURCE /* flock */
#include "base/output.h"

#include "base/checked.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    NAMES_TRIED = 1000,
    WRITE_MAX = 1 << 30, /* bytes per system call: Linux accepts less than 2 GiB */
    COPY_MAX = 1 << 30   /* bytes of a file */
};

static const char MARK[] = ".partial-";

tenebra_code tn_output_fail(const char *path, const char *what, int reason, tenebra_error *error)
{
    const char *advice = reason == ENOSPC || reason == EDQUOT ? "; free space and try again"
                         : reason == EFBIG                    ? "; the size of files is limited here (ulimit -f)"
                         : reason == ENXIO                    ? "; it is a pipe whose reader has closed it"
                                                              : "";
    return tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be %s: %s%s", what, strerror(reason), advice);
}

/* Whether a file can be created in the directory of this path. */
static tenebra_code check_parent(const char *path, tenebra_error *error)
{
    tn_path parent;
    const char *slash = strrchr(path, '/');
    TN_TRY(tn_path_print(&parent, error, "%.*s/.", slash != NULL ? (int)(slash - path) : 1, slash != NULL ? path : "."));
    if (access(parent.text, W_OK | X_OK) == 0)
        return TENEBRA_OK;
    if (errno == ENOENT)
        return tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be created: its directory does not exist");
    return tn_output_fail(path, "created", errno, error);
}

/* *absent: nothing has this path. */
static tenebra_code check_path(const char *path, bool force, bool *absent, tenebra_error *error)
{
    struct stat info;
    if (path[0] == '\0')
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "output", "must not be empty");
    *absent = stat(path, &info) != 0;
    if (*absent)
        return TENEBRA_OK;
    if (S_ISDIR(info.st_mode))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, path, "is a directory, not the name of a file to write");
    if (S_ISREG(info.st_mode) && !force)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, path, "exists; --force replaces it");
    return TENEBRA_OK;
}

tenebra_code tn_output_check(const char *path, bool force, tenebra_error *error)
{
    bool absent;
    TN_TRY(check_path(path, force, &absent, error));
    return absent ? check_parent(path, error) : TENEBRA_OK;
}

tenebra_code tn_output_check_sources(const char *path, char *const *sources, size_t count, tenebra_error *error)
{
    struct stat output, source;
    if (stat(path, &output) != 0 || !S_ISREG(output.st_mode))
        return TENEBRA_OK;
    for (size_t i = 0; i < count; i++)
        if (stat(sources[i], &source) == 0 && source.st_dev == output.st_dev && source.st_ino == output.st_ino)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, path, "is a file that is read here; name another with -o");
    return TENEBRA_OK;
}

/* ------------------------------------------------------------- leftovers -- */

/* The process to which a name belongs, if the name is "<base>.partial-<process>" with or without a number after it. */
static bool read_owner(const char *name, const char *base, pid_t *owner)
{
    size_t length = strlen(base);
    if (strncmp(name, base, length) != 0 || strncmp(name + length, MARK, strlen(MARK)) != 0)
        return false;
    const char *at = name + length + strlen(MARK);
    size_t digits = strspn(at, "0123456789");
    if (digits == 0 || digits > 9)
        return false;
    *owner = (pid_t)strtol(at, NULL, 10);
    at += digits;
    if (*at == '-') {
        digits = strspn(++at, "0123456789");
        at += digits;
    }
    return *owner > 0 && digits > 0 && *at == '\0';
}

static void remove_files(int directory)
{
    int again = dup(directory);
    DIR *list = again >= 0 ? fdopendir(again) : NULL;
    if (list == NULL) {
        if (again >= 0)
            close(again);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(list)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(directory, entry->d_name, 0);
    closedir(list);
}

static void sweep_one(int folder, const char *name)
{
    struct stat info;
    int file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return;
    if (fstat(file, &info) == 0 && (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode)) && flock(file, LOCK_EX | LOCK_NB) == 0) {
        if (S_ISDIR(info.st_mode))
            remove_files(file);
        unlinkat(folder, name, S_ISDIR(info.st_mode) ? AT_REMOVEDIR : 0);
    }
    close(file);
}

void tn_output_sweep(const char *path)
{
    char *folder = strdup(path), *slash = folder != NULL ? strrchr(folder, '/') : NULL;
    if (folder == NULL)
        return;
    const char *base = slash != NULL ? path + (slash - folder) + 1 : path;
    if (slash != NULL)
        slash[slash == folder] = '\0';
    DIR *list = base[0] != '\0' ? opendir(slash != NULL ? folder : ".") : NULL;
    pid_t owner;
    for (const struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;)
        if (read_owner(entry->d_name, base, &owner) && kill(owner, 0) != 0 && errno == ESRCH)
            sweep_one(dirfd(list), entry->d_name);
    if (list != NULL)
        closedir(list);
    free(folder);
}

int tn_output_hold(const char *directory)
{
    int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0)
        flock(descriptor, LOCK_EX | LOCK_NB);
    return descriptor;
}

/* --------------------------------------------------------------- writing -- */

tenebra_code tn_output_failed(const tn_output *output, tenebra_error *error)
{
    if (error != NULL && output->failure.code != TENEBRA_OK)
        *error = output->failure;
    return output->failure.code;
}

static void fail_now(tn_output *output, const char *what)
{
    tn_output_fail(output->path, what, errno, &output->failure);
}

tenebra_code tn_output_open(tn_output *output, const char *path, tenebra_error *error)
{
    bool absent;
    *output = (tn_output){ .path = strdup(path), .descriptor = -1 };
    if (output->path == NULL)
        tn_fail(&output->failure, TENEBRA_ERROR_MEMORY, path, "no memory for a path");
    else
        check_path(path, true, &absent, &output->failure); /* a missing directory is reported when the file is created */
    return tn_output_failed(output, error);
}

/* A pipe or a device. Does not wait for a pipe's reader. */
static void make_itself(tn_output *output)
{
    output->descriptor = open(output->path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    int flags = output->descriptor >= 0 ? fcntl(output->descriptor, F_GETFL) : -1;
    if (flags < 0 || fcntl(output->descriptor, F_SETFL, flags & ~O_NONBLOCK) != 0)
        fail_now(output, "opened");
}

/* A file with a new name; its mode follows the umask. */
static void make_beside(tn_output *output)
{
    size_t length = strlen(output->path) + 64;
    char *name = malloc(length);
    if (name == NULL) {
        tn_fail(&output->failure, TENEBRA_ERROR_MEMORY, output->path, "no memory for a path");
        return;
    }
    tn_output_sweep(output->path);
    for (int number = 0; output->descriptor < 0 && number < NAMES_TRIED; number++) {
        snprintf(name, length, "%s%s%ld-%d", output->path, MARK, (long)getpid(), number);
        output->descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (output->descriptor < 0 && errno != EEXIST)
            break;
    }
    if (output->descriptor < 0) {
        fail_now(output, "created");
        free(name);
        return;
    }
    flock(output->descriptor, LOCK_EX | LOCK_NB); /* if locks do not work, the process number has to suffice */
    output->partial = name;
}

/* Creates the file if there is none yet; false if nothing can be written. */
static bool make(tn_output *output)
{
    struct stat info;
    if (output->failure.code == TENEBRA_OK && output->finished)
        tn_fail(&output->failure, TENEBRA_ERROR_ARGUMENT, output->path, "is already finished");
    if (output->failure.code == TENEBRA_OK && output->descriptor < 0)
        (stat(output->path, &info) == 0 && !S_ISREG(info.st_mode) ? make_itself : make_beside)(output);
    return output->failure.code == TENEBRA_OK;
}

static tenebra_code check_room(const struct statvfs *disk, size_t bytes, const char *path, tenebra_error *error)
{
    size_t room;
    bool fits = disk->f_blocks == 0 || !tn_size_mul(disk->f_bavail, disk->f_frsize, &room) || room >= bytes;
    return fits ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_IO, path, "needs %zu bytes, but only %zu are free on its disk", bytes, room);
}

tenebra_code tn_output_reserve(tn_output *output, size_t bytes, tenebra_error *error)
{
    struct statvfs disk;
    if (make(output) && fstatvfs(output->descriptor, &disk) == 0)
        check_room(&disk, bytes, output->path, &output->failure);
    return tn_output_failed(output, error);
}

tenebra_code tn_output_check_room(const char *directory, size_t bytes, tenebra_error *error)
{
    struct statvfs disk;
    return statvfs(directory, &disk) == 0 ? check_room(&disk, bytes, directory, error) : TENEBRA_OK;
}

/* offset < 0: after the bytes written so far. */
static tenebra_code write_at(tn_output *output, off_t offset, const unsigned char *at, size_t length, tenebra_error *error)
{
    for (bool good = make(output); good && output->failure.code == TENEBRA_OK && length > 0;) {
        size_t most = tn_min(length, WRITE_MAX);
        ssize_t count = offset < 0 ? write(output->descriptor, at, most) : pwrite(output->descriptor, at, most, offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            fail_now(output, "written");
        } else {
            at += count;
            length -= (size_t)count;
            offset += offset < 0 ? 0 : count;
        }
    }
    return tn_output_failed(output, error);
}

tenebra_code tn_output_write(tn_output *output, const void *bytes, size_t length, tenebra_error *error)
{
    return write_at(output, -1, bytes, length, error);
}

tenebra_code tn_output_rewrite(tn_output *output, size_t offset, const void *bytes, size_t length, tenebra_error *error)
{
    return write_at(output, (off_t)offset, bytes, length, error);
}

tenebra_code tn_output_sync_directory(const char *path, tenebra_error *error)
{
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    tenebra_code code = TENEBRA_OK;
    if (descriptor >= 0 && fsync(descriptor) != 0 && errno != EINVAL)
        code = tn_output_fail(path, "made durable", errno, error);
    if (descriptor >= 0)
        close(descriptor);
    return code;
}

/* A rename is permanent only if its directory is on the disk, too. */
static void sync_folder(tn_output *output)
{
    char *folder = strdup(output->path), *slash = folder != NULL ? strrchr(folder, '/') : NULL;
    if (slash != NULL)
        slash[slash == folder] = '\0';
    if (folder == NULL)
        tn_fail(&output->failure, TENEBRA_ERROR_MEMORY, output->path, "no memory for a path");
    else
        tn_output_sync_directory(slash != NULL ? folder : ".", &output->failure);
    free(folder);
}

tenebra_code tn_output_finish(tn_output *output, tenebra_error *error)
{
    if (!make(output))
        return tn_output_failed(output, error);
    if (output->partial != NULL && fsync(output->descriptor) != 0 && errno != EINVAL)
        fail_now(output, "written");
    int descriptor = output->descriptor;
    output->descriptor = -1;
    if (close(descriptor) != 0 && output->failure.code == TENEBRA_OK)
        fail_now(output, "written");
    if (output->failure.code == TENEBRA_OK && output->partial != NULL && rename(output->partial, output->path) != 0)
        fail_now(output, "put in place");
    output->finished = output->failure.code == TENEBRA_OK;
    if (output->finished && output->partial != NULL) {
        free(output->partial);
        output->partial = NULL;
        sync_folder(output);
    }
    return tn_output_failed(output, error);
}

void tn_output_close(tn_output *output)
{
    if (output->descriptor >= 0)
        close(output->descriptor);
    if (output->partial != NULL)
        unlink(output->partial);
    free(output->partial);
    free(output->path);
    *output = (tn_output){ .descriptor = -1 };
}

tenebra_code tn_output_put(const char *path, const void *bytes, size_t length, tenebra_error *error)
{
    tn_output output;
    tenebra_code code = tn_output_open(&output, path, error);
    if (code == TENEBRA_OK)
        code = tn_output_write(&output, bytes, length, error);
    if (code == TENEBRA_OK)
        code = tn_output_finish(&output, error);
    tn_output_close(&output);
    return code;
}

tenebra_code tn_output_put_in(const char *directory, const char *name, const void *bytes, size_t length, tenebra_error *error)
{
    tn_path path;
    TN_TRY(tn_path_print(&path, error, "%s/%s", directory, name));
    return tn_output_put(path.text, bytes, length, error);
}

tenebra_code tn_output_copy(const char *from, const char *to, const char *name, tenebra_error *error)
{
    tn_path path;
    tn_file file;
    TN_TRY(tn_path_print(&path, error, "%s/%s", from, name));
    if (!tn_path_is_file(path.text))
        return TENEBRA_OK;
    TN_TRY(tn_file_read(&file, path.text, COPY_MAX, error));
    tenebra_code code = tn_output_put_in(to, name, file.data, file.size, error);
    tn_file_close(&file);
    return code;
}
