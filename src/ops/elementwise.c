/* Elementwise operations. In inference they write over their first input. While recording, that input is copied first,
 * so both cases run the same kernel on the same values. */
#include "ops/internal.h"

#include <string.h>

/* sqrt(1/2), and 1 / sqrt(2 pi), for the exact GELU. */
static const tn_real half_root = (tn_real)0.70710678118654752440;
static const tn_real normal_peak = (tn_real)0.39894228040143267794;

typedef void part_fn(const tn_kernels *kernels, const tn_element_node *e, size_t begin, size_t end);

typedef struct element_job {
    const tn_kernels *kernels;
    const tn_element_node *e;
    part_fn *run;
} element_job;

static void element_chunk(void *argument, size_t chunk, size_t worker)
{
    const element_job *job = argument;
    size_t begin = chunk * TN_OPS_BLOCK;
    (void)worker;
    job->run(job->kernels, job->e, begin, tn_min(begin + TN_OPS_BLOCK, job->e->y.rows * job->e->y.cols));
}

static void run_elements(tn_ops *ops, const tn_element_node *e, part_fn *run)
{
    size_t count = e->y.rows * e->y.cols;
    element_job job = { ops->kernels, e, run };
    tn_ops_run(ops, tn_pieces(count, TN_OPS_BLOCK), 2 * (double)count, element_chunk, &job);
}

/* x is consumed. */
static tn_tensor apply(tn_ops *ops, const char *operation, tn_op_code code, tn_tensor x, tn_tensor other)
{
    tn_element_node e = { .x = x, .other = other };
    e.y = tn_ops_consume(ops, operation, x, x.grad != NULL || other.grad != NULL);
    return tn_ops_make(ops, code, &e, sizeof e, e.y);
}

static bool same_shape(tn_ops *ops, const char *operation, tn_tensor x, tn_tensor y)
{
    if (!tn_ops_usable(ops, operation, x) || !tn_ops_usable(ops, operation, y))
        return false;
    if (x.rows != y.rows || x.cols != y.cols)
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, operation, "[%zu, %zu] and [%zu, %zu] differ in shape",
                x.rows, x.cols, y.rows, y.cols);
    return ops->failure.code == TENEBRA_OK;
}

/* 1 / (1 + exp(-x)); exp overflows to infinity for large negative x, which gives 0. */
static tn_real sigmoid(tn_real x)
{
    return 1 / (1 + exp(-x));
}

/* ------------------------------------------------------------------ add -- */

static void add_forward(const tn_kernels *kernels, const tn_element_node *e, size_t begin, size_t end)
{
    (void)kernels;
    for (size_t i = begin; i < end; i++)
        e->y.data[i] += e->other.data[i];
}

static void add_derive(const tn_kernels *kernels, const tn_element_node *e, size_t begin, size_t end)
{
    (void)kernels;
    for (size_t i = begin; i < end && e->x.grad != NULL; i++)
        e->x.grad[i] += e->y.grad[i];
    for (size_t i = begin; i < end && e->other.grad != NULL; i++)
        e->other.grad[i] += e->y.grad[i];
}

tn_tensor tn_op_add(tn_ops *ops, tn_tensor x, tn_tensor y)
{
    if (!same_shape(ops, "add", x, y))
        return (tn_tensor){ 0 };
    return apply(ops, "add", TN_OP_ADD, x, y);
}

/* ------------------------------------------------------------- multiply -- */

/* A factor for all values is a sum in the backward, so one chunk has all of them. */
static bool has_one_factor(const tn_element_node *e)
{
    return e->other.rows * e->other.cols == 1;
}

static void multiply_forward(const tn_kernels *kernels, const tn_element_node *e, size_t begin, size_t end)
{
    bool one = has_one_factor(e);
    (void)kernels;
    for (size_t i = begin; i < end; i++)
        e->y.data[i] *= e->other.data[one ? 0 : i];
}

