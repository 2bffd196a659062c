/* tenebra data vocab: trains a tokenizer on the texts of data sets. */
#include "app/data.h"

#include "base/file.h"
#include "text/bpe_train.h"
#include "text/chat.h"
#include "train/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The latent tokens follow those of the template. They are not special tokens, as in the published checkpoints. */
static const char *const latent_tokens[] = { "<|start-latent|>", "<|end-latent|>", "<|latent|>" };
enum { LATENT_TOKENS = 3, TOKENS_MAX = 64 };

typedef struct vocab_job {
    const char *output, *split;
    size_t size, least;
    bool json, force, lower;
    tn_option_list texts; /* counted with every sample */
    const tn_chat_template *style;
    const char *tokens[TOKENS_MAX + 1]; /* added ones, ends with NULL */
    size_t special;
    tn_bpe_trainer *trainer;
    size_t samples;
} vocab_job;

static bool is_token(const vocab_job *job, const char *text, size_t length, size_t *token_length)
{
    for (size_t i = 0; job->tokens[i] != NULL; i++) {
        *token_length = strlen(job->tokens[i]);
        if (*token_length <= length && memcmp(text, job->tokens[i], *token_length) == 0)
            return true;
    }
    return false;
}

/* Counts the texts between control tokens. */
static tenebra_code add_between_tokens(vocab_job *job, const char *text, size_t length, tenebra_error *error)
{
    size_t start = 0, token = 0;
    for (size_t at = 0; at < length;) {
        if (!is_token(job, text + at, length - at, &token)) {
            at++;
            continue;
        }
        if (at > start)
            TN_TRY(tn_bpe_trainer_add(job->trainer, text + start, at - start, error));
        at += token;
        start = at;
    }
    return start < length ? tn_bpe_trainer_add(job->trainer, text + start, length - start, error) : TENEBRA_OK;
}

static tenebra_code add_prompt(vocab_job *job, const tn_sample *sample, const tn_prompt_preset *preset,
                               tenebra_error *error)
{
    tn_prompt prompt;
    tn_chat_text rendered = { 0 };
    TN_TRY(tn_prompt_write(&prompt, preset, sample, error));
    tn_chat_part part = { .text = prompt.text, .length = prompt.length };
    tn_chat_message message = { .role = "user", .parts = &part, .part_count = 1 };
    tn_chat_options options = { .add_generation_prompt = true };
    tenebra_code code = tn_chat_render(job->style, &message, 1, &options, &rendered, error);
    if (code == TENEBRA_OK)
        code = add_between_tokens(job, rendered.text.data, rendered.text.length, error);
    tn_chat_text_free(&rendered);
    tn_prompt_free(&prompt);
    return code;
}

/* Counts the prompts of training and test (the first two presets), the steps, each with its line end, the answer, and the texts that
 * were given. */
static tenebra_code add_sample(vocab_job *job, const tn_sample *sample, tenebra_error *error)
{
    tn_steps steps;
    TN_TRY(add_prompt(job, sample, &tn_prompt_presets[0], error));
    TN_TRY(add_prompt(job, sample, &tn_prompt_presets[1], error));
    TN_TRY(tn_steps_split(&steps, sample->rationale, TN_STEPS_GROUPS, error));
    tenebra_code code = TENEBRA_OK;
    for (size_t i = 0; i < steps.count && code == TENEBRA_OK; i++) {
        size_t length = strlen(steps.items[i]);
        char *line = malloc(length + 1);
        if (line == NULL)
            code = tn_fail(error, TENEBRA_ERROR_MEMORY, sample->id, "no memory for a step");
        else {
            memcpy(line, steps.items[i], length);
            line[length] = '\n';
            code = tn_bpe_trainer_add(job->trainer, line, length + 1, error);
        }
        free(line);
    }
    tn_steps_free(&steps);
    char *answer = NULL;
    if (code == TENEBRA_OK)
        code = tn_prompt_answer(&tn_prompt_presets[0], sample, &answer, error);
    if (code == TENEBRA_OK)
        code = tn_bpe_trainer_add(job->trainer, answer, strlen(answer), error);
    free(answer);
    for (size_t i = 0; i < job->texts.count && code == TENEBRA_OK; i++)
        code = tn_bpe_trainer_add(job->trainer, job->texts.items[i], strlen(job->texts.items[i]), error);
    return code;
}

