/* The program: commands, options, printing, exit codes. Only this layer prints. */
#ifndef TN_APP_APP_H
#define TN_APP_APP_H

#include "base/file.h"
#include "base/notes.h"
#include "base/option.h"
#include "base/status.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes of every command. */
enum { TN_EXIT_OK = 0, TN_EXIT_FAILED = 1, TN_EXIT_USAGE = 2 };

/* Rows of a command's option table, and the offset of the record that they fill in the command's record. */
typedef struct tn_option_group {
    const tn_option *rows; /* NULL: the options of all methods; their record is a tn_method_table */
    size_t offset;
} tn_option_group;

#define TN_GROUPS_END     { NULL, SIZE_MAX }
#define TN_GROUP_OF(rows) ((const tn_option_group[]){ { rows, 0 }, TN_GROUPS_END })

/* A command, or a part of one, with everything that help, man pages and completion show about it. */
typedef struct tn_command {
    const char *name;      /* as on the command line, e.g. "eval table"           */
    const char *summary;   /* one line                                                */
    const char *arguments; /* positional arguments, e.g. "CASE ...", or ""        */
    const char *about;     /* paragraphs                                              */
    const char *example;
    const tn_option_group *groups; /* ends with TN_GROUPS_END; NULL: it only has parts */
    const struct tn_command *const *parts; /* NULL-terminated; NULL: none             */
    tn_option_names *offers[2]; /* what completion offers for the first two arguments; NULL: files */
    int (*run)(int argc, char **argv);     /* argv[0] is the last word of the name    */
} tn_command;

/* All commands, NULL-terminated. */
extern const tn_command *const tn_commands[];

extern const tn_command tn_command_run, tn_command_train, tn_command_eval, tn_command_inspect, tn_command_convert, tn_command_quantize,
    tn_command_tokenize, tn_command_verify, tn_command_bench, tn_command_data, tn_command_completion, tn_command_manual;

/* "tenebra: where: sentence" on stderr. */
void tn_app_print_error(const tenebra_error *error);

/* Prints the error and returns the exit code that belongs to it (USAGE for ARGUMENT). */
int tn_app_fail(const tenebra_error *error);

/* "tenebra COMMAND: SENTENCE; 'tenebra COMMAND --help' explains" on stderr. Returns USAGE. */
int tn_command_mistake(const tn_command *command, const char *sentence);

/* ------------------------------------------------------------- options -- */

/* A row of an option table with the record that it fills. */
typedef struct tn_bound_option {
    const tn_option *row;
    void *record;
    bool setting;      /* an option of a method: after the check, *text is the value's text */
    const char **text;
    bool *given;       /* set if the option is on the command line; may be NULL */
} tn_bound_option;

enum { TN_BOUND_OPTIONS_MAX = 192 };

/* All options of a command; if `record` is NULL, only their rows. Returns their number. */
size_t tn_command_options(const tn_command *command, void *record, tn_bound_option bound[TN_BOUND_OPTIONS_MAX]);

/* Fills the record with defaults, then values of the environment (TENEBRA_<NAME>), then those of argv; also accepts --help.
 * Returns the index of the first positional argument (argc if there is none), or -1 if the command ends here; then *exit_code
 * is set (OK if the help was printed, USAGE if a mistake was). */
int tn_options_parse(const tn_command *command, void *record, int argc, char **argv, int *exit_code);

/* The same with options of a file, which override the environment and are overridden by argv; `set` calls tn_options_set for
 * each. */
typedef int tn_options_set_fn(const tn_command *command, void *record, void *user);
int tn_options_parse_with(const tn_command *command, void *record, tn_options_set_fn *set, void *user, int argc, char **argv,
                          int *exit_code);

/* Sets the option of that name ('_' and '-' are equal) as the command line would. `place`: where the option was found, for
 * messages. Returns an exit code; a mistake is printed. */
int tn_options_set(const tn_command *command, void *record, const char *name, const char *value, const char *place);

