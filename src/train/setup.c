/* Opens what a run requires: data, model, trained parameters, and the directory of the run. */
#include "train/parts.h"

#include "base/checked.h"
#include "base/file.h"
#include "model/random.h"
#include "reason/modules.h"
#include "train/checkpoint.h"
#include "train/files.h"
#include "train/log.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---------------------------------------------------------------- lists -- */

/* The words of "a,b c" as a NULL-terminated list in one block, which the caller frees. */
static tenebra_code split_words(const char *text, const char ***words, size_t *count, tenebra_error *error)
{
    size_t length = strlen(text), most = length / 2 + 2;
    const char **list = *words = calloc(1, most * sizeof *list + length + 1);
    *count = 0;
    if (list == NULL)
        return tn_fail_memory(error, "configuration");
    char *copy = (char *)(list + most);
    memcpy(copy, text, length + 1);
    for (char *at = copy; *at != '\0';) {
        at += strspn(at, ", ");
        if (*at == '\0')
            break;
        list[(*count)++] = at;
        at += strcspn(at, ", ");
        if (*at != '\0')
            *at++ = '\0';
    }
    return TENEBRA_OK;
}

/* ---------------------------------------------------------------- model -- */

static tenebra_code write_random(const tn_trainer *trainer, const char *directory, tenebra_error *error)
{
    const tn_train_config *config = trainer->config;
    tn_random_options random = { .shape = config->shape, .tokenizer = config->tokenizer, .seed = config->seed, .type = TN_F32 };
    return tn_random_model_write(directory, &random, error);
}

static tenebra_code make_initial(const tn_trainer *trainer, const char *path, tenebra_error *error)
{
    tn_path partial;
    TN_TRY(tn_path_print(&partial, error, "%s.partial", path));
    TN_TRY(tn_files_remove_directory(partial.text, error));
    TN_TRY(write_random(trainer, partial.text, error));
    return tn_files_swap_directory(partial.text, path, tn_export_is_own, error);
}

/* A plan writes nothing that lasts: its random model is removed when the trainer is closed. */
static tenebra_code make_passing(const tn_trainer *trainer, tn_path *path, tenebra_error *error)
{
    const char *place = getenv("TMPDIR");
    TN_TRY(tn_path_print(path, error, "%s/tenebra-plan-XXXXXX", place != NULL && place[0] != '\0' ? place : "/tmp"));
    if (mkdtemp(path->text) == NULL)
        return tn_fail(error, TENEBRA_ERROR_IO, path->text, "cannot be made for the plan's random model");
    tenebra_code code = write_random(trainer, path->text, error);
    if (code != TENEBRA_OK)
        rmdir(path->text);
    return code;
}

/* The directory from which the model is read: the given one, or that of the random model of this run. */
static tenebra_code find_model(const tn_trainer *trainer, tn_path *path, tenebra_error *error)
{
    const tn_train_config *config = trainer->config;
    if (config->shape == NULL)
        return tn_path_print(path, error, "%s", config->model);
    if (trainer->options.plan_only)
        return make_passing(trainer, path, error);
    TN_TRY(tn_path_print(path, error, "%s/initial", config->output));
    if (trainer->saved != NULL && tn_path_is_directory(path->text))
        return TENEBRA_OK;
    return make_initial(trainer, path->text, error);
}

