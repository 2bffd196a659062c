/* Operations that read weight matrices or move rows: linear, gather, compose. */
#include "ops/internal.h"

#include <string.h>

typedef struct linear_job {
    const tn_kernels *kernels;
    const tn_linear_node *l;
    tn_backward back;
    void *input; /* x in the form that the kernels read; NULL: unchanged */
    tn_real *scratch;
    size_t slice;
} linear_job;

/* Computes the outputs of one chunk for all rows of x; the bias is added while they are in the cache. */
static void linear_chunk(void *argument, size_t chunk, size_t worker)
{
    const linear_job *job = argument;
    const tn_linear_node *l = job->l;
    size_t begin = chunk * job->kernels->linear_chunk;
    size_t end = tn_min(l->y.cols, begin + job->kernels->linear_chunk);
    job->kernels->linear(&l->w.matrix, begin, end, l->x.data, l->x.cols, job->input, l->x.rows, l->y.data,
                         l->y.cols, job->scratch + worker * job->slice);
    if (l->bias.data == NULL)
        return;
    for (size_t row = 0; row < l->y.rows; row++) {
        tn_real *y = l->y.data + row * l->y.cols;
        for (size_t n = begin; n < end; n++)
            y[n] += l->bias.data[n];
    }
}

/* Converts some rows of x for all chunks of the product. */
static void linear_input_chunk(void *argument, size_t chunk, size_t worker)
{
    const linear_job *job = argument;
    const tn_linear_node *l = job->l;
    size_t rows = tn_ops_row_block(l->x.cols), begin = chunk * rows;
    (void)worker;
    job->kernels->input(&l->w.matrix, l->x.data, l->x.cols, begin, tn_min(begin + rows, l->x.rows), l->x.rows,
                        job->input);
}

static void linear_dx_chunk(void *argument, size_t chunk, size_t worker)
{
    const linear_job *job = argument;
    const tn_linear_node *l = job->l;
    size_t begin = chunk * job->kernels->linear_chunk;
    size_t end = tn_min(l->x.cols, begin + job->kernels->linear_chunk);
    job->kernels->linear_dx(&l->w.matrix, begin, end, l->y.grad, l->y.cols, l->x.rows, l->x.grad,
                            l->x.cols, job->scratch + worker * job->slice);
}

static void linear_dw_chunk(void *argument, size_t chunk, size_t worker)
{
    const linear_job *job = argument;
    const tn_linear_node *l = job->l;
    size_t begin = chunk * job->kernels->linear_chunk;
    size_t end = tn_min(l->y.cols, begin + job->kernels->linear_chunk);
    job->kernels->linear_dw(l->w.grad, l->x.cols, begin, end, l->y.grad, l->y.cols, l->x.data, l->x.cols,
                            l->x.rows, job->scratch + worker * job->slice);
}

/* db[n] += sum over rows of dy[row, n]. */
static void linear_db_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_linear_node *l = ((const linear_job *)argument)->l;
    size_t begin = chunk * TN_OPS_COLUMNS, end = tn_min(l->y.cols, begin + TN_OPS_COLUMNS);
    (void)worker;
    for (size_t row = 0; row < l->y.rows; row++) {
        const tn_real *dy = l->y.grad + row * l->y.cols;
        for (size_t n = begin; n < end; n++)
            l->bias.grad[n] += dy[n];
    }
}

/* ---------------------------------------------------- narrow gradients -- */

static void narrow_input_chunk(void *argument, size_t chunk, size_t worker)
{
    const linear_job *job = argument;
    const tn_linear_node *l = job->l;
    size_t begin = chunk * TN_UNIT;
    (void)worker;
    job->kernels->narrow->input(&job->back, l->y.grad, l->y.cols, l->x.data, l->x.cols, begin,
                                tn_min(begin + TN_UNIT, l->x.rows));
}

static void narrow_dx_chunk(void *argument, size_t chunk, size_t worker)
{
    const linear_job *job = argument;
    size_t begin = chunk * job->kernels->linear_chunk, end = begin + job->kernels->linear_chunk;
    job->kernels->narrow->dx(&job->back, begin, tn_min(end, job->l->x.cols), job->l->x.grad, job->l->x.cols,
                             job->scratch + worker * job->slice);
}

static void narrow_dw_chunk(void *argument, size_t chunk, size_t worker)
{
    const linear_job *job = argument;
    size_t begin = chunk * job->kernels->linear_chunk, end = begin + job->kernels->linear_chunk;
    job->kernels->narrow->dw(&job->back, begin, tn_min(end, job->l->y.cols), job->l->w.grad,
                             job->scratch + worker * job->slice);
}

