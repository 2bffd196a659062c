/* The program: commands, options, printing, exit codes. Only this layer prints. */
#ifndef TN_APP_APP_H
#define TN_APP_APP_H

#include "base/notes.h"
#include "base/option.h"
#include "base/status.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes of every command. */
enum { TN_EXIT_OK = 0, TN_EXIT_FAILED = 1, TN_EXIT_USAGE = 2 };

/* Rows of a command's options, and where in the command's record their record lies. */
typedef struct tn_option_group {
    const tn_option *rows; /* NULL: the options of all methods; their record is a tn_method_table */
    size_t offset;
} tn_option_group;

#define TN_GROUPS_END     { NULL, SIZE_MAX }
#define TN_GROUP_OF(rows) ((const tn_option_group[]){ { rows, 0 }, TN_GROUPS_END })

/* A command, or a part of one: all that help, man pages and completion say about it. */
typedef struct tn_command {
    const char *name;      /* as it is written, e.g. "eval table"                     */
    const char *summary;   /* one line                                                */
    const char *arguments; /* positional ones, e.g. "CASE ...", or ""     */
    const char *about;     /* paragraphs                                              */
    const char *example;
    const tn_option_group *groups; /* ends with TN_GROUPS_END; NULL: it has parts only */
    const struct tn_command *const *parts; /* NULL-terminated; NULL: none             */
    int (*run)(int argc, char **argv);     /* argv[0] is the last word of the name    */
} tn_command;

/* All commands, NULL-terminated. */
extern const tn_command *const tn_commands[];

extern const tn_command tn_command_run, tn_command_train, tn_command_eval, tn_command_inspect, tn_command_quantize,
    tn_command_tokenize, tn_command_verify, tn_command_bench, tn_command_data, tn_command_completion, tn_command_manual;

/* "tenebra: where: sentence" on stderr. */
void tn_app_print_error(const tenebra_error *error);

/* Prints the error and returns the exit code that belongs to it (USAGE for ARGUMENT). */
int tn_app_fail(const tenebra_error *error);

/* "tenebra COMMAND: SENTENCE; 'tenebra COMMAND --help' explains" on stderr. Returns USAGE. */
int tn_command_mistake(const tn_command *command, const char *sentence);

/* ------------------------------------------------------------- options -- */

/* A row of a command's table with the record that it fills. */
typedef struct tn_bound_option {
    const tn_option *row;
    void *record;
    bool setting;      /* of a method: the text itself is kept in *text, once it is checked */
    const char **text;
    bool *given;       /* set when the option stands on the command line; may be NULL */
} tn_bound_option;

enum { TN_BOUND_OPTIONS_MAX = 192 };

/* All options of a command; `record` NULL: the rows alone. Returns how many there are. */
size_t tn_command_options(const tn_command *command, void *record, tn_bound_option bound[TN_BOUND_OPTIONS_MAX]);

/* Fills the record by the command's table: defaults, then the environment (TENEBRA_<NAME>), then argv; --help is added. Returns the
 * index of the first positional argument (argc if none), or -1 when the command is over: then *exit_code is set (help printed:
 * OK; mistake printed: USAGE). */
int tn_options_parse(const tn_command *command, void *record, int argc, char **argv, int *exit_code);

/* The same with the options of a file between the environment and argv: `set` calls tn_options_set for each. */
typedef int tn_options_set_fn(const tn_command *command, void *record, void *user);
int tn_options_parse_with(const tn_command *command, void *record, tn_options_set_fn *set, void *user, int argc, char **argv,
                          int *exit_code);

/* Sets the option of that name ('_' and '-' are alike) as the command line would. `place` is where it stands, for mistakes. Returns an
 * exit code; a mistake is printed. */
int tn_options_set(const tn_command *command, void *record, const char *name, const char *value, const char *place);

/* One line about an option: its help, its default, and for options of methods which have it. Returns `line`. */
enum { TN_OPTION_LINE = 320 };
char *tn_option_describe(const tn_bound_option *option, char line[TN_OPTION_LINE]);

/* What stands for the value: "N", or its words as "a|b|c"; "" for a switch. Returns `shown`. */
char *tn_option_argument(const tn_option *option, char shown[TN_OPTION_LINE]);

/* The name of the variable that an option is read from, "TENEBRA_<NAME>". Returns `variable`. */
enum { TN_OPTION_VARIABLE_SIZE = 72 };
char *tn_option_variable(const char *option, char variable[TN_OPTION_VARIABLE_SIZE]);

/* A note on stderr for each variable TENEBRA_... of the environment that no command reads, with the nearest that one does. */
void tn_options_note_unknown_variables(void);

/* Calls `visit` for every command and part. */
typedef void tn_command_fn(const tn_command *command, void *user);
void tn_commands_each(tn_command_fn *visit, void *user);

/* Prints the help of a command with options. */
void tn_command_print_help(const tn_command *command);

/* Prints usage and parts of a command that has parts, with the example where it has no options. */
void tn_command_print_parts(const tn_command *command, FILE *out);

/* Runs the part that argv[1] names. Returns false, and leaves *exit_code alone, where it names none. */
bool tn_command_run_part(const tn_command *command, int argc, char **argv, int *exit_code);

/* "tenebra NAME: there is no WHAT 'WORD'", with the nearest of the commands, on stderr. `name` may be "". */
void tn_app_print_unknown_command(const char *name, const char *what, const char *word, const tn_command *const *commands);

/* Names that options take: methods, wordings of prompts, chat templates, kernel sets, shapes of random models. */
tn_option_names tn_names_of_methods, tn_names_of_presets, tn_names_of_templates, tn_names_of_kernels, tn_names_of_shapes;

