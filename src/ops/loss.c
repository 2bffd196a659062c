/* Cross entropy. Rows are as long as the vocabulary (151,936 logits), so their exponentials are computed in pieces that
 * fit the first-level cache, and the pieces are summed in double. */
#include "ops/internal.h"

#include <string.h>

enum { PIECE = 2048 };

typedef struct loss_job {
    const tn_kernels *kernels;
    const tn_loss_node *l;
    tn_real *scratch; /* PIECE numbers per worker */
    size_t slice;
} loss_job;

static void loss_row(const tn_kernels *kernels, const tn_loss_node *l, size_t row, tn_real *piece)
{
    size_t n = l->logits.cols;
    const tn_real *x = l->logits.data + row * n;
    tn_real peak = kernels->max(x, n);
    double total = 0;
    for (size_t begin = 0; begin < n; begin += PIECE) {
        size_t count = tn_min(PIECE, n - begin);
        memcpy(piece, x + begin, count * sizeof *piece);
        total += (double)kernels->exp_sum(piece, count, peak);
    }
    l->peak[row] = peak;
    l->total[row] = total;
    l->losses[row] = log(total) + ((double)peak - (double)x[l->labels[row]]);
}

static void loss_chunk(void *argument, size_t row, size_t worker)
{
    const loss_job *job = argument;
    job->l->losses[row] = 0;
    if (job->l->labels[row] >= 0)
        loss_row(job->kernels, job->l, row, job->scratch + worker * job->slice);
}

/* d logits = (softmax - one at the label) times scale and the gradient of the loss. */
static void loss_back_chunk(void *argument, size_t row, size_t worker)
{
    const loss_job *job = argument;
    const tn_loss_node *l = job->l;
    if (l->labels[row] < 0)
        return;
    size_t n = l->logits.cols;
    const tn_real *x = l->logits.data + row * n;
    tn_real *dx = l->logits.grad + row * n, *piece = job->scratch + worker * job->slice;
    double factor = l->scale * (double)l->loss.grad[0];
    tn_real share = (tn_real)(factor / l->total[row]);
    for (size_t begin = 0; begin < n; begin += PIECE) {
        size_t count = tn_min(PIECE, n - begin);
        memcpy(piece, x + begin, count * sizeof *piece);
        job->kernels->exp_sum(piece, count, l->peak[row]);
        job->kernels->axpy(dx + begin, share, piece, count);
    }
    dx[l->labels[row]] -= (tn_real)factor;
}

static void run_loss(tn_ops *ops, const tn_loss_node *l, tn_chunk_fn *run)
{
    size_t mark = tn_arena_mark(ops->arena);
    loss_job job = { .kernels = ops->kernels, .l = l };
    job.scratch = tn_ops_scratch(ops, "cross_entropy", PIECE, &job.slice);
    if (job.scratch != NULL)
        tn_ops_run(ops, l->logits.rows, 2 * (double)l->logits.rows * (double)l->logits.cols, run, &job);
    tn_arena_release(ops->arena, mark);
}

static void loss_forward(tn_ops *ops, tn_node *node)
{
    const tn_loss_node *l = (const tn_loss_node *)node;
    double sum = 0;
    run_loss(ops, l, loss_chunk);
    for (size_t row = 0; row < l->logits.rows && ops->failure.code == TENEBRA_OK; row++)
        sum += l->losses[row];
    l->loss.data[0] = (tn_real)(l->scale * sum);
}

static void loss_backward(tn_ops *ops, tn_node *node)
{
    run_loss(ops, (const tn_loss_node *)node, loss_back_chunk);
}

const tn_device_op tn_cpu_loss = { loss_forward, loss_backward };

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
    tn_loss_node l = { .logits = logits, .labels = labels, .scale = scale };
    l.loss = tn_ops_result(ops, name, 1, 1, logits.grad != NULL);
    size_t mark = tn_arena_mark(ops->arena);
    if (l.loss.grad != NULL)
        l.labels = tn_ops_copy_list(ops, name, labels, rows, sizeof *labels);
    l.peak = tn_ops_take(ops, name, rows, sizeof *l.peak);
    l.total = tn_ops_take(ops, name, rows, sizeof *l.total);
    l.losses = tn_ops_take(ops, name, rows, sizeof *l.losses);
    tn_tensor loss = tn_ops_make(ops, TN_OP_CROSS_ENTROPY, &l, sizeof l, l.loss);
    if (loss.grad == NULL)
        tn_arena_release(ops->arena, mark);
    return loss;
}
