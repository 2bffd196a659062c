/* Rotary position embedding: pair (a, b) of a row rotates by the angle of its frequency. Source: RoFormer,
 * arXiv:2104.09864, section 3.2; pairs are i and i + D/2. */
#include "ops/internal.h"

/* x [T, H, D] in place. */
static void rope_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_rope_node *r = argument;
    size_t half = r->rope.half, block = tn_ops_row_block(r->y.cols), begin = chunk * block;
    (void)worker;
    for (size_t row = begin; row < tn_min(r->y.rows, begin + block); row++) {
        const tn_real *cosines = r->rope.cos + row * half, *sines = r->rope.sin + row * half;
        for (size_t head = 0; head < r->heads; head++) {
            tn_real *a = r->y.data + row * r->y.cols + head * 2 * half, *b = a + half;
            for (size_t i = 0; i < half; i++) {
                tn_real first = a[i], second = b[i];
                a[i] = first * cosines[i] - second * sines[i];
                b[i] = second * cosines[i] + first * sines[i];
            }
        }
    }
}

/* The gradient rotates back. */
static void rope_back_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_rope_node *r = argument;
    size_t half = r->rope.half, block = tn_ops_row_block(r->y.cols), begin = chunk * block;
    (void)worker;
    for (size_t row = begin; row < tn_min(r->y.rows, begin + block); row++) {
        const tn_real *cosines = r->rope.cos + row * half, *sines = r->rope.sin + row * half;
        for (size_t head = 0; head < r->heads; head++) {
            size_t at = row * r->y.cols + head * 2 * half;
            const tn_real *da = r->y.grad + at, *db = da + half;
            tn_real *to_a = r->x.grad + at, *to_b = to_a + half;
            for (size_t i = 0; i < half; i++) {
                to_a[i] += da[i] * cosines[i] + db[i] * sines[i];
                to_b[i] += db[i] * cosines[i] - da[i] * sines[i];
            }
        }
    }
}

static void run_rope(tn_ops *ops, tn_node *node, tn_chunk_fn *run)
{
    const tn_rope_node *r = (const tn_rope_node *)node;
    tn_ops_run(ops, tn_pieces(r->y.rows, tn_ops_row_block(r->y.cols)), (double)r->y.rows * (double)r->y.cols, run, node);
}

static void rope_forward(tn_ops *ops, tn_node *node)
{
    run_rope(ops, node, rope_chunk);
}

static void rope_backward(tn_ops *ops, tn_node *node)
{
    run_rope(ops, node, rope_back_chunk);
}

const tn_device_op tn_cpu_rope = { rope_forward, rope_backward };

tn_tensor tn_op_rope(tn_ops *ops, tn_tensor x, const tn_rope *rope, size_t heads)
{
    size_t width;
    if (!tn_ops_usable(ops, "rope", x))
        return (tn_tensor){ 0 };
    if (rope->cos == NULL || rope->sin == NULL || !tn_size_mul(heads, rope->half, &width) ||
        x.cols % 2 != 0 || width != x.cols / 2) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "rope", "rows of %zu columns are not %zu heads of %zu pairs, "
                "or there are no angles", x.cols, heads, rope->half);
        return (tn_tensor){ 0 };
    }
    tn_rope_node r = { .x = x, .rope = *rope, .heads = heads };
    r.y = tn_ops_consume(ops, "rope", x, x.grad != NULL);
    return tn_ops_make(ops, TN_OP_ROPE, &r, sizeof r, r.y);
}
