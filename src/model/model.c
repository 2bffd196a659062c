#include "model/model.h"

#include "model/lora_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool tn_model_has_new_names(const tn_model *model)
{
    const size_t *since = model->backbone->renamed_since, *version = model->config.transformers;
    return model->networks.renamed || version[0] > since[0] || (version[0] == since[0] && version[1] >= since[1]);
}

/* ------------------------------------------------------------- opening -- */

static tenebra_code check_tokens(const tn_model *model, tenebra_error *error)
{
    const tn_model_config *config = &model->config;
    size_t rows = tn_model_vocabulary(model), head = model->decoder.head.matrix.rows;
    if (head > rows)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, "lm_head.weight", "has %zu rows, but the embedding has only %zu", head, rows);
    size_t most = config->decoder.num_hidden_layers < TN_DEEP_MAX ? config->decoder.num_hidden_layers : TN_DEEP_MAX;
    if (config->vision.deep > most)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, "config.json", "the image encoder adds vectors after %zu decoder layers; at most "
                       "%zu are supported", config->vision.deep, most);
    if (config->picture_token >= 0 && (size_t)config->picture_token >= rows)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, "config.json",
                       "image token %d is outside of the %zu rows of the embedding", config->picture_token, rows);
    for (size_t i = 0; i < config->vision.code_count; i++)
        if (config->vision.ids[i] < 0 || (size_t)config->vision.ids[i] >= head)
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, "config.json", "token %d, which is used for images, is outside of the %zu rows "
                           "of the head", config->vision.ids[i], head);
    for (size_t i = 0; i < config->eos_count; i++)
        if ((size_t)config->eos_tokens[i] >= rows)
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, "config.json",
                           "end token %d is outside of the %zu rows of the embedding", config->eos_tokens[i], rows);
    for (size_t i = 0; i < config->eos_count; i++)
        for (size_t n = 0; n < config->vision.code_count; n++)
            if (config->eos_tokens[i] == config->vision.ids[n])
                return tn_fail(error, TENEBRA_ERROR_MISMATCH, "config.json", "end token %d is the token of code %zu of images, which is "
                               "never generated, so that no answer would end there", config->eos_tokens[i], n);
    return TENEBRA_OK;
}

/* The tensors decide; another number in config.json is noted. */
static void note_vocabulary(tn_model *model)
{
    size_t rows = tn_model_vocabulary(model), told = model->config.vocab_size;
    char key[80];
    snprintf(key, sizeof key, "vocab_size (%zu, but the embedding has %zu rows)", told, rows);
    if (told > 0 && told != rows)
        tn_notes_add(&model->notes, "config.json", key);
}

static tenebra_code open_weights(tn_model *model, tenebra_error *error)
{
    tenebra_error first = { 0 };
    size_t mismatches = 0;
    TN_TRY(tn_model_open_store(model->directory, model->weights, &model->store, &model->backbone, &model->config, &model->notes, error));
    TN_TRY(tn_networks_open(&model->networks, model->backbone, &model->config, &model->decoder, error));
    TN_TRY(tn_networks_match(&model->networks, model->store, tn_match_keep_first, &first, &mismatches, error));
    if (mismatches > 0)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, first.where,
                       "%s (%zu tensor%s not match; 'tenebra inspect -m %s' lists them)", first.sentence,
                       mismatches, mismatches == 1 ? " does" : "s do", model->weights);
    tn_networks_note(&model->networks, &model->config, &model->notes);
    if (model->networks.tied)
        model->decoder.head = model->decoder.embed;
    return check_tokens(model, error);
}

/* The tokens of images in prompts are the template's; those of config.json must be the same. One that config.json lacks is not
 * compared. */
