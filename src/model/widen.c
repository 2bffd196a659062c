/* 16-bit weights as F32 in memory: no kernel set rounds activations for those. */
#include "model/lora_parts.h"

/* Every matrix of the two networks, once; the head of tied embeddings follows its twin. */
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

tenebra_code tn_model_widen(tn_model *model, tenebra_error *error)
{
    tn_decoder *decoder = &model->decoder;
    tn_vision *vision = &model->vision;
    bool tied = decoder->head.matrix.data == decoder->embed.matrix.data;
    TN_TRY(tn_arena_open(&model->wide, values_of(model) * sizeof(tn_real), error));
    TN_TRY(widen(model, &decoder->embed, error));
    for (size_t l = 0; l < decoder->config.num_hidden_layers; l++) {
        tn_decoder_layer *layer = &decoder->layers[l];
        tn_weight *weights[] = { &layer->q, &layer->k, &layer->v, &layer->o, &layer->gate, &layer->up, &layer->down };
        for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
            TN_TRY(widen(model, weights[i], error));
    }
    if (tied)
        decoder->head.matrix = decoder->embed.matrix;
    else
        TN_TRY(widen(model, &decoder->head, error));
    for (size_t b = 0; b < vision->config.depth; b++) {
        tn_vision_block *block = &vision->blocks[b];
        tn_weight *weights[] = { &block->q, &block->k, &block->v, &block->proj, &block->fc1, &block->fc2 };
        for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
            TN_TRY(widen(model, weights[i], error));
    }
    TN_TRY(widen(model, &vision->patch_embed, error));
    TN_TRY(widen(model, &vision->merge1, error));
    return widen(model, &vision->merge2, error);
}
