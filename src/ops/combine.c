/* Products and differences of activations: of rows with fixed shares, of two tensors, and the squared error. They are for small
 * tensors, such as the vectors of a batch, and have no kernels of their own. */
#include "ops/internal.h"

#include <string.h>

/* --------------------------------------------------------------- vector -- */

static void vector_forward(tn_ops *ops, tn_node *node)
{
    const tn_vector_node *n = (const tn_vector_node *)node;
    (void)ops;
    memcpy(n->y.data, n->v.data, n->v.size * sizeof *n->y.data);
}

static void vector_backward(tn_ops *ops, tn_node *node)
{
    const tn_vector_node *n = (const tn_vector_node *)node;
    (void)ops;
    for (size_t i = 0; i < n->v.size; i++)
        n->v.grad[i] += n->y.grad[i];
}

const tn_device_op tn_cpu_vector = { vector_forward, vector_backward };

tn_tensor tn_op_of_vector(tn_ops *ops, const tn_vector *v)
{
    tn_vector_node n = { .v = *v };
    n.y = tn_ops_result(ops, "of_vector", 1, v->size, tn_vector_has_grad(v));
    return tn_ops_make(ops, TN_OP_VECTOR, &n, sizeof n, n.y);
}

/* ------------------------------------------------------------------ mix -- */

typedef struct combine_job {
    const tn_kernels *kernels;
    const tn_mix_node *mix;
    const tn_product_node *product;
} combine_job;

static void mix_chunk(void *argument, size_t row, size_t worker)
{
    const combine_job *job = argument;
    const tn_mix_node *n = job->mix;
    size_t cols = n->y.cols;
    tn_real *y = n->y.data + row * cols;
    (void)worker;
    memset(y, 0, cols * sizeof *y);
    for (size_t i = 0; i < n->x.rows; i++)
        job->kernels->axpy(y, n->shares[row * n->x.rows + i], n->x.data + i * cols, cols);
}

static void mix_back_chunk(void *argument, size_t row, size_t worker)
{
    const combine_job *job = argument;
    const tn_mix_node *n = job->mix;
    size_t cols = n->y.cols;
    (void)worker;
    for (size_t i = 0; i < n->y.rows; i++)
        job->kernels->axpy(n->x.grad + row * cols, n->shares[i * n->x.rows + row], n->y.grad + i * cols, cols);
}

static void run_combine(tn_ops *ops, const combine_job *job, size_t chunks, size_t each, tn_chunk_fn *run)
{
    tn_ops_run(ops, chunks, (double)chunks * (double)each / 8, run, (void *)(uintptr_t)job);
}

static void mix_forward(tn_ops *ops, tn_node *node)
{
    combine_job job = { .kernels = ops->kernels, .mix = (const tn_mix_node *)node };
    run_combine(ops, &job, job.mix->y.rows, job.mix->x.rows * job.mix->x.cols, mix_chunk);
}

static void mix_backward(tn_ops *ops, tn_node *node)
{
    combine_job job = { .kernels = ops->kernels, .mix = (const tn_mix_node *)node };
    run_combine(ops, &job, job.mix->x.rows, job.mix->y.rows * job.mix->x.cols, mix_back_chunk);
}

const tn_device_op tn_cpu_mix = { mix_forward, mix_backward };

tn_tensor tn_op_mix(tn_ops *ops, tn_tensor x, const tn_real *shares, size_t rows)
{
    static const char name[] = "mix";
    if (!tn_ops_usable(ops, name, x))
        return (tn_tensor){ 0 };
    tn_mix_node n = { .x = x, .shares = shares };
    n.y = tn_ops_result(ops, name, rows, x.cols, x.grad != NULL);
    if (n.y.grad != NULL)
        n.shares = tn_ops_copy_list(ops, name, shares, rows * x.rows, sizeof *shares);
    return tn_ops_make(ops, TN_OP_MIX, &n, sizeof n, n.y);
}

tn_tensor tn_op_mean(tn_ops *ops, tn_tensor x)
{
    tn_real *shares = tn_ops_take(ops, "mean", x.rows, sizeof *shares);
    for (size_t i = 0; shares != NULL && i < x.rows; i++)
        shares[i] = 1 / (tn_real)x.rows;
    return shares != NULL ? tn_op_mix(ops, x, shares, 1) : (tn_tensor){ 0 };
}

/* -------------------------------------------------------------- product -- */

