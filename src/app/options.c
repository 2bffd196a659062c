/* Reads the options of a command from the environment, a file and the command line into its record. */
#include "app/app.h"
#include "app/method_table.h"

#include "base/nearest.h"

#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

enum { LONG_ONLY = 1000, PREFIX = sizeof "TENEBRA_" - 1, LIST_SIZE = 400 };

size_t tn_command_options(const tn_command *command, void *record, tn_bound_option bound[TN_BOUND_OPTIONS_MAX])
{
    size_t count = 0;
    for (const tn_option_group *group = command->groups; group != NULL && group->offset != SIZE_MAX; group++) {
        void *inner = record != NULL ? (char *)record + group->offset : NULL;
        for (const tn_option *row = group->rows; row != NULL && row->name != NULL && count < TN_BOUND_OPTIONS_MAX; row++)
            bound[count++] = (tn_bound_option){ .row = row, .record = inner,
                                                .given = inner != NULL && row->given > 0 ? (bool *)inner + row->given : NULL };
        if (group->rows == NULL)
            count += tn_method_table_bind(inner, bound + count, TN_BOUND_OPTIONS_MAX - count);
    }
    return count;
}

/* ------------------------------------------------------------ one value -- */

/* `source`: the text before the value in a message. */
static int store(const tn_command *command, const tn_bound_option *option, const char *value, const char *source)
{
    tenebra_error error = { 0 };
    tenebra_code code = option->setting ? tn_option_check(option->row, value, &error)
                                        : tn_option_read(option->row, value, option->record, &error);
    if (code != TENEBRA_OK) {
        tn_app_tell("tenebra %s: %s%s\n", command->name, source, error.sentence);
        return code == TENEBRA_ERROR_ARGUMENT ? TN_EXIT_USAGE : TN_EXIT_FAILED;
    }
    if (option->setting)
        *option->text = value;
    return TN_EXIT_OK;
}

static int start(const tn_command *command, const tn_bound_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char variable[TN_OPTION_VARIABLE_SIZE], source[TN_OPTION_VARIABLE_SIZE + 1];
        int code = TN_EXIT_OK;
        if (options[i].row->value != NULL && !options[i].setting)
            code = store(command, &options[i], options[i].row->value, "default ");
        const char *value = getenv(tn_option_variable(options[i].row->name, variable));
        snprintf(source, sizeof source, "%s=", variable);
        if (code == TN_EXIT_OK && value != NULL && value[0] != '\0')
            code = store(command, &options[i], value, source);
        if (code != TN_EXIT_OK)
            return code;
    }
    return TN_EXIT_OK;
}

/* Values that the environment added to a list are dropped when the list is filled from a file or the command line. */
static void clear_lists(const tn_bound_option *option, bool *cleared)
{
    if (option->row->kind == TN_OPTION_LIST && !*cleared)
        ((tn_option_list *)(void *)((char *)option->record + option->row->offset))->count = 0;
    *cleared = true;
}

int tn_options_set(const tn_command *command, void *record, const char *name, const char *value, const char *place)
{
    tn_bound_option options[TN_BOUND_OPTIONS_MAX];
    size_t count = tn_command_options(command, record, options);
    tn_nearest nearest = tn_nearest_of(name, strlen(name));
    char source[TN_OPTION_LINE];
    for (size_t i = 0; i < count; i++) {
        bool cleared = false;
        tn_nearest_try(&nearest, options[i].row->name);
        if (!tn_option_is_same_name(options[i].row->name, name))
            continue;
        clear_lists(&options[i], &cleared);
        if (options[i].given != NULL)
            *options[i].given = true;
        snprintf(source, sizeof source, "%s: \"%s\" ", place, name);
        return store(command, &options[i], value, source);
    }
    tn_app_tell("tenebra %s: %s: \"%s\" is not an option%s ('tenebra %s --help' lists the options)\n", command->name, place, name,
                tn_nearest_hint(&nearest), command->name);
    return TN_EXIT_USAGE;
}

/* --------------------------------------------------------- command line -- */

