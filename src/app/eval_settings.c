/* Options of the parts of `tenebra eval` that ask: the command line, the environment, a task file. */
#include "app/eval.h"
#include "app/seen.h"

#include "base/number.h"
#include "train/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t fill_table(tn_eval_settings *s, tn_option *table)
{
    tn_eval_plan *plan = &s->plan;
    const tn_option fixed[] = {
        { 'm', "model", TN_OPTION_TEXT, &plan->model, "DIR", "model directory", 0, 0, NULL },
        { 'd', "data", TN_OPTION_TEXT, &plan->data, "NAME:DIR", "data set (tenebra data list)", 0, 0, NULL },
        { 0, "method", TN_OPTION_TEXT, &s->methods, "A,B,...",
          "ways to answer, each METHOD[:OPTION=VALUE]... (as trained, if the model tells)", 0, 0, NULL },
        { 'o', "output", TN_OPTION_TEXT, &s->run.output, "FILE", "result file (eval-SET-SPLIT.jsonl)", 0, 0, NULL },
        { 0, "split", TN_OPTION_TEXT, &plan->split, "NAME", "split of the set (test)", 0, 0, NULL },
        { 0, "held-out", TN_OPTION_NUMBER, &plan->held_out, "F", "only the share that val_fraction F holds out", 0.001, 0.9, NULL },
        { 0, "limit", TN_OPTION_SIZE, &plan->limit, "N", "only the first N questions", 1, 1e9, NULL },
        { 0, "ids", TN_OPTION_TEXT, &plan->ids, "A,B,...", "only these questions", 0, 0, NULL },
        { 0, "without-images", TN_OPTION_FLAG, &plan->without_images, "", "also questions without a picture", 0, 0, NULL },
        { 0, "preset", TN_OPTION_WORDING, &plan->preset, "NAME", "wording (as trained, if the model tells; else the set's)", 0, 0, NULL },
        { 0, "example", TN_OPTION_TEXT, &plan->example, "FILE", "JSON: a solved question, for methods that show one", 0, 0, NULL },
        { 0, "answer-turn", TN_OPTION_FLAG, &plan->answer_turn, "", "then ask for one of the options, in a turn of its own", 0, 0, NULL },
        { 0, "positions", TN_OPTION_TEXT, &plan->positions, "sequential|mrope",
          "positions (as trained, or as each method defines)", 0, 0, NULL },
        { 0, "set", TN_OPTION_LIST, &s->set, "METHOD.OPTION=VALUE", "an option of one method; repeatable", 0, 0, NULL },
        { 'n', "predict", TN_OPTION_SIZE, &plan->max_tokens, "N", "most tokens to generate (512)", 1, 1e7, NULL },
        { 'c', "ctx-size", TN_OPTION_SIZE, &plan->context, "N", "rows of context (8192 or the model's limit)", 0, 1e8, NULL },
        { 'w', "workers", TN_OPTION_SIZE, &s->run.workers, "N", "processes that share the questions (1)", 1, 256, NULL },
        { 't', "threads", TN_OPTION_SIZE, &s->run.threads, "N", "threads of all of them together (all processors)", 0, 1024, NULL },
        { 0, "temp", TN_OPTION_NUMBER, &plan->sampling.temperature, "T", "temperature, 0: greedy (0)", 0, 100, NULL },
        { 0, "top-k", TN_OPTION_SIZE, &plan->sampling.top_k, "K", "sample among the K likeliest (all)", 0, 1e9, NULL },
        { 0, "top-p", TN_OPTION_NUMBER, &plan->sampling.top_p, "P", "sample among the likeliest of total P (1)", 0, 1, NULL },
        { 's', "seed", TN_OPTION_SEED, &plan->sampling.seed, "N", "seed of sampling and interventions (0)", 0, 0, NULL },
        { 0, "image-size", TN_OPTION_PIXELS, &s->image_size, "WxH", "resize every image to this", 0, 0, NULL },
        { 0, "image-min-tokens", TN_OPTION_SIZE, &plan->image.min_tokens, "N", "fewest embeddings an image", 0, 1e6, NULL },
        { 0, "image-max-tokens", TN_OPTION_SIZE, &plan->image.max_tokens, "N", "most embeddings an image", 0, 1e6, NULL },
        { 0, "lens", TN_OPTION_SIZE, &plan->lens, "N", "tokens to read from each latent (0)", 0, 32, NULL },
        { 0, "scores", TN_OPTION_FLAG, &plan->scores, "", "record the attention to the whole picture, for the report", 0, 0, NULL },
        { 0, "cache-type", TN_OPTION_TEXT, &plan->cache_type, "f32|bf16", "number type of keys and values (f32)", 0, 0, NULL },
        { 0, "lora", TN_OPTION_LIST, &s->adapters, "DIR[=X]", "PEFT adapter, X times as strong; repeatable", 0, 0, NULL },
        { 0, "lora-pass", TN_OPTION_LIST, &s->pass_adapters, "N:DIR[=X]", "adapter in pass N of a method only", 0, 0, NULL },
        { 0, "kernels", TN_OPTION_KERNELS, &plan->model_options.kernels, "SET", "kernel set (the best here)", 0, 0, NULL },
        { 0, "chat-template", TN_OPTION_TEMPLATE, &plan->model_options.chat_template, "NAME", "template (the directory's)", 0, 0, NULL },
        { 0, "force-new", TN_OPTION_FLAG, &s->run.anew, "", "begin anew; an older file gets another name", 0, 0, NULL },
        { 0, "retry", TN_OPTION_FLAG, &s->run.retry, "", "ask questions again that failed before", 0, 0, NULL },
        { 0, "json", TN_OPTION_FLAG, &s->json, "", "what came out as JSON on stdout", 0, 0, NULL },
    };
    static const size_t count = sizeof fixed / sizeof *fixed;
    memcpy(table, fixed, sizeof fixed);
    if (s->probes)
        table[count] = (tn_option){ 0, "scorer", TN_OPTION_TEXT, &s->scorer, "NAME", "who judges the answers (tenebra eval score --list)",
                                    0, 0, NULL };
    tn_method_table_rows(&s->table, table + count + s->probes);
    return count + s->probes + s->table.count;
}