/* One line about an option: its help, its default, and, for an option of methods, the methods that have it. Returns `line`. */
enum { TN_OPTION_LINE = 320 };
char *tn_option_describe(const tn_bound_option *option, char line[TN_OPTION_LINE]);

/* The placeholder of the value in help: "N", or the possible words as "a|b|c"; "" for a switch. Returns `shown`. */
char *tn_option_argument(const tn_option *option, char shown[TN_OPTION_LINE]);

/* The name of an option's environment variable, "TENEBRA_<NAME>". Returns `variable`. */
enum { TN_OPTION_VARIABLE_SIZE = 72 };
char *tn_option_variable(const char *option, char variable[TN_OPTION_VARIABLE_SIZE]);

/* Prints a note to stderr for each variable TENEBRA_... of the environment that no command reads, with the nearest known name. */
void tn_options_note_unknown_variables(void);

/* Calls `visit` for every command and part. */
typedef void tn_command_fn(const tn_command *command, void *user);
void tn_commands_each(tn_command_fn *visit, void *user);

/* Prints the help of a command with options. */
void tn_command_print_help(const tn_command *command);

/* Prints usage and parts of a command that has parts, and the example if the command has no options. */
void tn_command_print_parts(const tn_command *command, FILE *out);

/* Runs the part that argv[1] names. Returns false, without changing *exit_code, if it names none. */
bool tn_command_run_part(const tn_command *command, int argc, char **argv, int *exit_code);

/* Prints "tenebra NAME: there is no WHAT 'WORD'" with the nearest of `commands` to stderr. `name` may be "". */
void tn_app_print_unknown_command(const char *name, const char *what, const char *word, const tn_command *const *commands);

/* Names that are values of options: methods, wordings of prompts, chat templates, kernel sets, shapes of random models. */
tn_option_names tn_names_of_methods, tn_names_of_presets, tn_names_of_templates, tn_names_of_kernels, tn_names_of_shapes;

/* The same for completion: scorers, data sets that can be generated, commands, and the parts of all commands. */
tn_option_names tn_names_of_scorers, tn_names_of_makers, tn_names_of_commands, tn_names_of_parts;

/* ------------------------------------------------------- default model -- */

/* The directory of the model that comes with the program, for commands without -m, stored in *path; NULL if it is neither
 * installed nor in the build directory of the running program. */
const char *tn_app_default_model(tn_path *path);

/* What such a command reports if there is none. */
#define TN_APP_NO_MODEL "requires a model directory (-m), because the default model is not beside this program"

/* The directory that -m means. For a model in the cache of the Hugging Face hub this is the snapshot, stored in *path.
 * Otherwise it is `given`, even if there is no such directory; opening it then fails. NULL gives NULL. */
const char *tn_app_model_directory(const char *given, tn_path *path);

/* Prints one line to stderr about settings in the model's files that tenebra does not use, if there are any. */
void tn_app_tell_notes(const tenebra_model *model);

/* The same for commands that read some of the files themselves. */
void tn_app_tell_unused(const tn_notes *notes);

/* ------------------------------------------------------------ adapters -- */

/* Reads the entries of --lora ("DIR" or "DIR=STRENGTH") and of --lora-pass (the same after "N:") into the options for opening a
 * model. They must be freed with tn_app_free_adapters, also after a failure. Errors: ARGUMENT, MEMORY. */
tenebra_code tn_app_read_adapters(const tn_option_list *list, const tn_option_list *of_passes, tenebra_model_options *model,
                                  tenebra_error *error);
void tn_app_free_adapters(tenebra_model_options *model);

/* Prints a line about each adapter of an open model to stderr. */
void tn_app_tell_adapters(const tenebra_model *model, const tenebra_model_options *options);

/* -------------------------------------------------------------- replay -- */

/* Reads the tokens of an answer from a JSON file: a list of ids, or an object with such a list as "tokens", as --json prints
 * it. The caller frees *tokens. Errors: IO, LIMIT, FORMAT, MEMORY. */