/* Rounds dy and x once for both gradients. */
static void narrow_input(tn_ops *ops, linear_job *job)
{
    const tn_linear_node *l = job->l;
    job->back = (tn_backward){ &l->w.matrix, l->x.rows, l->x.grad != NULL, l->w.grad != NULL, NULL };
    job->back.input = tn_ops_take(ops, "linear", job->kernels->narrow->bytes(&job->back), 1);
    if (job->back.input != NULL)
        tn_ops_run(ops, tn_pieces(l->x.rows, TN_UNIT), (double)l->x.rows * (double)(l->x.cols + l->y.cols) / 8,
                   narrow_input_chunk, job);
}

static double linear_work(const tn_linear_node *l)
{
    return (double)l->x.rows * (double)l->x.cols * (double)l->y.cols / 8;
}

static void linear_backward(tn_ops *ops, tn_node *node)
{
    const tn_linear_node *l = (const tn_linear_node *)node;
    linear_job job = { .kernels = ops->kernels, .l = l };
    if (l->x.rows == 0)
        return;
    size_t mark = tn_arena_mark(ops->arena), chunk = ops->kernels->linear_chunk;
    job.scratch = tn_ops_scratch(ops, "linear", ops->kernels->linear_scratch(&l->w.matrix, l->x.rows),
                                 &job.slice);
    if (job.scratch == NULL)
        return;
    bool narrow = ops->kernels->narrow != NULL && tn_dtype_of(l->w.matrix.type)->bits > 0;
    if (narrow && (l->x.grad != NULL || l->w.grad != NULL))
        narrow_input(ops, &job);
    if (l->x.grad != NULL && ops->failure.code == TENEBRA_OK)
        tn_ops_run(ops, tn_pieces(l->x.cols, chunk), linear_work(l), narrow ? narrow_dx_chunk : linear_dx_chunk, &job);
    if (l->w.grad != NULL && ops->failure.code == TENEBRA_OK)
        tn_ops_run(ops, tn_pieces(l->y.cols, chunk), linear_work(l), narrow ? narrow_dw_chunk : linear_dw_chunk, &job);
    if (l->bias.grad != NULL)
        tn_ops_run(ops, tn_pieces(l->y.cols, TN_OPS_COLUMNS), (double)l->y.rows * (double)l->y.cols,
                   linear_db_chunk, &job);
    tn_arena_release(ops->arena, mark);
}

static void linear_forward(tn_ops *ops, tn_node *node)
{
    const tn_linear_node *l = (const tn_linear_node *)node;
    linear_job job = { .kernels = ops->kernels, .l = l };
    if (l->x.rows == 0)
        return;
    size_t mark = tn_arena_mark(ops->arena), input_bytes = ops->kernels->input_bytes(&l->w.matrix, l->x.rows);
    job.scratch = tn_ops_scratch(ops, "linear", ops->kernels->linear_scratch(&l->w.matrix, l->x.rows), &job.slice);
    job.input = input_bytes > 0 ? tn_ops_take(ops, "linear", input_bytes, 1) : NULL;
    if (ops->failure.code != TENEBRA_OK)
        return;
    if (input_bytes > 0)
        tn_ops_run(ops, tn_pieces(l->x.rows, tn_ops_row_block(l->x.cols)), (double)l->x.rows * (double)l->x.cols / 8,
                   linear_input_chunk, &job);
    tn_ops_run(ops, tn_pieces(l->y.cols, ops->kernels->linear_chunk), linear_work(l), linear_chunk, &job);
    tn_arena_release(ops->arena, mark);
}

const tn_device_op tn_cpu_linear = { linear_forward, linear_backward };

static bool linear_fits(tn_ops *ops, tn_tensor x, const tn_weight *w, const tn_vector *bias)
{
    if (!tn_ops_usable(ops, "linear", x))
        return false;
    if (w->matrix.data == NULL || x.cols != w->matrix.cols || !tn_matrix_fits(&w->matrix))
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "linear", "x [%zu, %zu] does not fit the weight [%zu, "
                "%zu]%s", x.rows, x.cols, w->matrix.rows, w->matrix.cols,
                w->matrix.data == NULL ? ", which is absent" : "");
    else if (bias->data != NULL && bias->size != w->matrix.rows)
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "linear", "a bias of %zu numbers does not fit the "
                "weight [%zu, %zu]", bias->size, w->matrix.rows, w->matrix.cols);
    return ops->failure.code == TENEBRA_OK;
}

tn_tensor tn_op_linear(tn_ops *ops, tn_tensor x, const tn_weight *w, const tn_vector *bias)
{
    tn_linear_node l = { .x = x, .w = *w, .bias = bias && bias->data ? *bias : (tn_vector){ 0 } };
    if (!linear_fits(ops, x, w, &l.bias))
        return (tn_tensor){ 0 };
    l.y = tn_ops_result(ops, "linear", x.rows, w->matrix.rows, x.grad != NULL || w->grad != NULL || l.bias.grad != NULL);
    return tn_ops_make(ops, TN_OP_LINEAR, &l, sizeof l, l.y);
}

/* --------------------------------------------------------------- gather -- */

