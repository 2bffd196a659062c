#include "model/parameters.h"

#include "base/checked.h"

#include <fnmatch.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The contents of a slot of the model before it was trained. */
typedef struct tn_parameter_slot {
    tn_weight *weight, old_weight; /* or: */
    tn_vector *vector, old_vector;
} tn_parameter_slot;

tenebra_code tn_parameters_open(tn_parameters **opened, tenebra_error *error)
{
    *opened = calloc(1, sizeof **opened);
    return *opened != NULL ? TENEBRA_OK : tn_fail_memory(error, "parameters");
}

/* ------------------------------------------------------------ filtering -- */

bool tn_name_fits(const char *name, const char *const *patterns)
{
    for (; patterns != NULL && *patterns != NULL; patterns++)
        if (fnmatch(*patterns, name, 0) == 0)
            return true;
    return false;
}

static bool is_wanted(const tn_model *model, const tn_place *place, const tn_parameters_filter *filter)
{
    bool all = filter->include == NULL || *filter->include == NULL, head = place->row->role == TN_ROLE_HEAD;
    if (head && model->networks.tied) /* trained with the embedding */
        return false;
    /* No gradient goes through the choice of a code: an encoder that gives tokens stays as it is. */
    return !(filter->module_only && place->network->layout->kind != TN_NETWORK_MODULE) &&
           !((filter->without_vision || model->config.vision.code_count > 0) && place->network->layout->kind == TN_NETWORK_IMAGES) &&
           !(filter->without_embeddings && (place->row->role == TN_ROLE_EMBEDDING || head)) &&
           (all || tn_name_fits(place->name, filter->include)) && !tn_name_fits(place->name, filter->exclude);
}

/* -------------------------------------------------------------- weights -- */

typedef struct adding {
    tn_parameters *parameters;
    tn_model *model;
    const tn_parameters_filter *filter;
    size_t added;
} adding;

static tenebra_code add_item(tn_parameters *parameters, const char *name, tn_parameter **added, tenebra_error *error)
{
    TN_TRY(TN_GROW(parameters->items, parameters->count, name, error));
    tn_parameter *item = *added = &parameters->items[parameters->count];
    *item = (tn_parameter){ .name = strdup(name) };
    if (item->name == NULL)
        return tn_fail_memory(error, name);
    parameters->count++;
    return TENEBRA_OK;
}

/* Points one slot to `offset` of the item's values, and keeps its old contents. */
static tenebra_code bind_weight(tn_parameters *parameters, const tn_parameter *item, tn_weight *weight, size_t offset,
                                tenebra_error *error)
{
    TN_TRY(TN_GROW(parameters->slots, parameters->slot_count, item->name, error));
    parameters->slots[parameters->slot_count++] = (tn_parameter_slot){ .weight = weight, .old_weight = *weight };
    const tn_matrix matrix = { .type = item->rounded ? TN_BF16 : sizeof(tn_real) == 8 ? TN_F64 : TN_F32,
                               .rows = weight->matrix.rows, .cols = weight->matrix.cols,
                               .data = item->rounded ? (const void *)(item->rounded + offset) : (const void *)(item->values + offset) };
    tn_weight_bind(weight, matrix, item->grad + offset);
    return TENEBRA_OK;
}

static tenebra_code bind_vector(tn_parameters *parameters, const tn_parameter *item, tn_vector *vector, size_t offset,
                                tenebra_error *error)
{
    TN_TRY(TN_GROW(parameters->slots, parameters->slot_count, item->name, error));
    parameters->slots[parameters->slot_count++] = (tn_parameter_slot){ .vector = vector, .old_vector = *vector };
    tn_vector_bind(vector, item->values + offset, item->grad + offset);
    return TENEBRA_OK;
}

static tenebra_code bind_slots(adding *job, const tn_parameter *item, const tn_place *place, tenebra_error *error)
{
    size_t share = item->count / place->row->parts;
    tn_decoder *decoder = &job->model->decoder;
    bool tied = place->slot == &decoder->embed && decoder->head.matrix.data == decoder->embed.matrix.data;
    for (size_t part = 0; part < place->row->parts; part++) {
        if (item->matrix)
            TN_TRY(bind_weight(job->parameters, item, (tn_weight *)place->slot + part, part * share, error));
        else
            TN_TRY(bind_vector(job->parameters, item, (tn_vector *)place->slot + part, part * share, error));
    }
    if (tied)
        TN_TRY(bind_weight(job->parameters, item, &decoder->head, 0, error));
    return TENEBRA_OK;
}

static void describe(tn_parameter *item, const tn_place *place)
{
    item->rank = place->rank;
    memcpy(item->shape, place->shape, sizeof place->shape);
    item->rows = place->rows;
    item->cols = place->cols;
    item->count = place->rows * place->cols;
    item->matrix = item->decay = tn_place_is_matrix(place);
    item->scale = place->row->role == TN_ROLE_SCALE;
    item->residual = place->row->residual ? tn_network_members(place->network, place->row->group) : 0;
    item->owned = true;
}