static tenebra_code add_adapter(tn_trainer *trainer, tenebra_error *error)
{
    const tn_train_config *config = trainer->config;
    size_t count;
    const char **targets;
    TN_TRY(split_words(config->lora_target, &targets, &count, error));
    bool all = count == 1 && (strcmp(targets[0], "all") == 0 || strcmp(targets[0], "all-linear") == 0);
    tn_lora_options options = {
        .rank = config->lora_rank, .alpha = config->lora_alpha, .dropout = config->lora_dropout, .rslora = config->lora_rslora,
        .targets = { all ? NULL : targets, all ? 0 : count, all ? "all-linear" : NULL },
        /* No gradient goes through the choice of codes. */
        .without_vision = config->freeze_vision || trainer->model->config.vision.code_count > 0,
    };
    tn_rng rng = tn_rng_seed(tn_seed_mix(config->seed, 0x6c6f7261, 0));
    tenebra_code code = tn_adapter_make(trainer->model, &options, &rng, &trainer->adapter, error);
    free(targets);
    TN_TRY(code);
    if (trainer->adapter->note[0] != '\0')
        tn_trainer_note(trainer, TN_TRAIN_NOTE, trainer->adapter->note);
    tn_adapter_attach(trainer->adapter);
    TN_TRY(tn_parameters_add_adapter(trainer->parameters, trainer->adapter, error));
    if (config->freeze_vision_given && !config->freeze_vision &&
        !tn_network_is_trained(tn_networks_find(&trainer->model->networks, TN_NETWORK_IMAGES), TN_ANY, 0))
        tn_trainer_note(trainer, TN_TRAIN_NOTE, "freeze_vision_tower has no effect: lora_target names no module of the image encoder "
                                                "that an adapter can be trained in");
    tn_parameters_filter module = { .module_only = true, .compute = config->bf16 ? TN_BF16 : TN_F32 };
    return trainer->model->module_method == NULL ? TENEBRA_OK
                                                 : tn_parameters_add_weights(trainer->parameters, trainer->model, &module, error);
}

static tenebra_code start_afresh(tn_trainer *trainer, tenebra_error *error)
{
    const tn_train_config *config = trainer->config;
    size_t count;
    const char **globs;
    TN_TRY(split_words(config->fresh, &globs, &count, error));
    tenebra_code code =
        tn_initial_values(trainer->parameters, globs, config->init_std, config->seed, error);
    free(globs);
    return code;
}

static tenebra_code add_weights(tn_trainer *trainer, tenebra_error *error)
{
    const tn_train_config *config = trainer->config;
    size_t count = 0;
    const char **include = NULL;
    if (config->trainable != NULL)
        TN_TRY(split_words(config->trainable, &include, &count, error));
    if (config->freeze_vision_given && !config->freeze_vision && trainer->model->config.vision.code_count > 0)
        tn_trainer_note(trainer, TN_TRAIN_NOTE, "freeze_vision_tower has no effect: in models whose images are tokens, the image encoder "
                                                "is never trained");
    tn_parameters_filter filter = { .without_vision = config->freeze_vision, .without_embeddings = config->freeze_head,
                                    .include = count > 0 ? include : NULL, .compute = config->bf16 ? TN_BF16 : TN_F32 };
    tenebra_code code = tn_parameters_add_weights(trainer->parameters, trainer->model, &filter, error);
    free(include);
    /* If the deviation is 0, the model made from the shape already has the right values, also in frozen weights. */
    if (code == TENEBRA_OK && config->shape != NULL && config->init_std > 0)
        code = tn_initial_values(trainer->parameters, NULL, config->init_std, config->seed, error);
    if (code == TENEBRA_OK && config->fresh != NULL)
        code = start_afresh(trainer, error);
    return code;
}

static tenebra_code open_optimizer(tn_trainer *trainer, tenebra_error *error)
{
    const tn_train_config *config = trainer->config;
    const tn_parameters *parameters = trainer->parameters;
    tn_adamw settings = { config->beta1, config->beta2, config->eps, config->weight_decay };
    tn_optimized *items = calloc(parameters->count + 1, sizeof *items);
    if (items == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "optimizer", "no memory for a list");
    for (size_t i = 0; i < parameters->count; i++) {
        const tn_parameter *parameter = &parameters->items[i];
        items[i] = (tn_optimized){ parameter->values, parameter->grad, parameter->rounded, parameter->count, parameter->decay };
    }
    tenebra_code code = tn_optimizer_open(&trainer->optimizer, items, parameters->count, &settings,
                                          tn_training_pool(trainer->training), error);
    free(items);
    return code;
}