static int parse(tn_eval_settings *s, const tn_usage *usage, int argc, char **argv, int *exit_code)
{
    tn_option table[TN_EVAL_FIXED_MAX + TN_METHOD_OPTIONS_MAX + 1] = { 0 };
    fill_table(s, table);
    return tn_options_parse(usage, table, argc, argv, exit_code);
}

/* ------------------------------------------------------------ task file -- */

static bool add_word(tn_eval_settings *s, const char *front, const char *text)
{
    char **grown = realloc(s->words, (s->word_count + 2) * sizeof *grown);
    char *word = grown != NULL ? malloc(strlen(front) + strlen(text) + 1) : NULL;
    if (grown != NULL)
        s->words = grown;
    if (word == NULL)
        return false;
    strcpy(word, front);
    strcat(word, text);
    s->words[s->word_count++] = word;
    s->words[s->word_count] = NULL;
    return true;
}

static tenebra_code no_memory(const char *path, tenebra_error *error)
{
    return tn_fail(error, TENEBRA_ERROR_MEMORY, path, "no memory for the task");
}

/* Joins the three words of "METHOD.OPTION=VALUE" to one. */
static bool join_set(tn_eval_settings *s)
{
    size_t at = s->word_count - 3;
    char *word = malloc(strlen(s->words[at]) + strlen(s->words[at + 2]) + 2);
    if (word == NULL)
        return false;
    sprintf(word, "%s=%s", s->words[at], s->words[at + 2]);
    for (size_t i = at; i < s->word_count; i++)
        free(s->words[i]);
    s->words[at] = word;
    s->words[at + 1] = NULL;
    s->word_count = at + 1;
    return true;
}

/* A key of a task file is the long name of an option; "METHOD.OPTION" stands for --set. A switch that is off adds no word. */
static tenebra_code add_key(tn_eval_settings *s, const tn_yaml_entry *entry, const char *path, tenebra_error *error)
{
    const char *value = entry->value;
    bool on = true, fits;
    if (strchr(entry->key, '.') != NULL) {
        fits = add_word(s, "--set=", entry->key) && add_word(s, "", "=") && add_word(s, "", value) && join_set(s);
        return fits ? TENEBRA_OK : no_memory(path, error);
    }
    char *name = strdup(entry->key);
    if (name == NULL)
        return no_memory(path, error);
    for (char *c = name; *c != '\0'; c++)
        *c = *c == '_' ? '-' : *c;
    tn_option table[TN_EVAL_FIXED_MAX + TN_METHOD_OPTIONS_MAX + 1] = { 0 };
    fill_table(s, table);
    const tn_option *row = table;
    while (row->name != NULL && strcmp(row->name, name) != 0)
        row++;
    bool is_switch = row->name != NULL && row->kind == TN_OPTION_FLAG;
    tenebra_code code = TENEBRA_OK;
    if (is_switch && !tn_switch_read(value, &on))
        code = tn_fail(error, TENEBRA_ERROR_ARGUMENT, path, "line %zu: \"%s\" is a switch: true or false, not '%s'", entry->line,
                       entry->key, value);
    else if (on)
        code = add_word(s, "--", name) && (is_switch || add_word(s, "", value)) ? TENEBRA_OK : no_memory(path, error);
    free(name);
    return code;
}

