/* Adapters: what adapter_config.json may say, what is refused by name, what is noted; names of what is written.
 * Values of the keys are those of LoraConfig of PEFT 0.15.2 and 0.21.2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/model/adapters.h"

#include <sys/stat.h>

#define KINDS TENEBRA_TEST_DATA "/adapters/"

/* ----------------------------------------------------------------- keys -- */

static void refused_key(tn_model *model, const char *changes, const char *word)
{
    adapter_refused(model, NULL, changes, TENEBRA_ERROR_UNSUPPORTED, word);
}

/* The note of the golden adapter with these changes. */
static void expect_note(tn_model *model, const char *changes, const char *words)
{
    char *directory = edited_adapter(NULL, changes);
    tn_adapter *adapter = open_adapter(model, directory, 1);
    if (words == NULL ? adapter->note[0] != '\0' : strstr(adapter->note, words) == NULL)
        fail_msg("%s: the note is '%s', expected '%s'", changes, adapter->note, words ? words : "");
    assert_int_equal(adapter->module_count, 21);
    tn_adapter_close(adapter);
    remove_directory(directory);
}

static void other_kinds_are_refused(void **state)
{
    (void)state;
    tn_model *model = open_model(UNTIED, "reference");
    refused_key(model, "{\"peft_type\": \"LOHA\"}", "LOHA");
    refused_key(model, "{\"bias\": \"all\"}", "bias");
    refused_key(model, "{\"lora_bias\": true}", "lora_bias");
    refused_key(model, "{\"layer_replication\": [[0, 2]]}", "layer_replication");
    refused_key(model, "{\"target_parameters\": [\"experts\"]}", "target_parameters");
    refused_key(model, "{\"use_qalora\": true}", "use_qalora");
    refused_key(model, "{\"use_bdlora\": {\"nblocks\": 2}}", "use_bdlora");
    refused_key(model, "{\"alora_invocation_tokens\": [1]}", "alora_invocation_tokens");
    refused_key(model, "{\"arrow_config\": {\"top_k\": 3}}", "arrow_config");
    refused_key(model, "{\"kasa_config\": {\"x\": 1}}", "kasa_config");
    refused_key(model, "{\"monteclora_config\": {\"x\": 1}}", "monteclora_config");
    refused_key(model, "{\"use_something_new\": true}", "use_something_new");
    refused_key(model, "{\"something_config\": {\"x\": 1}}", "something_config");
    const char *const starts[] = { "pissa", "pissa_niter_4", "olora", "corda", "loftq", "lora_ga", "unheard" };
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        char changes[80];
        snprintf(changes, sizeof changes, "{\"init_lora_weights\": \"%s\"}", starts[i]);
        refused_key(model, changes, starts[i]);
    }
    adapter_refused(model, NULL, "{\"use_dora\": true}", TENEBRA_ERROR_MISMATCH, "lora_magnitude_vector");
    adapter_refused(model, NULL, "{\"layers_to_transform\": [\"a\"]}", TENEBRA_ERROR_FORMAT, "layers_to_transform");
    adapter_refused(model, NULL, "{\"rank_pattern\": [1]}", TENEBRA_ERROR_FORMAT, "rank_pattern");
    adapter_refused(model, NULL, "{\"exclude_modules\": [\"q_proj\"]}", TENEBRA_ERROR_MISMATCH, "exclude_modules");
    adapter_refused(model, NULL, "{\"modules_to_save\": [\"layers\"]}", TENEBRA_ERROR_MISMATCH, "modules_to_save");
    adapter_refused(model, NULL, "{\"target_modules\": [\"q_proj\"]}", TENEBRA_ERROR_MISMATCH, "target_modules");
    adapter_refused(model, NULL, "{\"layers_to_transform\": [0, 2]}", TENEBRA_ERROR_MISMATCH, "layers_to_transform");
    tn_model_close(model);
}

