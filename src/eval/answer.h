/* Answers questions with entries of the plan as records: one at a time, or several in shared rounds. */
#ifndef TN_EVAL_ANSWER_H
#define TN_EVAL_ANSWER_H

#include "eval/plan.h"
#include "reason/rounds.h"

/* The state of a process that answers questions. */
typedef struct tn_examinee tn_examinee;

/* Answers up to `places` questions at once (1 to TN_ROUNDS_PLACES_MAX) with `threads` (0: all processors). Errors: ARGUMENT, LIMIT,
 * MEMORY. */
tenebra_code tn_examinee_open(tn_examinee **examinee, const tenebra_model *model, const tn_eval_plan *plan,
                              const tn_eval_questions *questions, size_t places, size_t threads, tenebra_error *error);
void tn_examinee_close(tn_examinee *examinee); /* NULL is allowed */

/* Begins to answer question `question` with entry `entry` of the plan; fewer than `places` questions may be in progress. `job`
 * identifies its record. False without memory. */
bool tn_examinee_begin(tn_examinee *examinee, size_t question, size_t entry, size_t job);

/* Runs one round, unless an answer is already complete. *record, which the caller owns, is NULL if none is complete. Apart from
 * times, a record does not depend on other questions. A question that cannot be answered gives a record with the error. False
 * without memory. */
bool tn_examinee_proceed(tn_examinee *examinee, size_t *job, json_t **record);

/* Whether the record of an entry first requires the latents of the next question: its own are replaced, or the image is also
 * reconstructed from those. */
bool tn_eval_takes_other(const tn_eval_plan *plan, size_t entry);

/* The record of a question that could not be answered. */
json_t *tn_eval_failure(const tn_eval_questions *questions, const tn_eval_plan *plan, size_t question, size_t entry,
                        const tenebra_error *error);

/* The seed of a question: that of the run mixed with its id, below 2^53. */
uint64_t tn_eval_seed(uint64_t seed, const char *id);

#endif
