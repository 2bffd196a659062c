#include "app/app.h"

#include <ctype.h>
#include <errno.h>
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

static int mistake(const tn_usage *usage, const tn_option *option, const char *value, const char *sentence)
{
    fprintf(stderr, "tenebra %s: --%s '%s': %s\n", usage->command, option->name, value, sentence);
    return TN_EXIT_USAGE;
}

/* Whether `value` is one of the words of "a|b|c"; a list without '|' allows everything. */
static bool is_choice(const char *choices, const char *value)
{
    if (strchr(choices, '|') == NULL)
        return true;
    size_t length = strlen(value);
    for (const char *word = choices; word != NULL; word = strchr(word, '|')) {
        word += *word == '|';
        if (strncmp(word, value, length) == 0 && (word[length] == '|' || word[length] == '\0'))
            return true;
    }
    return false;
}

static int store_number(const tn_usage *usage, const tn_option *option, const char *value)
{
    char *end;
    errno = 0;
    double number = strtod(value, &end);
    bool bounded = option->minimum != 0 || option->maximum != 0;
    char sentence[128];
    if (end == value || *end != '\0' || errno != 0 || !(number == number))
        return mistake(usage, option, value, "is not a number");
    if (option->kind == TN_OPTION_SIZE && (strpbrk(value, ".eExX") != NULL || number < 0)) {
        snprintf(sentence, sizeof sentence, "must be a whole number%s", strcmp(option->name, "threads") == 0 ?
                 " of threads (for the temperature use --temp)" : "");
        return mistake(usage, option, value, sentence);
    }
    if (bounded ? !(number >= option->minimum && number <= option->maximum) : !(number >= 0 && number <= 1e18)) {
        snprintf(sentence, sizeof sentence, "must lie between %.15g and %.15g", option->minimum,
                 bounded ? option->maximum : 1e18);
        return mistake(usage, option, value, sentence);
    }
    if (option->kind == TN_OPTION_SIZE)
        *(size_t *)option->target = (size_t)number;
    else
        *(double *)option->target = number;
    return TN_EXIT_OK;
}

static int store_list(const tn_option *option, const char *value)
{
    tn_option_list *list = option->target;
    const char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (items == NULL)
        return TN_EXIT_FAILED;
    list->items = items;
    list->items[list->count++] = value;
    return TN_EXIT_OK;
}

static int store(const tn_usage *usage, const tn_option *option, const char *value)
{
    switch (option->kind) {
    case TN_OPTION_FLAG:
        *(bool *)option->target = true;
        return TN_EXIT_OK;
    case TN_OPTION_TEXT:
        if (!is_choice(option->argument, value)) {
            char sentence[256];
            snprintf(sentence, sizeof sentence, "choose one of %s", option->argument);
            return mistake(usage, option, value, sentence);
        }
        *(const char **)option->target = value;
        return TN_EXIT_OK;
    case TN_OPTION_LIST:
        return store_list(option, value);
    default:
        return store_number(usage, option, value);
    }
}

static int read_environment(const tn_usage *usage, const tn_option *options)
{
    for (const tn_option *option = options; option->name != NULL; option++) {
        char name[64] = "TENEBRA_";
        size_t length = strlen(name);
        for (const char *c = option->name; *c != '\0' && length + 1 < sizeof name; c++)
            name[length++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
        name[length] = '\0';
        const char *value = getenv(name);
        if (value == NULL || value[0] == '\0')
            continue;
        if (option->kind == TN_OPTION_FLAG && strcmp(value, "0") == 0)
            continue;
        int code = store(usage, option, value);
        if (code != TN_EXIT_OK)
            return code;
    }
    return TN_EXIT_OK;
}

/* What getopt_long did not understand, in the words of the other messages. */
static int explain_mistake(const tn_usage *usage, const char *argument, bool lacks_value)
{
    bool long_name = strncmp(argument, "--", 2) == 0;
    char letter[] = { '-', (char)optopt, '\0' };
    bool value_given = long_name && optopt != 0 && strchr(argument, '=') != NULL;
    const char *shown = long_name || optopt == 0 || optopt >= LONG_ONLY ? argument : letter;
    fprintf(stderr, "tenebra %s: %s %s; 'tenebra %s --help' lists the options\n", usage->command, shown,
            lacks_value   ? "wants a value behind it"
            : value_given ? "takes no value"
                          : "is no option, or the start of several",
            usage->command);
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
            *exit_code = explain_mistake(usage, argv[optind - 1], found == ':');
            return -1;
        }
        if (options[index].given != NULL)
            *options[index].given = true;
        if (options[index].kind == TN_OPTION_LIST && !list_cleared[index]) {
            ((tn_option_list *)options[index].target)->count = 0;
            list_cleared[index] = true;
        }
        *exit_code = store(usage, &options[index], optarg);
        if (*exit_code != TN_EXIT_OK)
            return -1;
    }
    return optind;
}
