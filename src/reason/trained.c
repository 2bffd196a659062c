#include "reason/trained.h"

#include "base/file.h"
#include "base/json.h"
#include "image/image.h"
#include "store/seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DESCRIPTION_LIMIT = 16 << 20, STAGES_MAX = 1024 };

static const char file_name[] = "training.json", config_name[] = "training.json: config"; /* the file and its part, in errors */

/* The members of an exported training.json, including those without effect on an answer. Those of "config" are the keys of a
 * recipe. */
static const char *const top_keys[] = { "updates", "epoch", "stage", "config", TN_STORE_SEAL_KEY, NULL };
static const char *const config_keys[] = {
    "model", "load_model_path", "shape", "tokenizer", "output", "save_path", "name", "data", "train_split", "val_data", "val_split",
    "val_fraction", "max_samples", "topics", "val_samples", "method", "positions", "prompt", "val_prompt", "step_groups", "c_thought",
    "epochs_per_stage", "max_latent_stage", "pad_latent_to_max", "uniform_prob", "resume", "cutoff_len", "latent_grad_full",
    "picks_grad_full", "num_epochs", "max_updates", "batch_size", "gradient_accumulation_steps", "num_devices", "lr", "weight_decay",
    "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm", "lr_scheduler_type", "warmup_ratio", "warmup_steps",
    "reset_optimizer", "group_by_length", "seed", "finetuning_type", "lora_rank", "lora_alpha", "lora_dropout", "use_rslora",
    "lora_target", "lora_names", "trainable", "freeze_vision_tower", "freeze_embeddings", "bf16", "gradient_checkpointing",
    "save_dtype", "init_std", "fresh", "image_max_pixels", "image_min_pixels", "image_size", "save_steps", "save_total_limit",
    "logging_steps", "threads", "val_epochs", "validate", "val_tokens", "settings", "latents_off", NULL
};

const char *tn_trained_setting(const tn_trained *trained, const char *method, const char *name)
{
    bool taught = method != NULL && trained->method != NULL && strcmp(method, trained->method) == 0;
    for (size_t i = 0; taught && i < trained->setting_count; i++)
        if (strcmp(trained->settings[i].name, name) == 0)
            return trained->settings[i].value;
    const tn_option *option = trained->without_cue ? tn_method_option(method, name) : NULL;
    return option != NULL && option->means == TN_MEANS_CUE ? "" : NULL;
}

const tn_prompt_preset *tn_trained_wording(const tn_trained *trained)
{
    return trained != NULL && trained->preset != NULL ? tn_prompt_find(trained->preset) : tn_prompt_standard();
}

static void add_setting(tn_trained *trained, const char *name, const char *value)
{
    if (trained->setting_count < TN_METHOD_OPTIONS_MAX)
        trained->settings[trained->setting_count++] = (tenebra_setting){ name, value };
}

/* The number of latent steps is that of the last stage, if the file has it. */
static tenebra_code read_latents(tn_trained *trained, const json_t *config, tenebra_error *error)
{
    size_t stage = 0, stages = 0, thoughts = 0;
    bool off = false;
    TN_TRY(tn_json_size(trained->about, "stage", 0, SIZE_MAX, &stage, file_name, error));
    TN_TRY(tn_json_size(config, "max_latent_stage", 0, STAGES_MAX, &stages, config_name, error));
    TN_TRY(tn_json_size(config, "c_thought", 0, STAGES_MAX, &thoughts, config_name, error));
    TN_TRY(tn_json_bool(config, "latents_off", &off, config_name, error));
    tenebra_setting latents;
    size_t steps = off ? 0 : (stage < stages ? stage : stages) * thoughts;
    if (tn_setting_that_means(trained->method, TN_MEANS_LATENT_STEPS, steps, trained->latents, &latents) &&
        json_object_get(json_object_get(config, "settings"), latents.name) == NULL)
        add_setting(trained, latents.name, latents.value);
    return TENEBRA_OK;
}