static tenebra_code add_set(vocab_job *job, const char *place, tenebra_error *error)
{
    const tn_data_options keep_all = { .without_images = true };
    tn_data *data;
    TN_TRY(tn_data_open(place, job->split, &keep_all, &data, error));
    tenebra_code code = TENEBRA_OK;
    for (size_t i = 0; i < tn_data_count(data) && code == TENEBRA_OK; i++)
        code = add_sample(job, tn_data_sample(data, i), error);
    job->samples += tn_data_count(data);
    tn_data_close(data);
    return code;
}

/* --------------------------------------------------------------- writing -- */

/* Writes `json` and releases it; NULL means that memory ran out when it was made. */
static tenebra_code write_json(json_t *value, const char *directory, const char *name, tenebra_error *error)
{
    tenebra_code code = tn_json_write_in(directory, name, value, JSON_INDENT(1), error);
    json_decref(value);
    return code;
}

/* What Hugging Face transformers requires besides tokenizer.json. */
static json_t *describe_config(const vocab_job *job)
{
    json_t *decoder = json_object(), *additional = json_array();
    size_t first = tn_bpe_trainer_size(job->trainer);
    for (size_t i = 0; job->tokens[i] != NULL; i++)
        first--;
    for (size_t i = 0; job->tokens[i] != NULL; i++) {
        char id[24];
        snprintf(id, sizeof id, "%zu", first + i);
        json_object_set_new(decoder, id, json_pack("{s:s, s:b, s:b, s:b, s:b, s:b}", "content", job->tokens[i],
                                                   "lstrip", 0, "normalized", 0, "rstrip", 0, "single_word", 0,
                                                   "special", i < job->special));
        if (i > 0 && i < job->special)
            json_array_append_new(additional, json_string(job->tokens[i]));
    }
    return json_pack("{s:o, s:o, s:s, s:b, s:s, s:s, s:s}", "added_tokens_decoder", decoder,
                     "additional_special_tokens", additional, "chat_template", job->style->published,
                     "clean_up_tokenization_spaces", 0, "eos_token", job->style->end_of_turn, "pad_token",
                     job->tokens[0], "tokenizer_class", "Qwen2Tokenizer");
}

static bool is_in(const char *directory, const char *name)
{
    tn_path path;
    return tn_path_print(&path, NULL, "%s/%s", directory, name) == TENEBRA_OK && tn_path_is_file(path.text);
}

/* A tokenizer is replaced only with --force, and that of a model never, because its weights depend on it. */
static tenebra_code check_output(const vocab_job *job, tenebra_error *error)
{
    static const char *const files[] = { "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt" };
    if (is_in(job->output, "config.json"))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, job->output, "holds a model, whose weights depend on its tokenizer; choose another "
                       "directory");
    for (size_t i = 0; i < sizeof files / sizeof *files && !job->force; i++)
        if (is_in(job->output, files[i]))
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, job->output, "holds %s; --force replaces a tokenizer", files[i]);
    return TENEBRA_OK;
}

static tenebra_code write_directory(const vocab_job *job, tenebra_error *error)
{
    TN_TRY(tn_files_make_directory(job->output, error));
    TN_TRY(write_json(tn_bpe_trainer_json(job->trainer), job->output, "tokenizer.json", error));
    return write_json(describe_config(job), job->output, "tokenizer_config.json", error);
}

/* ------------------------------------------------------------------ part -- */

