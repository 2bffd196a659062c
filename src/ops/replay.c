/* Gradient checkpointing (running a part of a network twice to save memory), and concatenating rows. Source: Chen et
 * al., arXiv:1604.06174. */
#include "ops/internal.h"

#include <string.h>

/* ----------------------------------------------------------- checkpoint -- */

typedef struct replay_node {
    tn_node node;
    tn_tensor x, y; /* x: a copy of the input */
    tn_replay_fn *run;
    const void *argument;
    tn_rng dropout; /* as it was in the first run */
} replay_node;

static void add_rows(tn_real *to, const tn_real *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] += from[i];
}

/* Runs the part again with a tape of its own, passes it the gradient of y, and walks that tape back. */
static void replay_backward(tn_ops *ops, tn_node *node)
{
    replay_node *r = (replay_node *)node;
    size_t mark = tn_arena_mark(ops->arena);
    tn_tape tape = { NULL };
    tn_rng dropout = r->dropout, *kept = ops->dropout;
    ops->tape = &tape;
    ops->dropout = kept ? &dropout : NULL;
    tn_tensor y = r->run(ops, r->x, r->argument, true);
    ops->tape = NULL;
    ops->dropout = kept;
    if (ops->failure.code == TENEBRA_OK && y.grad != NULL) {
        add_rows(y.grad, r->y.grad, y.rows * y.cols);
        for (tn_node *inner = tape.last; inner != NULL && ops->failure.code == TENEBRA_OK; inner = inner->previous)
            inner->backward(ops, inner);
    }
    tn_arena_release(ops->arena, mark);
}

tn_tensor tn_op_checkpoint(tn_ops *ops, tn_tensor x, tn_replay_fn *run, const void *argument, bool wanted)
{
    static const char name[] = "checkpoint";
    if (!tn_ops_usable(ops, name, x))
        return (tn_tensor){ 0 };
    if (ops->tape == NULL || !ops->checkpoint || !(wanted || x.grad != NULL))
        return run(ops, x, argument, false);
    size_t bytes = x.rows * x.cols * sizeof(tn_real);
    replay_node *node = tn_ops_record(ops, name, sizeof *node, replay_backward);
    tn_tensor y = tn_ops_result(ops, name, x.rows, x.cols, true);
    if (node == NULL || y.data == NULL)
        return (tn_tensor){ 0 };
    node->x = x;
    node->y = y;
    node->run = run;
    node->argument = argument;
    if (ops->dropout != NULL)
        node->dropout = *ops->dropout;
    memcpy(y.data, x.data, bytes);
    size_t mark = tn_arena_mark(ops->arena);
    tn_tape *tape = ops->tape;
    ops->tape = NULL;
    /* The part may write over its input, so it gets the memory of the result. */
    tn_tensor out = run(ops, (tn_tensor){ x.rows, x.cols, y.data, NULL }, argument, false);
    ops->tape = tape;
    if (out.data != NULL && (out.rows != x.rows || out.cols != x.cols))
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, name, "a part made [%zu, %zu] of [%zu, %zu]", out.rows, out.cols,
                x.rows, x.cols);
    if (out.data != NULL && out.data != y.data && ops->failure.code == TENEBRA_OK)
        memcpy(y.data, out.data, bytes);
    tn_arena_release(ops->arena, mark);
    return ops->failure.code == TENEBRA_OK ? y : (tn_tensor){ 0 };
}

/* ----------------------------------------------------------------- join -- */

typedef struct join_node {
    tn_node node;
    tn_tensor y;
    tn_tensor *parts;
    size_t count;
} join_node;

static void join_backward(tn_ops *ops, tn_node *node)
{
    join_node *j = (join_node *)node;
    const tn_real *from = j->y.grad;
    (void)ops;
    for (size_t p = 0; p < j->count; p++) {
        size_t count = j->parts[p].rows * j->parts[p].cols;
        if (j->parts[p].grad != NULL)
            add_rows(j->parts[p].grad, from, count);
        from += count;
    }
}

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
    tn_tensor y = tn_ops_result(ops, name, rows, parts[0].cols, wanted);
    if (y.grad != NULL) {
        join_node *node = tn_ops_record(ops, name, sizeof *node, join_backward);
        tn_tensor *copy = tn_ops_take(ops, name, count, sizeof *copy);
        if (node == NULL || copy == NULL)
            return (tn_tensor){ 0 };
        memcpy(copy, parts, count * sizeof *copy);
        node->y = y;
        node->parts = copy;
        node->count = count;
    }
    size_t at = 0;
    for (size_t p = 0; p < count && y.data != NULL; p++) {
        memcpy(y.data + at, parts[p].data, parts[p].rows * parts[p].cols * sizeof(tn_real));
        at += parts[p].rows * parts[p].cols;
    }
    return y;
}