/* argv[0], the task's options, then those of the command line, which win. */
static tenebra_code read_task(tn_eval_settings *s, const char *path, int argc, char **argv, tenebra_error *error)
{
    tn_yaml yaml;
    if (access(path, F_OK) != 0)
        return tn_fail(error, TENEBRA_ERROR_IO, path, "there is no such task file; a data set is named with --data NAME:DIR");
    TN_TRY(tn_yaml_read(&yaml, path, error));
    tenebra_code code = add_word(s, "", argv[0]) ? TENEBRA_OK : no_memory(path, error);
    for (size_t i = 0; i < yaml.count && code == TENEBRA_OK; i++)
        if (!yaml.entries[i].null) /* null leaves the option open */
            code = add_key(s, &yaml.entries[i], path, error);
    tn_yaml_free(&yaml);
    for (int i = 1; i < argc && code == TENEBRA_OK; i++)
        code = add_word(s, "", argv[i]) ? TENEBRA_OK : no_memory(path, error);
    return code;
}

/* ------------------------------------------------------------- defaults -- */

static void choose_pictures(tn_eval_settings *s)
{
    tn_eval_plan *plan = &s->plan;
    if (plan->image.width > 0 || plan->image.min_tokens > 0 || plan->image.max_tokens > 0)
        return;
    plan->image = s->trained.image;
    tn_app_tell_plan_size(&s->trained, plan);
}

/* What the command line and the task leave open is as the weights were trained. */
static tenebra_code choose_as_trained(tn_eval_settings *s, tenebra_error *error)
{
    const tenebra_model_options *model = &s->plan.model_options;
    TN_TRY(tn_trained_read(&s->trained, s->plan.model, model->adapters, model->adapter_count, error));
    if (s->plan.preset == NULL)
        s->plan.preset = s->trained.preset;
    if (s->plan.positions == NULL)
        s->plan.positions = s->trained.positions;
    if (s->methods == NULL)
        s->methods = s->trained.method;
    choose_pictures(s);
    return TENEBRA_OK;
}

/* "eval-SET-SPLIT.jsonl" here. */
static bool choose_output(tn_eval_settings *s)
{
    const char *split = s->plan.split ? s->plan.split : "test";
    size_t set = strcspn(s->plan.data, ":");
    s->output = malloc(set + strlen(split) + 16);
    if (s->output == NULL)
        return false;
    sprintf(s->output, "eval-%.*s-%s.jsonl", (int)set, s->plan.data, split);
    s->run.output = s->output;
    return true;
}

static tenebra_code add_methods(tn_eval_settings *s, tenebra_error *error)
{
    char *list = strdup(s->methods);
    if (list == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "method", "no memory");
    tenebra_code code = TENEBRA_OK;
    for (char *at = list, *next; at != NULL && code == TENEBRA_OK; at = next) {
        next = strchr(at, ',');
        if (next != NULL)
            *next++ = '\0';
        code = tn_eval_plan_add(&s->plan, at, error);
    }
    free(list);
    return code;
}

