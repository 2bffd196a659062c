/* Checkpoints of training programs beside their base model: wrapped names, adapters in the same file, second names, more rows than
 * the base model has; and their conversion. tools/make_torch_cases.py made the files from golden models, with torch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/quantize.h"
#include "unit/model/adapters.h"

#include <float.h>
#include <math.h>

#define LATENT TENEBRA_TEST_DATA "/checkpoints/latent.pth"
#define SHARED TENEBRA_TEST_DATA "/checkpoints/tied.pth"
#define FRONT "base_causallm.base_model.model."
enum { ROWS = 430, MORE = 3 };

/* W + BA instead of W x + B (A x): the bound of unit.model.lora, where it is derived. */
#define MERGE_BOUND (200 * (double)FLT_EPSILON / 2)

static tn_model *open_with(const char *path, const char *base, double alpha)
{
    const tn_model_options options = { .kernels = "reference", .base = base, .lora_alpha = alpha };
    tenebra_error error = { 0 };
    tn_model *model;
    if (tn_model_open(path, &options, &model, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return model;
}

static void refused(const char *path, const char *base, double alpha, tenebra_code code, const char *words)
{
    const tn_model_options options = { .kernels = "reference", .base = base, .lora_alpha = alpha };
    tenebra_error error = { 0 };
    tn_model *model;
    assert_int_not_equal(tn_model_open(path, &options, &model, &error), TENEBRA_OK);
    assert_null(model);
    if (error.code != code || (strstr(error.sentence, words) == NULL && strstr(error.where, words) == NULL))
        fail_msg("%s: %s (%d), expected '%s' (%d)", error.where, error.sentence, error.code, words, code);
}

static outcome run_with(const char *path, const char *base, double alpha)
{
    tn_model *model = open_with(path, base, alpha);
    outcome o = run_model(model);
    tn_model_close(model);
    return o;
}

/* The golden model with its adapter from its own directory. */
static outcome run_expected(void)
{
    tn_model *model = open_model(UNTIED, "reference");
    tn_adapter *adapter = open_adapter(model, ADAPTER, 1);
    tn_adapter_attach(adapter);
    outcome o = run_model(model);
    tn_adapter_close(adapter);
    tn_model_close(model);
    return o;
}

/* Whether the first numbers of `longer`, which has the logits of more rows at its end, are those of `shorter`. */
static bool begins_with(const outcome *longer, const outcome *shorter, size_t more)
{
    return longer->count == shorter->count + more && memcmp(longer->values, shorter->values, shorter->count * sizeof *shorter->values) == 0;
}

static void test_with_adapter(void **state)
{
    (void)state;
    outcome expected = run_expected(), found = run_with(LATENT, UNTIED, 0), other = run_with(LATENT, UNTIED, 8);
    assert_true(begins_with(&found, &expected, MORE));
    assert_false(begins_with(&other, &expected, MORE)); /* another alpha is another model */
    tn_model *model = open_with(LATENT, UNTIED, 0);
    assert_int_equal(tn_model_vocabulary(model), ROWS + MORE);
    assert_string_equal(model->networks.wrapping.front, FRONT);
    assert_int_equal(model->networks.adapted, 42);
    assert_int_equal(model->inner->module_count, 21);
    assert_int_equal(model->inner->rank, 4);
    assert_true(model->inner->alpha == 16);
    assert_non_null(strstr(model->note, "latent.pth: its files contain a low-rank adapter (rank 4, 21 matrices), which is applied with alpha 16"));
    tn_model_close(model);
    free(expected.values);
    free(found.values);
    free(other.values);
}

static void test_shared_head(void **state)
{
    (void)state;
    outcome expected = run_directory(TIED), found = run_with(SHARED, TIED, 0);
    assert_true(begins_with(&found, &expected, MORE));
    tn_model *model = open_with(SHARED, TIED, 0);
    assert_true(model->networks.tied);
    assert_ptr_equal(model->decoder.head.matrix.data, model->decoder.embed.matrix.data);
    assert_null(model->inner);
    assert_string_equal(model->networks.wrapping.front, "module." FRONT);
    tn_model_close(model);
    free(expected.values);
    free(found.values);
}

static void test_places(void **state)
{
    (void)state;
    refused(LATENT, NULL, 0, TENEBRA_ERROR_IO, "--base names the directory");
    refused(LATENT, TENEBRA_TEST_DATA "/torch", 0, TENEBRA_ERROR_IO, "has no config.json");
    refused(LATENT, "/nowhere", 0, TENEBRA_ERROR_IO, "/nowhere");
    refused("/nowhere.pth", UNTIED, 0, TENEBRA_ERROR_IO, "/nowhere.pth");
    refused(LATENT, TIED, 0, TENEBRA_ERROR_MISMATCH, "shape");
    refused(SHARED, TIED, 4, TENEBRA_ERROR_ARGUMENT, "contains no adapter");
    /* A file beside its config.json needs no base, and a directory with a base needs no config.json. */
    outcome expected = run_directory(UNTIED), beside = run_with(UNTIED "/model.safetensors", NULL, 0), both = run_with(UNTIED, UNTIED, 0);
    assert_true(equal(&expected, &beside) && equal(&expected, &both));
    free(expected.values);
    free(beside.values);
    free(both.values);
}

/* An adapter as PEFT wrote it before it used safetensors. */
static void test_adapter_file(void **state)
{
    (void)state;
    char *directory = make_directory(), path[1100];
    snprintf(path, sizeof path, "%s/adapter_config.json", ADAPTER);
    tn_file config, tensors;
    assert_int_equal(tn_file_read(&config, path, 1 << 20, NULL), TENEBRA_OK);
    assert_int_equal(tn_file_read(&tensors, TENEBRA_TEST_DATA "/checkpoints/adapter_model.bin", 1 << 20, NULL), TENEBRA_OK);
    write_file(directory, "adapter_config.json", config.data, config.size);
    write_file(directory, "adapter_model.bin", tensors.data, tensors.size);
    tn_model *model = open_model(UNTIED, "reference");
    tn_adapter *adapter = open_adapter(model, directory, 1);
    tn_adapter_attach(adapter);
    outcome expected = run_expected(), found = run_model(model);
    assert_true(equal(&expected, &found));
    tn_adapter_close(adapter);
    tn_model_close(model);
    free(expected.values);
    free(found.values);
    tn_file_close(&config);
    tn_file_close(&tensors);
    remove_directory(directory);
}

/* --------------------------------------------------------- changed files -- */

/* Changes the name of a tensor; returns other data for it, or NULL for its own. An empty name leaves the tensor out. */
typedef const void *change_fn(char name[TN_STORED_NAME_MAX + 1], const tn_stored *tensor);

/* Writes the tensors of the checkpoint, changed, as a safetensors file, to whose names the same rules apply. */
static char *rewritten(change_fn *change, char path[1100])
{
    char *directory = make_directory();
    tn_store *store;
    tn_writer *writer;
    snprintf(path, 1100, "%s/changed.safetensors", directory);
    assert_int_equal(tn_store_open(LATENT, &store, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_open(path, &writer, NULL), TENEBRA_OK);
    for (int declare = 1; declare >= 0; declare--)
        for (size_t i = 0; i < tn_store_count(store); i++) {
            const tn_stored *tensor = tn_store_at(store, i);
            char name[TN_STORED_NAME_MAX + 1];
            snprintf(name, sizeof name, "%s", tensor->name);
            const void *data = change(name, tensor);
            if (name[0] != '\0' && declare)
                assert_int_equal(tn_writer_declare(writer, name, tensor->type, tensor->rank, tensor->shape, NULL), TENEBRA_OK);
            else if (name[0] != '\0')
                assert_int_equal(tn_writer_write(writer, data != NULL ? data : tensor->data, tensor->bytes, NULL), TENEBRA_OK);
        }
    assert_int_equal(tn_writer_finish(writer, NULL), TENEBRA_OK);
    tn_writer_close(writer);
    tn_store_close(store);
    return directory;
}

static const void *keep_all(char *name, const tn_stored *tensor)
{
    (void)name;
    (void)tensor;
    return NULL;
}

static const void *spoil_alias(char *name, const tn_stored *tensor)
{
    static float zeros[(ROWS + MORE) * 64];
    assert_true(tensor->bytes <= sizeof zeros || strcmp(name, "embedding.weight") != 0);
    return strcmp(name, "embedding.weight") == 0 ? zeros : NULL;
}

static const void *drop_b(char *name, const tn_stored *tensor)
{
    (void)tensor;
    if (strstr(name, "layers.1.self_attn.k_proj.lora_B") != NULL)
        name[0] = '\0';
    return NULL;
}

static const void *strange_adapter(char *name, const tn_stored *tensor)
{
    (void)tensor;
    char *at = strstr(name, "layers.1.self_attn.k_proj.lora_");
    if (at != NULL)
        memcpy(at, "layers.9", 8);
    return NULL;
}

/* A plain PEFT model: nothing says which program wrote it. */
static const void *other_front(char *name, const tn_stored *tensor)
{
    (void)tensor;
    if (strncmp(name, "base_causallm.", 14) == 0)
        memmove(name, name + 14, strlen(name + 14) + 1);
    else
        name[0] = '\0';
    return NULL;
}

static const void *one_without_front(char *name, const tn_stored *tensor)
{
    (void)tensor;
    if (strcmp(name, FRONT "model.norm.weight") == 0)
        strcpy(name, "model.norm.weight");
    return NULL;
}

/* modules_to_save of PEFT: the original norm is kept beside the trained one. */
static const void *saved_module(char *name, const tn_stored *tensor)
{
    (void)tensor;
    if (strcmp(name, FRONT "model.norm.weight") == 0)
        strcpy(name, FRONT "model.norm.modules_to_save.default.weight");
    if (strcmp(name, "embedding.weight") == 0)
        name[0] = '\0';
    return NULL;
}

static void check_changed(change_fn *change, double alpha, tenebra_code code, const char *words)
{
    char path[1100];
    char *directory = rewritten(change, path);
    if (code != TENEBRA_OK) {
        refused(path, UNTIED, alpha, code, words);
    } else {
        outcome expected = run_expected(), found = run_with(path, UNTIED, alpha);
        assert_true(begins_with(&found, &expected, MORE));
        free(expected.values);
        free(found.values);
    }
    remove_directory(directory);
}

static void test_names(void **state)
{
    (void)state;
    check_changed(keep_all, 0, TENEBRA_OK, NULL);
    check_changed(saved_module, 0, TENEBRA_OK, NULL);
    check_changed(other_front, 16, TENEBRA_OK, NULL);
    check_changed(other_front, 0, TENEBRA_ERROR_ARGUMENT, "--lora-alpha sets");
    check_changed(spoil_alias, 0, TENEBRA_ERROR_MISMATCH, "embedding.weight");
    check_changed(drop_b, 0, TENEBRA_ERROR_MISMATCH, "lora_B is missing");
    check_changed(strange_adapter, 0, TENEBRA_ERROR_MISMATCH, "layers.9.self_attn.k_proj");
    check_changed(one_without_front, 0, TENEBRA_ERROR_MISMATCH, "model.norm.weight");
}

/* ------------------------------------------------------------ conversion -- */

static char *converted(const tn_quantize_options *options, const char *path, tn_quantize_report *report)
{
    char *directory = make_directory();
    tenebra_error error = { 0 };
    if (tn_quantize_weights(path, directory, options, report, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    write_config(options->base, directory, "{}");
    return directory;
}

static void test_merged(void **state)
{
    (void)state;
    const tn_quantize_options options = { .keep_types = true, .base = UNTIED, .inner = TN_INNER_MERGED };
    tn_quantize_report report;
    char *directory = converted(&options, LATENT, &report);
    assert_int_equal(report.adapted, 21);
    assert_int_equal(report.vocabulary, ROWS + MORE);
    assert_true(report.alpha == 16);
    outcome attached = run_with(LATENT, UNTIED, 0), merged = run_directory(directory), base = run_directory(UNTIED);
    double largest = 0, distance = largest_distance(attached.values, merged.values, merged.count);
    for (size_t i = 0; i < merged.count; i++)
        largest = fmax(largest, fabs((double)merged.values[i]));
    assert_int_equal(attached.count, merged.count);
    assert_true(distance <= MERGE_BOUND * largest);
    assert_false(largest_distance(attached.values, base.values, base.count) <= MERGE_BOUND * largest); /* without the adapter */
    tn_store *store;
    assert_int_equal(tn_store_open(directory, &store, NULL), TENEBRA_OK);
    assert_non_null(tn_store_find(store, "model.layers.0.self_attn.q_proj.weight"));
    assert_int_equal(tn_store_count(store), 70);
    tn_store_close(store);
    free(attached.values);
    free(merged.values);
    free(base.values);
    tn_quantize_report_free(&report);
    remove_directory(directory);
}

static void test_separated(void **state)
{
    (void)state;
    const tn_quantize_options options = { .keep_types = true, .base = UNTIED, .inner = TN_INNER_KEPT };
    tn_quantize_report report;
    char *directory = converted(&options, LATENT, &report), path[1100];
    snprintf(path, sizeof path, "%s/" TN_INNER_DIRECTORY, directory);
    tn_model *model = open_model(directory, "reference");
    assert_int_equal(model->networks.adapted, 0);
    tn_adapter *adapter = open_adapter(model, path, 1);
    tn_adapter_attach(adapter);
    outcome expected = run_with(LATENT, UNTIED, 0), found = run_model(model);
    assert_true(equal(&expected, &found));
    tn_adapter_close(adapter);
    tn_model_close(model);
    free(expected.values);
    free(found.values);
    tn_quantize_report_free(&report);
    remove_directory(strdup(path));
    remove_directory(directory);
}

static void test_tied_is_written_once(void **state)
{
    (void)state;
    const tn_quantize_options options = { .recipe = tn_recipe_of(TN_BF16, TN_ROWS), .base = TIED };
    tn_quantize_report report;
    char *directory = converted(&options, SHARED, &report);
    tn_store *store;
    assert_int_equal(tn_store_open(directory, &store, NULL), TENEBRA_OK);
    assert_null(tn_store_find(store, "lm_head.weight"));
    assert_int_equal(tn_store_find(store, "model.embed_tokens.weight")->type, TN_STORE_BF16);
    assert_int_equal(tn_store_find(store, "model.norm.weight")->type, TN_STORE_F32); /* vectors are not changed */
    tn_store_close(store);
    assert_int_equal(report.adapted, 0);
    tn_quantize_report_free(&report);
    remove_directory(directory);
}

static void conversion_refused(const char *path, const tn_quantize_options *options, tenebra_code code, const char *words)
{
    char *directory = make_directory();
    tn_quantize_report report;
    tenebra_error error = { 0 };
    assert_int_equal(tn_quantize_weights(path, directory, options, &report, &error), code);
    if (strstr(error.sentence, words) == NULL)
        fail_msg("%s: %s, expected '%s'", error.where, error.sentence, words);
    assert_int_equal(report.count, 0);
    assert_int_equal(rmdir(directory), 0); /* nothing is left in it */
    free(directory);
}

static void test_refused_conversions(void **state)
{
    (void)state;
    const tn_quantize_options plain = { .recipe = tn_recipe_of(TN_F32, TN_ROWS), .base = UNTIED };
    tn_quantize_options merging = plain, damaged = plain;
    merging.base = TIED;
    merging.inner = damaged.inner = TN_INNER_MERGED;
    conversion_refused(LATENT, &plain, TENEBRA_ERROR_UNSUPPORTED, "contains a low-rank adapter");
    conversion_refused(SHARED, &merging, TENEBRA_ERROR_ARGUMENT, "no low-rank adapter");
    tn_file file;
    char *directory = make_directory(), path[1100];
    snprintf(path, sizeof path, "%s/damaged.pth", directory);
    assert_int_equal(tn_file_read(&file, LATENT, 1 << 22, NULL), TENEBRA_OK);
    unsigned char *changed = malloc(file.size);
    assert_non_null(changed);
    memcpy(changed, file.data, file.size);
    changed[file.size / 2] ^= 1;
    write_file(directory, "damaged.pth", changed, file.size);
    conversion_refused(path, &damaged, TENEBRA_ERROR_FORMAT, "is damaged");
    free(changed);
    tn_file_close(&file);
    remove_directory(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_with_adapter),
        cmocka_unit_test(test_shared_head),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_adapter_file),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_merged),
        cmocka_unit_test(test_separated),
        cmocka_unit_test(test_tied_is_written_once),
        cmocka_unit_test(test_refused_conversions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
