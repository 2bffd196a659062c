/* tenebra completion: scripts that complete commands and options in a shell, made from the option tables. */
#include "app/app.h"

#include <stdio.h>
#include <string.h>

enum { OFFERS = sizeof ((tn_command *)0)->offers / sizeof *((tn_command *)0)->offers };

/* What a shell offers for the value of an option. */
typedef enum offer { OFFER_NOTHING, OFFER_WORDS, OFFER_FILES, OFFER_DIRECTORIES } offer;

static offer offer_of(const tn_option *option)
{
    size_t length;
    const char *argument = option->argument != NULL ? option->argument : "";
    if (tn_option_word(option, 0, &length) != NULL)
        return OFFER_WORDS;
    if (strncmp(argument, "DIR", 3) == 0 || strcmp(argument, "OUT") == 0)
        return OFFER_DIRECTORIES;
    return strncmp(argument, "FILE", 4) == 0 ? OFFER_FILES : OFFER_NOTHING;
}

static void print_words(const tn_option *option)
{
    size_t length;
    const char *word;
    for (size_t i = 0; (word = tn_option_word(option, i, &length)) != NULL; i++)
        printf("%s%.*s", i > 0 ? " " : "", (int)length, word);
}

static void print_offers(tn_option_names *names)
{
    const char *word;
    for (size_t i = 0; (word = names(i)) != NULL; i++)
        printf("%s%s", i > 0 ? " " : "", word);
}

/* The number of words of a command's name, which are separated by single spaces. */
static size_t count_words(const char *name)
{
    size_t count = 1;
    for (; *name != '\0'; name++)
        count += *name == ' ';
    return count;
}

/* Prints the text with a backslash before each character of `special`, and without quotes, because all scripts put it between
 * single quotes. */
static void print_plain(const char *text, const char *special)
{
    for (const char *c = text; *c != '\0'; c++)
        if (*c != '\'')
            printf("%s%c", strchr(special, *c) != NULL ? "\\" : "", *c == '\n' ? ' ' : *c);
}

static void print_names(const tn_command *const *commands, bool parts)
{
    for (size_t i = 0; commands[i] != NULL; i++)
        printf("%s%s", i > 0 ? " " : "", parts ? strchr(commands[i]->name, ' ') + 1 : commands[i]->name);
}

/* ---------------------------------------------------------------- bash -- */

static void print_bash_values(const tn_bound_option *options, size_t count)
{
    printf("        case $prev in\n");
    for (size_t i = 0; i < count; i++) {
        const tn_option *row = options[i].row;
        if (row->kind == TN_OPTION_SWITCH)
            continue;
        printf("        --%s", row->name);
        if (row->letter != 0)
            printf("|-%c", row->letter);
        printf(") ");
        switch (offer_of(row)) {
        case OFFER_WORDS:
            printf("words='");
            print_words(row);
            printf("'");
            break;
        case OFFER_FILES:
            printf("kind=file");
            break;
        case OFFER_DIRECTORIES:
            printf("kind=directory");
            break;
        default:
            printf("return");
        }
        printf(" ;;\n");
    }
    printf("        *) words='");
    for (size_t i = 0; i < count; i++)
        printf("--%s ", options[i].row->name);
    printf("--help'; [[ $cur != -* ]] && kind=file ;;\n        esac ;;\n");
}

static void print_bash_command(const tn_command *command, void *user)
{
    (void)user;
    tn_bound_option options[TN_BOUND_OPTIONS_MAX];
    size_t count = tn_command_options(command, NULL, options);
    printf("    '%s')\n", command->name);
    if (command->parts != NULL) {
        printf("        if (( COMP_CWORD == 2 )) && [[ $cur != -* ]]; then\n            words='");
        print_names(command->parts, true);
        printf("'\n        fi\n        [[ -n $words ]] ||\n");
    }
    for (size_t i = 0; i < OFFERS && command->offers[i] != NULL; i++) { /* directly after the command, without options between */
        printf("        if (( COMP_CWORD == %zu )) && [[ $cur != -* ]]; then\n            words='", count_words(command->name) + 1 + i);
        print_offers(command->offers[i]);
        printf("'\n        fi\n        [[ -n $words ]] ||\n");
    }
    print_bash_values(options, count);
}

