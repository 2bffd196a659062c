/* One question answered with one entry of the plan, as a record. */
#ifndef TN_EVAL_ANSWER_H
#define TN_EVAL_ANSWER_H

#include "eval/plan.h"

/* The objects that a process requires to answer. */
typedef struct tn_examinee {
    const tn_eval_plan *plan;
    const tn_eval_questions *questions;
    tenebra_session *session;
} tn_examinee;

/* Opens a session with `threads` (0: all processors). Errors: LIMIT, MEMORY. */
tenebra_code tn_examinee_open(tn_examinee *examinee, const tenebra_model *model, const tn_eval_plan *plan,
                              const tn_eval_questions *questions, size_t threads, tenebra_error *error);
void tn_examinee_close(tn_examinee *examinee);

/* Answers question `question` with entry `entry` of the plan. Apart from times, the record does not depend on earlier
 * questions. A question that cannot be answered gives a record that says so. The caller owns the record; NULL without
 * memory. */
json_t *tn_examinee_answer(tn_examinee *examinee, size_t question, size_t entry);

/* The record of a question that could not be answered. */
json_t *tn_eval_failure(const tn_eval_questions *questions, const tn_eval_plan *plan, size_t question, size_t entry,
                        const tenebra_error *error);

/* The seed of a question: that of the run mixed with its id, below 2^53. */
uint64_t tn_eval_seed(uint64_t seed, const char *id);

#endif
