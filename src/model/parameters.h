/* What is trained: a list of tensors of a model with master values in f32 and gradients.
 *
 *     tn_parameters *parameters = tn_parameters_open(&error);
 *     tn_parameters_add_weights(parameters, model, &filter, &error);     full training, or
 *     tn_parameters_add_adapter(parameters, adapter, &error);            LoRA (model/lora.h), or both
 *     ... parameters->items[i].values, .grad, .rounded go to an optimizer ...
 *     tn_parameters_close(parameters);
 *
 * Weights that are trained leave the mapped file: the model's slots point to the master values (or to a bf16
 * copy of them) from then on, until the list is closed, which puts the mapped ones back. So the model must
 * outlive the list, and no other session may run the model while values change. A session keeps pictures and rows of
 * its last question: after a change open a new one. */
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
    bool scale;         /* of a norm: starts at 1                                                  */
    size_t residual;    /* layers of its network in which it writes into the residual stream; 0: it does not */
    bool decay;         /* weight decay is usual: matrices, and both matrices of an adapter        */
    tn_real *values;    /* [count] master values                                                   */
    tn_real *grad;      /* [count], zero at first; the backward adds to it                         */
    uint16_t *rounded;  /* [count] bf16 copy that the networks read; NULL: they read the values    */
    bool owned;         /* the list frees the values (of an adapter it does not)                   */
} tn_parameter;

typedef struct tn_parameters {
    tn_parameter *items; /* [count], in the order of adding                                        */
    size_t count;
    size_t elements;     /* values of all items                                                    */
    struct tn_parameter_slot *slots; /* what to put back                                           */
    size_t slot_count;
    tn_adapter **adapters; /* whose gradients are in the list */
    size_t adapter_count;
} tn_parameters;

/* Which weights are trained. Patterns are globs over whole names ("visual.*", "*.bias"); a tensor is taken if
 * some pattern of `include` fits (all, if there are none) and none of `exclude`. */
typedef struct tn_parameters_filter {
    bool module_only;        /* of the networks only a method's module                             */
    bool without_vision;     /* the tower with its merger stays frozen                             */
    bool without_embeddings; /* the embedding, and the head (one tensor when they are tied), too   */
    const char *const *include, *const *exclude; /* each ends with NULL; NULL: none                */
    tn_dtype compute;        /* what the networks read: TN_F32 (0), or TN_BF16 for matrices        */
} tn_parameters_filter;

/* Whether one of the globs (ending with NULL; NULL: none) fits the whole name. */
bool tn_name_fits(const char *name, const char *const *patterns);

/* An empty list; NULL without memory. */
tn_parameters *tn_parameters_open(tenebra_error *error);

/* Adds weights of the model, with their values converted to f32. A tied head is no item of its own. filter may be
 * NULL: everything, in f32. Errors: ARGUMENT (nothing fits the filter; compute is another type; weights are trained already), MEMORY. */
tenebra_code tn_parameters_add_weights(tn_parameters *parameters, tn_model *model, const tn_parameters_filter *filter,
                                       tenebra_error *error);

/* Adds A and B of every module of an adapter that is attached. The adapter owns the values and must outlive the
 * list. Errors: MEMORY. */
tenebra_code tn_parameters_add_adapter(tn_parameters *parameters, tn_adapter *adapter, tenebra_error *error);

/* The item called `name`, or NULL. */
tn_parameter *tn_parameters_find(const tn_parameters *parameters, const char *name);

/* Sets all gradients to zero. Makes the rounded copies anew from the values. (The optimizer does both, too.) */
void tn_parameters_clear(tn_parameters *parameters);
void tn_parameters_round(tn_parameters *parameters);

/* Bytes of values, gradients and copies that a list of this filter takes, and how many values there are (may be
 * NULL). Nothing is allocated. */
size_t tn_parameters_cost(tn_model *model, const tn_parameters_filter *filter, size_t *elements);

/* Puts the model's own weights back and gives the memory back. NULL is allowed. */
void tn_parameters_close(tn_parameters *parameters);

#endif
