/* A method with its own module, which exists only in the tests (toys/refine.h): trained, saved, resumed and used for answers, with a full
 * model and with an adapter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reason/modules.h"
#include "toys/refine.h"
#include "unit/train/run.h"

/* In the place of the list that the build makes. */
extern const tn_method tn_method_direct;
const tn_method *const tn_methods[] = { &refine_method, &tn_method_direct, NULL };

/* --------------------------------------------------------------- helpers -- */

static tn_real *train(const tn_train_config *config, bool resume, uint64_t stop_after, size_t *count)
{
    watcher w = { .stop_after = stop_after };
    tn_trainer *trainer = run_trainer(config, resume, &w);
    *count = 0;
    tn_real *values = malloc(trainer->parameters->elements * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < trainer->parameters->count; i++) {
        const tn_parameter *item = &trainer->parameters->items[i];
        if (strncmp(item->name, "module.", strlen("module.")) != 0)
            continue;
        memcpy(values + *count, item->values, item->count * sizeof *values);
        *count += item->count;
    }
    tn_trainer_close(trainer);
    return values;
}

static tenebra_model *open_asked(const char *directory, const tenebra_adapter *adapter, tenebra_error *error)
{
    const tenebra_model_options options_of_model = { .size = sizeof options_of_model, .adapters = adapter,
                                                     .adapter_count = adapter != NULL };
    tenebra_model *model;
    tenebra_model_open(&model, directory, &options_of_model, error);
    return model;
}

enum { WIDTH = 128, NUMBERS = 2 * (WIDTH + 24 * WIDTH + 24 + WIDTH * 24) + WIDTH * WIDTH + 4 * WIDTH };

