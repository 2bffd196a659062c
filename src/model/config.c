/* config.json and generation_config.json of a model directory. */
#include "model/model.h"

#include "base/file.h"
#include "model/rotary.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Settings of generate(). Only the end tokens are used, because hidden defaults would change results. A setting that would
 * change the greedy answer is noted, unless it has the value in its row, with which it has no effect. The last line affects
 * only speed and output. */
#define GENERATION_KEYS                                                                                                  \
    "eos_token_id", "bos_token_id", "pad_token_id", "decoder_start_token_id", "forced_bos_token_id",                     \
    "do_sample=false", "num_beams=1", "num_beam_groups=1", "num_return_sequences=1", "early_stopping", "max_length=20",  \
    "min_length=0", "repetition_penalty=1", "encoder_repetition_penalty=1", "length_penalty=1", "diversity_penalty=0",   \
    "no_repeat_ngram_size=0", "encoder_no_repeat_ngram_size=0", "renormalize_logits", "remove_invalid_values",           \
    "token_healing=false", "guidance_scale=1", "trust_remote_code=false", "is_assistant=false",                          \
    "use_cache", "cache_implementation", "cache_config", "return_legacy_cache", "prefill_chunk_size", "low_memory",      \
    "output_attentions", "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate",            \
    "num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold", "assistant_lookbehind",   \
    "assistant_early_exit", "target_lookbehind", "prompt_lookup_num_tokens", "max_matching_ngram_size",                  \
    "compile_config", "disable_compile"

static const char *const generation_keys[] = {
    GENERATION_KEYS, "_from_model_config", "_commit_hash", "transformers_version", "temperature=1", "top_k=50", "top_p=1",
    "typical_p=1", "epsilon_cutoff=0", "eta_cutoff=0", NULL
};

/* Keys that only matter if tokens are sampled. */
static const char *const sampling_keys[] = { "do_sample", "temperature", "top_k", "top_p", "min_p", "typical_p",
                                             "epsilon_cutoff", "eta_cutoff", NULL };

const char *const tn_config_keys[] = {
    GENERATION_KEYS, "model_type", "tie_word_embeddings", "rope_theta", "rope_scaling", "rope_parameters",
    "quantization_config", "compression_config", /* refused if they are set */
    "architectures", "transformers_version", "torch_dtype", "dtype", "use_bfloat16", "_name_or_path", "name_or_path",
    "_commit_hash", "initializer_range", "attention_dropout", "_attn_implementation", "attn_implementation",
    "_attn_implementation_autoset", "gradient_checkpointing", "output_attentions", "return_dict", "use_return_dict",
    "torchscript=false", "chunk_size_feed_forward", "is_encoder_decoder=false", "is_decoder", "add_cross_attention=false",
    "cross_attention_hidden_size", "tie_encoder_decoder=false", "id2label", "label2id", "num_labels", "finetuning_task",
    "task_specific_params", "problem_type", "tf_legacy_loss", "tokenizer_class", "processor_class", "prefix",
    "sep_token_id", "unk_token_id", "temperature=1", "top_k=50", "top_p=1", "typical_p=1", "unsloth_version", "unsloth_fixed",
    NULL
};

/* Reads "eos_token_id", a number or a list. If `json` is not an object, there are none. */
static tenebra_code read_eos(const json_t *json, const char *file, tn_model_config *config,
                             tenebra_error *error)
{
    const json_t *eos = json_object_get(json, "eos_token_id");
    size_t count = json_is_array(eos) ? json_array_size(eos) : eos != NULL && !json_is_null(eos);
    if (count > sizeof config->eos_tokens / sizeof *config->eos_tokens)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"eos_token_id\" has %zu entries, at most 8 are supported",
                       count);
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_is_array(eos) ? json_array_get(eos, i) : eos;
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"eos_token_id\" must contain token ids");
        config->eos_tokens[i] = (int32_t)json_integer_value(id);
    }
    if (count > 0)
        config->eos_count = count;
    return TENEBRA_OK;
}

/* Greedy decoding, or sampling from the single most likely token, which is the same. */
static bool is_greedy(const json_t *json)
{
    const json_t *k = json_object_get(json, "top_k");
    return !json_is_true(json_object_get(json, "do_sample")) || (json_is_number(k) && json_number_value(k) == 1);
}

