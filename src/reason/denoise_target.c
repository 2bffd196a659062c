/* Targets of denoise.h: pieces of a small picture, or pooled image embeddings, and their normalisation. */
#include "reason/denoise.h"

#include "base/checked.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------- making -- */

/* The place of value `value` of cell (row, column) in the picture [SIDE, SIDE, 3]. */
static size_t place_of(const tn_denoiser *d, size_t row, size_t column, size_t value)
{
    size_t side = d->sizes[TN_DENOISER_SIDE], piece = side / d->sizes[TN_DENOISER_GRID];
    size_t y = row * piece + value / 3 / piece, x = column * piece + value / 3 % piece;
    return (y * side + x) * 3 + value % 3;
}

static tn_denoiser_target cut(tn_ops *ops, const tn_denoiser *d, const unsigned char *small)
{
    size_t grid = d->sizes[TN_DENOISER_GRID], width = d->sizes[TN_DENOISER_VALUES];
    tn_denoiser_target target = { grid, grid, tn_ops_take(ops, "target", grid * grid * width, sizeof(tn_real)) };
    for (size_t i = 0; target.values != NULL && i < grid * grid * width; i++)
        target.values[i] = (tn_real)(1 / 255.0) * (tn_real)small[place_of(d, i / width / grid, i / width % grid, i % width)];
    return target;
}

/* Cell `cell` of `cells` covers the rows (or columns) from begin to before end of `count`: all of them together cover each at least
 * once. */
static void span_of(size_t cell, size_t cells, size_t count, size_t *begin, size_t *end)
{
    *begin = cell * count / cells;
    *end = ((cell + 1) * count + cells - 1) / cells;
}

/* The mean of the embeddings that a cell covers. */
static void pool(const tn_image_rows *picture, const tn_real *rows, size_t width, const tn_denoiser_target *target, size_t cell)
{
    size_t top, bottom, left, right;
    tn_real *to = target->values + cell * width;
    span_of(cell / target->columns, target->rows, picture->grid_rows, &top, &bottom);
    span_of(cell % target->columns, target->columns, picture->grid_columns, &left, &right);
    double share = 1 / (double)((bottom - top) * (right - left));
    for (size_t i = 0; i < width; i++) {
        double sum = 0;
        for (size_t y = top; y < bottom; y++)
            for (size_t x = left; x < right; x++)
                sum += (double)rows[(y * picture->grid_columns + x) * width + i];
        to[i] = (tn_real)(sum * share);
    }
}

/* The embeddings of the first frame, without a gradient. */
static const tn_real *embeddings_of(tn_ops *ops, const tn_denoiser_source *source)
{
    const tn_image_rows *picture = source->picture;
    tn_tape *tape = ops->tape;
    tn_tensor rows = picture->embeds;
    ops->tape = NULL;
    if (picture->ids != NULL)
        rows = tn_op_gather(ops, source->embed, picture->ids, picture->rows);
    ops->tape = tape;
    return tn_tensor_is_empty(rows) ? NULL : tn_op_view(ops, rows);
}

tn_denoiser_target tn_denoiser_target_of(tn_ops *ops, const tn_denoiser *d, const tn_denoiser_source *source)
{
    const tn_image_rows *picture = source->picture;
    size_t grid = d->sizes[TN_DENOISER_GRID], width = d->sizes[TN_DENOISER_VALUES];
    tn_denoiser_target target = { 0 };
    if (tn_denoiser_shows(d))
        return source->small != NULL ? cut(ops, d, source->small) : target;
    const tn_real *rows = picture != NULL && picture->rows > 0 ? embeddings_of(ops, source) : NULL;
    if (rows == NULL)
        return target;
    target.rows = tn_min(grid, picture->grid_rows);
    target.columns = tn_min(grid, picture->grid_columns);
    target.values = tn_ops_take(ops, "target", target.rows * target.columns * width, sizeof *target.values);
    for (size_t cell = 0; target.values != NULL && cell < target.rows * target.columns; cell++)
        pool(picture, rows, width, &target, cell);
    return target;
}

