/* Random models: the true shapes have the published number of weights, what is written opens and fits,
 * and nothing remains of what fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image/patches.h"
#include "model/model.h"
#include "model/random.h"
#include "unit/store/files.h"

#include <math.h>

#define SMALL_TOKENIZER TENEBRA_TEST_DATA "/tokenizer-small"

static const tn_random_options tiny = { .shape = "tiny", .seed = 7, .type = TN_F32 };

/* "directory/model", which does not exist yet; both go with remove_model. */
typedef struct place {
    char *directory;
    char model[1024];
} place;

static int set_up(void **state)
{
    place *here = calloc(1, sizeof *here);
    assert_non_null(here);
    here->directory = make_directory();
    snprintf(here->model, sizeof here->model, "%s/model", here->directory);
    *state = here;
    return 0;
}

static int tear_down(void **state)
{
    place *here = *state;
    if (access(here->model, F_OK) == 0)
        remove_directory(strdup(here->model));
    remove_directory(here->directory);
    free(here);
    return 0;
}

static const struct {
    const char *shape;
    size_t weights; /* of the published checkpoints (Chameleon: by their sizes) */
} published[] = {
    { "qwen2-vl-2b", 2208985600 },
    { "qwen2-vl-7b", 8291375616 },
    { "chameleon-7b", 7043090432 },
    { "chameleon-30b", 34323732480 },
};

static void test_published_sizes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        const tn_random_options options = { .shape = published[i].shape, .type = TN_BF16 };
        size_t bytes = 0, count = 0;
        assert_int_equal(tn_random_model_size(&options, &bytes, &count, NULL), TENEBRA_OK);
        assert_int_equal(count, published[i].weights);
        assert_int_equal(bytes, 2 * count);
    }
}

static void test_every_shape_is_sound(void **state)
{
    (void)state;
    size_t shapes = 0;
    for (const tn_shape *shape = tn_shapes; shape->name != NULL; shape++, shapes++) {
        const tn_random_options options = { .shape = shape->name, .type = TN_BF16 };
        tenebra_error error = { 0 };
        size_t count = 0;
        assert_int_equal(tn_random_model_size(&options, NULL, &count, &error), TENEBRA_OK);
        assert_true(count > 0);
    }
    assert_int_equal(shapes, 9);
}

static void test_unknown_shape(void **state)
{
    const place *here = *state;
    const tn_random_options options = { .shape = "huge", .type = TN_F32 };
    tenebra_error error = { 0 };
    assert_int_equal(tn_random_model_write(here->model, &options, &error), TENEBRA_ERROR_ARGUMENT);
    assert_error(&error, TENEBRA_ERROR_ARGUMENT, "huge", "tiny");
    assert_int_equal(count_files(here->directory), 0);
}

/* ---------------------------------------------------------- what it makes -- */

static void count_misfits(void *user, tn_match match, const char *name, const tn_stored *stored, size_t rows,
                          size_t cols)
{
    (void)rows, (void)cols, (void)stored;
    if (match != TN_MATCHED)
        print_error("%s does not match\n", name);
    *(size_t *)user += match != TN_MATCHED;
}

/* The tensors of the model against its backbone's table. */
static size_t misfits(const place *here)
{
    const tn_backbone *backbone;
    tn_model_config config;
    tenebra_error error = { 0 };
    assert_int_equal(tn_model_read_config(here->model, NULL, &backbone, &config, NULL, &error), TENEBRA_OK);
    tn_store *store;
    assert_int_equal(tn_store_open(here->model, &store, &error), TENEBRA_OK);
    size_t reported = 0, counted = 0;
    tn_decoder decoder;
    tn_networks networks;
    assert_int_equal(tn_networks_open(&networks, backbone, &config, &decoder, &error), TENEBRA_OK);
    assert_int_equal(tn_networks_match(&networks, store, count_misfits, &reported, &counted, &error), TENEBRA_OK);
    assert_int_equal(reported, counted);
    tn_networks_close(&networks);
    tn_store_close(store);
    return counted;
}

/* Mean and variance of a tensor. */
static void moments(const tn_store *store, const char *name, double *mean, double *variance)
{
    const tn_stored *tensor = tn_store_find(store, name);
    assert_non_null(tensor);
    float *values = malloc(tensor->bytes);
    assert_non_null(values);
    assert_int_equal(tn_store_read_f32(store, name, values, tensor->elements, NULL), TENEBRA_OK);
    double sum = 0, squares = 0;
    for (size_t i = 0; i < tensor->elements; i++) {
        sum += (double)values[i];
        squares += (double)values[i] * (double)values[i];
    }
    *mean = sum / (double)tensor->elements;
    *variance = squares / (double)tensor->elements - *mean * *mean;
    free(values);
}