static tenebra_code read_generation(const char *directory, tn_model_config *config, tn_notes *notes, tenebra_error *error)
{
    static const char FILE_NAME[] = "generation_config.json";
    json_t *json;
    TN_TRY(tn_json_read_object(directory, FILE_NAME, TN_MODEL_JSON_LIMIT, false, &json, error));
    if (json == NULL)
        return TENEBRA_OK;
    tenebra_code code = read_eos(json, FILE_NAME, config, error);
    bool greedy = is_greedy(json);
    for (const char *const *key = sampling_keys; *key != NULL && greedy; key++)
        json_object_del(json, *key);
    tn_notes_unknown(notes, json, generation_keys, FILE_NAME, NULL);
    json_decref(json);
    return code;
}

/* ---------------------------------------------- weights quantised elsewhere -- */

static tenebra_code refuse_quantization(const char *where, const char *key, const char *method, tenebra_error *error)
{
    return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, where, "%s says that the weights are quantized with %.60s, which is not supported; "
                                                            "use the model with F32, F16 or BF16 weights and, to make it smaller, quantize "
                                                            "it with "
                   "'tenebra quantize'", key, method);
}

/* "quant_method" if it is present; old files of bitsandbytes and torchao use other keys. */
static const char *method_of(const json_t *object)
{
    static const struct {
        const char *key, *method;
    } signs[] = { { "load_in_4bit", "bitsandbytes" }, { "load_in_8bit", "bitsandbytes" }, { "quant_type", "torchao" },
                  { "config_groups", "compressed-tensors" } };
    const char *method = json_string_value(json_object_get(object, "quant_method"));
    for (size_t i = 0; i < sizeof signs / sizeof *signs && method == NULL; i++)
        if (json_object_get(object, signs[i].key) != NULL)
            method = signs[i].method;
    return method != NULL ? method : "an unnamed method";
}

static tenebra_code check_quantization(const json_t *part, const char *file, tenebra_error *error)
{
    static const char *const keys[] = { "quantization_config", "compression_config" };
    for (size_t i = 0; i < 2; i++) {
        const json_t *value = json_object_get(part, keys[i]);
        char key[32];
        snprintf(key, sizeof key, "\"%s\"", keys[i]);
        if (value != NULL && !json_is_null(value))
            return refuse_quantization(file, key, method_of(value), error);
    }
    return TENEBRA_OK;
}

/* Files of AutoGPTQ and AutoAWQ, which were used before "quantization_config" in config.json. */
static tenebra_code check_quantization_files(const char *directory, tenebra_error *error)
{
    static const struct {
        const char *name, *method;
    } files[] = { { "quantize_config.json", "gptq" }, { "quant_config.json", "awq" } };
    for (size_t i = 0; i < 2; i++) {
        json_t *json;
        TN_TRY(tn_json_read_object(directory, files[i].name, TN_MODEL_JSON_LIMIT, false, &json, error));
        const char *method = json_string_value(json_object_get(json, "quant_method"));
        tenebra_code code = json == NULL ? TENEBRA_OK : refuse_quantization(files[i].name, "it", method != NULL ? method : files[i].method,
                                                                            error);
        json_decref(json);
        TN_TRY(code);
    }
    return TENEBRA_OK;
}

/* ------------------------------------------------------------ known keys -- */

/* Notes members of `part` that are in neither list. For the top level, `below` is the text part, whose keys may be repeated
 * there with the same value. */
static void note_part(tn_notes *notes, const json_t *part, const char *const *keys, const char *const *below_keys,
                      const json_t *below, const char *prefix)
{
    const char *key;
    json_t *value;
    json_t *unknown = json_object();
    json_object_foreach((json_t *)(uintptr_t)part, key, value) {
        bool same = below == NULL || json_equal(value, json_object_get(below, key));
        if (!tn_notes_knows(keys, key, value) && !(below_keys != NULL && same && tn_notes_knows(below_keys, key, value)))
            json_object_set(unknown, key, value);
    }
    tn_notes_unknown(notes, unknown, tn_config_keys, "config.json", prefix);
    json_decref(unknown);
    static const char *const scaling[] = { "rope_scaling", "rope_parameters" };
    for (size_t i = 0; i < 2; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s%s%s", prefix ? prefix : "", prefix ? "." : "", scaling[i]);
        tn_notes_unknown(notes, json_object_get(part, scaling[i]), tn_rope_keys, "config.json", path);
    }
}