static void product_chunk(void *argument, size_t row, size_t worker)
{
    const combine_job *job = argument;
    const tn_product_node *n = job->product;
    size_t cols = n->a.cols;
    (void)worker;
    for (size_t i = 0; i < n->b.rows; i++)
        n->y.data[row * n->b.rows + i] = n->scale * job->kernels->dot(n->a.data + row * cols, n->b.data + i * cols, cols);
}

/* One row of a's gradient, or, after those, of b's. */
static void product_back_chunk(void *argument, size_t row, size_t worker)
{
    const combine_job *job = argument;
    const tn_product_node *n = job->product;
    bool second = row >= n->a.rows;
    size_t cols = n->a.cols, at = second ? row - n->a.rows : row, others = second ? n->a.rows : n->b.rows;
    tn_tensor to = second ? n->b : n->a, from = second ? n->a : n->b;
    (void)worker;
    for (size_t i = 0; i < others && to.grad != NULL; i++) {
        tn_real d = n->y.grad[second ? i * n->b.rows + at : at * n->b.rows + i];
        job->kernels->axpy(to.grad + at * cols, n->scale * d, from.data + i * cols, cols);
    }
}

static void product_forward(tn_ops *ops, tn_node *node)
{
    combine_job job = { .kernels = ops->kernels, .product = (const tn_product_node *)node };
    run_combine(ops, &job, job.product->a.rows, job.product->b.rows * job.product->a.cols, product_chunk);
}

static void product_backward(tn_ops *ops, tn_node *node)
{
    combine_job job = { .kernels = ops->kernels, .product = (const tn_product_node *)node };
    const tn_product_node *n = job.product;
    run_combine(ops, &job, n->a.rows + n->b.rows, tn_max(n->a.rows, n->b.rows) * n->a.cols, product_back_chunk);
}

const tn_device_op tn_cpu_product = { product_forward, product_backward };

tn_tensor tn_op_product(tn_ops *ops, tn_tensor a, tn_tensor b, double scale)
{
    static const char name[] = "product";
    if (!tn_ops_usable(ops, name, a) || !tn_ops_usable(ops, name, b))
        return (tn_tensor){ 0 };
    if (a.cols != b.cols) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, name, "rows of %zu and of %zu numbers have no products", a.cols, b.cols);
        return (tn_tensor){ 0 };
    }
    tn_product_node n = { .a = a, .b = b, .scale = (tn_real)scale };
    n.y = tn_ops_result(ops, name, a.rows, b.rows, a.grad != NULL || b.grad != NULL);
    return tn_ops_make(ops, TN_OP_PRODUCT, &n, sizeof n, n.y);
}

/* -------------------------------------------------------- squared error -- */

static void squared_forward(tn_ops *ops, tn_node *node)
{
    const tn_squared_node *n = (const tn_squared_node *)node;
    double sum = 0;
    (void)ops;
    for (size_t i = 0; i < n->x.rows * n->x.cols; i++) {
        double difference = (double)n->x.data[i] - (double)n->target.data[i];
        sum += difference * difference;
    }
    n->loss.data[0] = (tn_real)(n->scale * sum);
}

static void squared_backward(tn_ops *ops, tn_node *node)
{
    const tn_squared_node *n = (const tn_squared_node *)node;
    tn_real factor = (tn_real)(2 * n->scale * (double)n->loss.grad[0]);
    (void)ops;
    for (size_t i = 0; i < n->x.rows * n->x.cols; i++)
        n->x.grad[i] += factor * (n->x.data[i] - n->target.data[i]);
}

const tn_device_op tn_cpu_squared = { squared_forward, squared_backward };

tn_tensor tn_op_squared_error(tn_ops *ops, tn_tensor x, tn_tensor target, double scale)
{
    static const char name[] = "squared_error";
    if (!tn_ops_usable(ops, name, x) || !tn_ops_usable(ops, name, target))
        return (tn_tensor){ 0 };
    if (x.rows != target.rows || x.cols != target.cols) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, name, "[%zu, %zu] and [%zu, %zu] differ in shape", x.rows, x.cols, target.rows,
                target.cols);
        return (tn_tensor){ 0 };
    }
    tn_squared_node n = { .x = x, .target = tn_op_detach(target), .scale = scale };
    n.loss = tn_ops_result(ops, name, 1, 1, x.grad != NULL);
    return tn_ops_make(ops, TN_OP_SQUARED_ERROR, &n, sizeof n, n.loss);
}