/* ------------------------------------------------------- default model -- */

typedef struct tn_app_path {
    char text[4096];
} tn_app_path;

/* The directory of the model that comes with the program, in *path, for commands without -m; NULL where it is
 * neither installed nor in the build directory of the running program. */
const char *tn_app_default_model(tn_app_path *path);

/* The directory that -m means: of a model in the cache of the Hugging Face hub the snapshot, in *path; else what was given, even
 * where there is no such directory, which opening it tells. NULL gives NULL. */
const char *tn_app_model_directory(const char *given, tn_app_path *path);

/* One line on stderr about what the files of a model say and nothing here uses, if there is any. */
void tn_app_tell_notes(const tenebra_model *model);

/* The same line for commands that read some of the files themselves. */
void tn_app_tell_unused(const tn_notes *notes);

/* ------------------------------------------------------------ adapters -- */

/* The entries of --lora, "DIR" or "DIR=STRENGTH", and of --lora-pass, with "N:" before, for opening a model; to be freed
 * after it, also on failure. Errors: ARGUMENT, MEMORY. */
tenebra_code tn_app_read_adapters(const tn_option_list *list, const tn_option_list *of_passes, tenebra_model_options *model,
                                  tenebra_error *error);
void tn_app_free_adapters(tenebra_model_options *model);

/* A line about each adapter of an open model on stderr. */
void tn_app_tell_adapters(const tenebra_model *model, const tenebra_model_options *options);

/* -------------------------------------------------------------- replay -- */

/* The tokens of an answer from a JSON file: a list of ids, or an object that holds one as "tokens", as --json prints it.
 * *tokens is fresh memory, for free(). Errors: IO, LIMIT, FORMAT, MEMORY. */
tenebra_code tn_app_read_tokens(const char *path, int32_t **tokens, size_t *count, tenebra_error *error);

/* ----------------------------------------------------------- interrupts -- */

/* From now on Ctrl-C and SIGTERM only set a flag; a second one ends at once. */
void tn_app_catch_interrupts(void);
bool tn_app_interrupted(void);

/* The flag itself, for code that takes one to be cancelled by. */
const atomic_bool *tn_app_interrupt_flag(void);

/* The session that an interrupt cancels; NULL: none any more. */
void tn_app_interrupt_session(tenebra_session *session);

/* Makes the three standard streams exist. A write to a pipe that nobody reads, or beyond the largest size of a file, becomes an
 * error instead of a signal. */
void tn_app_open_streams(void);

/* Writes what stdout still holds. Where it could not all be written, says so (not for a pipe whose reader
 * has left) and makes a good exit code FAILED. */
int tn_app_close_output(int exit_code);

/* ------------------------------------------------------------- memory -- */

/* From now on memory that runs out inside jansson ends the program with a sentence and exit code FAILED. */
void tn_app_guard_json(void);

/* `count` zeroed items of `size` bytes, for free(); never NULL: without memory the program ends in the same way. For what
 * app itself needs; the layers below return MEMORY. */
void *tn_app_take(size_t count, size_t size);

/* ------------------------------------------------------------- printing -- */

/* Writes text of others: control characters other than line ends and tabs, overrides of the writing direction and stray bytes
 * become escapes ("\u001b", "\xff"), so that a terminal shows them and does not obey. */
void tn_app_put(FILE *stream, const char *text, size_t length);

/* printf on stderr, by tn_app_put: for everything that may hold text of others. */
void tn_app_tell(const char *format, ...) TN_PRINTF(1, 2);

/* printf on stdout; by tn_app_put where that is a terminal, else as it is: what is piped on stays what it was. */
void tn_app_print(const char *format, ...) TN_PRINTF(1, 2);
void tn_app_print_text(const char *text);
void tn_app_print_json(const json_t *json, size_t flags);

/* ------------------------------------------------------------- progress -- */

/* Columns of the terminal behind stderr, asked anew each time: a window changes its size. */
size_t tn_app_columns(void);

/* "1:23:45" or "2:03". Returns `text`. */
enum { TN_DURATION_SIZE = 24 };
char *tn_app_duration(char text[TN_DURATION_SIZE], double seconds);

typedef struct tn_progress {
    const char *label; /* NULL: none */
    size_t done, total;
    const char *const *pieces; /* [piece_count] what else is known, the most important first: as many as fit */
    size_t piece_count;
    double seconds_left; /* negative: not known */
} tn_progress;

/* Draws "LABEL [###...] DONE/TOTAL  PIECES  0:12 to go" over the last such line on stderr, which must be a terminal. It is
 * never wider than the terminal: pieces are left out, the bar and the label get shorter. */
void tn_app_draw_progress(const tn_progress *progress);

/* Clears the line. */
void tn_app_erase_progress(void);

/* Signs of life before the first token, only on a terminal. Zeroed: nothing is shown. */
typedef struct tn_waiting {
    bool shown;
    const char *work; /* of the last event, and when it began */
    double started, drawn;
} tn_waiting;

/* "loading DIR". */
void tn_app_show_loading(tn_waiting *waiting, const char *directory);

/* How far a picture or the prompt is, unless it goes fast. */
void tn_app_show_work(tn_waiting *waiting, const tenebra_event *event);

/* Clears the line; before anything else is printed. */
void tn_app_end_waiting(tn_waiting *waiting);

/* Such a line with the time to go, only on a terminal; done == total ends the line. */
void tn_app_progress(const char *label, size_t done, size_t total, double started_ms);

#endif