static tenebra_code read_settings(tn_trained *trained, const json_t *config, tenebra_error *error)
{
    json_t *settings = json_object_get(config, "settings"), *value;
    const char *name;
    if (settings != NULL && !json_is_object(settings))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, config_name, "\"settings\" must be an object");
    TN_TRY(read_latents(trained, config, error));
    json_object_foreach(settings, name, value) {
        tenebra_error reason = { 0 };
        if (!json_is_string(value))
            return tn_fail(error, TENEBRA_ERROR_FORMAT, config_name, "the setting \"%.60s\" must be a string", name);
        if (tn_method_check_setting(tn_method_find(trained->method), name, json_string_value(value), &reason) != TENEBRA_OK)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, config_name, "the setting \"%.60s\": %s", name, reason.sentence);
        add_setting(trained, name, json_string_value(value));
    }
    /* Training examples contain the rationale without a cue, except for methods that reply only with the answer. */
    const tn_option *cue = tn_method_option_that_means(trained->method, TN_MEANS_CUE);
    const char *given = cue != NULL ? tn_trained_setting(trained, trained->method, cue->name) : NULL;
    trained->without_cue = tn_method_find(trained->method)->reply != TN_REPLY_ANSWER && (given == NULL || given[0] == '\0');
    if (trained->without_cue && given == NULL && cue != NULL)
        add_setting(trained, cue->name, "");
    return TENEBRA_OK;
}

/* The wording is that of validation if it differs from that of training. */
static tenebra_code read_wording(tn_trained *trained, const json_t *config, tenebra_error *error)
{
    tenebra_error reason = { 0 };
    const tn_prompt_preset *preset;
    const char *taught = NULL, *asked = NULL;
    TN_TRY(tn_json_string(config, "prompt", &taught, config_name, error));
    TN_TRY(tn_json_string(config, "val_prompt", &asked, config_name, error));
    trained->preset = asked != NULL ? asked : taught;
    if (trained->preset != NULL && tn_prompt_choose(trained->preset, &preset, &reason) != TENEBRA_OK)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, config_name, "\"prompt\": %s", reason.sentence);
    return TENEBRA_OK;
}

/* Sizes of images, as in the recipe. */
static tenebra_code read_pictures(tn_trained *trained, const json_t *config, tenebra_error *error)
{
    const char *size = NULL;
    TN_TRY(tn_json_string(config, "image_size", &size, config_name, error));
    TN_TRY(tn_json_size(config, "image_min_pixels", 0, TN_IMAGE_AREA_MAX, &trained->image.min_pixels, config_name, error));
    TN_TRY(tn_json_size(config, "image_max_pixels", 0, TN_IMAGE_AREA_MAX, &trained->image.max_pixels, config_name, error));
    if (size == NULL)
        return TENEBRA_OK;
    size_t sides[2];
    if (!tn_option_read_sides(size, sides))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, config_name, "\"image_size\" is not WIDTHxHEIGHT");
    trained->image = (tenebra_image_rule){ .width = sides[0], .height = sides[1] }; /* a fixed size overrides bounds, as in
                                                                                     * training */
    return TENEBRA_OK;
}

const char *tn_trained_pictures(const tn_trained *trained, char words[TN_TRAINED_PICTURES_SIZE])
{
    size_t least = trained->image.min_pixels, most = trained->image.max_pixels;
    if (trained->image.width > 0)
        snprintf(words, TN_TRAINED_PICTURES_SIZE, "to %zux%zu", trained->image.width, trained->image.height);
    else if (trained->of_adapter && least > 0 && most > 0)
        snprintf(words, TN_TRAINED_PICTURES_SIZE, "to between %zu and %zu pixels", least, most);
    else if (trained->of_adapter && (least > 0 || most > 0))
        snprintf(words, TN_TRAINED_PICTURES_SIZE, "to at %s %zu pixels", most > 0 ? "most" : "least", most > 0 ? most : least);
    else
        return NULL;
    return words;
}

static tenebra_code read_config(tn_trained *trained, tenebra_error *error)
{
    const json_t *config = json_object_get(trained->about, "config");
    tenebra_error reason = { 0 };
    const tn_method *method;
    if (!json_is_object(config))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file_name, "has no object \"config\"");
    TN_TRY(read_wording(trained, config, error));
    TN_TRY(read_pictures(trained, config, error));
    TN_TRY(tn_json_string(config, "method", &trained->method, config_name, error));
    TN_TRY(tn_json_string(config, "positions", &trained->positions, config_name, error));
    if (trained->positions != NULL && tn_positions_check(trained->positions, &reason) != TENEBRA_OK)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, config_name, "\"positions\": %s", reason.sentence);
    if (trained->method == NULL)
        return TENEBRA_OK;
    if (tn_method_choose(trained->method, &method, &reason) != TENEBRA_OK)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, config_name, "\"method\": %s", reason.sentence);
    return read_settings(trained, config, error);
}

