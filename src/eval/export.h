/* Result files in the formats of the benchmarks' own programs. */
#ifndef TN_EVAL_EXPORT_H
#define TN_EVAL_EXPORT_H

#include "eval/plan.h"

typedef enum tn_export_form {
    TN_EXPORT_MESSAGES, /* one line each: {id, choices, answer, domain, topic, messages: [question, answer]}   */
    TN_EXPORT_INDICES   /* {"results": {id: index}}, -1 if the text named no option               */
} tn_export_form;

/* The answers of one method (`label` NULL: the only one) in the file at `path`; the caller frees the result. `place`
 * (NULL: as the file says) is their data set. A question that failed has an empty answer. Errors: ARGUMENT
 * (no such label, or several and none named), MISMATCH (the data set does not have the questions), those of reading. */
tenebra_code tn_eval_export_file(const char *path, const char *label, const char *place, tn_export_form form, char **text,
                                 tenebra_error *error);

#endif
