#include "model/convert.h"

#include "base/checked.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_VALUES = 1 << 22, CHUNKS_MIN = 8 };

/* A chunk is up to 16 rows, the rows of a panel. */
typedef struct chunk_result {
    double errors, squares, made, product, largest;
    size_t row, col; /* of the first value that cannot be converted; row SIZE_MAX: none */
    bool input;      /* the original value was already not finite                  */
} chunk_result;

typedef struct convert_job {
    tn_matrix from, to;     /* `to` without data                             */
    const tn_adapter *merged; /* NULL: the tensor has no additions           */
    const char *name;
    size_t begin;           /* first chunk of the piece                      */
    size_t chunk_bytes;     /* of 16 rows in the new form                    */
    size_t slice;           /* bytes of scratch of one worker                */
    size_t packed_bytes;    /* offset in the scratch, for 16 packed rows     */
    unsigned char *out;     /* [chunks of a piece, chunk_bytes]              */
    unsigned char *scratch; /* [workers, slice]                              */
    chunk_result *results;  /* [chunks of a piece]                           */
} convert_job;

/* A vector counts as one row. */
static tn_matrix matrix_of(const tn_form *form, const void *data)
{
    if (form->rank >= 2)
        return tn_form_matrix(form, data);
    return (tn_matrix){ .type = form->type, .rows = 1, .cols = form->elements, .data = data, .order = TN_ROWS };
}

/* The packed values of a row whose type does not change. */
static void keep_row(const tn_matrix *from, size_t row, void *packed)
{
    const unsigned char *data = from->data;
    size_t row_bytes = tn_dtype_row_bytes(from->type, from->cols);
    if (from->order == TN_PANELS)
        tn_panel_row(from->type, data + row / TN_PANEL * tn_panel_bytes(from->type, from->cols), row % TN_PANEL, from->cols,
                     packed);
    else
        memcpy(packed, data + row * row_bytes, row_bytes);
}

/* Adds the errors of a row. False if a value is not finite before or after the conversion; *result has its place. */
static bool compare_rows(const tn_real *values, const tn_real *made, size_t row, size_t cols, chunk_result *result)
{
    for (size_t k = 0; k < cols; k++) {
        double value = values[k], now = made[k], error = fabs(value - now);
        if (!isfinite(error)) {
            result->row = row;
            result->col = k;
            result->input = !isfinite(value);
            return false;
        }
        result->errors += error * error;
        result->squares += value * value;
        result->made += now * now;
        result->product += value * now;
        result->largest = error > result->largest ? error : result->largest;
    }
    return true;
}

static void convert_chunk(void *argument, size_t chunk, size_t worker)
{
    const convert_job *job = argument;
    const tn_dtype_traits *traits = tn_dtype_of(job->to.type);
    const size_t cols = job->to.cols, row_bytes = tn_dtype_row_bytes(job->to.type, cols);
    unsigned char *out = job->out + chunk * job->chunk_bytes, *packed = job->scratch + worker * job->slice;
    tn_real *values = (tn_real *)(void *)(packed + job->packed_bytes), *made = values + cols;
    chunk_result *result = &job->results[chunk];
    size_t first = (job->begin + chunk) * TN_PANEL, count = tn_min(TN_PANEL, job->to.rows - first);
    *result = (chunk_result){ .row = SIZE_MAX };
    if (job->to.order == TN_ROWS)
        packed = out;
    for (size_t i = 0; i < count; i++) {
        tn_matrix_unpack(&job->from, first + i, 0, cols, values);
        if (job->merged != NULL)
            tn_adapter_merge(job->merged, job->name, first + i, 1, values);
        if (job->from.type == job->to.type && job->merged == NULL)
            keep_row(&job->from, first + i, packed + i * row_bytes);
        else
            traits->pack(values, cols, packed + i * row_bytes);
        traits->unpack(packed + i * row_bytes, cols, made);
        if (!compare_rows(values, made, first + i, cols, result))
            return;
    }
    if (job->to.order == TN_PANELS)
        tn_panel_pack(job->to.type, packed, row_bytes, count, cols, out);
}