/* A model opens only if its preprocessor cuts patches as its tower reads them: here 28 pixels, not merged. */
static void test_other_patches(void **state)
{
    const place *here = *state;
    tenebra_error error = { 0 };
    const tn_random_options options = { .shape = "hops", .seed = 7, .type = TN_F32 };
    assert_int_equal(tn_random_model_write(here->model, &options, &error), TENEBRA_OK);
    tn_model *model;
    if (tn_model_open(here->model, NULL, &model, &error) != TENEBRA_OK)
        fail_msg("%s", error.sentence);
    const tn_patch_config *patches = model->rule;
    assert_int_equal(patches->patch_size, 28);
    assert_int_equal(patches->merge_size, 1);
    assert_int_equal(patches->temporal_patch_size, 1);
    tn_model_close(model);
}

static void test_tiny_model(void **state)
{
    const place *here = *state;
    tenebra_error error = { 0 };
    assert_int_equal(tn_random_model_write(here->model, &tiny, &error), TENEBRA_OK);
    assert_int_equal(count_files(here->model), 4);
    assert_int_equal(misfits(here), 0);

    tn_store *store;
    assert_int_equal(tn_store_open(here->model, &store, &error), TENEBRA_OK);
    size_t bytes = 0, count = 0;
    assert_int_equal(tn_random_model_size(&tiny, &bytes, &count, NULL), TENEBRA_OK);
    assert_int_equal(tn_store_bytes(store), bytes);
    assert_int_equal(bytes, 4 * count);
    const tn_stored *patch = tn_store_find(store, "visual.patch_embed.proj.weight");
    const size_t shape[] = { 64, 3, 2, 14, 14 };
    assert_int_equal(patch->rank, 5);
    assert_memory_equal(patch->shape, shape, sizeof shape);

    /* 128 x 128 values of variance 1/128: the sample's error is 1/128 sqrt(2/n), 9e-5; 10 of those. */
    double mean, variance;
    moments(store, "model.layers.3.self_attn.q_proj.weight", &mean, &variance);
    assert_true(fabs(mean) < 10 * sqrt(1 / 128.0 / 16384));
    assert_true(fabs(variance - 1 / 128.0) < 9e-4);
    moments(store, "model.norm.weight", &mean, &variance);
    assert_true(fabs(mean - 1) < 0.05); /* deviation 0.05 of 128 values: error 0.0045 */
    moments(store, "visual.blocks.1.mlp.fc1.bias", &mean, &variance);
    assert_true(fabs(mean) < 0.02);
    assert_false(fabs(variance - 1 / 128.0) < 1e-3); /* negative control: not a matrix */
    tn_store_close(store);
}

/* Layers and rows are different numbers, not copies of each other. */
static void test_nothing_repeats(void **state)
{
    const place *here = *state;
    assert_int_equal(tn_random_model_write(here->model, &tiny, NULL), TENEBRA_OK);
    tn_store *store;
    assert_int_equal(tn_store_open(here->model, &store, NULL), TENEBRA_OK);
    const tn_stored *a = tn_store_find(store, "model.layers.0.self_attn.q_proj.weight"),
                    *b = tn_store_find(store, "model.layers.1.self_attn.q_proj.weight");
    assert_memory_not_equal(a->data, b->data, a->bytes);
    const unsigned char *rows = a->data;
    for (size_t i = 1; i < a->shape[0]; i++)
        assert_memory_not_equal(rows, rows + i * 4 * a->shape[1], 4 * a->shape[1]);
    tn_store_close(store);
}

static void test_seed_decides(void **state)
{
    const place *here = *state;
    unsigned char *copies[3];
    size_t size = 0;
    for (size_t i = 0; i < 3; i++) {
        tn_random_options options = tiny;
        options.seed += i / 2; /* 7, 7, 8 */
        assert_int_equal(tn_random_model_write(here->model, &options, NULL), TENEBRA_OK);
        tn_store *store;
        assert_int_equal(tn_store_open(here->model, &store, NULL), TENEBRA_OK);
        const tn_stored *tensor = tn_store_find(store, "model.embed_tokens.weight");
        size = tensor->bytes;
        copies[i] = malloc(size);
        assert_non_null(copies[i]);
        memcpy(copies[i], tensor->data, size);
        tn_store_close(store);
        remove_directory(strdup(here->model));
    }
    assert_memory_equal(copies[0], copies[1], size);
    assert_memory_not_equal(copies[0], copies[2], size);
    for (size_t i = 0; i < 3; i++)
        free(copies[i]);
}

