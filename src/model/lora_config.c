/* adapter_config.json: every key is used, known to have no effect, refused, or noted. Source: LoraConfig of PEFT 0.2 to
 * 0.21.2 and the layers that read it. */
#include "base/checked.h"
#include "model/lora_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_LIMIT = 1 << 20 };
static const char file[] = "adapter_config.json";

/* ----------------------------------------------------------------- keys -- */

static const char *const used[] = {
    "peft_type", "bias", "r", "lora_alpha", "lora_dropout", "use_rslora", "rank_pattern", "alpha_pattern", "target_modules",
    "exclude_modules", "layers_to_transform", "layers_pattern", "modules_to_save", "trainable_token_indices",
    "ensure_weight_tying", "use_dora", "init_lora_weights", NULL
};

/* Keys that describe the file or its training, or belong to layers that the networks here do not have. fan_in_fan_out:
 * PEFT disables it for linear layers. *_config of an initialisation: only that initialisation reads it, see
 * check_start. velora_config: its forward is that of plain LoRA. */
static const char *const harmless[] = {
    "auto_mapping", "base_model_name_or_path", "revision", "task_type", "inference_mode", "peft_version", "fan_in_fan_out",
    "megatron_config", "megatron_core", "loftq_config", "eva_config", "corda_config", "lora_ga_config", "velora_config",
    "qalora_group_size", "runtime_config", "merge_weights", "enable_lora", NULL
};

/* Keys that change the adapter's result. */
static const char *const refused[] = {
    "lora_bias", "layer_replication", "target_parameters", "use_qalora", "use_bdlora", "alora_invocation_tokens",
    "arrow_config", "monteclora_config", "kasa_config", NULL
};

static bool is_in(const char *const *list, const char *key)
{
    while (*list != NULL && strcmp(*list, key) != 0)
        list++;
    return *list != NULL;
}

static bool is_set(const json_t *value)
{
    return value != NULL && !json_is_null(value) && !json_is_false(value) &&
           !(json_is_array(value) && json_array_size(value) == 0) && !(json_is_object(value) && json_object_size(value) == 0) &&
           !(json_is_string(value) && json_string_length(value) == 0);
}

/* A key of a newer PEFT: if it is switched on, it may change anything; a number or a word alone does not switch
 * anything on. */
static tenebra_code check_keys(json_t *json, tn_adapter *adapter, tenebra_error *error)
{
    const char *key;
    json_t *value;
    char unknown[160] = "";
    size_t count = 0;
    json_object_foreach(json, key, value) {
        if (!is_set(value) || is_in(used, key) || is_in(harmless, key))
            continue;
        if (is_in(refused, key))
            return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"%s\" is set; this kind of LoRA is not supported", key);
        if (!json_is_number(value) && !json_is_string(value))
            return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"%.100s\" is set, which this program does not know; it may "
                           "change what the adapter computes", key);
        tn_lora_list_add(unknown, sizeof unknown, &count, key);
    }
    if (count > 0)
        tn_adapter_note(adapter, "unknown in %s: %s", file, unknown);
    return TENEBRA_OK;
}

/* Initialisations that change the base weights; PEFT repeats them when it loads, from data or decompositions. The
 * others only fill A and B. */
static tenebra_code check_start(const json_t *start, tenebra_error *error)
{
    static const char *const plain[] = { "gaussian", "eva", "orthogonal", "mica", "true", "false", NULL };
    if (!json_is_string(start) || is_in(plain, json_string_value(start)))
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"init_lora_weights\" is \"%.60s\", which changes the weights below "
                   "the adapter, too; PEFT's save_pretrained(..., path_initial_model_for_weight_conversion=...) makes a plain "
                   "adapter of it", json_string_value(start));
}