/* The number of options that begin with the given abbreviation. Their names are written to `list`, as many as fit. */
static size_t find_beginnings(const tn_bound_option *options, size_t count, const char *argument, char list[LIST_SIZE])
{
    size_t found = 0, used = 0, length = strcspn(argument + 2, "=");
    list[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        const char *name = options[i].row->name, *before = found > 0 ? ", --" : "--";
        if (strncmp(name, argument + 2, length) != 0)
            continue;
        if (strlen(before) + strlen(name) < LIST_SIZE - used)
            used += (size_t)snprintf(list + used, LIST_SIZE - used, "%s%s", before, name);
        found++;
    }
    return found;
}

/* The option whose long name an argument gives after a single dash, alone or before '='; NULL: none. */
static const char *one_dash(const tn_bound_option *options, size_t count, const char *argument)
{
    if (argument == NULL || argument[0] != '-' || argument[1] == '-')
        return NULL;
    size_t length = strcspn(argument + 1, "=");
    for (size_t i = 0; i < count; i++)
        if (length > 1 && strlen(options[i].row->name) == length && strncmp(options[i].row->name, argument + 1, length) == 0)
            return options[i].row->name;
    return NULL;
}

static int explain_one_dash(const tn_command *command, const char *name)
{
    tn_app_tell("tenebra %s: -%s is not an option; did you mean '--%s'? ('tenebra %s --help' lists the options)\n", command->name, name,
                name, command->name);
    return TN_EXIT_USAGE;
}

/* Reports what getopt_long did not understand, with our own message. */
static int explain_mistake(const tn_command *command, const tn_bound_option *options, size_t count, const char *argument,
                           bool lacks_value)
{
    bool long_name = strncmp(argument, "--", 2) == 0;
    char letter[] = { '-', (char)optopt, '\0' }, hint[LIST_SIZE + 2] = "", list[LIST_SIZE];
    bool value_given = long_name && optopt != 0 && strchr(argument, '=') != NULL;
    bool several = long_name && !value_given && find_beginnings(options, count, argument, list) > 1;
    const char *shown = long_name || optopt == 0 || optopt >= LONG_ONLY ? argument : letter;
    tn_nearest nearest = tn_nearest_of(argument + long_name + 1, strcspn(argument + long_name + 1, "="));
    for (size_t i = 0; i < count; i++)
        tn_nearest_try(&nearest, options[i].row->name);
    if (long_name && !lacks_value && !value_given && !several && nearest.name[0] != '\0')
        snprintf(hint, sizeof hint, "; did you mean '--%s'?", nearest.name);
    if (several)
        snprintf(hint, sizeof hint, ": %s", list);
    tn_app_tell("tenebra %s: %s %s%s ('tenebra %s --help' lists the options)\n", command->name, shown,
            lacks_value   ? "requires a value"
            : value_given ? "takes no value"
            : several     ? "is the start of several options"
                          : "is not an option",
            hint, command->name);
    return TN_EXIT_USAGE;
}

/* The tables of getopt_long, which returns an option's letter, or LONG_ONLY + its index. */
static void fill_getopt(const tn_bound_option *options, size_t count, struct option *rows, char *letters)
{
    size_t end = 0;
    letters[end++] = ':'; /* a missing value is returned as ':' */
    letters[end++] = 'h';
    for (size_t i = 0; i < count; i++) {
        bool takes_value = options[i].row->kind != TN_OPTION_SWITCH;
        rows[i] = (struct option){ options[i].row->name, takes_value ? required_argument : no_argument, NULL, LONG_ONLY + (int)i };
        if (options[i].row->letter != 0) {
            letters[end++] = options[i].row->letter;
            if (takes_value)
                letters[end++] = ':';
        }
    }
    rows[count] = (struct option){ "help", no_argument, NULL, 'h' };
}

