/* LaRe in training: its module is made, trained and saved with the model. Answering is in unit/reason/lare.c, gradients in
 * grad/lare.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/random.h"
#include "reason/modules.h"
#include "unit/train/run.h"

#include <math.h>
#include <unistd.h>

static tn_trainer *train(const place *p, const char *const *lines, size_t count)
{
    tn_train_config config;
    watcher w = { 0 };
    read_recipe(&config, p, lines, count);
    tn_trainer *trainer = run_trainer(&config, false, &w);
    tn_train_config_free(&config);
    return trainer;
}

static const tn_parameter *find(const tn_trainer *trainer, const char *name)
{
    for (size_t i = 0; i < trainer->parameters->count; i++)
        if (strcmp(trainer->parameters->items[i].name, name) == 0)
            return &trainer->parameters->items[i];
    fail_msg("no parameter %s", name);
    return NULL;
}

/* The share of the refinement leaves its start, and both marks, which start as the same row, become different ones. */
static void test_trained(void **state)
{
    static const char *const lines[] = { "method=lare", "k_select=2", "lq_width=32" };
    const place *p = *state;
    tn_trainer *trainer = train(p, lines, 3);
    assert_non_null(tn_module_of(trainer->model, "lare"));
    const tn_parameter *gamma = find(trainer, "module.gamma"), *marks = find(trainer, "module.marks.weight");
    assert_int_equal(gamma->count, 1);
    assert_true(fabs((double)gamma->values[0] - 0.1) < 0.05 && gamma->values[0] != (tn_real)0.1);
    assert_memory_not_equal(marks->values, marks->values + marks->count / 2, marks->count / 2 * sizeof *marks->values);
    tn_trainer_close(trainer);
    char *file = inside(p->output, "model/module.safetensors");
    assert_int_equal(access(file, R_OK), 0);
    free(file);
}

/* ------------------------------------------------------------------ losses -- */

typedef struct learned {
    size_t count;
    tn_real *gradients;
    tn_train_update update;
    tn_real share; /* of the gradient of one tensor of the LQ-Former, in which all losses take part */
} learned;

/* The gradients of the second update with latent steps: in the first one, the last layer of a new denoiser is still zero. */
static learned learn_with(const place *p, const char *one, const char *two, const char *three)
{
    const char *lines[] = { "method=lare", "k_select=2", "lq_width=32", "resume=1", "num_epochs=3", "max_updates=2", "batch_size=6",
                            "validate=false", "rec_width=16", one, two, three };
    size_t count = 10 + (two != NULL) + (three != NULL);
    tn_trainer *trainer = train(p, lines, count);
    learned made = { .update = trainer->last, .gradients = malloc(trainer->parameters->elements * sizeof(tn_real)) };
    assert_non_null(made.gradients);
    for (size_t i = 0; i < trainer->parameters->count; i++) {
        const tn_parameter *item = &trainer->parameters->items[i];
        memcpy(made.gradients + made.count, item->grad, item->count * sizeof *item->grad);
        made.count += item->count;
    }
    made.share = find(trainer, "module.state.weight")->grad[0];
    tn_trainer_close(trainer);
    return made;
}

static bool same(const learned *a, const learned *b)
{
    return a->count == b->count && memcmp(a->gradients, b->gradients, a->count * sizeof *a->gradients) == 0;
}

/* T9: the presets are their weights; v4, the default, is v3 without the contrastive loss. */
static void test_presets(void **state)
{
    learned v3 = learn_with(*state, "loss=v3", NULL, NULL), v4 = learn_with(*state, "loss=v4", NULL, NULL),
            standard = learn_with(*state, "seed=0", NULL, NULL), v3_without = learn_with(*state, "loss=v3", "lambda_c=0", NULL),
            lm = learn_with(*state, "loss=lm", NULL, NULL), v3_alone = learn_with(*state, "loss=v3", "lambda_c=0", "lambda_r=0"),
            lm_with = learn_with(*state, "loss=lm", "lambda_c=0.1", "lambda_r=0.1");
    learned *all[] = { &v3, &v4, &standard, &v3_without, &lm, &v3_alone, &lm_with };
    assert_true(same(&v4, &v3_without) && same(&v4, &standard) && same(&lm, &v3_alone) && same(&v3, &lm_with));
    assert_true(v3.share != v4.share && v4.share != lm.share && v3.share != lm.share);
    assert_true(v3.update.part_count == 2 && v4.update.part_count == 1 && lm.update.part_count == 0);
    assert_string_equal(v3.update.parts[0].name, "contrastive");
    assert_string_equal(v3.update.parts[1].name, "reconstruction");
    assert_string_equal(v4.update.parts[0].name, "reconstruction");
    assert_true(isnan(lm.update.auxiliary) && v3.update.parts[0].value > 0 && v4.update.parts[0].value > 0);
    assert_true(fabs(v3.update.auxiliary - 0.1 * (v3.update.parts[0].value + v3.update.parts[1].value)) < 1e-9);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]->gradients);
}

