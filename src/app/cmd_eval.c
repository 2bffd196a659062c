/* tenebra eval: asks data sets, and makes tables of the answers. */
#include "app/eval.h"

#include "base/file.h"
#include "base/nearest.h"

#include <stdio.h>
#include <string.h>

static const tn_command parts[] = {
    { "score", "judge result files again, also those of other programs", tn_eval_score },
    { "probe", "whether answers depend on the latents: the table of interventions", tn_eval_probe },
    { "export", "result files in the forms that official programs read", tn_eval_export },
    { "report", "one page of HTML: charts, tables, and every question with what each step saw", tn_eval_report },
    { "table", "accuracy, steps and times of result files; compares methods", tn_eval_table },
    { NULL, NULL, NULL }
};

int tn_eval_mistake(const char *part, const char *sentence)
{
    tn_app_tell("tenebra %s: %s; 'tenebra %s --help' explains\n", part, sentence, part);
    return TN_EXIT_USAGE;
}

static int print_parts(int exit_code)
{
    FILE *out = exit_code == TN_EXIT_OK ? stdout : stderr;
    fprintf(out, "usage: tenebra eval [options] [TASK.yaml]\n       tenebra eval PART [options]\n\n"
                 "Asks a model the questions of a data set, in one or several ways, and tells what came out.\n\nparts:\n");
    for (const tn_command *part = parts; part->name != NULL; part++)
        fprintf(out, "  %-10s %s\n", part->name, part->summary);
    fprintf(out, "\n'tenebra eval PART --help' explains a part%s\n\n", exit_code == TN_EXIT_OK ? "; without one:" : ".");
    return exit_code;
}

/* Whether the first word is meant as a part: it is neither an option nor a file, and looks like one of them. */
static bool is_misspelt(const char *name)
{
    tn_nearest nearest = tn_nearest_of(name, strlen(name));
    for (const tn_command *part = parts; part->name != NULL; part++)
        tn_nearest_try(&nearest, part->name);
    return name[0] != '-' && !tn_path_is_file(name) && nearest.name[0] != '\0';
}

int tn_cmd_eval(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (name == NULL)
        return print_parts(TN_EXIT_USAGE);
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_parts(TN_EXIT_OK);
        return tn_eval_ask(argc, argv);
    }
    for (const tn_command *part = parts; part->name != NULL; part++)
        if (strcmp(part->name, name) == 0)
            return part->run(argc - 1, argv + 1);
    if (is_misspelt(name)) {
        tn_app_print_unknown_command("tenebra eval", "part", name, parts);
        return TN_EXIT_USAGE;
    }
    return tn_eval_ask(argc, argv);
}