static void print_bash(void)
{
    printf("# Completion of tenebra for bash, made by 'tenebra completion bash'.\n"
           "_tenebra()\n{\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words='' kind='' command=${COMP_WORDS[1]}\n"
           "    COMPREPLY=()\n"
           "    if (( COMP_CWORD == 1 )); then\n        words='");
    print_names(tn_commands, false);
    printf(" --help --version'\n        command=''\n    fi\n    case \"$command ${COMP_WORDS[2]}\" in\n");
    for (size_t i = 0; tn_commands[i] != NULL; i++)
        for (size_t p = 0; tn_commands[i]->parts != NULL && tn_commands[i]->parts[p] != NULL; p++)
            printf("    '%s') (( COMP_CWORD > 2 )) && command='%s' ;;\n", tn_commands[i]->parts[p]->name,
                   tn_commands[i]->parts[p]->name);
    printf("    esac\n    case $command in\n");
    tn_commands_each(print_bash_command, NULL);
    printf("    esac\n"
           "    if [[ -n $words ]]; then\n        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n    fi\n"
           "    if [[ -n $kind ]]; then\n"
           "        compopt -o filenames 2> /dev/null\n"
           "        local IFS=$'\\n'\n"
           "        if [[ $kind == directory ]]; then\n            COMPREPLY+=($(compgen -d -- \"$cur\"))\n"
           "        else\n            COMPREPLY+=($(compgen -f -- \"$cur\"))\n        fi\n"
           "    fi\n}\n"
           "complete -F _tenebra tenebra\n");
}

/* ----------------------------------------------------------------- zsh -- */

static void print_zsh_option(const tn_bound_option *option)
{
    char line[TN_OPTION_LINE];
    const tn_option *row = option->row;
    const char *star = row->kind == TN_OPTION_LIST ? "*" : "";
    if (row->letter != 0 && row->kind == TN_OPTION_LIST)
        printf("            '*'{-%c,--%s}'[", row->letter, row->name);
    else if (row->letter != 0)
        printf("            '(-%c --%s)'{-%c,--%s}'[", row->letter, row->name, row->letter, row->name);
    else
        printf("            '%s--%s[", star, row->name);
    print_plain(tn_option_describe(option, line), "[]:\\");
    printf("]");
    if (row->kind != TN_OPTION_SWITCH) {
        offer what = offer_of(row);
        printf(":value:%s", what == OFFER_FILES ? "_files" : what == OFFER_DIRECTORIES ? "_files -/" : what == OFFER_WORDS ? "(" : " ");
        if (what == OFFER_WORDS) {
            print_words(row);
            printf(")");
        }
    }
    printf("' \\\n");
}

static void print_zsh_command(const tn_command *command, void *user)
{
    (void)user;
    tn_bound_option options[TN_BOUND_OPTIONS_MAX];
    size_t count = tn_command_options(command, NULL, options);
    printf("    '%s')\n", command->name);
    if (command->parts != NULL) {
        printf("        if (( CURRENT == 2 )); then\n            local -a parts=(\n");
        for (size_t i = 0; command->parts[i] != NULL; i++) {
            printf("                '%s:", strchr(command->parts[i]->name, ' ') + 1);
            print_plain(command->parts[i]->summary, ":\\");
            printf("'\n");
        }
        printf("            )\n            _describe part parts\n%s        fi\n", command->groups == NULL ? "            return\n" : "");
    }
    printf("        _arguments -s \\\n");
    for (size_t i = 0; i < count; i++)
        print_zsh_option(&options[i]);
    for (size_t i = 0; i < OFFERS && command->offers[i] != NULL; i++) {
        printf("            '%zu:word:(", i + 1);
        print_offers(command->offers[i]);
        printf(")' \\\n");
    }
    printf("            '(-h --help)'{-h,--help}'[show this help]' \\\n            '*:file:_files' ;;\n");
}

static void print_zsh(void)
{
    printf("#compdef tenebra\n# Completion of tenebra for zsh, made by 'tenebra completion zsh'.\n"
           "_tenebra()\n{\n    local command=$words[2]\n    if (( CURRENT == 2 )); then\n        local -a commands=(\n");
    for (size_t i = 0; tn_commands[i] != NULL; i++) {
        printf("            '%s:", tn_commands[i]->name);
        print_plain(tn_commands[i]->summary, ":\\");
        printf("'\n");
    }
    printf("        )\n        _describe command commands\n        return\n    fi\n"
           "    shift words\n    (( CURRENT-- ))\n    case \"$command $words[2]\" in\n");
    for (size_t i = 0; tn_commands[i] != NULL; i++)
        for (size_t p = 0; tn_commands[i]->parts != NULL && tn_commands[i]->parts[p] != NULL; p++)
            printf("    '%s') if (( CURRENT > 2 )); then command='%s'; shift words; (( CURRENT-- )); fi ;;\n",
                   tn_commands[i]->parts[p]->name, tn_commands[i]->parts[p]->name);
    printf("    esac\n    case $command in\n");
    tn_commands_each(print_zsh_command, NULL);
    printf("    esac\n}\n"
           "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n    _tenebra \"$@\"\nelse\n    compdef _tenebra tenebra\nfi\n");
}

