/* tenebra inspect --check: do files still have the bytes that were written? */
#include "app/inspect.h"

#include "base/file.h"
#include "base/json.h"
#include "store/seal.h"
#include "store/store.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 4 /* runs/NAME/checkpoints/FILE */, DESCRIPTION_LIMIT = 16 << 20 };

/* Beside weights that were trained, the first also in the directory of a run. */
static const char *const descriptions[] = { "training.json", "module.json" };

typedef struct folder {
    char *path;
    size_t depth; /* from 1 */
} folder;

typedef struct checking {
    json_t *files;
    size_t counts[3];
    folder *folders; /* [folder_count] found so far */
    size_t folder_count;
} checking;

enum { WHOLE, DAMAGED, UNSEALED };
static const char *const verdicts[] = { "whole", "damaged", "no digest" };

static tenebra_code add_verdict(checking *all, const char *path, int verdict, const char *sentence, tenebra_error *error)
{
    json_t *line = json_pack("{s:s, s:s, s:s*}", "path", path, "verdict", verdicts[verdict], "sentence", sentence);
    all->counts[verdict]++;
    return json_array_append_new(all->files, line) == 0 ? TENEBRA_OK
                                                        : tn_fail(error, TENEBRA_ERROR_MEMORY, path, "no memory, or not UTF-8");
}

static bool is_description(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    return strcmp(name, descriptions[0]) == 0 || strcmp(name, descriptions[1]) == 0;
}

static tenebra_code check_description(const char *path, bool *sealed, tenebra_error *error)
{
    tn_file file;
    TN_TRY(tn_file_read(&file, path, DESCRIPTION_LIMIT, error));
    json_t *object;
    tenebra_code code = tn_json_parse(file.data, file.size, path, &object, error);
    if (code == TENEBRA_OK)
        code = tn_store_seal_check_object(file.data, file.size, object, sealed, path, error);
    json_decref(object);
    tn_file_close(&file);
    return code;
}

static tenebra_code check_tensors(const char *path, bool *sealed, tenebra_error *error)
{
    tn_store *store;
    tenebra_code code = tn_store_open(path, &store, error);
    if (code == TENEBRA_OK)
        code = tn_store_verify_file(store, 0, sealed, error);
    tn_store_close(store);
    return code;
}

static tenebra_code check_file(checking *all, const char *path, tenebra_error *error)
{
    bool sealed = false;
    tenebra_error problem = { 0 };
    tenebra_code code = is_description(path) ? check_description(path, &sealed, &problem) : check_tensors(path, &sealed, &problem);
    if (code == TENEBRA_ERROR_MEMORY || code == TENEBRA_ERROR_IO)
        return tn_fail(error, code, problem.where, "%s", problem.sentence);
    bool foreign = code == TENEBRA_ERROR_UNSUPPORTED; /* not of a kind that is read here, which does not mean damaged */
    return add_verdict(all, path, foreign ? UNSEALED : code != TENEBRA_OK ? DAMAGED : sealed ? WHOLE : UNSEALED,
                       code != TENEBRA_OK ? problem.sentence : NULL, error);
}

static int keep_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Takes `path`. */
static tenebra_code add_folder(checking *all, char *path, size_t depth, tenebra_error *error)
{
    if (path == NULL || TN_GROW(all->folders, all->folder_count, NULL, NULL) != TENEBRA_OK) {
        free(path);
        return tn_fail_memory(error, "--check");
    }
    all->folders[all->folder_count++] = (folder){ path, depth };
    return TENEBRA_OK;
}

/* What is in a directory: files that may carry a digest are checked, directories kept for later. Takes `inside`. */
static tenebra_code check_entry(checking *all, char *inside, size_t depth, tenebra_error *error)
{
    tenebra_code code = TENEBRA_OK;
    if (tn_path_is_directory(inside) && depth < DEPTH_MAX)
        return add_folder(all, inside, depth + 1, error);
    if ((tn_store_is_file(inside) || is_description(inside)) && tn_path_is_file(inside))
        code = check_file(all, inside, error);
    free(inside);
    return code;
}

static tenebra_code check_folder(checking *all, folder at, tenebra_error *error)
{
    struct dirent **entries;
    int count = scandir(at.path, &entries, keep_visible, alphasort);
    if (count < 0)
        return tn_fail(error, TENEBRA_ERROR_IO, at.path, "cannot be read");
    tenebra_code code = TENEBRA_OK;
    for (int i = 0; i < count; i++) {
        char *inside = code == TENEBRA_OK ? tn_path_join(at.path, entries[i]->d_name) : NULL;
        if (inside != NULL)
            code = check_entry(all, inside, at.depth, error);
        else if (code == TENEBRA_OK)
            code = tn_fail(error, TENEBRA_ERROR_MEMORY, at.path, "no memory for a path");
        free(entries[i]);
    }
    free(entries);
    return code;
}

/* All such files in a directory and below: those of a directory in the order of their names, then those of the directories
 * in it. */
static tenebra_code check_directory(checking *all, const char *path, tenebra_error *error)
{
    TN_TRY(add_folder(all, strdup(path), 1, error));
    for (size_t i = 0; i < all->folder_count; i++)
        TN_TRY(check_folder(all, all->folders[i], error));
    return TENEBRA_OK;
}

static void print_verdicts(const checking *all)
{
    size_t index;
    const json_t *line;
    json_array_foreach(all->files, index, line) {
        const char *sentence = json_string_value(json_object_get(line, "sentence"));
        tn_app_print("%-10s %s%s%s\n", json_string_value(json_object_get(line, "verdict")),
               json_string_value(json_object_get(line, "path")), sentence ? ": " : "", sentence ? sentence : "");
    }
    tn_app_print("%zu whole, %zu damaged, %zu of other programs or older, which carry no digest\n", all->counts[WHOLE],
                 all->counts[DAMAGED], all->counts[UNSEALED]);
}

int tn_inspect_check(const char *path, bool as_json)
{
    checking all = { .files = json_array() };
    tenebra_error error = { 0 };
    tenebra_code code = all.files == NULL ? tn_fail(&error, TENEBRA_ERROR_MEMORY, path, "no memory")
                        : tn_path_is_directory(path) ? check_directory(&all, path, &error)
                                                     : check_file(&all, path, &error);
    if (code == TENEBRA_OK && json_array_size(all.files) == 0)
        code = tn_fail(&error, TENEBRA_ERROR_IO, path, "holds no file that may carry a digest (a file of tensors, training.json)");
    int exit_code = all.counts[DAMAGED] > 0 ? TN_EXIT_FAILED : TN_EXIT_OK;
    if (code != TENEBRA_OK)
        exit_code = tn_app_fail(&error);
    else if (as_json) {
        tn_app_print_json(all.files, JSON_COMPACT);
    } else
        print_verdicts(&all);
    for (size_t i = 0; i < all.folder_count; i++)
        free(all.folders[i].path);
    free(all.folders);
    json_decref(all.files);
    return exit_code;
}
