/* From the name of a shape to a configuration and its list of tensors. Internal to model/random. */
#ifndef TN_MODEL_PLAN_H
#define TN_MODEL_PLAN_H

#include "model/networks.h"

typedef struct tn_plan {
    json_t *config; /* the contents of config.json; owned */
    const tn_backbone *backbone;
    tn_model_config sizes;
    tn_decoder decoder;
    tn_networks networks; /* without weights */
} tn_plan;

/* Reads the shape called `shape` and, if `tokenizer` is not NULL, the token ids of the tokenizer in that directory.
 * Errors: ARGUMENT (unknown shape), MISMATCH (a token is missing), MEMORY, those of tn_tokenizer_open and of the
 * backbone. On failure *plan is empty. */
tenebra_code tn_plan_open(tn_plan *plan, const char *shape, const char *tokenizer, tenebra_error *error);
void tn_plan_close(tn_plan *plan);

/* Calls `visit` for each tensor in the order of the file, until one call fails. Errors: ARGUMENT (a tensor that is too large). */
tenebra_code tn_plan_each(const tn_plan *plan, tn_place_fn *visit, void *user, tenebra_error *error);

#endif
