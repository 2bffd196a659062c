/* tenebra manual: man pages, made from the option tables. */
#include "app/app.h"

#include "base/output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef TENEBRA_VERSION
#define TENEBRA_VERSION "unknown"
#endif

/* Prints a text for troff: '-' becomes a minus sign, a line may end after '|', and none begins with a character that starts a
 * request. */
static void put_text(FILE *out, const char *text)
{
    bool starts = true;
    for (const char *c = text; *c != '\0'; c++) {
        if (starts && (*c == '.' || *c == '\''))
            fputs("\\&", out);
        if (*c == '\\')
            fputs("\\e", out);
        else if (*c == '-')
            fputs("\\-", out);
        else if (*c == '|')
            fputs("|\\:", out);
        else
            fputc(*c, out);
        starts = *c == '\n';
    }
}

/* "tenebra\-eval\-table". */
static void put_page_name(FILE *out, const char *command)
{
    fprintf(out, "tenebra%s", command[0] != '\0' ? "\\-" : "");
    for (const char *c = command; *c != '\0'; c++)
        if (*c == ' ')
            fputs("\\-", out);
        else
            fputc(*c, out);
}

static void put_head(FILE *out, const char *command, const char *summary)
{
    fputs(".TH \"", out);
    put_page_name(out, command);
    fprintf(out, "\" 1 \"\" \"tenebra %s\" \"User Commands\"\n.SH NAME\n", TENEBRA_VERSION);
    put_page_name(out, command);
    fputs(" \\- ", out);
    put_text(out, summary);
    fputs("\n.SH SYNOPSIS\n", out);
}

static void put_option(FILE *out, const tn_bound_option *option)
{
    char argument[TN_OPTION_LINE], line[TN_OPTION_LINE], variable[TN_OPTION_VARIABLE_SIZE];
    const tn_option *row = option->row;
    fputs(".TP\n", out);
    if (row->letter != 0)
        fprintf(out, "\\fB\\-%c\\fR, ", row->letter);
    fputs("\\fB\\-\\-", out);
    put_text(out, row->name);
    fputs("\\fR", out);
    if (row->kind != TN_OPTION_SWITCH) {
        fputs(" \\fI", out);
        put_text(out, tn_option_argument(row, argument));
        fputs("\\fR", out);
    }
    fputc('\n', out);
    put_text(out, tn_option_describe(option, line));
    fprintf(out, ". Environment: \\fB%s\\fR.\n", tn_option_variable(row->name, variable));
}

static void put_examples(FILE *out, const char *example)
{
    fputs(".SH EXAMPLES\n.nf\n", out);
    put_text(out, example);
    fputs("\n.fi\n", out);
}

static const char ending[] =
    ".SH EXIT STATUS\n0: success; 1: failure; 2: wrong usage.\n"
    ".SH ENVIRONMENT\nEvery option can also be set in the environment as \\fBTENEBRA_\\fINAME\\fR (switches: 1 or 0); the command "
    "line overrides it.\n";

static void put_see_also(FILE *out, const tn_command *const *commands)
{
    fputs(".SH SEE ALSO\n", out);
    for (size_t i = 0; commands[i] != NULL; i++) {
        fputs(i > 0 ? ",\n.BR " : ".BR ", out);
        put_page_name(out, commands[i]->name);
        fputs(" (1)", out);
    }
    fputc('\n', out);
}

static void put_command(FILE *out, const tn_command *command)
{
    tn_bound_option options[TN_BOUND_OPTIONS_MAX];
    size_t count = tn_command_options(command, NULL, options);
    put_head(out, command->name, command->summary);
    if (command->groups != NULL) {
        fprintf(out, ".B tenebra %s\n[options] ", command->name);
        put_text(out, command->arguments);
        fputs("\n", out);
    }
    if (command->parts != NULL)
        fprintf(out, "%s.B tenebra %s\n\\fIPART\\fR [options]\n", command->groups != NULL ? ".br\n" : "", command->name);
    fputs(".SH DESCRIPTION\n", out);
    put_text(out, command->about);
    fputc('\n', out);
    if (count > 0)
        fputs(".SH OPTIONS\n", out);
    for (size_t i = 0; i < count; i++)
        put_option(out, &options[i]);
    put_examples(out, command->example);
    fputs(ending, out);
    if (command->parts != NULL)
        put_see_also(out, command->parts);
}

