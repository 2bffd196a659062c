/* tenebra inspect --check: do files still have the bytes that were written? */
#include "app/inspect.h"

#include "base/file.h"
#include "store/store.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 4 }; /* runs/NAME/checkpoints/FILE */

typedef struct checking {
    json_t *files;
    size_t counts[3];
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

static tenebra_code check_file(checking *all, const char *path, tenebra_error *error)
{
    bool sealed = false;
    tenebra_error problem = { 0 };
    tn_store *store = tn_store_open(path, &problem);
    tenebra_code code = store != NULL ? tn_store_verify_file(store, 0, &sealed, &problem) : problem.code;
    tn_store_close(store);
    if (code == TENEBRA_ERROR_MEMORY || code == TENEBRA_ERROR_IO)
        return tn_fail(error, code, problem.where, "%s", problem.sentence);
    return add_verdict(all, path, code != TENEBRA_OK ? DAMAGED : sealed ? WHOLE : UNSEALED,
                       code != TENEBRA_OK ? problem.sentence : NULL, error);
}

static bool is_tensor_file(const char *name)
{
    static const char end[] = ".safetensors";
    size_t length = strlen(name), size = sizeof end - 1;
    return length > size && strcmp(name + length - size, end) == 0;
}

static int keep_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* All tensor files in a directory and below, in the order of their names. */
static tenebra_code check_directory(checking *all, const char *path, size_t depth, tenebra_error *error)
{
    struct dirent **entries;
    int count = scandir(path, &entries, keep_visible, alphasort);
    if (count < 0)
        return tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be read");
    tenebra_code code = TENEBRA_OK;
    for (int i = 0; i < count; i++) {
        char *inside = code == TENEBRA_OK ? tn_path_join(path, entries[i]->d_name) : NULL;
        if (code == TENEBRA_OK && inside == NULL)
            code = tn_fail(error, TENEBRA_ERROR_MEMORY, path, "no memory for a path");
        else if (code == TENEBRA_OK && tn_path_is_directory(inside) && depth < DEPTH_MAX)
            code = check_directory(all, inside, depth + 1, error);
        else if (code == TENEBRA_OK && is_tensor_file(inside) && tn_path_is_file(inside))
            code = check_file(all, inside, error);
        free(inside);
        free(entries[i]);
    }
    free(entries);
    return code;
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
    tn_app_print("%zu whole, %zu damaged, %zu of other programs, which carry no digest\n", all->counts[WHOLE], all->counts[DAMAGED],
           all->counts[UNSEALED]);
}

int tn_inspect_check(const char *path, bool as_json)
{
    checking all = { .files = json_array() };
    tenebra_error error = { 0 };
    tenebra_code code = all.files == NULL ? tn_fail(&error, TENEBRA_ERROR_MEMORY, path, "no memory")
                        : tn_path_is_directory(path) ? check_directory(&all, path, 1, &error)
                                                     : check_file(&all, path, &error);
    if (code == TENEBRA_OK && json_array_size(all.files) == 0)
        code = tn_fail(&error, TENEBRA_ERROR_IO, path, "holds no safetensors file");
    int exit_code = all.counts[DAMAGED] > 0 ? TN_EXIT_FAILED : TN_EXIT_OK;
    if (code != TENEBRA_OK)
        exit_code = tn_app_fail(&error);
    else if (as_json) {
        tn_app_print_json(all.files, JSON_COMPACT);
    } else
        print_verdicts(&all);
    json_decref(all.files);
    return exit_code;
}
