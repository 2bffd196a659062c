#include "model/recipe.h"

#include "model/model.h"

#include <fnmatch.h>
#include <stddef.h>

bool tn_recipe_takes(tn_dtype type)
{
    return type < TN_DTYPE_COUNT && type != TN_F64;
}

tn_recipe tn_recipe_of(tn_dtype type, tn_order order)
{
    tn_dtype others = tn_dtype_of(type)->block > 1 ? tn_dtype_of(type)->eight : type;
    return (tn_recipe){ .type = type, .vision = others, .embeddings = others, .head = others, .order = order };
}

static bool lies_in_tower(const tn_tensor_row *row)
{
    size_t begin = offsetof(tn_model, vision), end = begin + sizeof(tn_vision);
    return row->scope == TN_SCOPE_BLOCK || (row->scope == TN_SCOPE_MODEL && row->offset >= begin && row->offset < end);
}

static tn_dtype wanted(const tn_recipe *recipe, const tn_tensor_row *row, const char *name)
{
    bool top = row->scope == TN_SCOPE_MODEL;
    tn_dtype type = recipe->type;
    if (lies_in_tower(row))
        type = recipe->vision;
    else if (top && row->offset == offsetof(tn_model, decoder.embed))
        type = recipe->embeddings;
    else if (top && row->offset == offsetof(tn_model, decoder.head))
        type = recipe->head;
    for (size_t i = 0; i < recipe->rule_count; i++)
        if (fnmatch(recipe->rules[i].pattern, name, 0) == 0)
            type = recipe->rules[i].type;
    return type;
}

const char *tn_recipe_apply(const tn_recipe *recipe, const tn_tensor_row *row, const char *name, size_t rows, size_t cols,
                            tn_form *form)
{
    const char *note = NULL;
    form->is_weight = true;
    form->type = wanted(recipe, row, name);
    while (cols % tn_dtype_of(form->type)->block != 0) {
        note = tn_dtype_of(form->type)->block > TN_BLOCK ? "inputs are not whole blocks of 256" : "inputs are not whole blocks";
        form->type = tn_dtype_of(form->type)->shorter;
    }
    form->order = recipe->order == TN_PANELS && tn_panel_has(form->type, cols) ? TN_PANELS : TN_ROWS;
    if (form->order == TN_PANELS && row->parts > 1 && rows / row->parts % TN_PANEL != 0) {
        form->order = TN_ROWS;
        note = note != NULL ? "neither whole blocks nor whole panels" : "parts are not whole panels";
    }
    return note;
}