/* The hidden state after a first latent step was fed. */
static void ask(const tenebra_model *model, const char *method, tn_real hidden[WIDTH])
{
    static const tenebra_part part = { .text = "What is number 1?" };
    static const tenebra_message message = { .role = "user", .parts = &part, .part_count = 1 };
    const tenebra_request request = { .size = sizeof request, .messages = &message, .message_count = 1, .method = method, .max_tokens = 2 };
    const tenebra_session_options one = { .size = sizeof one, .threads = 1, .context = 256 };
    const tenebra_trace *trace = NULL;
    tenebra_error error = { 0 };
    tenebra_session *session;
    assert_int_equal(tenebra_session_open(&session, model, &one, &error), TENEBRA_OK);
    if (tenebra_session_ask(session, &request, &trace, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    assert_int_equal(trace->step_count, strcmp(method, "toy") == 0 ? 2 : 0);
    if (trace->step_count > 0) {
        assert_int_equal(trace->steps[1].hidden_size, WIDTH);
        memcpy(hidden, trace->steps[1].hidden, WIDTH * sizeof *hidden);
    }
    tenebra_session_close(session);
}

/* Sets the matrices of the module that end a block to zero: then it changes nothing. */
static tenebra_code silence(void *user, const tn_place *at, tenebra_error *error)
{
    (void)error;
    if (at->row->residual)
        ((tn_weight *)at->slot)->matrix.data = user;
    return TENEBRA_OK;
}

static void spoil(const char *directory, const char *name, const char *from, const char *to)
{
    char *path = inside(directory, name);
    tn_file file;
    assert_int_equal(tn_file_read(&file, path, 1 << 20, NULL), TENEBRA_OK);
    char *bytes = malloc(file.size), *at = NULL;
    assert_non_null(bytes);
    memcpy(bytes, file.data, file.size);
    for (size_t i = 0; at == NULL && i + strlen(from) <= file.size; i++)
        at = memcmp(bytes + i, from, strlen(from)) == 0 ? bytes + i : NULL;
    assert_non_null(at);
    memcpy(at, to, strlen(to));
    assert_int_equal(tn_output_put(path, bytes, file.size, NULL), TENEBRA_OK);
    tn_file_close(&file);
    free(bytes);
    free(path);
}

/* ----------------------------------------------------------------- tests -- */

static void test_trained_and_resumed(void **state)
{
    static const char *const lines[] = { "method=toy" };
    tn_train_config config;
    size_t count, same;
    read_recipe(&config, *state, lines, 1);
    tn_trainer *fresh = open_trainer(&config, &(tn_trainer_options){ .plan_only = true });
    const tn_network *module = tn_module_of(fresh->model, "toy");
    assert_non_null(module);
    assert_true(tn_network_is_trained(module, TN_ANY, 0));
    assert_int_equal(module->sizes[REFINE_HIDDEN], WIDTH);
    assert_null(tn_module_of(fresh->model, "direct"));
    /* Two blocks of two matrices, and two more: forward, the gradient of the input, and that of the matrix take 2 operations a value each. */
    const tn_train_example without = { .rows = 1 }, with = { .rows = 1, .latent_steps = 3 }, *const examples[] = { &without, &with };
    assert_true(tn_trainer_flops(fresh, &examples[1], 1) - tn_trainer_flops(fresh, &examples[0], 1) ==
                3.0 * (2 * (2 * 24 * WIDTH) + WIDTH * WIDTH + 4 * WIDTH) * 6);
    tn_trainer_close(fresh);
    tn_real *part = train(&config, false, 4, &same);
    tn_real *rest = train(&config, true, 0, &count);
    assert_int_equal(count, NUMBERS);
    assert_int_equal(same, count);
    assert_memory_not_equal(part, rest, count * sizeof *rest);
    tn_real *whole = train(&config, false, 0, &same);
    assert_memory_equal(rest, whole, count * sizeof *rest);
    free(part);
    free(rest);
    free(whole);
    tn_train_config_free(&config);
}

/* What is asked is what was trained, and the module counts in it. */
static void test_asked(void **state)
{
    const place *p = *state;
    static const char *const lines[] = { "method=toy" };
    tn_train_config config;
    tn_real with[WIDTH], without[WIDTH], *values, zeros[24 * WIDTH] = { 0 };
    tenebra_error error = { 0 };
    size_t count;
    read_recipe(&config, p, lines, 1);
    values = train(&config, false, 0, &count);
    char *directory = inside(p->output, "model"), *initial = inside(p->output, "initial");
    tenebra_model *model = open_asked(directory, NULL, &error);
    assert_non_null(model);
    refine_module *module = (refine_module *)tn_networks_find(&model->networks, TN_NETWORK_MODULE);
    assert_memory_equal(module->blocks[0].norm.data, values, WIDTH * sizeof *values);
    assert_memory_equal(module->blocks[1].up.matrix.data, values + 2 * WIDTH + 24 * WIDTH, 24 * WIDTH * sizeof *values);
    ask(model, "toy", with);
    ask(model, "direct", without);
    tn_network_each(&module->network, silence, zeros, NULL);
    ask(model, "toy", without);
    assert_memory_not_equal(with, without, sizeof with);
    tenebra_model_close(model);
    /* A model that never had one. */
    model = open_asked(initial, NULL, &error);
    assert_non_null(model);
    ask(model, "direct", without);
    assert_int_equal(tn_modules_check(model, &refine_method, &error), TENEBRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.sentence, "train it first"));
    tenebra_model_close(model);
    /* Damage. */
    spoil(directory, "module.json", "\"toy\"", "\"tow\"");
    assert_null(open_asked(directory, NULL, &error));
    assert_int_equal(error.code, TENEBRA_ERROR_FORMAT);
    spoil(directory, "module.json", "\"tow\"", "\"toy\"");
    tenebra_model_close(open_asked(directory, NULL, &error));
    spoil(directory, "module.safetensors", "module.blocks.1.up.bias", "module.blocks.1.up.bios");
    assert_null(open_asked(directory, NULL, &error));
    free(directory);
    free(initial);
    free(values);
    tn_train_config_free(&config);
}

/* The module is stored with the adapter; the base model has none. */
static void test_beside_an_adapter(void **state)
{
    const place *p = *state;
    tn_train_config config;
    tenebra_error error = { 0 };
    tn_real with[WIDTH], again[WIDTH];
    size_t count;
    char base[128], *path, *adapter_path = inside(p->output, "adapter");
    const char *full[] = { "method=toy", "max_updates=1", "validate=false" };
    const char *lora[] = { "method=toy", "finetuning_type=lora", "lora_rank=2", "lora_target=all", base };
    read_recipe(&config, p, full, 3);
    free(train(&config, false, 0, &count));
    tn_train_config_free(&config);
    path = inside(p->root, "base");
    char *made = inside(p->output, "initial");
    assert_int_equal(rename(made, path), 0);
    snprintf(base, sizeof base, "model=%s", path);
    read_recipe(&config, p, lora, 5);
    config.shape = NULL;
    tn_real *values = train(&config, false, 0, &count);
    assert_int_equal(count, NUMBERS);
    const tenebra_adapter adapter = { .directory = adapter_path, .strength = 1 };
    tenebra_model *model = open_asked(path, &adapter, &error);
    assert_non_null(model);
    ask(model, "toy", with);
    ask(model, "toy", again);
    assert_memory_equal(with, again, sizeof with);
    tenebra_model_close(model);
    model = open_asked(path, NULL, &error);
    assert_non_null(model);
    assert_int_equal(tn_modules_check(model, &refine_method, &error), TENEBRA_ERROR_ARGUMENT);
    tenebra_model_close(model);
    tn_files_remove_directory(path, &error);
    tn_files_remove_directory(adapter_path, &error);
    free(values);
    free(made);
    free(path);
    free(adapter_path);
    tn_train_config_free(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_trained_and_resumed, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_asked, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_beside_an_adapter, open_place, close_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