/* --set METHOD.OPTION=VALUE, then options of methods by their own names. */
static tenebra_code set_options(tn_eval_settings *s, tenebra_error *error)
{
    for (size_t i = 0; i < s->set.count; i++) {
        char *text = strdup(s->set.items[i]), *dot = text ? strchr(text, '.') : NULL, *equals = dot ? strchr(dot, '=') : NULL;
        tenebra_code code;
        if (equals == NULL) {
            code = text == NULL ? tn_fail(error, TENEBRA_ERROR_MEMORY, "set", "no memory")
                                : tn_fail(error, TENEBRA_ERROR_ARGUMENT, "set", "'%s' is not of the form METHOD.OPTION=VALUE", text);
        } else {
            *dot = *equals = '\0';
            code = tn_eval_plan_set(&s->plan, text, dot + 1, equals + 1, error);
        }
        free(text);
        TN_TRY(code);
    }
    for (size_t i = 0; i < s->table.count; i++) {
        const char *name = s->table.options[i]->name;
        bool fits = s->table.given[i];
        for (size_t e = 0; e < s->plan.entry_count && !fits && s->table.values[i] != NULL; e++)
            fits = tn_method_has_option(s->plan.entries[e].method, name); /* of the environment: where it fits */
        if (fits)
            TN_TRY(tn_eval_plan_set(&s->plan, NULL, name, s->table.values[i], error));
    }
    for (size_t e = 0; e < s->plan.entry_count; e++)
        for (size_t i = 0; i < s->table.count; i++) {
            const char *method = s->plan.entries[e].method, *name = s->table.options[i]->name;
            const char *value = tn_trained_setting(&s->trained, method, name);
            if (value != NULL && tn_method_has_option(method, name))
                TN_TRY(tn_eval_plan_set(&s->plan, method, name, value, error));
        }
    return TENEBRA_OK;
}

/* What follows from the options. Returns false with the exit code set. */
static bool complete(tn_eval_settings *s, const char *command, int *exit_code)
{
    tn_eval_plan *plan = &s->plan;
    tenebra_error error = { 0 };
    const char *wrong = NULL;
    if (s->image_size != NULL)
        tn_app_read_pixels(s->image_size, &plan->image.width, &plan->image.height);
    if (plan->model == NULL)
        plan->model = tn_app_default_model(&s->own);
    else
        plan->model = tn_app_model_directory(plan->model, &s->own);
    if (plan->model == NULL)
        wrong = "name a model directory with -m";
    else if (plan->data == NULL)
        wrong = "name a data set with --data NAME:DIR";
    tenebra_code code = TENEBRA_OK;
    if (wrong == NULL)
        code = tn_app_read_adapters(&s->adapters, &s->pass_adapters, &plan->model_options, &error);
    if (wrong == NULL && code == TENEBRA_OK)
        code = choose_as_trained(s, &error);
    if (wrong == NULL && code == TENEBRA_OK && s->methods == NULL)
        wrong = "name what to ask with --method A,B,...";
    if (wrong != NULL) {
        *exit_code = tn_eval_mistake(command, wrong);
        return false;
    }
    if (code == TENEBRA_OK)
        code = add_methods(s, &error);
    if (code == TENEBRA_OK)
        code = set_options(s, &error);
    if (code == TENEBRA_OK && s->run.output == NULL && !choose_output(s))
        code = tn_fail(&error, TENEBRA_ERROR_MEMORY, "output", "no memory");
    if (code != TENEBRA_OK)
        *exit_code = tn_app_fail(&error);
    return code == TENEBRA_OK;
}

static void reset(tn_eval_settings *s)
{
    free(s->set.items);
    free(s->adapters.items);
    free(s->pass_adapters.items);
    char **words = s->words;
    size_t count = s->word_count;
    *s = (tn_eval_settings){ .words = words, .word_count = count, .probes = s->probes };
    s->plan.max_tokens = 512;
    s->run.leave = _exit;
    s->run.stop = tn_app_interrupt_flag();
    tn_method_table_fill(&s->table);
}

bool tn_eval_settings_read(tn_eval_settings *s, const tn_usage *usage, int argc, char **argv, int *exit_code)
{
    tenebra_error error = { 0 };
    *s = (tn_eval_settings){ .probes = strcmp(usage->command, "eval probe") == 0 };
    reset(s);
    int first = parse(s, usage, argc, argv, exit_code);
    if (first >= 0 && argc - first > 1)
        *exit_code = tn_eval_mistake(usage->command, "one task file at most; options come before it");
    if (first < 0 || argc - first > 1)
        return false;
    if (first < argc) {
        if (read_task(s, argv[first], argc, argv, &error) != TENEBRA_OK) {
            *exit_code = tn_app_fail(&error);
            return false;
        }
        reset(s);
        s->task = argv[first];
        if (parse(s, usage, (int)s->word_count, s->words, exit_code) < 0)
            return false;
    }
    return complete(s, usage->command, exit_code);
}

void tn_eval_settings_free(tn_eval_settings *s)
{
    tn_eval_plan_free(&s->plan);
    tn_app_free_adapters(&s->plan.model_options);
    free(s->set.items);
    free(s->adapters.items);
    free(s->pass_adapters.items);
    free(s->output);
    tn_trained_free(&s->trained);
    for (size_t i = 0; i < s->word_count; i++)
        free(s->words[i]);
    free(s->words);
}