static void put_overview(FILE *out)
{
    put_head(out, "", "multimodal latent reasoning on vision-language models");
    fputs(".B tenebra\n\\fICOMMAND\\fR [options]\n.SH COMMANDS\n", out);
    for (size_t i = 0; tn_commands[i] != NULL; i++) {
        fprintf(out, ".TP\n.B %s\n", tn_commands[i]->name);
        put_text(out, tn_commands[i]->summary);
        fputc('\n', out);
    }
    fputs(ending, out);
    put_see_also(out, tn_commands);
}

/* ------------------------------------------------------------- command -- */

typedef struct manual_options {
    const char *directory;
} manual_options;

#define TN_RECORD manual_options
static const tn_option option_table[] = {
    TN_TEXT('o', "output", directory, "DIR", NULL, "write the pages of all commands into this directory"),
    TN_OPTIONS_END
};

/* Writes the page of a command, or the overview if `command` is NULL. */
static tenebra_code write_page(const char *directory, const tn_command *command, tenebra_error *error)
{
    char path[4096], *page = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&page, &length);
    if (out == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, directory, "no memory for a page");
    if (command != NULL)
        put_command(out, command);
    else
        put_overview(out);
    if (fclose(out) != 0)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, directory, "no memory for a page");
    snprintf(path, sizeof path, "%s/tenebra%s%s.1", directory, command != NULL ? "-" : "", command != NULL ? command->name : "");
    for (char *c = path + strlen(directory); *c != '\0'; c++)
        *c = *c == ' ' ? '-' : *c;
    tenebra_code code = tn_output_put(path, page, length, error);
    free(page);
    return code;
}

typedef struct writing {
    const char *directory;
    tenebra_code code;
    tenebra_error error;
} writing;

static void write_command(const tn_command *command, void *user)
{
    writing *w = user;
    if (w->code == TENEBRA_OK)
        w->code = write_page(w->directory, command, &w->error);
}

typedef struct search {
    const char *name;
    const tn_command *found;
} search;

static void compare_name(const tn_command *command, void *user)
{
    search *s = user;
    if (strcmp(command->name, s->name) == 0)
        s->found = command;
}

static int run_command(int argc, char **argv)
{
    manual_options options = { 0 };
    int exit_code, first = tn_options_parse(&tn_command_manual, &options, argc, argv, &exit_code);
    if (first < 0)
        return exit_code;
    if (argc - first > 2 || (options.directory != NULL && first < argc))
        return tn_command_mistake(&tn_command_manual, "requires one command (with its part), or a directory (-o)");
    if (options.directory != NULL) {
        writing w = { .directory = options.directory };
        w.code = write_page(options.directory, NULL, &w.error);
        tn_commands_each(write_command, &w);
        return w.code == TENEBRA_OK ? TN_EXIT_OK : tn_app_fail(&w.error);
    }
    char name[80];
    snprintf(name, sizeof name, "%s%s%s", first < argc ? argv[first] : "", argc - first == 2 ? " " : "",
             argc - first == 2 ? argv[first + 1] : "");
    search s = { .name = name };
    tn_commands_each(compare_name, &s);
    if (s.found == NULL && first < argc) {
        tn_app_print_unknown_command("", "command", name, tn_commands);
        return TN_EXIT_USAGE;
    }
    if (s.found != NULL)
        put_command(stdout, s.found);
    else
        put_overview(stdout);
    return TN_EXIT_OK;
}

const tn_command tn_command_manual = {
    .name = "manual",
    .summary = "write man pages",
    .arguments = "[COMMAND [PART]]",
    .about = "Writes the man page of a command, or of the program, to stdout, for 'man -l -'. The installation includes the pages.",
    .example = "  tenebra manual eval table | man -l -",
    .groups = TN_GROUP_OF(option_table),
    .offers = { tn_names_of_commands, tn_names_of_parts },
    .run = run_command,
};
