/* Finds the directory with config.json from the value of -m, also in the cache of the Hugging Face hub, where
 * models--ORG--NAME/refs/main names one of models--ORG--NAME/snapshots/. */
#include "model/model.h"

#include "base/address.h"
#include "base/checked.h"
#include "base/file.h"
#include "model/lora_parts.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REVISION_LIMIT = 256 };

/* Whether a text is ORG/NAME as on the hub: two words of letters, digits, '-', '_' and '.'; a '/' may follow, which *length
 * does not include. */
static bool is_hub_name(const char *text, size_t *length)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t first = strspn(text, letters);
    if (first == 0 || text[0] == '.' || text[first] != '/')
        return false;
    size_t second = strspn(text + first + 1, letters);
    *length = first + 1 + second;
    return second > 0 && text[*length + (text[*length] == '/')] == '\0';
}

/* A noun with its article, the contents of such a directory, and the option that names it. */
static tenebra_code missing(const char *path, const char *noun, const char *holds, const char *option, tenebra_error *error)
{
    const char *hint = tn_address_hint(path), *name = strchr(path, '/');
    if (hint != NULL)
        return tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be opened: %s", hint);
    if (tn_path_is_file(path))
        return tn_fail(error, TENEBRA_ERROR_IO, path, "is a file; %s is a directory with %s", noun, holds);
    size_t length;
    if (!is_hub_name(path, &length))
        return tn_fail(error, TENEBRA_ERROR_IO, path, "is not %s directory: there is no such directory. It would contain %s", noun,
                       holds);
    int shown = (int)tn_min(length, 120), last = (int)tn_min(length - (size_t)(++name - path), 100);
    return tn_fail(error, TENEBRA_ERROR_IO, path, "is not a directory here. If it is %s of the Hugging Face hub, fetch it with "
                   "'hf download %.*s --local-dir %.*s', then use %s %.*s", noun, shown, path, last, name, option, last, name);
}

tenebra_code tn_adapter_missing(const char *path, tenebra_error *error)
{
    return missing(path, "an adapter", "adapter_config.json and its weights, as PEFT saves it", "--lora", error);
}

/* Reads the first line of a small file, without white space at its end; false if it is not a plain name. */
static bool read_revision(const char *path, char revision[REVISION_LIMIT])
{
    FILE *file = fopen(path, "re");
    bool read = file != NULL && fgets(revision, REVISION_LIMIT, file) != NULL;
    if (file != NULL)
        fclose(file);
    if (!read)
        return false;
    revision[strcspn(revision, " \t\r\n")] = '\0';
    return revision[0] != '\0' && revision[0] != '.' && strchr(revision, '/') == NULL;
}

/* The only directory within `path`; false if there are none or several. */
static bool find_only(const char *path, char name[REVISION_LIMIT])
{
    DIR *list = opendir(path);
    size_t found = 0;
    for (const struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;)
        if (entry->d_name[0] != '.' && strlen(entry->d_name) < REVISION_LIMIT && found++ == 0)
            strcpy(name, entry->d_name);
    if (list != NULL)
        closedir(list);
    return found == 1;
}

static bool holds(const char *directory, const char *name)
{
    tn_path path;
    return tn_path_print(&path, NULL, "%s/%s", directory, name) == TENEBRA_OK && tn_path_is_file(path.text);
}

static const char *slash_after(const char *path)
{
    size_t length = strlen(path);
    return length > 0 && path[length - 1] == '/' ? "" : "/";
}

tenebra_code tn_model_missing(const char *path, tenebra_error *error)
{
    if (holds(path, "adapter_config.json"))
        return tn_fail(error, TENEBRA_ERROR_IO, path, "is an adapter; --lora applies it to the model that -m names");
    if (holds(path, "model/config.json"))
        return tn_fail(error, TENEBRA_ERROR_IO, path, "is not a model directory, but contains one: use %s%smodel", path, slash_after(path));
    if (holds(path, "adapter/adapter_config.json"))
        return tn_fail(error, TENEBRA_ERROR_IO, path, "is not a model directory, but contains an adapter: use --lora %s%sadapter, with the "
                       "model that it was trained for as -m", path, slash_after(path));
    if (tn_path_is_directory(path))
        return tn_fail(error, TENEBRA_ERROR_IO, path, "is not a model directory: it has no config.json");
    return missing(path, "a model", "config.json and the weights, as Hugging Face publishes it", "-m", error);
}

tenebra_code tn_model_locate(const char *path, tn_path *found, tenebra_error *error)
{
    char revision[REVISION_LIMIT];
    tn_path snapshots, main_branch;
    TN_TRY(tn_path_print(&snapshots, error, "%s/snapshots", path));
    TN_TRY(tn_path_print(&main_branch, error, "%s/refs/main", path));
    if (!tn_path_is_directory(path))
        return tn_model_missing(path, error);
    if (holds(path, "config.json") || !tn_path_is_directory(snapshots.text))
        return tn_path_print(found, error, "%s", path); /* missing files are reported when they are read */
    if (!read_revision(main_branch.text, revision) && !find_only(snapshots.text, revision))
        return tn_fail(error, TENEBRA_ERROR_IO, path,
                       "is a cache of the Hugging Face hub without refs/main; name one of its snapshots/");
    TN_TRY(tn_path_print(found, error, "%s/%s", snapshots.text, revision));
    return tn_path_is_directory(found->text)
               ? TENEBRA_OK
               : tn_fail(error, TENEBRA_ERROR_IO, found->text,
                         "is missing, although refs/main of this cache names it; fetch the model again");
}

/* The directory of a file; false if it has no config.json. */
static bool find_beside(const char *path, tn_path *directory)
{
    const char *slash = strrchr(path, '/');
    int length = slash != NULL ? (int)tn_max((size_t)(slash - path), 1) : 1; /* "/" of "/x" */
    return tn_path_print(directory, NULL, "%.*s", length, slash != NULL ? path : ".") == TENEBRA_OK &&
           holds(directory->text, "config.json");
}

tenebra_code tn_model_find(const char *path, const char *base, tn_model_files *files, tenebra_error *error)
{
    bool file = tn_path_is_file(path);
    if (base != NULL)
        TN_TRY(tn_model_locate(base, &files->directory, error));
    else if (file && !find_beside(path, &files->directory))
        return tn_fail(error, TENEBRA_ERROR_IO, path, "is a file, not the directory of a model; if it has the weights of one, --base names "
                       "the directory with the config.json and the tokenizer of the model that it was trained from");
    if (file)
        return tn_path_print(&files->weights, error, "%s", path);
    TN_TRY(tn_model_locate(path, &files->weights, error));
    return base != NULL ? TENEBRA_OK : tn_path_print(&files->directory, error, "%s", files->weights.text);
}