static tenebra_code check_kind(json_t *json, tn_adapter *adapter, tenebra_error *error)
{
    const char *type = "LORA", *bias = "none";
    if (!json_is_object(json))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "must contain one JSON object");
    TN_TRY(tn_json_string(json, "peft_type", &type, file, error));
    TN_TRY(tn_json_string(json, "bias", &bias, file, error));
    if (strcmp(type, "LORA") != 0)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"peft_type\" is \"%s\"; adapters here are of type LORA", type);
    if (strcmp(bias, "none") != 0)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"bias\" is \"%s\"; adapters with a bias are not supported", bias);
    TN_TRY(check_start(json_object_get(json, "init_lora_weights"), error));
    return check_keys(json, adapter, error);
}

/* ---------------------------------------------------------------- lists -- */

/* Zeroed memory that lives as long as the config. */
static void *take(tn_lora_config *config, size_t count, size_t size)
{
    void *memory = config->memory_count < sizeof config->memory / sizeof *config->memory ? calloc(count + 1, size) : NULL;
    if (memory != NULL)
        config->memory[config->memory_count++] = memory;
    return memory;
}

static tenebra_code read_patterns(tn_lora_config *config, const char *key, const tn_lora_pattern **patterns, size_t *count,
                                  tenebra_error *error)
{
    json_t *object = json_object_get(config->json, key), *value;
    const char *name;
    if (is_set(object) && !json_is_object(object))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"%s\" must be an object", key);
    tn_lora_pattern *list = take(config, json_object_size(object), sizeof *list);
    if (list == NULL)
        return tn_fail_memory(error, file);
    *patterns = list;
    json_object_foreach(object, name, value) {
        if (!json_is_number(value) || strlen(name) > TN_LORA_NAME_SIZE)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"%s\" must map names to numbers", key);
        list[(*count)++] = (tn_lora_pattern){ name, json_number_value(value) };
    }
    return TENEBRA_OK;
}

/* A string, which `single` interprets ("pattern": one expression; "item": a list of one), or a list of strings. */
static tenebra_code read_list(tn_lora_config *config, const char *key, bool pattern, tn_lora_list *list, tenebra_error *error)
{
    const json_t *value = json_object_get(config->json, key);
    if (!is_set(value))
        return TENEBRA_OK;
    if (pattern && json_is_string(value)) {
        list->pattern = json_string_value(value);
        return TENEBRA_OK;
    }
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    const char **items = take(config, count, sizeof *items);
    if (items == NULL)
        return tn_fail_memory(error, file);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        if (!json_is_string(item) || json_string_length(item) == 0 || json_string_length(item) > TN_LORA_NAME_SIZE)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"%s\" must contain names", key);
        items[i] = json_string_value(item);
    }
    list->items = items;
    list->count = count;
    return TENEBRA_OK;
}

static bool is_index(const json_t *value) { return json_is_integer(value) && json_integer_value(value) >= 0 &&
                                                   json_integer_value(value) <= INT32_MAX; }

/* "layers_to_transform": a number, or a list. */
static tenebra_code read_layers(tn_lora_config *config, tenebra_error *error)
{
    const json_t *value = json_object_get(config->json, "layers_to_transform");
    if (!is_set(value))
        return TENEBRA_OK;
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    long *layers = take(config, count, sizeof *layers);
    if (layers == NULL)
        return tn_fail_memory(error, file);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        if (!is_index(item))
            return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"layers_to_transform\" must contain numbers of layers");
        layers[i] = (long)json_integer_value(item);
    }
    config->options.layers = layers;
    config->options.layer_count = count;
    return TENEBRA_OK;
}

static tenebra_code read_ids(tn_lora_config *config, const char *module, const json_t *list, tenebra_error *error)
{
    size_t count = json_array_size(list);
    if (!json_is_array(list) || config->token_count == sizeof config->tokens / sizeof *config->tokens)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"trainable_token_indices\" must be a list of tokens, or one each "
                       "for the embedding and the head");
    size_t *ids = take(config, count, sizeof *ids);
    if (ids == NULL)
        return tn_fail_memory(error, file);
    for (size_t i = 0; i < count; i++) {
        if (!is_index(json_array_get(list, i)))
            return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"trainable_token_indices\" must contain token ids");
        ids[i] = (size_t)json_integer_value(json_array_get(list, i));
    }
    config->tokens[config->token_count++] = (tn_lora_tokens){ module, ids, count, false };
    return TENEBRA_OK;
}

