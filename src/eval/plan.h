/* The plan of an evaluation: the model, the questions, and the methods. */
#ifndef TN_EVAL_PLAN_H
#define TN_EVAL_PLAN_H

#include "base/json.h"
#include "data/sample.h"
#include "reason/example.h"

enum { TN_EVAL_SETTINGS_MAX = 32, TN_EVAL_ENTRIES_MAX = 256 };

/* One entry of the plan: a method with its settings, under a label that every record contains. */
typedef struct tn_eval_entry {
    char *label, *method;
    tenebra_setting settings[TN_EVAL_SETTINGS_MAX]; /* owned by the entry */
    size_t setting_count;
    bool other; /* the latent text is that of the next question, answered with the same method */
} tn_eval_entry;

typedef struct tn_eval_plan {
    const char *model; /* directory */
    tenebra_model_options model_options;
    const char *data, *split; /* "NAME:DIRECTORY"; split NULL: "test"                      */
    const char *ids;          /* ids of questions, separated by commas; NULL: all          */
    size_t limit;             /* number of questions, the first of the split; 0: all       */
    double held_out;          /* only this share of the split, which is held out for validation; 0: the complete split */
    bool without_images;      /* also questions without an image                           */
    const char *preset;       /* wording of the questions; NULL: that of the data set      */
    tn_eval_entry *entries;
    size_t entry_count;
    const char *example;   /* file with a solved example (reason/example.h), for the methods that show one; NULL: none */
    bool answer_turn;      /* a further turn asks for one of the options */
    tenebra_session_options session;
    tenebra_request request; /* for every question, without messages and method. The seed of a question is made from this one
                              * and its id; `scores` are written into the records */
} tn_eval_plan;

/* Adds an entry "METHOD[:OPTION=VALUE]...", which is also its label. Errors: ARGUMENT (no such method or option, a repeated
 * label), LIMIT, MEMORY. */
tenebra_code tn_eval_plan_add(tn_eval_plan *plan, const char *text, tenebra_error *error);

/* Sets an option in every entry whose method has it, unless the entry already sets it. `method` NULL: any. Errors: ARGUMENT (no
 * entry has the option), LIMIT, MEMORY. */
tenebra_code tn_eval_plan_set(tn_eval_plan *plan, const char *method, const char *option, const char *value,
                              tenebra_error *error);

/* Sets an option in one entry and replaces an older value. Errors: ARGUMENT, LIMIT, MEMORY. */
tenebra_code tn_eval_entry_set(tn_eval_entry *entry, const char *option, const char *value, tenebra_error *error);

/* Whether the entry's method has the option, and the value in effect, default included; NULL if there is none. */
const char *tn_eval_entry_value(const tn_eval_entry *entry, const char *option);

/* Frees the entries. */
void tn_eval_plan_free(tn_eval_plan *plan);

/* ------------------------------------------------------------- questions -- */

/* The questions of a plan. */
typedef struct tn_eval_questions {
    tn_data *data;
    const tn_sample **samples; /* [count] in the order of the data set */
    size_t count;
    const tn_prompt_preset *preset;
    tn_example example; /* the contents of plan->example */
} tn_eval_questions;

/* Opens the questions of a plan. Errors: ARGUMENT (no such data set, split, wording or id; no question is left; none of the
 * methods shows an example), and those of tn_data_open and tn_example_read. */
tenebra_code tn_eval_questions_open(tn_eval_questions *questions, const tn_eval_plan *plan, tenebra_error *error);
void tn_eval_questions_close(tn_eval_questions *questions);

/* -------------------------------------------------------------- manifest -- */

/* Makes the manifest, which contains everything that affects the answers: digests of weights, configuration and adapters, of
 * the questions and their wording, settings of all methods, sampling, kernels, version. `kernels`: the kernel set in use. The
 * caller owns *manifest, which is NULL after a failure. Errors: IO, MEMORY. */
tenebra_code tn_eval_manifest(json_t **manifest, const tn_eval_plan *plan, const tn_eval_questions *questions, const char *kernels,
                              tenebra_error *error);

/* Compares everything that affects the answers; the locations of directories do not. Errors: MISMATCH, which names each value
 * that changed. */
tenebra_code tn_eval_manifest_compare(const json_t *now, const json_t *saved, const char *where, tenebra_error *error);

/* The same. If the file has fewer questions, which are the first of those requested now, it can be continued: sets *more. */
tenebra_code tn_eval_manifest_fit(const tn_eval_plan *plan, const tn_eval_questions *questions, const json_t *now, const json_t *saved,
                                  const char *where, bool *more, tenebra_error *error);

#endif
