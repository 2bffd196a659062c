/* What an evaluation asks, of which model, how. */
#ifndef TN_EVAL_PLAN_H
#define TN_EVAL_PLAN_H

#include "base/json.h"
#include "data/sample.h"
#include "reason/example.h"

enum { TN_EVAL_SETTINGS_MAX = 32, TN_EVAL_ENTRIES_MAX = 256 };

/* One way to answer: a method with its settings, under a label that stands in every record. */
typedef struct tn_eval_entry {
    char *label, *method;
    tenebra_setting settings[TN_EVAL_SETTINGS_MAX]; /* fresh memory, freed with the entry */
    size_t setting_count;
    bool other; /* the latent text is given: it is that of the next question, asked the same way */
} tn_eval_entry;

typedef struct tn_eval_plan {
    const char *model; /* directory */
    tenebra_model_options model_options;
    const char *data, *split; /* "NAME:DIRECTORY"; split NULL: "test"                      */
    const char *ids;          /* of questions, with commas between; NULL: all              */
    size_t limit;             /* only the first; 0: all                                    */
    double held_out;          /* only this share of the split, held out for validation; 0: all of it */
    bool without_images;      /* also questions that have no picture                       */
    const char *preset;       /* wording of the questions; NULL: that of the set           */
    tn_eval_entry *entries;
    size_t entry_count;
    const char *example;   /* file of a solved question (reason/example.h) for the methods that show one; NULL: none */
    bool answer_turn;      /* the options are asked for in a turn of its own */
    tenebra_session_options session;
    tenebra_request request; /* of every question, without messages and method. Each draws from a seed of its own, made of this
                              * one and the question's id; `scores` go into the records */
} tn_eval_plan;

/* Adds an entry written as "METHOD[:OPTION=VALUE]...", which is its label, too. Errors: ARGUMENT (no such method or
 * option, a label twice), LIMIT, MEMORY. */
tenebra_code tn_eval_plan_add(tn_eval_plan *plan, const char *text, tenebra_error *error);

/* Gives an option to every entry whose method has it, where the entry says nothing about it. `method` NULL: any.
 * Errors: ARGUMENT (no entry has it), LIMIT, MEMORY. */
tenebra_code tn_eval_plan_set(tn_eval_plan *plan, const char *method, const char *option, const char *value,
                              tenebra_error *error);

/* Puts an option into one entry, in place of an older value. Errors: ARGUMENT, LIMIT, MEMORY. */
tenebra_code tn_eval_entry_set(tn_eval_entry *entry, const char *option, const char *value, tenebra_error *error);

/* Whether the entry's method has the option, and its value as it takes effect; NULL: it has none. */
const char *tn_eval_entry_value(const tn_eval_entry *entry, const char *option);

/* Frees the entries. */
void tn_eval_plan_free(tn_eval_plan *plan);

/* ------------------------------------------------------------- questions -- */

/* The questions that the plan takes of a set. */
typedef struct tn_eval_questions {
    tn_data *data;
    const tn_sample **samples; /* [count], in the order of the set */
    size_t count;
    const tn_prompt_preset *preset;
    tn_example example; /* as plan->example says */
} tn_eval_questions;

/* Errors: ARGUMENT (no such set, split, wording or id; no question is left; no method shows an example), and those of
 * tn_data_open and tn_example_read. */
tenebra_code tn_eval_questions_open(tn_eval_questions *questions, const tn_eval_plan *plan, tenebra_error *error);
void tn_eval_questions_close(tn_eval_questions *questions);

/* -------------------------------------------------------------- manifest -- */

/* Everything that decides about the answers: digests of weights, configuration and adapters, of questions and their
 * wording, settings of all methods, sampling, kernels, version. `kernels`: the set in use. The caller owns *manifest,
 * which is NULL after a failure. Errors: IO, MEMORY. */
tenebra_code tn_eval_manifest(json_t **manifest, const tn_eval_plan *plan, const tn_eval_questions *questions, const char *kernels,
                              tenebra_error *error);

/* Compares what decides about the answers; where directories lie does not. Errors: MISMATCH that names each value that
 * changed. */
tenebra_code tn_eval_manifest_compare(const json_t *now, const json_t *saved, const char *where, tenebra_error *error);

/* The same, but where the file has asked fewer questions, the first of those asked now, *more is set: it can go on. */
tenebra_code tn_eval_manifest_fit(const tn_eval_plan *plan, const tn_eval_questions *questions, const json_t *now, const json_t *saved,
                                  const char *where, bool *more, tenebra_error *error);

#endif
