/* What the parts of `tenebra eval` share. */
#ifndef TN_APP_EVAL_H
#define TN_APP_EVAL_H

#include "app/app.h"
#include "app/ask.h"
#include "eval/run.h"
#include "eval/table.h"
#include "train/yaml.h"

/* Parts: `tenebra eval NAME ...`; without a name it asks. */
extern const tn_command tn_command_eval_table, tn_command_eval_score, tn_command_eval_probe, tn_command_eval_export,
    tn_command_eval_report;
int tn_eval_ask(int argc, char **argv);

/* Reads result files and makes rows of them: those of each "NAME=FILE,FILE,..." in `named` together, those of `files` by
 * themselves; `rows` (may be NULL): only these. Both are to be freed, also after a failure. Errors: those of tn_results_add,
 * tn_table_group_sets and tn_table_choose; ARGUMENT (a group of another form). */
tenebra_code tn_eval_load_groups(tn_results *results, tn_table_groups *groups, const tn_option_list *named, const char *rows,
                                 char **files, size_t file_count, tenebra_error *error);

/* Judges the answers again by the scorer "NAME" or "NAME:VARIANT"; NULL: leaves them as they were judged. `places`: data sets
 * "NAME:DIR" that lie elsewhere than the files say. Errors: those of tn_scorer_choose and tn_results_score. */
tenebra_code tn_eval_rescore(tn_results *results, const char *scorer, const char *const *places, size_t place_count,
                             tenebra_error *error);

/* ------------------------------------------------------------- settings -- */

/* What the command line, the environment and a task file say. */
typedef struct tn_eval_settings {
    tn_ask ask;
    tn_eval_plan plan; /* made of it and of what follows */
    tn_eval_options run;
    const char *methods, *task;
    const char *scorer; /* of the probe; NULL: the standard one */
    tn_option_list set;
    bool json;
    char *output;  /* the default name of the file */
    tn_yaml yaml;  /* owns the texts of the task   */
} tn_eval_settings;

/* Groups of options of the parts that ask, without --scorer. */
#define TN_EVAL_GROUPS { tn_eval_options_table, 0 }, TN_ASK_GROUPS(tn_eval_settings, ask)
extern const tn_option tn_eval_options_table[];

/* Reads options of an asking part, and fills plan and options of the run. Returns false when the command is over, with the
 * exit code. Free with tn_eval_settings_free in any case. */
bool tn_eval_settings_read(tn_eval_settings *settings, const tn_command *command, int argc, char **argv, int *exit_code);
void tn_eval_settings_free(tn_eval_settings *settings);

/* Runs the plan with its progress on stderr. Interrupted or failed, it says so and how it goes on. */
int tn_eval_run_plan(const tn_eval_settings *settings, json_t **summary);

#endif
