/* Convolution of one image: patches of the image as rows of a matrix (im2col), and the products of linear layers, so that every
 * kernel set and every type of weights serves it. A tile of patches lives in a worker's scratch only while it is multiplied: those
 * of a whole image of 512 x 512 pixels and 128 channels would take 1.2 GB. */
#include "ops/internal.h"

#include <string.h>

/* Numbers of one tile, about as many as a second-level cache holds, and bounds of its rows: enough to use a weight that was read, and
 * whole tiles of the kernels. */
enum { TILE_NUMBERS = 1 << 17, TILE_LEAST = 64, TILE_MOST = 1024, TILE_UNIT = 32 };

typedef struct conv_job {
    const tn_kernels *kernels;
    const tn_conv_node *c;
    size_t tile;            /* rows                                        */
    size_t begin, count;    /* backward: rows of the present tile          */
    tn_real *patches;       /* backward: [tile, inputs]                    */
    tn_real *scratch;
    size_t slice;
    size_t input_bytes;     /* of x in the form that the kernels read; 0: unchanged */
} conv_job;

/* Reals in the cache lines that so many bytes take. */
static size_t lines_of(size_t bytes)
{
    return tn_pieces(bytes, TN_ARENA_ALIGNMENT) * (TN_ARENA_ALIGNMENT / sizeof(tn_real));
}

static size_t tile_rows(const tn_conv_node *c)
{
    size_t rows = TILE_NUMBERS / tn_max(1, c->w.matrix.cols) / TILE_UNIT * TILE_UNIT;
    return tn_min(tn_max(rows, TILE_LEAST), TILE_MOST);
}

/* The pixel that kernel position (ky, kx) of output `row` reads; SIZE_MAX: outside of the image, where all is zero. */
static size_t pixel_of(const tn_conv_node *c, size_t row, size_t ky, size_t kx)
{
    const tn_conv *s = &c->shape;
    size_t y = row / c->columns * s->stride + ky, x = row % c->columns * s->stride + kx;
    bool inside = y >= s->top && y - s->top < s->height && x >= s->left && x - s->left < s->width;
    return inside ? (y - s->top) * s->width + (x - s->left) : SIZE_MAX;
}

/* Writes the patch of an output row: inputs in the order of the weight, (channel, ky, kx). */
static void lay_patch(const tn_conv_node *c, size_t row, tn_real *patch)
{
    size_t channels = c->x.cols, side = c->shape.kernel, area = side * side;
    for (size_t k = 0; k < area; k++) {
        size_t pixel = pixel_of(c, row, k / side, k % side);
        tn_real *to = patch + k;
        if (pixel == SIZE_MAX) {
            for (size_t i = 0; i < channels; i++)
                to[i * area] = 0;
            continue;
        }
        const tn_real *from = c->x.data + pixel * channels;
        for (size_t i = 0; i < channels; i++)
            to[i * area] = from[i];
    }
}

/* -------------------------------------------------------------- forward -- */

static void conv_chunk(void *argument, size_t chunk, size_t worker)
{
    const conv_job *job = argument;
    const tn_conv_node *c = job->c;
    const tn_matrix *w = &c->w.matrix;
    size_t begin = chunk * job->tile, count = tn_min(job->tile, c->y.rows - begin), outputs = c->y.cols;
    tn_real *patches = job->scratch + worker * job->slice, *y = c->y.data + begin * outputs;
    tn_real *input = patches + lines_of(job->tile * w->cols * sizeof *patches), *rest = input + lines_of(job->input_bytes);
    for (size_t row = 0; row < count; row++)
        lay_patch(c, begin + row, patches + row * w->cols);
    if (job->input_bytes > 0)
        job->kernels->input(w, patches, w->cols, 0, count, count, input);
    for (size_t n = 0; n < outputs; n += job->kernels->linear_chunk)
        job->kernels->linear(w, n, tn_min(outputs, n + job->kernels->linear_chunk), patches, w->cols,
                             job->input_bytes > 0 ? input : NULL, count, y, outputs, rest);
    for (size_t row = 0; row < count && c->bias.data != NULL; row++)
        for (size_t n = 0; n < outputs; n++)
            y[row * outputs + n] += c->bias.data[n];
}

static double conv_work(const tn_conv_node *c, size_t rows)
{
    return (double)rows * (double)c->w.matrix.cols * (double)c->y.cols / 8;
}

