/* tenebra eval table: makes tables of result files. */
#include "app/eval.h"

#include "eval/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct table_options {
    const char *form, *only, *rows, *scorer;
    tn_option_list groups, places;
    bool json;
} table_options;

static tenebra_code print(const table_options *options, const json_t *report, tenebra_error *error)
{
    static const struct { const char *name; tn_table_form form; } forms[] = {
        { "text", TN_TABLE_TEXT }, { "markdown", TN_TABLE_MARKDOWN }, { "csv", TN_TABLE_CSV }, { "latex", TN_TABLE_LATEX },
    };
    const json_t *notes = json_object_get(report, "notes");
    if (options->json || strcmp(options->form, "json") == 0) {
        tn_app_print_json(report, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
        putchar('\n');
        return TENEBRA_OK;
    }
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(forms[i].name, options->form) == 0) {
            char *text;
            TN_TRY(tn_table_write(&text, report, forms[i].form, options->only, error));
            tn_app_print_text(text);
            free(text);
        }
    fflush(stdout);
    for (size_t i = 0; i < json_array_size(notes); i++)
        tn_app_tell("note: %s\n", json_string_value(json_array_get(notes, i)));
    /* CSV contains only numbers, so sentences go to stderr. */
    const json_t *below = json_object_get(json_array_get(json_object_get(report, "tables"), 0), "notes");
    if (strcmp(options->form, "csv") == 0 && json_array_size(below) > 0)
        tn_app_tell("note: %s\n", json_string_value(json_array_get(below, 0)));
    return TENEBRA_OK;
}

#define TN_RECORD table_options
static const tn_option option_table[] = {
    TN_WORD('f', "form", form, "text|markdown|csv|latex|json", "text", "format of the tables"),
    TN_TEXT(0, "table", only, "NAME", NULL, "print only this table: methods, domains, topics, looks, latents, calls or pairs"),
    TN_TEXT(0, "rows", rows, "A,B,...", NULL, "show only these methods, in this order"),
    TN_LIST('g', "group", groups, "NAME=FILE,...", "combine runs with several seeds into one row; repeatable"),
    TN_TEXT(0, "scorer", scorer, "NAME", NULL, "score the answers again (tenebra eval score --list; default: keep the scores)",
            .names = tn_names_of_scorers),
    TN_LIST('d', "data", places, "NAME:DIR", "directory of a data set, for --scorer (default: as in the files); repeatable"),
    TN_SWITCH(0, "json", json, "the same as --form json"),
    TN_OPTIONS_END
};

static int run_command(int argc, char **argv)
{
    table_options options = { 0 };
    int exit_code, first = tn_options_parse(&tn_command_eval_table, &options, argc, argv, &exit_code);
    if (first >= 0 && first == argc && options.groups.count == 0) {
        exit_code = tn_command_mistake(&tn_command_eval_table, "requires result files");
    } else if (first >= 0) {
        tenebra_error error = { 0 };
        tn_results results = { 0 };
        tn_table_groups groups = { 0 };
        tenebra_code code = tn_eval_load_groups(&results, &groups, &options.groups, options.rows, argv + first,
                                                (size_t)(argc - first), &error);
        if (code == TENEBRA_OK)
            code = tn_eval_rescore(&results, options.scorer, options.places.items, options.places.count, &error);
        json_t *report = NULL;
        if (code == TENEBRA_OK)
            code = tn_table_report(&report, &groups, &error);
        if (code == TENEBRA_OK)
            code = print(&options, report, &error);
        exit_code = code == TENEBRA_OK ? TN_EXIT_OK : tn_app_fail(&error);
        json_decref(report);
        tn_table_groups_free(&groups);
        tn_results_free(&results);
    }
    free(options.groups.items);
    free(options.places.items);
    return exit_code;
}

const tn_command tn_command_eval_table = {
    .name = "eval table",
    .summary = "make tables of accuracy, steps and times; compare methods",
    .arguments = "[FILE ...]",
    .about = "Makes tables of result files: accuracy with 95 % intervals (Wilson's; Student's over several runs), answers that name\n"
             "no option, autoregressive steps and times; accuracy by domain and topic; attention ratio and focus of latent steps;\n"
             "paired comparisons of methods on the same questions (McNemar). Runs that differ only in their seed can be combined\n"
             "with --group NAME=FILE,FILE,...",
    .example = "  tenebra eval table out.jsonl --form markdown\n"
               "  tenebra eval table --group ivt-lr=s1.jsonl,s2.jsonl,s3.jsonl --group cot=c1.jsonl,c2.jsonl,c3.jsonl",
    .groups = TN_GROUP_OF(option_table),
    .run = run_command,
};
