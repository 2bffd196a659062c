/* Adapters: files as PEFT writes them, targets, attaching and merging. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/model/adapters.h"

#include <float.h>

/* --------------------------------------------------------------- running -- */

/* Adds the adapters that `user` points to (ending with NULL) to a tensor. */
static void merge_into(void *user, copied *tensor)
{
    size_t rows = tensor->rank == 2 ? tensor->shape[0] : 0;
    float *values = (float *)tensor->data;
    for (tn_adapter **adapter = user; *adapter != NULL && rows > 0; adapter++)
        for (size_t row = 0; row < rows; row += 7) /* in pieces, as a writer would */
            tn_adapter_merge(*adapter, tensor->name, row, tn_min(7, rows - row), values + row * tensor->shape[1]);
}

/* The largest distance between attached adapters and a model that they are merged into, relative to the largest
 * number. */
static double merging_error(const char *golden, tn_adapter **adapters, const outcome *attached)
{
    char *directory = edited_model(golden, merge_into, adapters, "{}");
    outcome merged = run_directory(directory);
    double largest = 0, distance = largest_distance(attached->values, merged.values, merged.count);
    for (size_t i = 0; i < merged.count; i++)
        largest = fmax(largest, fabs((double)merged.values[i]));
    free(merged.values);
    remove_directory(directory);
    return distance / largest;
}

/* W + BA rounds each weight once (2^-24), W x + B (A x) rounds the sum of each output once more and A x first. In a row
 * of sums of up to 200 terms and three layers that is some ten of such roundings, each seen in about its own size,
 * and the head sees them once more: 200 of them is a bound of 1.2e-5. */
#define MERGE_BOUND (200 * (double)FLT_EPSILON / 2)

static void attached_equals_merged(void **state)
{
    (void)state;
    tn_model *model = open_model(UNTIED, "reference");
    outcome before = run_model(model);
    tn_adapter *adapters[] = { open_adapter(model, ADAPTER, 1), NULL };
    assert_int_equal(adapters[0]->module_count, 21);
    assert_true(adapters[0]->modules[0].scale == 4);
    outcome opened = run_model(model);
    assert_true(equal(&before, &opened)); /* not attached yet */
    tn_adapter_attach(adapters[0]);
    outcome attached = run_model(model);
    assert_false(largest_distance(attached.values, before.values, before.count) < 0.1);
    double error = merging_error(UNTIED, adapters, &attached);
    if (!(error <= MERGE_BOUND))
        print_error("error of merging: %g\n", error);
    assert_true(error <= MERGE_BOUND);
    /* Negative control: one part in a thousand more. */
    adapters[0]->modules[5].scale *= 1.001;
    assert_false(merging_error(UNTIED, adapters, &attached) <= MERGE_BOUND);
    tn_adapter_close(adapters[0]);
    outcome after = run_model(model);
    assert_true(equal(&before, &after));
    free(before.values);
    free(opened.values);
    free(attached.values);
    free(after.values);
    tn_model_close(model);
}

/* Fills B of a fresh adapter, which is zero. */
static void fill(tn_adapter *adapter, tn_rng *rng, double size)
{
    for (size_t i = 0; i < adapter->module_count; i++)
        for (size_t k = 0; k < adapter->modules[i].outputs * adapter->modules[i].rank; k++)
            adapter->modules[i].b[k] = (tn_real)(size * tn_rng_normal(rng));
}

/* Every linear layer, in the tower, too, where q, k and v are one matrix; two adapters add up; tied head. */
static void adapters_add_up(void **state)
{
    (void)state;
    tn_rng rng = tn_rng_seed(11);
    tn_model *model = open_model(TIED, "reference");
    outcome before = run_model(model);
    tn_lora_options every = { .rank = 3, .alpha = 6, .targets = { .pattern = "all-linear" } };
    static const char *const names[] = { "qkv", "down_proj" };
    tn_lora_options some = { .rank = 4, .alpha = 8, .rslora = true, .targets = { names, 2, NULL } };
    tn_adapter *adapters[] = { NULL, NULL, NULL };
    assert_int_equal(tn_adapter_make(model, &every, &rng, &adapters[0], NULL), TENEBRA_OK);
    assert_int_equal(tn_adapter_make(model, &some, &rng, &adapters[1], NULL), TENEBRA_OK);
    assert_true(adapters[0]->modules[0].scale == 2 && adapters[1]->modules[0].scale == 4);
    tn_adapter_attach(adapters[0]);
    tn_adapter_attach(adapters[1]);
    outcome fresh = run_model(model);
    assert_true(equal(&before, &fresh)); /* B is zero */
    fill(adapters[0], &rng, 0.05);
    fill(adapters[1], &rng, 0.05);
    outcome attached = run_model(model);
    assert_false(largest_distance(attached.values, before.values, before.count) < 0.01);
    assert_true(merging_error(TIED, adapters, &attached) <= MERGE_BOUND);
    tn_adapter *one[] = { adapters[0], NULL };
    assert_false(merging_error(TIED, one, &attached) <= MERGE_BOUND);
    tn_adapter_detach(adapters[0]); /* not the last one that was put on */
    outcome second = run_model(model);
    one[0] = adapters[1];
    assert_true(merging_error(TIED, one, &second) <= MERGE_BOUND);
    tn_adapter_close(adapters[0]);
    tn_adapter_close(adapters[1]);
    outcome after = run_model(model);
    assert_true(equal(&before, &after));
    free(before.values);
    free(fresh.values);
    free(attached.values);
    free(second.values);
    free(after.values);
    tn_model_close(model);
}

