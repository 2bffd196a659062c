/* Backward of attention. With P the probabilities, recomputed block by block:
 *   dV = P^T dO,  dP = dO V^T,  dS = P (dP - rowsum(dO O)),  dQ = dS K / sqrt(D),  dK = dS^T Q / sqrt(D).
 * Two passes, so that each sum belongs to one chunk: dQ by blocks of queries, dK and dV by blocks of
 * keys. The scores are computed in both, 7 products instead of 5; in exchange the work spreads
 * over any number of threads. Source: Dao et al., arXiv:2205.14135, appendix B. */
#include "ops/internal.h"

#include <string.h>

/* Scratch of one worker; m = rows of the block times heads of the group. */
typedef struct back_scratch {
    tn_real *q, *d_out;       /* [m, D] scaled queries; gradients of the outputs */
    tn_real *sum;             /* [m, D] dQ                                       */
    tn_real *p, *ds;          /* [m, TN_KEY_BLOCK]                               */
    tn_real *keys, *values;   /* [D, TN_KEY_BLOCK] transposed                    */
} back_scratch;

size_t tn_attend_back_scratch(const tn_attend *a)
{
    size_t m = a->row_limit, d = a->head_dim;
    return 3 * m * d + 2 * (m + d) * TN_KEY_BLOCK;
}

static back_scratch scratch_of(const tn_attend *a, size_t worker)
{
    size_t m = a->row_limit, d = a->head_dim;
    tn_real *keys = a->scratch + worker * a->slice, *values = keys + d * TN_KEY_BLOCK;
    tn_real *p = values + d * TN_KEY_BLOCK, *ds = p + m * TN_KEY_BLOCK, *q = ds + m * TN_KEY_BLOCK;
    return (back_scratch){ q, q + m * d, q + 2 * m * d, p, ds, keys, values };
}

/* dots[head, row] = sum over D of dO O. */
void tn_attend_dots_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_attend *a = argument;
    size_t block = tn_ops_row_block(a->out.cols), begin = chunk * block, d = a->head_dim;
    (void)worker;
    for (size_t row = begin; row < tn_min(a->out.rows, begin + block); row++)
        for (size_t head = 0; head < a->heads; head++) {
            size_t at = row * a->out.cols + head * d;
            a->dots[head * a->out.rows + row] = a->kernels->dot(a->out.grad + at, a->out.data + at, d);
        }
}

/* Row r of P and dS from its scores and dP; exactly 0 for keys that the row does not see. */
static void derive_row(const tn_attend *a, size_t at, size_t seen, size_t padded, tn_real *p, tn_real *ds)
{
    tn_real inverse = 1 / a->total[at], dot = a->dots[at];
    if (seen > 0)
        a->kernels->exp_sum(p, seen, a->peak[at]);
    for (size_t j = 0; j < seen; j++) {
        p[j] *= inverse;
        ds[j] = p[j] * (ds[j] - dot);
    }
    for (size_t j = seen; j < padded; j++)
        p[j] = ds[j] = 0;
}

/* P and dS of one block of queries and of `count` keys from `key`, whose transposes are in s. */
static void derive_tile(const tn_attend *a, const tn_query_block *block, size_t kv_head,
                        const back_scratch *s, size_t key, size_t count)
{
    size_t m = block->count * a->group, d = a->head_dim, padded = tn_pieces(count, 16) * 16;
    for (size_t r = 0; r < m; r++) {
        memset(s->p + r * TN_KEY_BLOCK, 0, padded * sizeof(tn_real));
        memset(s->ds + r * TN_KEY_BLOCK, 0, padded * sizeof(tn_real));
    }
    a->kernels->multiply(s->q, d, 1, s->keys, TN_KEY_BLOCK, m, padded, d, s->p, TN_KEY_BLOCK);
    a->kernels->multiply(s->d_out, d, 1, s->values, TN_KEY_BLOCK, m, padded, d, s->ds, TN_KEY_BLOCK);
    for (size_t r = 0; r < m; r++) {
        size_t end = tn_visible_end(a, block, r % block->count), seen = end > key ? tn_min(count, end - key) : 0;
        size_t head = kv_head * a->group + r / block->count, row = block->begin + r % block->count;
        derive_row(a, head * a->q.rows + row, seen, padded, s->p + r * TN_KEY_BLOCK,
                   s->ds + r * TN_KEY_BLOCK);
    }
}

