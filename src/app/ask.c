#include "app/ask.h"

#include <stdlib.h>

#define TN_RECORD tn_ask
const tn_option tn_ask_options[] = {
    TN_TEXT('m', "model", directory, "DIR", NULL, "model directory (the small one that comes along)"),
    TN_WORD(0, "preset", preset, "NAME", NULL, "wording (as trained, if the model tells; else the set's, or the standard one)",
            .names = tn_names_of_presets),
    TN_TEXT(0, "example", example, "FILE", NULL, "JSON: a solved question, for methods that show one"),
    TN_SWITCH(0, "answer-turn", answer_turn, "then ask for the answer alone, in a turn of its own"),
    TN_WORD(0, "positions", request.positions, "sequential|mrope", NULL, "positions (as trained, or as the method defines)"),
    TN_SIZE('n', "predict", request.max_tokens, "N", "512", 1, 1e7, "most tokens to generate"),
    TN_SIZE('c', "ctx-size", session.context, "N", NULL, 0, 1e8, "rows of context (8192 or the model's limit)"),
    TN_NUMBER(0, "temp", request.sampling.temperature, "T", "0", 0, 100, "temperature, 0: greedy"),
    TN_SIZE(0, "top-k", request.sampling.top_k, "K", NULL, 0, 1e9, "sample among the K likeliest (all)"),
    TN_NUMBER(0, "top-p", request.sampling.top_p, "P", NULL, 0, 1, "sample among the likeliest of total P (1)"),
    TN_SEED('s', "seed", request.sampling.seed, "0", "seed of sampling and interventions"),
    TN_SIDES(0, "image-size", request.image.width, "resize every image to this"),
    TN_SIZE(0, "image-min-tokens", request.image.min_tokens, "N", NULL, 0, 1e6, "fewest embeddings an image"),
    TN_SIZE(0, "image-max-tokens", request.image.max_tokens, "N", NULL, 0, 1e6, "most embeddings an image"),
    TN_SWITCH(0, "scores", request.scores, "record the attention to the whole picture, for --json and reports"),
    TN_WORD(0, "cache-type", session.cache_type, "f32|bf16", "f32", "number type of keys and values"),
    TN_LIST(0, "lora", adapters, "DIR[=X]", "PEFT adapter, X times as strong; repeatable"),
    TN_LIST(0, "lora-pass", pass_adapters, "N:DIR[=X]", "adapter in pass N of a method only"),
    TN_WORD(0, "kernels", model.kernels, "SET", NULL, "kernel set (the best here)", .names = tn_names_of_kernels),
    TN_WORD(0, "chat-template", model.chat_template, "NAME", NULL, "template (the directory's)", .names = tn_names_of_templates),
    TN_OPTIONS_END
};

const char *tn_ask_find_model(tn_ask *ask)
{
    ask->directory = ask->directory == NULL ? tn_app_default_model(&ask->own) : tn_app_model_directory(ask->directory, &ask->own);
    return ask->directory != NULL ? NULL : "name a model directory with -m";
}

tenebra_code tn_ask_read_trained(tn_ask *ask, tenebra_error *error)
{
    TN_TRY(tn_app_read_adapters(&ask->adapters, &ask->pass_adapters, &ask->model, error));
    TN_TRY(tn_trained_read(&ask->trained, ask->directory, ask->model.adapters, ask->model.adapter_count, error));
    if (ask->request.positions == NULL)
        ask->request.positions = ask->trained.positions;
    return TENEBRA_OK;
}

bool tn_ask_has_sizes(const tn_ask *ask)
{
    const tenebra_image_rule *image = &ask->request.image;
    return image->width > 0 || image->min_tokens > 0 || image->max_tokens > 0;
}

void tn_ask_free(tn_ask *ask)
{
    tn_app_free_adapters(&ask->model);
    tn_trained_free(&ask->trained);
    free(ask->adapters.items);
    free(ask->pass_adapters.items);
}