static void fill_request(tn_trained *trained)
{
    trained->request = (tenebra_request){ .method = trained->method, .positions = trained->positions,
                                          .settings = trained->settings, .setting_count = trained->setting_count,
                                          .image = trained->image };
}

/* The directory of a training run also has a training.json, and its result is in a subdirectory: the name of that, or NULL. */
static const char *find_result(const char *directory)
{
    static const char *const names[] = { "adapter", "model" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        tn_path path;
        if (tn_path_print(&path, NULL, "%s/%s", directory, names[i]) == TENEBRA_OK && tn_path_is_directory(path.text))
            return names[i];
    }
    return NULL;
}

tenebra_code tn_trained_parse(tn_trained *trained, const void *text, size_t size, tenebra_error *error)
{
    bool sealed;
    TN_TRY(tn_json_parse(text, size, file_name, &trained->about, error));
    if (!json_is_object(trained->about))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file_name, "must contain one JSON object");
    TN_TRY(tn_store_seal_check_object(text, size, trained->about, &sealed, file_name, error));
    tn_notes_unknown(&trained->notes, trained->about, top_keys, file_name, NULL);
    tn_notes_unknown(&trained->notes, json_object_get(trained->about, "config"), config_keys, file_name, "config");
    return read_config(trained, error);
}

/* trained->about stays NULL if there is no such file. */
static tenebra_code read_file(tn_trained *trained, const char *path, tenebra_error *error)
{
    tn_file file;
    if (!tn_path_is_file(path))
        return TENEBRA_OK;
    TN_TRY(tn_file_read(&file, path, DESCRIPTION_LIMIT, error));
    tenebra_code code = tn_trained_parse(trained, file.data, file.size, error);
    tn_file_close(&file);
    return code;
}

/* Errors name the file with its directory. */
static tenebra_code read_from(tn_trained *trained, const char *directory, tenebra_error *error)
{
    tenebra_error reason = { 0 };
    tn_path path;
    TN_TRY(tn_path_print(&path, error, "%s/%s", directory, file_name));
    tenebra_code code = read_file(trained, path.text, &reason);
    if (code == TENEBRA_OK)
        return TENEBRA_OK;
    if (trained->about == NULL && strcmp(reason.where, file_name) != 0)
        return tn_fail(error, code, reason.where, "%s", reason.sentence);
    bool run = json_is_object(trained->about) && json_object_get(trained->about, "config") == NULL;
    const char *result = run ? find_result(directory) : NULL;
    if (result != NULL)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, directory, "is the directory of a training run; its %s is %.200s/%s", result,
                       directory, result);
    char where[sizeof reason.where];
    bool inside = strncmp(reason.where, file_name, strlen(file_name)) == 0; /* it or its part */
    snprintf(where, sizeof where, "%.200s/%.40s", directory, inside ? reason.where : file_name);
    if (code != TENEBRA_ERROR_FORMAT)
        return tn_fail(error, code, where, "%s", reason.sentence);
    return tn_fail(error, code, where, "%.440s; move the file away to ask without it", reason.sentence);
}

tenebra_code tn_trained_read(tn_trained *trained, const char *model, const tenebra_adapter *adapters, size_t adapter_count,
                             tenebra_error *error)
{
    *trained = (tn_trained){ 0 };
    tenebra_code code = TENEBRA_OK;
    for (size_t i = adapter_count; i > 0 && trained->about == NULL && code == TENEBRA_OK; i--)
        code = read_from(trained, adapters[i - 1].directory, error);
    trained->of_adapter = trained->about != NULL;
    if (trained->about == NULL && code == TENEBRA_OK)
        code = read_from(trained, model, error);
    if (code == TENEBRA_OK)
        fill_request(trained);
    else
        tn_trained_free(trained);
    return code;
}

void tn_trained_free(tn_trained *trained)
{
    json_decref(trained->about);
    *trained = (tn_trained){ 0 };
}
