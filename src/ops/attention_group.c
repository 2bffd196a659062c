/* Attention of one or several sequences, with the work of all of them in one list of chunks. */
#include "ops/internal.h"

/* Chunks of all parts, one after the other: those of part p end at ends[p]. */
typedef struct chunk_list {
    tn_attend *parts;
    const size_t *ends;
    size_t count;
    tn_chunk_fn *run;
} chunk_list;

static void list_chunk(void *argument, size_t chunk, size_t worker)
{
    const chunk_list *list = argument;
    size_t low = 0, high = list->count - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (chunk < list->ends[middle])
            high = middle;
        else
            low = middle + 1;
    }
    list->run(&list->parts[low], chunk - (low > 0 ? list->ends[low - 1] : 0), worker);
}

/* The number of chunks of a part in one of the runs. */
typedef size_t chunk_count_fn(const tn_attend *a);

static size_t forward_chunks(const tn_attend *a)
{
    return a->block_count * a->kv_heads;
}

static size_t tap_chunks(const tn_attend *a)
{
    return a->tap != NULL ? a->kv_heads : 0;
}

static size_t dots_chunks(const tn_attend *a)
{
    return tn_pieces(a->out.rows, tn_ops_row_block(a->out.cols));
}

static size_t dq_chunks(const tn_attend *a)
{
    return a->q.grad != NULL ? a->block_count * a->kv_heads : 0;
}

static size_t dkv_chunks(const tn_attend *a)
{
    return a->keys.dk != NULL || a->keys.dv != NULL ? a->key_block_count * a->kv_heads : 0;
}

static void run_list(tn_ops *ops, tn_attend *parts, size_t count, chunk_count_fn *chunks_of, double work, tn_chunk_fn *run)
{
    size_t mark = tn_arena_mark(ops->arena), total = 0;
    size_t *ends = tn_ops_take(ops, "attention", count, sizeof *ends);
    for (size_t p = 0; p < count && ends != NULL; p++)
        ends[p] = total += chunks_of(&parts[p]);
    chunk_list list = { parts, ends, count, run };
    if (ends != NULL && total > 0)
        tn_ops_run(ops, total, work, list_chunk, &list);
    tn_arena_release(ops->arena, mark);
}

/* Scratch of the workers, large enough for each part. False on failure. */
static bool share_scratch(tn_ops *ops, tn_attend *parts, size_t count, size_t (*reals_of)(const tn_attend *))
{
    size_t most = 0, slice;
    for (size_t p = 0; p < count; p++)
        most = tn_max(most, reals_of(&parts[p]));
    tn_real *scratch = tn_ops_scratch(ops, "attention", most, &slice);
    for (size_t p = 0; p < count; p++) {
        parts[p].scratch = scratch;
        parts[p].slice = slice;
    }
    return scratch != NULL;
}

static double work_of(const tn_attend *parts, size_t count)
{
    double work = 0;
    for (size_t p = 0; p < count; p++)
        work += tn_attend_work(&parts[p]) / 8;
    return work;
}

/* Opens all parts over their rows of q and of the result; NULL on failure. */
static tn_attend *open_parts(tn_ops *ops, const tn_attention_node *node)
{
    size_t row = 0, at = 0;
    tn_attend *all = tn_ops_take(ops, "attention", node->count, sizeof *all);
    for (size_t p = 0; p < node->count && all != NULL; p++) {
        const tn_attention_part *part = &node->parts[p];
        tn_attend_open(ops, &all[p], tn_op_rows(ops, node->q, row, part->rows), part);
        all[p].out = tn_op_rows(ops, node->out, row, part->rows);
        all[p].peak = node->peak != NULL ? node->peak + at : NULL;
        all[p].total = node->peak != NULL ? node->total + at : NULL;
        tn_attend_cut(ops, &all[p], &part->shape);
        row += part->rows;
        at += part->shape.heads * part->rows;
    }
    return ops->failure.code == TENEBRA_OK ? all : NULL;
}

static void attention_forward(tn_ops *ops, tn_node *node)
{
    const tn_attention_node *n = (const tn_attention_node *)node;
    size_t mark = tn_arena_mark(ops->arena);
    double tapped = 0;
    tn_attend *all = open_parts(ops, n);
    for (size_t p = 0; p < n->count && all != NULL; p++) {
        tn_attend *a = &all[p];
        if (a->tap == NULL)
            continue;
        a->tap_peak = tn_ops_take(ops, "attention", a->heads, sizeof *a->tap_peak);
        a->tap_total = tn_ops_take(ops, "attention", a->heads, sizeof *a->tap_total);
        tapped += (double)a->tap->count * (double)(a->heads * a->head_dim);
    }
    if (ops->failure.code != TENEBRA_OK || !share_scratch(ops, all, n->count, tn_attend_scratch))
        return;
    run_list(ops, all, n->count, forward_chunks, work_of(all, n->count), tn_attend_chunk);
    if (tapped > 0)
        run_list(ops, all, n->count, tap_chunks, tapped, tn_attend_tap_chunk);
    tn_arena_release(ops->arena, mark);
}

