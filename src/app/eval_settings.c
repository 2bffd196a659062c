/* Options of `tenebra eval` and `tenebra eval probe`: the command line, the environment, a task file. */
#include "app/eval.h"
#include "app/seen.h"
#include "base/file.h"
#include "model/model.h"
#include "reason/asked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TN_RECORD tn_eval_settings
const tn_option tn_eval_options_table[] = {
    TN_TEXT('d', "data", plan.data, "NAME:DIR", NULL, "data set and its directory (tenebra data list)"),
    TN_TEXT(0, "method", methods, "A,B,...", NULL, "methods, each METHOD[:OPTION=VALUE]... (default: as in training, if recorded)",
            .names = tn_names_of_methods),
    TN_LIST(0, "set", set, "METHOD.OPTION=VALUE", "set an option of one method; repeatable"),
    TN_TEXT('o', "output", run.output, "FILE", NULL, "result file (default: eval-SET-SPLIT.jsonl)"),
    TN_TEXT(0, "split", plan.split, "NAME", "test", "split of the data set"),
    TN_NUMBER(0, "held-out", plan.held_out, "F", NULL, 0.001, 0.9, "ask only the part that a recipe with val_fraction F holds out"),
    TN_SIZE(0, "limit", plan.limit, "N", NULL, 1, 1e9, "ask only the first N questions"),
    TN_TEXT(0, "ids", plan.ids, "A,B,...", NULL, "ask only the questions with these ids"),
    TN_SWITCH(0, "without-images", plan.without_images, "also ask questions without an image"),
    TN_SIZE('w', "workers", run.workers, "N", "1", 1, 256, "number of processes that share the questions"),
    TN_SIZE(0, "parallel", run.parallel, "N", "1", 1, 64, "questions in one batch of a process; each needs a KV cache of -c rows"),
    TN_SIZE('t', "threads", run.threads, "N", NULL, 0, 1024, "number of threads of all processes together (default: all processors)"),
    TN_SIZE(0, "lens", ask.request.lens, "N", "0", 0, 32, "record the N most likely tokens of each latent"),
    TN_SWITCH(0, "force-new", run.anew, "start again; rename an existing file to FILE.1"),
    TN_SWITCH(0, "retry", run.retry, "ask failed questions again"),
    TN_SWITCH(0, "json", json, "print a summary as JSON to stdout"),
    TN_OPTIONS_END
};

/* ------------------------------------------------------------ task file -- */

/* A key of a task file is the long name of an option, or "METHOD.OPTION", which is the same as --set. null does not set an
 * option. */
static int set_from_task(const tn_command *command, void *record, void *user)
{
    const tn_eval_settings *s = user;
    char place[TN_OPTION_LINE];
    int exit_code = TN_EXIT_OK;
    for (size_t i = 0; i < s->yaml.count && exit_code == TN_EXIT_OK; i++) {
        const tn_yaml_entry *entry = &s->yaml.entries[i];
        snprintf(place, sizeof place, "%.200s, line %zu", s->task, entry->line);
        if (!entry->null && strchr(entry->key, '.') == NULL)
            exit_code = tn_options_set(command, record, entry->key, entry->value, place);
    }
    return exit_code;
}

/* The default result file: "eval-SET-SPLIT.jsonl" in the current directory. */
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

/* Reads "METHOD.OPTION", from a task file or --set. */
static tenebra_code set_option(tn_eval_plan *plan, const char *name, size_t length, const char *value, tenebra_error *error)
{
    char *method = strndup(name, length), *dot = method != NULL ? strchr(method, '.') : NULL;
    tenebra_code code = TENEBRA_OK;
    if (method == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "set", "no memory");
    if (dot == NULL || value == NULL)
        code = tn_fail(error, TENEBRA_ERROR_ARGUMENT, "set", "'%s' is not of the form METHOD.OPTION=VALUE", name);
    else
        *dot = '\0';
    if (code == TENEBRA_OK)
        code = tn_eval_plan_set(plan, method, dot + 1, value, error);
    free(method);
    return code;
}

/* Collects the settings of methods: --set METHOD.OPTION=VALUE, which overrides the task file, then options of methods by their
 * own names, then the settings of training, then those of the wording. */
