/* Shared by the parts of `tenebra eval`. */
#ifndef TN_APP_EVAL_H
#define TN_APP_EVAL_H

#include "app/app.h"
#include "app/ask.h"
#include "eval/run.h"
#include "eval/table.h"
#include "train/yaml.h"

/* The parts, `tenebra eval NAME ...`. Without a name, the command asks questions. */
extern const tn_command tn_command_eval_table, tn_command_eval_score, tn_command_eval_probe, tn_command_eval_export,
    tn_command_eval_report;
int tn_eval_ask(int argc, char **argv);

/* Reads result files and makes rows of tables: one for each method in a group "NAME=FILE,FILE,..." of `named`, and one for each
 * method in a file of `files`. `rows` (may be NULL): keep only these rows. Results and tables must be freed, also after a
 * failure. Errors: those of tn_results_add, tn_table_group_sets and tn_table_choose; ARGUMENT (a group of another form). */
tenebra_code tn_eval_load_groups(tn_results *results, tn_table_groups *groups, const tn_option_list *named, const char *rows,
                                 char **files, size_t file_count, tenebra_error *error);

/* Scores the answers again with the scorer "NAME" or "NAME:VARIANT"; NULL: keeps the scores. `places`: data sets "NAME:DIR"
 * whose directory is not the one that the files name. Errors: those of tn_scorer_choose and tn_results_score. */
tenebra_code tn_eval_rescore(tn_results *results, const char *scorer, const char *const *places, size_t place_count,
                             tenebra_error *error);

/* ------------------------------------------------------------- settings -- */

/* The options from the command line, the environment and a task file. */
typedef struct tn_eval_settings {
    tn_ask ask;
    tn_eval_plan plan; /* made from the options */
    tn_eval_options run;
    const char *methods, *task;
    const char *scorer; /* the scorer of the probe; NULL: the default */
    tn_option_list set;
    bool json;
    char *output;  /* memory for the default name of the result file */
    tn_yaml yaml;  /* owns the texts of the task file */
} tn_eval_settings;

/* The option groups shared by the parts that ask questions; --scorer belongs to the probe only. */
#define TN_EVAL_GROUPS { tn_eval_options_table, 0 }, TN_ASK_GROUPS(tn_eval_settings, ask)
extern const tn_option tn_eval_options_table[];

/* Reads the options of a part that asks questions, and fills plan and run options. Returns false if the command ends here, with
 * its exit code. The settings must be freed with tn_eval_settings_free in either case. */
bool tn_eval_settings_read(tn_eval_settings *settings, const tn_command *command, int argc, char **argv, int *exit_code);
void tn_eval_settings_free(tn_eval_settings *settings);

/* Runs the plan and shows its progress on stderr. If it is interrupted or fails, prints how it can be continued. */
int tn_eval_run_plan(const tn_eval_settings *settings, json_t **summary);

#endif