static tenebra_code open_training(tn_trainer *trainer, tenebra_error *error)
{
    const tn_train_config *config = trainer->config;
    tn_training_options options = {
        .method = config->method, .settings = config->settings, .setting_count = config->setting_count,
        .positions = config->positions, .threads = trainer->threads, .through_hidden = config->full_latent_grad,
        .through_picks = config->full_picks_grad, .checkpoint = config->checkpointing,
        .seed = config->seed, .image = config->image, .ignore_orientation = true,
    };
    return tn_training_open(trainer->model, &options, &trainer->training, error);
}

static tenebra_code open_module(tn_trainer *trainer, tenebra_error *error)
{
    const tn_train_config *config = trainer->config;
    const tn_method *method = config->method != NULL ? tn_method_find(config->method) : NULL;
    uint64_t seed = tn_seed_mix(config->seed, 0x6d6f64756c65, 0);
    return method == NULL ? TENEBRA_OK
                          : tn_modules_train(trainer->model, method, config->settings, config->setting_count, seed, error);
}

/* A note if the wording is the authors' for the other kind of backbones. */
static void note_wording(tn_trainer *trainer, const char *key, const tn_prompt_preset *wording)
{
    char text[256];
    bool fused = trainer->model->config.vision.code_count > 0;
    if (wording == NULL || wording->counterpart == NULL || wording->fused == fused)
        return;
    snprintf(text, sizeof text, "%s: the authors use %s with models whose images are %s; with this model they would use %s", key,
             wording->name, fused ? "embeddings" : "tokens", wording->counterpart);
    tn_trainer_note(trainer, TN_TRAIN_NOTE, text);
}

/* Whether the files contain a tied head as a second name of the embedding, which would be written as it was before the training. */
static tenebra_code check_head(void *user, const tn_place *place, tenebra_error *error)
{
    const tn_model *model = user;
    const tn_networks *networks = &model->networks;
    if (place->row->role != TN_ROLE_HEAD || !networks->tied || tn_place_stored(networks, place, model->store, NULL) == NULL)
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, model->weights, "has the embedding also as its head; 'tenebra convert' writes a model "
                   "directory that can be trained");
}

/* A result is written under the names of the tensors in the files, which must therefore be those of a model directory. */
static tenebra_code check_names(const tn_model *model, tenebra_error *error)
{
    if (model->inner != NULL || model->networks.wrapping.front[0] != '\0')
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, model->weights, "is a checkpoint of another training program; 'tenebra convert' "
                       "writes a model directory that can be trained");
    return tn_networks_each(&model->networks, check_head, (void *)(uintptr_t)model, error);
}

tenebra_code tn_trainer_open_model(tn_trainer *trainer, tenebra_error *error)
{
    tn_path path;
    tn_model_options options = { .kernels = trainer->options.kernels };
    TN_TRY(find_model(trainer, &path, error));
    TN_TRY(tn_model_open(path.text, &options, &trainer->model, error));
    TN_TRY(check_names(trainer->model, error));
    if (trainer->model->note[0] != '\0')
        tn_trainer_note(trainer, TN_TRAIN_NOTE, trainer->model->note);
    if (trainer->model->tokenizer == NULL)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, trainer->model->directory, "has no tokenizer; for a model from a shape name "
                       "one with tokenizer: DIRECTORY");
    note_wording(trainer, "prompt", tn_prompt_find(trainer->config->prompt));
    if (trainer->config->validate && trainer->config->validation_prompt != NULL)
        note_wording(trainer, "val_prompt", tn_prompt_find(trainer->config->validation_prompt));
    TN_TRY(open_module(trainer, error));
    TN_TRY(tn_parameters_open(&trainer->parameters, error));
    TN_TRY(trainer->config->tuning == TN_TUNE_LORA ? add_adapter(trainer, error) : add_weights(trainer, error));
    TN_TRY(open_training(trainer, error));
    return open_optimizer(trainer, error);
}

/* ------------------------------------------------------------ everything -- */

