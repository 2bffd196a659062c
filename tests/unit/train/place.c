/* The directory of a run: one training at a time, what --overwrite removes, and from which checkpoints a run continues. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "train/checkpoint.h"
#include "train/log.h"
#include "unit/train/run.h"

#include <sys/stat.h>
#include <unistd.h>

/* Runs until `stop_after` updates are made (0: to the end). */
static void train_to(const tn_train_config *config, bool resume, uint64_t stop_after)
{
    watcher w = { .stop_after = stop_after };
    tenebra_error error = { 0 };
    tn_trainer_options options = { .resume = resume, .overwrite = !resume, .stop = &w.stop, .on_event = watch, .user = &w };
    tn_trainer *trainer = open_trainer(config, &options);
    if (tn_trainer_run(trainer, &error) != (stop_after > 0 ? TENEBRA_ERROR_CANCELLED : TENEBRA_OK))
        fail_msg("%s: %s", error.where, error.sentence);
    tn_trainer_close(trainer);
}

static void expect_no_start(const tn_train_config *config, const tn_trainer_options *options, tenebra_code code, const char *sentence)
{
    tenebra_error error = { 0 };
    tn_trainer *no_trainer;
    assert_int_not_equal(tn_trainer_open(config, options, &no_trainer, &error), TENEBRA_OK);
    assert_null(no_trainer);
    if (error.code != code || strstr(error.sentence, sentence) == NULL)
        fail_msg("expected '%s', got %d, %s: %s", sentence, (int)error.code, error.where, error.sentence);
}

static void put(const place *p, const char *name, const char *text)
{
    char *path = inside(p->output, name);
    assert_int_equal(tn_output_put(path, text, strlen(text), NULL), TENEBRA_OK);
    free(path);
}

static bool has(const place *p, const char *name)
{
    char *path = inside(p->output, name);
    bool there = tn_path_is_file(path) || tn_path_is_directory(path);
    free(path);
    return there;
}

static void drop(const place *p, const char *name)
{
    char *path = inside(p->output, name);
    assert_int_equal(unlink(path), 0);
    free(path);
}

/* --------------------------------------------------------------- models -- */

/* training.json of a model or an adapter says how it is asked; a run would replace it. */
static void test_no_run_in_a_model(void **state)
{
    const place *p = *state;
    tn_train_config config;
    read_recipe(&config, p, NULL, 0);
    static const char *const signs[] = { "config.json", "adapter_config.json" };
    assert_int_equal(mkdir(p->output, 0777), 0);
    for (size_t i = 0; i < 2; i++) {
        put(p, signs[i], "{}");
        put(p, "training.json", "mine");
        for (int way = 0; way < 4; way++)
            expect_no_start(&config, &(tn_trainer_options){ .resume = way == 1, .overwrite = way == 2, .plan_only = way == 3 },
                            TENEBRA_ERROR_ARGUMENT, "name another output");
        assert_false(has(p, "train.lock"));
        char *path = inside(p->output, "training.json");
        tn_file file;
        assert_int_equal(tn_file_read(&file, path, 100, NULL), TENEBRA_OK);
        assert_true(file.size == 4 && memcmp(file.data, "mine", 4) == 0);
        tn_file_close(&file);
        free(path);
        drop(p, "training.json");
        drop(p, signs[i]);
    }
    tn_trainer_close(open_trainer(&config, &(tn_trainer_options){ 0 })); /* without them it starts */
    tn_train_config_free(&config);
}

/* ---------------------------------------------------------------- lock -- */

static void test_one_training_a_directory(void **state)
{
    const place *p = *state;
    tn_train_config config;
    read_recipe(&config, p, NULL, 0);
    tn_trainer *first = open_trainer(&config, &(tn_trainer_options){ 0 });
    put(p, "log.jsonl", "{\"update\":1}\n");
    for (int way = 0; way < 3; way++)
        expect_no_start(&config, &(tn_trainer_options){ .resume = way == 1, .overwrite = way == 2 }, TENEBRA_ERROR_ARGUMENT,
                        "another training");
    char *log = inside(p->output, "log.jsonl");
    tn_file file;
    assert_int_equal(tn_file_map(&file, log, NULL), TENEBRA_OK);
    assert_int_equal(file.size, strlen("{\"update\":1}\n")); /* nothing was changed */
    tn_file_close(&file);
    free(log);
    tn_trainer_close(first);
    tn_trainer_close(open_trainer(&config, &(tn_trainer_options){ 0 })); /* the control: it was the lock */
    tn_train_config_free(&config);
}

