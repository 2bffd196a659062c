/* Storing keys and values of a span in a cache. */
#include "ops/internal.h"

#include <string.h>

typedef struct store_node {
    tn_node node;
    tn_keys keys;
    size_t start;
    tn_tensor k, v;
} store_node;

/* grad += from; from = 0, so that the next backward does not move it again. */
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
    if (!tn_cache_is_whole(keys) || k.cols != keys->stride || v.cols != keys->stride ||
        k.rows != v.rows)
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "store", "keys [%zu, %zu] and values [%zu, %zu] do not fit a "
                "cache of %zu columns", k.rows, k.cols, v.rows, v.cols, keys->stride);
    else if (start > keys->capacity || k.rows > keys->capacity - start)
        tn_fail(&ops->failure, TENEBRA_ERROR_LIMIT, "store", "%zu rows after row %zu do not fit a cache of %zu rows",
                k.rows, start, keys->capacity);
    else if (keys->k == NULL && (k.grad != NULL || v.grad != NULL || keys->dk != NULL || keys->dv != NULL))
        tn_fail(&ops->failure, TENEBRA_ERROR_UNSUPPORTED, "store", "a cache of bfloat16 holds no gradients; train with "
                "one of f32");
    return ops->failure.code == TENEBRA_OK;
}

/* Rows to copy; a chunk of work is a few rows. */
typedef struct store_job {
    const tn_keys *keys;
    size_t start;
    tn_tensor k, v;
} store_job;

static void copy_rows(tn_real *to, uint16_t *to_bf16, const tn_real *from, size_t at, size_t count)
{
    if (to != NULL)
        memcpy(to + at, from, count * sizeof *from);
    else
        tn_dtype_of(TN_BF16)->pack(from, count, to_bf16 + at);
}

static void store_chunk(void *argument, size_t chunk, size_t worker)
{
    const store_job *job = argument;
    const tn_keys *keys = job->keys;
    size_t block = tn_ops_row_block(keys->stride), begin = chunk * block, at = (job->start + begin) * keys->stride;
    size_t from = begin * keys->stride, count = tn_min(block, job->k.rows - begin) * keys->stride;
    (void)worker;
    copy_rows(keys->k, keys->k_bf16, job->k.data + from, at, count);
    copy_rows(keys->v, keys->v_bf16, job->v.data + from, at, count);
}

void tn_op_store(tn_ops *ops, const tn_keys *keys, size_t start, tn_tensor k, tn_tensor v)
{
    if (!store_fits(ops, keys, start, k, v))
        return;
    store_job job = { keys, start, k, v };
    /* Copying is cheap; rounding takes about ten steps per number. */
    double work = (double)k.rows * (double)keys->stride * (keys->k != NULL ? 0.5 : 10);
    tn_ops_run(ops, tn_pieces(k.rows, tn_ops_row_block(keys->stride)), work, store_chunk, &job);
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