static tenebra_code check_keys(tn_trainer *trainer, tenebra_error *error)
{
    const tn_train_config *config = trainer->config;
    if (config->output == NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "output", "is missing: the directory of the run");
    if (config->data == NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "data", "is missing: the training set as NAME:DIRECTORY");
    if (config->model == NULL && config->shape == NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "model", "is missing: a model directory, or a shape to start from");
    if (config->model != NULL && config->shape != NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "model", "and shape exclude each other");
    if (config->shape != NULL && config->tuning == TN_TUNE_LORA)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "finetuning_type", "an adapter on random weights learns nothing; use full");
    TN_TRY(tn_prompt_choose(config->prompt, &trainer->prompt, error));
    trainer->validation_prompt = trainer->prompt;
    return config->validation_prompt != NULL ? tn_prompt_choose(config->validation_prompt, &trainer->validation_prompt, error)
                                             : TENEBRA_OK;
}

/* FNV-1a over the texts and the regions of all samples, which distinguishes data sets of the same size. */
static void mark_data(tn_trainer *trainer)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < tn_data_count(trainer->data); i++) {
        const tn_sample *sample = tn_data_sample(trainer->data, i);
        const char *const texts[] = { sample->id, sample->question, sample->rationale, sample->label };
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            for (const char *at = texts[k];; at++) {
                hash = (hash ^ (unsigned char)*at) * 0x100000001b3u;
                if (*at == '\0')
                    break;
            }
        for (size_t k = 0; k < sample->region_count; k++) {
            const tn_sample_region *region = &sample->regions[k];
            const double numbers[] = { region->box[0], region->box[1], region->box[2], region->box[3], (double)region->after };
            for (const unsigned char *at = (const unsigned char *)numbers; at < (const unsigned char *)(numbers + 5); at++)
                hash = (hash ^ *at) * 0x100000001b3u;
        }
    }
    snprintf(trainer->data_mark, sizeof trainer->data_mark, "%016llx", (unsigned long long)hash);
}

/* Sends the notes of a data set as events, each once. */
static void note_data(const tn_trainer *trainer, const tn_data *data)
{
    char note[TN_DATA_NOTE];
    if (tn_data_note(data, note)[0] != '\0')
        tn_trainer_note(trainer, TN_TRAIN_NOTE, note);
}

/* Notes topics of the recipe that no training sample has: probably misspelt. */
static void note_topics(const tn_trainer *trainer, const char *topics)
{
    for (const char *at = topics, *next; at != NULL; at = next) {
        size_t length = strcspn(at, ","), count = 0;
        next = at[length] == ',' ? at + length + 1 : NULL;
        for (size_t i = 0; i < tn_data_count(trainer->data); i++) {
            const char *topic = tn_data_sample(trainer->data, i)->topic;
            count += strlen(topic) == length && memcmp(topic, at, length) == 0;
        }
        char note[160];
        snprintf(note, sizeof note, "topics: no training sample has the topic '%.*s'", (int)tn_min(length, 80), at);
        if (count == 0)
            tn_trainer_note(trainer, TN_TRAIN_NOTE, note);
    }
}

/* Notes that a method has nothing to look at. */
static void note_regions(const tn_trainer *trainer)
{
    const tn_method *method = trainer->config->method != NULL ? tn_method_find(trainer->config->method) : NULL;
    size_t count = 0;
    for (size_t i = 0; i < tn_data_count(trainer->data); i++)
        count += tn_data_sample(trainer->data, i)->region_count;
    if (method != NULL && method->uses_regions && count == 0)
        tn_trainer_note(trainer, TN_TRAIN_NOTE, "no training sample says which region its solution looks at (\"regions\" in docs/data.md), "
                        "so the model learns to answer without looking again");
}

static tenebra_code check_topics(const tn_train_config *config, const tn_data *data, const char *what, tenebra_error *error)
{
    if (config->topics == NULL || tn_data_count(data) > 0)
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "topics", "no sample of the %s set has one of the topics '%.200s'; 'tenebra data show' "
                   "tells topics", what, config->topics);
}