static void multiply_derive(const tn_kernels *kernels, const tn_element_node *e, size_t begin, size_t end)
{
    bool one = has_one_factor(e);
    (void)kernels;
    for (size_t i = begin; i < end && e->x.grad != NULL; i++)
        e->x.grad[i] += e->y.grad[i] * e->other.data[one ? 0 : i];
    for (size_t i = begin; i < end && e->other.grad != NULL; i++)
        e->other.grad[one ? 0 : i] += e->y.grad[i] * e->x.data[i];
}

tn_tensor tn_op_multiply(tn_ops *ops, tn_tensor x, tn_tensor y)
{
    bool one = y.rows == 1 && y.cols == 1 && tn_ops_usable(ops, "multiply", x) && tn_ops_usable(ops, "multiply", y);
    return one || same_shape(ops, "multiply", x, y) ? apply(ops, "multiply", TN_OP_MULTIPLY, x, y) : (tn_tensor){ 0 };
}

/* ------------------------------------------------------- sigmoid, tanh -- */

static void sigmoid_forward(const tn_kernels *kernels, const tn_element_node *e, size_t begin, size_t end)
{
    (void)kernels;
    for (size_t i = begin; i < end; i++)
        e->y.data[i] = sigmoid(e->y.data[i]);
}

static void sigmoid_derive(const tn_kernels *kernels, const tn_element_node *e, size_t begin, size_t end)
{
    (void)kernels;
    for (size_t i = begin; i < end; i++)
        e->x.grad[i] += e->y.grad[i] * e->y.data[i] * (1 - e->y.data[i]);
}

static void tanh_forward(const tn_kernels *kernels, const tn_element_node *e, size_t begin, size_t end)
{
    (void)kernels;
    for (size_t i = begin; i < end; i++)
        e->y.data[i] = tanh(e->y.data[i]);
}

static void tanh_derive(const tn_kernels *kernels, const tn_element_node *e, size_t begin, size_t end)
{
    (void)kernels;
    for (size_t i = begin; i < end; i++)
        e->x.grad[i] += e->y.grad[i] * (1 - e->y.data[i] * e->y.data[i]);
}

tn_tensor tn_op_sigmoid(tn_ops *ops, tn_tensor x)
{
    return tn_ops_usable(ops, "sigmoid", x) ? apply(ops, "sigmoid", TN_OP_SIGMOID, x, (tn_tensor){ 0 }) : (tn_tensor){ 0 };
}

tn_tensor tn_op_tanh(tn_ops *ops, tn_tensor x)
{
    return tn_ops_usable(ops, "tanh", x) ? apply(ops, "tanh", TN_OP_TANH, x, (tn_tensor){ 0 }) : (tn_tensor){ 0 };
}

/* --------------------------------------------------------------- swiglu -- */

static void swiglu_forward(const tn_kernels *kernels, const tn_element_node *e, size_t begin, size_t end)
{
    kernels->silu_mul(e->y.data + begin, e->other.data + begin, end - begin);
}

/* With s the sigmoid of the gate g: d silu(g) = s (1 + g (1 - s)). */
static void swiglu_derive(const tn_kernels *kernels, const tn_element_node *e, size_t begin, size_t end)
{
    (void)kernels;
    for (size_t i = begin; i < end; i++) {
        tn_real g = e->x.data[i], s = sigmoid(g), d = e->y.grad[i];
        if (e->x.grad != NULL)
            e->x.grad[i] += d * e->other.data[i] * s * (1 + g * (1 - s));
        if (e->other.grad != NULL)
            e->other.grad[i] += d * g * s;
    }
}

tn_tensor tn_op_swiglu(tn_ops *ops, tn_tensor gate, tn_tensor up)
{
    if (!same_shape(ops, "swiglu", gate, up))
        return (tn_tensor){ 0 };
    return apply(ops, "swiglu", TN_OP_SWIGLU, gate, up);
}

/* ----------------------------------------------------------------- silu -- */

static void silu_forward(const tn_kernels *kernels, const tn_element_node *e, size_t begin, size_t end)
{
    enum { ONES = 64 };
    tn_real ones[ONES];
    for (size_t i = 0; i < ONES; i++)
        ones[i] = 1;
    for (; begin < end; begin += ONES)
        kernels->silu_mul(e->y.data + begin, ones, tn_min(ONES, end - begin));
}

