/* Attention: online softmax over blocks of keys. A map of all scores is never built.
 *
 * A chunk of work is one key head and a block of query rows, with all query heads of that key head's group: each block
 * of keys is transposed once and read by group * count rows. The steps of a row (borders of its key blocks, order
 * inside them) depend only on the row, so a row that is computed by itself has the same bits as in a block. Source:
 * Milakov and Gimelshein, arXiv:1805.02867 (online softmax); Dao et al., arXiv:2205.14135 (blocks). */
#include "ops/internal.h"

#include <string.h>

/* Largest number of rows (queries times heads of a group) of a block, unless one query already has more. */
enum { CAUSAL_ROWS = 64, FULL_ROWS = 128 };

/* With at most this many rows, reading keys and values is limited by memory. They are prefetched, because the rows of
 * one head are not adjacent and the processor's own prefetcher misses them. */
enum { FEW_ROWS = 16 };

/* -------------------------------------------------------------- forward -- */

/* Columns for m queries side by side: whole vectors of every kernel set. */
static size_t columns_of(size_t m)
{
    return tn_pieces(m, TN_TRANSPOSE) * TN_TRANSPOSE;
}

/* Scores are sums over D, either of queries times transposed keys or, if that moves fewer numbers, of keys times
 * transposed queries. The same products are added in the same order, so the bits are the same. */
static bool is_flipped(const tn_attend *a, size_t m)
{
    return columns_of(m) < a->head_dim;
}

/* Scratch of one worker; m = rows of the block times heads of the group. */
typedef struct attend_scratch {
    tn_real *q;      /* [m, D] scaled queries, or [D, columns] transposed */
    tn_real *sum;    /* [m, D] sum of exp(score - peak) v  */
    tn_real *scores; /* [m, TN_KEY_BLOCK]                  */
    tn_real *turned; /* [D, TN_KEY_BLOCK] transposed keys, or [TN_KEY_BLOCK, columns] scores to transpose */
    tn_real *rows;   /* [TN_KEY_BLOCK, D] copy of keys or values whose layout or type in the cache does not fit */
    tn_real *peak, *total; /* [m]                          */
} attend_scratch;

/* Offsets of the parts for the largest block; the last offset is the size. */
static void lay_out(const tn_attend *a, size_t offsets[7])
{
    size_t m = a->row_limit, d = a->head_dim, columns = columns_of(m);
    const size_t sizes[6] = { d * tn_max(TN_KEY_BLOCK, m), TN_KEY_BLOCK * d, m * TN_KEY_BLOCK, columns * d, m * d, 2 * m };
    offsets[0] = 0;
    for (size_t i = 0; i < 6; i++)
        offsets[i + 1] = offsets[i] + sizes[i];
}

size_t tn_attend_scratch(const tn_attend *a)
{
    size_t offsets[7];
    lay_out(a, offsets);
    return offsets[6];
}

static attend_scratch scratch_of(const tn_attend *a, size_t worker)
{
    size_t o[7];
    lay_out(a, o);
    tn_real *base = a->scratch + worker * a->slice;
    return (attend_scratch){ .turned = base, .rows = base + o[1], .scores = base + o[2], .q = base + o[3],
                             .sum = base + o[4], .peak = base + o[5], .total = base + o[5] + a->row_limit };
}

/* The queries of a block in the form that the scores require. */
static void take_queries(const tn_attend *a, const tn_query_block *block, size_t kv_head, const attend_scratch *s)
{
    size_t m = block->count * a->group, d = a->head_dim, columns = columns_of(m);
    if (!is_flipped(a, m)) {
        tn_gather_heads(a, block, kv_head, a->q.data, a->scale, s->q);
        return;
    }
    tn_gather_heads(a, block, kv_head, a->q.data, a->scale, s->turned);
    tn_transpose(s->turned, d, m, d, s->q, columns);
}

/* scores [m, TN_KEY_BLOCK] of the first `count` columns, from rows of keys; later columns are undefined. */
static void score_keys(const tn_attend *a, size_t m, const attend_scratch *s, const tn_real *keys, size_t stride,
                       size_t count)
{
    size_t d = a->head_dim, columns = columns_of(m);
    if (is_flipped(a, m)) {
        memset(s->turned, 0, count * columns * sizeof(tn_real));
        a->kernels->multiply(keys, stride, 1, s->q, columns, count, columns, d, s->turned, columns);
        tn_transpose(s->turned, columns, count, m, s->scores, TN_KEY_BLOCK);
        return;
    }
    size_t padded = tn_transpose(keys, stride, count, d, s->turned, TN_KEY_BLOCK);
    for (size_t r = 0; r < m; r++)
        memset(s->scores + r * TN_KEY_BLOCK, 0, padded * sizeof(tn_real));
    a->kernels->multiply(s->q, d, 1, s->turned, TN_KEY_BLOCK, m, padded, d, s->scores, TN_KEY_BLOCK);
}