/* -------------------------------------------------------- normalisation -- */

bool tn_denoiser_is_measured(const tn_denoiser *d)
{
    bool measured = tn_denoiser_is_present(d);
    for (size_t c = 0; measured && c < d->sizes[TN_DENOISER_CHANNELS]; c++) {
        double deviation = (double)tn_vector_values(&d->parts.frame->deviation)[c];
        measured = deviation > 0 && isfinite(deviation) && isfinite((double)tn_vector_values(&d->parts.frame->mean)[c]);
    }
    return measured;
}

void tn_denoiser_normalise(const tn_denoiser *d, const tn_denoiser_target *target)
{
    size_t channels = d->sizes[TN_DENOISER_CHANNELS], count = tn_denoiser_is_measured(d) ? tn_denoiser_count(d, target) : 0;
    const tn_real *mean = tn_vector_values(&d->parts.frame->mean), *deviation = tn_vector_values(&d->parts.frame->deviation);
    for (size_t i = 0; i < count; i++)
        target->values[i] = (target->values[i] - mean[i % channels]) / deviation[i % channels];
}

tenebra_code tn_denoiser_sums_open(tn_denoiser_sums *sums, const tn_denoiser *d, tenebra_error *error)
{
    size_t channels = d->sizes[TN_DENOISER_CHANNELS];
    *sums = (tn_denoiser_sums){ .sum = calloc(channels + 1, sizeof(double)), .square = calloc(channels + 1, sizeof(double)),
                                .mean = calloc(channels + 1, sizeof(tn_real)), .deviation = calloc(channels + 1, sizeof(tn_real)),
                                .channels = channels };
    bool whole = sums->sum != NULL && sums->square != NULL && sums->mean != NULL && sums->deviation != NULL;
    return whole ? TENEBRA_OK : tn_fail_memory(error, "denoiser");
}

void tn_denoiser_sums_add(tn_denoiser_sums *sums, const tn_denoiser *d, const tn_denoiser_target *target)
{
    size_t count = tn_denoiser_count(d, target);
    for (size_t i = 0; i < count; i++) {
        double value = (double)target->values[i];
        sums->sum[i % sums->channels] += value;
        sums->square[i % sums->channels] += value * value;
    }
    sums->values += (double)(count / sums->channels);
}

void tn_denoiser_sums_set(tn_denoiser_sums *sums, const tn_denoiser *d)
{
    static const double least = 1e-6; /* of a deviation, relative to the size of the values */
    for (size_t c = 0; c < sums->channels; c++) {
        double middle = sums->sum[c] / sums->values, square = sums->square[c] / sums->values;
        double spread = sqrt(fmax(square - middle * middle, 0));
        sums->mean[c] = (tn_real)middle;
        sums->deviation[c] = spread > least * sqrt(square) ? (tn_real)spread : 1;
    }
    if (sums->values > 0) {
        tn_vector_write(&d->parts.frame->mean, sums->mean);
        tn_vector_write(&d->parts.frame->deviation, sums->deviation);
    }
}

void tn_denoiser_sums_close(tn_denoiser_sums *sums)
{
    free(sums->sum);
    free(sums->square);
    free(sums->mean);
    free(sums->deviation);
    *sums = (tn_denoiser_sums){ 0 };
}

/* -------------------------------------------------------------- looking -- */

void tn_denoiser_draw(const tn_denoiser *d, const tn_denoiser_target *target, unsigned char *rgb)
{
    size_t width = d->sizes[TN_DENOISER_VALUES];
    const tn_real *mean = tn_vector_values(&d->parts.frame->mean), *deviation = tn_vector_values(&d->parts.frame->deviation);
    bool measured = tn_denoiser_is_measured(d);
    for (size_t i = 0; i < tn_denoiser_count(d, target); i++) {
        double value = (double)target->values[i];
        if (measured)
            value = value * (double)deviation[i % 3] + (double)mean[i % 3];
        rgb[place_of(d, i / width / target->columns, i / width % target->columns, i % width)] =
            (unsigned char)lrint(255 * fmin(fmax(value, 0), 1));
    }
}
