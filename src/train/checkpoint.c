#include "train/checkpoint.h"

#include "base/file.h"
#include "store/seal.h"
#include "store/store.h"
#include "store/writer.h"
#include "train/files.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRONT "update-"
#define BEHIND TN_WRITER_ENDING
#define STATE_KEY "tenebra.train"

/* The three tensors of a parameter: values and both moments. */
static const char *const kinds[] = { "values", "first", "second" };

static void tensor_name(const tn_parameter *parameter, size_t kind, char *name, size_t size)
{
    snprintf(name, size, "%s:%s", kinds[kind], parameter->name);
}

static tenebra_code declare_all(tn_writer *writer, const tn_parameters *parameters, const json_t *state, tenebra_error *error)
{
    char name[TN_STORED_NAME_MAX + 16];
    char *text = json_dumps(state, JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    if (text == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "checkpoint", "no memory for the state");
    tenebra_code code = tn_writer_metadata(writer, STATE_KEY, text, error);
    free(text);
    for (size_t kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < parameters->count && code == TENEBRA_OK; i++) {
            const tn_parameter *parameter = &parameters->items[i];
            tensor_name(parameter, kind, name, sizeof name);
            code = tn_writer_declare(writer, name, TN_STORE_F32, parameter->rank, parameter->shape, error);
        }
    }
    return code;
}

static tenebra_code write_data(tn_writer *writer, const tn_parameters *parameters, const tn_optimizer *optimizer,
                               tenebra_error *error)
{
    for (size_t i = 0; i < parameters->count; i++)
        TN_TRY(tn_writer_write(writer, parameters->items[i].values, parameters->items[i].count * sizeof(tn_real), error));
    TN_TRY(tn_writer_write(writer, optimizer->first, optimizer->total * sizeof(tn_real), error));
    TN_TRY(tn_writer_write(writer, optimizer->second, optimizer->total * sizeof(tn_real), error));
    return tn_writer_finish(writer, error);
}

static tenebra_code print_path(tn_path *path, const char *directory, uint64_t update, tenebra_error *error)
{
    return tn_path_print(path, error, "%s/" FRONT "%08" PRIu64 BEHIND, directory, update);
}

tenebra_code tn_checkpoint_write(const char *directory, uint64_t update, const tn_parameters *parameters,
                                 const tn_optimizer *optimizer, const json_t *state, tenebra_error *error)
{
    TN_TRY(tn_files_make_directory(directory, error));
    tn_path path;
    tn_writer *writer;
    TN_TRY(print_path(&path, directory, update, error));
    tenebra_code code = tn_writer_open(path.text, &writer, error);
    if (code == TENEBRA_OK)
        code = declare_all(writer, parameters, state, error);
    if (code == TENEBRA_OK)
        code = write_data(writer, parameters, optimizer, error);
    tn_writer_close(writer);
    return code;
}

/* Checks that a checkpoint has the bytes that were written. Every checkpoint of tenebra contains a digest. */
static tenebra_code open_checkpoint(const char *path, tn_store **store, tenebra_error *error)
{
    bool sealed = false;
    TN_TRY(tn_store_open(path, store, error));
    tenebra_code code = tn_store_verify_file(*store, 0, &sealed, error);
    if (code == TENEBRA_OK && (!sealed || tn_store_metadata(*store, 0, STATE_KEY) == NULL))
        code = tn_fail(error, TENEBRA_ERROR_FORMAT, path, "is not a checkpoint of this program: its metadata lacks \"%s\"",
                       sealed ? STATE_KEY : TN_STORE_SEAL_KEY);
    return code;
}

tenebra_code tn_checkpoint_state(const char *path, json_t **state, tenebra_error *error)
{
    tenebra_error problem;
    *state = NULL;
    tn_store *store = NULL;
    tenebra_code code = open_checkpoint(path, &store, &problem);
    const char *text = code == TENEBRA_OK ? tn_store_metadata(store, 0, STATE_KEY) : NULL;
    if (text != NULL)
        code = tn_json_parse(text, strlen(text), path, state, &problem);
    tn_store_close(store);
    if (code == TENEBRA_OK)
        return TENEBRA_OK;
    return tn_fail(error, problem.code, problem.where, "%.400s. If you remove this checkpoint, an older one is used", problem.sentence);
}

