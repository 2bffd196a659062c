/* A small set, a recipe, and a trainer for it. Include after cmocka.h. */
#ifndef TN_TESTS_TRAIN_RUN_H
#define TN_TESTS_TRAIN_RUN_H

#include "base/file.h"
#include "base/output.h"
#include "train/files.h"
#include "train/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 6 };

typedef struct place {
    char root[64];
    char *data, *output;
} place;

static inline char *inside(const char *root, const char *name)
{
    char *path = tn_path_join(root, name);
    assert_non_null(path);
    return path;
}

static inline void write_rows(const place *p, const char *split)
{
    char rows[8192] = "", name[64];
    for (int i = 0; i < SAMPLES; i++) {
        char row[1024];
        snprintf(row, sizeof row, "{\"id\": \"%s-%d\", \"category\": \"x\", \"image_id\": \"%s-%d\", \"question\": \"What is number %d?\", "
                 "\"choices\": [\"a cat\", \"a dog\"], \"context\": \"\", \"answer\": \"%c\", \"rationale\": \"first step.\\nsecond step "
                 "%.*s.\", \"split\": \"%s\", \"image\": \"data/images/one.png\", \"domain\": \"d\", \"topic\": \"t%d\"}\n",
                 split, i, split, i, i, i % 2 ? 'A' : 'B', i, "goes on", split, i % 2);
        strncat(rows, row, sizeof rows - strlen(rows) - 1);
    }
    snprintf(name, sizeof name, "data/%s.jsonl", split);
    char *path = inside(p->data, name);
    assert_int_equal(tn_output_put(path, rows, strlen(rows), NULL), TENEBRA_OK);
    free(path);
}

static inline int open_place(void **state)
{
    place *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -1;
    strcpy(p->root, "/tmp/tenebra-train-XXXXXX");
    if (mkdtemp(p->root) == NULL)
        return -1;
    p->data = inside(p->root, "set");
    p->output = inside(p->root, "run");
    char *images = inside(p->data, "data/images"), *picture = inside(images, "one.png");
    tn_file file;
    assert_int_equal(tn_files_make_directory(images, NULL), TENEBRA_OK);
    assert_int_equal(tn_file_read(&file, TENEBRA_TEST_DATA "/fuzz/image/rgb8.png", 1 << 20, NULL), TENEBRA_OK);
    assert_int_equal(tn_output_put(picture, file.data, file.size, NULL), TENEBRA_OK);
    tn_file_close(&file);
    write_rows(p, "train");
    write_rows(p, "dev");
    free(images);
    free(picture);
    *state = p;
    return 0;
}

static inline int close_place(void **state)
{
    static const char *const folders[] = { "set/data/images", "set/data", "set", "run/initial", "run/checkpoints", "run/model",
                                           "run/stage-0", "run/stage-1", "run", "" };
    place *p = *state;
    tenebra_error error;
    int result = 0;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char *path = inside(p->root, folders[i]);
        result |= tn_files_remove_directory(path, &error) != TENEBRA_OK;
        free(path);
    }
    free(p->data);
    free(p->output);
    free(p);
    return result;
}

/* The recipe of these tests, followed by further lines. */
static inline void read_recipe(tn_train_config *config, const place *p, const char *const *more, size_t count)
{
    char data[128], output[128];
    tenebra_error error;
    const char *lines[32] = { data, output, "shape=tiny", "tokenizer=" TENEBRA_TEST_DATA "/tokenizer-small", "k_select=1",
                              "epochs_per_stage=1", "max_latent_stage=1", "num_epochs=2", "batch_size=2",
                              "gradient_accumulation_steps=1", "lr=1e-3", "val_tokens=2", "threads=1" };
    size_t fixed = 13;
    snprintf(data, sizeof data, "data=hops:%s", p->data);
    snprintf(output, sizeof output, "output=%s", p->output);
    for (size_t i = 0; i < count; i++)
        lines[fixed + i] = more[i];
    if (tn_train_config_read(config, NULL, lines, fixed + count, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
}

static inline tn_trainer *open_trainer(const tn_train_config *config, const tn_trainer_options *options)
{
    tenebra_error error;
    tn_trainer *trainer;
    if (tn_trainer_open(config, options, &trainer, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return trainer;
}

typedef struct watcher {
    atomic_bool stop;
    uint64_t stop_after;
    size_t updates, questions, validations, saved;
} watcher;

static inline void watch(void *user, const tn_train_event *event)
{
    watcher *w = user;
    w->updates += event->kind == TN_TRAIN_UPDATE;
    w->questions += event->kind == TN_TRAIN_QUESTION;
    w->validations += event->kind == TN_TRAIN_VALIDATION;
    w->saved += event->kind == TN_TRAIN_SAVED;
    if (event->kind == TN_TRAIN_UPDATE && event->update->update == w->stop_after)
        atomic_store(&w->stop, true);
}

/* Trains to the end, or to w->stop_after. The caller closes the trainer, and keeps *w until then. */
static inline tn_trainer *run_trainer(const tn_train_config *config, bool resume, watcher *w)
{
    tenebra_error error = { 0 };
    tn_trainer_options all = { .resume = resume, .overwrite = !resume, .stop = &w->stop, .on_event = watch, .user = w };
    tn_trainer *trainer = open_trainer(config, &all);
    tenebra_code code = tn_trainer_run(trainer, &error);
    if (code != (w->stop_after > 0 ? TENEBRA_ERROR_CANCELLED : TENEBRA_OK))
        fail_msg("%s: %s", error.where, error.sentence);
    return trainer;
}

#endif