static void test_failed_start_leaves_nothing(void **state)
{
    const place *p = *state;
    tn_train_config config;
    static const char *const wrong[] = { "trainable=nothing.*", "init_std=0" };
    read_recipe(&config, p, wrong, 2);
    config.shape = NULL;
    config.model = "/nowhere";
    expect_no_start(&config, &(tn_trainer_options){ 0 }, TENEBRA_ERROR_IO, "");
    assert_false(tn_path_is_directory(p->output));
    tn_train_config_free(&config);
}

/* ------------------------------------------------------------ overwrite -- */

static void test_overwrite_takes_its_own(void **state)
{
    const place *p = *state;
    tn_train_config config;
    read_recipe(&config, p, NULL, 0);
    train_to(&config, false, 0);
    assert_true(has(p, "stage-1") && has(p, "model") && has(p, "curves.html"));
    put(p, "notes.txt", "mine");
    put(p, "stage-0/notes.txt", "mine");
    put(p, "model/README.md", "mine");
    put(p, "checkpoints/update-1.safetensors.mine", "mine");
    expect_no_start(&config, &(tn_trainer_options){ 0 }, TENEBRA_ERROR_ARGUMENT, "--overwrite");
    train_to(&config, false, 2); /* ends in stage 0, before any result */
    assert_false(has(p, "stage-1"));
    assert_false(has(p, "stage-0/model.safetensors") || has(p, "model/model.safetensors") || has(p, "model/training.json"));
    assert_false(has(p, "checkpoints/update-00000006.safetensors"));
    assert_true(has(p, "checkpoints/update-00000002.safetensors"));
    assert_true(has(p, "notes.txt") && has(p, "stage-0/notes.txt") && has(p, "model/README.md"));
    assert_true(has(p, "checkpoints/update-1.safetensors.mine"));
    train_to(&config, true, 0); /* results are added to the existing files */
    assert_true(has(p, "model/model.safetensors") && has(p, "model/README.md"));
    assert_true(has(p, "stage-0/model.safetensors") && has(p, "stage-0/notes.txt"));
    assert_false(has(p, "model.old") || has(p, "stage-0.old"));
    tn_train_config_free(&config);
}

static void test_result_without_checkpoints(void **state)
{
    const place *p = *state;
    tn_train_config config;
    read_recipe(&config, p, NULL, 0);
    train_to(&config, false, 0);
    drop(p, "checkpoints/update-00000006.safetensors");
    drop(p, "checkpoints/update-00000003.safetensors");
    expect_no_start(&config, &(tn_trainer_options){ 0 }, TENEBRA_ERROR_ARGUMENT, "--overwrite");
    expect_no_start(&config, &(tn_trainer_options){ .resume = true }, TENEBRA_ERROR_ARGUMENT, "no checkpoint");
    expect_no_start(&config, &(tn_trainer_options){ .resume = true, .overwrite = true }, TENEBRA_ERROR_ARGUMENT, "exclude");
    tn_train_config_free(&config);
}

/* A run cannot start from a model that it would first remove. */
static void test_overwrite_keeps_its_base(void **state)
{
    const place *p = *state;
    tn_train_config config;
    read_recipe(&config, p, NULL, 0);
    train_to(&config, false, 0);
    char *model = inside(p->output, "model");
    config.shape = NULL;
    config.model = model;
    expect_no_start(&config, &(tn_trainer_options){ .overwrite = true }, TENEBRA_ERROR_ARGUMENT, "from which this run starts");
    assert_true(has(p, "model/model.safetensors") && has(p, "checkpoints/update-00000006.safetensors") && has(p, "log.jsonl"));
    free(model);
    tn_train_config_free(&config);
}

/* ---------------------------------------------------------- checkpoints -- */

/* A checkpoint of a stopped run with one counter changed, sealed as a sound one. */
static void expect_counter(const tn_train_config *config, uint64_t update, uint64_t steps, uint64_t validated, uint64_t tokens,
                           const char *sentence)
{
    const tn_trainer_options resume = { .resume = true };
    tn_trainer *trainer = open_trainer(config, &resume);
    uint64_t old = trainer->update;
    trainer->update = update;
    trainer->optimizer.step = steps;
    trainer->validated = validated;
    trainer->tokens = tokens;
    json_t *about = tn_trainer_state(trainer);
    assert_int_equal(tn_checkpoint_write(trainer->checkpoints.text, update > old ? update : old, trainer->parameters,
                                         &trainer->optimizer, about, NULL), TENEBRA_OK);
    json_decref(about);
    tn_trainer_close(trainer);
    if (sentence != NULL)
        expect_no_start(config, &resume, TENEBRA_ERROR_FORMAT, sentence);
    else
        tn_trainer_close(open_trainer(config, &resume));
}