/* The first template whose text and control tokens are known. */
static bool choose_style(vocab_job *job)
{
    for (const tn_chat_template *const *style = tn_chat_templates; *style != NULL && job->style == NULL; style++)
        if ((*style)->published != NULL && (*style)->tokens != NULL)
            job->style = *style;
    if (job->style == NULL)
        return false;
    size_t count = 0;
    for (; job->style->tokens[count] != NULL && count + LATENT_TOKENS < TOKENS_MAX; count++)
        job->tokens[count] = job->style->tokens[count];
    job->special = count;
    for (size_t i = 0; i < LATENT_TOKENS; i++)
        job->tokens[count + i] = latent_tokens[i];
    return true;
}

static tenebra_code train(vocab_job *job, char **places, tenebra_error *error)
{
    TN_TRY(tn_bpe_trainer_open(job->lower, &job->trainer, error));
    for (size_t i = 0; places[i] != NULL; i++)
        TN_TRY(add_set(job, places[i], error));
    TN_TRY(tn_bpe_trainer_run(job->trainer, job->size, job->least, job->tokens, job->special, error));
    return write_directory(job, error);
}

#define TN_RECORD vocab_job
static const tn_option option_table[] = {
    TN_TEXT('o', "output", output, "DIR", NULL, "directory for tokenizer.json and tokenizer_config.json"),
    TN_SIZE(0, "size", size, "N", "1024", 256, 1e6, "size of the vocabulary; less if the texts do not have enough words"),
    TN_SIZE(0, "least", least, "N", "2", 1, 1e9, "merge only pairs that occur at least N times"),
    TN_LIST(0, "text", texts, "TEXT", "count this text, too, once with every sample; may be repeated (e.g. words that a method adds)"),
    TN_SWITCH(0, "lowercase", lower, "convert text to lower case"),
    TN_TEXT(0, "split", split, "NAME", "train", "split of each data set"),
    TN_SWITCH('f', "force", force, "replace an existing tokenizer in DIR"),
    TN_SWITCH(0, "json", json, "print JSON to stdout"),
    TN_OPTIONS_END
};

static int make_vocabulary(vocab_job *job, char **places)
{
    tenebra_error error;
    if (places[0] == NULL)
        return tn_command_mistake(&tn_command_data_vocab, "requires at least one NAME:DIR");
    if (job->output == NULL)
        return tn_command_mistake(&tn_command_data_vocab, "-o DIR is missing");
    if (!choose_style(job))
        return tn_command_mistake(&tn_command_data_vocab, "no chat template with known control tokens");
    tenebra_code code = check_output(job, &error);
    if (code == TENEBRA_OK)
        code = train(job, places, &error);
    if (code != TENEBRA_OK)
        return tn_app_fail(&error);
    if (job->json)
        return tn_data_print(json_pack("{s:s, s:I, s:I}", "output", job->output, "tokens", (json_int_t)tn_bpe_trainer_size(job->trainer),
                                       "samples", (json_int_t)job->samples));
    tn_app_print("%s: %zu tokens from %zu samples\n", job->output, tn_bpe_trainer_size(job->trainer), job->samples);
    return TN_EXIT_OK;
}

static int run_command(int argc, char **argv)
{
    vocab_job job = { 0 };
    int exit_code, first = tn_options_parse(&tn_command_data_vocab, &job, argc, argv, &exit_code);
    if (first >= 0)
        exit_code = make_vocabulary(&job, argv + first);
    tn_bpe_trainer_close(job.trainer);
    free(job.texts.items);
    return exit_code;
}

const tn_command tn_command_data_vocab = {
    .name = "data vocab",
    .summary = "train a tokenizer on the texts of data sets",
    .arguments = "NAME:DIR ...",
    .about = "Trains a byte-level BPE vocabulary on the prompts, steps and answers of data sets, and writes a tokenizer directory\n"
             "with control tokens, latent tokens and the chat template.",
    .example = "  tenebra data vocab hops:/tmp/looks -o /tmp/looks-tokenizer --size 600",
    .groups = TN_GROUP_OF(option_table),
    .run = run_command,
};
