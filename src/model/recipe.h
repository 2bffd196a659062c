/* Which number type and order each matrix of a model gets when it is written packed. */
#ifndef TN_MODEL_RECIPE_H
#define TN_MODEL_RECIPE_H

#include "model/layout.h"
#include "store/form.h"

/* Tensors whose name fits `pattern` (as fnmatch(3) does) get `type`. */
typedef struct tn_recipe_rule {
    const char *pattern;
    tn_dtype type;
} tn_recipe_rule;

typedef struct tn_recipe {
    tn_dtype type;                     /* of the matrices of the decoder's layers           */
    tn_dtype vision, embeddings, head; /* of the tower; a tied head is the embedding itself */
    tn_order order;                    /* of types that have panels                         */
    const tn_recipe_rule *rules;       /* go before these; the last that fits decides       */
    size_t rule_count;
} tn_recipe;

/* The usual one for `type`. Quantised weights leave the tower at Q8_0, or Q8_256 if they have blocks of 256: its share of a
 * model's bytes is small, but its errors reach every image row, while BF16 would double its memory and, on processors with
 * products of 8 bits, its time. Embeddings and head, whose errors are seen in logits at once, get 8 bits also where `type`
 * has 4. */
tn_recipe tn_recipe_of(tn_dtype type, tn_order order);

/* Types of weights in files: all but F64. */
bool tn_recipe_takes(tn_dtype type);

/* Sets form->type and order for the matrix of a place with so many rows, all parts together. Where what was asked for cannot be,
 * blocks of 32 instead of 256, BF16 or row by row take its place; returns why, or NULL. */
const char *tn_recipe_apply(const tn_recipe *recipe, const tn_place *place, size_t rows, tn_form *form);

#endif