/* "trainable_token_indices": a list, of the embedding, or lists by the names of modules. */
static tenebra_code read_tokens(tn_lora_config *config, tenebra_error *error)
{
    json_t *value = json_object_get(config->json, "trainable_token_indices"), *list;
    const char *module;
    if (!is_set(value))
        return TENEBRA_OK;
    if (!json_is_object(value))
        return read_ids(config, NULL, value, error);
    json_object_foreach(value, module, list)
        TN_TRY(read_ids(config, module, list, error));
    return TENEBRA_OK;
}

/* ------------------------------------------------------------ everything -- */

static tenebra_code read_all(tn_lora_config *config, tn_adapter *adapter, tenebra_error *error)
{
    const json_t *json = config->json, *targets = json_object_get(json, "target_modules");
    tn_lora_options *options = &config->options;
    TN_TRY(check_kind(config->json, adapter, error));
    options->rank = 8; /* PEFT's own defaults */
    options->alpha = 8;
    TN_TRY(tn_json_size(json, "r", 1, 65536, &options->rank, file, error));
    TN_TRY(tn_json_number(json, "lora_alpha", -1e9, 1e9, &options->alpha, file, error));
    TN_TRY(tn_json_number(json, "lora_dropout", 0, 0.999999, &options->dropout, file, error));
    TN_TRY(tn_json_bool(json, "use_rslora", &options->rslora, file, error));
    TN_TRY(tn_json_bool(json, "use_dora", &config->dora, file, error));
    TN_TRY(tn_json_bool(json, "ensure_weight_tying", &config->tied, file, error));
    TN_TRY(read_patterns(config, "rank_pattern", &options->rank_patterns, &options->rank_pattern_count, error));
    TN_TRY(read_patterns(config, "alpha_pattern", &options->alpha_patterns, &options->alpha_pattern_count, error));
    TN_TRY(read_list(config, "target_modules", true, &options->targets, error));
    TN_TRY(read_list(config, "exclude_modules", true, &options->excluded, error));
    TN_TRY(read_list(config, "modules_to_save", false, &options->saved, error));
    TN_TRY(read_list(config, "layers_pattern", false, &options->layer_patterns, error));
    TN_TRY(read_layers(config, error));
    TN_TRY(read_tokens(config, error));
    adapter->rank = options->rank;
    adapter->alpha = options->alpha;
    adapter->dropout = options->dropout;
    adapter->rslora = options->rslora;
    adapter->targets = is_set(targets) ? json_dumps(targets, JSON_ENCODE_ANY | JSON_COMPACT) : strdup("[]");
    return adapter->targets ? TENEBRA_OK : tn_fail_memory(error, file);
}

tenebra_code tn_lora_config_read(tn_lora_config *config, const char *path, tn_adapter *adapter, tenebra_error *error)
{
    TN_TRY(tn_json_read(path, CONFIG_LIMIT, &config->json, error));
    return read_all(config, adapter, error);
}

void tn_lora_config_free(tn_lora_config *config)
{
    for (size_t i = 0; i < config->memory_count; i++)
        free(config->memory[i]);
    json_decref(config->json);
    *config = (tn_lora_config){ 0 };
}

/* PEFT 0.21 answers "ensure_weight_tying" with one adapter in both where embeddings and head are one matrix. */
tenebra_code tn_lora_config_check_tying(const tn_lora_config *config, bool tied, tenebra_error *error)
{
    static const char *const shared[] = { "lm_head", "embed_tokens" };
    const tn_lora_list *targets = &config->options.targets;
    for (size_t i = 0; i < targets->count && config->tied && tied; i++)
        for (size_t k = 0; k < 2; k++)
            if (tn_lora_is_end(shared[k], targets->items[i]))
                return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, "adapter_config.json", "\"ensure_weight_tying\" with \"%.60s\" among the "
                               "targets requests one adapter for both embeddings and head, which is not supported; train with "
                               "ensure_weight_tying=False, or save these modules completely (modules_to_save)", targets->items[i]);
    return TENEBRA_OK;
}
