#include "model/recipe.h"

#include <fnmatch.h>

bool tn_recipe_takes(tn_dtype type)
{
    return type < TN_DTYPE_COUNT && type != TN_F64;
}

tn_recipe tn_recipe_of(tn_dtype type, tn_order order)
{
    tn_dtype others = tn_dtype_of(type)->block > 1 ? tn_dtype_of(type)->eight : type;
    tn_dtype discrete = tn_dtype_of(type)->block > 1 ? TN_F16 : type;
    return (tn_recipe){ .type = type, .vision = others, .discrete = discrete, .embeddings = others, .head = others, .order = order };
}

static tn_dtype wanted(const tn_recipe *recipe, const tn_place *place)
{
    tn_dtype type = recipe->type;
    if (place->network->layout->kind == TN_NETWORK_IMAGES)
        type = place->network->layout->discrete ? recipe->discrete : recipe->vision;
    else if (place->row->role == TN_ROLE_EMBEDDING)
        type = recipe->embeddings;
    else if (place->row->role == TN_ROLE_HEAD)
        type = recipe->head;
    for (size_t i = 0; i < recipe->rule_count; i++)
        if (fnmatch(recipe->rules[i].pattern, place->name, 0) == 0)
            type = recipe->rules[i].type;
    return type;
}

const char *tn_recipe_apply(const tn_recipe *recipe, const tn_place *place, size_t rows, tn_form *form)
{
    const char *note = NULL;
    size_t cols = place->cols, parts = place->row->parts;
    form->is_weight = true;
    form->type = wanted(recipe, place);
    while (cols % tn_dtype_of(form->type)->block != 0) {
        note = tn_dtype_of(form->type)->block > TN_BLOCK ? "inputs are not whole blocks of 256" : "inputs are not whole blocks";
        form->type = tn_dtype_of(form->type)->shorter;
    }
    form->order = recipe->order == TN_PANELS && tn_panel_has(form->type, cols) ? TN_PANELS : TN_ROWS;
    if (form->order == TN_PANELS && parts > 1 && rows / parts % TN_PANEL != 0) {
        form->order = TN_ROWS;
        note = note != NULL ? "neither whole blocks nor whole panels" : "parts are not whole panels";
    }
    return note;
}
