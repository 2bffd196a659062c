/* What an adapter changes besides low-rank products: complete tensors, rows of the embedding, and the norms of rows
 * (DoRA). */
#include "base/checked.h"
#include "base/pool.h"
#include "model/lora_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const tn_dtype real_type = sizeof(tn_real) == 8 ? TN_F64 : TN_F32;

/* --------------------------------------------------------- replacements -- */

static tn_replacement *add(tn_adapter *adapter)
{
    if (TN_GROW(adapter->replacements, adapter->replacement_count, NULL, NULL) != TENEBRA_OK)
        return NULL;
    adapter->replacements[adapter->replacement_count] = (tn_replacement){ 0 };
    return &adapter->replacements[adapter->replacement_count++];
}

static tn_replacement *find(const tn_adapter *adapter, const tn_weight *weight)
{
    for (size_t i = 0; i < adapter->replacement_count; i++)
        if (adapter->replacements[i].weight == weight)
            return &adapter->replacements[i];
    return NULL;
}

static bool is_plain(const tn_stored *stored)
{
    return stored->form.is_weight && stored->form.order == TN_ROWS && tn_dtype_of(stored->form.type)->block == 1;
}

static tenebra_code misfit(const tn_place *place, const tn_stored *stored, tenebra_error *error)
{
    size_t rows = stored->rank > 0 ? stored->shape[0] : 0;
    if (place->row->dims[0] == TN_SIZE_FREE && rows != place->rows)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, stored->name, "has %zu rows, the vocabulary of the model %zu: it was resized "
                       "when the adapter was trained; resize and save the base model first", rows, place->rows);
    return tn_fail(error, TENEBRA_ERROR_MISMATCH, stored->name, "has type %s and %zu values; [%zu, %zu] of a floating-point type "
                   "expected", tn_store_type_of(stored->type)->name, stored->elements, place->rows, place->cols);
}

static tenebra_code replace_matrix(tn_adapter *adapter, const tn_place *place, const tn_stored *stored, tenebra_error *error)
{
    tn_matrix whole = stored->form.rank >= 2 ? tn_form_matrix(&stored->form, stored->data) : (tn_matrix){ 0 };
    if (!is_plain(stored) || whole.rows != place->rows || whole.cols != place->cols)
        return misfit(place, stored, error);
    size_t parts = place->row->parts, share = tn_matrix_bytes(&whole) / parts;
    for (size_t part = 0; part < parts; part++) {
        tn_replacement *new = add(adapter);
        if (new == NULL)
            return tn_fail_memory(error, stored->name);
        new->weight = (tn_weight *)place->slot + part;
        new->matrix = whole;
        new->matrix.rows = whole.rows / parts;
        new->matrix.data = (const unsigned char *)whole.data + part * share;
    }
    return TENEBRA_OK;
}

static tenebra_code replace_vector(tn_adapter *adapter, const tn_place *place, const tn_stored *stored, tenebra_error *error)
{
    if (!is_plain(stored) || stored->form.rank != 1 || stored->elements != place->cols)
        return misfit(place, stored, error);
    size_t parts = place->row->parts, size = place->cols / parts;
    for (size_t part = 0; part < parts; part++) {
        tn_replacement *new = add(adapter);
        tn_real *values = calloc(size, sizeof *values);
        if (new == NULL || values == NULL) {
            free(values);
            return tn_fail_memory(error, stored->name);
        }
        const tn_matrix row = { stored->form.type, 1, place->cols, stored->data, TN_ROWS };
        tn_matrix_unpack(&row, 0, part * size, size, values);
        new->vector = (tn_vector *)place->slot + part;
        new->values = (tn_vector){ size, values, NULL };
        new->memory = values;
    }
    return TENEBRA_OK;
}

tenebra_code tn_adapter_replace(tn_adapter *adapter, const tn_place *place, const tn_stored *stored, tenebra_error *error)
{
    if (tn_place_is_matrix(place))
        return replace_matrix(adapter, place, stored, error);
    return replace_vector(adapter, place, stored, error);
}

/* A copy of a matrix with writable rows: of its own type, or of reals if its rows are packed differently. */
static void *copy_rows(const tn_matrix *from, tn_matrix *copy)
{
    bool plain = from->order == TN_ROWS && tn_dtype_of(from->type)->block == 1;
    *copy = (tn_matrix){ plain ? from->type : real_type, from->rows, from->cols, NULL, TN_ROWS };
    unsigned char *memory = malloc(tn_matrix_bytes(copy));
    if (memory != NULL && plain)
        memcpy(memory, from->data, tn_matrix_bytes(copy));
    for (size_t row = 0; memory != NULL && !plain && row < from->rows; row++)
        tn_matrix_unpack(from, row, 0, from->cols, (tn_real *)(void *)memory + row * from->cols);
    copy->data = memory;
    return memory;
}

