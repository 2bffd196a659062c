#include "train/files.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static tenebra_code fail_system(const char *path, const char *what, tenebra_error *error)
{
    return tn_output_fail(path, what, errno, error);
}

tenebra_code tn_files_make_directory(const char *path, tenebra_error *error)
{
    tn_path copy;
    char *part = copy.text;
    TN_TRY(tn_path_print(&copy, error, "%s", path));
    tenebra_code code = TENEBRA_OK;
    for (char *at = part + 1; code == TENEBRA_OK && part[0] != '\0'; at++) {
        char old = *at;
        if (old != '/' && old != '\0')
            continue;
        *at = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            code = fail_system(part, "made", error);
        *at = old;
        if (old == '\0')
            break;
    }
    if (code == TENEBRA_OK && !tn_path_is_directory(path))
        code = tn_fail(error, TENEBRA_ERROR_IO, path, "is not a directory");
    return code;
}

tenebra_code tn_files_copy_directory(const char *from, const char *to, const char *end, tenebra_error *error)
{
    DIR *directory = opendir(from);
    if (directory == NULL)
        return errno == ENOENT || errno == ENOTDIR ? TENEBRA_OK : fail_system(from, "opened", error);
    tenebra_code code = tn_files_make_directory(to, error);
    for (const struct dirent *entry; code == TENEBRA_OK && (entry = readdir(directory)) != NULL;) {
        size_t length = strlen(entry->d_name), tail = strlen(end);
        if (length > tail && strcmp(entry->d_name + length - tail, end) == 0)
            code = tn_output_copy(from, to, entry->d_name, error);
    }
    closedir(directory);
    return code;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* True if the file `name` of directory `inner` belongs to the program; own NULL: every file does. */
static bool is_own_inside(tn_files_own_fn *own, const char *inner, const char *name)
{
    char path[2 * NAME_MAX + 2];
    int length = snprintf(path, sizeof path, "%s/%s", inner, name);
    return own == NULL || (length > 0 && (size_t)length < sizeof path && own(path));
}

/* Unlinks the program's files in directory `name` of an open directory, then that directory. On failure returns false
 * with errno and has done a part. */
static bool remove_inner(int parent, const char *name, tn_files_own_fn *own)
{
    int descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = descriptor >= 0 ? fdopendir(descriptor) : NULL;
    if (directory == NULL) {
        int problem = errno;
        if (descriptor >= 0)
            close(descriptor);
        errno = problem;
        return false;
    }
    bool any = own == NULL; /* an empty directory belongs to the user */
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (!is_dots(entry->d_name) && is_own_inside(own, name, entry->d_name))
            any |= unlinkat(dirfd(directory), entry->d_name, 0) == 0;
    closedir(directory);
    return any && unlinkat(parent, name, AT_REMOVEDIR) == 0; /* fails if something is left */
}

tenebra_code tn_files_remove_directory(const char *path, tenebra_error *error)
{
    DIR *directory = opendir(path);
    if (directory == NULL)
        return errno == ENOENT ? TENEBRA_OK : fail_system(path, "opened", error);
    tenebra_code code = TENEBRA_OK;
    for (const struct dirent *entry; code == TENEBRA_OK && (entry = readdir(directory)) != NULL;)
        if (!is_dots(entry->d_name) && unlinkat(dirfd(directory), entry->d_name, 0) != 0 &&
            !remove_inner(dirfd(directory), entry->d_name, NULL))
            code = fail_system(path, "emptied", error);
    closedir(directory);
    if (code == TENEBRA_OK && rmdir(path) != 0)
        code = fail_system(path, "removed", error);
    return code;
}

/* Unlinks the program's files in an open directory. If `to` is not NULL, moves the other files to that directory,
 * unless it has a file of that name. */
static tenebra_code take_own(DIR *directory, const char *path, tn_files_own_fn *own, const char *to, tenebra_error *error)
{
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        const char *name = entry->d_name;
        if (is_dots(name) || (own(name) && unlinkat(dirfd(directory), name, 0) == 0))
            continue;
        if (own(name) && errno != EISDIR && errno != EPERM)
            return fail_system(path, "emptied", error);
        if (remove_inner(dirfd(directory), name, own))
            continue;
        tn_path target;
        if (to == NULL)
            continue;
        TN_TRY(tn_path_print(&target, error, "%s/%s", to, name));
        if (access(target.text, F_OK) != 0)
            renameat(dirfd(directory), name, AT_FDCWD, target.text); /* if this fails, it stays */
    }
    return TENEBRA_OK;
}