tenebra_code tn_checkpoint_find(const char *directory, char **path, uint64_t *update, tenebra_error *error)
{
    uint64_t *numbers;
    size_t count;
    *path = NULL;
    *update = 0;
    TN_TRY(tn_files_numbers(directory, FRONT, BEHIND, &numbers, &count, error));
    tn_path newest;
    tenebra_code code = count > 0 ? print_path(&newest, directory, *update = numbers[0], error) : TENEBRA_OK;
    if (count > 0 && code == TENEBRA_OK && (*path = strdup(newest.text)) == NULL)
        code = tn_fail(error, TENEBRA_ERROR_MEMORY, directory, "no memory for a path");
    free(numbers);
    return code;
}

static tenebra_code read_tensors(const tn_store *store, const char *path, const tn_parameters *parameters,
                                 const tn_optimizer *optimizer, tenebra_error *error)
{
    char name[TN_STORED_NAME_MAX + 16];
    if (tn_store_count(store) != 3 * parameters->count)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, path, "has %zu tensors, but the run trains %zu parameters with three tensors each",
                       tn_store_count(store), parameters->count);
    for (size_t kind = 0; kind < 3; kind++) {
        size_t offset = 0;
        for (size_t i = 0; i < parameters->count; i++) {
            const tn_parameter *parameter = &parameters->items[i];
            tn_real *moments = kind == 1 ? optimizer->first : optimizer->second;
            tensor_name(parameter, kind, name, sizeof name);
            TN_TRY(tn_store_read_f32(store, name, kind == 0 ? parameter->values : moments + offset, parameter->count, error));
            offset += parameter->count;
        }
    }
    return TENEBRA_OK;
}

tenebra_code tn_checkpoint_read(const char *path, tn_parameters *parameters, tn_optimizer *optimizer, uint64_t steps,
                                tenebra_error *error)
{
    if (optimizer->total != parameters->elements)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, path, "optimizer and parameters differ");
    tn_store *store;
    TN_TRY(tn_store_open(path, &store, error)); /* the digest was checked when the checkpoint was found */
    tenebra_code code = read_tensors(store, path, parameters, optimizer, error);
    tn_store_close(store);
    if (code == TENEBRA_OK) {
        optimizer->step = steps;
        tn_parameters_round(parameters);
    }
    return code;
}

/* Whether `name` is that of a checkpoint, possibly followed by ".partial-...". */
bool tn_checkpoint_is_own(const char *name)
{
    size_t front = strlen(FRONT), digits = strncmp(name, FRONT, front) == 0 ? strspn(name + front, "0123456789") : 0;
    const char *end = name + front + digits;
    if (digits == 0 || strncmp(end, BEHIND, strlen(BEHIND)) != 0)
        return false;
    end += strlen(BEHIND);
    return *end == '\0' || strncmp(end, ".partial", strlen(".partial")) == 0;
}

/* Removes incomplete files of writers that were killed. */
static void remove_partial(const char *directory)
{
    DIR *entries = opendir(directory);
    if (entries == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;)
        if (tn_checkpoint_is_own(entry->d_name) && strstr(entry->d_name, BEHIND ".partial") != NULL)
            unlinkat(dirfd(entries), entry->d_name, 0);
    closedir(entries);
}

tenebra_code tn_checkpoint_prune(const char *directory, size_t keep, tenebra_error *error)
{
    uint64_t *numbers;
    size_t count;
    remove_partial(directory);
    TN_TRY(tn_files_numbers(directory, FRONT, BEHIND, &numbers, &count, error));
    tenebra_code code = TENEBRA_OK;
    for (size_t i = keep; i < count && code == TENEBRA_OK; i++) {
        tn_path path;
        code = print_path(&path, directory, numbers[i], error);
        if (code == TENEBRA_OK && unlink(path.text) != 0)
            code = tn_fail(error, TENEBRA_ERROR_IO, path.text, "cannot be removed");
    }
    free(numbers);
    return code;
}
