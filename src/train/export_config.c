/* Writes into the JSON files of exported weights, for this program and for transformers, the number type of the weights and the
 * sizes of the images in training. */
#include "model/config_change.h"
#include "train/parts.h"

#include <stdlib.h>
#include <string.h>

static const char NEW_FILE[] = "processor_config.json", OLD_FILE[] = "preprocessor_config.json";
static const char IMAGE_PART[] = "image_processor";

static tenebra_code write_json(const char *directory, const char *name, const json_t *json, tenebra_error *error)
{
    return tn_json_write_in(directory, name, json, JSON_INDENT(2) | JSON_REAL_PRECISION(15), error);
}

/* ----------------------------------------------------------- number type -- */

/* The type in which the weights should be loaded: their own, or float32 if they have several, so that none loses precision. */
static const char *type_of_weights(const tn_trainer *trainer, tn_dtype type)
{
    const tn_store *store = trainer->model->store;
    bool all_bf16 = true, all_f16 = true;
    for (size_t i = 0; i < tn_store_count(store); i++) {
        const tn_stored *tensor = tn_store_at(store, i);
        tn_dtype now = tn_parameters_find(trainer->parameters, tensor->name) != NULL ? type : tensor->form.type;
        all_bf16 = all_bf16 && now == TN_BF16;
        all_f16 = all_f16 && now == TN_F16;
    }
    return all_bf16 ? "bfloat16" : all_f16 ? "float16" : "float32";
}

static tenebra_code change_config(const tn_trainer *trainer, const char *directory, tn_dtype weights, tenebra_error *error)
{
    const char *type = type_of_weights(trainer, weights);
    json_t *json;
    TN_TRY(tn_model_config_json(directory, trainer->model->store, &json, error));
    bool fits = tn_config_set_type(json, type);
    tenebra_code code = fits ? write_json(directory, "config.json", json, error) : tn_fail_memory(error, directory);
    json_decref(json);
    return code;
}

/* --------------------------------------------------------------- pictures -- */

/* The contents of the new preprocessor_config.json, which the caller owns: the copied file; or the image processor of
 * processor_config.json, for versions that read only the old file; or the default of the backbone. */
static tenebra_code old_processor(const tn_trainer *trainer, const char *directory, const json_t *newer, json_t **json,
                                  tenebra_error *error)
{
    const char *published = trainer->model->backbone->preprocessor;
    TN_TRY(tn_json_read_object(directory, OLD_FILE, TN_MODEL_JSON_LIMIT, false, json, error));
    if (*json == NULL && newer == NULL)
        return tn_json_parse(published, strlen(published), OLD_FILE, json, error);
    if (*json == NULL)
        *json = json_deep_copy(newer);
    return *json != NULL ? TENEBRA_OK : tn_fail_memory(error, directory);
}

static tenebra_code change_processors(const tn_trainer *trainer, const char *directory, tenebra_error *error)
{
    const tn_train_config *config = trainer->config;
    bool ruled = config->image.min_pixels > 0 || config->image.max_pixels > 0;
    const tn_image_encoder *encoder = trainer->model->backbone->encoder;
    const void *rule = trainer->model->rule;
    if (encoder->write_rule == NULL)
        return TENEBRA_OK;
    json_t *newer, *older = NULL;
    TN_TRY(tn_json_read_object(directory, NEW_FILE, TN_MODEL_JSON_LIMIT, false, &newer, error));
    json_t *part = json_object_get(newer, IMAGE_PART);
    part = json_is_object(part) ? part : NULL;
    tenebra_code code = old_processor(trainer, directory, part, &older, error);
    if (code == TENEBRA_OK && (!encoder->write_rule(older, NULL, rule, &config->image) ||
                               (ruled && part != NULL && !encoder->write_rule(part, NULL, rule, &config->image))))
        code = tn_fail_memory(error, directory);
    if (code == TENEBRA_OK)
        code = write_json(directory, OLD_FILE, older, error);
    if (code == TENEBRA_OK && part != NULL)
        code = write_json(directory, NEW_FILE, newer, error);
    json_decref(newer);
    json_decref(older);
    return code;
}

tenebra_code tn_export_change(const tn_trainer *trainer, const char *directory, tn_dtype type, tenebra_error *error)
{
    TN_TRY(change_config(trainer, directory, type, error));
    return change_processors(trainer, directory, error);
}
