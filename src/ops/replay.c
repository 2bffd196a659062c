/* Gradient checkpointing (running a part of a network twice to save memory), and concatenating rows. Source: Chen et
 * al., arXiv:1604.06174. */
#include "ops/internal.h"

/* ----------------------------------------------------------- checkpoint -- */

/* Runs the part again with a tape of its own, passes it the gradient of y, and walks that tape back. */
static void replay_backward(tn_ops *ops, tn_node *node)
{
    const tn_checkpoint_node *r = (const tn_checkpoint_node *)node;
    size_t mark = tn_arena_mark(ops->arena);
    tn_tape tape = { NULL };
    tn_dropout dropout = r->dropout, *kept = ops->dropout;
    ops->tape = &tape;
    ops->dropout = dropout.rows > 0 ? &dropout : NULL;
    tn_tensor y = r->run(ops, r->x, r->argument, true);
    ops->tape = NULL;
    ops->dropout = kept;
    if (ops->failure.code == TENEBRA_OK && y.grad != NULL) {
        tn_device_of(ops)->add(ops, y.grad, r->y.grad, y.rows * y.cols);
        tn_tape_walk(ops, &tape);
    }
    tn_arena_release(ops->arena, mark);
}

/* The part may write over its input, so it gets the memory of the result. */
static void replay_forward(tn_ops *ops, tn_node *node)
{
    const tn_checkpoint_node *r = (const tn_checkpoint_node *)node;
    const tn_tensor x = { r->x.rows, r->x.cols, r->y.data, NULL };
    tn_op_copy(ops, x, r->x);
    size_t mark = tn_arena_mark(ops->arena);
    tn_tape *tape = ops->tape;
    ops->tape = NULL;
    tn_tensor out = r->run(ops, x, r->argument, false);
    ops->tape = tape;
    if (out.data != NULL && (out.rows != x.rows || out.cols != x.cols))
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "checkpoint", "a part made [%zu, %zu] of [%zu, %zu]", out.rows, out.cols,
                x.rows, x.cols);
    if (out.data != NULL && out.data != x.data)
        tn_op_copy(ops, x, out);
    tn_arena_release(ops->arena, mark);
}

const tn_device_op tn_shared_checkpoint = { replay_forward, replay_backward };

tn_tensor tn_op_checkpoint(tn_ops *ops, tn_tensor x, tn_replay_fn *run, const void *argument, bool wanted)
{
    if (!tn_ops_usable(ops, "checkpoint", x))
        return (tn_tensor){ 0 };
    if (ops->tape == NULL || !ops->checkpoint || !(wanted || x.grad != NULL))
        return run(ops, x, argument, false);
    tn_checkpoint_node r = { .x = x, .y = tn_ops_result(ops, "checkpoint", x.rows, x.cols, true), .run = run, .argument = argument };
    if (ops->dropout != NULL)
        r.dropout = *ops->dropout;
    return tn_ops_make(ops, TN_OP_CHECKPOINT, &r, sizeof r, r.y);
}

/* ----------------------------------------------------------------- join -- */

static void join_forward(tn_ops *ops, tn_node *node)
{
    const tn_join_node *j = (const tn_join_node *)node;
    tn_real *to = j->y.data;
    for (size_t p = 0; p < j->count; to += j->parts[p].rows * j->parts[p].cols, p++)
        tn_device_of(ops)->copy(ops, to, j->parts[p].data, j->parts[p].rows * j->parts[p].cols);
}

static void join_backward(tn_ops *ops, tn_node *node)
{
    const tn_join_node *j = (const tn_join_node *)node;
    const tn_real *from = j->y.grad;
    for (size_t p = 0; p < j->count; from += j->parts[p].rows * j->parts[p].cols, p++)
        if (j->parts[p].grad != NULL)
            tn_device_of(ops)->add(ops, j->parts[p].grad, from, j->parts[p].rows * j->parts[p].cols);
}

const tn_device_op tn_shared_join = { join_forward, join_backward };

/* True if all parts have equally many columns; sets *rows and *wanted of the whole. */
static bool join_fits(tn_ops *ops, const tn_tensor *parts, size_t count, size_t *rows, bool *wanted)
{
    *rows = 0;
    *wanted = false;
    for (size_t p = 0; p < count; p++) {
        if (!tn_ops_usable(ops, "join", parts[p]))
            return false;
        if (parts[p].cols != parts[0].cols || !tn_size_add(*rows, parts[p].rows, rows)) {
            tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "join", "part %zu has %zu columns, the first %zu", p,
                    parts[p].cols, parts[0].cols);
            return false;
        }
        *wanted = *wanted || parts[p].grad != NULL;
    }
    return true;
}

tn_tensor tn_op_join(tn_ops *ops, const tn_tensor *parts, size_t count)
{
    static const char name[] = "join";
    size_t rows;
    bool wanted;
    if (ops->failure.code == TENEBRA_OK && count == 0)
        tn_fail(&ops->failure, TENEBRA_ERROR_ARGUMENT, name, "there is nothing to join");
    if (ops->failure.code != TENEBRA_OK || !join_fits(ops, parts, count, &rows, &wanted))
        return (tn_tensor){ 0 };
    if (count == 1)
        return parts[0];
    tn_join_node j = { .y = tn_ops_result(ops, name, rows, parts[0].cols, wanted), .parts = parts, .count = count };
    if (j.y.grad != NULL)
        j.parts = tn_ops_copy_list(ops, name, parts, count, sizeof *parts);
    return tn_ops_make(ops, TN_OP_JOIN, &j, sizeof j, j.y);
}