static void attention_backward(tn_ops *ops, tn_node *node)
{
    const tn_attention_node *n = (const tn_attention_node *)node;
    size_t mark = tn_arena_mark(ops->arena);
    double reals = 0;
    tn_attend *all = open_parts(ops, n);
    for (size_t p = 0; p < n->count && all != NULL; p++) {
        tn_attend *a = &all[p];
        tn_attend_cut_keys(ops, a);
        a->dots = tn_ops_take(ops, "attention", a->heads * a->q.rows, sizeof *a->dots);
        reals += (double)a->out.rows * (double)a->out.cols;
    }
    if (ops->failure.code != TENEBRA_OK || !share_scratch(ops, all, n->count, tn_attend_back_scratch))
        return;
    double work = work_of(all, n->count);
    run_list(ops, all, n->count, dots_chunks, reals, tn_attend_dots_chunk);
    run_list(ops, all, n->count, dq_chunks, 2 * work, tn_attend_dq_chunk);
    run_list(ops, all, n->count, dkv_chunks, 2 * work, tn_attend_dkv_chunk);
    tn_arena_release(ops->arena, mark);
}

const tn_device_op tn_cpu_attention = { attention_forward, attention_backward };

/* --------------------------------------------------------------- checks -- */

static bool heads_fit(tn_ops *ops, tn_tensor q, const tn_keys *keys, const tn_attention *shape)
{
    size_t width, stride;
    bool grouped = shape->kv_heads > 0 && shape->heads > 0 && shape->head_dim > 0 &&
                   shape->heads % shape->kv_heads == 0;
    if (!grouped || !tn_size_mul(shape->heads, shape->head_dim, &width) || width != q.cols ||
        !tn_size_mul(shape->kv_heads, shape->head_dim, &stride) || stride != keys->stride ||
        !tn_cache_is_whole(keys))
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "attention", "q [%zu, %zu] and keys of %zu numbers do not "
                "fit %zu heads, %zu key heads of %zu", q.rows, q.cols, keys->stride, shape->heads,
                shape->kv_heads, shape->head_dim);
    return ops->failure.code == TENEBRA_OK;
}

/* Borders of the keys, if they are not those of the queries. */
static bool own_keys_fit(tn_ops *ops, const tn_keys *keys, const tn_attention *shape)
{
    const size_t *borders = shape->key_segments, count = shape->segment_count;
    bool fit = borders[0] == 0 && borders[count] <= keys->capacity;
    for (size_t i = 0; fit && i < count; i++)
        fit = borders[i] < borders[i + 1] || (borders[i] == borders[i + 1] && shape->segments[i] == shape->segments[i + 1]);
    if (!fit)
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "attention", "the borders of the keys of %zu segments do not rise from 0 to at most "
                "%zu rows, or queries have no keys", count, keys->capacity);
    return fit;
}

static bool keys_fit(tn_ops *ops, tn_tensor q, const tn_keys *keys, const tn_attention *shape)
{
    size_t start = shape->causal ? shape->start : 0, end;
    bool apart = !shape->causal && shape->key_segments != NULL;
    if (!apart && (!tn_size_add(start, q.rows, &end) || end > keys->capacity)) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "attention", "%zu queries after %zu rows do not fit %zu "
                "rows of keys", q.rows, start, keys->capacity);
        return false;
    }
    if (shape->causal)
        return true;
    bool rising = shape->segments != NULL && shape->segments[0] == 0 &&
                  shape->segments[shape->segment_count] == q.rows;
    for (size_t i = 0; rising && i < shape->segment_count; i++)
        rising = shape->segments[i] <= shape->segments[i + 1];
    if (!rising)
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "attention", "the borders of %zu segments do not rise from 0 "
                "to %zu rows", shape->segment_count, q.rows);
    return rising && (!apart || own_keys_fit(ops, keys, shape));
}

/* First key row that query row `query` sees, and the row after the last. */
static void visible_keys(const tn_attention *shape, size_t query, size_t *begin, size_t *end)
{
    *begin = 0;
    *end = shape->start + query + 1;
    for (size_t i = 0; !shape->causal && i < shape->segment_count; i++)
        if (query >= shape->segments[i] && query < shape->segments[i + 1]) {
            *begin = (shape->key_segments != NULL ? shape->key_segments : shape->segments)[i];
            *end = (shape->key_segments != NULL ? shape->key_segments : shape->segments)[i + 1];
        }
}