/* Starts that only fill A and B, and keys that say nothing about the result. */
static void other_keys_are_known(void **state)
{
    (void)state;
    tn_model *model = open_model(UNTIED, "reference");
    const char *const harmless[] = {
        "{\"init_lora_weights\": \"gaussian\"}", "{\"init_lora_weights\": \"orthogonal\"}", "{\"init_lora_weights\": false}",
        "{\"init_lora_weights\": \"eva\", \"eva_config\": {\"rho\": 2.0}}", "{\"init_lora_weights\": \"mica\"}",
        "{\"corda_config\": {\"x\": 1}, \"loftq_config\": {\"bits\": 4}}", "{\"megatron_core\": \"megatron.core\"}",
        "{\"qalora_group_size\": 16, \"use_qalora\": false, \"use_bdlora\": null, \"lora_bias\": false}",
        "{\"fan_in_fan_out\": true, \"peft_version\": \"0.21.2\", \"revision\": \"main\"}",
        "{\"auto_mapping\": {\"base_model_class\": \"X\"}, \"runtime_config\": {\"x\": false}}",
        "{\"layers_to_transform\": [0, 1, 2], \"layers_pattern\": \"layers\"}", "{\"layers_to_transform\": [0, 1, 2]}",
        "{\"exclude_modules\": [\"qkv\"], \"velora_config\": {\"num_groups\": 64}}",
        "{\"target_modules\": \"model\\\\.language_model\\\\..*_proj\"}", "{\"target_modules\": \"model\\\\.layers\\\\..*_proj\"}",
        "{\"target_modules\": null}", "{\"unheard\": null, \"unheard_too\": [], \"unheard_as_well\": \"\"}",
    };
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        expect_note(model, harmless[i], NULL);
    expect_note(model, "{\"new_group_size\": 16, \"new_word\": \"x\"}", "unknown in adapter_config.json: new_group_size, new_word");
    tn_model_close(model);
}

static void what_fits_nothing_is_noted(void **state)
{
    (void)state;
    tn_model *model = open_model(UNTIED, "reference");
    expect_note(model, "{\"alpha_pattern\": {\"qproj\": 3}}", "alpha_pattern matches nothing: qproj");
    expect_note(model, "{\"rank_pattern\": {\"language_model.layers.1\": 3}}", "rank_pattern matches nothing: language_model.layers.1");
    expect_note(model, "{\"target_modules\": [\"q_proj\", \"k_proj\", \"v_proj\", \"o_proj\", \"gate_proj\", \"up_proj\", "
                       "\"down_proj\", \"dwon_proj\"]}", "target_modules matches nothing: dwon_proj");
    expect_note(model, "{\"modules_to_save\": [\"classifier\", \"score\"]}", "modules_to_save matches nothing: classifier, score");
    expect_note(model, "{\"trainable_token_indices\": [3, 17]}", "trainable_token_indices lists 2 tokens of model.embed_tokens, whose rows "
                       "the file does not contain");
    expect_note(model, "{\"trainable_token_indices\": {\"lm_head\": [3]}}", "trainable_token_indices lists 1 token of lm_head");
    expect_note(model, "{\"trainable_token_indices\": []}", NULL);
    expect_note(model, "{\"target_modules\": \"all-linear\"}",
                "target_modules matches 10 modules that the file does not contain, such as visual.blocks.0.attn.qkv");
    tn_rng rng = tn_rng_seed(1);
    static const char *const names[] = { "q_proj", "qproj", "model.language_model.layers.1.self_attn.k_proj" };
    tn_lora_options options = { .rank = 1, .alpha = 1, .targets = { names, 3, NULL } };
    tn_adapter *made;
    assert_int_equal(tn_adapter_make(model, &options, &rng, &made, NULL), TENEBRA_OK);
    assert_int_equal(made->module_count, 4);
    assert_string_equal(made->note, "target_modules matches nothing: qproj");
    tn_adapter_close(made);
    tn_model_close(model);
}