tenebra_code tn_app_read_tokens(const char *path, int32_t **tokens, size_t *count, tenebra_error *error);

/* ----------------------------------------------------------- interrupts -- */

/* After this call, Ctrl-C and SIGTERM only set a flag; a second signal ends the process at once. */
void tn_app_catch_interrupts(void);
bool tn_app_interrupted(void);

/* The flag itself, for functions that take one. */
const atomic_bool *tn_app_interrupt_flag(void);

/* Sets the session that an interrupt cancels; NULL: none. */
void tn_app_interrupt_session(tenebra_session *session);

/* Opens those of the three standard streams that are closed. A write to a closed pipe, or beyond the maximum size of a file,
 * becomes an error instead of a signal. */
void tn_app_open_streams(void);

/* Flushes stdout. If not everything could be written, reports this (unless the reader of a pipe has closed it) and returns
 * FAILED instead of OK; otherwise returns exit_code. */
int tn_app_close_output(int exit_code);

/* ------------------------------------------------------------- memory -- */

/* After this call, a failed allocation inside jansson ends the program with a sentence and exit code FAILED. */
void tn_app_guard_json(void);

/* `count` zeroed items of `size` bytes, which the caller frees. Never NULL: if memory runs out, the program ends in the same
 * way. For app only; the layers below return MEMORY. */
void *tn_app_take(size_t count, size_t size);

/* Ends the program where there is no memory for its output. */
_Noreturn void tn_app_end_without_memory(void);

/* ------------------------------------------------------------- printing -- */

/* Writes external text. Control characters other than line ends and tabs, overrides of the writing direction and invalid bytes
 * are written as escapes ("\u001b", "\xff"), so that they cannot control the terminal. */
void tn_app_put(FILE *stream, const char *text, size_t length);

/* printf to stderr, by tn_app_put, because the output may contain external text. */
void tn_app_tell(const char *format, ...) TN_PRINTF(1, 2);

/* printf to stdout: by tn_app_put if stdout is a terminal, otherwise unchanged. */
void tn_app_print(const char *format, ...) TN_PRINTF(1, 2);
void tn_app_print_text(const char *text);
void tn_app_print_json(const json_t *json, size_t flags);

/* ------------------------------------------------------------- progress -- */

/* The width of the terminal at stderr in columns. It is queried at each call, because a window may change its size. */
size_t tn_app_columns(void);

/* "1:23:45" or "2:03". Returns `text`. */
enum { TN_DURATION_SIZE = 24 };
char *tn_app_duration(char text[TN_DURATION_SIZE], double seconds);

typedef struct tn_progress {
    const char *label; /* NULL: none */
    size_t done, total;
    const char *const *pieces; /* [piece_count] further facts, the most important first; as many are shown as fit */
    size_t piece_count;
    double seconds_left; /* negative: unknown */
} tn_progress;

/* Draws "LABEL [###...] DONE/TOTAL  PIECES  0:12 to go" over the last such line on stderr, which must be a terminal. The line
 * is never wider than the terminal: pieces are left out, and the bar and the label are shortened. */
void tn_app_draw_progress(const tn_progress *progress);

/* Clears the line. */
void tn_app_erase_progress(void);

/* Progress before the first token, shown only on a terminal. Zeroed: nothing is shown. */
typedef struct tn_waiting {
    bool shown;
    const char *work; /* the work of the last event; the times when it began and when it was last drawn [ms] */
    double started, drawn;
} tn_waiting;

/* Shows "loading DIR". */
void tn_app_show_loading(tn_waiting *waiting, const char *directory);

/* Shows the progress of an image or the prompt if it takes a noticeable time. */
void tn_app_show_work(tn_waiting *waiting, const tenebra_event *event);

/* Clears the line. Must be called before anything else is printed. */
void tn_app_end_waiting(tn_waiting *waiting);

/* Draws such a line with the remaining time, only on a terminal; done == total ends the line. */
void tn_app_progress(const char *label, size_t done, size_t total, double started_ms);

#endif