/* ---------------------------------------------------------------- fish -- */

static void print_fish_command(const tn_command *command, void *user)
{
    (void)user;
    char line[TN_OPTION_LINE];
    tn_bound_option options[TN_BOUND_OPTIONS_MAX];
    size_t count = tn_command_options(command, NULL, options);
    for (size_t i = 0; command->parts != NULL && command->parts[i] != NULL; i++) {
        printf("complete -c tenebra -n '__tenebra_at \"%s\"' -a '%s' -d '", command->name, strchr(command->parts[i]->name, ' ') + 1);
        print_plain(command->parts[i]->summary, "\\");
        printf("'\n");
    }
    for (size_t i = 0; i < OFFERS && command->offers[i] != NULL; i++) {
        printf("complete -c tenebra -n '__tenebra_at \"%s\"; and test (count (commandline -opc)) -eq %zu' -f -a '", command->name,
               count_words(command->name) + 1 + i);
        print_offers(command->offers[i]);
        printf("'\n");
    }
    for (size_t i = 0; i < count; i++) {
        const tn_option *row = options[i].row;
        offer what = row->kind == TN_OPTION_SWITCH ? OFFER_NOTHING : offer_of(row);
        printf("complete -c tenebra -n '__tenebra_at \"%s\"' -l %s", command->name, row->name);
        if (row->letter != 0)
            printf(" -s %c", row->letter);
        if (row->kind != TN_OPTION_SWITCH)
            printf(what == OFFER_FILES ? " -r -F" : " -x");
        if (what == OFFER_DIRECTORIES)
            printf(" -a '(__fish_complete_directories)'");
        if (what == OFFER_WORDS) {
            printf(" -a '");
            print_words(row);
            printf("'");
        }
        printf(" -d '");
        print_plain(tn_option_describe(&options[i], line), "\\");
        printf("'\n");
    }
}

static void print_fish(void)
{
    printf("# Completion of tenebra for fish, made by 'tenebra completion fish'.\n"
           "function __tenebra_at --description 'whether the command line is that of a command, \"\" for none'\n"
           "    set -l words (commandline -opc)\n    set -l command $words[2]\n"
           "    if contains -- \"$words[2] $words[3]\"");
    for (size_t i = 0; tn_commands[i] != NULL; i++)
        for (size_t p = 0; tn_commands[i]->parts != NULL && tn_commands[i]->parts[p] != NULL; p++)
            printf(" '%s'", tn_commands[i]->parts[p]->name);
    printf("\n        set command \"$words[2] $words[3]\"\n    end\n    test \"$command\" = \"$argv[1]\"\nend\n");
    for (size_t i = 0; tn_commands[i] != NULL; i++) {
        printf("complete -c tenebra -n '__tenebra_at \"\"' -f -a '%s' -d '", tn_commands[i]->name);
        print_plain(tn_commands[i]->summary, "\\");
        printf("'\n");
    }
    tn_commands_each(print_fish_command, NULL);
}

/* ------------------------------------------------------------- command -- */

static const struct {
    const char *name;
    void (*print)(void);
} shells[] = { { "bash", print_bash }, { "zsh", print_zsh }, { "fish", print_fish } };

static const char *name_of_shell(size_t index)
{
    return index < sizeof shells / sizeof *shells ? shells[index].name : NULL;
}

static int run_command(int argc, char **argv)
{
    char nothing = 0;
    int exit_code, first = tn_options_parse(&tn_command_completion, &nothing, argc, argv, &exit_code);
    if (first < 0)
        return exit_code;
    for (size_t i = 0; argc - first == 1 && i < sizeof shells / sizeof *shells; i++)
        if (strcmp(shells[i].name, argv[first]) == 0) {
            shells[i].print();
            return TN_EXIT_OK;
        }
    return tn_command_mistake(&tn_command_completion, "requires one shell: bash, zsh or fish");
}

static const tn_option option_table[] = { TN_OPTIONS_END };

const tn_command tn_command_completion = {
    .name = "completion",
    .summary = "write a completion script for a shell",
    .arguments = "bash|zsh|fish",
    .about = "Writes a script to stdout with which the shell completes commands and options. The installation includes these scripts.\n"
             "Without installation, load them with 'source <(tenebra completion bash)' or 'tenebra completion fish | source'; for zsh,\n"
             "save the script as _tenebra in a directory of $fpath.",
    .example = "  source <(tenebra completion bash)",
    .groups = TN_GROUP_OF(option_table),
    .offers = { name_of_shell, NULL },
    .run = run_command,
};
