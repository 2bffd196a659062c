/* Low-rank additions to a linear layer. Source: arXiv:2106.09685, section 4.1; dropout of the input as in PEFT. */
#include "ops/internal.h"

/* -------------------------------------------------------------- dropout -- */

/* The dropout factor of column `col`: 0 or 1 / (1 - p). It depends only on the row's seed and the column, so that the backward draws
 * the same factors again, in any thread. */
static tn_real keep_factor(uint64_t seed, size_t col, double p)
{
    tn_rng rng = tn_rng_seed(seed + (uint64_t)col * 0x9E3779B97F4A7C15u);
    return tn_rng_uniform(&rng) < p ? 0 : (tn_real)(1 / (1 - p));
}

typedef struct drop_job {
    const tn_real *from;
    tn_real *to;
    size_t rows, cols;
    const tn_dropout *dropout;
    double p;
    bool add;
} drop_job;

static void drop_chunk(void *argument, size_t chunk, size_t worker)
{
    const drop_job *job = argument;
    const size_t seeds = job->dropout->rows, each = tn_max(1, seeds / job->rows), rows = tn_max(1, job->rows / seeds);
    const uint64_t seed = tn_seed_mix(job->dropout->seeds[chunk / rows * each], job->dropout->drawn, chunk % rows);
    const tn_real *from = job->from + chunk * job->cols;
    tn_real *to = job->to + chunk * job->cols;
    (void)worker;
    for (size_t i = 0; i < job->cols; i++) {
        tn_real value = from[i] * keep_factor(seed, i, job->p);
        to[i] = job->add ? to[i] + value : value;
    }
}

/* to = dropout(from), or to += dropout(from). */
static void drop(tn_ops *ops, const tn_lora_node *l, const tn_real *from, tn_real *to, bool add)
{
    drop_job job = { from, to, l->x.rows, l->x.cols, &l->from, l->dropout, add };
    tn_ops_run(ops, job.rows, (double)(job.rows * job.cols) * 4, drop_chunk, &job);
}

/* The input of A: x, or a copy with some numbers dropped. */
static const tn_real *dropped_input(tn_ops *ops, const tn_lora_node *l)
{
    if (!(l->dropout > 0))
        return l->x.data;
    tn_real *copy = tn_ops_take(ops, "lora", l->x.rows * l->x.cols, sizeof *copy);
    if (copy != NULL)
        drop(ops, l, l->x.data, copy, false);
    return copy;
}

/* ------------------------------------------------------------- backward -- */

typedef struct product_job {
    const tn_kernels *kernels;
    const tn_matrix *w;
    const tn_real *dy, *x;
    tn_real *out;
    size_t m, outputs, inputs, slice;
    tn_real *scratch;
} product_job;

static void dx_chunk(void *argument, size_t chunk, size_t worker)
{
    const product_job *j = argument;
    size_t begin = chunk * j->kernels->linear_chunk, end = tn_min(j->inputs, begin + j->kernels->linear_chunk);
    j->kernels->linear_dx(j->w, begin, end, j->dy, j->outputs, j->m, j->out, j->inputs, j->scratch + worker * j->slice);
}

static void dw_chunk(void *argument, size_t chunk, size_t worker)
{
    const product_job *j = argument;
    size_t begin = chunk * j->kernels->linear_chunk, end = tn_min(j->outputs, begin + j->kernels->linear_chunk);
    j->kernels->linear_dw(j->out, j->inputs, begin, end, j->dy, j->outputs, j->x, j->inputs, j->m,
                          j->scratch + worker * j->slice);
}

/* dx += dy W and dW += dy^T x; either may be NULL. */
static void linear_gradients(tn_ops *ops, const tn_weight *w, const tn_real *dy, const tn_real *x, size_t rows, tn_real *dx)
{
    size_t mark = tn_arena_mark(ops->arena);
    product_job job = { .kernels = ops->kernels, .w = &w->matrix, .dy = dy, .x = x, .m = rows,
                        .outputs = w->matrix.rows, .inputs = w->matrix.cols };
    double work = (double)rows * (double)job.outputs * (double)job.inputs / 8;
    job.scratch = tn_ops_scratch(ops, "lora", ops->kernels->linear_scratch(&w->matrix, rows), &job.slice);
    if (job.scratch != NULL && dx != NULL) {
        job.out = dx;
        tn_ops_run(ops, tn_pieces(job.inputs, ops->kernels->linear_chunk), work, dx_chunk, &job);
    }
    if (job.scratch != NULL && w->grad != NULL) {
        job.out = w->grad;
        tn_ops_run(ops, tn_pieces(job.outputs, ops->kernels->linear_chunk), work, dw_chunk, &job);
    }
    tn_arena_release(ops->arena, mark);
}

static tn_real *zeros(tn_ops *ops, size_t count)
{
    tn_real *values = tn_ops_take(ops, "lora", count, sizeof *values);
    if (values != NULL)
        tn_device_of(ops)->copy(ops, values, NULL, count);
    return values;
}

static void lora_backward(tn_ops *ops, tn_node *node)
{
    const tn_lora_node *l = (const tn_lora_node *)node;
    size_t mark = tn_arena_mark(ops->arena), rows = l->x.rows, rank = l->inner.cols;
    tn_real *inner = zeros(ops, rows * rank);
    const tn_real *input = dropped_input(ops, l);
    if (inner == NULL || input == NULL || rows == 0)
        return;
    linear_gradients(ops, &l->lora.b, l->y.grad, l->inner.data, rows, inner);
    for (size_t i = 0; i < rows * rank; i++)
        inner[i] *= l->lora.scale;
    if (l->x.grad == NULL || !(l->dropout > 0)) {
        linear_gradients(ops, &l->lora.a, inner, input, rows, l->x.grad);
    } else {
        tn_real *dx = zeros(ops, rows * l->x.cols);
        if (dx != NULL) {
            linear_gradients(ops, &l->lora.a, inner, input, rows, dx);
            drop(ops, l, dx, l->x.grad, true);
        }
    }
    tn_arena_release(ops->arena, mark);
}

