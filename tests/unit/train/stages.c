/* Stages, their effect on samples, orders, and the plan of a run. */
#include "train/stages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void open_config(tn_train_config *config, const char *const *lines, size_t count)
{
    tenebra_error error;
    if (tn_train_config_read(config, NULL, lines, count, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
}

static void expect_effect(const tn_train_config *config, size_t stage, size_t steps, size_t latents, size_t skip)
{
    tn_stage_effect effect = tn_stage_apply(config, stage, steps);
    assert_int_equal(effect.latents, latents);
    assert_int_equal(effect.skip, skip);
}

static void test_published_recipe(void **state)
{
    (void)state;
    tn_train_config config;
    const char *const lines[] = { "epochs_per_stage=4", "max_latent_stage=5", "num_epochs=16" };
    open_config(&config, lines, 3);
    for (size_t epoch = 0; epoch < 16; epoch++)
        assert_int_equal(tn_stage_of_epoch(&config, epoch), epoch / 4);
    expect_effect(&config, 0, 3, 0, 0);
    expect_effect(&config, 3, 3, 3, 3);
    expect_effect(&config, 2, 1, 2, 2); /* fewer steps than latents */
    tn_train_config_free(&config);
}

static void test_after_the_last_stage(void **state)
{
    (void)state;
    tn_train_config config;
    const char *const lines[] = { "epochs_per_stage=3", "max_latent_stage=3", "c_thought=2", "pad_latent_to_max=False" };
    open_config(&config, lines, 4);
    assert_int_equal(tn_stage_of_epoch(&config, 11), 3);
    assert_int_equal(tn_stage_of_epoch(&config, 12), 4);
    assert_int_equal(tn_stage_of_epoch(&config, 500), 4);
    expect_effect(&config, 3, 8, 6, 3);
    expect_effect(&config, 4, 8, 6, TN_SKIP_ALL);
    expect_effect(&config, 4, 2, 4, TN_SKIP_ALL);
    config.pad_latents = true;
    expect_effect(&config, 4, 2, 6, TN_SKIP_ALL);
    config.latents_off = true;
    expect_effect(&config, 2, 3, 0, 2);
    tn_train_config_free(&config);
}

static void test_methods_without_latents(void **state)
{
    (void)state;
    tn_train_config config;
    const char *const lines[] = { "method=cot", "epochs_per_stage=1" };
    open_config(&config, lines, 2);
    assert_false(tn_train_is_staged(&config));
    assert_int_equal(tn_stage_of_epoch(&config, 9), 0);
    tn_train_config_free(&config);
}

/* Mixed stages: the share and the spread of the drawn ones. */
static void test_mixing(void **state)
{
    (void)state;
    enum { DRAWS = 20000 };
    tn_train_config config;
    const char *const lines[] = { "uniform_prob=0.4", "epochs_per_stage=1" };
    open_config(&config, lines, 2);
    size_t seen[4] = { 0 };
    for (size_t i = 0; i < DRAWS; i++) {
        size_t stage = tn_stage_draw(&config, 2, i, 3);
        assert_in_range(stage, 0, 3);
        assert_int_equal(stage, tn_stage_draw(&config, 2, i, 3));
        seen[stage]++;
    }
    /* Expected 0.1 each for 0, 1, 3 and 0.7 for 2; six standard deviations are below 400. */
    assert_in_range(seen[0], DRAWS / 10 - 400, DRAWS / 10 + 400);
    assert_in_range(seen[1], DRAWS / 10 - 400, DRAWS / 10 + 400);
    assert_in_range(seen[3], DRAWS / 10 - 400, DRAWS / 10 + 400);
    assert_in_range(seen[2], DRAWS * 7 / 10 - 400, DRAWS * 7 / 10 + 400);
    config.uniform_prob = 0;
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(tn_stage_draw(&config, 2, i, 3), 2);
    tn_train_config_free(&config);
}

static void expect_permutation(const size_t *order, size_t count)
{
    bool *seen = calloc(count, sizeof *seen);
    assert_non_null(seen);
    for (size_t i = 0; i < count; i++) {
        assert_true(order[i] < count);
        assert_false(seen[order[i]]);
        seen[order[i]] = true;
    }
    free(seen);
}

/* Sum over batches of the longest minus the shortest length. */
static size_t spread(const size_t *order, size_t count, const size_t *lengths, size_t batch)
{
    size_t sum = 0;
    for (size_t begin = 0; begin + batch <= count; begin += batch) {
        size_t low = lengths[order[begin]], high = low;
        for (size_t i = begin; i < begin + batch; i++) {
            low = lengths[order[i]] < low ? lengths[order[i]] : low;
            high = lengths[order[i]] > high ? lengths[order[i]] : high;
        }
        sum += high - low;
    }
    return sum;
}

static void test_order(void **state)
{
    (void)state;
    enum { COUNT = 1003, BATCH = 8 };
    size_t order[COUNT], again[COUNT], lengths[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        lengths[i] = i * 7919 % 101;
    assert_int_equal(tn_order_fill(order, COUNT, 5, 1, NULL, BATCH, NULL), TENEBRA_OK);
    assert_int_equal(tn_order_fill(again, COUNT, 5, 1, NULL, BATCH, NULL), TENEBRA_OK);
    expect_permutation(order, COUNT);
    assert_memory_equal(order, again, sizeof order);
    assert_int_equal(tn_order_fill(again, COUNT, 5, 2, NULL, BATCH, NULL), TENEBRA_OK);
    assert_memory_not_equal(order, again, sizeof order);
    assert_int_equal(tn_order_fill(again, COUNT, 6, 1, NULL, BATCH, NULL), TENEBRA_OK);
    assert_memory_not_equal(order, again, sizeof order);
    assert_int_equal(tn_order_fill(again, COUNT, 5, 1, lengths, BATCH, NULL), TENEBRA_OK);
    expect_permutation(again, COUNT);
    assert_true(spread(again, COUNT, lengths, BATCH) * 5 < spread(order, COUNT, lengths, BATCH));
}

typedef struct sentences {
    char text[2000];
} sentences;

static void collect(void *user, const char *sentence)
{
    sentences *all = user;
    strncat(all->text, sentence, sizeof all->text - strlen(all->text) - 1);
}

static void test_plan_and_warnings(void **state)
{
    (void)state;
    tn_train_config config;
    tn_run_plan plan;
    sentences said = { "" };
    const char *const lines[] = { "epochs_per_stage=4", "max_latent_stage=5", "num_epochs=16", "num_devices=4",
                                  "warmup_ratio=0.1" };
    open_config(&config, lines, 5);
    assert_int_equal(tn_run_plan_make(&plan, &config, 1000, NULL), TENEBRA_OK);
    assert_int_equal(plan.update_samples, 64);
    assert_int_equal(plan.updates_per_epoch, 16);
    assert_int_equal(plan.updates, 256);
    assert_int_equal(plan.schedule.warmup, 26);
    tn_run_plan_warn(&plan, &config, collect, &said);
    assert_non_null(strstr(said.text, "stage 3 is the last one reached"));
    config.max_latent_stage = 3;
    said.text[0] = '\0';
    tn_run_plan_warn(&plan, &config, collect, &said);
    assert_string_equal(said.text, "");
    config.first_epoch = 16;
    assert_int_equal(tn_run_plan_make(&plan, &config, 1000, NULL), TENEBRA_ERROR_ARGUMENT);
    config.first_epoch = 0;
    assert_int_equal(tn_run_plan_make(&plan, &config, 0, NULL), TENEBRA_ERROR_ARGUMENT);
    config.max_updates = 10;
    assert_int_equal(tn_run_plan_make(&plan, &config, 1000, NULL), TENEBRA_OK);
    assert_int_equal(plan.updates, 10);
    tn_train_config_free(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_recipe), cmocka_unit_test(test_after_the_last_stage),
        cmocka_unit_test(test_methods_without_latents), cmocka_unit_test(test_mixing),
        cmocka_unit_test(test_order), cmocka_unit_test(test_plan_and_warnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