/* Patterns are only matched against the names in the file, because PEFT would not have applied them to other names either. */
static void patterns_follow_the_file(void **state)
{
    (void)state;
    tn_model *model = open_model(UNTIED, "reference");
    static const struct { const char *pattern; double scale; } cases[] = {
        { "model.layers.1.self_attn.q_proj", 2 }, { "^model.layers.1.self_attn.q_proj", 2 }, { "layers\\\\.1\\\\..*q_proj", 2 },
        { "q_proj", 2 }, { "(k|q)_proj", 2 }, { "language_model\\\\..*", 4 }, { "_proj", 4 }, { "layers.1", 4 }, { "q_pro", 4 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char changes[160];
        snprintf(changes, sizeof changes, "{\"alpha_pattern\": {\"%s\": 8, \".*\": 16}}", cases[i].pattern);
        char *directory = edited_adapter(NULL, changes);
        tn_adapter *adapter = open_adapter(model, directory, 1);
        for (size_t m = 0; m < adapter->module_count; m++)
            if (strcmp(adapter->modules[m].name, "model.layers.1.self_attn.q_proj") == 0 &&
                adapter->modules[m].scale != cases[i].scale)
                fail_msg("%s: scale %g", changes, adapter->modules[m].scale);
        tn_adapter_close(adapter);
        remove_directory(directory);
    }
    tn_model_close(model);
}

/* ---------------------------------------------------------- what cannot be -- */

static void open_refused(const char *golden, const char *kind, double strength, size_t pass, const char *words)
{
    char path[1024];
    snprintf(path, sizeof path, KINDS "%s", kind);
    const tenebra_adapter list[] = { { path, strength, pass } };
    tenebra_error error = { 0 };
    tn_model *no_model;
    assert_int_not_equal(tn_model_open(golden, &(tn_model_options){ .adapters = list, .adapter_count = 1 }, &no_model, &error), TENEBRA_OK);
    assert_null(no_model);
    if (strstr(error.sentence, words) == NULL)
        fail_msg("%s: %s", error.where, error.sentence);
}

static void what_cannot_be_scaled_or_stacked(void **state)
{
    (void)state;
    open_refused(UNTIED, "dora", 0.5, 0, "magnitudes");
    open_refused(UNTIED, "saved", 0.5, 0, "whole tensors");
    open_refused(TIED, "tokens", 1, 2, "limited to one pass");
    const tenebra_adapter twice[] = { { KINDS "tokens", 1, 0 }, { KINDS "saved-tied", 1, 0 } };
    tenebra_error error = { 0 };
    tn_model *no_model;
    assert_int_not_equal(tn_model_open(TIED, &(tn_model_options){ .adapters = twice, .adapter_count = 2 }, &no_model, &error), TENEBRA_OK);
    assert_null(no_model);
    assert_non_null(strstr(error.sentence, "two adapters"));
    tn_model *model = open_model(UNTIED, "reference");
    tn_adapter *adapter = open_adapter(model, KINDS "dora", 1);
    assert_int_equal(tn_adapter_write(adapter, "/tmp", NULL, TN_LORA_NAMES_BASE, &error), TENEBRA_ERROR_UNSUPPORTED);
    tn_adapter_close(adapter);
    tn_model_close(model);
}

/* One adapter for two names of one matrix; without the key, or with an untied head, the same adapter is read. */
static void adapter_in_tied_head_and_embeddings(void **state)
{
    (void)state;
    char *directory = edited_copy(KINDS "head", NULL, "{\"ensure_weight_tying\": true}");
    const tenebra_adapter list[] = { { directory, 1, 0 } };
    tenebra_error error = { 0 };
    tn_model *no_model;
    assert_int_equal(tn_model_open(TIED, &(tn_model_options){ .adapters = list, .adapter_count = 1 }, &no_model, &error),
                     TENEBRA_ERROR_UNSUPPORTED);
    assert_null(no_model);
    assert_int_equal(error.code, TENEBRA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.sentence, "\"ensure_weight_tying\" with \"lm_head\""));
    remove_directory(directory);
    tn_model *model = open_model(TIED, "reference");
    tn_adapter_close(open_adapter(model, KINDS "head", 1));
    tn_model_close(model);
}

static void one_row_more(void *user, copied *tensor)
{
    (void)user;
    if (strstr(tensor->name, "lm_head") != NULL)
        copy_reshape(tensor, 2, (const size_t[]){ tensor->shape[0] + 1, tensor->shape[1] });
}

static void row_is_too_short(void *user, copied *tensor)
{
    (void)user;
    if (strstr(tensor->name, "trainable_tokens") != NULL)
        copy_reshape(tensor, 2, (const size_t[]){ tensor->shape[0], tensor->shape[1] - 1 });
}

static void refuse_kind(const char *golden, const char *kind, edit_fn *edit, const char *changes, const char *words)
{
    char path[1024];
    tenebra_error error = { 0 };
    snprintf(path, sizeof path, KINDS "%s", kind);
    tn_model *model = open_model(golden, "reference");
    char *directory = edited_copy(path, edit, changes);
    tn_adapter *no_adapter;
    assert_int_not_equal(tn_adapter_open(model, directory, 1, &no_adapter, &error), TENEBRA_OK);
    assert_null(no_adapter);
    if (strstr(error.sentence, words) == NULL)
        fail_msg("%s: %s: %s", kind, error.where, error.sentence);
    remove_directory(directory);
    tn_model_close(model);
}

