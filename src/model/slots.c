#include "model/slots.h"

#include <stddef.h>

/* Where the slot of a row lies: in the model, a layer or a block. */
static void *slot_of(tn_model *model, const tn_tensor_row *row, size_t number)
{
    unsigned char *base = (unsigned char *)model;
    if (row->scope == TN_SCOPE_LAYER)
        base = (unsigned char *)&model->decoder.layers[number];
    else if (row->scope == TN_SCOPE_BLOCK)
        base = (unsigned char *)&model->vision.blocks[number];
    return base + row->offset;
}

static size_t numbers_of(const tn_model *model, tn_scope scope)
{
    return scope == TN_SCOPE_LAYER   ? model->config.decoder.num_hidden_layers
           : scope == TN_SCOPE_BLOCK ? model->config.vision.depth
                                     : 1;
}

static bool lies_in_tower(const tn_tensor_row *row)
{
    size_t begin = offsetof(tn_model, vision), end = begin + sizeof(tn_vision);
    return row->scope == TN_SCOPE_BLOCK || (row->scope == TN_SCOPE_MODEL && row->offset >= begin && row->offset < end);
}

static void describe(tn_model *model, const tn_tensor_row *row, size_t number, tn_place *place)
{
    bool top = row->scope == TN_SCOPE_MODEL;
    tn_tensor_name(row, number, place->name, sizeof place->name);
    place->row = row;
    place->stored = tn_model_stored(model->backbone, model->store, place->name);
    place->slot = slot_of(model, row, number);
    place->vision = lies_in_tower(row);
    place->embedding = top && row->offset == offsetof(tn_model, decoder.embed);
    place->head = top && row->offset == offsetof(tn_model, decoder.head);
    place->linear = row->matrix && !place->embedding && !(top && row->offset == offsetof(tn_model, vision.patch_embed));
    if (row->matrix) {
        const tn_weight *weight = place->slot;
        place->rows = weight->matrix.rows * row->parts;
        place->cols = weight->matrix.cols;
    } else {
        const tn_vector *vector = place->slot;
        place->rows = 1;
        place->cols = vector->size * row->parts;
    }
}

tenebra_code tn_model_each_place(tn_model *model, tn_place_fn *visit, void *user, tenebra_error *error)
{
    for (const tn_tensor_row *row = model->backbone->tensors; row->name != NULL; row++)
        for (size_t number = 0; number < numbers_of(model, row->scope); number++) {
            tn_place place;
            describe(model, row, number, &place);
            if (place.rows * place.cols > 0)
                TN_TRY(visit(user, &place, error));
        }
    return TENEBRA_OK;
}
