/* Result files in memory: the answers of each entry (a method with its settings), in the order of the questions. */
#ifndef TN_EVAL_RESULTS_H
#define TN_EVAL_RESULTS_H

#include "base/json.h"
#include "eval/score.h"

/* One latent step of an answer; NaN where the record has no number. */
typedef struct tn_result_step {
    double ratio, focus, norm, cosine;
} tn_result_step;

/* One answer. Texts are borrowed from the results. */
typedef struct tn_result {
    size_t n; /* position of the question in the run, from 0 */
    const char *id, *domain, *topic;
    bool failed, correct, found; /* found: the text named an option, or the question has none */
    long choice;                 /* index of the option; -1: none, or words were compared */
    size_t options;              /* number of options; 0: an open question, or unknown */
    double sampled, latent, injected, positions;       /* NaN when failed, here and below */
    double calls, invalid_calls, crops;                /* requests for regions; regions shown */
    double reconstruction, other_reconstruction;       /* errors of the image from its own latent steps, and from another question's */
    double ms, vision_ms, prefill_ms, latent_ms, decode_ms;
    size_t parallel; /* answers that shared this time, at most; 0: it ran alone, or nobody tells */
    tn_result_step *steps; /* [step_count] */
    size_t step_count;
} tn_result;

/* The answers of one entry in one file. */
typedef struct tn_result_set {
    const char *file, *label;
    const json_t *manifest, *entry; /* of the file, and of this entry in it */
    const char *scorer;             /* the scorer of the answers            */
    tn_result *items;               /* [count] ascending n, one per question */
    size_t *by_id;                  /* [count] indices of items, ascending id */
    size_t count;
} tn_result_set;

typedef struct tn_results {
    tn_result_set *sets;
    size_t count;
    json_t **manifests; /* [file_count] */
    char **files;
    size_t file_count;
    json_t *texts;  /* object that owns ids, domains, topics as keys */
    json_t *labels; /* of the current file: label -> index of its set */
} tn_results;

/* Adds the answers of a file; of several records of the same answer the last one counts. Errors: those of
 * tn_journal_read; FORMAT (a record that lacks a required member, with its line). *results must also be freed after a failure. */
tenebra_code tn_results_add(tn_results *results, const char *path, tenebra_error *error);
void tn_results_free(tn_results *results);

/* How answers are scored again. */
typedef struct tn_results_scoring {
    const tn_scorer *scorer;
    size_t variant;
    const char *name; /* "SCORER" or "SCORER:VARIANT", shown in tables and sentences; must outlive the results */
    const char *const *places; /* [place_count] "NAME:DIR" of data sets that are not where the files say */
    size_t place_count;
} tn_results_scoring;

/* Scores all answers again with the questions of the data sets. Errors: MISMATCH (a data set does not have a question as it was
 * asked), those of tn_data_open and of tn_journal_read. */
tenebra_code tn_results_score(tn_results *results, const tn_results_scoring *scoring, tenebra_error *error);

/* The numbers of answers that name no option, and of those that failed. Both count as wrong. */
size_t tn_result_set_silent(const tn_result_set *set);
size_t tn_result_set_failed(const tn_result_set *set);

/* The answer to the question `id`; NULL if the set has none. `hint`, which starts at 0, is the index of the last answer found,
 * so that searching the questions of another set in order is fast. */
const tn_result *tn_result_find(const tn_result_set *set, const char *id, size_t *hint);

#endif