static tenebra_code set_options(tn_eval_settings *s, tenebra_error *error)
{
    const tn_option *row;
    for (size_t i = 0; i < s->set.count; i++) {
        const char *text = s->set.items[i], *equals = strchr(text, '=');
        size_t length = strcspn(text, "=");
        for (size_t k = 0; k < i; k++)
            if (strcspn(s->set.items[k], "=") == length && strncmp(s->set.items[k], text, length) == 0)
                return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "set", "sets %.*s twice", (int)length, text);
        TN_TRY(set_option(&s->plan, text, length, equals != NULL ? equals + 1 : NULL, error));
    }
    for (size_t i = 0; i < s->yaml.count; i++)
        if (!s->yaml.entries[i].null && strchr(s->yaml.entries[i].key, '.') != NULL)
            TN_TRY(set_option(&s->plan, s->yaml.entries[i].key, strlen(s->yaml.entries[i].key), s->yaml.entries[i].value, error));
    for (size_t i = 0; (row = tn_method_table_at(i)) != NULL; i++) {
        bool fits = s->ask.methods.given[i];
        for (size_t e = 0; e < s->plan.entry_count && !fits && s->ask.methods.values[i] != NULL; e++)
            fits = tn_method_option(s->plan.entries[e].method, row->name) != NULL; /* a value of the environment applies only to
                                                                                    * methods that have the option */
        if (fits)
            TN_TRY(tn_eval_plan_set(&s->plan, NULL, row->name, s->ask.methods.values[i], error));
    }
    for (size_t e = 0; e < s->plan.entry_count; e++)
        for (size_t i = 0; (row = tn_method_table_at(i)) != NULL; i++) {
            const char *method = s->plan.entries[e].method, *value = tn_trained_setting(&s->ask.trained, method, row->name);
            if (value != NULL && tn_method_option(method, row->name) != NULL)
                TN_TRY(tn_eval_plan_set(&s->plan, method, row->name, value, error));
        }
    const tn_prompt_preset *wording = s->plan.preset != NULL ? tn_prompt_find(s->plan.preset) : NULL;
    for (size_t e = 0; e < s->plan.entry_count; e++) {
        char text[TN_SETTING_TEXT_SIZE];
        tenebra_setting setting;
        if (tn_wording_setting(wording, s->plan.entries[e].method, NULL, 0, text, &setting))
            TN_TRY(tn_eval_plan_set(&s->plan, s->plan.entries[e].method, setting.name, setting.value, error));
    }
    return TENEBRA_OK;
}

/* Takes what neither the command line nor the task file sets from the model's training. */
static tenebra_code choose_as_trained(tn_eval_settings *s, tenebra_error *error)
{
    tn_ask *ask = &s->ask;
    TN_TRY(tn_ask_read_trained(ask, error));
    bool sized = tn_ask_has_sizes(ask);
    if (!sized)
        ask->request.image = ask->trained.image;
    if (s->methods == NULL)
        s->methods = ask->trained.method;
    s->plan.model = ask->directory;
    s->plan.model_options = ask->model;
    s->plan.session = ask->session;
    s->plan.request = ask->request;
    s->plan.preset = ask->preset != NULL ? ask->preset : ask->trained.preset;
    s->plan.example = ask->example;
    s->plan.answer_turn = ask->answer_turn;
    if (!sized)
        tn_app_tell_plan_size(&ask->trained, &s->plan);
    return TENEBRA_OK;
}

/* Fills what follows from the options. If an option is wrong, returns false and sets the exit code. */
static bool complete(tn_eval_settings *s, const tn_command *command, int *exit_code)
{
    tenebra_error error = { 0 };
    const char *wrong = tn_ask_find_model(&s->ask);
    if (wrong == NULL && s->plan.data == NULL)
        wrong = "requires a data set (--data NAME:DIR)";
    tenebra_code code = wrong == NULL ? choose_as_trained(s, &error) : TENEBRA_OK;
    tn_model_files files;
    if (wrong == NULL && code == TENEBRA_OK && s->methods == NULL && !tn_path_is_directory(s->ask.place.text))
        code = tn_model_find(s->ask.directory, s->ask.model.base, &files, &error);
    else if (wrong == NULL && code == TENEBRA_OK && s->methods == NULL)
        wrong = "requires methods (--method A,B,...)";
    if (wrong != NULL) {
        *exit_code = tn_command_mistake(command, wrong);
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
    free(s->ask.adapters.items);
    free(s->ask.pass_adapters.items);
    *s = (tn_eval_settings){ .ask = TN_ASK_INIT, .run = { .leave = _exit, .stop = tn_app_interrupt_flag() } };
}

bool tn_eval_settings_read(tn_eval_settings *s, const tn_command *command, int argc, char **argv, int *exit_code)
{
    tenebra_error error = { 0 };
    *s = (tn_eval_settings){ 0 };
    reset(s);
    int first = tn_options_parse(command, s, argc, argv, exit_code);
    if (first >= 0 && argc - first > 1)
        *exit_code = tn_command_mistake(command, "expects at most one task file, after all options");
    if (first < 0 || argc - first > 1)
        return false;
    if (first < argc) { /* parse again, with the task file between the environment and the command line */
        reset(s);
        s->task = argv[first];
        tenebra_code code = access(s->task, F_OK) == 0
                                ? tn_yaml_read(&s->yaml, s->task, &error)
                                : tn_fail(&error, TENEBRA_ERROR_IO, s->task,
                                          "the task file does not exist; a data set is given with --data NAME:DIR");
        if (code != TENEBRA_OK)
            *exit_code = tn_app_fail(&error);
        if (code != TENEBRA_OK || tn_options_parse_with(command, s, set_from_task, s, argc, argv, exit_code) < 0)
            return false;
    }
    return complete(s, command, exit_code);
}

void tn_eval_settings_free(tn_eval_settings *s)
{
    tn_eval_plan_free(&s->plan);
    tn_ask_free(&s->ask);
    tn_yaml_free(&s->yaml);
    free(s->set.items);
    free(s->output);
}
