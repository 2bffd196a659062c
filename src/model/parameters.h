/* The trained parameters: a list of tensors of a model with master values in f32 and gradients.
 *
 *     tn_parameters_open(&parameters, &error);
 *     tn_parameters_add_weights(parameters, model, &filter, &error);     full training, or
 *     tn_parameters_add_adapter(parameters, adapter, &error);            LoRA (model/lora.h), or both
 *     ... parameters->items[i].values, .grad, .rounded go to an optimizer ...
 *     tn_parameters_close(parameters);
 *
 * While weights are trained, the model's slots point to the master values (or to a bf16 copy of them) instead of the mapped
 * file. Closing the list restores the mapped weights. So the model must outlive the list, and no other session may run the
 * model while values change. A session keeps encoded images and the rows of its last question, so a new session is required
 * after a change. */
#ifndef TN_MODEL_PARAMETERS_H
#define TN_MODEL_PARAMETERS_H

#include "model/lora.h"
#include "model/model.h"

typedef struct tn_parameter {
    char *name;         /* as in a model's or an adapter's file, e.g. "model.norm.weight"          */
    size_t rank, shape[TN_STORED_RANK_MAX]; /* as in that file                                     */
    size_t rows, cols;  /* as a matrix [outputs, inputs]; of a vector [1, size]                    */
    size_t count;       /* values = rows * cols                                                    */
    bool matrix;        /* else a vector: a bias or the scale of a norm                            */
    bool scale;         /* the scale of a norm, which starts at 1                                  */
    size_t residual;    /* number of layers of its network, if it writes into the residual stream; else 0 */
    bool decay;         /* weight decay applies: matrices, and both matrices of an adapter         */
    tn_real *values;    /* [count] master values                                                   */
    tn_real *grad;      /* [count], zero at first; the backward adds to it                         */
    uint16_t *rounded;  /* [count] bf16 copy that the networks read; NULL: they read the values    */
    bool owned;         /* the list owns the values (those of an adapter belong to the adapter)    */
} tn_parameter;

typedef struct tn_parameters {
    tn_parameter *items; /* [count], in the order of adding                                        */
    size_t count;
    size_t elements;     /* values of all items                                                    */
    struct tn_parameter_slot *slots; /* the slots to restore                                       */
    size_t slot_count;
    tn_adapter **adapters; /* adapters whose gradients are in the list */
    size_t adapter_count;
} tn_parameters;

/* Which weights are trained. Patterns are globs for complete names ("visual.*", "*.bias"). A tensor is trained if a pattern of
 * `include` matches (or there are none) and no pattern of `exclude` does. */
typedef struct tn_parameters_filter {
    bool module_only;        /* only the weights of a method's module                              */
    bool without_vision;     /* the tower with its merger stays frozen                             */
    bool without_embeddings; /* embedding and head (one tensor if they are tied) stay frozen       */
    const char *const *include, *const *exclude; /* each ends with NULL; NULL: none                */
    tn_dtype compute;        /* what the networks read: TN_F32 (0), or TN_BF16 for matrices        */
} tn_parameters_filter;

/* Whether one of the globs (ending with NULL; NULL: none) matches the complete name. */
bool tn_name_fits(const char *name, const char *const *patterns);

/* An empty list. *opened is NULL on failure. Errors: MEMORY. */
tenebra_code tn_parameters_open(tn_parameters **opened, tenebra_error *error);

/* Adds weights of the model, with their values converted to f32. A tied head is not a separate item. filter NULL: all weights,
 * in f32. Errors: ARGUMENT (no weight matches the filter; `compute` is another type; weights are already trained), MEMORY. */
tenebra_code tn_parameters_add_weights(tn_parameters *parameters, tn_model *model, const tn_parameters_filter *filter,
                                       tenebra_error *error);

/* Adds A and B of every module of an attached adapter. The adapter owns the values and must outlive the list. Errors: MEMORY. */
tenebra_code tn_parameters_add_adapter(tn_parameters *parameters, tn_adapter *adapter, tenebra_error *error);

/* The item called `name`, or NULL. */
tn_parameter *tn_parameters_find(const tn_parameters *parameters, const char *name);

/* The first sets all gradients to zero; the second updates the rounded copies from the values. (The optimizer also does both.) */
void tn_parameters_clear(tn_parameters *parameters);
void tn_parameters_round(tn_parameters *parameters);

/* Restores the model's own weights and frees the memory. NULL is allowed. */
void tn_parameters_close(tn_parameters *parameters);

#endif
