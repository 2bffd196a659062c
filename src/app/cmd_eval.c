/* tenebra eval: asks the questions of data sets, and evaluates the answers. */
#include "app/eval.h"

#include "base/file.h"
#include "base/nearest.h"

#include <stdio.h>
#include <string.h>

static const tn_command *const parts[] = { &tn_command_eval_score, &tn_command_eval_probe, &tn_command_eval_export,
                                           &tn_command_eval_report, &tn_command_eval_table, NULL };

/* Whether the first word is probably a misspelt part: it is neither an option nor a file, and similar to a part's name. */
static bool is_misspelt(const char *name)
{
    tn_nearest nearest = tn_nearest_of(name, strlen(name));
    for (size_t i = 0; parts[i] != NULL; i++)
        tn_nearest_try(&nearest, strchr(parts[i]->name, ' ') + 1);
    return name[0] != '-' && !tn_path_is_file(name) && nearest.name[0] != '\0';
}

static int run_part(int argc, char **argv)
{
    int exit_code;
    const char *name = argc > 1 ? argv[1] : NULL;
    if (tn_command_run_part(&tn_command_eval, argc, argv, &exit_code))
        return exit_code;
    if (name == NULL) {
        tn_command_print_parts(&tn_command_eval, stderr);
        return TN_EXIT_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        tn_command_print_parts(&tn_command_eval, stdout);
    if (!is_misspelt(name))
        return tn_eval_ask(argc, argv);
    tn_app_print_unknown_command("eval", "part", name, parts);
    return TN_EXIT_USAGE;
}

static const tn_option_group groups[] = { TN_EVAL_GROUPS, TN_GROUPS_END };

const tn_command tn_command_eval = {
    .name = "eval",
    .summary = "ask the questions of a data set; score and compare the answers",
    .arguments = "[TASK.yaml]",
    .about = "Asks a model the questions of a data set with one or more methods. Each answer is written to the result file at once,\n"
             "as one line of JSON. If the run is stopped, the same command continues it. A task file holds options by their long\n"
             "names ('name: value') and options of methods ('METHOD.OPTION: value'). 'tenebra eval table' shows the results.",
    .example = "  tenebra eval -m MODEL --data m3cot:DIR --method direct,ivt-lr,ivt-lr:k-select=8 --workers 2 -o out.jsonl",
    .groups = groups,
    .parts = parts,
    .run = run_part,
};
