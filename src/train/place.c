/* The directory of a run: its lock, and the files of an earlier run. */
#include "train/parts.h"

#include "base/file.h"
#include "train/checkpoint.h"
#include "train/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME "train.lock"

/* Takes the lock of the directory, which is created if necessary. It is held until the trainer is closed; a crash
 * releases it, too. */
static tenebra_code lock(tn_trainer *trainer, tenebra_error *error)
{
    trainer->made_output = !tn_path_is_directory(trainer->config->output);
    TN_TRY(tn_files_make_directory(trainer->config->output, error));
    tn_path path;
    TN_TRY(tn_path_print(&path, error, "%s/%s", trainer->config->output, LOCK_NAME));
    trainer->lock = open(path.text, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (trainer->lock < 0)
        return tn_fail(error, TENEBRA_ERROR_IO, path.text, "cannot be opened: %s", strerror(errno));
    if (flock(trainer->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, trainer->config->output, "another training is running there; wait until it "
                       "ends, or name another output");
    return TENEBRA_OK; /* without locks in the file system there is no protection */
}

void tn_trainer_unlock(tn_trainer *trainer, bool keep)
{
    if (trainer->lock < 0)
        return;
    /* A failed start removes a directory that it created. */
    tn_path path;
    if (trainer->made_output && !keep && tn_path_print(&path, NULL, "%s/%s", trainer->config->output, LOCK_NAME) == TENEBRA_OK &&
        unlink(path.text) == 0)
        rmdir(trainer->config->output); /* fails if it is not empty */
    close(trainer->lock);
    trainer->lock = -1;
}

/* ------------------------------------------------------- an earlier run -- */

/* Directories of results: stage-0, stage-1, ..., model, adapter. False after the last. */
static bool name_result(size_t number, char *name, size_t size)
{
    if (number < TN_BEST_STAGES)
        snprintf(name, size, "stage-%zu", number);
    else
        snprintf(name, size, "%s", number == TN_BEST_STAGES ? "model" : "adapter");
    return number < TN_BEST_STAGES + 2;
}

static tenebra_code has_result(const tn_trainer *trainer, bool *found, tenebra_error *error)
{
    char name[32];
    *found = false;
    for (size_t i = 0; name_result(i, name, sizeof name) && !*found; i++) {
        tn_path path;
        TN_TRY(tn_path_print(&path, error, "%s/%s", trainer->config->output, name));
        *found = tn_path_is_directory(path.text);
    }
    return TENEBRA_OK;
}

/* A run writes training.json, which a model and an adapter have, too: theirs says how they are asked. */
static tenebra_code refuse_model(const char *output, tenebra_error *error)
{
    static const struct {
        const char *name, *what;
    } signs[] = { { "config.json", "a model" }, { "adapter_config.json", "an adapter" } };
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        tn_path path;
        TN_TRY(tn_path_print(&path, error, "%s/%s", output, signs[i].name));
        if (tn_path_is_file(path.text))
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, output, "holds %s (%s), whose training.json a run would replace; name another "
                           "output", signs[i].what, signs[i].name);
    }
    return TENEBRA_OK;
}

tenebra_code tn_trainer_look_back(tn_trainer *trainer, tenebra_error *error)
{
    const char *output = trainer->config->output;
    TN_TRY(refuse_model(output, error));
    TN_TRY(tn_path_print(&trainer->checkpoints, error, "%s/checkpoints", output));
    if (trainer->options.plan_only)
        return TENEBRA_OK;
    TN_TRY(lock(trainer, error));
    bool result;
    TN_TRY(has_result(trainer, &result, error));
    TN_TRY(tn_checkpoint_find(trainer->checkpoints.text, &trainer->saved_path, &trainer->saved_update, error));
    if (trainer->options.overwrite && trainer->options.resume)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "overwrite", "and resume exclude each other");
    if (trainer->options.overwrite) {
        free(trainer->saved_path);
        trainer->saved_path = NULL;
        return TENEBRA_OK;
    }
    if (trainer->saved_path == NULL && !result)
        return TENEBRA_OK;
    if (!trainer->options.resume)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, output, "already contains a run; %s--overwrite replaces it",
                       trainer->saved_path != NULL ? "--resume continues it, " : "");
    if (trainer->saved_path == NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, output, "contains the result of a run, but no checkpoint to continue from; "
                       "--overwrite replaces it");
    return tn_checkpoint_state(trainer->saved_path, &trainer->saved, error);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* True if directory `path` is inside directory `above`, or is the same, whatever links lead there. */
static bool is_inside(const char *path, const char *above)
{
    struct stat target, now, parent;
    tn_path up;
    bool inside = false, climbs = stat(above, &target) == 0 && stat(path, &now) == 0 &&
                                  tn_path_print(&up, NULL, "%s", path) == TENEBRA_OK;
    while (climbs && !inside) {
        const tn_path here = up;
        inside = is_same(&now, &target);
        climbs = tn_path_print(&up, NULL, "%s/..", here.text) == TENEBRA_OK && stat(up.text, &parent) == 0 &&
                 !is_same(&parent, &now); /* the root is its own parent */
        now = parent;
    }
    return inside;
}

/* Removes the program's files from a directory, and the directory unless it contains other files. */
static tenebra_code clear(const tn_trainer *trainer, const char *name, const char *end, tn_files_own_fn *own, tenebra_error *error)
{
    tn_path path;
    bool left = false;
    TN_TRY(tn_path_print(&path, error, "%s/%s%s", trainer->config->output, name, end));
    TN_TRY(tn_files_remove_own(path.text, own, &left, error));
    if (left) {
        char note[512];
        snprintf(note, sizeof note, "%.400s contains files that do not belong to a run; they are kept", path.text);
        tn_trainer_note(trainer, TN_TRAIN_NOTE, note);
    }
    return TENEBRA_OK;
}

static bool is_of_run(const char *name)
{
    static const char *const names[] = { "log.jsonl", "log.csv", "curves.html", "training.json", NULL };
    for (size_t i = 0; names[i] != NULL; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

tenebra_code tn_trainer_clear_old(const tn_trainer *trainer, tenebra_error *error)
{
    const tn_train_config *config = trainer->config;
    static const char *const ends[] = { "", ".partial", ".old" };
    char name[32];
    bool left;
    if (config->shape == NULL && is_inside(trainer->model->directory, config->output))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "overwrite", "would remove %.300s, from which this run starts; name another output",
                       trainer->model->directory);
    TN_TRY(clear(trainer, "checkpoints", "", tn_checkpoint_is_own, error));
    for (size_t end = 0; end < 3; end++) {
        for (size_t i = 0; name_result(i, name, sizeof name); i++)
            TN_TRY(clear(trainer, name, ends[end], tn_export_is_own, error));
        if (config->shape == NULL)
            TN_TRY(clear(trainer, "initial", ends[end], tn_export_is_own, error));
    }
    return tn_files_remove_own(config->output, is_of_run, &left, error);
}
