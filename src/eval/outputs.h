/* Result files, our own and other people's, and the keys with the right answers.
 *
 * Result files that are read:
 *   lines of JSON objects with an id ("id", "pid", "qid", "question_id") and a text (the last of "messages", or "text",
 *   "generated", "output", "response", "prediction"); perhaps "choices", the right answer ("answer", "gold", "gt", "gt_answer"),
 *   "prompt" or a question in "messages" before, "domain", "topic", "subject", "grade", "method"; also as one JSON array;
 *   one JSON object with "results", an object of indices by id, and perhaps "outputs", the texts by id. Ids that count the
 *   key's questions with pictures from 0, as the IVT-LR authors write them (arXiv:2510.12603), are resolved.
 * In our own files (docs/evaluation.md) the last record of an answer counts, elsewhere the first, as in the published programs.
 * Lines are read as Python's json does: the last of equal keys counts, NaN and lone surrogates are allowed. Lines that cannot
 * be read are counted and left out, as the published programs do. */
#ifndef TN_EVAL_OUTPUTS_H
#define TN_EVAL_OUTPUTS_H

#include "base/json.h"
#include "data/strings.h"
#include "eval/score.h"

/* No file may be larger, no row have more options. */
#define TN_OUTPUTS_LIMIT ((size_t)1 << 31)
enum { TN_OUTPUTS_OPTIONS_MAX = 64 };

/* ------------------------------------------------------------------ keys -- */

typedef struct tn_key tn_key;

/* An empty key for the questions of `split` ("test"; "all": of any). Rows that name no split belong to each. Errors: MEMORY. */
tn_key *tn_key_open(const char *split, tenebra_error *error);
void tn_key_close(tn_key *key); /* NULL is allowed */

/* Adds the questions of a file: rows as above without texts, problems by id (as ScienceQA publishes them, arXiv:2209.09513),
 * rows {pid, answer, has_text, has_image}, or {id: answer} alone, which changes answers of questions known already. Or those
 * of a data set "NAME:DIRECTORY". A question known already is replaced. Errors: IO, LIMIT, FORMAT (holds no answers),
 * ARGUMENT, MEMORY. */
tenebra_code tn_key_add(tn_key *key, const char *place, tenebra_error *error);

/* Right answers by id, NULL: not among them. `context` that is not empty says that the question has text beside it,
 * image_count that it has a picture; their contents may be missing. Threads: any, as long as nothing is added. */
const tn_sample *tn_key_find(const tn_key *key, const char *id);
size_t tn_key_count(const tn_key *key);

/* The n-th question that has a picture, in the order of the key; NULL: there are not so many. */
const tn_sample *tn_key_pictured(const tn_key *key, size_t n);

/* --------------------------------------------------------------- outputs -- */

typedef struct tn_output {
    tn_sample sample;
    tn_scored scored;   /* .sample is to be set to the row's own */
    const char *method; /* "" where a row names none             */
    const char *source; /* likewise                              */
    bool failed;        /* the question could not be answered    */
} tn_output;

typedef struct tn_outputs {
    tn_output *rows; /* [count] in the order of the file                               */
    size_t count, capacity;
    size_t unreadable; /* lines                                                          */
    size_t repeated;   /* rows with id, method and source of another one: left out       */
    size_t unknown;    /* rows whose id the key does not have: left out             */
    size_t unkeyed;    /* rows without any right answer: left out                         */
    size_t fallible;   /* rows that say that the question failed: count as wrong         */
    const char *place, *split; /* of our own files: the data set and split that were asked; else NULL */
    tn_strings strings;
    json_t *seen; /* source: method: id: place among the rows, -1 for one left out */
} tn_outputs;

/* Reads a result file; key NULL: right answers are those of the rows. With a key, answer and groups come from it, and options
 * where the row has none. *outputs is to be freed, also after a failure. Errors: IO, LIMIT, FORMAT (no row can be read),
 * MEMORY. */
tenebra_code tn_outputs_read(tn_outputs *outputs, const char *path, const tn_key *key, tenebra_error *error);
void tn_outputs_free(tn_outputs *outputs);

/* -------------------------------------------------------------- the inside -- */

/* One value as Python's json.loads reads it: NULL where that fails, too. */
json_t *tn_python_json(const char *text, size_t length);

/* Called with each line of a file (cut at "\n" and "\r", stripped), which may be empty. */
typedef tenebra_code tn_line_fn(void *user, const char *line, size_t length, tenebra_error *error);
tenebra_code tn_each_line(const char *bytes, size_t length, tn_line_fn *each, void *user, tenebra_error *error);

/* Fields of a row into a sample whose texts are copied to `strings`: id, choices, answer, domain, topic and so on. The label
 * stays NULL where the row has none; *readable is false for a row without id, or with texts that hold zeros.
 * Errors: MEMORY. */
tenebra_code tn_row_sample(tn_strings *strings, const json_t *row, const char *id, tn_sample *sample, bool *readable,
                           tenebra_error *error);

/* The id of a row in fresh text of `strings`; NULL: it has none, or there is no memory. */
const char *tn_row_id(tn_strings *strings, const json_t *row);

#endif
