/* Storing keys and values of a span in a cache. */
#include "ops/internal.h"

#include <string.h>

typedef struct store_node {
    tn_node node;
    tn_keys keys;
    size_t start;
    tn_tensor k, v;
} store_node;

/* grad += from; from = 0: what is moved once is not found by the next backward. */
static void move_gradient(tn_real *grad, tn_real *from, size_t count)
{
    for (size_t i = 0; grad != NULL && from != NULL && i < count; i++)
        grad[i] += from[i];
    if (from != NULL)
        memset(from, 0, count * sizeof *from);
}

static void store_backward(tn_ops *ops, tn_node *node)
{
    store_node *s = (store_node *)node;
    size_t offset = s->start * s->keys.stride, count = s->k.rows * s->keys.stride;
    (void)ops;
    move_gradient(s->k.grad, s->keys.dk ? s->keys.dk + offset : NULL, count);
    move_gradient(s->v.grad, s->keys.dv ? s->keys.dv + offset : NULL, count);
}

static bool store_fits(tn_ops *ops, const tn_keys *keys, size_t start, tn_tensor k, tn_tensor v)
{
    if (!tn_ops_usable(ops, "store", k) || !tn_ops_usable(ops, "store", v))
        return false;
    if (keys->k == NULL || keys->v == NULL || k.cols != keys->stride || v.cols != keys->stride ||
        k.rows != v.rows)
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "store", "keys [%zu, %zu] and values [%zu, %zu] do not fit a "
                "cache of %zu columns", k.rows, k.cols, v.rows, v.cols, keys->stride);
    else if (start > keys->capacity || k.rows > keys->capacity - start)
        tn_fail(&ops->failure, TENEBRA_ERROR_LIMIT, "store", "%zu rows after row %zu do not fit a cache of %zu rows",
                k.rows, start, keys->capacity);
    return ops->failure.code == TENEBRA_OK;
}

void tn_op_store(tn_ops *ops, const tn_keys *keys, size_t start, tn_tensor k, tn_tensor v)
{
    if (!store_fits(ops, keys, start, k, v))
        return;
    size_t offset = start * keys->stride, bytes = k.rows * keys->stride * sizeof(tn_real);
    memcpy(keys->k + offset, k.data, bytes);
    memcpy(keys->v + offset, v.data, bytes);
    if (ops->tape == NULL || (keys->dk == NULL && keys->dv == NULL))
        return;
    store_node *node = tn_ops_record(ops, "store", sizeof *node, store_backward);
    if (node == NULL)
        return;
    node->keys = *keys;
    node->start = start;
    node->k = k;
    node->v = v;
}
