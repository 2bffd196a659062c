#include "app/app.h"

#include <stdio.h>
#include <string.h>

#ifndef TENEBRA_VERSION
#define TENEBRA_VERSION "unknown"
#endif

const tn_command *const tn_commands[] = {
    &tn_command_run,      &tn_command_train,  &tn_command_eval,  &tn_command_inspect, &tn_command_convert,    &tn_command_quantize,
    &tn_command_tokenize, &tn_command_verify, &tn_command_bench, &tn_command_data,    &tn_command_completion, &tn_command_manual,
    NULL
};

static void print_overview(FILE *out)
{
    fprintf(out, "tenebra %s: multimodal latent reasoning on vision-language models\n\n"
                 "usage: tenebra COMMAND [options]\n\ncommands:\n", TENEBRA_VERSION);
    for (size_t i = 0; tn_commands[i] != NULL; i++)
        fprintf(out, "  %-10s %s\n", tn_commands[i]->name, tn_commands[i]->summary);
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
    for (size_t i = 0; tn_commands[i] != NULL; i++)
        if (strcmp(tn_commands[i]->name, name) == 0)
            return tn_commands[i]->run(argc - 1, argv + 1);
    tn_app_print_unknown_command("", "command", name, tn_commands);
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
