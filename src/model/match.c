/* Fitting stored tensors to the slots of the networks, by the backbone's table. */
#include "model/model.h"

#include "base/checked.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 256 };

typedef struct matcher {
    const tn_backbone *backbone;
    const tn_model_config *config;
    const tn_store *store;
    tn_model *model; /* NULL: only report */
    tn_match_fn *each;
    void *user;
    bool *used;          /* one a stored tensor */
    tn_real *vector_end; /* next free entry of model->vectors */
    size_t mismatches;
} matcher;

const char *tn_shape_print(size_t rows, size_t cols, char text[TN_SHAPE_TEXT])
{
    if (cols == 1)
        snprintf(text, TN_SHAPE_TEXT, "[%zu]", rows);
    else
        snprintf(text, TN_SHAPE_TEXT, "[%zu, %zu]", rows, cols);
    return text;
}

static void report(matcher *m, tn_match match, const char *name, const tn_stored *stored, size_t rows,
                   size_t cols)
{
    m->mismatches += match != TN_MATCHED;
    if (m->each != NULL)
        m->each(m->user, match, name, stored, rows, cols);
}

const tn_stored *tn_model_stored(const tn_backbone *backbone, const tn_store *store, const char *canonical)
{
    const tn_stored *found = tn_store_find(store, canonical);
    for (const tn_rename *rename = backbone->renames; found == NULL && rename->stored != NULL; rename++) {
        char name[NAME_SIZE];
        size_t prefix = strlen(rename->canonical);
        if (strncmp(canonical, rename->canonical, prefix) != 0)
            continue;
        snprintf(name, sizeof name, "%s%s", rename->stored, canonical + prefix);
        found = tn_store_find(store, name);
    }
    return found;
}

/* Whether stored weights are [rows, cols], where trailing dimensions count as one (a convolution kernel
 * is a matrix) and rows == 0 takes any number. Parts of panels must be whole panels. */
static bool fits(const tn_form *form, const tn_tensor_row *row, size_t *rows, size_t cols)
{
    size_t columns = 1;
    if (!form->is_weight || form->rank < 1 || (row->matrix ? form->rank < 2 : form->rank != 1))
        return false;
    for (size_t i = 1; i < form->rank; i++)
        if (!tn_size_mul(columns, form->shape[i], &columns))
            return false;
    if (*rows == 0)
        *rows = form->shape[0];
    bool cut = form->order == TN_ROWS || row->parts == 1 || *rows / row->parts % TN_PANEL == 0;
    return form->shape[0] == *rows && columns == cols && *rows > 0 && cut;
}

static unsigned char *slot_of(const matcher *m, const tn_tensor_row *row, size_t number)
{
    unsigned char *base = (unsigned char *)m->model;
    if (row->scope == TN_SCOPE_LAYER)
        base = (unsigned char *)&m->model->decoder.layers[number];
    else if (row->scope == TN_SCOPE_BLOCK)
        base = (unsigned char *)&m->model->vision.blocks[number];
    return base + row->offset;
}

/* Points the slots at the tensor; vectors are unpacked, since they are small and read often. */
static void fill(matcher *m, const tn_tensor_row *row, size_t number, const tn_stored *stored, size_t rows, size_t cols)
{
    unsigned char *slot = slot_of(m, row, number);
    const tn_matrix first = { stored->form.type, rows / row->parts, cols, stored->data, stored->form.order };
    size_t part_rows = first.rows, part_bytes = tn_matrix_bytes(&first);
    for (size_t part = 0; part < row->parts; part++) {
        tn_matrix matrix = first;
        matrix.data = (const unsigned char *)stored->data + part * part_bytes;
        if (row->matrix) {
            ((tn_weight *)slot)[part].matrix = matrix;
            continue;
        }
        tn_dtype_of(matrix.type)->unpack(matrix.data, part_rows, m->vector_end);
        ((tn_vector *)slot)[part] = (tn_vector){ part_rows, m->vector_end, NULL };
        m->vector_end += part_rows;
    }
}

static void match_one(matcher *m, const tn_tensor_row *row, size_t number)
{
    char name[NAME_SIZE];
    tn_tensor_name(row, number, name, sizeof name);
    size_t rows = m->config->dims[row->rows] * row->parts, cols = m->config->dims[row->cols];
    const tn_stored *stored = tn_model_stored(m->backbone, m->store, name);
    if (stored == NULL) {
        if (row->presence != TN_HEAD || !m->config->tie_word_embeddings)
            report(m, TN_MISSING, name, NULL, rows, cols);
        return;
    }
    for (size_t i = 0; i < tn_store_count(m->store); i++)
        m->used[i] |= tn_store_at(m->store, i) == stored;
    if (!fits(&stored->form, row, &rows, cols)) {
        report(m, TN_MISSHAPEN, name, stored, rows, cols);
        return;
    }
    report(m, TN_MATCHED, name, stored, rows, cols);
    if (m->model != NULL)
        fill(m, row, number, stored, rows, cols);
}

static size_t scope_count(const tn_model_config *config, tn_scope scope)
{
    return scope == TN_SCOPE_LAYER   ? config->decoder.num_hidden_layers
           : scope == TN_SCOPE_BLOCK ? config->vision.depth
                                     : 1;
}

/* Entries that all vectors of the model take together. */
static bool vector_total(const tn_backbone *backbone, const tn_model_config *config, size_t *total)
{
    *total = 1;
    for (const tn_tensor_row *row = backbone->tensors; row->name != NULL; row++) {
        size_t size;
        if (!row->matrix && (!tn_size_mul(config->dims[row->rows] * row->parts, scope_count(config, row->scope),
                                          &size) || !tn_size_add(*total, size, total)))
            return false;
    }
    return true;
}

static tenebra_code reserve(tn_model *model, const tn_backbone *backbone, const tn_model_config *config,
                            tenebra_error *error)
{
    size_t total;
    model->decoder.layers = calloc(config->decoder.num_hidden_layers, sizeof *model->decoder.layers);
    model->vision.blocks = calloc(config->vision.depth, sizeof *model->vision.blocks);
    if (vector_total(backbone, config, &total))
        model->vectors = calloc(total, sizeof *model->vectors);
    if (model->decoder.layers == NULL || model->vision.blocks == NULL || model->vectors == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, NULL, "no memory for %zu layers",
                       config->decoder.num_hidden_layers);
    return TENEBRA_OK;
}

tenebra_code tn_model_match(const tn_backbone *backbone, const tn_model_config *config,
                            const tn_store *store, tn_model *model, tn_match_fn *each, void *user,
                            size_t *mismatches, tenebra_error *error)
{
    matcher m = { backbone, config, store, model, each, user, NULL, NULL, 0 };
    if (model != NULL) {
        TN_TRY(reserve(model, backbone, config, error));
        m.vector_end = model->vectors;
    }
    size_t stored_count = tn_store_count(store);
    m.used = calloc(stored_count + 1, sizeof *m.used);
    if (m.used == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, NULL, "no memory for a list of %zu tensors", stored_count);
    for (const tn_tensor_row *row = backbone->tensors; row->name != NULL; row++)
        for (size_t number = 0; number < scope_count(config, row->scope); number++)
            match_one(&m, row, number);
    for (size_t i = 0; i < stored_count; i++)
        if (!m.used[i])
            report(&m, TN_UNEXPECTED, tn_store_at(store, i)->name, tn_store_at(store, i), 0, 0);
    free(m.used);
    *mismatches = m.mismatches;
    return TENEBRA_OK;
}
