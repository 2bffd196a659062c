#include "model/noise.h"

#include "base/checked.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One block of noise is used for all tensors, each from its own offset. Its length is prime, so that the rows of a
 * matrix start at different places in it and never repeat each other. */
enum { NOISE = 1048573, PIECE = 1 << 14 };

/* A stream: UNITS units of 16 rows, more than any vocabulary has panels, and prime for the same reason. Its rows start
 * ROW_STEP values apart in the block of noise. */
enum { UNITS = 9511, ROW_STEP = 65537 };

static const double BIAS_DEVIATION = 0.02, SCALE_DEVIATION = 0.05;

tenebra_code tn_noise_open(tn_noise *noise, uint64_t seed, tenebra_error *error)
{
    memset(noise, 0, sizeof *noise);
    noise->values = malloc(2 * (size_t)NOISE * sizeof *noise->values);
    noise->packed = malloc((size_t)NOISE * sizeof(double));
    if (noise->values == NULL || noise->packed == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "noise", "no memory for a block of noise");
    noise->rng = tn_rng_seed(seed);
    for (size_t i = 0; i < NOISE; i++)
        noise->values[i] = noise->values[NOISE + i] = (tn_real)tn_rng_normal(&noise->rng);
    return TENEBRA_OK;
}

void tn_noise_close(tn_noise *noise)
{
    for (size_t i = 0; i < TN_NOISE_STREAMS; i++)
        free(noise->streams[i].bytes);
    free(noise->values);
    free(noise->packed);
    memset(noise, 0, sizeof *noise);
}

/* out[i] = mean + deviation * noise, starting at the offset; count <= NOISE. */
static void scale(const tn_noise *noise, size_t offset, double mean, double deviation, size_t count, tn_real *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (tn_real)(mean + deviation * (double)noise->values[offset + i]);
}

/* ---------------------------------------------------------- plain types -- */

/* Fills the packed block with the noise of one tensor. `count` <= NOISE. */
static void pack_plain(tn_noise *noise, const tn_place *place, tn_dtype type, size_t count)
{
    double mean = 0, deviation = BIAS_DEVIATION;
    if (tn_place_is_matrix(place)) {
        deviation = 1 / sqrt((double)place->cols);
    } else if (place->row->role == TN_ROLE_SCALE) {
        mean = 1;
        deviation = SCALE_DEVIATION;
    }
    size_t from = tn_rng_below(&noise->rng, NOISE);
    for (size_t begin = 0; begin < count; begin += PIECE) {
        tn_real scaled[PIECE];
        size_t size = tn_min(PIECE, count - begin);
        scale(noise, from + begin, mean, deviation, size, scaled);
        tn_dtype_of(type)->pack(scaled, size, noise->packed + tn_dtype_row_bytes(type, begin));
    }
}

static tenebra_code put_plain(tn_noise *noise, const tn_place *place, tn_dtype type, tn_noise_fn *put, void *user,
                              tenebra_error *error)
{
    size_t elements = place->rows * place->cols;
    pack_plain(noise, place, type, tn_min(NOISE, elements));
    for (size_t begin = 0; begin < elements; begin += NOISE)
        TN_TRY(put(user, noise->packed, tn_dtype_row_bytes(type, tn_min(NOISE, elements - begin)), error));
    return TENEBRA_OK;
}

/* -------------------------------------------------------------- streams -- */

static tenebra_code fill_stream(const tn_noise *noise, tn_noise_stream *stream, tenebra_error *error)
{
    const size_t length = UNITS * tn_unit_inputs(stream->type), row_bytes = tn_dtype_row_bytes(stream->type, length);
    tn_real *values = malloc(length * sizeof *values);
    unsigned char *rows = malloc(TN_PANEL * row_bytes);
    stream->bytes = malloc(tn_max(TN_PANEL * row_bytes, tn_panel_bytes(stream->type, length)));
    if (values == NULL || rows == NULL || stream->bytes == NULL) {
        free(values);
        free(rows);
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "noise", "no memory for packed noise");
    }
    for (size_t row = 0; row < TN_PANEL; row++) {
        for (size_t at = 0; at < length; at += NOISE) /* the same again, at other places of a block */
            scale(noise, row * ROW_STEP % NOISE, 0, 1 / sqrt((double)stream->inputs), tn_min(NOISE, length - at), values + at);
        tn_dtype_of(stream->type)->pack(values, length, rows + row * row_bytes);
    }
    if (stream->order == TN_PANELS)
        tn_panel_pack(stream->type, rows, row_bytes, TN_PANEL, length, stream->bytes);
    else
        memcpy(stream->bytes, rows, TN_PANEL * row_bytes);
    free(values);
    free(rows);
    return TENEBRA_OK;
}