static void test_counters(void **state)
{
    const place *p = *state;
    tn_train_config config;
    read_recipe(&config, p, NULL, 0);
    const struct {
        uint64_t update, steps, validated, tokens;
        const char *sentence;
    } rows[] = { { 2, 2, 0, 1000, NULL },
                 { 0, 2, 0, 1000, "update" },
                 { 2, 0, 0, 1000, "optimizer_steps" },
                 { 2, 1000000000, 0, 1000, "counters" },
                 { 2, 2, 1000000000, 1000, "counters" },
                 { 2, 2, 0, 0, "tokens" },
                 { 2, 2, 0, 1, "counters" },
                 { 2, 2, 0, (uint64_t)1 << 50, "counters" },
                 { 1000000000, 1000000000, 0, (uint64_t)1 << 40, "counters" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        train_to(&config, false, 2);
        expect_counter(&config, rows[i].update, rows[i].steps, rows[i].validated, rows[i].tokens, rows[i].sentence);
    }
    tn_train_config_free(&config);
}

static void flip(const char *path, long at, int bit)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, -1, SEEK_CUR), 0);
    assert_true(byte != EOF && fputc(byte ^ 1 << bit, file) != EOF);
    assert_int_equal(fclose(file), 0);
}

/* A flipped bit anywhere: values, moments, counters, the digest, the length of the header. */
static void test_flipped_bits(void **state)
{
    const place *p = *state;
    const tn_trainer_options resume = { .resume = true };
    tn_train_config config;
    tenebra_error error = { 0 };
    read_recipe(&config, p, NULL, 0);
    train_to(&config, false, 2);
    char *path = inside(p->output, "checkpoints/update-00000002.safetensors");
    tn_file file;
    assert_int_equal(tn_file_map(&file, path, NULL), TENEBRA_OK);
    size_t size = file.size;
    tn_file_close(&file);
    for (size_t i = 0; i < 40; i++) {
        long at = i < 2 ? (long)i : i < 12 ? (long)(20 + 150 * i) : (long)(size / 41 * i);
        flip(path, at, (int)(i % 8));
        tn_trainer *no_trainer;
        assert_int_not_equal(tn_trainer_open(&config, &resume, &no_trainer, &error), TENEBRA_OK);
        assert_null(no_trainer);
        assert_true(error.code == TENEBRA_ERROR_FORMAT || error.code == TENEBRA_ERROR_LIMIT || error.code == TENEBRA_ERROR_UNSUPPORTED);
        flip(path, at, (int)(i % 8));
    }
    flip(path, -1, 0);
    expect_no_start(&config, &resume, TENEBRA_ERROR_FORMAT, "damaged");
    flip(path, -1, 0);
    tn_trainer_close(open_trainer(&config, &resume)); /* the control: whole again */
    free(path);
    tn_train_config_free(&config);
}

/* --------------------------------------------------------------- continuing -- */

static void read_with(tn_train_config *config, const place *p, const char *one, const char *two)
{
    const char *const more[] = { one, two };
    read_recipe(config, p, more, two != NULL ? 2 : 1);
}

/* What may change in the length of a run, and what may not. */
static void test_length(void **state)
{
    static const struct {
        const char *schedule, *before, *after, *sentence;
    } rows[] = { { "lr_scheduler_type=cosine", "max_updates=4", "max_updates=5", "'max_updates: 4'" },
                 { "lr_scheduler_type=linear", "num_epochs=2", "num_epochs=3", "'num_epochs: 2'" },
                 { "lr_scheduler_type=cosine", "num_epochs=2", "max_updates=6", NULL }, /* the same length */
                 { "lr_scheduler_type=constant", "num_epochs=2", "num_epochs=3", NULL },
                 { "warmup_ratio=0.5", "num_epochs=2", "num_epochs=3", "warmup_ratio" },
                 { "warmup_steps=2", "num_epochs=2", "num_epochs=3", NULL },
                 { "lr_scheduler_type=constant", "num_epochs=2", "max_updates=1", "ends the run after 1" } };
    const tn_trainer_options resume = { .resume = true };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tn_train_config config;
        read_with(&config, *state, rows[i].schedule, rows[i].before);
        train_to(&config, false, 2);
        tn_train_config_free(&config);
        read_with(&config, *state, rows[i].schedule, rows[i].after);
        if (rows[i].sentence != NULL)
            expect_no_start(&config, &resume, TENEBRA_ERROR_MISMATCH, rows[i].sentence);
        else
            tn_trainer_close(open_trainer(&config, &resume));
        tn_train_config_free(&config);
    }
}

