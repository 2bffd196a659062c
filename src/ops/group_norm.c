/* Group norm. Sums over all pixels: first of each block of pixels, whose borders depend only on the shape, for each column in
 * double; then of the blocks in ascending order. Results therefore depend neither on the number of threads nor on the kernel set. */
#include "ops/internal.h"

enum { BLOCK_ROWS = 256 };

/* Two sums for each column of each block. */
typedef struct sums_job {
    const tn_group_norm_node *norm;
    double *partial; /* [blocks, 2, C] */
    double *total;   /* [2, groups]    */
    double *mean;    /* [C] of the group of each column: mean ...                     */
    tn_real *shift, *inverse; /* [C] ... the same rounded, and inverse of the deviation */
    bool squares;    /* of the forward sums */
} sums_job;

static size_t group_of(const tn_group_norm_node *norm, size_t column)
{
    return column / (norm->x.cols / norm->groups);
}

/* Adds up the sums of columns over the blocks and the columns of a group. */
static void total_up(const sums_job *job)
{
    size_t cols = job->norm->x.cols, groups = job->norm->groups, blocks = tn_pieces(job->norm->x.rows, BLOCK_ROWS);
    for (size_t i = 0; i < 2 * groups; i++)
        job->total[i] = 0;
    for (size_t block = 0; block < blocks; block++)
        for (size_t which = 0; which < 2; which++)
            for (size_t c = 0; c < cols; c++)
                job->total[which * groups + group_of(job->norm, c)] += job->partial[(2 * block + which) * cols + c];
}

static bool open_sums(tn_ops *ops, sums_job *job, const tn_group_norm_node *norm)
{
    size_t blocks = tn_pieces(norm->x.rows, BLOCK_ROWS);
    *job = (sums_job){ .norm = norm };
    job->partial = tn_ops_take(ops, "group_norm", 2 * blocks * norm->x.cols, sizeof *job->partial);
    job->total = tn_ops_take(ops, "group_norm", 2 * norm->groups, sizeof *job->total);
    job->mean = tn_ops_take(ops, "group_norm", norm->x.cols, sizeof *job->mean);
    job->shift = tn_ops_take(ops, "group_norm", norm->x.cols, sizeof *job->shift);
    job->inverse = tn_ops_take(ops, "group_norm", norm->x.cols, sizeof *job->inverse);
    return job->inverse != NULL;
}

/* -------------------------------------------------------------- forward -- */

/* Sums of x, or, if `squares`, of (x - mean)^2. */
static void moments_chunk(void *argument, size_t block, size_t worker)
{
    const sums_job *job = argument;
    const tn_tensor x = job->norm->x;
    double *sum = job->partial + 2 * block * x.cols;
    (void)worker;
    for (size_t c = 0; c < 2 * x.cols; c++)
        sum[c] = 0;
    for (size_t row = block * BLOCK_ROWS; row < tn_min(x.rows, (block + 1) * BLOCK_ROWS); row++)
        for (size_t c = 0; c < x.cols; c++) {
            double value = (double)x.data[row * x.cols + c], d = job->squares ? value - job->mean[c] : 0;
            sum[c] += job->squares ? d * d : value;
        }
}

static void norm_chunk(void *argument, size_t block, size_t worker)
{
    const sums_job *job = argument;
    const tn_group_norm_node *norm = job->norm;
    size_t cols = norm->x.cols;
    (void)worker;
    for (size_t row = block * BLOCK_ROWS; row < tn_min(norm->x.rows, (block + 1) * BLOCK_ROWS); row++) {
        const tn_real *x = norm->x.data + row * cols;
        tn_real *y = norm->y.data + row * cols;
        for (size_t c = 0; c < cols; c++)
            y[c] = (x[c] - job->shift[c]) * job->inverse[c] * norm->w.data[c] + norm->b.data[c];
    }
}

static void norm_forward(tn_ops *ops, tn_node *node)
{
    tn_group_norm_node *norm = (tn_group_norm_node *)node;
    size_t mark = tn_arena_mark(ops->arena), blocks = tn_pieces(norm->x.rows, BLOCK_ROWS);
    double count = (double)norm->x.rows * (double)(norm->x.cols / norm->groups), work = count * (double)norm->groups;
    sums_job job;
    if (!open_sums(ops, &job, norm))
        return;
    tn_ops_run(ops, blocks, work, moments_chunk, &job);
    total_up(&job);
    for (size_t c = 0; c < norm->x.cols; c++)
        job.mean[c] = job.total[group_of(norm, c)] / count;
    job.squares = true;
    tn_ops_run(ops, blocks, work, moments_chunk, &job);
    total_up(&job);
    for (size_t c = 0; c < norm->x.cols; c++) {
        size_t group = group_of(norm, c);
        norm->mean[group] = job.shift[c] = (tn_real)job.mean[c];
        norm->inverse[group] = job.inverse[c] = (tn_real)(1 / sqrt(job.total[group] / count + norm->eps));
    }
    tn_ops_run(ops, blocks, work, norm_chunk, &job);
    tn_arena_release(ops->arena, mark);
}

/* ------------------------------------------------------------- backward -- */

