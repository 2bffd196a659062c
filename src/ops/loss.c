/* Cross entropy. Rows are as long as the vocabulary (151,936 logits), so their exponentials are computed in pieces that
 * fit the first-level cache, and the pieces are summed in double. */
#include "ops/internal.h"

#include <string.h>

enum { PIECE = 2048 };

typedef struct loss_node {
    tn_node node;
    tn_tensor logits, loss;
    int32_t *labels;        /* [T], negative: left out */
    tn_real *peak;          /* [T] largest logit */
    double *total, *losses; /* [T] sum of exp(logit - peak); loss of the row, 0 without label */
    double scale;
    const tn_kernels *kernels;
    tn_real *scratch; /* PIECE numbers per worker */
    size_t slice;
} loss_node;

static void loss_row(loss_node *l, size_t row, tn_real *piece)
{
    size_t n = l->logits.cols;
    const tn_real *x = l->logits.data + row * n;
    tn_real peak = l->kernels->max(x, n);
    double total = 0;
    for (size_t begin = 0; begin < n; begin += PIECE) {
        size_t count = tn_min(PIECE, n - begin);
        memcpy(piece, x + begin, count * sizeof *piece);
        total += (double)l->kernels->exp_sum(piece, count, peak);
    }
    l->peak[row] = peak;
    l->total[row] = total;
    l->losses[row] = log(total) + ((double)peak - (double)x[l->labels[row]]);
}

static void loss_chunk(void *argument, size_t row, size_t worker)
{
    loss_node *l = argument;
    l->losses[row] = 0;
    if (l->labels[row] >= 0)
        loss_row(l, row, l->scratch + worker * l->slice);
}

/* d logits = (softmax - one at the label) times scale and the gradient of the loss. */
static void loss_back_chunk(void *argument, size_t row, size_t worker)
{
    loss_node *l = argument;
    if (l->labels[row] < 0)
        return;
    size_t n = l->logits.cols;
    const tn_real *x = l->logits.data + row * n;
    tn_real *dx = l->logits.grad + row * n, *piece = l->scratch + worker * l->slice;
    double factor = l->scale * (double)l->loss.grad[0];
    tn_real share = (tn_real)(factor / l->total[row]);
    for (size_t begin = 0; begin < n; begin += PIECE) {
        size_t count = tn_min(PIECE, n - begin);
        memcpy(piece, x + begin, count * sizeof *piece);
        l->kernels->exp_sum(piece, count, l->peak[row]);
        l->kernels->axpy(dx + begin, share, piece, count);
    }
    dx[l->labels[row]] -= (tn_real)factor;
}

static void run_loss(tn_ops *ops, loss_node *l, tn_chunk_fn *run)
{
    size_t mark = tn_arena_mark(ops->arena);
    l->scratch = tn_ops_scratch(ops, "cross_entropy", PIECE, &l->slice);
    if (l->scratch != NULL)
        tn_ops_run(ops, l->logits.rows, 2 * (double)l->logits.rows * (double)l->logits.cols, run, l);
    tn_arena_release(ops->arena, mark);
}

static void loss_backward(tn_ops *ops, tn_node *node)
{
    run_loss(ops, (loss_node *)node, loss_back_chunk);
}

static bool loss_fits(tn_ops *ops, tn_tensor logits, const int32_t *labels)
{
    if (!tn_ops_usable(ops, "cross_entropy", logits))
        return false;
    for (size_t row = 0; row < logits.rows && ops->failure.code == TENEBRA_OK; row++)
        if (labels[row] >= 0 && (size_t)labels[row] >= logits.cols)
            tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "cross_entropy", "label %ld of row %zu is not among "
                    "%zu logits", (long)labels[row], row, logits.cols);
    return ops->failure.code == TENEBRA_OK;
}

tn_tensor tn_op_cross_entropy(tn_ops *ops, tn_tensor logits, const int32_t *labels, double scale)
{
    static const char name[] = "cross_entropy";
    if (!loss_fits(ops, logits, labels))
        return (tn_tensor){ 0 };
    size_t rows = logits.rows;
    loss_node l = { .logits = logits, .scale = scale, .kernels = ops->kernels };
    l.loss = tn_ops_result(ops, name, 1, 1, logits.grad != NULL);
    size_t mark = tn_arena_mark(ops->arena);
    loss_node *node = l.loss.grad ? tn_ops_record(ops, name, sizeof *node, loss_backward) : NULL;
    l.labels = tn_ops_take(ops, name, rows, sizeof *l.labels);
    l.peak = tn_ops_take(ops, name, rows, sizeof *l.peak);
    l.total = tn_ops_take(ops, name, rows, sizeof *l.total);
    l.losses = tn_ops_take(ops, name, rows, sizeof *l.losses);
    if (ops->failure.code != TENEBRA_OK)
        return (tn_tensor){ 0 };
    for (size_t row = 0; row < rows; row++)
        l.labels[row] = labels[row];
    run_loss(ops, &l, loss_chunk);
    if (ops->failure.code != TENEBRA_OK)
        return (tn_tensor){ 0 };
    double sum = 0;
    for (size_t row = 0; row < rows; row++)
        sum += l.losses[row];
    l.loss.data[0] = (tn_real)(scale * sum);
    if (node == NULL) {
        tn_arena_release(ops->arena, mark);
        return l.loss;
    }
    l.node = node->node;
    *node = l;
    return l.loss;
}