/* Adds `count` new scores of a row to its softmax: scores become exp(score - peak), and earlier sums are rescaled to
 * the new peak. A NaN among the scores is preserved. */
static void absorb(const tn_attend *a, tn_real *scores, size_t count, tn_real *peak, tn_real *total,
                   tn_real *sum)
{
    tn_real largest = a->kernels->max(scores, count);
    if (!(largest <= *peak)) {
        tn_real factor = exp(*peak - largest);
        for (size_t i = 0; i < a->head_dim; i++)
            sum[i] *= factor;
        *total *= factor;
        *peak = largest;
    }
    *total += a->kernels->exp_sum(scores, count, *peak);
}

/* sum += exp(score - peak) v over the keys of one block that starts at `key`. Keys that all rows see are added in one
 * product, the triangle of a causal span row by row: a row never reads the values of keys that it does not see. */
static void mix_values(const tn_attend *a, const tn_query_block *block, const attend_scratch *s,
                       size_t offset, size_t key, size_t count)
{
    size_t m = block->count * a->group, d = a->head_dim, stride;
    size_t common = block->visible > key ? tn_min(count, block->visible - key) : 0;
    const tn_real *v = tn_cache_rows(&a->keys, TN_VALUES, offset, count, d, s->rows, &stride);
    a->kernels->multiply(s->scores, TN_KEY_BLOCK, 1, v, stride, m, d, common, s->sum, d);
    if (common == count)
        return;
    for (size_t r = 0; r < m; r++) {
        size_t end = tn_visible_end(a, block, r % block->count);
        size_t seen = end > key ? tn_min(count, end - key) : 0;
        if (seen > common)
            a->kernels->multiply(s->scores + r * TN_KEY_BLOCK + common, 0, 1, v + common * stride, stride, 1, d,
                                 seen - common, s->sum + r * d, d);
    }
}

static void attend_keys(const tn_attend *a, const tn_query_block *block, size_t kv_head,
                        const attend_scratch *s, size_t key, size_t count)
{
    size_t m = block->count * a->group, d = a->head_dim, stride;
    size_t offset = key * a->keys.stride + kv_head * d;
    bool few = m <= FEW_ROWS;
    if (few)
        tn_cache_fetch(&a->keys, TN_VALUES, offset, count, d);
    const tn_real *k = tn_cache_rows(&a->keys, TN_KEYS, offset, count, d, s->rows, &stride);
    score_keys(a, m, s, k, stride, count);
    for (size_t r = 0; r < m; r++) {
        size_t end = tn_visible_end(a, block, r % block->count);
        if (end > key)
            absorb(a, s->scores + r * TN_KEY_BLOCK, tn_min(count, end - key), &s->peak[r], &s->total[r],
                   s->sum + r * d);
    }
    size_t next = key + count, end = tn_visible_end(a, block, block->count - 1);
    if (few && next < end)
        tn_cache_fetch(&a->keys, TN_KEYS, next * a->keys.stride + kv_head * d, tn_min(TN_KEY_BLOCK, end - next), d);
    mix_values(a, block, s, offset, key, count);
}

/* Writes the rows of a finished block, and the parts of their softmax that the backward and the tap require. */
static void finish_block(const tn_attend *a, const tn_query_block *block, size_t kv_head,
                         const attend_scratch *s)
{
    for (size_t r = 0; r < block->count * a->group; r++) {
        size_t head = kv_head * a->group + r / block->count, row = block->begin + r % block->count;
        tn_real *out = a->out.data + row * a->out.cols + head * a->head_dim, inverse = 1 / s->total[r];
        for (size_t i = 0; i < a->head_dim; i++)
            out[i] = s->sum[r * a->head_dim + i] * inverse;
        if (a->peak != NULL) {
            a->peak[head * a->q.rows + row] = s->peak[r];
            a->total[head * a->q.rows + row] = s->total[r];
        }
        if (a->tap != NULL && a->tap->query == row) {
            a->tap_peak[head] = s->peak[r];
            a->tap_total[head] = s->total[r];
        }
    }
}

