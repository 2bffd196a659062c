/* What the parts of `tenebra eval` share. */
#ifndef TN_APP_EVAL_H
#define TN_APP_EVAL_H

#include "app/app.h"
#include "app/method_table.h"
#include "eval/run.h"
#include "eval/table.h"
#include "reason/trained.h"

/* Parts: `tenebra eval NAME ...`; without a name it asks. */
int tn_eval_ask(int argc, char **argv);
int tn_eval_table(int argc, char **argv);
int tn_eval_score(int argc, char **argv);
int tn_eval_probe(int argc, char **argv);
int tn_eval_export(int argc, char **argv);
int tn_eval_report(int argc, char **argv);

/* Prints the mistake with where help is, and returns USAGE. `part`: "eval table" or the like. */
int tn_eval_mistake(const char *part, const char *sentence);

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

enum { TN_EVAL_FIXED_MAX = 64 };

/* What the command line, the environment and a task file say. */
typedef struct tn_eval_settings {
    tn_eval_plan plan;
    tn_eval_options run;
    const char *methods, *image_size, *task;
    const char *scorer; /* of the probe; NULL: the standard one */
    bool probes;        /* it is a probe                        */
    tn_option_list set, adapters, pass_adapters;
    bool json;
    tn_method_table table;
    tn_app_path own; /* where the default model is */
    char *output;  /* the default name of the file */
    tn_trained trained; /* defaults that the model's directory tells */
    char **words;  /* of the task file, for free()  */
    size_t word_count;
} tn_eval_settings;

/* Reads options of an asking part, and fills plan and options of the run. Returns false when the command is over, with the
 * exit code. Free with tn_eval_settings_free in any case. */
bool tn_eval_settings_read(tn_eval_settings *settings, const tn_usage *usage, int argc, char **argv, int *exit_code);
void tn_eval_settings_free(tn_eval_settings *settings);

/* Runs the plan with its progress on stderr. Interrupted or failed, it says so and how it goes on. */
int tn_eval_run_plan(const tn_eval_settings *settings, json_t **summary);

#endif
