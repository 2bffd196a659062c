/* Elementwise operations. In inference they write over their first input. While recording, that input is copied first,
 * so both cases run the same kernel on the same values. */
#include "ops/internal.h"

#include <string.h>

/* sqrt(1/2), and 1 / sqrt(2 pi), for the exact GELU. */
static const tn_real half_root = (tn_real)0.70710678118654752440;
static const tn_real normal_peak = (tn_real)0.39894228040143267794;

typedef struct element_node {
    tn_node node;
    tn_tensor x, y, result; /* y: second input, may be absent */
    const tn_kernels *kernels;
    void (*forward)(const struct element_node *e, size_t begin, size_t end);
    void (*derive)(const struct element_node *e, size_t begin, size_t end);
} element_node;

static void forward_chunk(void *argument, size_t chunk, size_t worker)
{
    const element_node *e = argument;
    size_t begin = chunk * TN_OPS_BLOCK;
    (void)worker;
    e->forward(e, begin, tn_min(begin + TN_OPS_BLOCK, e->result.rows * e->result.cols));
}

static void derive_chunk(void *argument, size_t chunk, size_t worker)
{
    const element_node *e = argument;
    size_t begin = chunk * TN_OPS_BLOCK;
    (void)worker;
    e->derive(e, begin, tn_min(begin + TN_OPS_BLOCK, e->result.rows * e->result.cols));
}

static void run_elements(tn_ops *ops, const element_node *e, tn_chunk_fn *run)
{
    size_t count = e->result.rows * e->result.cols;
    element_node job = *e;
    tn_ops_run(ops, tn_pieces(count, TN_OPS_BLOCK), 2 * (double)count, run, &job);
}

static void element_backward(tn_ops *ops, tn_node *node)
{
    run_elements(ops, (element_node *)node, derive_chunk);
}

/* Runs e.forward over e.x (consumed) and e.y, and records e.derive. */
static tn_tensor apply(tn_ops *ops, const char *operation, element_node e)
{
    e.kernels = ops->kernels;
    e.result = tn_ops_consume(ops, operation, e.x, e.x.grad != NULL || e.y.grad != NULL);
    if (e.result.grad != NULL) {
        element_node *node = tn_ops_record(ops, operation, sizeof *node, element_backward);
        if (node == NULL)
            return (tn_tensor){ 0 };
        e.node = node->node;
        *node = e;
    }
    if (e.result.data != NULL)
        run_elements(ops, &e, forward_chunk);
    return e.result;
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

static void add_forward(const element_node *e, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        e->result.data[i] += e->y.data[i];
}

static void add_derive(const element_node *e, size_t begin, size_t end)
{
    for (size_t i = begin; i < end && e->x.grad != NULL; i++)
        e->x.grad[i] += e->result.grad[i];
    for (size_t i = begin; i < end && e->y.grad != NULL; i++)
        e->y.grad[i] += e->result.grad[i];
}

tn_tensor tn_op_add(tn_ops *ops, tn_tensor x, tn_tensor y)
{
    if (!same_shape(ops, "add", x, y))
        return (tn_tensor){ 0 };
    return apply(ops, "add", (element_node){ .x = x, .y = y, .forward = add_forward, .derive = add_derive });
}

/* --------------------------------------------------------------- swiglu -- */

static void swiglu_forward(const element_node *e, size_t begin, size_t end)
{
    e->kernels->silu_mul(e->result.data + begin, e->y.data + begin, end - begin);
}

/* With s the sigmoid of the gate g: d silu(g) = s (1 + g (1 - s)). */
static void swiglu_derive(const element_node *e, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        tn_real g = e->x.data[i], s = sigmoid(g), d = e->result.grad[i];
        if (e->x.grad != NULL)
            e->x.grad[i] += d * e->y.data[i] * s * (1 + g * (1 - s));
        if (e->y.grad != NULL)
            e->y.grad[i] += d * g * s;
    }
}

tn_tensor tn_op_swiglu(tn_ops *ops, tn_tensor gate, tn_tensor up)
{
    if (!same_shape(ops, "swiglu", gate, up))
        return (tn_tensor){ 0 };
    return apply(ops, "swiglu",
                 (element_node){ .x = gate, .y = up, .forward = swiglu_forward, .derive = swiglu_derive });
}

/* ----------------------------------------------------------------- gelu -- */

static void quick_gelu_forward(const element_node *e, size_t begin, size_t end)
{
    e->kernels->quick_gelu(e->result.data + begin, end - begin);
}

static void quick_gelu_derive(const element_node *e, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        tn_real u = (tn_real)1.702 * e->x.data[i], s = sigmoid(u);
        e->x.grad[i] += e->result.grad[i] * s * (1 + u * (1 - s));
    }
}

tn_tensor tn_op_quick_gelu(tn_ops *ops, tn_tensor x)
{
    if (!tn_ops_usable(ops, "quick_gelu", x))
        return (tn_tensor){ 0 };
    return apply(ops, "quick_gelu",
                 (element_node){ .x = x, .forward = quick_gelu_forward, .derive = quick_gelu_derive });
}

static void gelu_forward(const element_node *e, size_t begin, size_t end)
{
    tn_real *x = e->result.data;
    for (size_t i = begin; i < end; i++)
        x[i] = x[i] * (tn_real)0.5 * (1 + erf(x[i] * half_root));
}

/* d (x Phi(x)) = Phi(x) + x phi(x). */
static void gelu_derive(const element_node *e, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        tn_real x = e->x.data[i], phi = normal_peak * exp(x * x * (tn_real)-0.5);
        e->x.grad[i] += e->result.grad[i] * ((tn_real)0.5 * (1 + erf(x * half_root)) + x * phi);
    }
}

tn_tensor tn_op_gelu(tn_ops *ops, tn_tensor x)
{
    if (!tn_ops_usable(ops, "gelu", x))
        return (tn_tensor){ 0 };
    return apply(ops, "gelu", (element_node){ .x = x, .forward = gelu_forward, .derive = gelu_derive });
}
