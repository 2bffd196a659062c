/* The gradient of the reference's training step: ours is equal with detached latents, and differs if gradients flow through
 * them. The README of the case says by how much: 52.1 % of its norm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image/patches.h"
#include "model/parameters.h"
#include "reason/training.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN TENEBRA_TEST_DATA "/golden/qwen2vl_untied"

enum { IDS = 56, LATENTS = 2, PICKS = 5 };

typedef struct inputs {
    tn_store *case_store, *training;
    tn_train_example example;
} inputs;

static void add_ids(tn_train_example *example, const tn_model *model, const int64_t *from, const int64_t *marks, size_t begin, size_t end)
{
    int32_t ids[IDS], labels[IDS];
    for (size_t i = begin; i < end; i++) {
        ids[i] = (int32_t)from[i];
        labels[i] = (int32_t)marks[i];
    }
    assert_int_equal(tn_train_example_add_ids(example, &model->config, ids + begin, labels + begin, end - begin, NULL), TENEBRA_OK);
}

static void open_inputs(inputs *in, const tn_model *model)
{
    int64_t ids[IDS], labels[IDS], latent, grid[3];
    memset(in, 0, sizeof *in);
    assert_int_equal(tn_store_open(GOLDEN "/case.safetensors", &in->case_store, NULL), TENEBRA_OK);
    assert_int_equal(tn_store_open(GOLDEN "/lora.safetensors", &in->training, NULL), TENEBRA_OK);
    assert_true(in->case_store != NULL && in->training != NULL);
    assert_int_equal(tn_store_read_i64(in->training, "stage2.ids", ids, IDS, NULL), TENEBRA_OK);
    assert_int_equal(tn_store_read_i64(in->training, "stage2.labels", labels, IDS, NULL), TENEBRA_OK);
    assert_int_equal(tn_store_read_i64(in->case_store, "latent_token_id", &latent, 1, NULL), TENEBRA_OK);
    assert_int_equal(tn_store_read_i64(in->case_store, "image_grid_thw", grid, 3, NULL), TENEBRA_OK);
    size_t prompt = 0;
    while (ids[prompt] != latent)
        prompt++;
    const tn_stored *pixels = tn_store_find(in->case_store, "pixel_values");
    assert_non_null(pixels);
    const tn_patch_config *patches = model->rule;
    size_t side = patches->patch_size, columns = tn_encoder_size(model->backbone->encoder, &model->config.vision, "patch_values");
    assert_int_equal(tn_train_example_set_pictures(&in->example, 1, NULL), TENEBRA_OK);
    in->example.pictures[0] = tn_model_measure(model, (size_t)grid[2] * side, (size_t)grid[1] * side);
    in->example.prepared[0] = (tn_prepared){ pixels->elements / columns, columns, { (size_t)grid[0], (size_t)grid[1], (size_t)grid[2] }, 0,
                                            malloc(pixels->bytes) };
    assert_non_null(in->example.prepared[0].values);
    memcpy(in->example.prepared[0].values, pixels->data, pixels->bytes);
    tn_latent_settings settings = { .steps = LATENTS, .picks = PICKS, .order = TN_PICK_CUDA };
    add_ids(&in->example, model, ids, labels, 0, prompt);
    in->example.prompt = prompt;
    assert_int_equal(tn_train_example_add_latents(&in->example, LATENTS, &settings, NULL), TENEBRA_OK);
    add_ids(&in->example, model, ids, labels, prompt + LATENTS, IDS);
}

static void close_inputs(inputs *in)
{
    tn_train_example_free(&in->example);
    tn_store_close(in->case_store);
    tn_store_close(in->training);
}

/* |ours - theirs| / |theirs| over all gradients. */
static double difference(const inputs *in, const tn_parameters *parameters)
{
    double apart = 0, whole = 0;
    for (size_t i = 0; i < parameters->count; i++) {
        const tn_parameter *p = &parameters->items[i];
        char name[256];
        snprintf(name, sizeof name, "stage2.grad.%s", p->name);
        const tn_stored *stored = tn_store_find(in->training, name);
        assert_non_null(stored);
        assert_int_equal(stored->elements, p->count);
        const float *theirs = stored->data;
        for (size_t k = 0; k < p->count; k++) {
            apart += ((double)p->grad[k] - (double)theirs[k]) * ((double)p->grad[k] - (double)theirs[k]);
            whole += (double)theirs[k] * (double)theirs[k];
        }
    }
    return sqrt(apart / whole);
}

static double gradient_error(bool through_hidden, bool checkpoint, double strength)
{
    tn_model *model;
    assert_int_equal(tn_model_open(GOLDEN "/model", &(tn_model_options){ .kernels = "reference" }, &model, NULL), TENEBRA_OK);
    tn_adapter *adapter;
    assert_int_equal(tn_adapter_open(model, GOLDEN "/adapter", strength, &adapter, NULL), TENEBRA_OK);
    tn_adapter_attach(adapter);
    tn_parameters *parameters;
    assert_int_equal(tn_parameters_open(&parameters, NULL), TENEBRA_OK);
    assert_int_equal(tn_parameters_add_adapter(parameters, adapter, NULL), TENEBRA_OK);
    tn_training_options options = { .method = "ivt-lr", .threads = 1, .through_hidden = through_hidden, .checkpoint = checkpoint };
    tn_training *training;
    assert_int_equal(tn_training_open(model, &options, &training, NULL), TENEBRA_OK);
    inputs in;
    open_inputs(&in, model);
    const tn_train_example *example = &in.example;
    tn_training_result result;
    assert_int_equal(tn_training_learn(training, &example, 1, 1 / (double)example->label_count, &result, NULL), TENEBRA_OK);
    double error = difference(&in, parameters);
    close_inputs(&in);
    tn_training_close(training);
    tn_parameters_close(parameters);
    tn_adapter_close(adapter);
    tn_model_close(model);
    return error;
}

static void detached_latents_are_the_reference(void **state)
{
    (void)state;
    assert_true(gradient_error(false, false, 1) <= 1e-4);
    assert_true(gradient_error(false, true, 1) <= 1e-4);
}

static void gradient_through_latents_is_not(void **state)
{
    (void)state;
    double error = gradient_error(true, false, 1);
    assert_true(error >= 0.515 && error <= 0.527);
    assert_true(gradient_error(false, false, 1.01) > 1e-3); /* another scale */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(detached_latents_are_the_reference),
        cmocka_unit_test(gradient_through_latents_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