/* Notes rope_theta and mrope_section of `object` if other values are used. `sections` may be NULL. */
static void note_rope(tn_notes *notes, const json_t *object, double theta, const size_t *sections, const char *path)
{
    const json_t *value = json_object_get(object, "rope_theta"), *parts = json_object_get(object, "mrope_section");
    char key[80];
    snprintf(key, sizeof key, "%srope_theta", path);
    if (json_is_number(value) && json_number_value(value) != theta)
        tn_notes_add(notes, "config.json", key);
    bool same = true;
    for (size_t i = 0; i < json_array_size(parts) && sections != NULL; i++)
        same = same && i < 3 && json_integer_value(json_array_get(parts, i)) == (json_int_t)sections[i];
    snprintf(key, sizeof key, "%smrope_section", path);
    if (!same)
        tn_notes_add(notes, "config.json", key);
}

/* Notes settings of another rotary embedding than the one in use, on the same or the other level. */
static void note_ropes(tn_notes *notes, const json_t *part, double theta, const size_t *sections, const char *prefix)
{
    char path[64];
    note_rope(notes, part, theta, NULL, prefix);
    snprintf(path, sizeof path, "%srope_scaling.", prefix);
    note_rope(notes, json_object_get(part, "rope_scaling"), theta, sections, path);
    snprintf(path, sizeof path, "%srope_parameters.", prefix);
    note_rope(notes, json_object_get(part, "rope_parameters"), theta, sections, path);
}

/* The theta that tn_rope_read reads from a part; NaN if it keeps the default. */
static double theta_of(const json_t *part)
{
    const json_t *scaling = json_object_get(part, "rope_scaling"), *parameters = json_object_get(part, "rope_parameters");
    const json_t *inner = json_object_get(json_object_size(scaling) > 0 ? scaling : parameters, "rope_theta");
    const json_t *value = json_is_number(inner) ? inner : json_object_get(part, "rope_theta");
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

/* Notes keys with different values on both levels, of which the top level's are used. */
static void note_lower(tn_notes *notes, const json_t *json, const json_t *text)
{
    static const char *const keys[] = { "image_token_id", "vision_start_token_id", "vision_end_token_id",
                                        "eos_token_id" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *upper = json_object_get(json, keys[i]), *lower = json_object_get(text, keys[i]);
        char key[80];
        snprintf(key, sizeof key, "text_config.%s", keys[i]);
        if (upper != NULL && lower != NULL && !json_is_null(upper) && !json_is_null(lower) && !json_equal(upper, lower))
            tn_notes_add(notes, "config.json", key);
    }
    const json_t *upper = json_object_get(json, "tie_word_embeddings"), *lower = json_object_get(text, "tie_word_embeddings");
    if (json_is_boolean(upper) && json_is_boolean(lower) && !json_equal(upper, lower)) /* true on either level is used */
        tn_notes_add(notes, "config.json", json_is_true(upper) ? "text_config.tie_word_embeddings" : "tie_word_embeddings");
}

static void note_keys(tn_notes *notes, const tn_backbone *backbone, const json_t *json, const tn_model_config *config)
{
    const json_t *text = json_object_get(json, "text_config"), *vision = json_object_get(json, backbone->encoder_part);
    text = json_is_object(text) ? text : NULL;
    note_ropes(notes, json, config->decoder.rope_theta, config->decoder.mrope_section, "");
    note_ropes(notes, text, config->decoder.rope_theta, config->decoder.mrope_section, "text_config.");
    char prefix[64];
    snprintf(prefix, sizeof prefix, "%.60s.", backbone->encoder_part);
    note_ropes(notes, vision, theta_of(vision), NULL, prefix);
    note_lower(notes, json, text);
    note_part(notes, json, backbone->top_keys, backbone->text_keys, text, NULL);
    if (text != NULL)
        note_part(notes, text, backbone->text_keys, NULL, NULL, "text_config");
    note_part(notes, vision, backbone->encoder->keys, NULL, NULL, backbone->encoder_part);
}

/* --------------------------------------------------------------- reading -- */

static tenebra_code find_backbone(const json_t *json, const char *directory, const tn_backbone **backbone, tenebra_error *error)
{
    const char *type = "";
    TN_TRY(tn_json_string(json, "model_type", &type, "config.json", error));
    *backbone = tn_backbone_find(type);
    if (*backbone != NULL)
        return TENEBRA_OK;
    char known[200] = "";
    for (const tn_backbone *const *each = tn_backbones; *each != NULL; each++)
        for (const char *const *name = (*each)->model_types; *name != NULL; name++) {
            size_t used = strlen(known);
            snprintf(known + used, sizeof known - used, "%s%s", used > 0 ? ", " : "", *name);
        }
    if (type[0] == '\0')
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, directory, "is a model without a type (model_type of config.json is missing or "
                       "empty); this program reads: %s", known);
    return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, directory, "is a model of type \"%.60s\" (model_type of config.json); this "
                   "program reads: %s", type, known);
}