static void conv_forward(tn_ops *ops, tn_node *node)
{
    const tn_conv_node *c = (const tn_conv_node *)node;
    const tn_matrix *w = &c->w.matrix;
    size_t mark = tn_arena_mark(ops->arena);
    conv_job job = { .kernels = ops->kernels, .c = c, .tile = tile_rows(c) };
    job.input_bytes = ops->kernels->input_bytes(w, job.tile);
    size_t reals = lines_of(job.tile * w->cols * sizeof(tn_real)) + lines_of(job.input_bytes) + ops->kernels->linear_scratch(w, job.tile);
    job.scratch = tn_ops_scratch(ops, "conv", reals, &job.slice);
    if (job.scratch != NULL)
        tn_ops_run(ops, tn_pieces(c->y.rows, job.tile), conv_work(c, c->y.rows), conv_chunk, &job);
    tn_arena_release(ops->arena, mark);
}

/* ------------------------------------------------------------- backward -- */

static void patches_chunk(void *argument, size_t chunk, size_t worker)
{
    const conv_job *job = argument;
    (void)worker;
    for (size_t row = chunk * TILE_UNIT; row < tn_min(job->count, (chunk + 1) * TILE_UNIT); row++)
        lay_patch(job->c, job->begin + row, job->patches + row * job->c->w.matrix.cols);
}

/* dW += dy^T patches, one tile after another. */
static void dw_chunk(void *argument, size_t chunk, size_t worker)
{
    const conv_job *job = argument;
    const tn_conv_node *c = job->c;
    size_t inputs = c->w.matrix.cols, begin = chunk * job->kernels->linear_chunk;
    job->kernels->linear_dw(c->w.grad, inputs, begin, tn_min(c->y.cols, begin + job->kernels->linear_chunk),
                            c->y.grad + job->begin * c->y.cols, c->y.cols, job->patches, inputs, job->count,
                            job->scratch + worker * job->slice);
}

/* The gradient of the patches: dy W. */
static void dpatches_chunk(void *argument, size_t chunk, size_t worker)
{
    const conv_job *job = argument;
    const tn_conv_node *c = job->c;
    size_t inputs = c->w.matrix.cols, begin = chunk * job->kernels->linear_chunk;
    job->kernels->linear_dx(&c->w.matrix, begin, tn_min(inputs, begin + job->kernels->linear_chunk),
                            c->y.grad + job->begin * c->y.cols, c->y.cols, job->count, job->patches, inputs,
                            job->scratch + worker * job->slice);
}

/* Adds the gradient of patches to that of the pixels, for some channels; rows in ascending order. */
static void scatter_chunk(void *argument, size_t chunk, size_t worker)
{
    const conv_job *job = argument;
    const tn_conv_node *c = job->c;
    size_t channels = c->x.cols, side = c->shape.kernel, area = side * side;
    size_t begin = chunk * TN_OPS_COLUMNS, end = tn_min(channels, begin + TN_OPS_COLUMNS);
    (void)worker;
    for (size_t row = 0; row < job->count; row++)
        for (size_t k = 0; k < area; k++) {
            size_t pixel = pixel_of(c, job->begin + row, k / side, k % side);
            const tn_real *from = job->patches + row * channels * area + k;
            for (size_t i = begin; i < end && pixel != SIZE_MAX; i++)
                c->x.grad[pixel * channels + i] += from[i * area];
        }
}

static void db_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_conv_node *c = ((const conv_job *)argument)->c;
    size_t begin = chunk * TN_OPS_COLUMNS, end = tn_min(c->y.cols, begin + TN_OPS_COLUMNS);
    (void)worker;
    for (size_t row = 0; row < c->y.rows; row++)
        for (size_t n = begin; n < end; n++)
            c->bias.grad[n] += c->y.grad[row * c->y.cols + n];
}

static void back_tile(tn_ops *ops, conv_job *job)
{
    const tn_conv_node *c = job->c;
    size_t chunk = job->kernels->linear_chunk, inputs = c->w.matrix.cols;
    double work = conv_work(c, job->count);
    if (c->w.grad != NULL) {
        tn_ops_run(ops, tn_pieces(job->count, TILE_UNIT), (double)job->count * (double)inputs, patches_chunk, job);
        tn_ops_run(ops, tn_pieces(c->y.cols, chunk), work, dw_chunk, job);
    }
    if (c->x.grad != NULL) {
        memset(job->patches, 0, job->count * inputs * sizeof *job->patches);
        tn_ops_run(ops, tn_pieces(inputs, chunk), work, dpatches_chunk, job);
        tn_ops_run(ops, tn_pieces(c->x.cols, TN_OPS_COLUMNS), (double)job->count * (double)inputs, scatter_chunk, job);
    }
}

