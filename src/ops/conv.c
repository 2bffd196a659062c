/* Convolution of one image: patches of the image as rows of a matrix (im2col), and the products of linear layers, so that every
 * kernel set and every type of weights serves it.
 *
 * Of a large image, patches exist only one tile at a time, in a worker's scratch: all those of 512 x 512 pixels with 128 channels would
 * take 1.2 GB. Of a small image, all are laid out first, and the work is divided over outputs, as in a linear layer.
 *
 * Files store the weights of an output as (channel, ky, kx). Patches in this order are slow to write: neighbours in the image are far
 * apart in the patch. So the forward uses a copy of the weights in the order (ky, kx, channel), whose patches are copies of pixels;
 * except with weights in blocks, whose inputs cannot change places. */
#include "ops/internal.h"

#include <string.h>

/* Rows of a tile, and of an image that is not divided into tiles. */
enum { TILE = 256, WHOLE = 4096, LINES = 32 };

typedef struct conv_job {
    const tn_kernels *kernels;
    const tn_conv_node *c;
    tn_matrix w;            /* the weights, possibly a copy                */
    bool pixels;            /* inputs are in the order (ky, kx, channel)   */
    unsigned char *copy;    /* memory of the copy                          */
    size_t begin, count;    /* rows whose patches are in `patches`         */
    tn_real *patches;       /* [count, inputs]                             */
    tn_real *scratch;
    size_t slice;
    size_t input_bytes;     /* of x in the form that the kernels read; 0: unchanged */
} conv_job;

/* Reals in the cache lines that so many bytes take. */
static size_t lines_of(size_t bytes)
{
    return tn_pieces(bytes, TN_ARENA_ALIGNMENT) * (TN_ARENA_ALIGNMENT / sizeof(tn_real));
}

/* The pixel that kernel position (ky, kx) of output `row` reads; SIZE_MAX: outside of the image, where all is zero. */
static size_t pixel_of(const tn_conv_node *c, size_t row, size_t ky, size_t kx)
{
    const tn_conv *s = &c->shape;
    size_t y = row / c->columns * s->stride + ky, x = row % c->columns * s->stride + kx;
    bool inside = y >= s->top && y - s->top < s->height && x >= s->left && x - s->left < s->width;
    return inside ? (y - s->top) * s->width + (x - s->left) : SIZE_MAX;
}

/* Writes the patch of an output row: inputs in the order of the weights. */
static void lay_patch(const conv_job *job, size_t row, tn_real *patch)
{
    const tn_conv_node *c = job->c;
    size_t channels = c->x.cols, side = c->shape.kernel, area = side * side;
    size_t step = job->pixels ? 1 : area, next = job->pixels ? channels : 1;
    for (size_t k = 0; k < area; k++, patch += next) {
        size_t pixel = pixel_of(c, row, k / side, k % side);
        const tn_real *from = pixel != SIZE_MAX ? c->x.data + pixel * channels : NULL;
        if (from != NULL && job->pixels)
            memcpy(patch, from, channels * sizeof *patch);
        else
            for (size_t i = 0; i < channels; i++)
                patch[i * step] = from != NULL ? from[i] : 0;
    }
}

static void patches_chunk(void *argument, size_t chunk, size_t worker)
{
    const conv_job *job = argument;
    (void)worker;
    for (size_t row = chunk * LINES; row < tn_min(job->count, (chunk + 1) * LINES); row++)
        lay_patch(job, job->begin + row, job->patches + row * job->w.cols);
}

static void lay_patches(tn_ops *ops, conv_job *job)
{
    tn_ops_run(ops, tn_pieces(job->count, LINES), (double)job->count * (double)job->w.cols / 4, patches_chunk, job);
}

/* -------------------------------------------------------------- weights -- */

/* One row of the copy. Plain types are widened and rounded back, which changes nothing. */
static void copy_row(void *argument, size_t row, size_t worker)
{
    const conv_job *job = argument;
    const tn_matrix *w = &job->c->w.matrix;
    size_t channels = job->c->x.cols, area = w->cols / channels;
    tn_real *from = job->scratch + worker * job->slice, *to = from + w->cols;
    tn_matrix_unpack(w, row, 0, w->cols, from);
    for (size_t k = 0; k < area; k++)
        for (size_t i = 0; i < channels; i++)
            to[k * channels + i] = from[i * area + k];
    tn_dtype_of(w->type)->pack(to, w->cols, job->copy + row * tn_dtype_row_bytes(w->type, w->cols));
}