static void gather_queries(const tn_attend *a, const tn_query_block *block, size_t kv_head,
                           const back_scratch *s)
{
    tn_gather_heads(a, block, kv_head, a->q.data, a->scale, s->q);
    tn_gather_heads(a, block, kv_head, a->out.grad, 1, s->d_out);
}

static void transpose_keys(const tn_attend *a, size_t offset, size_t count, const back_scratch *s)
{
    tn_transpose(a->keys.k + offset, a->keys.stride, count, a->head_dim, s->keys, TN_KEY_BLOCK);
    tn_transpose(a->keys.v + offset, a->keys.stride, count, a->head_dim, s->values, TN_KEY_BLOCK);
}

void tn_attend_dq_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_attend *a = argument;
    const tn_query_block *block = &a->blocks[chunk / a->kv_heads];
    size_t kv_head = chunk % a->kv_heads, m = block->count * a->group, d = a->head_dim;
    back_scratch s = scratch_of(a, worker);
    gather_queries(a, block, kv_head, &s);
    memset(s.sum, 0, m * d * sizeof(tn_real));
    size_t end = tn_visible_end(a, block, block->count - 1);
    for (size_t key = block->key_begin; key < end; key += TN_KEY_BLOCK) {
        size_t count = tn_min(TN_KEY_BLOCK, end - key), offset = key * a->keys.stride + kv_head * d;
        transpose_keys(a, offset, count, &s);
        derive_tile(a, block, kv_head, &s, key, count);
        a->kernels->multiply(s.ds, TN_KEY_BLOCK, 1, a->keys.k + offset, a->keys.stride, m, d, count, s.sum, d);
    }
    for (size_t r = 0; r < m; r++) {
        size_t head = kv_head * a->group + r / block->count, row = block->begin + r % block->count;
        tn_real *dq = a->q.grad + row * a->q.cols + head * d;
        for (size_t i = 0; i < d; i++)
            dq[i] += s.sum[r * d + i] * a->scale;
    }
}

/* The queries are already scaled, so dK has no further factor. */
void tn_attend_dkv_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_attend *a = argument;
    const tn_key_block *keys = &a->key_blocks[chunk / a->kv_heads];
    size_t kv_head = chunk % a->kv_heads, d = a->head_dim, stride = a->keys.stride;
    size_t offset = keys->begin * stride + kv_head * d;
    back_scratch s = scratch_of(a, worker);
    transpose_keys(a, offset, keys->count, &s);
    for (size_t i = 0; i < a->block_count; i++) {
        const tn_query_block *block = &a->blocks[i];
        if (block->key_begin != keys->segment || tn_visible_end(a, block, block->count - 1) <= keys->begin)
            continue;
        size_t m = block->count * a->group;
        gather_queries(a, block, kv_head, &s);
        derive_tile(a, block, kv_head, &s, keys->begin, keys->count);
        if (a->keys.dv != NULL)
            a->kernels->multiply(s.p, 1, TN_KEY_BLOCK, s.d_out, d, keys->count, d, m, a->keys.dv + offset, stride);
        if (a->keys.dk != NULL)
            a->kernels->multiply(s.ds, 1, TN_KEY_BLOCK, s.q, d, keys->count, d, m, a->keys.dk + offset, stride);
    }
}

/* Divides the keys of each segment into blocks. The query blocks of a segment are consecutive, and the last row of the
 * last one sees the last key. */
void tn_attend_cut_keys(tn_ops *ops, tn_attend *a)
{
    for (int pass = 0; pass < 2 && ops->failure.code == TENEBRA_OK; pass++) {
        a->key_block_count = 0;
        for (size_t i = 0; i < a->block_count; i++) {
            const tn_query_block *block = &a->blocks[i];
            if (i + 1 < a->block_count && block[1].key_begin == block->key_begin)
                continue;
            size_t end = tn_visible_end(a, block, block->count - 1);
            for (size_t key = block->key_begin; key < end; key += TN_KEY_BLOCK, a->key_block_count++)
                if (pass == 1)
                    a->key_blocks[a->key_block_count] =
                        (tn_key_block){ key, tn_min(TN_KEY_BLOCK, end - key), block->key_begin };
        }
        if (pass == 0)
            a->key_blocks = tn_ops_take(ops, "attention", a->key_block_count, sizeof *a->key_blocks);
    }
}