/* Adds in the order of the chunks, so that sums do not depend on the threads. */
static tenebra_code gather_results(const tn_stored *stored, const convert_job *job, size_t chunks, chunk_result *total,
                                   tenebra_error *error)
{
    for (size_t i = 0; i < chunks; i++) {
        const chunk_result *part = &job->results[i];
        if (part->row != SIZE_MAX && part->input)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, stored->name, "contains a value that is not finite, in row %zu, column %zu",
                           part->row, part->col);
        if (part->row != SIZE_MAX)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, stored->name, "contains a value too large for %s, in row %zu, column %zu",
                           tn_dtype_of(job->to.type)->name, part->row, part->col);
        total->errors += part->errors;
        total->squares += part->squares;
        total->made += part->made;
        total->product += part->product;
        total->largest = fmax(total->largest, part->largest);
    }
    return TENEBRA_OK;
}

static tenebra_code reserve(convert_job *job, const char *name, size_t chunks, size_t workers, tenebra_error *error)
{
    size_t row_bytes = tn_dtype_row_bytes(job->to.type, job->to.cols), values, out, scratch;
    job->chunk_bytes = job->to.order == TN_PANELS ? tn_panel_bytes(job->to.type, job->to.cols) : TN_PANEL * row_bytes;
    job->packed_bytes = tn_pieces(TN_PANEL * row_bytes, TN_LINE) * TN_LINE;
    if (tn_size_mul(job->to.cols, 2 * sizeof(tn_real), &values) && tn_size_add(values, job->packed_bytes + TN_LINE, &job->slice))
        job->slice = job->slice / TN_LINE * TN_LINE;
    if (tn_size_mul(job->slice, workers, &scratch) && tn_size_mul(job->chunk_bytes, chunks, &out)) {
        job->scratch = malloc(scratch);
        job->out = malloc(out);
        job->results = calloc(chunks, sizeof *job->results);
    }
    if (job->scratch == NULL || job->out == NULL || job->results == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, name, "no memory to convert rows of %zu", job->to.cols);
    return TENEBRA_OK;
}

/* Converts piece by piece. The last chunk may have fewer rows, but its panel is complete. */
static tenebra_code run(convert_job *job, const tn_stored *stored, size_t piece, tn_writer *writer, const tn_convert_how *how,
                        chunk_result *total, tenebra_error *error)
{
    size_t chunks = tn_pieces(job->to.rows, TN_PANEL), row_bytes = tn_dtype_row_bytes(job->to.type, job->to.cols), told = 0;
    for (job->begin = 0; job->begin < chunks; job->begin += piece) {
        size_t count = tn_min(piece, chunks - job->begin), end = tn_min(job->to.rows, (job->begin + count) * TN_PANEL);
        size_t bytes = job->to.order == TN_PANELS ? count * job->chunk_bytes : (end - job->begin * TN_PANEL) * row_bytes;
        tn_pool_run(how->pool, count, convert_chunk, job);
        TN_TRY(gather_results(stored, job, count, total, error));
        TN_TRY(tn_writer_write(writer, job->out, bytes, error));
        size_t done = (size_t)((double)stored->bytes * ((double)end / (double)job->to.rows));
        if (how->advance != NULL && !how->advance(how->user, done - told))
            return tn_fail(error, TENEBRA_ERROR_CANCELLED, stored->name, "the conversion was stopped");
        told = done;
    }
    return TENEBRA_OK;
}

tenebra_code tn_convert(const tn_stored *stored, const tn_form *form, tn_writer *writer, const tn_convert_how *how,
                        tn_conversion *result, tenebra_error *error)
{
    convert_job job = { .from = matrix_of(&stored->form, stored->data), .to = matrix_of(form, NULL), .name = how->name };
    chunk_result total = { .row = SIZE_MAX };
    size_t chunks = tn_pieces(job.to.rows, TN_PANEL);
    size_t piece = tn_min(chunks, tn_max(CHUNKS_MIN, PIECE_VALUES / (TN_PANEL * tn_max(job.to.cols, 1))));
    if (how->merged != NULL && tn_adapter_merge(how->merged, how->name, 0, 0, NULL))
        job.merged = how->merged;
    tenebra_code code = reserve(&job, stored->name, piece, tn_pool_threads(how->pool), error);
    if (code == TENEBRA_OK)
        code = run(&job, stored, piece, writer, how, &total, error);
    free(job.out);
    free(job.scratch);
    free(job.results);
    *result = (tn_conversion){ .errors = total.errors, .squares = total.squares, .largest = total.largest, .cosine = 1 };
    if (total.errors > 0) {
        result->relative_rms = sqrt(total.errors / total.squares);
        result->cosine = total.made > 0 ? total.product / sqrt(total.squares * total.made) : 0;
    }
    return code;
}