static tenebra_code check_template(const tn_model *model, tenebra_error *error)
{
    const tn_model_config *config = &model->config;
    const tn_chat_template *style = model->chat_template;
    const int32_t ids[] = { config->picture_token, config->picture_begin, config->picture_end };
    const char *const tokens[] = { style->image, style->image_begin, style->image_end };
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        int32_t id = ids[i] >= 0 && tokens[i] != NULL ? tn_tokenizer_find(model->tokenizer, tokens[i]) : ids[i];
        if (id < 0 && id != ids[i])
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, model->directory, "\"%s\" of config.json is %d, but the tokenizer has no %s",
                           model->backbone->picture_keys[i], ids[i], tokens[i]);
        if (id != ids[i])
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, model->directory, "\"%s\" of config.json is %d, but in the tokenizer %s is %d",
                           model->backbone->picture_keys[i], ids[i], tokens[i], id);
    }
    return TENEBRA_OK;
}

/* The same for the tokens of codes that the tokenizer has by name: a model sees noise if it is fed others. */
static tenebra_code check_codes(const tn_model *model, tenebra_error *error)
{
    const tn_encoder_config *vision = &model->config.vision;
    char name[TN_CODE_NAME];
    for (size_t i = 0; i < vision->code_count && model->backbone->name_code != NULL; i++) {
        model->backbone->name_code(i, name);
        int32_t id = tn_tokenizer_find(model->tokenizer, name);
        if (id >= 0 && id != vision->ids[i])
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, model->directory, "the token of code %zu of images is %d in config.json, but in "
                           "the tokenizer %s is %d", i, vision->ids[i], name, id);
    }
    return TENEBRA_OK;
}

static tenebra_code open_text(tn_model *model, const tn_model_options *options, tenebra_error *error)
{
    if ((options != NULL && options->no_text) || !tn_tokenizer_is_in(model->directory))
        return TENEBRA_OK;
    TN_TRY(tn_tokenizer_open(model->directory, &model->tokenizer, error));
    TN_TRY(tn_chat_template_find(model->directory, options ? options->chat_template : NULL,
                                 model->backbone->chat_template, &model->chat_template, error));
    TN_TRY(check_template(model, error));
    TN_TRY(check_codes(model, error));
    if (tn_tokenizer_size(model->tokenizer) > tn_model_vocabulary(model))
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, model->directory,
                       "the tokenizer has %zu tokens, but the embedding has only %zu rows",
                       tn_tokenizer_size(model->tokenizer), tn_model_vocabulary(model));
    for (size_t i = 0; i < model->adapter_count; i++)
        TN_TRY(tn_adapter_check_tokenizer(model->adapters[i], options->adapters[i].directory, error));
    return tn_tokenizer_note(model->tokenizer, model->directory, &model->notes, error);
}

/* A checkpoint of a training program may have an adapter in the same files. */
static tenebra_code open_inner(tn_model *model, double given, tenebra_error *error)
{
    double alpha = given;
    if (model->networks.adapted == 0)
        return given == 0 ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_ARGUMENT, "lora-alpha", "is given, but %s contains no adapter",
                                                 model->weights);
    if (given == 0 && !tn_wrapping_alpha(&model->networks.wrapping, &alpha))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, model->weights, "contains a low-rank adapter, but not its alpha; --lora-alpha sets "
                       "the lora_alpha with which it was trained");
    TN_TRY(tn_adapter_open_inner(model, alpha, &model->inner, error));
    tn_adapter_note(model->inner, "its files contain a low-rank adapter (rank %zu, %zu matrices), which is applied with alpha %g%s",
                    model->inner->rank, model->inner->module_count, alpha, given == 0 ? ", that of the published training program; "
                    "--lora-alpha sets another" : "");
    tn_adapter_attach(model->inner);
    return TENEBRA_OK;
}