/* Reads "transformers_version": "4.52.3"; anything else is unknown. */
static void read_version(const json_t *json, tn_model_config *config)
{
    const char *text = json_string_value(json_object_get(json, "transformers_version"));
    size_t version[2];
    if (text != NULL && sscanf(text, "%5zu.%5zu", &version[0], &version[1]) == 2)
        memcpy(config->transformers, version, sizeof version);
}

static tenebra_code read_all(const json_t *json, const char *directory, const tn_backbone **backbone, tn_model_config *config,
                             tn_notes *notes, tenebra_error *error)
{
    const json_t *text = json_object_get(json, "text_config");
    TN_TRY(find_backbone(json, directory, backbone, error));
    char inner[TN_JSON_PART];
    tn_json_part(inner, "config.json", "text_config");
    TN_TRY(check_quantization(json, "config.json", error));
    TN_TRY(check_quantization(text, inner, error));
    TN_TRY(check_quantization_files(directory, error));
    TN_TRY((*backbone)->read_config(json, "config.json", config, error));
    /* If the text part is nested, it may also have the end tokens; those of the top level take precedence. */
    TN_TRY(read_eos(text, inner, config, error));
    TN_TRY(read_eos(json, "config.json", config, error));
    read_version(json, config);
    note_keys(notes, *backbone, json, config);
    return read_generation(directory, config, notes, error);
}

tenebra_code tn_model_config_json(const char *directory, const tn_store *store, json_t **json, tenebra_error *error)
{
    const json_t *stored = store != NULL ? tn_store_config(store) : NULL;
    *json = NULL;
    tn_path path;
    TN_TRY(tn_path_print(&path, error, "%s/config.json", directory));
    if (stored == NULL && !tn_path_is_file(path.text) && !tn_path_is_directory(path.text))
        return tn_model_missing(directory, error);
    TN_TRY(tn_json_read_object(directory, "config.json", TN_MODEL_JSON_LIMIT, stored == NULL, json, error));
    if (*json == NULL && (*json = json_deep_copy(stored)) == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, directory, "no memory for its configuration");
    return TENEBRA_OK;
}

tenebra_code tn_model_read_config(const char *directory, const tn_store *store, const tn_backbone **backbone,
                                  tn_model_config *config, tn_notes *notes, tenebra_error *error)
{
    json_t *json;
    if (!tn_path_is_directory(directory))
        return tn_model_missing(directory, error);
    tenebra_code code = tn_model_config_json(directory, store, &json, error);
    if (code == TENEBRA_OK)
        code = read_all(json, directory, backbone, config, notes, error);
    json_decref(json);
    return code;
}

tenebra_code tn_model_open_store(const char *directory, const char *weights, tn_store **store, const tn_backbone **backbone,
                                 tn_model_config *config, tn_notes *notes, tenebra_error *error)
{
    tn_path path;
    TN_TRY(tn_path_print(&path, error, "%s/config.json", directory));
    bool first = tn_path_is_file(path.text) || !tn_path_is_directory(directory); /* its error is the best one for a directory */
    if (first)
        TN_TRY(tn_model_read_config(directory, NULL, backbone, config, notes, error));
    tenebra_code code = tn_store_open(weights, store, error);
    if (code == TENEBRA_ERROR_IO && !first)
        return tn_model_read_config(directory, NULL, backbone, config, notes, error); /* neither exists */
    TN_TRY(code);
    tn_notes_append(notes, tn_store_notes(*store));
    return first ? TENEBRA_OK : tn_model_read_config(directory, *store, backbone, config, notes, error);
}
