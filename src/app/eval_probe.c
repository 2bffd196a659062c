/* tenebra eval probe: tests whether answers depend on the latents. */
#include "app/eval.h"

#include "eval/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tenebra_code report_file(const tn_eval_settings *settings, json_t **report, tenebra_error *error)
{
    tn_results results = { 0 };
    tenebra_code code = tn_results_add(&results, settings->run.output, error);
    if (code == TENEBRA_OK)
        code = tn_eval_rescore(&results, settings->scorer, &settings->plan.data, 1, error);
    if (code == TENEBRA_OK)
        code = tn_probe_report(report, &results, &settings->plan, error);
    tn_results_free(&results);
    return code;
}

static tenebra_code print_report(const tn_eval_settings *settings, tenebra_error *error)
{
    json_t *report;
    char *text = NULL;
    TN_TRY(report_file(settings, &report, error));
    tenebra_code code = settings->json ? TENEBRA_OK : tn_table_write(&text, report, TN_TABLE_TEXT, NULL, error);
    if (settings->json) {
        tn_app_print_json(report, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
        putchar('\n');
    } else if (code == TENEBRA_OK) {
        const json_t *words = json_object_get(report, "words");
        tn_app_print_text(text);
        for (size_t i = 0; i < json_array_size(words); i++)
            tn_app_print("%s\n", json_string_value(json_array_get(words, i)));
        free(text);
    }
    json_decref(report);
    return code;
}

/* If a model answers in words, any word is an answer, even if it is none of the options. */
static const char *usual_scorer(const tn_eval_plan *plan)
{
    const tn_prompt_preset *preset = plan->preset != NULL ? tn_prompt_find(plan->preset) : NULL;
    return preset != NULL && preset->in_words ? tn_scorer_for_words() : NULL;
}

static int run_command(int argc, char **argv)
{
    tn_eval_settings settings;
    json_t *summary = NULL;
    tenebra_error error = { 0 };
    int exit_code;
    if (tn_eval_settings_read(&settings, &tn_command_eval_probe, argc, argv, &exit_code)) {
        const tn_scorer *scorer;
        size_t variant;
        if (settings.scorer == NULL)
            settings.scorer = usual_scorer(&settings.plan);
        if ((settings.scorer != NULL && tn_scorer_choose(settings.scorer, &scorer, &variant, &error) != TENEBRA_OK) ||
            tn_probe_plan(&settings.plan, &error) != TENEBRA_OK)
            exit_code = tn_app_fail(&error);
        else
            exit_code = tn_eval_run_plan(&settings, &summary);
        if (summary != NULL && print_report(&settings, &error) != TENEBRA_OK)
            exit_code = tn_app_fail(&error);
        json_decref(summary);
    }
    tn_eval_settings_free(&settings);
    return exit_code;
}

#define TN_RECORD tn_eval_settings
static const tn_option scorer_option[] = {
    TN_TEXT(0, "scorer", scorer, "NAME", NULL, "scorer of the answers (tenebra eval score --list)",
            .names = tn_names_of_scorers),
    TN_OPTIONS_END
};

static const tn_option_group groups[] = { { scorer_option, 0 }, TN_EVAL_GROUPS, TN_GROUPS_END };

const tn_command tn_command_eval_probe = {
    .name = "eval probe",
    .summary = "test whether answers depend on the latents, by interventions",
    .arguments = "[TASK.yaml]",
    .about = "Asks every question with the unchanged method and with each intervention on its latent steps: latent text replaced by\n"
             "zeros, noise, shuffled entries, that of another question, the mean or the first one, or dropped; picks that are random,\n"
             "least attended, the same at every step, or none; no latent steps; other numbers of steps and picks. Prints a table\n"
             "with intervals, and sentences that say whether the answers depend on the latents, if this can be concluded. The run\n"
             "can be stopped and continued like one of 'tenebra eval', and evaluated again with another --scorer.",
    .example = "  tenebra eval probe -m MODEL --data hops:DIR --method ivt-lr --limit 300 -o probe.jsonl",
    .groups = groups,
    .run = run_command,
};
