/* Help of commands, lists of their parts, and the line about an option, which man pages and completion also use. */
#include "app/app.h"
#include "app/method_table.h"

#include "base/nearest.h"

#include <stdio.h>
#include <string.h>

void tn_commands_each(tn_command_fn *visit, void *user)
{
    for (size_t i = 0; tn_commands[i] != NULL; i++) {
        visit(tn_commands[i], user);
        for (size_t p = 0; tn_commands[i]->parts != NULL && tn_commands[i]->parts[p] != NULL; p++)
            visit(tn_commands[i]->parts[p], user);
    }
}

int tn_command_mistake(const tn_command *command, const char *sentence)
{
    tn_app_tell("tenebra %s: %s; 'tenebra %s --help' explains\n", command->name, sentence, command->name);
    return TN_EXIT_USAGE;
}

/* ------------------------------------------------------------- options -- */

char *tn_option_argument(const tn_option *option, char shown[TN_OPTION_LINE])
{
    size_t used = 0, length;
    const char *word;
    snprintf(shown, TN_OPTION_LINE, "%s", option->argument != NULL ? option->argument : "");
    for (size_t i = 0; option->argument == NULL && used < TN_OPTION_LINE && (word = tn_option_word(option, i, &length)) != NULL; i++)
        used += (size_t)snprintf(shown + used, TN_OPTION_LINE - used, "%s%.*s", i > 0 ? "|" : "", (int)length, word);
    return shown;
}

char *tn_option_describe(const tn_bound_option *option, char line[TN_OPTION_LINE])
{
    const char *value = option->row->value;
    bool shown = value != NULL && strpbrk(value, " \n") == NULL;
    size_t used = (size_t)snprintf(line, TN_OPTION_LINE, "%s%s%s%s", option->row->help, shown ? " (default: " : "", shown ? value : "",
                                   shown ? ")" : "");
    if (option->setting && used < TN_OPTION_LINE)
        tn_method_table_name_methods(option->row->name, line + used, TN_OPTION_LINE - used);
    return line;
}

static void print_option(const tn_bound_option *option)
{
    char head[TN_OPTION_LINE + 64], argument[TN_OPTION_LINE], line[TN_OPTION_LINE], letter[] = { '-', option->row->letter, ',', ' ', '\0' };
    snprintf(head, sizeof head, "%s--%s %s", option->row->letter != 0 ? letter : "    ", option->row->name,
             tn_option_argument(option->row, argument));
    printf("  %-32s%s%s\n", head, strlen(head) > 32 ? "\n                                   " : " ",
           tn_option_describe(option, line));
}

void tn_command_print_help(const tn_command *command)
{
    tn_bound_option options[TN_BOUND_OPTIONS_MAX];
    size_t count = tn_command_options(command, NULL, options);
    printf("usage: tenebra %s [options]%s%s\n\n%s\n\noptions:\n", command->name, command->arguments[0] ? " " : "", command->arguments,
           command->about);
    for (size_t i = 0; i < count; i++)
        print_option(&options[i]);
    printf("  %-32s %s\n\n", "-h, --help", "show this help");
    printf("Every option can also be set in the environment as TENEBRA_<NAME> (switches: 1 or 0); the command line overrides it.\n");
    printf("\nexample:\n%s\n", command->example);
}

/* --------------------------------------------------------------- parts -- */

void tn_command_print_parts(const tn_command *command, FILE *out)
{
    if (command->groups != NULL)
        fprintf(out, "usage: tenebra %s [options] %s\n       tenebra %s PART [options]\n\n", command->name, command->arguments,
                command->name);
    else
        fprintf(out, "usage: tenebra %s PART [options]\n\n%s\n\n", command->name, command->about);
    fprintf(out, "parts:\n");
    for (size_t i = 0; command->parts[i] != NULL; i++)
        fprintf(out, "  %-10s %s\n", strchr(command->parts[i]->name, ' ') + 1, command->parts[i]->summary);
    fprintf(out, "\n'tenebra %s PART --help' explains a part", command->name);
    if (command->groups != NULL)
        fprintf(out, "%s\n\n", out == stdout ? "; without one:" : ".");
    else
        fprintf(out, ". Every option can also be set in the environment as\nTENEBRA_<NAME>; the command line overrides "
                     "it.\n\nexample:\n%s\n",
                command->example);
}

bool tn_command_run_part(const tn_command *command, int argc, char **argv, int *exit_code)
{
    for (size_t i = 0; argc > 1 && command->parts[i] != NULL; i++)
        if (strcmp(strchr(command->parts[i]->name, ' ') + 1, argv[1]) == 0) {
            *exit_code = command->parts[i]->run(argc - 1, argv + 1);
            return true;
        }
    return false;
}

void tn_app_print_unknown_command(const char *name, const char *what, const char *word, const tn_command *const *commands)
{
    const char *blank = name[0] != '\0' ? " " : "";
    tn_nearest nearest = tn_nearest_of(word, strlen(word));
    for (size_t i = 0; commands[i] != NULL; i++)
        tn_nearest_try(&nearest, name[0] != '\0' ? strchr(commands[i]->name, ' ') + 1 : commands[i]->name);
    tn_app_tell("tenebra%s%s: there is no %s '%s'%s ('tenebra%s%s --help' lists them)\n", blank, name, what, word,
                tn_nearest_hint(&nearest), blank, name);
}