/* -------------------------------------------------------------- forward -- */

/* y = b + magnitude (y - b) */
static void scale_rows(const tn_lora_node *l)
{
    for (size_t row = 0; row < l->y.rows; row++)
        for (size_t i = 0; i < l->y.cols; i++) {
            tn_real *value = &l->y.data[row * l->y.cols + i], shift = l->bias.data != NULL ? l->bias.data[i] : 0;
            *value = shift + l->lora.magnitude[i] * (*value - shift);
        }
}

/* y += B inner, where inner = scale * A dropout(x) is kept for the backward. The products inside are not recorded. */
static void lora_forward(tn_ops *ops, tn_node *node)
{
    const tn_lora_node *l = (const tn_lora_node *)node;
    size_t mark = tn_arena_mark(ops->arena);
    tn_tape *tape = ops->tape;
    ops->tape = NULL;
    tn_tensor input = { l->x.rows, l->x.cols, NULL, NULL };
    /* Only read; the tensor type has no const variant. */
    input.data = (tn_real *)(uintptr_t)dropped_input(ops, l);
    tn_tensor product = tn_op_linear(ops, input, &l->lora.a, NULL);
    for (size_t i = 0; product.data != NULL && i < product.rows * product.cols; i++)
        l->inner.data[i] = product.data[i] * l->lora.scale;
    tn_tensor sum = tn_op_linear(ops, l->inner, &l->lora.b, NULL);
    if (sum.data != NULL)
        tn_device_of(ops)->add(ops, l->y.data, sum.data, sum.rows * sum.cols);
    if (l->lora.magnitude != NULL && ops->failure.code == TENEBRA_OK)
        scale_rows(l);
    ops->tape = tape;
    tn_arena_release(ops->arena, mark);
}

const tn_device_op tn_cpu_lora = { lora_forward, lora_backward };

/* ------------------------------------------------------------ operation -- */

static bool lora_fits(tn_ops *ops, tn_tensor y, tn_tensor x, const tn_lora *lora)
{
    const tn_matrix *a = &lora->a.matrix, *b = &lora->b.matrix;
    if (a->data == NULL || b->data == NULL || a->cols != x.cols || b->rows != y.cols || a->rows != b->cols ||
        x.rows != y.rows || !(lora->dropout >= 0 && lora->dropout < 1))
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "lora", "A [%zu, %zu] and B [%zu, %zu] do not fit x [%zu, %zu] and "
                "y [%zu, %zu]", a->rows, a->cols, b->rows, b->cols, x.rows, x.cols, y.rows, y.cols);
    return ops->failure.code == TENEBRA_OK;
}

static bool dropout_fits(tn_ops *ops, size_t rows)
{
    size_t seeds = ops->dropout->rows;
    if (seeds == 0 || rows == 0 || (rows % seeds != 0 && seeds % rows != 0))
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "lora", "dropout has %zu seeds for %zu rows, neither a multiple of the other", seeds,
                rows);
    return ops->failure.code == TENEBRA_OK;
}

static tn_tensor add_one(tn_ops *ops, tn_tensor y, tn_tensor x, const tn_lora *lora, const tn_vector *bias)
{
    if (!lora_fits(ops, y, x, lora))
        return (tn_tensor){ 0 };
    if (ops->tape != NULL && lora->magnitude != NULL) {
        tn_fail(&ops->failure, TENEBRA_ERROR_UNSUPPORTED, "lora", "an adapter with magnitudes (DoRA) cannot be trained through");
        return (tn_tensor){ 0 };
    }
    size_t mark = tn_arena_mark(ops->arena);
    tn_lora_node l = { .x = x, .y = y, .lora = *lora, .bias = bias != NULL ? *bias : (tn_vector){ 0 } };
    bool wanted = ops->tape != NULL && (x.grad != NULL || y.grad != NULL || lora->a.grad != NULL || lora->b.grad != NULL);
    if (wanted && y.grad == NULL)
        l.y.grad = zeros(ops, y.rows * y.cols);
    if (ops->dropout != NULL && lora->dropout > 0) {
        if (!dropout_fits(ops, x.rows))
            return (tn_tensor){ 0 };
        ops->dropout->drawn++;
        l.from = *ops->dropout;
        l.dropout = lora->dropout;
    }
    l.inner = tn_ops_result(ops, "lora", x.rows, lora->a.matrix.rows, false);
    bool done = tn_ops_apply(ops, TN_OP_LORA, &l, sizeof l, wanted);
    if (!wanted)
        tn_arena_release(ops->arena, mark);
    return done ? l.y : (tn_tensor){ 0 };
}

tn_tensor tn_op_lora(tn_ops *ops, tn_tensor y, tn_tensor x, const tn_weight *w, const tn_vector *bias)
{
    if (w->lora == NULL)
        return y;
    if (!tn_ops_usable(ops, "lora", y) || !tn_ops_usable(ops, "lora", x))
        return (tn_tensor){ 0 };
    for (const tn_lora *lora = w->lora; lora != NULL && y.data != NULL; lora = lora->next)
        if (lora->pass == 0 || lora->pass == ops->pass)
            y = add_one(ops, y, x, lora, bias);
    return y;
}