static void strength_scales(void **state)
{
    (void)state;
    const tenebra_adapter none = { ADAPTER, 0, 0 }, whole = { ADAPTER, 1, 0 }, wrong = { "/nowhere", 1, 0 };
    outcome runs[3];
    for (size_t i = 0; i < 3; i++) {
        const tn_model_options options = { .kernels = "reference", .adapters = i == 1 ? &none : &whole, .adapter_count = i > 0 };
        tn_model *model;
        assert_int_equal(tn_model_open(UNTIED, &options, &model, NULL), TENEBRA_OK);
        runs[i] = run_model(model);
        tn_model_close(model);
    }
    assert_true(equal(&runs[0], &runs[1]));
    assert_false(equal(&runs[0], &runs[2]));
    for (size_t i = 0; i < 3; i++)
        free(runs[i].values);
    tenebra_error error = { 0 };
    tn_model *no_model;
    assert_int_equal(tn_model_open(UNTIED, &(tn_model_options){ .adapters = &wrong, .adapter_count = 1 }, &no_model, &error),
                     TENEBRA_ERROR_IO);
    assert_null(no_model);
    assert_int_equal(error.code, TENEBRA_ERROR_IO);
}

/* ----------------------------------------------------------------- files -- */

static void rename_with(copied *tensor, const char *front, const char *tail)
{
    char module[256], changed[512];
    char *end = strstr(tensor->name, ".lora_");
    assert_non_null(end);
    snprintf(module, sizeof module, "%.*s", (int)(end - tensor->name) - 17, tensor->name + 17); /* base_model.model. */
    snprintf(changed, sizeof changed, "%s%s.lora_%c%s", front, module, end[6], tail);
    snprintf(tensor->name, sizeof tensor->name, "%.255s", changed);
}

static void as_default(void *user, copied *tensor)
{
    (void)user;
    rename_with(tensor, "base_model.model.", ".default.weight");
}

static void as_published(void *user, copied *tensor)
{
    (void)user;
    rename_with(tensor, "module.base_causallm.base_model.model.", ".default.weight");
}

static void as_new_names(void *user, copied *tensor)
{
    (void)user;
    rename_with(tensor, "base_model.model.model.language_", ".weight");
}

static void as_halves(void *user, copied *tensor)
{
    (void)user;
    copy_round(tensor, TN_BF16, false);
}

static void names_are_understood(void **state)
{
    (void)state;
    static edit_fn *const edits[] = { as_default, as_published, as_new_names, as_halves };
    tn_model *model = open_model(UNTIED, "reference");
    tn_adapter *plain = open_adapter(model, ADAPTER, 1);
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        char *directory = edited_adapter(edits[i], "{}");
        tn_adapter *other = open_adapter(model, directory, 1);
        assert_int_equal(other->module_count, plain->module_count);
        for (size_t m = 0; m < plain->module_count; m++) {
            const tn_adapter_module *a = &plain->modules[m], *b = &other->modules[m];
            assert_string_equal(a->name, b->name);
            bool same = memcmp(a->a, b->a, a->rank * a->inputs * sizeof *a->a) == 0;
            assert_true(edits[i] == as_halves ? !same && fabs((double)a->a[0] - (double)b->a[0]) <= fabs((double)a->a[0]) / 256
                                              : same);
        }
        tn_adapter_close(other);
        remove_directory(directory);
    }
    tn_adapter_close(plain);
    tn_model_close(model);
}

static void one_name_is_unknown(void *user, copied *tensor)
{
    (void)user;
    if (strstr(tensor->name, "layers.1.mlp.up_proj") != NULL)
        memcpy(strstr(tensor->name, "layers.1"), "layers.9", 8);
}

static void all_names_are_unknown(void *user, copied *tensor)
{
    (void)user;
    char *at = strstr(tensor->name, "layers");
    memcpy(at, "floors", 6);
}

