/* Result files in the forms that the benchmarks' own programs read. */
#ifndef TN_EVAL_EXPORT_H
#define TN_EVAL_EXPORT_H

#include "eval/plan.h"

typedef enum tn_export_form {
    TN_EXPORT_MESSAGES, /* a line each: {id, choices, answer, domain, topic, messages: [question, answer]}     */
    TN_EXPORT_INDICES   /* {"results": {id: index}}, -1 where the text named no option            */
} tn_export_form;

/* The answers of one way (`label` NULL: the only one) of the file at `path`, in fresh memory for free(). `place` (NULL: what
 * the file says) is the data set they came from. A question that failed has an empty answer. Errors: ARGUMENT (no such
 * label, or several and none named), MISMATCH (the set does not have the questions), those of reading; NULL. */
char *tn_eval_export_file(const char *path, const char *label, const char *place, tn_export_form form, tenebra_error *error);

#endif
