#include "model/model.h"

#include "base/file.h"
#include "model/lora.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_LIMIT = 16 << 20 };

static json_t *read_json_of(const char *directory, const char *name, bool required, tenebra_error *error)
{
    char *path = tn_path_join(directory, name);
    if (path == NULL) {
        tn_fail(error, TENEBRA_ERROR_MEMORY, name, "no memory");
        return NULL;
    }
    json_t *json = NULL;
    if (required || tn_path_is_file(path))
        json = tn_json_read(path, CONFIG_LIMIT, error);
    if (json != NULL && !json_is_object(json)) {
        tn_fail(error, TENEBRA_ERROR_FORMAT, path, "must hold one JSON object");
        json_decref(json);
        json = NULL;
    }
    free(path);
    return json;
}

/* "eos_token_id": a number or a list. `json` may be no object: it has none, then. */
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
            return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"eos_token_id\" must hold token ids");
        config->eos_tokens[i] = (int32_t)json_integer_value(id);
    }
    if (count > 0)
        config->eos_count = count;
    return TENEBRA_OK;
}

/* Generation settings other than the end tokens are left alone on purpose: hidden defaults move results. */
static tenebra_code read_generation(const char *directory, tn_model_config *config, tenebra_error *error)
{
    tenebra_error problem = { 0 };
    json_t *json = read_json_of(directory, "generation_config.json", false, &problem);
    if (json == NULL) {
        if (problem.code != TENEBRA_OK && error != NULL)
            *error = problem;
        return problem.code;
    }
    tenebra_code code = read_eos(json, "generation_config.json", config, error);
    json_decref(json);
    return code;
}

tenebra_code tn_model_read_config(const char *directory, const tn_backbone **backbone,
                                  tn_model_config *config, tenebra_error *error)
{
    if (!tn_path_is_directory(directory))
        return tn_fail(error, TENEBRA_ERROR_IO, directory, "is not a model directory");
    tenebra_error problem = { 0 };
    json_t *json = read_json_of(directory, "config.json", true, &problem);
    if (json == NULL) {
        if (error != NULL)
            *error = problem;
        return problem.code;
    }
    const char *type = "";
    tenebra_code code = tn_json_string(json, "model_type", &type, "config.json", error);
    *backbone = tn_backbone_find(type);
    if (code == TENEBRA_OK && *backbone == NULL)
        code = tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, directory,
                       "no backbone of this program reads model_type \"%s\"", type);
    if (code == TENEBRA_OK)
        code = (*backbone)->read_config(json, "config.json", config, error);
    /* Where the text part is nested, its end tokens may be, too; those of the top level go before. */
    if (code == TENEBRA_OK)
        code = read_eos(json_object_get(json, "text_config"), "config.json", config, error);
    if (code == TENEBRA_OK)
        code = read_eos(json, "config.json", config, error);
    json_decref(json);
    if (code == TENEBRA_OK)
        code = read_generation(directory, config, error);
    return code;
}

/* ------------------------------------------------------------- opening -- */

static void keep_first(void *user, tn_match match, const char *name, const tn_stored *stored, size_t rows,
                       size_t cols)
{
    tenebra_error *first = user;
    if (match == TN_MATCHED || first->code != TENEBRA_OK)
        return;
    if (match == TN_MISSING)
        tn_fail(first, TENEBRA_ERROR_MISMATCH, name, "tensor is missing: [%zu, %zu] expected", rows, cols);
    else if (match == TN_UNEXPECTED)
        tn_fail(first, TENEBRA_ERROR_MISMATCH, name, "tensor is not part of this model");
    else
        tn_fail(first, TENEBRA_ERROR_MISMATCH, name,
                "tensor has rank %zu, first dimension %zu and type %s; [%zu, %zu] of a floating-point type expected",
                stored->rank, stored->rank ? stored->shape[0] : 0, tn_store_type_of(stored->type)->name, rows, cols);
}

static tenebra_code check_tokens(const tn_model *model, tenebra_error *error)
{
    const tn_model_config *config = &model->config;
    size_t rows = tn_model_vocabulary(model), head = model->decoder.head.matrix.rows;
    if (head > rows)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, "lm_head.weight", "has %zu rows, the embedding only %zu", head, rows);
    if (config->image_token >= 0 && (size_t)config->image_token >= rows)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, "config.json",
                       "image token %d is outside of the %zu rows of the embedding", config->image_token, rows);
    for (size_t i = 0; i < config->eos_count; i++)
        if ((size_t)config->eos_tokens[i] >= rows)
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, "config.json",
                           "end token %d is outside of the %zu rows of the embedding", config->eos_tokens[i], rows);
    return TENEBRA_OK;
}

static tenebra_code open_weights(tn_model *model, tenebra_error *error)
{
    tenebra_error first = { 0 };
    size_t mismatches = 0;
    model->store = tn_store_open(model->directory, error);
    if (model->store == NULL)
        return error ? error->code : TENEBRA_ERROR_IO;
    TN_TRY(tn_model_match(model->backbone, &model->config, model->store, NULL, keep_first, &first, &mismatches,
                          error));
    if (mismatches > 0)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, first.where,
                       "%s (%zu tensors do not fit; 'tenebra inspect -m %s' lists them)", first.sentence,
                       mismatches, model->directory);
    TN_TRY(tn_model_match(model->backbone, &model->config, model->store, model, NULL, NULL, &mismatches, error));
    model->decoder.config = model->config.decoder;
    model->vision.config = model->config.vision;
    if (model->decoder.head.matrix.data == NULL)
        model->decoder.head = model->decoder.embed;
    return check_tokens(model, error);
}