static void b_is_missing(void *user, copied *tensor)
{
    (void)user;
    tensor->drop = strstr(tensor->name, "layers.2.mlp.down_proj.lora_B") != NULL;
}

static void a_is_narrow(void *user, copied *tensor)
{
    (void)user;
    if (strstr(tensor->name, "layers.0.self_attn.o_proj.lora_A") != NULL)
        copy_reshape(tensor, 2, (const size_t[]){ 4, 63 });
}

static void everything_is_dropped(void *user, copied *tensor)
{
    (void)user;
    tensor->drop = true;
}

static void one_is_twice(void *user, copied *tensor)
{
    (void)user;
    if (strstr(tensor->name, "layers.0.mlp.up_proj.lora_A") != NULL)
        snprintf(tensor->name, sizeof tensor->name, "model.layers.0.mlp.gate_proj.lora_A.default.weight");
}

static void bad_adapters_are_refused(void **state)
{
    (void)state;
    tn_model *model = open_model(UNTIED, "reference");
    tenebra_error error = { 0 };
    adapter_refused(model, one_name_is_unknown, "{}", TENEBRA_ERROR_MISMATCH, "does not belong to a matrix");
    adapter_refused(model, all_names_are_unknown, "{}", TENEBRA_ERROR_MISMATCH, "does not belong to a matrix");
    adapter_refused(model, b_is_missing, "{}", TENEBRA_ERROR_MISMATCH, "has no counterpart");
    adapter_refused(model, a_is_narrow, "{}", TENEBRA_ERROR_MISMATCH, "do not match the matrix");
    adapter_refused(model, one_is_twice, "{}", TENEBRA_ERROR_MISMATCH, "is in the file twice");
    adapter_refused(model, everything_is_dropped, "{}", TENEBRA_ERROR_MISMATCH, "changes no module");
    adapter_refused(model, NULL, "{\"r\": 8}", TENEBRA_ERROR_MISMATCH, "has rank 4");
    adapter_refused(model, NULL, "{\"lora_alpha\": \"much\"}", TENEBRA_ERROR_FORMAT, "lora_alpha");
    adapter_refused(model, NULL, "{\"alpha_pattern\": {\"(\": 3}}", TENEBRA_ERROR_ARGUMENT, "regular expression");
    tn_adapter *no_adapter;
    assert_int_equal(tn_adapter_open(model, "/nowhere", 1, &no_adapter, &error), TENEBRA_ERROR_IO);
    assert_null(no_adapter);
    assert_int_equal(error.code, TENEBRA_ERROR_IO);
    assert_int_equal(tn_adapter_open(model, ADAPTER, (double)NAN, &no_adapter, &error), TENEBRA_ERROR_ARGUMENT);
    assert_null(no_adapter);
    assert_int_equal(error.code, TENEBRA_ERROR_ARGUMENT);
    tn_model_close(model);
    tn_model *other = open_model(TIED, "reference");
    assert_int_equal(tn_adapter_open(other, ADAPTER, 1, &no_adapter, &error), TENEBRA_ERROR_MISMATCH); /* of another model */
    assert_null(no_adapter);
    assert_int_equal(error.code, TENEBRA_ERROR_MISMATCH);
    tn_model_close(other);
}

