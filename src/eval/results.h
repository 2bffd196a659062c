/* Result files in memory: for each way of answering its answers, in the order of the questions. */
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
    size_t n; /* place of the question in the run */
    const char *id, *domain, *topic;
    bool failed, correct, found; /* found: the text named an option, or the question has none */
    long choice;                 /* which option; -1: none, or its words were right       */
    size_t options;              /* 0: an open question, or not known */
    double sampled, latent, injected, positions;       /* NaN when failed, here and below */
    double calls, invalid_calls, crops;                /* of a tool that shows regions; regions shown */
    double ms, vision_ms, prefill_ms, latent_ms, decode_ms;
    size_t parallel; /* answers that shared this time, at most; 0: it ran alone, or nobody tells */
    tn_result_step *steps; /* [step_count] */
    size_t step_count;
} tn_result;

/* The answers of one way of answering in one file. */
typedef struct tn_result_set {
    const char *file, *label;
    const json_t *manifest, *entry; /* of the file; of this way in it */
    const char *scorer;             /* who judged the answers         */
    tn_result *items;               /* [count], rising n, one each    */
    size_t *by_id;                  /* [count] places in items, rising id */
    size_t count, capacity;
} tn_result_set;

typedef struct tn_results {
    tn_result_set *sets;
    size_t count;
    json_t **manifests; /* [file_count] */
    char **files;
    size_t file_count;
    json_t *texts;  /* object that owns ids, domains, topics as keys */
    json_t *labels; /* of the file at hand: label: place of its set  */
} tn_results;

/* Adds the answers of a file; of several records of the same answer the last one counts. Errors: those of
 * tn_journal_read; FORMAT (a record without what it has to have, by line). On failure *results still is to be freed. */
tenebra_code tn_results_add(tn_results *results, const char *path, tenebra_error *error);
void tn_results_free(tn_results *results);

/* How answers are judged again. */
typedef struct tn_results_scoring {
    const tn_scorer *scorer;
    size_t variant;
    const char *name; /* of both, in tables and sentences; outlives the results */
    const char *const *places; /* [place_count] "NAME:DIR" of data sets that lie elsewhere than the files say */
    size_t place_count;
} tn_results_scoring;

/* Judges all answers again; the questions come from the data sets. Errors: MISMATCH (a set does not hold a question as it was
 * asked), those of tn_data_open and of tn_journal_read. */
tenebra_code tn_results_score(tn_results *results, const tn_results_scoring *scoring, tenebra_error *error);

/* Answers that name no option, and those that failed: both count as wrong. */
size_t tn_result_set_silent(const tn_result_set *set);
size_t tn_result_set_failed(const tn_result_set *set);

/* The answer to the question `id`; NULL: the set has none. Fastest where both sets have the same questions: `hint` is the
 * place of the last one found, from 0. */
const tn_result *tn_result_find(const tn_result_set *set, const char *id, size_t *hint);

#endif