/* Another model under an adapter: the same shapes, other values; and a config.json that says something else. */
static void test_other_base(void **state)
{
    const place *p = *state;
    const tn_trainer_options resume = { .resume = true };
    tn_train_config config, adapter;
    char base[160], output[160];
    read_with(&config, p, "init_std=0.02", NULL);
    train_to(&config, false, 0);
    tn_train_config_free(&config);
    snprintf(base, sizeof base, "%s/model", p->output);
    snprintf(output, sizeof output, "output=%s/lora", p->output);
    read_with(&adapter, p, "finetuning_type=lora", output);
    adapter.shape = NULL;
    adapter.model = base;
    adapter.freeze_vision = true;
    train_to(&adapter, false, 2);
    tn_trainer_close(open_trainer(&adapter, &resume)); /* the control */
    char weights[200], about[200];
    snprintf(weights, sizeof weights, "%s/model.safetensors", base);
    snprintf(about, sizeof about, "%s/config.json", base);
    flip(weights, -1, 0);
    expect_no_start(&adapter, &resume, TENEBRA_ERROR_MISMATCH, "another model");
    flip(weights, -1, 0);
    tn_trainer_close(open_trainer(&adapter, &resume));
    FILE *file = fopen(about, "ab");
    assert_non_null(file);
    assert_int_equal(fputc('\n', file), '\n');
    assert_int_equal(fclose(file), 0);
    expect_no_start(&adapter, &resume, TENEBRA_ERROR_MISMATCH, "another model");
    char *inner = inside(p->output, "lora/checkpoints");
    assert_int_equal(tn_files_remove_directory(inner, NULL), TENEBRA_OK);
    free(inner);
    inner = inside(p->output, "lora");
    assert_int_equal(tn_files_remove_directory(inner, NULL), TENEBRA_OK);
    free(inner);
    tn_train_config_free(&adapter);
}

/* A finished run that is resumed says what its last update was, and describes its result as before. */
static void test_finished_run(void **state)
{
    const place *p = *state;
    tn_train_config config;
    read_recipe(&config, p, NULL, 0);
    train_to(&config, false, 0);
    char *about = inside(p->output, "model/training.json");
    json_t *before;
    tn_json_read(about, 1 << 20, &before, NULL);
    train_to(&config, true, 0);
    json_t *after;
    tn_json_read(about, 1 << 20, &after, NULL);
    assert_int_equal(json_integer_value(json_object_get(before, "stage")), 1);
    assert_true(json_equal(before, after));
    tn_trainer *trainer = open_trainer(&config, &(tn_trainer_options){ .resume = true });
    json_t *summary = tn_trainer_summary(trainer);
    assert_true(json_number_value(json_object_get(summary, "loss")) > 0);
    assert_true(json_is_null(json_object_get(summary, "mfu")));
    json_decref(summary);
    tn_trainer_close(trainer);
    json_decref(before);
    json_decref(after);
    free(about);
    tn_train_config_free(&config);
}

/* Killed between the line about a validation and the checkpoint after it: the line does not come twice. */
static void test_log_of_validations(void **state)
{
    const place *p = *state;
    assert_int_equal(tn_files_make_directory(p->output, NULL), TENEBRA_OK);
    static const char text[] = "{\"update\":1}\n{\"update\":1,\"validation_accuracy\":0.5}\n{\"update\":2}\n"
                               "{\"update\":2,\"validation_accuracy\":0.5}\n";
    for (uint64_t validated = 1; validated <= 2; validated++) {
        put(p, "log.jsonl", text);
        char *path = inside(p->output, "log.jsonl");
        int log;
        assert_int_equal(tn_log_open(path, 2, validated, &log, NULL), TENEBRA_OK);
        close(log);
        tn_file file;
        assert_int_equal(tn_file_map(&file, path, NULL), TENEBRA_OK);
        assert_int_equal(file.size, validated == 2 ? strlen(text) : strlen(text) - strlen("{\"update\":2,\"validation_accuracy\":0.5}\n"));
        tn_file_close(&file);
        free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_run_in_a_model, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_one_training_a_directory, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_failed_start_leaves_nothing, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_overwrite_takes_its_own, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_result_without_checkpoints, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_overwrite_keeps_its_base, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_counters, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_flipped_bits, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_length, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_other_base, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_finished_run, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_log_of_validations, open_place, close_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