tenebra_code tn_adapter_replace_rows(tn_adapter *adapter, const tn_place *place, const tn_stored *stored, const size_t *ids,
                                     size_t count, tenebra_error *error)
{
    tn_weight *weight = place->slot;
    if (!is_plain(stored) || stored->rank != 2 || stored->shape[0] != count || stored->shape[1] != place->cols)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, stored->name, "is not of the shape [%zu, %zu] that the list of tokens requires "
                       "for", count, place->cols);
    tn_replacement *new = find(adapter, weight);
    const tn_matrix base = new != NULL ? new->matrix : weight->matrix, rows = tn_form_matrix(&stored->form, stored->data);
    tn_matrix matrix;
    tn_real *values = calloc(place->cols, sizeof *values);
    unsigned char *memory = values != NULL ? copy_rows(&base, &matrix) : NULL;
    if (memory != NULL && new == NULL && (new = add(adapter)) != NULL)
        new->weight = weight;
    tenebra_code code = memory != NULL && new != NULL ? TENEBRA_OK : tn_fail_memory(error, stored->name);
    for (size_t i = 0; i < count && code == TENEBRA_OK; i++) {
        if (ids[i] >= base.rows) {
            code = tn_fail(error, TENEBRA_ERROR_MISMATCH, stored->name, "is for token %zu, but the vocabulary of the model has %zu rows",
                           ids[i], base.rows);
            break;
        }
        tn_matrix_unpack(&rows, i, 0, place->cols, values);
        tn_dtype_of(matrix.type)->pack(values, place->cols, memory + ids[i] * tn_dtype_row_bytes(matrix.type, place->cols));
    }
    if (code == TENEBRA_OK) {
        free(new->memory);
        new->matrix = matrix;
        new->memory = memory;
        memory = NULL;
    }
    free(memory);
    free(values);
    return code;
}

bool tn_adapter_replaces(const tn_adapter *adapter, const tn_replacement *other)
{
    for (size_t i = 0; i < adapter->replacement_count; i++)
        if (adapter->replacements[i].weight == other->weight && adapter->replacements[i].vector == other->vector)
            return true;
    return false;
}

void tn_adapter_swap(tn_adapter *adapter, bool attach)
{
    for (size_t i = 0; i < adapter->replacement_count; i++) {
        tn_replacement *r = &adapter->replacements[i];
        if (attach && r->weight != NULL) {
            r->old_matrix = r->weight->matrix;
            r->weight->matrix = r->matrix;
        } else if (attach) {
            r->old_values = *r->vector;
            *r->vector = r->values;
        } else if (r->weight != NULL) {
            r->weight->matrix = r->old_matrix;
        } else {
            *r->vector = r->old_values;
        }
    }
}

/* ------------------------------------------------------------ magnitude -- */

typedef struct lengths_job {
    const tn_adapter_module *module;
    tn_real *rows; /* [workers, inputs] */
    double *lengths;
} lengths_job;

enum { ROWS = 16 };

/* Computes |W + scale B A| of some rows. */
static void length_chunk(void *argument, size_t chunk, size_t worker)
{
    const lengths_job *job = argument;
    const tn_adapter_module *m = job->module;
    size_t share = m->outputs / m->parts;
    tn_real *values = job->rows + worker * m->inputs;
    for (size_t row = chunk * ROWS; row < m->outputs && row < (chunk + 1) * ROWS; row++) {
        double sum = 0;
        tn_matrix_unpack(&m->slot[row / share].matrix, row % share, 0, m->inputs, values);
        for (size_t k = 0; k < m->rank; k++) {
            const tn_real factor = (tn_real)m->scale * m->b[row * m->rank + k], *a = m->a + k * m->inputs;
            for (size_t i = 0; i < m->inputs; i++)
                values[i] += factor * a[i];
        }
        for (size_t i = 0; i < m->inputs; i++)
            sum += (double)values[i] * (double)values[i];
        job->lengths[row] = sqrt(sum);
    }
}

static tenebra_code measure(const tn_adapter_module *module, double *lengths, tenebra_error *error)
{
    tn_pool *pool;
    tn_pool_open(tn_cpu_count(), &pool, NULL); /* without a pool, this thread does the work */
    lengths_job job = { module, calloc(tn_pool_threads(pool) * module->inputs, sizeof(tn_real)), lengths };
    if (job.rows != NULL)
        tn_pool_run(pool, tn_pieces(module->outputs, ROWS), length_chunk, &job);
    tn_pool_close(pool);
    free(job.rows);
    return job.rows != NULL ? TENEBRA_OK : tn_fail_memory(error, module->name);
}

tenebra_code tn_adapter_add_magnitude(tn_adapter *adapter, tn_adapter_module *module, const tn_stored *stored,
                                      tenebra_error *error)
{
    if (!is_plain(stored) || stored->rank != 1 || stored->elements != module->outputs)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, stored->name, "has %zu values, but the matrix has %zu rows", stored->elements,
                       module->outputs);
    double *lengths = calloc(module->outputs, sizeof *lengths);
    module->magnitude = calloc(module->outputs, sizeof *module->magnitude);
    tenebra_code code = lengths != NULL && module->magnitude != NULL ? TENEBRA_OK : tn_fail_memory(error, stored->name);
    tn_adapter_swap(adapter, true);
    if (code == TENEBRA_OK)
        code = measure(module, lengths, error);
    tn_adapter_swap(adapter, false);
    if (code == TENEBRA_OK)
        tn_dtype_of(stored->form.type)->unpack(stored->data, module->outputs, module->magnitude);
    for (size_t row = 0; row < module->outputs && code == TENEBRA_OK; row++) {
        if (!(lengths[row] > 0))
            code = tn_fail(error, TENEBRA_ERROR_MISMATCH, stored->name, "row %zu of the matrix has length 0 and cannot be scaled", row);
        module->magnitude[row] = (tn_real)((double)module->magnitude[row] / lengths[row]);
    }
    free(lengths);
    return code;
}
