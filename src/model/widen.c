/* 16-bit weights as F32 in memory: no kernel set rounds activations for those. */
#include "model/lora_parts.h"

static tenebra_code widen(tn_model *model, tn_weight *w, tenebra_error *error)
{
    tn_matrix *matrix = &w->matrix;
    if (matrix->data == NULL || (matrix->type != TN_BF16 && matrix->type != TN_F16))
        return TENEBRA_OK;
    tn_real *values = tn_arena_take(&model->wide, matrix->rows * matrix->cols, sizeof *values);
    if (values == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, model->directory, "no memory for its weights as F32");
    for (size_t row = 0; row < matrix->rows; row++)
        tn_matrix_unpack(matrix, row, 0, matrix->cols, values + row * matrix->cols);
    *matrix = (tn_matrix){ TN_F32, matrix->rows, matrix->cols, values, TN_ROWS };
    return TENEBRA_OK;
}

static size_t values_of(const tn_model *model)
{
    size_t values = 0;
    for (size_t i = 0; i < tn_store_count(model->store); i++) {
        const tn_form *form = &tn_store_at(model->store, i)->form;
        size_t count = form->is_weight;
        for (size_t j = 0; j < form->rank; j++)
            count *= form->shape[j];
        values += count + TN_ARENA_ALIGNMENT;
    }
    for (size_t i = 0; i < model->adapter_count; i++)
        for (size_t k = 0; k < model->adapters[i]->replacement_count; k++) {
            const tn_matrix *matrix = &model->adapters[i]->replacements[k].matrix;
            values += matrix->rows * matrix->cols + TN_ARENA_ALIGNMENT;
        }
    return values;
}

typedef struct widening {
    tn_model *model;
    const void *embed; /* data of the embedding before */
} widening;

/* The head of tied embeddings follows its twin. */
static tenebra_code widen_place(void *user, const tn_place *place, tenebra_error *error)
{
    const widening *job = user;
    tn_weight *weights = place->slot;
    if (place->row->role == TN_ROLE_HEAD && weights->matrix.data == job->embed)
        weights->matrix = job->model->decoder.embed.matrix;
    for (size_t part = 0; part < place->row->parts && tn_place_is_matrix(place); part++)
        TN_TRY(widen(job->model, &weights[part], error));
    return TENEBRA_OK;
}

tenebra_code tn_model_widen(tn_model *model, tenebra_error *error)
{
    widening job = { model, model->decoder.embed.matrix.data };
    TN_TRY(tn_arena_open(&model->wide, values_of(model) * sizeof(tn_real), error));
    return tn_networks_each(&model->networks, widen_place, &job, error);
}
