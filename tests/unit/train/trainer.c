/* The trainer through its interface: what it starts from, the effects of a probe, stopping and continuing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/train/run.h"

static double deviation(const tn_parameter *parameter)
{
    double sum = 0;
    for (size_t i = 0; i < parameter->count; i++)
        sum += (double)parameter->values[i] * (double)parameter->values[i];
    return sqrt(sum / (double)parameter->count);
}

static const tn_parameter *parameter(const tn_trainer *trainer, const char *name)
{
    const tn_parameter *found = tn_parameters_find(trainer->parameters, name);
    if (found == NULL)
        fail_msg("no parameter %s", name);
    return found;
}

static void test_initial_values(void **state)
{
    tn_train_config config;
    tn_trainer_options options = { 0 };
    read_recipe(&config, *state, NULL, 0);
    tn_trainer *trainer = open_trainer(&config, &options);
    /* Deviations of thousands of draws: 5 % is more than six standard deviations. */
    double q = deviation(parameter(trainer, "model.layers.1.self_attn.q_proj.weight"));
    double o = deviation(parameter(trainer, "model.layers.1.self_attn.o_proj.weight"));
    double fc2 = deviation(parameter(trainer, "visual.blocks.0.mlp.fc2.weight"));
    assert_true(fabs(q - 0.02) < 0.001);
    assert_true(fabs(o - 0.02 / sqrt(8)) < 0.05 * 0.02 / sqrt(8)); /* 4 layers */
    assert_true(fabs(fc2 - 0.02 / 2) < 0.05 * 0.02 / 2);           /* 2 blocks */
    assert_true(deviation(parameter(trainer, "model.norm.weight")) == 1);
    assert_true(parameter(trainer, "visual.blocks.1.norm1.weight")->values[3] == 1);
    assert_true(deviation(parameter(trainer, "model.layers.0.self_attn.q_proj.bias")) == 0);
    tn_trainer_close(trainer);
    tn_train_config_free(&config);
}

static void test_probe_leaves_nothing(void **state)
{
    const place *p = *state;
    tn_train_config config;
    tn_trainer_options options = { .plan_only = true };
    tn_stage_cost first, second;
    tn_train_memory memory;
    read_recipe(&config, p, NULL, 0);
    tn_trainer *trainer = open_trainer(&config, &options);
    tn_real before = parameter(trainer, "model.norm.weight")->values[0];
    assert_int_equal(tn_trainer_probe(trainer, 0, true, &first, &memory, NULL), TENEBRA_OK);
    assert_true(tn_optimizer_norm(&trainer->optimizer) == 0);
    assert_true(parameter(trainer, "model.norm.weight")->values[0] == before);
    assert_int_equal(tn_trainer_probe(trainer, 1, false, &second, &memory, NULL), TENEBRA_OK);
    assert_true(first.sample_ms > 0 && second.sample_ms == 0);
    assert_true(first.labels > second.labels);
    /* Forward and backward of every matrix: between 6 times the decoder's values a row and twice that. */
    double matrices = 4 * (2.0 * 128 * 128 + 2.0 * 64 * 128 + 3.0 * 256 * 128);
    assert_true(first.sample_flops > 6 * matrices * first.rows);
    assert_true(first.sample_flops < 12 * matrices * first.rows);
    assert_false(tn_path_is_directory(p->output));
    tn_trainer_close(trainer);
    tn_train_config_free(&config);
}

/* Copies the trained values, to compare with. */
static tn_real *all_values(const tn_trainer *trainer)
{
    tn_real *values = malloc(trainer->parameters->elements * sizeof *values), *at = values;
    assert_non_null(values);
    for (size_t i = 0; i < trainer->parameters->count; i++) {
        memcpy(at, trainer->parameters->items[i].values, trainer->parameters->items[i].count * sizeof *at);
        at += trainer->parameters->items[i].count;
    }
    return values;
}

static tn_real *run_to(const tn_train_config *config, bool resume, uint64_t stop_after, tenebra_code expected, watcher *w)
{
    tenebra_error error = { 0 };
    *w = (watcher){ .stop_after = stop_after };
    tn_trainer_options options = { .resume = resume, .overwrite = !resume, .stop = &w->stop, .on_event = watch, .user = w };
    tn_trainer *trainer = open_trainer(config, &options);
    tenebra_code code = tn_trainer_run(trainer, &error);
    if (code != expected)
        fail_msg("%s: %s", error.where, error.sentence);
    if (expected == TENEBRA_ERROR_CANCELLED)
        assert_non_null(strstr(error.sentence, "--resume"));
    tn_real *values = all_values(trainer);
    tn_trainer_close(trainer);
    return values;
}