static tenebra_code add_weight(void *user, const tn_place *place, tenebra_error *error)
{
    adding *job = user;
    if (!is_wanted(job->model, place, job->filter))
        return TENEBRA_OK;
    if (tn_parameters_find(job->parameters, place->name) != NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, place->name, "is already trained");
    tn_parameter *item;
    TN_TRY(add_item(job->parameters, place->name, &item, error));
    describe(item, place);
    item->values = calloc(item->count, sizeof *item->values);
    item->grad = calloc(item->count, sizeof *item->grad);
    if (item->matrix && job->filter->compute == TN_BF16)
        item->rounded = calloc(item->count, sizeof *item->rounded);
    if (item->values == NULL || item->grad == NULL ||
        (item->matrix && job->filter->compute == TN_BF16 && item->rounded == NULL))
        return tn_fail(error, TENEBRA_ERROR_MEMORY, place->name, "no memory for %zu values and their gradients",
                       item->count);
    tn_place_read(place, item->values);
    if (item->rounded != NULL)
        tn_dtype_of(TN_BF16)->pack(item->values, item->count, item->rounded);
    job->parameters->elements += item->count;
    job->added++;
    return bind_slots(job, item, place, error);
}

tenebra_code tn_parameters_add_weights(tn_parameters *parameters, tn_model *model, const tn_parameters_filter *filter,
                                       tenebra_error *error)
{
    static const tn_parameters_filter everything = { 0 };
    adding job = { parameters, model, filter ? filter : &everything, 0 };
    if (job.filter->compute != TN_F32 && job.filter->compute != TN_BF16)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "compute", "training computes in F32 or BF16");
    TN_TRY(tn_networks_each(&model->networks, add_weight, &job, error));
    if (job.added == 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "parameters", "no tensor of the model matches the patterns%s",
                       model->config.vision.code_count > 0 ? " outside of the image encoder, which is never trained in models whose "
                                                             "images are tokens" : "");
    return TENEBRA_OK;
}

/* -------------------------------------------------------------- adapter -- */

static tenebra_code add_matrix(tn_parameters *parameters, const tn_adapter_module *module, char letter, tn_real **grad,
                               tenebra_error *error)
{
    char name[TN_STORED_NAME_MAX + 32];
    bool is_a = letter == 'A';
    snprintf(name, sizeof name, "%s.lora_%c.weight", module->name, letter);
    tn_parameter *item;
    TN_TRY(add_item(parameters, name, &item, error));
    item->rank = 2;
    item->rows = item->shape[0] = is_a ? module->rank : module->outputs;
    item->cols = item->shape[1] = is_a ? module->inputs : module->rank;
    item->count = item->rows * item->cols;
    item->matrix = item->decay = true;
    item->values = is_a ? module->a : module->b;
    item->grad = *grad = calloc(item->count, sizeof *item->grad);
    parameters->elements += item->count;
    return item->grad ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_MEMORY, name, "no memory for %zu gradients", item->count);
}

tenebra_code tn_parameters_add_adapter(tn_parameters *parameters, tn_adapter *adapter, tenebra_error *error)
{
    TN_TRY(TN_GROW(parameters->adapters, parameters->adapter_count, "parameters", error));
    parameters->adapters[parameters->adapter_count++] = adapter;
    for (size_t i = 0; i < adapter->module_count; i++) {
        tn_adapter_module *module = &adapter->modules[i];
        TN_TRY(add_matrix(parameters, module, 'A', &module->a_grad, error));
        TN_TRY(add_matrix(parameters, module, 'B', &module->b_grad, error));
    }
    tn_adapter_refresh(adapter);
    return TENEBRA_OK;
}

/* ----------------------------------------------------------------- list -- */

tn_parameter *tn_parameters_find(const tn_parameters *parameters, const char *name)
{
    for (size_t i = 0; i < parameters->count; i++)
        if (strcmp(parameters->items[i].name, name) == 0)
            return &parameters->items[i];
    return NULL;
}

void tn_parameters_clear(tn_parameters *parameters)
{
    for (size_t i = 0; i < parameters->count; i++)
        memset(parameters->items[i].grad, 0, parameters->items[i].count * sizeof(tn_real));
}

void tn_parameters_round(tn_parameters *parameters)
{
    for (size_t i = 0; i < parameters->count; i++)
        if (parameters->items[i].rounded != NULL)
            tn_dtype_of(TN_BF16)->pack(parameters->items[i].values, parameters->items[i].count,
                                       parameters->items[i].rounded);
}

/* Restores the model; the slot that was changed last is restored first. Adapters stay attached. */
static void put_back(tn_parameters *parameters)
{
    for (size_t i = parameters->slot_count; i > 0; i--) {
        const tn_parameter_slot *slot = &parameters->slots[i - 1];
        tn_lora *lora = slot->weight != NULL ? slot->weight->lora : NULL; /* adapters stay attached */
        if (slot->weight != NULL) {
            *slot->weight = slot->old_weight;
            slot->weight->lora = lora;
        } else {
            *slot->vector = slot->old_vector;
        }
    }
    for (size_t a = 0; a < parameters->adapter_count; a++) {
        for (size_t i = 0; i < parameters->adapters[a]->module_count; i++)
            parameters->adapters[a]->modules[i].a_grad = parameters->adapters[a]->modules[i].b_grad = NULL;
        tn_adapter_refresh(parameters->adapters[a]);
    }
}

void tn_parameters_close(tn_parameters *parameters)
{
    if (parameters == NULL)
        return;
    put_back(parameters);
    for (size_t i = 0; i < parameters->count; i++) {
        tn_parameter *item = &parameters->items[i];
        free(item->name);
        free(item->grad);
        free(item->rounded);
        if (item->owned)
            free(item->values);
    }
    free(parameters->items);
    free(parameters->slots);
    free(parameters->adapters);
    free(parameters);
}