/* Sums of g = dy w and of g z, with z = (x - mean) inverse. */
static void slopes_chunk(void *argument, size_t block, size_t worker)
{
    const sums_job *job = argument;
    const tn_group_norm_node *norm = job->norm;
    size_t cols = norm->x.cols;
    double *sum_g = job->partial + 2 * block * cols, *sum_gz = sum_g + cols;
    (void)worker;
    for (size_t c = 0; c < 2 * cols; c++)
        sum_g[c] = 0;
    for (size_t row = block * BLOCK_ROWS; row < tn_min(norm->x.rows, (block + 1) * BLOCK_ROWS); row++)
        for (size_t c = 0; c < cols; c++) {
            size_t group = group_of(norm, c);
            double g = (double)norm->y.grad[row * cols + c] * (double)norm->w.data[c];
            sum_g[c] += g;
            sum_gz[c] += g * (double)((norm->x.data[row * cols + c] - norm->mean[group]) * norm->inverse[group]);
        }
}

/* dx = inverse (g - mean(g) - z mean(g z)); the means are in `total`. */
static void dx_chunk(void *argument, size_t block, size_t worker)
{
    const sums_job *job = argument;
    const tn_group_norm_node *norm = job->norm;
    size_t cols = norm->x.cols;
    (void)worker;
    for (size_t row = block * BLOCK_ROWS; row < tn_min(norm->x.rows, (block + 1) * BLOCK_ROWS); row++)
        for (size_t c = 0; c < cols; c++) {
            size_t group = group_of(norm, c), at = row * cols + c;
            tn_real inverse = norm->inverse[group], z = (norm->x.data[at] - norm->mean[group]) * inverse;
            tn_real mean_g = (tn_real)job->total[group], mean_gz = (tn_real)job->total[norm->groups + group];
            norm->x.grad[at] += inverse * (norm->y.grad[at] * norm->w.data[c] - mean_g - z * mean_gz);
        }
}

/* dw += sum of dy z, db += sum of dy, for some columns. */
static void dw_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_group_norm_node *norm = argument;
    size_t cols = norm->x.cols, begin = chunk * TN_OPS_COLUMNS, end = tn_min(cols, begin + TN_OPS_COLUMNS);
    (void)worker;
    for (size_t row = 0; row < norm->x.rows; row++)
        for (size_t c = begin; c < end; c++) {
            size_t group = group_of(norm, c), at = row * cols + c;
            if (norm->w.grad != NULL)
                norm->w.grad[c] += norm->y.grad[at] * ((norm->x.data[at] - norm->mean[group]) * norm->inverse[group]);
            if (norm->b.grad != NULL)
                norm->b.grad[c] += norm->y.grad[at];
        }
}

static void norm_backward(tn_ops *ops, tn_node *node)
{
    const tn_group_norm_node *norm = (const tn_group_norm_node *)node;
    size_t mark = tn_arena_mark(ops->arena), blocks = tn_pieces(norm->x.rows, BLOCK_ROWS);
    double count = (double)norm->x.rows * (double)(norm->x.cols / norm->groups), work = 4 * count * (double)norm->groups;
    sums_job job;
    if (norm->x.grad != NULL && open_sums(ops, &job, norm)) {
        tn_ops_run(ops, blocks, work, slopes_chunk, &job);
        total_up(&job);
        for (size_t i = 0; i < 2 * norm->groups; i++)
            job.total[i] /= count;
        tn_ops_run(ops, blocks, work, dx_chunk, &job);
    }
    if (norm->w.grad != NULL || norm->b.grad != NULL)
        tn_ops_run(ops, tn_pieces(norm->x.cols, TN_OPS_COLUMNS), work, dw_chunk, node);
    tn_arena_release(ops->arena, mark);
}

const tn_device_op tn_cpu_group_norm = { norm_forward, norm_backward };

tn_tensor tn_op_group_norm(tn_ops *ops, tn_tensor x, const tn_vector *w, const tn_vector *b, size_t groups, double eps)
{
    tn_group_norm_node norm = { .x = x, .w = *w, .b = *b, .groups = groups, .eps = eps };
    if (!tn_ops_usable(ops, "group_norm", x))
        return (tn_tensor){ 0 };
    if (groups == 0 || x.rows == 0 || x.cols == 0 || x.cols % groups != 0 || w->data == NULL || w->size != x.cols || b->data == NULL ||
        b->size != x.cols) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "group_norm", "[%zu, %zu] in %zu groups does not fit a scale of %zu and a shift of "
                "%zu numbers", x.rows, x.cols, groups, w->data ? w->size : 0, b->data ? b->size : 0);
        return (tn_tensor){ 0 };
    }
    norm.mean = tn_ops_take(ops, "group_norm", groups, sizeof *norm.mean);
    norm.inverse = tn_ops_take(ops, "group_norm", groups, sizeof *norm.inverse);
    norm.y = tn_ops_result(ops, "group_norm", x.rows, x.cols, x.grad != NULL || w->grad != NULL || b->grad != NULL);
    return tn_ops_make(ops, TN_OP_GROUP_NORM, &norm, sizeof norm, norm.y);
}