/* Opens the validation set: the held-out part of the training split, or another split. */
static tenebra_code open_validation(tn_trainer *trainer, tenebra_error *error)
{
    const tn_train_config *config = trainer->config;
    bool held = config->validation_fraction > 0;
    const char *place = config->validation != NULL ? config->validation : config->data;
    const char *split = config->validation_split != NULL ? config->validation_split : "dev";
    tn_data_options options = { .limit = config->validation_limit, .topics = config->topics };
    tenebra_error problem = { 0 };
    if (held && (config->validation != NULL || config->validation_split != NULL))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "val_fraction", "holds out a part of the training split, but %s: leave one of "
                       "them out", config->validation != NULL ? "val_data names another set" : "val_split names another split");
    if (held) {
        options.part = TN_PART_HELD;
        options.held_out = config->validation_fraction;
    }
    if (tn_data_open(place, held ? config->train_split : split, &options, &trainer->validation, &problem) != TENEBRA_OK)
        return tn_fail(error, problem.code, problem.where, "%.400s (the validation set; validate: false switches validation off)",
                       problem.sentence);
    if (!held && strcmp(split, "test") == 0)
        tn_trainer_note(trainer, TN_TRAIN_NOTE,
                "val_split is the test split: the best models are selected on it, so their accuracy on it is not a test any more");
    if (config->validation != NULL)
        note_data(trainer, trainer->validation);
    TN_TRY(check_topics(config, trainer->validation, "validation", error));
    return tn_data_count(trainer->validation) > 0
               ? TENEBRA_OK
               : tn_fail(error, TENEBRA_ERROR_ARGUMENT, place, "has no sample to validate on; raise val_fraction, name another val_split, "
                                                               "or switch validation off (validate: false)");
}

/* Gradients that flow because the method says so. */
static void note_gradients(const tn_trainer *trainer)
{
    const tn_train_config *config = trainer->config;
    char note[160];
    bool hidden = config->full_latent_grad, picks = config->full_picks_grad;
    if (!config->exact_by_method)
        return;
    snprintf(note, sizeof note, "gradients flow through %s%s%s, as the method is defined; %s%s%s: false cuts them",
             hidden ? "latent vectors" : "", hidden && picks ? " and " : "", picks ? "picks" : "", hidden ? "latent_grad_full" : "",
             hidden && picks ? ", " : "", picks ? "picks_grad_full" : "");
    tn_trainer_note(trainer, TN_TRAIN_NOTE, note);
}

static tenebra_code open_data(tn_trainer *trainer, tenebra_error *error)
{
    const tn_train_config *config = trainer->config;
    tn_data_options options = { .limit = config->train_limit, .topics = config->topics };
    if (config->validation_fraction > 0) {
        options.part = TN_PART_KEPT;
        options.held_out = config->validation_fraction;
    }
    TN_TRY(tn_data_open(config->data, config->train_split, &options, &trainer->data, error));
    TN_TRY(check_topics(config, trainer->data, "training", error));
    note_topics(trainer, config->topics);
    note_gradients(trainer);
    note_regions(trainer);
    note_data(trainer, trainer->data);
    mark_data(trainer);
    TN_TRY(tn_run_plan_make(&trainer->plan, config, tn_data_count(trainer->data), error));
    return config->validate ? open_validation(trainer, error) : TENEBRA_OK;
}

static tenebra_code open_lists(tn_trainer *trainer, tenebra_error *error)
{
    size_t samples = trainer->plan.samples;
    trainer->order = calloc(samples, sizeof *trainer->order);
    trainer->examples = calloc(trainer->plan.update_samples, sizeof *trainer->examples);
    trainer->batch = calloc(trainer->plan.update_samples, sizeof *trainer->batch);
    if (trainer->config->group_by_length)
        trainer->lengths = calloc(samples, sizeof *trainer->lengths);
    if (trainer->order == NULL || trainer->examples == NULL || trainer->batch == NULL ||
        (trainer->config->group_by_length && trainer->lengths == NULL))
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "data", "no memory for the order of %zu samples", samples);
    for (size_t i = 0; trainer->lengths != NULL && i < samples; i++) {
        const tn_sample *sample = tn_data_sample(trainer->data, i);
        trainer->lengths[i] = strlen(sample->question) + strlen(sample->rationale);
        for (size_t k = 0; k < sample->option_count; k++)
            trainer->lengths[i] += strlen(sample->options[k]);
    }
    return TENEBRA_OK;
}