static tenebra_code remove_own(const char *path, tn_files_own_fn *own, const char *to, bool *left, tenebra_error *error)
{
    *left = false;
    DIR *directory = opendir(path);
    if (directory == NULL)
        return errno == ENOENT ? TENEBRA_OK : fail_system(path, "opened", error);
    tenebra_code code = take_own(directory, path, own, to, error);
    closedir(directory);
    if (code == TENEBRA_OK && rmdir(path) != 0) {
        *left = errno == ENOTEMPTY || errno == EEXIST;
        code = *left ? TENEBRA_OK : fail_system(path, "removed", error);
    }
    return code;
}

tenebra_code tn_files_remove_own(const char *path, tn_files_own_fn *own, bool *left, tenebra_error *error)
{
    return remove_own(path, own, NULL, left, error);
}

/* Cleans up after a swap that was interrupted: moves the only copy back to its place, removes a second one. */
static tenebra_code end_old_swap(const char *old, const char *path, tn_files_own_fn *own, tenebra_error *error)
{
    bool left;
    if (!tn_path_is_directory(old))
        return TENEBRA_OK;
    if (!tn_path_is_directory(path))
        return rename(old, path) == 0 ? TENEBRA_OK : fail_system(path, "put back", error);
    return remove_own(old, own, path, &left, error);
}

tenebra_code tn_files_swap_directory(const char *directory, const char *path, tn_files_own_fn *own, tenebra_error *error)
{
    tn_path aside;
    const char *old = aside.text;
    bool left;
    TN_TRY(tn_path_print(&aside, error, "%s.old", path));
    tenebra_code code = end_old_swap(old, path, own, error);
    bool had = tn_path_is_directory(path);
    if (code == TENEBRA_OK && had && rename(path, old) != 0)
        code = fail_system(path, "put aside", error);
    if (code == TENEBRA_OK && rename(directory, path) != 0)
        code = fail_system(path, "put in place", error);
    if (code == TENEBRA_OK && had)
        code = remove_own(old, own, path, &left, error);
    return code;
}

static int falling(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x > y ? -1 : x < y;
}

/* The number between front and behind, if there is nothing else. */
static bool read_number(const char *name, const char *front, const char *behind, uint64_t *number)
{
    size_t length = strlen(front);
    if (strncmp(name, front, length) != 0 || name[length] < '0' || name[length] > '9')
        return false;
    char *end;
    errno = 0;
    *number = strtoull(name + length, &end, 10);
    return errno == 0 && strcmp(end, behind) == 0;
}

tenebra_code tn_files_numbers(const char *path, const char *front, const char *behind, uint64_t **numbers, size_t *count,
                              tenebra_error *error)
{
    *numbers = NULL;
    *count = 0;
    DIR *directory = opendir(path);
    if (directory == NULL)
        return errno == ENOENT ? TENEBRA_OK : fail_system(path, "opened", error);
    tenebra_code code = TENEBRA_OK;
    uint64_t number;
    for (const struct dirent *entry; code == TENEBRA_OK && (entry = readdir(directory)) != NULL;) {
        if (!read_number(entry->d_name, front, behind, &number))
            continue;
        code = TN_GROW(*numbers, *count, path, error);
        if (code == TENEBRA_OK)
            (*numbers)[(*count)++] = number;
    }
    closedir(directory);
    if (*count > 0)
        qsort(*numbers, *count, sizeof **numbers, falling);
    if (code != TENEBRA_OK) {
        free(*numbers);
        *numbers = NULL;
        *count = 0;
    }
    return code;
}
