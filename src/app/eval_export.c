/* tenebra eval export: results for the benchmarks' own programs. */
#include "app/eval.h"

#include "eval/export.h"

#include <errno.h>
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

static int write_out(const char *path, const char *text)
{
    FILE *out = path != NULL ? fopen(path, "wb") : stdout;
    if (out == NULL) {
        tn_app_tell("tenebra: %s: cannot be written: %s\n", path, strerror(errno));
        return TN_EXIT_FAILED;
    }
    bool good = fputs(text, out) >= 0 && fputc('\n', out) != EOF;
    if (path != NULL && fclose(out) != 0)
        good = false;
    if (!good && path != NULL)
        tn_app_tell("tenebra: %s: could not be written to the end\n", path);
    return good ? TN_EXIT_OK : TN_EXIT_FAILED;
}

int tn_eval_export(int argc, char **argv)
{
    const char *form = NULL, *label = NULL, *place = NULL, *output = NULL;
    const tn_option table[] = {
        { 'f', "form", TN_OPTION_TEXT, &form, "messages|indices", "what is written", 0, 0, NULL },
        { 0, "rows", TN_OPTION_TEXT, &label, "METHOD", "whose answers, where there are several", 0, 0, NULL },
        { 'd', "data", TN_OPTION_TEXT, &place, "NAME:DIR", "the data set (where the file says)", 0, 0, NULL },
        { 'o', "output", TN_OPTION_TEXT, &output, "FILE", "instead of stdout", 0, 0, NULL },
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
    char *text = tn_eval_export_file(argv[first], label, place, form[0] == 'm' ? TN_EXPORT_MESSAGES : TN_EXPORT_INDICES, &error);
    if (text == NULL)
        return tn_app_fail(&error);
    exit_code = write_out(output, text);
    free(text);
    return exit_code;
}
