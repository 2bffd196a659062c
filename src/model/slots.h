/* The tensors of an open model, one after the other, with the slots that they fill. Internal to training parts. */
#ifndef TN_MODEL_SLOTS_H
#define TN_MODEL_SLOTS_H

#include "model/model.h"

typedef struct tn_place {
    char name[TN_STORED_NAME_MAX + 1]; /* canonical, e.g. "model.norm.weight"                       */
    const tn_tensor_row *row;
    const tn_stored *stored; /* NULL: a tied head                                                   */
    void *slot;              /* tn_weight or tn_vector, row->parts of them                          */
    size_t rows, cols;       /* of all parts together; of a vector [1, size]                        */
    bool vision;             /* belongs to the tower or its merger                                  */
    bool embedding, head;    /* the token embedding; the head that reads logits                     */
    bool linear;             /* y = W x, and not a convolution over pixels                          */
} tn_place;

/* Calls `visit` for each tensor in the order of the backbone's table, until one fails. */
typedef tenebra_code tn_place_fn(void *user, const tn_place *place, tenebra_error *error);
tenebra_code tn_model_each_place(tn_model *model, tn_place_fn *visit, void *user, tenebra_error *error);

#endif