static void silu_derive(const tn_kernels *kernels, const tn_element_node *e, size_t begin, size_t end)
{
    (void)kernels;
    for (size_t i = begin; i < end; i++) {
        tn_real x = e->x.data[i], s = sigmoid(x);
        e->x.grad[i] += e->y.grad[i] * s * (1 + x * (1 - s));
    }
}

tn_tensor tn_op_silu(tn_ops *ops, tn_tensor x)
{
    return tn_ops_usable(ops, "silu", x) ? apply(ops, "silu", TN_OP_SILU, x, (tn_tensor){ 0 }) : (tn_tensor){ 0 };
}

/* ----------------------------------------------------------------- gelu -- */

static void quick_gelu_forward(const tn_kernels *kernels, const tn_element_node *e, size_t begin, size_t end)
{
    kernels->quick_gelu(e->y.data + begin, end - begin);
}

static void quick_gelu_derive(const tn_kernels *kernels, const tn_element_node *e, size_t begin, size_t end)
{
    (void)kernels;
    for (size_t i = begin; i < end; i++) {
        tn_real u = (tn_real)1.702 * e->x.data[i], s = sigmoid(u);
        e->x.grad[i] += e->y.grad[i] * s * (1 + u * (1 - s));
    }
}

static void gelu_forward(const tn_kernels *kernels, const tn_element_node *e, size_t begin, size_t end)
{
    (void)kernels;
    tn_real *x = e->y.data;
    for (size_t i = begin; i < end; i++)
        x[i] = x[i] * (tn_real)0.5 * (1 + erf(x[i] * half_root));
}

/* d (x Phi(x)) = Phi(x) + x phi(x). */
static void gelu_derive(const tn_kernels *kernels, const tn_element_node *e, size_t begin, size_t end)
{
    (void)kernels;
    for (size_t i = begin; i < end; i++) {
        tn_real x = e->x.data[i], phi = normal_peak * exp(x * x * (tn_real)-0.5);
        e->x.grad[i] += e->y.grad[i] * ((tn_real)0.5 * (1 + erf(x * half_root)) + x * phi);
    }
}

tn_tensor tn_op_quick_gelu(tn_ops *ops, tn_tensor x)
{
    return tn_ops_usable(ops, "quick_gelu", x) ? apply(ops, "quick_gelu", TN_OP_QUICK_GELU, x, (tn_tensor){ 0 }) : (tn_tensor){ 0 };
}

tn_tensor tn_op_gelu(tn_ops *ops, tn_tensor x)
{
    return tn_ops_usable(ops, "gelu", x) ? apply(ops, "gelu", TN_OP_GELU, x, (tn_tensor){ 0 }) : (tn_tensor){ 0 };
}

/* ------------------------------------------------------------------ CPU -- */

static const struct {
    part_fn *forward, *derive;
} parts[TN_OP_CODES] = {
    [TN_OP_ADD] = { add_forward, add_derive },
    [TN_OP_MULTIPLY] = { multiply_forward, multiply_derive },
    [TN_OP_SIGMOID] = { sigmoid_forward, sigmoid_derive },
    [TN_OP_TANH] = { tanh_forward, tanh_derive },
    [TN_OP_SWIGLU] = { swiglu_forward, swiglu_derive },
    [TN_OP_SILU] = { silu_forward, silu_derive },
    [TN_OP_QUICK_GELU] = { quick_gelu_forward, quick_gelu_derive },
    [TN_OP_GELU] = { gelu_forward, gelu_derive },
};

static void element_forward(tn_ops *ops, tn_node *node)
{
    run_elements(ops, (const tn_element_node *)node, parts[node->code].forward);
}

static void element_backward(tn_ops *ops, tn_node *node)
{
    const tn_element_node *e = (const tn_element_node *)node;
    if (node->code == TN_OP_MULTIPLY && has_one_factor(e))
        multiply_derive(ops->kernels, e, 0, e->y.rows * e->y.cols);
    else
        run_elements(ops, e, parts[node->code].derive);
}

const tn_device_op tn_cpu_element = { element_forward, element_backward };
