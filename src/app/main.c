#include "app/app.h"

#include <stdio.h>
#include <string.h>

#ifndef TENEBRA_VERSION
#define TENEBRA_VERSION "unknown"
#endif

static const tn_command commands[] = {
    { "run", "ask a question about an image", tn_cmd_run },
    { "train", "train a model or an adapter on a data set", tn_cmd_train },
    { "eval", "ask data sets, make tables of the answers, score them", tn_cmd_eval },
    { "inspect", "show a model's configuration and tensors, and whether they fit", tn_cmd_inspect },
    { "quantize", "write a model again with smaller weights, packed for the kernels", tn_cmd_quantize },
    { "tokenize", "turn text into token ids and back", tn_cmd_tokenize },
    { "verify", "recompute a golden case and compare", tn_cmd_verify },
    { "bench", "measure speed and memory; make random models of true shapes", tn_cmd_bench },
    { "data", "read, check and make data sets", tn_cmd_data },
    { NULL, NULL, NULL }
};

static void print_overview(FILE *out)
{
    fprintf(out, "tenebra %s: multimodal latent reasoning on vision-language models\n\n"
                 "usage: tenebra COMMAND [options]\n\ncommands:\n", TENEBRA_VERSION);
    for (const tn_command *command = commands; command->name != NULL; command++)
        fprintf(out, "  %-10s %s\n", command->name, command->summary);
    fprintf(out, "\n'tenebra COMMAND --help' explains a command, with an example.\n"
                 "exit codes: 0 ok, 1 failed, 2 wrong usage\n");
}

static int run_command(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (name == NULL) {
        print_overview(stderr);
        return TN_EXIT_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_overview(stdout);
        return TN_EXIT_OK;
    }
    if (strcmp(name, "--version") == 0) {
        printf("tenebra %s\n", TENEBRA_VERSION);
        return TN_EXIT_OK;
    }
    for (const tn_command *command = commands; command->name != NULL; command++)
        if (strcmp(command->name, name) == 0)
            return command->run(argc - 1, argv + 1);
    tn_app_print_unknown_command("tenebra", "command", name, commands);
    return TN_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    tn_app_guard_json();
    tn_app_open_streams();
    tenebra_faults_catch();
    tn_options_note_unknown_variables();
    return tn_app_close_output(run_command(argc, argv));
}