/* Ranks and alphas of single modules, and rslora, survive being written and read. */
static void written_adapters_are_read(void **state)
{
    (void)state;
    tn_rng rng = tn_rng_seed(5);
    tn_model *model = open_model(UNTIED, "reference");
    static const char *const names[] = { "q_proj", "layers.1.mlp.up_proj", "qkv" };
    static const tn_lora_pattern ranks[] = { { "layers\\.2\\.self_attn\\.q_proj", 7 } }, alphas[] = { { "up_proj", 2.5 } };
    tn_lora_options options = { .rank = 2, .alpha = 3, .dropout = 0.25, .rslora = true, .targets = { names, 3, NULL },
                                .rank_patterns = ranks, .rank_pattern_count = 1, .alpha_patterns = alphas,
                                .alpha_pattern_count = 1 };
    tn_adapter *made;
    assert_int_equal(tn_adapter_make(model, &options, &rng, &made, NULL), TENEBRA_OK);
    assert_int_equal(made->module_count, 3 + 1 + 2);
    fill(made, &rng, 1);
    char *directory = make_directory();
    assert_int_equal(tn_adapter_write(made, directory, "some/model", TN_LORA_NAMES_BASE, NULL), TENEBRA_OK);
    assert_int_equal(count_files(directory), 2);
    tn_adapter *read = open_adapter(model, directory, 1);
    assert_int_equal(read->module_count, made->module_count);
    assert_true(read->rslora && read->dropout == 0.25);
    assert_string_equal(read->targets, made->targets);
    size_t sevens = 0;
    for (size_t i = 0; i < made->module_count; i++) {
        const tn_adapter_module *a = &made->modules[i], *b = &read->modules[i];
        assert_string_equal(a->name, b->name);
        assert_true(a->rank == b->rank && a->alpha == b->alpha && a->scale == b->scale);
        assert_true(a->scale == a->alpha / sqrt((double)a->rank));
        assert_memory_equal(a->a, b->a, a->rank * a->inputs * sizeof *a->a);
        assert_memory_equal(a->b, b->b, a->rank * a->outputs * sizeof *a->b);
        assert_true((a->alpha == 2.5) == (strstr(a->name, "up_proj") != NULL));
        sevens += a->rank == 7;
        double bound = 1 / sqrt((double)a->inputs), largest = 0;
        for (size_t k = 0; k < a->rank * a->inputs; k++)
            largest = fmax(largest, fabs((double)a->a[k]));
        assert_true(largest <= bound && largest > 0.8 * bound);
    }
    assert_int_equal(sevens, 1);
    tn_adapter_close(read);
    tn_adapter_close(made);
    remove_directory(directory);
    tenebra_error error = { 0 };
    assert_int_equal(tn_adapter_make(model, &options, &rng, &made, NULL), TENEBRA_OK);
    assert_int_equal(tn_adapter_write(made, "/proc/adapter", NULL, TN_LORA_NAMES_BASE, &error), TENEBRA_ERROR_IO);
    tn_adapter_close(made);
    tn_model_close(model);
}

/* --------------------------------------------------------------- targets -- */

static size_t count_targets(tn_model *model, const char *pattern, const char *name, bool without_vision)
{
    tn_rng rng = tn_rng_seed(1);
    tn_lora_options options = { .rank = 1, .alpha = 1, .targets = { &name, name != NULL, pattern },
                                .without_vision = without_vision };
    tenebra_error error = { 0 };
    tn_adapter *adapter;
    tenebra_code code = tn_adapter_make(model, &options, &rng, &adapter, &error);
    assert_int_equal(code, error.code);
    size_t count = adapter ? adapter->module_count : 1000 + (size_t)code;
    tn_adapter_close(adapter);
    return count;
}

/* Names as PEFT takes them: whole, or an end from a '.' on; an expression must fit the whole name. */
static void targets_are_those_of_peft(void **state)
{
    (void)state;
    tn_model *model = open_model(UNTIED, "reference"); /* 3 layers, 2 blocks */
    assert_int_equal(count_targets(model, NULL, "q_proj", false), 3);
    assert_int_equal(count_targets(model, NULL, "self_attn.q_proj", false), 3);
    assert_int_equal(count_targets(model, NULL, "model.layers.1.self_attn.q_proj", false), 1);
    assert_int_equal(count_targets(model, NULL, "attn.qkv", false), 2);
    assert_int_equal(count_targets(model, NULL, "lm_head", false), 1);
    assert_int_equal(count_targets(model, NULL, "mlp.0", false), 1);
    assert_int_equal(count_targets(model, "all-linear", NULL, false), 3 * 7 + 2 * 4 + 2);
    assert_int_equal(count_targets(model, "all-linear", NULL, true), 3 * 7);
    assert_int_equal(count_targets(model, ".*\\.(q|v)_proj", NULL, false), 6);
    assert_int_equal(count_targets(model, "model\\.layers\\.[01]\\..*gate_proj", NULL, false), 2);
    assert_int_equal(count_targets(model, "model\\.language_model\\.layers\\.0\\.mlp\\.up_proj", NULL, false), 1);
    assert_int_equal(count_targets(model, NULL, "proj", false), 1000 + TENEBRA_ERROR_UNSUPPORTED); /* patch_embed.proj */
    assert_int_equal(count_targets(model, NULL, "proj", true), 1000 + TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(count_targets(model, NULL, "_proj", false), 1000 + TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(count_targets(model, NULL, "embed_tokens", false), 1000 + TENEBRA_ERROR_UNSUPPORTED);
    assert_int_equal(count_targets(model, "q_proj", NULL, false), 1000 + TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(count_targets(model, ".*(", NULL, false), 1000 + TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(count_targets(model, "(.*)*.*(.*)*x{900}(.*)*y", NULL, false) >= 1000, true);
    tn_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attached_equals_merged), cmocka_unit_test(adapters_add_up),
        cmocka_unit_test(strength_scales),        cmocka_unit_test(names_are_understood),
        cmocka_unit_test(bad_adapters_are_refused), cmocka_unit_test(written_adapters_are_read),
        cmocka_unit_test(targets_are_those_of_peft),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