static int read_command_line(const tn_command *command, const tn_bound_option *options, size_t count, int argc, char **argv,
                             bool *cleared, int *exit_code)
{
    struct option rows[TN_BOUND_OPTIONS_MAX + 2] = { 0 };
    char letters[3 * TN_BOUND_OPTIONS_MAX + 3] = "";
    fill_getopt(options, count, rows, letters);
    optind = 1;
    opterr = 0;
    for (int found; (found = getopt_long(argc, argv, letters, rows, NULL)) != -1;) {
        if (found == 'h') {
            tn_command_print_help(command);
            *exit_code = TN_EXIT_OK;
            return -1;
        }
        size_t index = found >= LONG_ONLY ? (size_t)(found - LONG_ONLY) : count;
        for (size_t i = 0; i < count && index == count; i++)
            if (options[i].row->letter != 0 && options[i].row->letter == found)
                index = i;
        /* Letters are taken from argv[optind] until it is used up; a value is in the same argument as its letter, or comes next. */
        const char *last = argv[optind - 1], *name = one_dash(options, count, found == '?' ? argv[optind] : NULL);
        if (name == NULL && (found == '?' || (found < LONG_ONLY && optarg == last + 2)))
            name = one_dash(options, count, last);
        if (name != NULL) {
            *exit_code = explain_one_dash(command, name);
            return -1;
        }
        if (index == count) {
            *exit_code = explain_mistake(command, options, count, argv[optind - 1], found == ':');
            return -1;
        }
        char source[TN_OPTION_VARIABLE_SIZE];
        snprintf(source, sizeof source, "--%s ", options[index].row->name);
        clear_lists(&options[index], &cleared[index]);
        if (options[index].given != NULL)
            *options[index].given = true;
        *exit_code = store(command, &options[index], optarg, source);
        if (*exit_code != TN_EXIT_OK)
            return -1;
    }
    return optind;
}

int tn_options_parse_with(const tn_command *command, void *record, tn_options_set_fn *set, void *user, int argc, char **argv,
                          int *exit_code)
{
    tn_bound_option options[TN_BOUND_OPTIONS_MAX];
    bool cleared[TN_BOUND_OPTIONS_MAX] = { false };
    size_t count = tn_command_options(command, record, options);
    *exit_code = start(command, options, count);
    if (*exit_code == TN_EXIT_OK && set != NULL) {
        *exit_code = set(command, record, user);
        memset(cleared, true, sizeof cleared); /* values of a list from the file and the command line are combined */
    }
    return *exit_code == TN_EXIT_OK ? read_command_line(command, options, count, argc, argv, cleared, exit_code) : -1;
}

int tn_options_parse(const tn_command *command, void *record, int argc, char **argv, int *exit_code)
{
    return tn_options_parse_with(command, record, NULL, NULL, argc, argv, exit_code);
}

/* --------------------------------------------------------- environment -- */

char *tn_option_variable(const char *option, char variable[TN_OPTION_VARIABLE_SIZE])
{
    size_t length = (size_t)snprintf(variable, TN_OPTION_VARIABLE_SIZE, "TENEBRA_");
    for (const char *c = option; *c != '\0' && length + 1 < TN_OPTION_VARIABLE_SIZE; c++)
        variable[length++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    variable[length] = '\0';
    return variable;
}

/* Variables that the build and the tests use. */
static const char *const others[] = { "TENEBRA_CMAKE_ARGS", "TENEBRA_EVAL_DATA", "TENEBRA_QWEN_TOKENIZER", NULL };

typedef struct search {
    const char *entry; /* "NAME=VALUE" */
    bool known;
    tn_nearest nearest; /* of the options' names */
} search;

static bool is_variable(const char *name, const char *entry)
{
    size_t length = strlen(name);
    return strncmp(name, entry, length) == 0 && entry[length] == '=';
}

static void look_in(const tn_command *command, void *user)
{
    search *s = user;
    tn_bound_option options[TN_BOUND_OPTIONS_MAX];
    size_t count = tn_command_options(command, NULL, options);
    char variable[TN_OPTION_VARIABLE_SIZE];
    for (size_t i = 0; i < count; i++) {
        s->known |= is_variable(tn_option_variable(options[i].row->name, variable), s->entry);
        tn_nearest_try(&s->nearest, options[i].row->name);
    }
}

void tn_options_note_unknown_variables(void)
{
    char variable[TN_OPTION_VARIABLE_SIZE];
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        if (strncmp(*entry, "TENEBRA_", PREFIX) != 0)
            continue;
        search s = { .entry = *entry, .nearest = tn_nearest_of(*entry + PREFIX, strcspn(*entry + PREFIX, "=")) };
        for (size_t i = 0; others[i] != NULL; i++)
            s.known |= is_variable(others[i], *entry);
        tn_commands_each(look_in, &s);
        bool near = s.nearest.name[0] != '\0';
        if (!s.known)
            tn_app_tell("note: no command reads %.*s from the environment%s%s%s\n", (int)strcspn(*entry, "="), *entry,
                        near ? "; did you mean " : "", near ? tn_option_variable(s.nearest.name, variable) : "", near ? "?" : "");
    }
}
