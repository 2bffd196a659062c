/* From the name of a shape to a configuration and its list of tensors. Internal to model/random. */
#ifndef TN_MODEL_PLAN_H
#define TN_MODEL_PLAN_H

#include "model/backbone.h"

typedef struct tn_plan {
    json_t *config; /* as config.json will say; owned */
    const tn_backbone *backbone;
    tn_model_config sizes;
} tn_plan;

typedef struct tn_planned {
    char name[256];
    const tn_tensor_row *row; /* of the backbone's table */
    size_t rank, shape[5];
    size_t elements;
    size_t inputs; /* of one output                        */
    bool matrix;   /* else a vector:                       */
    bool scale;    /* a norm's weight, else somebody's bias */
} tn_planned;

/* Reads the shape called `shape` and, when `tokenizer` is not NULL, the token ids of the tokenizer in
 * that directory. Errors: ARGUMENT (unknown shape), MISMATCH (a token is missing), MEMORY, those of
 * tn_tokenizer_open and of the backbone. On failure *plan is empty. */
tenebra_code tn_plan_open(tn_plan *plan, const char *shape, const char *tokenizer, tenebra_error *error);
void tn_plan_close(tn_plan *plan);

/* Calls `visit` for each tensor in the order of the file, until one fails. */
typedef tenebra_code tn_plan_fn(void *user, const tn_planned *tensor, tenebra_error *error);
tenebra_code tn_plan_each(const tn_plan *plan, tn_plan_fn *visit, void *user, tenebra_error *error);

#endif
