/* Caches: their memory, and storing keys and values of a span. */
#include "ops/internal.h"

#include <string.h>

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
        tn_fail(&ops->failure, TENEBRA_ERROR_UNSUPPORTED, "store", "a cache of bfloat16 cannot have gradients; train with "
                "one of f32");
    return ops->failure.code == TENEBRA_OK;
}

static void copy_rows(tn_real *to, uint16_t *to_bf16, const tn_real *from, size_t at, size_t count)
{
    if (to != NULL)
        memcpy(to + at, from, count * sizeof *from);
    else
        tn_dtype_of(TN_BF16)->pack(from, count, to_bf16 + at);
}

static void store_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_store_node *job = argument;
    const tn_keys *keys = &job->keys;
    size_t block = tn_ops_row_block(keys->stride), begin = chunk * block, at = (job->start + begin) * keys->stride;
    size_t from = begin * keys->stride, count = tn_min(block, job->k.rows - begin) * keys->stride;
    (void)worker;
    copy_rows(keys->k, keys->k_bf16, job->k.data + from, at, count);
    copy_rows(keys->v, keys->v_bf16, job->v.data + from, at, count);
}

static void store_forward(tn_ops *ops, tn_node *node)
{
    const tn_store_node *s = (const tn_store_node *)node;
    /* Copying is cheap; rounding takes about ten steps per number. */
    double work = (double)s->k.rows * (double)s->keys.stride * (s->keys.k != NULL ? 0.5 : 10);
    tn_ops_run(ops, tn_pieces(s->k.rows, tn_ops_row_block(s->keys.stride)), work, store_chunk, node);
}

/* grad += from; from = 0, so that the next backward does not move it again. */
static void move_gradient(tn_ops *ops, tn_real *grad, tn_real *from, size_t count)
{
    if (grad != NULL)
        tn_device_of(ops)->add(ops, grad, from, count);
    tn_device_of(ops)->copy(ops, from, NULL, count);
}

static void store_backward(tn_ops *ops, tn_node *node)
{
    const tn_store_node *s = (const tn_store_node *)node;
    size_t offset = s->start * s->keys.stride, count = s->k.rows * s->keys.stride;
    if (s->keys.dk != NULL)
        move_gradient(ops, s->k.grad, s->keys.dk + offset, count);
    if (s->keys.dv != NULL)
        move_gradient(ops, s->v.grad, s->keys.dv + offset, count);
}

const tn_device_op tn_cpu_store = { store_forward, store_backward };

void tn_op_store(tn_ops *ops, const tn_keys *keys, size_t start, tn_tensor k, tn_tensor v)
{
    tn_store_node s = { .keys = *keys, .start = start, .k = k, .v = v };
    if (store_fits(ops, keys, start, k, v))
        tn_ops_apply(ops, TN_OP_STORE, &s, sizeof s, ops->tape != NULL && (keys->dk != NULL || keys->dv != NULL));
}

bool tn_keys_take(tn_keys *keys, tn_arena *arena, size_t capacity, size_t stride, tn_dtype type, tn_ops *gradients)
{
    size_t count, all;
    *keys = (tn_keys){ .capacity = capacity, .stride = stride };
    if (!tn_size_mul(capacity, stride, &count) || !tn_size_mul(count, gradients != NULL ? 4 : 2, &all))
        return false;
    if (type == TN_BF16) {
        keys->k_bf16 = tn_arena_take(arena, all, sizeof *keys->k_bf16);
        keys->v_bf16 = keys->k_bf16 != NULL ? keys->k_bf16 + count : NULL;
        return keys->k_bf16 != NULL;
    }
    keys->k = tn_arena_take(arena, all, sizeof *keys->k);
    if (keys->k == NULL)
        return false;
    keys->v = keys->k + count;
    if (gradients != NULL) {
        keys->dk = keys->k + 2 * count;
        keys->dv = keys->k + 3 * count;
        tn_device_of(gradients)->copy(gradients, keys->dk, NULL, 2 * count);
    }
    return true;
}