static void damaged_kinds_are_refused(void **state)
{
    (void)state;
    refuse_kind(UNTIED, "saved", one_row_more, "{}", "431 rows");
    refuse_kind(UNTIED, "saved", NULL, "{\"modules_to_save\": [\"lm_head\"]}", "does not belong to a matrix");
    refuse_kind(TIED, "tokens", row_is_too_short, "{}", "not of the shape [3, 48]");
    refuse_kind(TIED, "tokens", NULL, "{\"trainable_token_indices\": [1, 2]}", "not of the shape [2, 48]");
    refuse_kind(TIED, "tokens", NULL, "{\"trainable_token_indices\": [1, 2, 290]}", "token 290");
    refuse_kind(TIED, "tokens", NULL, "{\"trainable_token_indices\": null}", "of which tokens");
    refuse_kind(UNTIED, "dora", NULL, "{\"use_dora\": false}", "\"use_dora\" is not set");
}

/* A tied head has the rows of the embedding, if both lists are the same. */
static void rows_of_a_tied_head_are_saved_once(void **state)
{
    (void)state;
    static const struct { const char *changes, *note; } cases[] = {
        { "{}", NULL },
        { "{\"trainable_token_indices\": {\"embed_tokens\": [3, 17, 200], \"lm_head\": [3, 17, 200]}}", NULL },
        { "{\"trainable_token_indices\": {\"embed_tokens\": [3, 17, 200], \"lm_head\": [3, 17, 201]}}", "lists 3 tokens of lm_head" },
    };
    tn_model *model = open_model(TIED, "reference");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *directory = edited_copy(KINDS "tokens", NULL, cases[i].changes);
        tn_adapter *adapter = open_adapter(model, directory, 1);
        if (cases[i].note == NULL ? adapter->note[0] != '\0' : strstr(adapter->note, cases[i].note) == NULL)
            fail_msg("%s: the note is '%s'", cases[i].changes, adapter->note);
        tn_adapter_close(adapter);
        remove_directory(directory);
    }
    tn_model_close(model);
}

/* -------------------------------------------------------------- writing -- */

static size_t count_names(const char *directory, const char *word)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", directory);
    tn_store *store;
    assert_int_equal(tn_store_open(path, &store, NULL), TENEBRA_OK);
    size_t count = 0;
    assert_non_null(store);
    for (size_t i = 0; i < tn_store_count(store); i++)
        count += strstr(tn_store_at(store, i)->name, word) != NULL;
    tn_store_close(store);
    return count;
}

/* Writes an adapter of the decoder and one module of the tower; how many tensors have new names. */
static size_t write_and_read(const char *golden, tn_lora_names names)
{
    tn_model *model = open_model(golden, "reference");
    tn_rng rng = tn_rng_seed(3);
    static const char *const targets[] = { "q_proj", "qkv", "lm_head" };
    static const tn_lora_pattern alphas[] = { { "model.layers.1.self_attn.q_proj", 3 } };
    tn_lora_options options = { .rank = 2, .alpha = 8, .targets = { targets, 3, NULL }, .alpha_patterns = alphas,
                                .alpha_pattern_count = 1 };
    tn_adapter *made;
    assert_int_equal(tn_adapter_make(model, &options, &rng, &made, NULL), TENEBRA_OK);
    char *directory = make_directory();
    assert_int_equal(tn_adapter_write(made, directory, NULL, names, NULL), TENEBRA_OK);
    tn_adapter *read = open_adapter(model, directory, 1);
    assert_string_equal(read->note, "");
    assert_int_equal(read->module_count, made->module_count);
    assert_string_equal(read->targets, "[\"q_proj\",\"qkv\",\"lm_head\"]");
    for (size_t i = 0; i < made->module_count; i++) {
        assert_string_equal(read->modules[i].name, made->modules[i].name);
        assert_true(read->modules[i].alpha == made->modules[i].alpha);
        assert_memory_equal(read->modules[i].a, made->modules[i].a, made->modules[i].rank * made->modules[i].inputs * 4);
    }
    size_t count = count_names(directory, "base_model.model.model.language_model.") +
                   count_names(directory, "base_model.model.model.visual.");
    assert_int_equal(count_names(directory, "base_model.model.lm_head."), 2);
    tn_adapter_close(read);
    tn_adapter_close(made);
    remove_directory(directory);
    tn_model_close(model);
    return count;
}

static void with_new_names(void *user, copied *tensor)
{
    char name[256];
    (void)user;
    if (strncmp(tensor->name, "visual.", 7) == 0)
        snprintf(name, sizeof name, "model.%.200s", tensor->name);
    else if (strncmp(tensor->name, "model.", 6) == 0)
        snprintf(name, sizeof name, "model.language_model.%.200s", tensor->name + 6);
    else
        return;
    memcpy(tensor->name, name, sizeof name);
}

