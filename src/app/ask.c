#include "app/ask.h"

#include "model/model.h"
#include "reason/method.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TN_RECORD tn_ask
const tn_option tn_ask_options[] = {
    TN_TEXT('m', "model", directory, "DIR", NULL, "model directory, or file of weights (default: the small model that comes with tenebra)"),
    TN_TEXT(0, "base", model.base, "DIR", NULL, "-m has only the weights: the directory with everything else (configuration, tokenizer)"),
    TN_WORD(0, "preset", preset, "NAME", NULL,
            "wording of the question (default: as in training, if recorded; else that of the data set)",
            .names = tn_names_of_presets),
    TN_TEXT(0, "example", example, "FILE", NULL, "JSON file with a solved example, for methods that show one"),
    TN_SWITCH(0, "answer-turn", answer_turn, "afterwards, ask in a further turn for the answer alone"),
    TN_WORD(0, "positions", request.positions, "sequential|mrope", NULL,
            "positions of tokens (default: as in training, if recorded; else the method's)"),
    TN_SIZE('n', "predict", request.max_tokens, "N", "512", 1, 1e7, "generate at most N tokens"),
    TN_SIZE('c', "ctx-size", session.context, "N", NULL, 0, 1e8,
            "size of the context in rows (default: 8192, or the model's limit if that is less)"),
    TN_NUMBER(0, "temp", request.sampling.temperature, "T", "0", 0, 100, "sampling temperature; 0 is greedy"),
    TN_SIZE(0, "top-k", request.sampling.top_k, "K", NULL, 0, 1e9, "sample from the K most likely tokens (default: all)"),
    TN_NUMBER(0, "top-p", request.sampling.top_p, "P", NULL, 0, 1,
            "sample from the most likely tokens whose probabilities add up to P (default: 1)"),
    TN_SEED('s', "seed", request.sampling.seed, "0", "seed for sampling and for random interventions"),
    TN_SIDES(0, "image-size", request.image.width, "resize every image to this size in pixels"),
    TN_SIZE(0, "image-min-tokens", request.image.min_tokens, "N", NULL, 0, 1e6, "an image has at least N embeddings"),
    TN_SIZE(0, "image-max-tokens", request.image.max_tokens, "N", NULL, 0, 1e6, "an image has at most N embeddings"),
    TN_SWITCH(0, "scores", request.scores, "record the attention to the whole image, for --json and reports"),
    TN_SWITCH(0, "reconstruct", request.reconstruct, "reconstruct the image from the latent steps, if the model was trained for it"),
    TN_WORD(0, "cache-type", session.cache_type, "f32|bf16", "f32", "number type of the KV cache"),
    TN_LIST(0, "lora", adapters, "DIR[=X]", "PEFT adapter, its strength multiplied by X; repeatable"),
    TN_LIST(0, "lora-pass", pass_adapters, "N:DIR[=X]", "adapter that applies only in pass N of the method; repeatable"),
    TN_NUMBER(0, "lora-alpha", model.lora_alpha, "A", NULL, 0, 1e6,
              "lora_alpha of an adapter in the files of the weights (default: that of the published training program)"),
    TN_WORD(0, "kernels", model.kernels, "SET", NULL,
            "kernel set (default: the fastest that this machine runs)", .names = tn_names_of_kernels),
    TN_WORD(0, "chat-template", model.chat_template, "NAME", NULL,
            "chat template (default: that of the model directory)", .names = tn_names_of_templates),
    TN_OPTIONS_END
};

const char *tn_ask_find_model(tn_ask *ask)
{
    if (ask->directory == NULL && ask->model.base != NULL)
        return "requires the weights (-m) for which --base has the other files";
    ask->directory = ask->directory == NULL ? tn_app_default_model(&ask->own) : tn_app_model_directory(ask->directory, &ask->own);
    return ask->directory != NULL ? NULL : TN_APP_NO_MODEL;
}

tenebra_code tn_ask_read_trained(tn_ask *ask, tenebra_error *error)
{
    TN_TRY(tn_app_read_adapters(&ask->adapters, &ask->pass_adapters, &ask->model, error));
    tn_model_files files;
    bool found = tn_model_find(ask->directory, ask->model.base, &files, NULL) == TENEBRA_OK; /* or opening it fails, with advice */
    TN_TRY(tn_path_print(&ask->place, error, "%s", found ? files.directory.text : ask->directory));
    TN_TRY(tn_trained_read(&ask->trained, ask->place.text, ask->model.adapters, ask->model.adapter_count, error));
    if (ask->request.positions == NULL)
        ask->request.positions = ask->trained.positions;
    return TENEBRA_OK;
}

bool tn_ask_has_sizes(const tn_ask *ask)
{
    const tenebra_image_rule *image = &ask->request.image;
    return image->width > 0 || image->min_tokens > 0 || image->max_tokens > 0;
}

bool tn_ask_intervenes(const char *method, const tenebra_setting *settings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const tn_option *row = tn_method_option(method, settings[i].name);
        if (row != NULL && (row->means == TN_MEANS_LATENT_TEXT || row->means == TN_MEANS_LATENT_PICKS))
            return true;
    }
    return false;
}

void tn_ask_tell_greedy(const char *prefix, const tenebra_sampling *sampling, bool seeded)
{
    const struct {
        bool set;
        const char *name;
    } rows[] = { { sampling->top_k > 0, "--top-k" },
                 { sampling->top_p > 0 && sampling->top_p < 1, "--top-p" },
                 { sampling->seed != 0 && !seeded, "--seed" } };
    char list[40] = "";
    for (size_t i = 0; i < sizeof rows / sizeof *rows && sampling->temperature == 0; i++)
        if (rows[i].set)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", list[0] != '\0' ? ", " : "", rows[i].name);
    if (list[0] != '\0')
        tn_app_tell("%snot used, because decoding is greedy (--temp is 0): %s\n", prefix, list);
}

size_t tn_ask_passes(const char *method)
{
    const tn_method *found = tn_method_find(method != NULL ? method : tn_method_default());
    return found != NULL && found->passes > 0 ? found->passes : 1;
}

void tn_ask_tell_passes(const tn_ask *ask, size_t passes)
{
    for (size_t i = 0; i < ask->model.adapter_count; i++) {
        const tenebra_adapter *adapter = &ask->model.adapters[i];
        if (adapter->pass > passes)
            tn_app_tell("note: %s is for pass %zu, but an answer has %zu here: it is not used\n", adapter->directory, adapter->pass,
                        passes);
    }
}

void tn_ask_free(tn_ask *ask)
{
    tn_app_free_adapters(&ask->model);
    tn_trained_free(&ask->trained);
    free(ask->adapters.items);
    free(ask->pass_adapters.items);
}
