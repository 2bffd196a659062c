/* Attention of one or several sequences, with the work of all of them in one list of chunks. */
#include "ops/internal.h"

typedef struct group_node {
    tn_node node;
    tn_attend *parts;
    size_t count;
} group_node;

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

static void group_backward(tn_ops *ops, tn_node *node)
{
    group_node *g = (group_node *)node;
    size_t mark = tn_arena_mark(ops->arena);
    double work = work_of(g->parts, g->count), reals = 0;
    for (size_t p = 0; p < g->count; p++) {
        tn_attend *a = &g->parts[p];
        tn_attend_cut_keys(ops, a);
        a->dots = tn_ops_take(ops, "attention", a->heads * a->q.rows, sizeof *a->dots);
        reals += (double)a->out.rows * (double)a->out.cols;
    }
    if (ops->failure.code != TENEBRA_OK || !share_scratch(ops, g->parts, g->count, tn_attend_back_scratch))
        return;
    run_list(ops, g->parts, g->count, dots_chunks, reals, tn_attend_dots_chunk);
    run_list(ops, g->parts, g->count, dq_chunks, 2 * work, tn_attend_dq_chunk);
    run_list(ops, g->parts, g->count, dkv_chunks, 2 * work, tn_attend_dkv_chunk);
    tn_arena_release(ops->arena, mark);
}

/* ------------------------------------------------------------ operation -- */

/* Opens all parts over their rows of q. NULL on failure. */
static tn_attend *open_parts(tn_ops *ops, tn_tensor q, const tn_attention_part *parts, size_t count, bool *wanted)
{
    size_t row = 0;
    tn_attend *all = tn_ops_take(ops, "attention", count, sizeof *all);
    *wanted = false;
    for (size_t p = 0; p < count && all != NULL; p++) {
        if (!tn_attend_open(ops, &all[p], tn_op_rows(ops, q, row, parts[p].rows), parts[p].keys, &parts[p].shape))
            return NULL;
        *wanted = *wanted || tn_attend_is_trained(&all[p]);
        row += parts[p].rows;
    }
    if (all != NULL && row != q.rows) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "attention", "the parts have %zu rows, q has %zu", row, q.rows);
        return NULL;
    }
    return all;
}

/* Memory of the parts: blocks, and while recording the peaks and totals of all rows. */
static void prepare(tn_ops *ops, tn_attend *a, const tn_attention *shape, tn_tensor out, bool recorded)
{
    a->out = out;
    if (recorded) {
        a->peak = tn_ops_take(ops, "attention", a->heads * a->q.rows, sizeof *a->peak);
        a->total = tn_ops_take(ops, "attention", a->heads * a->q.rows, sizeof *a->total);
    }
    tn_attend_cut(ops, a, shape);
}

static void run_forward(tn_ops *ops, tn_attend *parts, size_t count)
{
    double tapped = 0;
    for (size_t p = 0; p < count; p++) {
        tn_attend *a = &parts[p];
        if (a->tap == NULL)
            continue;
        a->tap_peak = tn_ops_take(ops, "attention", a->heads, sizeof *a->tap_peak);
        a->tap_total = tn_ops_take(ops, "attention", a->heads, sizeof *a->tap_total);
        tapped += (double)a->tap->count * (double)(a->heads * a->head_dim);
    }
    if (ops->failure.code != TENEBRA_OK || !share_scratch(ops, parts, count, tn_attend_scratch))
        return;
    run_list(ops, parts, count, forward_chunks, work_of(parts, count), tn_attend_chunk);
    if (tapped > 0)
        run_list(ops, parts, count, tap_chunks, tapped, tn_attend_tap_chunk);
    for (size_t p = 0; p < count; p++)
        parts[p].tap = NULL;
}

tn_tensor tn_op_attention_parts(tn_ops *ops, tn_tensor q, const tn_attention_part *parts, size_t count)
{
    bool wanted;
    if (ops->failure.code == TENEBRA_OK && count == 0)
        tn_fail(&ops->failure, TENEBRA_ERROR_ARGUMENT, "attention", "there are no parts");
    if (!tn_ops_usable(ops, "attention", q))
        return (tn_tensor){ 0 };
    size_t before = tn_arena_mark(ops->arena);
    tn_attend *all = open_parts(ops, q, parts, count, &wanted);
    if (all == NULL)
        return (tn_tensor){ 0 };
    bool recorded = wanted && ops->tape != NULL;
    if (!recorded) /* allocated before the mark, so it stays when the rest is released */
        tn_arena_release(ops->arena, before);
    tn_tensor out = tn_ops_result(ops, "attention", q.rows, q.cols, wanted);
    size_t mark = tn_arena_mark(ops->arena);
    if (!recorded)
        all = open_parts(ops, q, parts, count, &wanted);
    group_node *node = recorded ? tn_ops_record(ops, "attention", sizeof *node, group_backward) : NULL;
    size_t row = 0;
    for (size_t p = 0; p < count && ops->failure.code == TENEBRA_OK; p++) {
        prepare(ops, &all[p], &parts[p].shape, tn_op_rows(ops, out, row, parts[p].rows), recorded);
        row += parts[p].rows;
    }
    size_t keep = tn_arena_mark(ops->arena);
    if (ops->failure.code == TENEBRA_OK)
        run_forward(ops, all, count);
    if (ops->failure.code != TENEBRA_OK)
        return (tn_tensor){ 0 };
    tn_arena_release(ops->arena, recorded ? keep : mark);
    if (node != NULL) {
        node->parts = all;
        node->count = count;
    }
    return out;
}

tn_tensor tn_op_attention(tn_ops *ops, tn_tensor q, const tn_keys *keys, const tn_attention *shape)
{
    const tn_attention_part whole = { q.rows, keys, *shape };
    return tn_op_attention_parts(ops, q, &whole, 1);
}
