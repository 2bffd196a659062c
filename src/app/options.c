#include "app/app.h"

#include "base/nearest.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = 192, LONG_ONLY = 1000 };

static bool takes_value(const tn_option *option)
{
    return option->kind != TN_OPTION_FLAG;
}

static size_t count_options(const tn_option *options)
{
    size_t count = 0;
    while (options[count].name != NULL)
        count++;
    return count;
}

static void print_help(const tn_usage *usage, const tn_option *options)
{
    printf("usage: tenebra %s [options]%s%s\n\n%s\n\noptions:\n", usage->command,
           usage->arguments[0] ? " " : "", usage->arguments, usage->summary);
    for (const tn_option *option = options; option->name != NULL; option++) {
        char head[320]; /* the names of all methods fit */
        if (option->letter != 0)
            snprintf(head, sizeof head, "-%c, --%s %s", option->letter, option->name,
                     takes_value(option) ? option->argument : "");
        else
            snprintf(head, sizeof head, "    --%s %s", option->name,
                     takes_value(option) ? option->argument : "");
        printf("  %-32s%s%s\n", head, strlen(head) > 32 ? "\n                                   " : " ", option->help);
    }
    printf("  %-32s %s\n\n", "-h, --help", "show this text");
    printf("Every option is also read from the environment as TENEBRA_<NAME>; the command line wins.\n");
    printf("\nexample:\n%s\n", usage->example);
}

static int read_environment(const tn_usage *usage, const tn_option *options)
{
    for (const tn_option *option = options; option->name != NULL; option++) {
        char variable[TN_OPTION_VARIABLE_SIZE], source[TN_OPTION_VARIABLE_SIZE + 1];
        const char *value = getenv(tn_option_variable(option->name, variable));
        if (value == NULL || value[0] == '\0')
            continue;
        snprintf(source, sizeof source, "%s=", variable);
        int code = tn_option_store(usage, option, value, source);
        if (code != TN_EXIT_OK)
            return code;
    }
    return TN_EXIT_OK;
}

/* The option that a misspelt one may have meant; "" where none is near. */
static void find_nearest(const tn_option *options, const char *argument, char hint[TN_OPTION_VARIABLE_SIZE])
{
    tn_nearest nearest = tn_nearest_of(argument + 2, strcspn(argument + 2, "="));
    for (const tn_option *option = options; option->name != NULL; option++)
        tn_nearest_try(&nearest, option->name);
    if (nearest.name[0] != '\0')
        snprintf(hint, TN_OPTION_VARIABLE_SIZE, "; did you mean '--%s'?", nearest.name);
}

/* How many options begin as a long option on the command line does. */
static size_t count_beginnings(const tn_option *options, const char *argument)
{
    size_t count = 0, length = strcspn(argument + 2, "=");
    for (const tn_option *option = options; option->name != NULL; option++)
        count += strncmp(option->name, argument + 2, length) == 0;
    return count;
}

/* What getopt_long did not understand, in the words of the other messages. */
static int explain_mistake(const tn_usage *usage, const tn_option *options, const char *argument, bool lacks_value)
{
    bool long_name = strncmp(argument, "--", 2) == 0;
    char letter[] = { '-', (char)optopt, '\0' }, hint[TN_OPTION_VARIABLE_SIZE] = "";
    bool value_given = long_name && optopt != 0 && strchr(argument, '=') != NULL;
    bool several = long_name && !value_given && count_beginnings(options, argument) > 1;
    const char *shown = long_name || optopt == 0 || optopt >= LONG_ONLY ? argument : letter;
    if (long_name && !lacks_value && !value_given && !several)
        find_nearest(options, argument, hint);
    tn_app_tell("tenebra %s: %s %s%s ('tenebra %s --help' lists the options)\n", usage->command, shown,
            lacks_value   ? "requires a value"
            : value_given ? "takes no value"
            : several     ? "is the start of several options"
                          : "is not an option",
            hint, usage->command);
    return TN_EXIT_USAGE;
}

int tn_options_parse(const tn_usage *usage, const tn_option *options, int argc, char **argv,
                     int *exit_code)
{
    struct option rows[MAX_OPTIONS + 2] = { 0 };
    char letters[3 * MAX_OPTIONS + 3] = ":h"; /* ':': a missing value is told apart */
    size_t count = count_options(options), end = 2;
    for (size_t i = 0; i < count && i < MAX_OPTIONS; i++) {
        const tn_option *option = &options[i];
        rows[i] = (struct option){ option->name, takes_value(option) ? required_argument : no_argument, NULL,
                                   LONG_ONLY + (int)i };
        if (option->letter != 0) {
            letters[end++] = option->letter;
            if (takes_value(option))
                letters[end++] = ':';
        }
    }
    rows[count] = (struct option){ "help", no_argument, NULL, 'h' };
    *exit_code = read_environment(usage, options);
    if (*exit_code != TN_EXIT_OK)
        return -1;

    bool list_cleared[MAX_OPTIONS] = { false };
    optind = 1;
    opterr = 0;
    for (int found; (found = getopt_long(argc, argv, letters, rows, NULL)) != -1;) {
        if (found == 'h') {
            print_help(usage, options);
            return -1;
        }
        size_t index = found >= LONG_ONLY ? (size_t)(found - LONG_ONLY) : count;
        for (size_t i = 0; i < count && index == count; i++)
            if (options[i].letter != 0 && options[i].letter == found)
                index = i;
        if (index == count) {
            *exit_code = explain_mistake(usage, options, argv[optind - 1], found == ':');
            return -1;
        }
        if (options[index].given != NULL)
            *options[index].given = true;
        if (options[index].kind == TN_OPTION_LIST && !list_cleared[index]) {
            ((tn_option_list *)options[index].target)->count = 0;
            list_cleared[index] = true;
        }
        char source[TN_OPTION_VARIABLE_SIZE];
        snprintf(source, sizeof source, "--%s ", options[index].name);
        *exit_code = tn_option_store(usage, &options[index], optarg, source);
        if (*exit_code != TN_EXIT_OK)
            return -1;
    }
    return optind;
}

void tn_app_print_unknown_command(const char *program, const char *what, const char *name, const tn_command *commands)
{
    tn_nearest nearest = tn_nearest_of(name, strlen(name));
    for (const tn_command *command = commands; command->name != NULL; command++)
        tn_nearest_try(&nearest, command->name);
    tn_app_tell("%s: there is no %s '%s'%s ('%s --help' lists them)\n", program, what, name, tn_nearest_hint(&nearest), program);
}
