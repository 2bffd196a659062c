/* tenebra eval export: results for the benchmarks' own programs. */
#include "app/eval.h"

#include "base/output.h"
#include "eval/export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const tn_usage usage = {
    .command = "eval export",
    .arguments = "FILE",
    .summary = "Writes the answers of a result file as the benchmarks' own programs read them: 'messages', a line each with id,\n"
               "choices, answer, domain, topic and messages (the benchmark's custom form), or 'indices', {\"results\": {id: index}}\n"
               "(that of the science one). The data set is read again; it has to lie where the file says, or where --data says.",
    .example = "  tenebra eval export out.jsonl --form messages --rows ivt-lr -o custom.jsonl",
};

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

int tn_eval_export(int argc, char **argv)
{
    const char *form = NULL, *label = NULL, *place = NULL, *output = NULL;
    bool force = false;
    const tn_option table[] = {
        { 'f', "form", TN_OPTION_TEXT, &form, "messages|indices", "what is written", 0, 0, NULL },
        { 0, "rows", TN_OPTION_TEXT, &label, "METHOD", "whose answers, where there are several", 0, 0, NULL },
        { 'd', "data", TN_OPTION_TEXT, &place, "NAME:DIR", "the data set (where the file says)", 0, 0, NULL },
        { 'o', "output", TN_OPTION_TEXT, &output, "FILE", "instead of stdout", 0, 0, NULL },
        { 0, "force", TN_OPTION_FLAG, &force, "", "replace a file that is there", 0, 0, NULL },
        { 0, NULL, TN_OPTION_FLAG, NULL, NULL, NULL, 0, 0, NULL },
    };
    int exit_code, first = tn_options_parse(&usage, table, argc, argv, &exit_code);
    if (first < 0)
        return exit_code;
    if (argc - first != 1)
        return tn_eval_mistake(usage.command, "name one result file");
    if (form == NULL)
        return tn_eval_mistake(usage.command, "say what to write with --form messages or --form indices");
    tenebra_error error = { 0 };
    if (output != NULL && (tn_output_check(output, force, &error) != TENEBRA_OK ||
                           tn_output_check_sources(output, argv + first, 1, &error) != TENEBRA_OK))
        return tn_app_fail(&error);
    char *text = tn_eval_export_file(argv[first], label, place, form[0] == 'm' ? TN_EXPORT_MESSAGES : TN_EXPORT_INDICES, &error);
    if (text == NULL)
        return tn_app_fail(&error);
    tenebra_code code = TENEBRA_OK;
    if (output != NULL)
        code = write_file(output, text, &error);
    else
        puts(text); /* failures are told at the end */
    free(text);
    return code == TENEBRA_OK ? TN_EXIT_OK : tn_app_fail(&error);
}
