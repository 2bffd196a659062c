/* The number type and order of each matrix of a model that is written packed. */
#ifndef TN_MODEL_RECIPE_H
#define TN_MODEL_RECIPE_H

#include "model/layout.h"
#include "store/form.h"

/* Tensors whose name matches `pattern` (fnmatch(3)) get `type`. */
typedef struct tn_recipe_rule {
    const char *pattern;
    tn_dtype type;
} tn_recipe_rule;

typedef struct tn_recipe {
    tn_dtype type;                     /* of the matrices of the decoder's layers           */
    tn_dtype vision, embeddings, head; /* of the tower; a tied head is the embedding itself */
    tn_dtype discrete;                 /* of the tower instead, if its results are discrete */
    tn_order order;                    /* of types that have panels                         */
    const tn_recipe_rule *rules;       /* override the types above; the last match decides  */
    size_t rule_count;
} tn_recipe;

/* The default recipe for `type`. With quantised weights the tower gets Q8_0, or Q8_256 if they have blocks of 256: its
 * share of a model's bytes is small, but its errors affect every image row, while BF16 would double its memory and, on
 * processors with products of 8 bits, its time. A tower with discrete results (tn_layout.discrete) gets F16, with which activations
 * stay f32: in a golden case, 8 bits change 35 of 1,024 codes, BF16 12, F16 2. Embeddings and head, whose errors affect logits
 * directly, get 8 bits even if `type` has 4. */
tn_recipe tn_recipe_of(tn_dtype type, tn_order order);

/* Types of weights in files: all but F64. */
bool tn_recipe_takes(tn_dtype type);

/* Sets form->type and order for a matrix with this many rows, all parts together. If the request is not possible,
 * blocks of 32 instead of 256, BF16 or row by row are used; returns the reason, or NULL. */
const char *tn_recipe_apply(const tn_recipe *recipe, const tn_place *place, size_t rows, tn_form *form);

#endif