static tenebra_code open_log(tn_trainer *trainer, tenebra_error *error)
{
    if (trainer->options.plan_only)
        return TENEBRA_OK;
    if (trainer->options.overwrite)
        TN_TRY(tn_trainer_clear_old(trainer, error));
    const char *path = trainer->log_path.text;
    TN_TRY(tn_path_print(&trainer->log_path, error, "%s/log.jsonl", trainer->config->output));
    if (trainer->saved == NULL && unlink(path) != 0 && tn_path_is_file(path))
        return tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be removed");
    return tn_log_open(path, trainer->update, trainer->validated, &trainer->log, error);
}

static tenebra_code open_all(tn_trainer *trainer, tenebra_error *error)
{
    TN_TRY(check_keys(trainer, error));
    for (size_t i = 0; i < trainer->config->note_count; i++) {
        char note[256];
        snprintf(note, sizeof note, "%s has no effect: %s", trainer->config->notes[i].key, trainer->config->notes[i].text);
        tn_trainer_note(trainer, TN_TRAIN_NOTE, note);
    }
    TN_TRY(open_data(trainer, error));
    TN_TRY(open_lists(trainer, error));
    TN_TRY(tn_trainer_look_back(trainer, error));
    TN_TRY(tn_trainer_open_model(trainer, error));
    if (!trainer->options.plan_only)
        TN_TRY(tn_trainer_mark_base(trainer, error));
    if (trainer->saved != NULL) {
        TN_TRY(tn_trainer_read_state(trainer, trainer->saved, trainer->saved_path, error));
        TN_TRY(tn_checkpoint_read(trainer->saved_path, trainer->parameters, &trainer->optimizer, trainer->optimizer.step, error));
    }
    return open_log(trainer, error);
}

tenebra_code tn_trainer_open(const tn_train_config *config, const tn_trainer_options *options, tn_trainer **opened, tenebra_error *error)
{
    tenebra_error local;
    error = error != NULL ? error : &local;
    tn_trainer *trainer = calloc(1, sizeof *trainer);
    *opened = NULL;
    if (trainer == NULL)
        return tn_fail_memory(error, "train");
    trainer->config = config;
    trainer->options = *options;
    trainer->threads = config->threads > 0 ? config->threads : tn_cpu_count();
    trainer->order_epoch = SIZE_MAX;
    trainer->log = trainer->lock = -1;
    for (size_t i = 0; i < TN_BEST_STAGES; i++)
        trainer->best[i] = -1;
    tenebra_code code = open_all(trainer, error);
    if (code == TENEBRA_OK)
        *opened = trainer;
    else
        tn_trainer_close(trainer);
    return code;
}

void tn_trainer_close(tn_trainer *trainer)
{
    if (trainer == NULL)
        return;
    tenebra_error ignored;
    for (size_t i = 0; trainer->examples != NULL && i < trainer->plan.update_samples; i++)
        tn_train_example_free(&trainer->examples[i]);
    tn_optimizer_close(&trainer->optimizer);
    tn_training_close(trainer->training);
    tn_parameters_close(trainer->parameters);
    tn_adapter_close(trainer->adapter);
    if (trainer->options.plan_only && trainer->config->shape != NULL && trainer->model != NULL)
        tn_files_remove_directory(trainer->model->directory, &ignored);
    tn_model_close(trainer->model);
    tn_data_close(trainer->validation);
    tn_data_close(trainer->data);
    if (trainer->log >= 0)
        close(trainer->log);
    tn_trainer_unlock(trainer, trainer->log >= 0);
    json_decref(trainer->saved);
    free(trainer->saved_path);
    free(trainer->order);
    free(trainer->lengths);
    free(trainer->examples);
    free(trainer->batch);
    free(trainer);
}
