/* tenebra train: trains as a recipe says, or prints the plan of the run. */
#include "app/app.h"
#include "app/train_print.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct train_options {
    tn_option_list set;
    const char *model, *data, *output, *kernels;
    size_t threads;
    bool plan, resume, overwrite, json, keys, threads_given;
} train_options;

/* Appends the options that are short for a key after those of --set, so that they override them. */
static tenebra_code read_config(tn_train_config *config, const char *path, const train_options *options, tenebra_error *error)
{
    const char *const names[] = { "model", "data", "output" }, *const values[] = { options->model, options->data, options->output };
    char texts[4][4200];
    size_t count = options->set.count, extra = 0;
    const char **list = calloc(count + 4, sizeof *list);
    if (list == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "configuration", "no memory");
    for (size_t i = 0; i < count; i++)
        list[i] = options->set.items[i];
    for (size_t i = 0; i < 3; i++) {
        if (values[i] == NULL)
            continue;
        snprintf(texts[extra], sizeof texts[extra], "%s=%.4000s", names[i], values[i]);
        list[count + extra] = texts[extra];
        extra++;
    }
    if (options->threads_given) {
        snprintf(texts[extra], sizeof texts[extra], "threads=%zu", options->threads);
        list[count + extra] = texts[extra];
        extra++;
    }
    tenebra_code code = tn_train_config_read(config, path, list, count + extra, error);
    free(list);
    return code;
}

/* A run that was stopped has not failed, but it has not finished either. */
static int end_run(const tn_trainer *trainer, const train_options *options, tenebra_code code, const tenebra_error *error)
{
    if (code == TENEBRA_ERROR_CANCELLED)
        tn_app_tell("tenebra: %s: %s\n", error->where, error->sentence);
    else if (code != TENEBRA_OK)
        return tn_app_fail(error);
    json_t *summary = tn_trainer_summary(trainer);
    if (summary != NULL && json_object_set_new(summary, "finished", json_boolean(code == TENEBRA_OK)) == 0) {
        if (options->json)
            tn_app_print_json(summary, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        else
            tn_train_print_summary(summary);
        putchar('\n');
    }
    json_decref(summary);
    return code == TENEBRA_OK ? TN_EXIT_OK : TN_EXIT_FAILED;
}

static int train(const tn_train_config *config, const train_options *options)
{
    tenebra_error error;
    tn_train_progress progress = { .config = config, .started = tn_clock_ms() };
    tn_trainer_options open = { .resume = options->resume, .overwrite = options->overwrite, .plan_only = options->plan,
                                .kernels = options->kernels, .stop = tn_app_interrupt_flag(),
                                .on_event = tn_train_print_event, .user = &progress };
    tn_app_catch_interrupts();
    tn_trainer *trainer;
    if (tn_trainer_open(config, &open, &trainer, &error) != TENEBRA_OK)
        return tn_app_fail(&error);
    int exit_code;
    progress.trainer = trainer;
    progress.planned = tn_trainer_plan(trainer)->updates;
    if (options->plan) {
        exit_code = tn_train_print_plan(trainer, config, options->json);
    } else {
        tn_train_print_start(&progress);
        tenebra_code code = tn_trainer_run(trainer, &error);
        tn_train_end_line(&progress);
        exit_code = end_run(trainer, options, code, &error);
    }
    tn_trainer_close(trainer);
    return exit_code;
}

#define TN_RECORD train_options
static const tn_option option_table[] = {
    TN_LIST('s', "set", set, "KEY=VALUE", "set a key, which overrides the file; repeatable"),
    TN_TEXT('m', "model", model, "DIR", NULL, "set the key model"),
    TN_TEXT('d', "data", data, "NAME:DIR", NULL, "set the key data"),
    TN_TEXT('o', "output", output, "DIR", NULL, "set the key output, the directory of the run"),
    TN_SWITCH(0, "plan", plan, "show what the run would do and cost, and write nothing"),
    TN_SWITCH('r', "resume", resume, "continue from the newest checkpoint of the run, if there is one"),
    TN_SWITCH(0, "overwrite", overwrite, "start again if the output directory already holds a run"),
    TN_SIZE('t', "threads", threads, "N", NULL, 1, 1024,
            "number of threads (default: all processors)", .given = offsetof(TN_RECORD, threads_given)),
    TN_WORD(0, "kernels", kernels, "NAME", NULL,
            "kernel set (default: the fastest that this machine runs)", .names = tn_names_of_kernels),
    TN_SWITCH(0, "json", json, "print the summary, or the plan, as JSON to stdout"),
    TN_SWITCH(0, "keys", keys, "list the keys of a recipe"),
    TN_OPTIONS_END
};

static int run_command(int argc, char **argv)
{
    train_options options = { 0 };
    int exit_code, first = tn_options_parse(&tn_command_train, &options, argc, argv, &exit_code);
    if (first >= 0 && options.keys) {
        tn_train_print_keys();
        exit_code = TN_EXIT_OK;
    } else if (first >= 0 && argc - first > 1) {
        tn_app_tell("tenebra train: expects one recipe, not %d; further keys are set with --set KEY=VALUE\n", argc - first);
        exit_code = TN_EXIT_USAGE;
    } else if (first == argc && options.set.count == 0 && options.model == NULL && options.data == NULL && options.output == NULL) {
        exit_code = tn_command_mistake(&tn_command_train, "requires a recipe, a file of lines 'key: value' (--keys lists the keys)");
    } else if (first >= 0) {
        tn_train_config config;
        tenebra_error error;
        if (read_config(&config, first < argc ? argv[first] : NULL, &options, &error) != TENEBRA_OK) {
            exit_code = tn_app_fail(&error);
        } else {
            exit_code = train(&config, &options);
            tn_train_config_free(&config);
        }
    }
    free(options.set.items);
    return exit_code;
}

const tn_command tn_command_train = {
    .name = "train",
    .summary = "train a model or an adapter on a data set",
    .arguments = "[RECIPE.yaml]",
    .about = "Trains an adapter (LoRA) or all weights of a model on a data set, in stages: from stage to stage, more steps of the\n"
             "rationale become latent. RECIPE.yaml holds flat 'key: value' lines; --keys lists the keys. Files of the methods'\n"
             "authors and of LLaMA-Factory can be used without changes. Ctrl-C finishes the update and writes a checkpoint.",
    .example = "  tenebra train recipe.yaml --set output=runs/one --plan\n"
               "  tenebra train recipe.yaml --set output=runs/one\n"
               "  tenebra train recipe.yaml --set output=runs/one --resume",
    .groups = TN_GROUP_OF(option_table),
    .run = run_command,
};