static bool tap_fits(tn_ops *ops, tn_tensor q, const tn_attention *shape)
{
    const tn_tap *tap = shape->tap;
    if (tap == NULL)
        return true;
    if (tap->query >= q.rows) {
        tn_fail(&ops->failure, TENEBRA_ERROR_ARGUMENT, "attention", "the tapped row %zu is not among %zu", tap->query,
                q.rows);
        return false;
    }
    size_t begin, end;
    visible_keys(shape, tap->query, &begin, &end);
    if (tap->count > 0 && (tap->rows.rows != shape->heads || tap->rows.cols != tap->count))
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "attention", "[%zu, %zu] does not hold %zu keys of %zu heads",
                tap->rows.rows, tap->rows.cols, tap->count, shape->heads);
    for (size_t i = 0; i < tap->count && ops->failure.code == TENEBRA_OK; i++)
        if (tap->keys[i] < begin || tap->keys[i] >= end)
            tn_fail(&ops->failure, TENEBRA_ERROR_ARGUMENT, "attention", "the tapped row %zu sees keys %zu to %zu, not "
                    "key %zu", tap->query, begin, end - 1, tap->keys[i]);
    return ops->failure.code == TENEBRA_OK;
}

static bool is_trained(tn_tensor q, const tn_keys *keys)
{
    return q.grad != NULL || keys->dk != NULL || keys->dv != NULL;
}

static bool part_fits(tn_ops *ops, tn_tensor q, const tn_attention_part *part)
{
    const tn_keys *keys = &part->keys;
    if (!tn_ops_usable(ops, "attention", q) || !heads_fit(ops, q, keys, &part->shape) || !keys_fit(ops, q, keys, &part->shape) ||
        !tap_fits(ops, q, &part->shape))
        return false;
    if (ops->tape != NULL && is_trained(q, keys) && keys->k == NULL)
        tn_fail(&ops->failure, TENEBRA_ERROR_UNSUPPORTED, "attention", "there are no gradients through a cache of "
                "bfloat16; train with one of f32");
    return ops->failure.code == TENEBRA_OK;
}

/* ------------------------------------------------------------ operation -- */

/* For the tape: the parts with their segments and without taps, and memory of what the backward requires. */
static void keep_parts(tn_ops *ops, tn_attention_node *n, size_t results)
{
    tn_attention_part *parts = tn_ops_copy_list(ops, "attention", n->parts, n->count, sizeof *parts);
    n->peak = tn_ops_take(ops, "attention", results, sizeof *n->peak);
    n->total = tn_ops_take(ops, "attention", results, sizeof *n->total);
    for (size_t p = 0; p < n->count && parts != NULL; p++) {
        tn_attention *shape = &parts[p].shape;
        size_t borders = shape->segment_count + 1;
        if (shape->causal)
            continue;
        shape->segments = tn_ops_copy_list(ops, "attention", shape->segments, borders, sizeof *shape->segments);
        if (shape->key_segments != NULL)
            shape->key_segments = tn_ops_copy_list(ops, "attention", shape->key_segments, borders, sizeof *shape->key_segments);
    }
    n->parts = parts;
}

tn_tensor tn_op_attention_parts(tn_ops *ops, tn_tensor q, const tn_attention_part *parts, size_t count)
{
    size_t row = 0, results = 0;
    bool wanted = false;
    if (ops->failure.code == TENEBRA_OK && count == 0)
        tn_fail(&ops->failure, TENEBRA_ERROR_ARGUMENT, "attention", "there are no parts");
    if (!tn_ops_usable(ops, "attention", q))
        return (tn_tensor){ 0 };
    for (size_t p = 0; p < count; p++) {
        const tn_tensor mine = tn_op_rows(ops, q, row, parts[p].rows);
        if (!part_fits(ops, mine, &parts[p]))
            return (tn_tensor){ 0 };
        wanted = wanted || is_trained(mine, &parts[p].keys);
        row += parts[p].rows;
        results += parts[p].shape.heads * parts[p].rows;
    }
    if (row != q.rows) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "attention", "the parts have %zu rows, q has %zu", row, q.rows);
        return (tn_tensor){ 0 };
    }
    tn_attention_node n = { .q = q, .parts = parts, .count = count };
    n.out = tn_ops_result(ops, "attention", q.rows, q.cols, wanted);
    if (n.out.grad != NULL)
        keep_parts(ops, &n, results);
    return tn_ops_make(ops, TN_OP_ATTENTION, &n, sizeof n, n.out);
}

tn_tensor tn_op_attention(tn_ops *ops, tn_tensor q, const tn_keys *keys, const tn_attention *shape)
{
    const tn_attention_part whole = { q.rows, *keys, *shape };
    return tn_op_attention_parts(ops, q, &whole, 1);
}