/* transformers 4.57 and 5 write the old names of tensors but have the new ones in memory, so the version decides. */
static void names_are_those_of_the_base(void **state)
{
    (void)state;
    assert_int_equal(write_and_read(UNTIED, TN_LORA_NAMES_BASE), 0); /* "transformers_version": "4.41.2" */
    assert_int_equal(write_and_read(UNTIED, TN_LORA_NAMES_OLD), 0);
    assert_int_equal(write_and_read(UNTIED, TN_LORA_NAMES_NEW), 2 * (3 + 2));
    static const struct { const char *changes; edit_fn *edit; size_t count; } bases[] = {
        { "{\"transformers_version\": \"4.51.3\"}", NULL, 0 },  { "{\"transformers_version\": \"4.52.0.dev0\"}", NULL, 10 },
        { "{\"transformers_version\": \"5.24.0\"}", NULL, 10 }, { "{\"transformers_version\": 5}", NULL, 0 },
        { "{\"transformers_version\": \"-\"}", NULL, 0 },       { "{}", with_new_names, 10 },
    };
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
        char *directory = edited_model(UNTIED, bases[i].edit, NULL, bases[i].changes);
        assert_int_equal(write_and_read(directory, TN_LORA_NAMES_BASE), bases[i].count);
        assert_int_equal(write_and_read(directory, TN_LORA_NAMES_OLD), 0);
        remove_directory(directory);
    }
}

/* PEFT makes modules of everything that matches "target_modules"; if this would be more than was trained, all names are listed. */
static void targets_are_those_trained(void **state)
{
    (void)state;
    tn_model *model = open_model(UNTIED, "reference");
    tn_rng rng = tn_rng_seed(3);
    static const char *const names[] = { "q_proj", "qkv" };
    const tn_lora_options cases[] = {
        { .rank = 1, .alpha = 1, .targets = { names, 2, NULL }, .without_vision = true },
        { .rank = 1, .alpha = 1, .targets = { NULL, 0, "model\\.layers\\..*q_proj" } },
    };
    for (size_t i = 0; i < 2; i++) {
        tn_adapter *made;
        assert_int_equal(tn_adapter_make(model, &cases[i], &rng, &made, NULL), TENEBRA_OK);
        char *directory = make_directory();
        assert_non_null(made);
        assert_int_equal(tn_adapter_write(made, directory, NULL, TN_LORA_NAMES_NEW, NULL), TENEBRA_OK);
        tn_adapter *read = open_adapter(model, directory, 1);
        assert_string_equal(read->targets, "[\"model.language_model.layers.0.self_attn.q_proj\","
                            "\"model.language_model.layers.1.self_attn.q_proj\",\"model.language_model.layers.2.self_attn.q_proj\"]");
        assert_string_equal(read->note, "");
        tn_adapter_close(read);
        tn_adapter_close(made);
        remove_directory(directory);
    }
    tn_model_close(model);
}

static void the_writer_says_why(void **state)
{
    (void)state;
    tn_model *model = open_model(UNTIED, "reference");
    tn_adapter *adapter = open_adapter(model, ADAPTER, 1);
    char *directory = make_directory(), path[1024];
    tenebra_error error = { 0 };
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", directory);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_not_equal(tn_adapter_write(adapter, directory, NULL, TN_LORA_NAMES_BASE, &error), TENEBRA_OK);
    assert_null(strstr(error.sentence, "memory"));
    assert_int_not_equal(error.code, TENEBRA_ERROR_MEMORY);
    assert_non_null(strstr(error.where, "adapter_model.safetensors"));
    assert_int_equal(rmdir(path), 0);
    write_file(directory, "adapter_model.bin", "PK", 2);
    write_file(directory, "adapter_config.json", "{}", 2);
    tn_adapter *no_adapter;
    assert_int_not_equal(tn_adapter_open(model, directory, 1, &no_adapter, &error), TENEBRA_OK);
    assert_null(no_adapter);
    assert_non_null(strstr(error.sentence, "does not begin as a zip archive"));
    remove_directory(directory);
    tn_adapter_close(adapter);
    tn_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_kinds_are_refused),          cmocka_unit_test(other_keys_are_known),
        cmocka_unit_test(what_fits_nothing_is_noted),       cmocka_unit_test(patterns_follow_the_file),
        cmocka_unit_test(adapter_in_tied_head_and_embeddings),
        cmocka_unit_test(what_cannot_be_scaled_or_stacked), cmocka_unit_test(damaged_kinds_are_refused),
        cmocka_unit_test(names_are_those_of_the_base),      cmocka_unit_test(targets_are_those_trained),
        cmocka_unit_test(the_writer_says_why),              cmocka_unit_test(rows_of_a_tied_head_are_saved_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
