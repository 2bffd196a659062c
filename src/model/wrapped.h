/* Names of tensors in checkpoints of training programs. Wrappers around the model put words before all names ("module.",
 * "base_causallm.base_model.model."), and PEFT puts words before the last one: the weight of an adapted matrix is called
 * "....q_proj.base_layer.weight". Source: torch.nn.parallel.DistributedDataParallel, torch.compile, PEFT, and the training programs
 * of Coconut and IVT-LR, which hold the model as base_causallm. */
#ifndef TN_MODEL_WRAPPED_H
#define TN_MODEL_WRAPPED_H

#include "store/store.h"

enum { TN_WRAPPED_FRONT = 128 };

/* The words before all names of a file; "" if there are none. */
typedef struct tn_wrapping {
    char front[TN_WRAPPED_FRONT];
} tn_wrapping;

/* The part of a name after the words of wrappers. */
const char *tn_wrapped_name(const char *name);

/* The tensor called `name` in files with such words, also with PEFT's words before the last one; NULL if there is none. */
const tn_stored *tn_wrapped_find(const tn_wrapping *wrapping, const char *name, const tn_store *store);

/* Finds the words before the name of a tensor that the files must have under one of `names` [count]. If there is no such tensor,
 * there are no words. */
void tn_wrapping_find(tn_wrapping *wrapping, const tn_store *store, const char *const *names, size_t count);

/* Whether a tensor is a second name of `embedding`: the training program of IVT-LR keeps the model's embedding as its own. */
bool tn_wrapped_is_alias(const tn_stored *tensor, const tn_stored *embedding);

/* Whether a tensor is what PEFT keeps of a module that modules_to_save replaces. */
bool tn_wrapped_is_replaced(const tn_stored *tensor, const tn_store *store);

/* Whether the training program that wrapped the model has an alpha of its own for adapters of which the file has none, and which. */
bool tn_wrapping_alpha(const tn_wrapping *wrapping, double *alpha);

#endif
