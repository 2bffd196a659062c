#include "eval/digests.h"

#include "base/file.h"
#include "model/model.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MAX = 10000 };

void tn_eval_print_digest(const tn_digest *digest, char text[TN_EVAL_DIGEST_TEXT])
{
    for (size_t i = 0; i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", (unsigned)(digest->words[i / 8] >> (8 * (i % 8)) & 0xFF));
}

void tn_eval_add_text(tn_hash *hash, const char *text)
{
    tn_hash_add(hash, text, strlen(text) + 1);
}

/* Whether a file affects what a model computes: weights, configuration, tokenizer, templates. */
static bool is_model_file(const char *name)
{
    static const char *const ends[] = { ".json", ".jinja", ".txt" };
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t end = strlen(ends[i]);
        if (length > end && strcmp(name + length - end, ends[i]) == 0)
            return true;
    }
    return tn_store_is_file(name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of the model files of a directory, sorted; the caller frees each name and the list. */
static tenebra_code list_files(const char *directory, char ***names, size_t *count, tenebra_error *error)
{
    DIR *folder = opendir(directory);
    *names = NULL;
    *count = 0;
    if (folder == NULL)
        return tn_fail(error, TENEBRA_ERROR_IO, directory, "cannot be opened: %s", strerror(errno));
    bool fits = true;
    for (struct dirent *entry; fits && (entry = readdir(folder)) != NULL;) {
        if (!is_model_file(entry->d_name))
            continue;
        fits = *count < FILES_MAX && TN_GROW(*names, *count, NULL, NULL) == TENEBRA_OK &&
               ((*names)[*count] = strdup(entry->d_name)) != NULL;
        *count += fits;
    }
    closedir(folder);
    if (fits && *count > 0)
        qsort(*names, *count, sizeof **names, compare_names);
    return fits ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_MEMORY, directory, "no memory for the names of its files");
}

static tenebra_code add_file(tn_hash *hash, const char *directory, const char *name, tenebra_error *error)
{
    tn_path path;
    tn_file file;
    TN_TRY(tn_path_print(&path, error, "%s/%s", directory, name));
    if (!tn_path_is_file(path.text))
        return TENEBRA_OK;
    TN_TRY(tn_file_map(&file, path.text, error));
    uint64_t size = file.size;
    tn_eval_add_text(hash, name);
    tn_hash_add(hash, &size, sizeof size);
    if (file.size > 0)
        tn_hash_add(hash, file.data, file.size);
    tenebra_code code = tn_file_check(&file, path.text, error);
    tn_file_close(&file);
    return code;
}

static tenebra_code add_directory(tn_hash *hash, const char *directory, tenebra_error *error)
{
    char **names;
    size_t count;
    tenebra_code code = list_files(directory, &names, &count, error);
    for (size_t i = 0; i < count; i++) {
        if (code == TENEBRA_OK)
            code = add_file(hash, directory, names[i], error);
        free(names[i]);
    }
    free(names);
    return code;
}

tenebra_code tn_eval_digest_directory(const char *directory, char text[TN_EVAL_DIGEST_TEXT], tenebra_error *error)
{
    tn_hash hash;
    tn_hash_start(&hash);
    TN_TRY(add_directory(&hash, directory, error));
    tn_digest digest = tn_hash_finish(&hash);
    tn_eval_print_digest(&digest, text);
    return TENEBRA_OK;
}

tenebra_code tn_eval_digest_model(const tn_eval_plan *plan, char text[TN_EVAL_DIGEST_TEXT], tenebra_error *error)
{
    tn_hash hash;
    tn_model_files files;
    TN_TRY(tn_model_find(plan->model, plan->model_options.base, &files, error));
    const char *weights = files.weights.text, *slash = strrchr(weights, '/');
    tn_hash_start(&hash);
    TN_TRY(add_directory(&hash, files.directory.text, error));
    if (tn_path_is_file(weights)) {
        tn_path parent;
        TN_TRY(tn_path_print(&parent, error, "%.*s", slash != NULL ? (int)(slash - weights) : 1, slash != NULL ? weights : "."));
        TN_TRY(add_file(&hash, parent.text, slash != NULL ? slash + 1 : weights, error));
    } else if (strcmp(weights, files.directory.text) != 0) {
        TN_TRY(add_directory(&hash, weights, error));
    }
    if (plan->model_options.lora_alpha != 0)
        tn_hash_add(&hash, &plan->model_options.lora_alpha, sizeof plan->model_options.lora_alpha);
    tn_digest digest = tn_hash_finish(&hash);
    tn_eval_print_digest(&digest, text);
    return TENEBRA_OK;
}