static tenebra_code find_stream(tn_noise *noise, const tn_place *place, const tn_form *form, const tn_noise_stream **found,
                                tenebra_error *error)
{
    for (size_t i = 0; i < TN_NOISE_STREAMS; i++) {
        const tn_noise_stream *stream = *found = &noise->streams[i];
        if (stream->inputs == place->cols && stream->type == form->type && stream->order == form->order)
            return TENEBRA_OK;
    }
    tn_noise_stream *stream = &noise->streams[noise->next++ % TN_NOISE_STREAMS];
    free(stream->bytes);
    *stream = (tn_noise_stream){ .type = form->type, .order = form->order, .inputs = place->cols };
    *found = stream;
    return fill_stream(noise, stream, error);
}

/* A matrix of whole units, or rows of blocks, is a run of the stream that starts at its own unit. */
static tenebra_code put_stream(tn_noise *noise, const tn_place *place, const tn_form *form, tn_noise_fn *put, void *user,
                               tenebra_error *error)
{
    const tn_noise_stream *stream;
    const tn_matrix matrix = tn_form_matrix(form, NULL);
    TN_TRY(find_stream(noise, place, form, &stream, error));
    size_t unit = form->order == TN_PANELS ? tn_unit_bytes(form->type)
                                             : tn_dtype_row_bytes(form->type, TN_PANEL * tn_unit_inputs(form->type));
    size_t left = tn_matrix_bytes(&matrix), at = tn_rng_below(&noise->rng, UNITS) * unit;
    while (left > 0) {
        size_t size = tn_min(left, UNITS * unit - at);
        TN_TRY(put(user, stream->bytes + at, size, error));
        left -= size;
        at = 0;
    }
    return TENEBRA_OK;
}

/* ---------------------------------------------------- panels with edges -- */

/* Panels with padding are packed one by one. */
static tenebra_code put_panels(tn_noise *noise, const tn_place *place, const tn_form *form, tn_noise_fn *put, void *user,
                               tenebra_error *error)
{
    const tn_matrix matrix = tn_form_matrix(form, NULL);
    size_t row_bytes = tn_dtype_row_bytes(form->type, matrix.cols), panel_bytes = tn_panel_bytes(form->type, matrix.cols);
    size_t offset = tn_rng_below(&noise->rng, NOISE), cols = tn_min(matrix.cols, NOISE);
    tn_real *values = calloc(matrix.cols, sizeof *values);
    unsigned char *rows = malloc(TN_PANEL * row_bytes), *panel = malloc(panel_bytes);
    tenebra_code code = TENEBRA_OK;
    if (values == NULL || rows == NULL || panel == NULL)
        code = tn_fail(error, TENEBRA_ERROR_MEMORY, place->name, "no memory for a panel of %zu inputs", matrix.cols);
    for (size_t first = 0; first < matrix.rows && code == TENEBRA_OK; first += TN_PANEL) {
        size_t count = tn_min(TN_PANEL, matrix.rows - first);
        for (size_t i = 0; i < count; i++, offset = (offset + cols) % NOISE) {
            scale(noise, offset, 0, 1 / sqrt((double)place->cols), cols, values);
            tn_dtype_of(form->type)->pack(values, matrix.cols, rows + i * row_bytes);
        }
        tn_panel_pack(form->type, rows, row_bytes, count, matrix.cols, panel);
        code = put(user, panel, panel_bytes, error);
    }
    free(values);
    free(rows);
    free(panel);
    return code;
}

tenebra_code tn_noise_tensor(tn_noise *noise, const tn_place *place, const tn_form *form, tn_noise_fn *put, void *user,
                             tenebra_error *error)
{
    if (!tn_form_is_packed(form))
        return put_plain(noise, place, form->type, put, user, error);
    bool whole = form->shape[0] % TN_PANEL == 0 && place->cols % tn_unit_inputs(form->type) == 0;
    if (form->order == TN_ROWS || whole)
        return put_stream(noise, place, form, put, user, error);
    return put_panels(noise, place, form, put, user, error);
}
