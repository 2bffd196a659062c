/* Digests of the files of models, for the first line of a result file. */
#ifndef TN_EVAL_DIGESTS_H
#define TN_EVAL_DIGESTS_H

#include "base/digest.h"
#include "eval/plan.h"

enum { TN_EVAL_DIGEST_TEXT = 65 };

void tn_eval_print_digest(const tn_digest *digest, char text[TN_EVAL_DIGEST_TEXT]);

/* Adds a text with its final zero, so that the division between two texts matters. */
void tn_eval_add_text(tn_hash *hash, const char *text);

/* Digest of the model files of a directory: their names and contents. Errors: IO, MEMORY. */
tenebra_code tn_eval_digest_directory(const char *directory, char text[TN_EVAL_DIGEST_TEXT], tenebra_error *error);

/* The same of the plan's model, whose weights may be elsewhere than its other files. Errors: IO, MEMORY. */
tenebra_code tn_eval_digest_model(const tn_eval_plan *plan, char text[TN_EVAL_DIGEST_TEXT], tenebra_error *error);

#endif
