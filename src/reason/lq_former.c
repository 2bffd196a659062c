#include "reason/lq_former.h"

#include "base/checked.h"
#include "model/pieces.h"

/* A run, with what is read in the LQ-Former's own width; empty: nothing. */
typedef struct lq_run {
    tn_ops *ops;
    const tn_lq_former *lq;
    const size_t *sizes;
    double eps;
    tn_lq_gate gate;
    tn_tensor thoughts, picture, question;
} lq_run;

static tn_tensor norm(const lq_run *r, tn_tensor x, const tn_lq_norm *n)
{
    return tn_op_layer_norm(r->ops, x, &n->scale, &n->shift, r->eps);
}

/* Every row of `queries` attends to all rows of `keys`. */
static tn_tensor attend(const lq_run *r, const tn_lq_attention *w, tn_tensor queries, tn_tensor keys)
{
    tn_ops *ops = r->ops;
    size_t heads = r->sizes[TN_LQ_HEADS];
    tn_tensor q = tn_piece_linear(ops, queries, &w->q, NULL);
    tn_tensor k = tn_piece_linear(ops, keys, &w->k, NULL), v = tn_piece_linear(ops, keys, &w->v, NULL);
    const size_t rows[2] = { 0, queries.rows }, seen[2] = { 0, keys.rows };
    const tn_keys cache = tn_keys_of(k, v);
    const tn_attention shape = { .heads = heads, .kv_heads = heads, .head_dim = r->sizes[TN_LQ_WIDTH] / heads, .segments = rows,
                                 .segment_count = 1, .key_segments = seen };
    return tn_tensor_is_empty(k) || tn_tensor_is_empty(v) ? (tn_tensor){ 0 }
                                                          : tn_piece_linear(ops, tn_op_attention(ops, q, &cache, &shape), &w->o, NULL);
}

/* factor * x in new memory. */
static tn_tensor scaled(tn_ops *ops, tn_tensor x, double factor)
{
    tn_real *shares = tn_ops_take(ops, "scaled", x.rows * x.rows, sizeof *shares);
    for (size_t i = 0; shares != NULL && i < x.rows * x.rows; i++)
        shares[i] = i % (x.rows + 1) == 0 ? (tn_real)factor : 0;
    return shares != NULL ? tn_op_mix(ops, x, shares, x.rows) : (tn_tensor){ 0 };
}

/* gate * look + (1 - gate) * read = read + gate * (look - read), or the one of them that is not empty. */
static tn_tensor fuse(const lq_run *r, const tn_lq_layer *layer, tn_tensor u, tn_tensor look, tn_tensor read)
{
    tn_ops *ops = r->ops;
    if (tn_tensor_is_empty(read) || tn_tensor_is_empty(look))
        return tn_tensor_is_empty(read) ? look : read;
    if (r->gate == TN_LQ_GATE_HALF)
        return tn_op_add(ops, scaled(ops, look, 0.5), scaled(ops, read, 0.5));
    tn_tensor g = tn_piece_linear(ops, u, &layer->gate_state, &layer->gate_bias);
    g = tn_op_add(ops, g, tn_piece_linear(ops, look, &layer->gate_look, NULL));
    g = tn_op_sigmoid(ops, tn_op_add(ops, g, tn_piece_linear(ops, read, &layer->gate_read, NULL)));
    tn_tensor more = tn_op_multiply(ops, tn_op_add(ops, scaled(ops, read, -1), look), g);
    return tn_op_add(ops, more, read);
}

static tn_tensor run_layer(const lq_run *r, const tn_lq_layer *layer, tn_tensor x)
{
    tn_ops *ops = r->ops;
    tn_tensor u = norm(r, x, &layer->before_self), around[2] = { u, r->thoughts };
    tn_tensor seen = tn_op_join(ops, around, tn_tensor_is_empty(r->thoughts) ? 1 : 2);
    x = tn_op_add(ops, attend(r, &layer->self, u, seen), x);
    u = norm(r, x, &layer->before_look);
    tn_tensor look = tn_tensor_is_empty(r->picture) ? r->picture : attend(r, &layer->look, u, r->picture);
    tn_tensor read = tn_tensor_is_empty(r->question) ? r->question : attend(r, &layer->read, u, r->question);
    tn_tensor both = fuse(r, layer, u, look, read);
    if (!tn_tensor_is_empty(both))
        x = tn_op_add(ops, both, x);
    u = norm(r, x, &layer->before_mlp);
    tn_tensor inner = tn_op_gelu(ops, tn_piece_linear(ops, u, &layer->up, &layer->up_bias));
    return tn_op_add(ops, tn_piece_linear(ops, inner, &layer->down, &layer->down_bias), x);
}

tn_tensor tn_lq_rows(tn_ops *ops, const tn_weight *table, size_t first, size_t count)
{
    int32_t *ids = tn_ops_take(ops, "rows", count, sizeof *ids);
    for (size_t i = 0; ids != NULL && i < count; i++)
        ids[i] = (int32_t)(first + i);
    return ids != NULL ? tn_op_gather(ops, table, ids, count) : (tn_tensor){ 0 };
}

/* The query from the state, and the learned ones. */
static tn_tensor with_queries(const lq_run *r, tn_tensor x)
{
    size_t count = r->sizes[TN_LQ_EXTRA];
    tn_tensor *all = tn_ops_take(r->ops, "queries", count + 1, sizeof *all);
    if (all == NULL)
        return x;
    all[0] = x;
    for (size_t i = 0; i < count; i++)
        all[i + 1] = tn_lq_rows(r->ops, &r->lq->queries[i].row, 0, 1);
    return tn_op_join(r->ops, all, count + 1);
}

tn_tensor tn_lq_former_run(tn_ops *ops, const tn_lq_former *lq, const size_t *sizes, double eps, const tn_lq_input *input)
{
    lq_run r = { .ops = ops, .lq = lq, .sizes = sizes, .eps = eps, .gate = input->gate };
    if (!tn_tensor_is_empty(input->thoughts))
        r.thoughts = tn_op_add(ops, tn_piece_linear(ops, input->thoughts, &lq->from_thought, NULL),
                               tn_lq_rows(ops, &lq->numbers, 0, input->thoughts.rows));
    if (!tn_tensor_is_empty(input->picture) && input->gate != TN_LQ_GATE_TEXT)
        r.picture = tn_piece_linear(ops, input->picture, &lq->from_image, NULL);
    if (!tn_tensor_is_empty(input->question) && input->gate != TN_LQ_GATE_IMAGE)
        r.question = tn_piece_linear(ops, input->question, &lq->from_text, NULL);
    tn_tensor x = tn_op_add(ops, tn_piece_linear(ops, input->state, &lq->from_state, NULL), tn_lq_rows(ops, &lq->numbers, input->step, 1));
    if (sizes[TN_LQ_EXTRA] > 0)
        x = with_queries(&r, x);
    for (size_t i = 0; i < sizes[TN_LQ_LAYERS] && tn_ops_proceed(ops); i++)
        x = run_layer(&r, &lq->layers[i], x);
    return tn_piece_linear(ops, norm(&r, tn_op_mean(ops, x), &lq->last), &lq->out, NULL);
}
