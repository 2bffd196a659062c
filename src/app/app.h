/* The program: commands, options, printing, exit codes. Only this layer prints. */
#ifndef TN_APP_APP_H
#define TN_APP_APP_H

#include "base/notes.h"
#include "base/status.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>

/* Exit codes of every command. */
enum { TN_EXIT_OK = 0, TN_EXIT_FAILED = 1, TN_EXIT_USAGE = 2 };

typedef struct tn_command {
    const char *name;
    const char *summary;             /* one line for `tenebra --help` */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name */
} tn_command;

int tn_cmd_run(int argc, char **argv);
int tn_cmd_inspect(int argc, char **argv);
int tn_cmd_quantize(int argc, char **argv);
int tn_cmd_tokenize(int argc, char **argv);
int tn_cmd_verify(int argc, char **argv);
int tn_cmd_bench(int argc, char **argv);
int tn_cmd_train(int argc, char **argv);
int tn_cmd_data(int argc, char **argv);
int tn_cmd_eval(int argc, char **argv);

/* "tenebra: where: sentence" on stderr. */
void tn_app_print_error(const tenebra_error *error);

/* Prints the error and returns the exit code that belongs to it (USAGE for ARGUMENT). */
int tn_app_fail(const tenebra_error *error);

/* ------------------------------------------------------------- options -- */

typedef enum tn_option_kind {
    TN_OPTION_FLAG,   /* bool        */
    TN_OPTION_TEXT,   /* const char *, borrowed from argv or the environment        */
    TN_OPTION_SIZE,   /* size_t      */
    TN_OPTION_SEED,   /* uint64_t, from 0 to TN_WHOLE_MAX */
    TN_OPTION_NUMBER, /* double      */
    TN_OPTION_LIST,   /* tn_option_list, repeatable; the environment gives one entry */
    /* As TEXT, and checked when they are read: */
    TN_OPTION_KERNELS, /* the name of a kernel set                                  */
    TN_OPTION_WORDING, /* the name of a wording of prompts                          */
    TN_OPTION_TEMPLATE, /* the name of a chat template                              */
    TN_OPTION_PIXELS,  /* "WIDTHxHEIGHT" (tn_app_read_pixels)                       */
    TN_OPTION_SETTING  /* the value of an option of some method, of the row's name  */
} tn_option_kind;

typedef struct tn_option_list {
    const char **items; /* free() after use */
    size_t count;
} tn_option_list;

/* One row is all there is about an option: parsing, the environment variable
 * TENEBRA_<NAME> (the command line wins), and its line of help come from it. */
typedef struct tn_option {
    char letter;          /* 0: none */
    const char *name;     /* long name without dashes */
    tn_option_kind kind;
    void *target;         /* holds the default before */
    const char *argument; /* what help shows for the value; for TEXT "a|b|c" also limits it */
    const char *help;
    double minimum, maximum; /* SIZE and NUMBER, both 0: any value >= 0 */
    bool *given;          /* set when the option stands on the command line; may be NULL */
} tn_option;

typedef struct tn_usage {
    const char *command;
    const char *arguments; /* positional ones, e.g. "CASE ...", or "" */
    const char *summary;
    const char *example;
} tn_usage;

/* Parses argv by the table (ending with name == NULL); --help is added. Returns the index of the first
 * positional argument (argc if none), or -1 when the command is over: then *exit_code is set
 * (help printed: OK; mistake printed: USAGE). */
int tn_options_parse(const tn_usage *usage, const tn_option *options, int argc, char **argv,
                     int *exit_code);

/* Stores one value in the row's target. `source` is what to call it in a mistake: "--threads", or "TENEBRA_THREADS=" for a
 * value of the environment. Returns an exit code; a mistake is printed. */
int tn_option_store(const tn_usage *usage, const tn_option *option, const char *value, const char *source);

/* The name of the variable that an option is read from, "TENEBRA_<NAME>". Returns `variable`. */
enum { TN_OPTION_VARIABLE_SIZE = 72 };
char *tn_option_variable(const char *option, char variable[TN_OPTION_VARIABLE_SIZE]);

/* A note on stderr for each variable TENEBRA_... of the environment that no command reads, with the nearest that one does. */
void tn_options_note_unknown_variables(void);

/* The names of all options that commands have in their tables, made by the build; ends with NULL. */
extern const char *const tn_option_names[];

/* "WIDTHxHEIGHT" in pixels, each from 1 to 65535. */
bool tn_app_read_pixels(const char *text, size_t *width, size_t *height);

/* "PROGRAM: there is no WHAT 'NAME'", with the nearest of the commands, on stderr. */
void tn_app_print_unknown_command(const char *program, const char *what, const char *name, const tn_command *commands);

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