/* Makes the copy, if the type allows one and the order matters. */
static void copy_weights(tn_ops *ops, conv_job *job)
{
    const tn_matrix *w = &job->c->w.matrix;
    job->w = *w;
    job->pixels = job->c->shape.kernel == 1;
    if (job->pixels || tn_dtype_of(w->type)->block > 1)
        return;
    job->copy = tn_ops_take(ops, "conv", w->rows, tn_dtype_row_bytes(w->type, w->cols));
    size_t mark = tn_arena_mark(ops->arena);
    job->scratch = tn_ops_scratch(ops, "conv", 2 * w->cols, &job->slice);
    if (job->scratch == NULL)
        return;
    tn_ops_run(ops, w->rows, (double)w->rows * (double)w->cols, copy_row, job);
    tn_arena_release(ops->arena, mark);
    job->w = (tn_matrix){ w->type, w->rows, w->cols, job->copy, TN_ROWS };
    job->pixels = true;
}

/* -------------------------------------------------------------- forward -- */

static void conv_chunk(void *argument, size_t chunk, size_t worker)
{
    const conv_job *job = argument;
    const tn_conv_node *c = job->c;
    size_t begin = chunk * TILE, count = tn_min(TILE, c->y.rows - begin), outputs = c->y.cols, inputs = job->w.cols;
    tn_real *patches = job->scratch + worker * job->slice, *y = c->y.data + begin * outputs;
    tn_real *input = patches + lines_of(TILE * inputs * sizeof *patches), *rest = input + lines_of(job->input_bytes);
    for (size_t row = 0; row < count; row++)
        lay_patch(job, begin + row, patches + row * inputs);
    if (job->input_bytes > 0)
        job->kernels->input(&job->w, patches, inputs, 0, count, count, input);
    for (size_t n = 0; n < outputs; n += job->kernels->linear_chunk)
        job->kernels->linear(&job->w, n, tn_min(outputs, n + job->kernels->linear_chunk), patches, inputs,
                             job->input_bytes > 0 ? input : NULL, count, y, outputs, rest);
    for (size_t row = 0; row < count && c->bias.data != NULL; row++)
        for (size_t n = 0; n < outputs; n++)
            y[row * outputs + n] += c->bias.data[n];
}

static double conv_work(const tn_conv_node *c, size_t rows)
{
    return (double)rows * (double)c->w.matrix.cols * (double)c->y.cols / 8;
}

static void run_tiles(tn_ops *ops, conv_job *job)
{
    job->input_bytes = ops->kernels->input_bytes(&job->w, TILE);
    size_t patches = lines_of(TILE * job->w.cols * sizeof(tn_real));
    size_t reals = patches + lines_of(job->input_bytes) + ops->kernels->linear_scratch(&job->w, TILE);
    job->scratch = tn_ops_scratch(ops, "conv", reals, &job->slice);
    if (job->scratch != NULL)
        tn_ops_run(ops, tn_pieces(job->c->y.rows, TILE), conv_work(job->c, job->c->y.rows), conv_chunk, job);
}

static void run_whole(tn_ops *ops, conv_job *job)
{
    const tn_conv_node *c = job->c;
    tn_linear_node l = { .x = { c->y.rows, job->w.cols, NULL, NULL }, .y = c->y, .w = { .matrix = job->w }, .bias = c->bias };
    job->count = c->y.rows;
    job->patches = l.x.data = tn_ops_take(ops, "conv", job->count * job->w.cols, sizeof *job->patches);
    if (job->patches == NULL)
        return;
    lay_patches(ops, job);
    tn_cpu_linear.forward(ops, &l.node);
}

static void conv_forward(tn_ops *ops, tn_node *node)
{
    const tn_conv_node *c = (const tn_conv_node *)node;
    size_t mark = tn_arena_mark(ops->arena);
    conv_job job = { .kernels = ops->kernels, .c = c };
    copy_weights(ops, &job);
    if (ops->failure.code == TENEBRA_OK)
        (c->y.rows > WHOLE ? run_tiles : run_whole)(ops, &job);
    tn_arena_release(ops->arena, mark);
}

/* ------------------------------------------------------------- backward -- */
/* With the weights, and the gradients, in their own order. */

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
        lay_patches(ops, job);
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
    conv_job job = { .kernels = ops->kernels, .c = c, .w = c->w.matrix };
    job.patches = tn_ops_take(ops, "conv", TILE * c->w.matrix.cols, sizeof *job.patches);
    job.scratch = tn_ops_scratch(ops, "conv", ops->kernels->linear_scratch(&c->w.matrix, TILE), &job.slice);
    for (; ops->failure.code == TENEBRA_OK && job.begin < c->y.rows; job.begin += TILE) {
        job.count = tn_min(TILE, c->y.rows - job.begin);
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