static tenebra_code open_preprocessor(tn_model *model, tenebra_error *error)
{
    tenebra_error problem = { 0 };
    json_t *json = read_json_of(model->directory, "preprocessor_config.json", false, &problem);
    if (json == NULL && problem.code == TENEBRA_OK)
        json = tn_json_parse(model->backbone->preprocessor, strlen(model->backbone->preprocessor),
                             "preprocessor", &problem);
    if (json == NULL) {
        if (error != NULL)
            *error = problem;
        return problem.code;
    }
    tenebra_code code = tn_patch_config_read(json, "preprocessor_config.json", &model->patches, error);
    json_decref(json);
    const tn_model_config *config = &model->config;
    if (code == TENEBRA_OK && (model->patches.patch_size != config->patch_size ||
                               model->patches.merge_size != config->vision.spatial_merge_size ||
                               model->patches.temporal_patch_size != config->temporal_patch_size))
        code = tn_fail(error, TENEBRA_ERROR_MISMATCH, "preprocessor_config.json",
                       "patch, merge or temporal size differs from config.json");
    return code;
}

static bool has_tokenizer(const char *directory)
{
    static const char *const names[] = { "tokenizer.json", "vocab.json" };
    bool found = false;
    for (size_t i = 0; i < 2 && !found; i++) {
        char *path = tn_path_join(directory, names[i]);
        found = path == NULL || tn_path_is_file(path); /* without memory for the path, opening says so */
        free(path);
    }
    return found;
}

static tenebra_code open_text(tn_model *model, const tn_model_options *options, tenebra_error *error)
{
    if (!has_tokenizer(model->directory))
        return TENEBRA_OK;
    model->tokenizer = tn_tokenizer_open(model->directory, error);
    if (model->tokenizer == NULL)
        return error ? error->code : TENEBRA_ERROR_FORMAT;
    TN_TRY(tn_chat_template_find(model->directory, options ? options->chat_template : NULL,
                                 model->backbone->chat_template, &model->chat_template, error));
    int32_t image = tn_tokenizer_find(model->tokenizer, model->chat_template->image);
    if (image != model->config.image_token)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, model->directory,
                       "\"image_token_id\" is %d, but the tokenizer knows %s as %d", model->config.image_token,
                       model->chat_template->image, image);
    if (tn_tokenizer_size(model->tokenizer) > tn_model_vocabulary(model))
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, model->directory,
                       "the tokenizer knows %zu tokens, the embedding has %zu rows",
                       tn_tokenizer_size(model->tokenizer), tn_model_vocabulary(model));
    return TENEBRA_OK;
}

/* Adapters are applied in order, each on top of those before. */
static tenebra_code open_adapters(tn_model *model, const tn_model_options *options, tenebra_error *error)
{
    size_t count = options ? options->adapter_count : 0;
    model->adapters = calloc(count + 1, sizeof *model->adapters);
    if (model->adapters == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, model->directory, "no memory");
    for (size_t i = 0; i < count; i++) {
        const tenebra_adapter *from = &options->adapters[i];
        if (from->directory == NULL)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "adapter", "number %zu names no directory", i + 1);
        tn_adapter *adapter = tn_adapter_open(model, from->directory, from->strength, error);
        if (adapter == NULL)
            return error ? error->code : TENEBRA_ERROR_FORMAT;
        adapter->pass = from->pass;
        tn_adapter_refresh(adapter);
        tn_adapter_attach(adapter);
        model->adapters[model->adapter_count++] = adapter;
    }
    return TENEBRA_OK;
}

static tenebra_code open_all(tn_model *model, const tn_model_options *options, tenebra_error *error)
{
    model->kernels = tn_kernels_choose(options ? options->kernels : NULL, error);
    if (model->kernels == NULL)
        return error ? error->code : TENEBRA_ERROR_ARGUMENT;
    TN_TRY(tn_model_read_config(model->directory, &model->backbone, &model->config, error));
    TN_TRY(open_weights(model, error));
    TN_TRY(open_preprocessor(model, error));
    TN_TRY(open_adapters(model, options, error));
    TN_TRY(open_text(model, options, error));
    return tn_store_check(model->store, error);
}

tn_model *tn_model_open(const char *directory, const tn_model_options *options, tenebra_error *error)
{
    tenebra_error local;
    error = error ? error : &local;
    tn_model *model = calloc(1, sizeof *model);
    if (model != NULL)
        model->directory = strdup(directory);
    if (model == NULL || model->directory == NULL) {
        tn_fail(error, TENEBRA_ERROR_MEMORY, directory, "no memory");
        free(model);
        return NULL;
    }
    if (open_all(model, options, error) != TENEBRA_OK) {
        tn_model_close(model);
        return NULL;
    }
    return model;
}

void tn_model_close(tn_model *model)
{
    if (model == NULL)
        return;
    for (size_t i = 0; i < model->adapter_count; i++)
        tn_adapter_close(model->adapters[i]);
    free(model->adapters);
    tn_tokenizer_close(model->tokenizer);
    tn_store_close(model->store);
    free(model->decoder.layers);
    free(model->vision.blocks);
    tn_arena_close(&model->wide);
    free(model->vectors);
    free(model->directory);
    free(model);
}