/* ---------------------------------------------------------------- two runs -- */

#define RECIPES TENEBRA_TEST_DATA "/../../recipes/lare/"

/* Sums of squares of the values of networks, the module's apart. */
typedef struct sizes {
    double model, module;
} sizes;

static tenebra_code add_size(void *user, const tn_place *at, tenebra_error *error)
{
    sizes *sum = user;
    size_t count = at->rows * at->cols;
    tn_real *values = calloc(count, sizeof *values);
    (void)error;
    assert_non_null(values);
    tn_place_read(at, values);
    for (size_t i = 0; i < count; i++)
        *(at->network->layout->kind == TN_NETWORK_MODULE ? &sum->module : &sum->model) += (double)values[i] * (double)values[i];
    free(values);
    return TENEBRA_OK;
}

static sizes sizes_of(const char *directory)
{
    tn_model *model;
    tenebra_error error = { 0 };
    sizes sum = { 0 };
    if (tn_model_open(directory, NULL, &model, &error) != TENEBRA_OK || tn_modules_read(model, NULL, 0, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    tn_networks_each(&model->networks, add_size, &sum, NULL);
    tn_model_close(model);
    return sum;
}

/* Two updates of a recipe that starts from `model`. */
static tn_trainer *run_recipe(const place *p, const char *name, const char *model, const char *const *more, size_t count)
{
    char data[128], output[128], start[128];
    const char *lines[16] = { data, output, start, "batch_size=2", "gradient_accumulation_steps=2", "max_updates=2", "lq_width=32",
                              "k_select=2", "validate=false", "threads=1" };
    tn_train_config config;
    tenebra_error error;
    snprintf(data, sizeof data, "data=hops:%s", p->data);
    snprintf(output, sizeof output, "output=%s", p->output);
    snprintf(start, sizeof start, "model=%s", model);
    for (size_t i = 0; i < count; i++)
        lines[10 + i] = more[i];
    if (tn_train_config_read(&config, name, lines, 10 + count, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    assert_true(config.full_latent_grad && config.full_picks_grad && config.exact_by_method);
    tn_trainer *trainer = run_trainer(&config, false, &(watcher){ 0 });
    assert_true(trainer->last.update == 2 && trainer->last.stage == 2 && trainer->examples[0].latent_steps == 4);
    assert_int_equal(trainer->examples[0].label_count, trainer->examples[1].label_count); /* the answer, no rationale */
    tn_train_config_free(&config);
    return trainer;
}

static size_t named(const tn_trainer *trainer, const char *part)
{
    size_t count = 0;
    for (size_t i = 0; i < trainer->parameters->count; i++)
        count += strstr(trainer->parameters->items[i].name, part) != NULL;
    return count;
}

/* The recipes of the two runs: the first changes the module alone, the second starts from its result and trains model and projector, too,
 * with an adapter or as a whole. */
static void test_stages(void **state)
{
    const place *p = *state;
    char *base = inside(p->root, "base"), *first = inside(p->root, "first"), *model = inside(p->output, "model"),
         *adapter = inside(p->output, "adapter");
    const tn_random_options made = { .shape = "tiny", .tokenizer = TENEBRA_TEST_DATA "/tokenizer-small", .seed = 3, .type = TN_F32 };
    const char *whole[] = { "finetuning_type=full", "freeze_vision_tower=false", "trainable=model.*,visual.merger.*,module.*" };
    assert_int_equal(tn_random_model_write(base, &made, NULL), TENEBRA_OK);
    tn_trainer *trainer = run_recipe(p, RECIPES "module.yaml", base, NULL, 0);
    assert_int_equal(named(trainer, "module."), trainer->parameters->count);
    tn_trainer_close(trainer);
    sizes before = sizes_of(base), after = sizes_of(model);
    assert_true(before.module == 0 && after.module > 0);
    assert_true(after.model == before.model);
    assert_int_equal(rename(model, first), 0);
    for (size_t full = 0; full < 2; full++) {
        trainer = run_recipe(p, RECIPES "model.yaml", first, whole, full ? 3 : 0);
        size_t merger = named(trainer, "visual.merger."), tower = named(trainer, "visual.blocks."), module = named(trainer, "module.");
        assert_true(merger > 0 && tower == 0 && module > 0 && trainer->parameters->count > merger + module);
        assert_int_equal(trainer->adapter == NULL, full);
        tn_trainer_close(trainer);
        if (full)
            assert_true(sizes_of(model).model != before.model && sizes_of(model).module != after.module);
        tenebra_error error;
        assert_int_equal(tn_files_remove_directory(full ? model : adapter, &error), TENEBRA_OK);
    }
    tenebra_error error;
    assert_int_equal(tn_files_remove_directory(base, &error), TENEBRA_OK);
    assert_int_equal(tn_files_remove_directory(first, &error), TENEBRA_OK);
    free(base);
    free(first);
    free(model);
    free(adapter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_trained, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_presets, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_stages, open_place, close_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