void tn_attend_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_attend *a = argument;
    const tn_query_block *block = &a->blocks[chunk / a->kv_heads];
    size_t kv_head = chunk % a->kv_heads, m = block->count * a->group;
    attend_scratch s = scratch_of(a, worker);
    take_queries(a, block, kv_head, &s);
    memset(s.sum, 0, m * a->head_dim * sizeof(tn_real));
    for (size_t r = 0; r < m; r++) {
        s.peak[r] = (tn_real)-INFINITY;
        s.total[r] = 0;
    }
    size_t end = tn_visible_end(a, block, block->count - 1);
    for (size_t key = block->key_begin; key < end; key += TN_KEY_BLOCK)
        attend_keys(a, block, kv_head, &s, key, tn_min(TN_KEY_BLOCK, end - key));
    finish_block(a, block, kv_head, &s);
}

/* ------------------------------------------------------------------ tap -- */

/* The probabilities of the tapped row at the chosen keys, for all heads of one group. The scores are computed as in the
 * forward; the softmax is the forward's, over all visible keys. */
void tn_attend_tap_chunk(void *argument, size_t kv_head, size_t worker)
{
    const tn_attend *a = argument;
    const tn_tap *tap = a->tap;
    tn_query_block row = { .begin = tap->query, .count = 1 };
    attend_scratch s = scratch_of(a, worker);
    size_t d = a->head_dim;
    take_queries(a, &row, kv_head, &s);
    for (size_t begin = 0; begin < tap->count; begin += TN_KEY_BLOCK) {
        size_t count = tn_min(TN_KEY_BLOCK, tap->count - begin);
        for (size_t j = 0; j < count; j++)
            tn_cache_copy(&a->keys, TN_KEYS, tap->keys[begin + j] * a->keys.stride + kv_head * d, d, s.rows + j * d);
        score_keys(a, a->group, &s, s.rows, d, count);
        for (size_t g = 0; g < a->group; g++) {
            size_t head = kv_head * a->group + g;
            tn_real *scores = s.scores + g * TN_KEY_BLOCK, *to = tap->rows.data + head * tap->count + begin;
            tn_real inverse = 1 / a->tap_total[head];
            a->kernels->exp_sum(scores, count, a->tap_peak[head]);
            for (size_t j = 0; j < count; j++)
                to[j] = scores[j] * inverse;
        }
    }
}

/* -------------------------------------------------------------- opening -- */

void tn_attend_cut(tn_ops *ops, tn_attend *a, const tn_attention *shape)
{
    const size_t whole[2] = { 0, a->q.rows };
    const size_t *borders = shape->causal ? whole : shape->segments;
    const size_t *keys = shape->causal || shape->key_segments == NULL ? borders : shape->key_segments;
    size_t segments = shape->causal ? 1 : shape->segment_count, most = 0;
    size_t rows = tn_max(1, (shape->causal ? CAUSAL_ROWS : FULL_ROWS) / a->group);
    for (size_t i = 0; i < segments; i++)
        a->block_count += tn_pieces(borders[i + 1] - borders[i], rows);
    tn_query_block *block = a->blocks = tn_ops_take(ops, "attention", a->block_count, sizeof *a->blocks);
    for (size_t i = 0; i < segments && a->blocks != NULL; i++)
        for (size_t begin = borders[i]; begin < borders[i + 1]; begin += rows, block++) {
            size_t count = tn_min(rows, borders[i + 1] - begin);
            *block = (tn_query_block){ begin, count, keys[i], keys[i + 1] };
            if (shape->causal)
                block->visible = shape->start + begin + 1;
            most = tn_max(most, count);
        }
    a->row_limit = most * a->group;
}

void tn_attend_open(const tn_ops *ops, tn_attend *a, tn_tensor q, const tn_attention_part *part)
{
    const tn_attention *shape = &part->shape;
    *a = (tn_attend){ .q = q, .keys = part->keys, .heads = shape->heads, .kv_heads = shape->kv_heads,
                      .group = shape->heads / shape->kv_heads, .head_dim = shape->head_dim,
                      .causal = shape->causal, .scale = (tn_real)(1 / sqrt((double)shape->head_dim)),
                      .tap = shape->tap, .kernels = ops->kernels };
}
