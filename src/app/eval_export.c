/* tenebra eval export: writes results in the formats of the benchmarks' own programs. */
#include "app/eval.h"

#include "base/output.h"
#include "eval/export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct export_options {
    const char *form, *label, *place, *output;
    bool force;
} export_options;

static tenebra_code write_file(const char *path, const char *text, tenebra_error *error)
{
    tn_output output;
    tenebra_code code = tn_output_open(&output, path, error);
    if (code == TENEBRA_OK)
        code = tn_output_write(&output, text, strlen(text), error);
    if (code == TENEBRA_OK)
        code = tn_output_write(&output, "\n", 1, error);
    if (code == TENEBRA_OK)
        code = tn_output_finish(&output, error);
    tn_output_close(&output);
    return code;
}

#define TN_RECORD export_options
static const tn_option option_table[] = {
    TN_WORD('f', "form", form, "messages|indices", NULL, "format of the output"),
    TN_TEXT(0, "rows", label, "METHOD", NULL, "the method whose answers are written, if there are several"),
    TN_TEXT('d', "data", place, "NAME:DIR", NULL, "data set (default: the one that the file names)"),
    TN_TEXT('o', "output", output, "FILE", NULL, "write to this file (default: stdout)"),
    TN_SWITCH(0, "force", force, "replace an existing file"),
    TN_OPTIONS_END
};

static int run_command(int argc, char **argv)
{
    export_options options = { 0 };
    int exit_code, first = tn_options_parse(&tn_command_eval_export, &options, argc, argv, &exit_code);
    if (first < 0)
        return exit_code;
    if (argc - first != 1)
        return tn_command_mistake(&tn_command_eval_export, "requires one result file");
    if (options.form == NULL)
        return tn_command_mistake(&tn_command_eval_export, "requires --form messages or --form indices");
    tenebra_error error = { 0 };
    if (options.output != NULL && (tn_output_check(options.output, options.force, &error) != TENEBRA_OK ||
                                   tn_output_check_sources(options.output, argv + first, 1, &error) != TENEBRA_OK))
        return tn_app_fail(&error);
    tn_export_form form = options.form[0] == 'm' ? TN_EXPORT_MESSAGES : TN_EXPORT_INDICES;
    char *text;
    if (tn_eval_export_file(argv[first], options.label, options.place, form, &text, &error) != TENEBRA_OK)
        return tn_app_fail(&error);
    tenebra_code code = TENEBRA_OK;
    if (options.output != NULL)
        code = write_file(options.output, text, &error);
    else
        puts(text); /* a failed write is reported when stdout is closed */
    free(text);
    return code == TENEBRA_OK ? TN_EXIT_OK : tn_app_fail(&error);
}

const tn_command tn_command_eval_export = {
    .name = "eval export",
    .summary = "write results in the formats that official programs read",
    .arguments = "FILE",
    .about = "Writes the answers of a result file in a format that the benchmarks' own programs read: 'messages' (one line per\n"
             "answer with id, choices, answer, domain, topic and messages) or 'indices' ({\"results\": {id: index}}). The data set\n"
             "is read again, from the directory that the file names or --data gives.",
    .example = "  tenebra eval export out.jsonl --form messages --rows ivt-lr -o custom.jsonl",
    .groups = TN_GROUP_OF(option_table),
    .run = run_command,
};
