#include "app/model_output.h"

#include "base/file.h"
#include "base/output.h"
#include "model/quantize.h"
#include "store/writer.h"
#include "train/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_same(const char *a, const char *b)
{
    struct stat left, right;
    return stat(a, &left) == 0 && stat(b, &right) == 0 && left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

/* The subdirectory for further chat templates of a model. */
static const char templates[] = "additional_chat_templates";

/* Whether the directory contains only files (apart from templates and an adapter), and how many entries it has. */
static bool holds_files(const char *path, size_t *count)
{
    DIR *list = opendir(path);
    bool plain = list != NULL;
    *count = 0;
    for (const struct dirent *entry; plain && (entry = readdir(list)) != NULL;) {
        struct stat info;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        plain = fstatat(dirfd(list), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
                (!S_ISDIR(info.st_mode) || strcmp(entry->d_name, templates) == 0 || strcmp(entry->d_name, TN_INNER_DIRECTORY) == 0);
        ++*count;
    }
    if (list != NULL)
        closedir(list);
    return plain;
}

/* Whether the result may be written to the path: it does not exist, is an empty directory, or, with --force, is a model. */
static tenebra_code check_output(const tn_model_output *output, tenebra_error *error)
{
    const char *path = output->path;
    size_t count;
    struct stat info;
    for (size_t i = 0; i < TN_MODEL_SOURCES && output->sources[i] != NULL; i++)
        if (is_same(output->sources[i], path))
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, path, "is the model itself; name another directory with -o");
    if (lstat(path, &info) != 0)
        return TENEBRA_OK;
    if (!holds_files(path, &count))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, path, "exists and is not a directory that contains only files");
    if (count == 0)
        return TENEBRA_OK;
    if (!output->force)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, path, "exists; --force replaces it");
    tn_path config;
    TN_TRY(tn_path_print(&config, error, "%s/config.json", path));
    return tn_path_is_file(config.text) ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_ARGUMENT, path,
            "is not a model directory, and --force replaces only models");
}

/* Whether a file is copied: configuration, tokenizer, templates and texts are, weights and their index are not. */
static bool is_companion(const char *name)
{
    static const char *const ends[] = { ".json", ".txt", ".jinja", ".model", ".md" };
    size_t length = strlen(name), tail = strlen(".index.json");
    if (strcmp(name, "quantization.json") == 0 || (length >= tail && strcmp(name + length - tail, ".index.json") == 0))
        return false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        tail = strlen(ends[i]);
        if (length > tail && strcmp(name + length - tail, ends[i]) == 0)
            return true;
    }
    return strcmp(name, TN_WRITER_MODULE) == 0 || strcmp(name, "LICENSE") == 0 || strcmp(name, "NOTICE") == 0;
}

static tenebra_code copy_templates(const char *directory, const char *output, tenebra_error *error)
{
    tn_path from, to;
    TN_TRY(tn_path_print(&from, error, "%s/%s", directory, templates));
    TN_TRY(tn_path_print(&to, error, "%s/%s", output, templates));
    return tn_files_copy_directory(from.text, to.text, ".jinja", error);
}

tenebra_code tn_model_output_copy(const char *directory, const char *output, tenebra_error *error)
{
    DIR *list = opendir(directory);
    if (list == NULL)
        return tn_fail(error, TENEBRA_ERROR_IO, directory, "cannot be read: %s", strerror(errno));
    tenebra_code code = TENEBRA_OK;
    for (const struct dirent *entry; code == TENEBRA_OK && (entry = readdir(list)) != NULL;)
        if (is_companion(entry->d_name))
            code = tn_output_copy(directory, output, entry->d_name, error);
    closedir(list);
    return code == TENEBRA_OK ? copy_templates(directory, output, error) : code;
}

/* Every file of an older model is. */
static bool is_replaced(const char *name)
{
    (void)name;
    return true;
}

/* Moves the complete directory to `output`. */
static tenebra_code put_in_place(const char *partial, const tn_model_output *output, tenebra_error *error)
{
    TN_TRY(tn_output_sync_directory(partial, error));
    TN_TRY(check_output(output, error)); /* the directory may have changed in the meantime */
    return tn_files_swap_directory(partial, output->path, is_replaced, error);
}

tenebra_code tn_model_output_write(const tn_model_output *output, tn_model_fill_fn *fill, void *user, tenebra_error *error)
{
    tn_path path;
    tenebra_error ignored;
    TN_TRY(check_output(output, error));
    TN_TRY(tn_path_print(&path, error, "%s.partial-%ld", output->path, (long)getpid()));
    const char *partial = path.text;
    tenebra_code code = TENEBRA_OK;
    tn_output_sweep(output->path);
    if (mkdir(partial, 0777) != 0) {
        code = tn_fail(error, TENEBRA_ERROR_IO, partial, "cannot be made: %s", strerror(errno));
    } else {
        int held = tn_output_hold(partial);
        code = fill(user, partial, error);
        if (code == TENEBRA_OK)
            code = put_in_place(partial, output, error);
        if (code != TENEBRA_OK)
            tn_files_remove_directory(partial, &ignored);
        if (held >= 0)
            close(held);
    }
    return code;
}
