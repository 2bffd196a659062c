/* Changed copies of a golden adapter. Include after cmocka.h. */
#ifndef TN_TESTS_UNIT_MODEL_ADAPTERS_H
#define TN_TESTS_UNIT_MODEL_ADAPTERS_H

#include "model/lora.h"
#include "unit/model/models.h"

#define ADAPTER TENEBRA_TEST_DATA "/golden/qwen2vl_untied/adapter"

/* An adapter with its tensors changed by `edit` and its configuration by `changes`. */
static inline char *edited_copy(const char *adapter, edit_fn *edit, const char *changes)
{
    char *directory = make_directory(), path[1100];
    snprintf(path, sizeof path, "%.1000s/adapter_model.safetensors", adapter);
    copy *all = copy_open(path);
    for (size_t i = 0; edit != NULL && i < all->count; i++)
        edit(NULL, &all->tensors[i]);
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", directory);
    copy_write_file(all, path, 0);
    copy_close(all);
    snprintf(path, sizeof path, "%.1000s/adapter_config.json", adapter);
    json_t *config = json_load_file(path, 0, NULL), *update = json_loads(changes, 0, NULL);
    assert_non_null(config);
    assert_non_null(update);
    json_object_update(config, update);
    char *text = json_dumps(config, 0);
    write_file(directory, "adapter_config.json", text, strlen(text));
    free(text);
    json_decref(config);
    json_decref(update);
    return directory;
}

static inline char *edited_adapter(edit_fn *edit, const char *changes) { return edited_copy(ADAPTER, edit, changes); }

static inline void adapter_refused(tn_model *model, edit_fn *edit, const char *changes, tenebra_code code, const char *words)
{
    char *directory = edited_adapter(edit, changes);
    tenebra_error error = { 0 };
    tn_adapter *no_adapter;
    assert_int_not_equal(tn_adapter_open(model, directory, 1, &no_adapter, &error), TENEBRA_OK);
    assert_null(no_adapter);
    if (error.code != code || strstr(error.sentence, words) == NULL)
        print_error("%s: %s (%d), expected '%s' (%d)\n", error.where, error.sentence, error.code, words, code);
    assert_int_equal(error.code, code);
    assert_non_null(strstr(error.sentence, words));
    remove_directory(directory);
}

static inline tn_adapter *open_adapter(tn_model *model, const char *directory, double strength)
{
    tenebra_error error = { 0 };
    tn_adapter *adapter;
    if (tn_adapter_open(model, directory, strength, &adapter, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return adapter;
}

#endif