static void conv_backward(tn_ops *ops, tn_node *node)
{
    const tn_conv_node *c = (const tn_conv_node *)node;
    size_t mark = tn_arena_mark(ops->arena);
    conv_job job = { .kernels = ops->kernels, .c = c, .tile = tile_rows(c) };
    job.patches = tn_ops_take(ops, "conv", job.tile * c->w.matrix.cols, sizeof *job.patches);
    job.scratch = tn_ops_scratch(ops, "conv", ops->kernels->linear_scratch(&c->w.matrix, job.tile), &job.slice);
    for (; ops->failure.code == TENEBRA_OK && job.begin < c->y.rows; job.begin += job.tile) {
        job.count = tn_min(job.tile, c->y.rows - job.begin);
        back_tile(ops, &job);
    }
    if (ops->failure.code == TENEBRA_OK && c->bias.grad != NULL)
        tn_ops_run(ops, tn_pieces(c->y.cols, TN_OPS_COLUMNS), (double)c->y.rows * (double)c->y.cols, db_chunk, &job);
    tn_arena_release(ops->arena, mark);
}

const tn_device_op tn_cpu_conv = { conv_forward, conv_backward };

/* ------------------------------------------------------------------ ops.h -- */

/* Places of the kernel along one side; 0: none, or too many to count. */
static size_t places(size_t before, size_t size, size_t after, size_t kernel, size_t stride)
{
    size_t all;
    if (!tn_size_add(before, size, &all) || !tn_size_add(all, after, &all) || kernel == 0 || stride == 0 || all < kernel)
        return 0;
    return (all - kernel) / stride + 1;
}

size_t tn_conv_rows(const tn_conv *shape)
{
    return places(shape->top, shape->height, shape->bottom, shape->kernel, shape->stride);
}

size_t tn_conv_columns(const tn_conv *shape)
{
    return places(shape->left, shape->width, shape->right, shape->kernel, shape->stride);
}

static bool conv_fits(tn_ops *ops, const tn_conv_node *c, size_t rows)
{
    const tn_conv *s = &c->shape;
    const tn_matrix *w = &c->w.matrix;
    size_t pixels, area, inputs;
    if (!tn_ops_usable(ops, "conv", c->x))
        return false;
    bool fits = tn_size_mul(s->height, s->width, &pixels) && pixels == c->x.rows && tn_size_mul(s->kernel, s->kernel, &area) &&
                tn_size_mul(area, c->x.cols, &inputs) && rows > 0 && c->columns > 0;
    if (!fits)
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "conv", "a kernel of side %zu, stride %zu and padding %zu, %zu, %zu, %zu does not "
                "fit an image of %zu x %zu in [%zu, %zu]", s->kernel, s->stride, s->top, s->left, s->bottom, s->right, s->width, s->height,
                c->x.rows, c->x.cols);
    else if (w->data == NULL || w->cols != inputs || !tn_matrix_fits(w) || (c->bias.data != NULL && c->bias.size != w->rows))
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "conv", "the weight [%zu, %zu]%s and the bias of %zu do not fit kernels of side %zu "
                "over %zu channels", w->rows, w->cols, w->data == NULL ? ", which is absent," : "", c->bias.size, s->kernel, c->x.cols);
    return ops->failure.code == TENEBRA_OK;
}

tn_tensor tn_op_conv(tn_ops *ops, tn_tensor x, const tn_conv *shape, const tn_weight *w, const tn_vector *bias)
{
    tn_conv_node c = { .x = x, .w = *w, .bias = bias && bias->data ? *bias : (tn_vector){ 0 }, .shape = *shape,
                       .columns = tn_conv_columns(shape) };
    size_t rows = tn_conv_rows(shape), all;
    if (!conv_fits(ops, &c, rows))
        return (tn_tensor){ 0 };
    bool wanted = x.grad != NULL || w->grad != NULL || c.bias.grad != NULL;
    c.y = tn_ops_result(ops, "conv", tn_size_mul(rows, c.columns, &all) ? all : SIZE_MAX, w->matrix.rows, wanted);
    return tn_ops_make(ops, TN_OP_CONV, &c, sizeof c, c.y);
}