/* Rows in ascending order, so that a repeated id is summed in the same way with any number of threads. */
static void gather_back_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_gather_node *g = argument;
    size_t cols = g->y.cols, begin = chunk * TN_OPS_COLUMNS, end = tn_min(cols, begin + TN_OPS_COLUMNS);
    (void)worker;
    for (size_t row = 0; row < g->y.rows; row++) {
        tn_real *to = g->table.grad + (size_t)g->ids[row] * cols;
        const tn_real *from = g->y.grad + row * cols;
        for (size_t c = begin; c < end; c++)
            to[c] += from[c];
    }
}

static void gather_forward(tn_ops *ops, tn_node *node)
{
    const tn_gather_node *g = (const tn_gather_node *)node;
    size_t cols = g->y.cols;
    (void)ops;
    for (size_t i = 0; i < g->y.rows; i++)
        tn_matrix_unpack(&g->table.matrix, (size_t)g->ids[i], 0, cols, g->y.data + i * cols);
}

static void gather_backward(tn_ops *ops, tn_node *node)
{
    const tn_gather_node *g = (const tn_gather_node *)node;
    tn_ops_run(ops, tn_pieces(g->y.cols, TN_OPS_COLUMNS), (double)g->y.rows * (double)g->y.cols, gather_back_chunk, node);
}

const tn_device_op tn_cpu_gather = { gather_forward, gather_backward };

static bool gather_fits(tn_ops *ops, const tn_matrix *table, const int32_t *ids, size_t count)
{
    if (ops->failure.code != TENEBRA_OK)
        return false;
    if (table->data == NULL || !tn_matrix_fits(table))
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "gather", "the table [%zu, %zu] is absent or its rows "
                "are not whole blocks", table->rows, table->cols);
    for (size_t i = 0; i < count && ops->failure.code == TENEBRA_OK; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= table->rows)
            tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "gather", "id %ld at place %zu is not in the table "
                    "of %zu rows", (long)ids[i], i, table->rows);
    return ops->failure.code == TENEBRA_OK;
}

tn_tensor tn_op_gather(tn_ops *ops, const tn_weight *table, const int32_t *ids, size_t count)
{
    if (!gather_fits(ops, &table->matrix, ids, count))
        return (tn_tensor){ 0 };
    tn_gather_node g = { .table = *table, .ids = ids };
    g.y = tn_ops_result(ops, "gather", count, table->matrix.cols, table->grad != NULL);
    if (g.y.grad != NULL)
        g.ids = tn_ops_copy_list(ops, "gather", ids, count, sizeof *ids);
    return tn_ops_make(ops, TN_OP_GATHER, &g, sizeof g, g.y);
}

/* -------------------------------------------------------------- compose -- */

static void compose_back_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_compose_node *c = argument;
    size_t cols = c->y.cols, begin = chunk * TN_OPS_COLUMNS, end = tn_min(cols, begin + TN_OPS_COLUMNS);
    (void)worker;
    for (size_t row = 0; row < c->y.rows; row++) {
        if (c->refs[row].source.grad == NULL)
            continue;
        tn_real *to = c->refs[row].source.grad + c->refs[row].row * cols;
        const tn_real *from = c->y.grad + row * cols;
        for (size_t i = begin; i < end; i++)
            to[i] += from[i];
    }
}

static void compose_forward(tn_ops *ops, tn_node *node)
{
    const tn_compose_node *c = (const tn_compose_node *)node;
    size_t cols = c->y.cols;
    (void)ops;
    for (size_t i = 0; i < c->y.rows; i++)
        memcpy(c->y.data + i * cols, c->refs[i].source.data + c->refs[i].row * cols, cols * sizeof(tn_real));
}

static void compose_backward(tn_ops *ops, tn_node *node)
{
    const tn_compose_node *c = (const tn_compose_node *)node;
    tn_ops_run(ops, tn_pieces(c->y.cols, TN_OPS_COLUMNS), (double)c->y.rows * (double)c->y.cols, compose_back_chunk, node);
}

const tn_device_op tn_cpu_compose = { compose_forward, compose_backward };

tn_tensor tn_op_compose(tn_ops *ops, const tn_row_ref *refs, size_t count, size_t cols)
{
    bool wanted = false;
    for (size_t i = 0; i < count; i++) {
        tn_tensor source = refs[i].source;
        if (!tn_ops_usable(ops, "compose", source))
            return (tn_tensor){ 0 };
        if (source.cols != cols || refs[i].row >= source.rows) {
            tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "compose", "place %zu asks for row %zu of %zu "
                    "columns, its source is [%zu, %zu]", i, refs[i].row, cols, source.rows, source.cols);
            return (tn_tensor){ 0 };
        }
        wanted = wanted || source.grad != NULL;
    }
    tn_compose_node c = { .y = tn_ops_result(ops, "compose", count, cols, wanted), .refs = refs };
    if (c.y.grad != NULL)
        c.refs = tn_ops_copy_list(ops, "compose", refs, count, sizeof *refs);
    return tn_ops_make(ops, TN_OP_COMPOSE, &c, sizeof c, c.y);
}
