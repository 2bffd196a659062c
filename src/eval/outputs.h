/* Result files, our own and those of other programs, and keys with the correct answers.
 *
 * Result files that can be read:
 *   lines of JSON objects with an id ("id", "pid", "qid", "question_id") and a text (the last of "messages", or "text",
 *   "generated", "output", "response", "prediction"); optionally "choices", the correct answer ("answer", "gold", "gt",
 *   "gt_answer"), "prompt" or a question in "messages" before, "domain", "topic", "subject", "grade", "method"; also as one
 *   JSON array;
 *   one JSON object with "results", an object of indices by id, and optionally "outputs", the texts by id. Ids that count the
 *   key's questions with images from 0, as the IVT-LR authors write them (arXiv:2510.12603), are resolved.
 * In our own files (docs/evaluation.md) the last record of an answer counts, in others the first, as in the published
 * programs. Lines are read like Python's json: the last of equal keys counts, NaN and lone surrogates are allowed.
 * Lines that cannot be read are counted and left out, as in the published programs. */
#ifndef TN_EVAL_OUTPUTS_H
#define TN_EVAL_OUTPUTS_H

#include "base/json.h"
#include "data/strings.h"
#include "eval/score.h"

/* The maximum size of a file in bytes, and the maximum number of options of a row. */
#define TN_OUTPUTS_LIMIT ((size_t)1 << 31)
enum { TN_OUTPUTS_OPTIONS_MAX = 64 };

/* ------------------------------------------------------------------ keys -- */

typedef struct tn_key tn_key;

/* Makes an empty key for the questions of `split` ("test"; "all": of any split). Rows that name no split belong to every split.
 * Errors: MEMORY. */
tenebra_code tn_key_open(const char *split, tn_key **opened, tenebra_error *error);
void tn_key_close(tn_key *key); /* NULL is allowed */

/* Adds the questions of a file: rows as above without texts, problems by id (the format of
 * arXiv:2209.09513, ScienceQA), rows {pid, answer, has_text, has_image}, or {id: answer} alone, which changes answers of known
 * questions. Or adds those of a data set "NAME:DIRECTORY". A known question is replaced. Errors: IO, LIMIT, FORMAT
 * (contains no answers), ARGUMENT, MEMORY. */
tenebra_code tn_key_add(tn_key *key, const char *place, tenebra_error *error);

/* The correct answer by id; NULL if the key does not have it. `context` is not empty if the question has text beside
 * it, image_count is not 0 if it has an image; their contents may be missing. Threads: any, as long as nothing is
 * added. */
const tn_sample *tn_key_find(const tn_key *key, const char *id);
size_t tn_key_count(const tn_key *key);

/* The n-th question with an image, in the order of the key; NULL if there are fewer. */
const tn_sample *tn_key_pictured(const tn_key *key, size_t n);

/* --------------------------------------------------------------- outputs -- */

typedef struct tn_output {
    tn_sample sample;
    tn_scored scored;   /* the caller sets .sample to the row's own */
    const char *method; /* "" if a row names none                */
    const char *source; /* likewise                              */
    bool failed;        /* the question could not be answered    */
} tn_output;

typedef struct tn_outputs {
    tn_output *rows; /* [count] in the order of the file                               */
    size_t count;
    size_t unreadable; /* lines                                                          */
    size_t repeated;   /* rows with the id, method and source of another row: left out   */
    size_t unknown;    /* rows whose id is not in the key: left out                 */
    size_t unkeyed;    /* rows without any correct answer: left out                       */
    size_t fallible;   /* rows of failed questions: count as wrong                       */
    const char *place, *split; /* of our own files: the data set and split of the run; else NULL */
    tn_strings strings;
    json_t *seen; /* source: method: id: index of the row, -1 if it is left out */
} tn_outputs;

/* Reads a result file. If key is NULL, correct answers are those of the rows. With a key, answer and groups come from
 * it, and so do options if the row has none. *outputs must be freed, also after a failure. Errors: IO, LIMIT, FORMAT
 * (no row can be read), MEMORY. */
tenebra_code tn_outputs_read(tn_outputs *outputs, const char *path, const tn_key *key, tenebra_error *error);
void tn_outputs_free(tn_outputs *outputs);

/* -------------------------------------------------------------- the inside -- */

/* One value as Python's json.loads reads it; NULL if json.loads fails, too. */
json_t *tn_python_json(const char *text, size_t length);

/* Called with each line of a file (split at "\n" and "\r", stripped), which may be empty. */
typedef tenebra_code tn_line_fn(void *user, const char *line, size_t length, tenebra_error *error);
tenebra_code tn_each_line(const char *bytes, size_t length, tn_line_fn *each, void *user, tenebra_error *error);

/* Copies fields of a row into a sample whose texts are in `strings`: id, choices, answer, domain, topic and so on. The
 * label stays NULL if the row has none; *readable is false for a row without id, or with texts that contain zeros.
 * Errors: MEMORY. */
tenebra_code tn_row_sample(tn_strings *strings, const json_t *row, const char *id, tn_sample *sample, bool *readable,
                           tenebra_error *error);

/* The id of a row as a new text in `strings`; NULL if it has none, or without memory. */
const char *tn_row_id(tn_strings *strings, const json_t *row);

#endif