static void test_types(void **state)
{
    const place *here = *state;
    static const tn_dtype types[] = { TN_F16, TN_BF16 };
    for (size_t i = 0; i < 2; i++) {
        tn_random_options options = tiny;
        options.type = types[i];
        assert_int_equal(tn_random_model_write(here->model, &options, NULL), TENEBRA_OK);
        assert_int_equal(misfits(here), 0);
        tn_store *store;
        assert_int_equal(tn_store_open(here->model, &store, NULL), TENEBRA_OK);
        for (size_t k = 0; k < tn_store_count(store); k++)
            assert_int_equal(tn_store_at(store, k)->type, tn_store_type_of_weight(types[i]));
        tn_store_close(store);
        remove_directory(strdup(here->model));
    }
}

/* ----------------------------------------------------------- with tokens -- */

static void test_with_tokenizer(void **state)
{
    const place *here = *state;
    tn_random_options options = tiny;
    options.tokenizer = SMALL_TOKENIZER;
    tenebra_error error = { 0 };
    assert_int_equal(tn_random_model_write(here->model, &options, &error), TENEBRA_OK);
    assert_int_equal(misfits(here), 0);
    tn_model *model;
    assert_int_equal(tn_model_open(here->model, NULL, &model, &error), TENEBRA_OK);
    assert_non_null(model->tokenizer);
    assert_int_equal(model->config.picture_token, tn_tokenizer_find(model->tokenizer, "<|image_pad|>"));
    assert_int_equal(model->config.eos_tokens[0], tn_tokenizer_find(model->tokenizer, "<|im_end|>"));
    assert_true(tn_tokenizer_size(model->tokenizer) <= tn_model_vocabulary(model));
    tn_model_close(model);
}

static void test_not_a_tokenizer(void **state)
{
    const place *here = *state;
    tn_random_options options = tiny;
    options.tokenizer = TENEBRA_TEST_DATA "/store";
    tenebra_error error = { 0 };
    assert_int_not_equal(tn_random_model_write(here->model, &options, &error), TENEBRA_OK);
    assert_int_not_equal(error.code, TENEBRA_OK);
    assert_int_equal(count_files(here->directory), 0);
}

/* -------------------------------------------------------------- failures -- */

static void test_not_empty(void **state)
{
    const place *here = *state;
    assert_int_equal(tn_random_model_write(here->model, &tiny, NULL), TENEBRA_OK);
    tenebra_error error = { 0 };
    assert_int_equal(tn_random_model_write(here->model, &tiny, &error), TENEBRA_ERROR_ARGUMENT);
    assert_error(&error, TENEBRA_ERROR_ARGUMENT, here->model, "is not empty");
    assert_int_equal(misfits(here), 0); /* untouched */
}

static bool stop_late(void *user, size_t done, size_t total)
{
    size_t *calls = user;
    assert_true(done <= total);
    return ++*calls < 10;
}

static void test_stopped(void **state)
{
    const place *here = *state;
    size_t calls = 0;
    tn_random_options options = tiny;
    options.progress = stop_late;
    options.user = &calls;
    tenebra_error error = { 0 };
    assert_int_equal(tn_random_model_write(here->model, &options, &error), TENEBRA_ERROR_CANCELLED);
    assert_int_equal(error.code, TENEBRA_ERROR_CANCELLED);
    assert_int_equal(calls, 10);
    assert_int_equal(count_files(here->directory), 0);
}

static void test_impossible_place(void **state)
{
    const place *here = *state;
    char path[2048];
    snprintf(path, sizeof path, "%s/absent/model", here->directory);
    tenebra_error error = { 0 };
    assert_int_equal(tn_random_model_write(path, &tiny, &error), TENEBRA_ERROR_IO);
    assert_error(&error, TENEBRA_ERROR_IO, "absent/model", "cannot be created");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_sizes),
        cmocka_unit_test(test_every_shape_is_sound),
        TEST(test_unknown_shape),
        TEST(test_other_patches),
        TEST(test_tiny_model),
        TEST(test_nothing_repeats),
        TEST(test_seed_decides),
        TEST(test_types),
        TEST(test_with_tokenizer),
        TEST(test_not_a_tokenizer),
        TEST(test_not_empty),
        TEST(test_stopped),
        TEST(test_impossible_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