static void test_stop_and_go_on(void **state)
{
    tn_train_config config;
    watcher w;
    size_t bytes;
    read_recipe(&config, *state, NULL, 0);
    tn_real *whole = run_to(&config, false, 0, TENEBRA_OK, &w);
    assert_int_equal(w.updates, 6);
    assert_int_equal(w.validations, 2);
    assert_true(w.saved >= 2);
    /* Stopped in the middle of an epoch, and when a validation is due. */
    static const uint64_t stops[] = { 2, 3 };
    for (size_t i = 0; i < 2; i++) {
        tn_trainer_options none = { .plan_only = true };
        tn_trainer *trainer = open_trainer(&config, &none);
        bytes = trainer->parameters->elements * sizeof(tn_real);
        tn_trainer_close(trainer);
        tn_real *part = run_to(&config, false, stops[i], TENEBRA_ERROR_CANCELLED, &w);
        assert_int_equal(w.updates, stops[i]);
        assert_memory_not_equal(part, whole, bytes);
        tn_real *rest = run_to(&config, true, 0, TENEBRA_OK, &w);
        assert_int_equal(w.updates, 6 - stops[i]);
        assert_int_equal(w.validations, 2);
        assert_memory_equal(rest, whole, bytes);
        free(part);
        free(rest);
    }
    free(whole);
    tn_train_config_free(&config);
}

/* A run cannot continue with another data set of the same size. */
static void test_other_data(void **state)
{
    const place *p = *state;
    tn_train_config config;
    watcher w;
    tenebra_error error = { 0 };
    read_recipe(&config, p, NULL, 0);
    free(run_to(&config, false, 2, TENEBRA_ERROR_CANCELLED, &w));
    char *rows = inside(p->data, "data/train.jsonl");
    tn_file file;
    assert_int_equal(tn_file_read(&file, rows, SIZE_MAX, NULL), TENEBRA_OK);
    char *text = calloc(1, file.size + 1), *word;
    assert_non_null(text);
    memcpy(text, file.data, file.size);
    word = strstr(text, "number 3");
    tn_file_close(&file);
    assert_non_null(word);
    word[7] = '7';
    assert_int_equal(tn_output_put(rows, text, strlen(text), NULL), TENEBRA_OK);
    tn_trainer_options options = { .resume = true };
    tn_trainer *no_trainer;
    assert_int_equal(tn_trainer_open(&config, &options, &no_trainer, &error), TENEBRA_ERROR_MISMATCH);
    assert_null(no_trainer);
    assert_int_equal(error.code, TENEBRA_ERROR_MISMATCH);
    assert_non_null(strstr(error.sentence, "another training set"));
    word[7] = '3';
    assert_int_equal(tn_output_put(rows, text, strlen(text), NULL), TENEBRA_OK);
    tn_trainer_close(open_trainer(&config, &options));
    free(text);
    free(rows);
    tn_train_config_free(&config);
}

static void expect_refusal_of(const place *p, const char *const *lines, size_t count, const char *sentence)
{
    tn_train_config config;
    tn_trainer_options options = { .plan_only = true };
    tenebra_error error = { 0 };
    read_recipe(&config, p, lines, count);
    tn_trainer *no_trainer;
    assert_int_not_equal(tn_trainer_open(&config, &options, &no_trainer, &error), TENEBRA_OK);
    assert_null(no_trainer);
    if (strstr(error.sentence, sentence) == NULL)
        fail_msg("%s gave: %s: %s", lines[0], error.where, error.sentence);
    tn_train_config_free(&config);
}

static void expect_refusal(const place *p, const char *line, const char *sentence)
{
    expect_refusal_of(p, &line, 1, sentence);
}

static void test_refusals(void **state)
{
    expect_refusal(*state, "finetuning_type=lora", "learns nothing");
    expect_refusal(*state, "model=/nowhere", "exclude");
    expect_refusal(*state, "prompt=poetry", "no wording 'poetry'");
    expect_refusal(*state, "val_split=moon", "validate: false");
    expect_refusal_of(*state, (const char *const[]){ "val_fraction=0.01", "val_split=dev" }, 2, "val_split names another split");
    expect_refusal_of(*state, (const char *const[]){ "val_fraction=0.01", "val_data=hops:x" }, 2, "val_data names another set");
    expect_refusal(*state, "trainable=nothing.*", "");
    expect_refusal(*state, "resume=2", "no epochs are left");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_initial_values, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_probe_leaves_nothing, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_stop_and_go_on, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_other_data, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_refusals, open_place, close_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