/* Adapters are applied in order, each on top of those before. */
static tenebra_code open_adapters(tn_model *model, const tn_model_options *options, tenebra_error *error)
{
    TN_TRY(open_inner(model, options != NULL ? options->lora_alpha : 0, error));
    size_t count = options ? options->adapter_count : 0;
    model->adapters = calloc(count + 1, sizeof *model->adapters);
    if (model->adapters == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, model->directory, "no memory");
    for (size_t i = 0; i < count; i++) {
        const tenebra_adapter *from = &options->adapters[i];
        if (from->directory == NULL)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "adapter", "number %zu has no directory", i + 1);
        tn_adapter *adapter;
        TN_TRY(tn_adapter_open(model, from->directory, from->strength, &adapter, error));
        model->adapters[model->adapter_count++] = adapter;
        if (from->pass > 0 && adapter->replacement_count > 0)
            return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, from->directory, "replaces whole tensors or rows, which cannot be "
                           "limited to one pass");
        adapter->pass = from->pass;
        tn_adapter_refresh(adapter);
        tn_adapter_attach(adapter);
    }
    return TENEBRA_OK;
}

tenebra_code tn_model_check(const tn_model *model, tenebra_error *error)
{
    TN_TRY(tn_store_check(model->store, error));
    if (model->module_store != NULL)
        TN_TRY(tn_store_check(model->module_store, error));
    for (size_t i = 0; i < model->adapter_count; i++)
        if (model->adapters[i]->store != NULL)
            TN_TRY(tn_store_check(model->adapters[i]->store, error));
    return TENEBRA_OK;
}

const char *tn_model_say_unused(const tn_notes *notes, char text[TN_MODEL_UNUSED])
{
    char keys[TN_NOTES_TEXT];
    snprintf(text, TN_MODEL_UNUSED, "%s%s", notes->count > 0 ? "settings in the files of the model that are not used: " : "",
             tn_notes_print(notes, keys));
    return text;
}

/* Joins the note of an adapter to that of the model. */
static void note_adapter(tn_model *model, const char *directory, const char *note)
{
    size_t length = strlen(model->note);
    if (note[0] != '\0')
        snprintf(model->note + length, sizeof model->note - length, "%s%s: %s", length > 0 ? "; " : "", directory, note);
}

static tenebra_code open_all(tn_model *model, const tn_model_options *options, tenebra_error *error)
{
    TN_TRY(tn_kernels_choose(options ? options->kernels : NULL, &model->kernels, error));
    TN_TRY(open_weights(model, error));
    note_vocabulary(model);
    TN_TRY(tn_model_read_processor(model->directory, model->backbone, &model->config, &model->rule, &model->trims_frames, &model->notes,
                                   error));
    TN_TRY(open_adapters(model, options, error));
    TN_TRY(open_text(model, options, error));
    tn_model_say_unused(&model->notes, model->note);
    if (model->inner != NULL)
        note_adapter(model, model->weights, model->inner->note);
    for (size_t i = 0; i < model->adapter_count; i++)
        note_adapter(model, options->adapters[i].directory, model->adapters[i]->note);
    return tn_store_check(model->store, error);
}

tenebra_code tn_model_open(const char *path, const tn_model_options *options, tn_model **opened, tenebra_error *error)
{
    tenebra_error local;
    error = error ? error : &local;
    tn_model_files files;
    *opened = NULL;
    TN_TRY(tn_model_find(path, options != NULL ? options->base : NULL, &files, error));
    tn_model *model = calloc(1, sizeof *model);
    if (model == NULL || (model->directory = strdup(files.directory.text)) == NULL ||
        (model->weights = strdup(files.weights.text)) == NULL) {
        tn_model_close(model);
        return tn_fail_memory(error, path);
    }
    tenebra_code code = open_all(model, options, error);
    if (code == TENEBRA_OK)
        *opened = model;
    else
        tn_model_close(model);
    return code;
}

void tn_model_close(tn_model *model)
{
    if (model == NULL)
        return;
    for (size_t i = 0; i < model->adapter_count; i++)
        tn_adapter_close(model->adapters[i]);
    free(model->adapters);
    tn_adapter_close(model->inner);
    tn_tokenizer_close(model->tokenizer);
    tn_store_close(model->store);
    tn_networks_close(&model->networks);
    tn_model_config_free(&model->config);
    free(model->rule);
    tn_store_close(model->module_store);
    free(model->module_method);
    free(model->directory);
    free(model->weights);
    free(model);
}
