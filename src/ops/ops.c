/* Memory, the tape and failures: what all operations share. */
#include "ops/internal.h"

#include <string.h>

/* Fewer steps than this (some tens of microseconds) finish before another thread would be awake. */
static const double parallel_work = 65536;

bool tn_ops_usable(tn_ops *ops, const char *operation, tn_tensor x)
{
    if (ops->failure.code != TENEBRA_OK)
        return false;
    if (x.data == NULL)
        tn_fail(&ops->failure, TENEBRA_ERROR_ARGUMENT, operation, "an input is empty");
    return x.data != NULL;
}

void *tn_ops_take(tn_ops *ops, const char *operation, size_t count, size_t size)
{
    if (ops->failure.code != TENEBRA_OK)
        return NULL;
    void *taken = tn_arena_take(ops->arena, count, size);
    if (taken == NULL)
        tn_fail(&ops->failure, TENEBRA_ERROR_MEMORY, operation,
                "the working memory is full: %zu of %zu bytes are in use and %zu items of %zu bytes do "
                "not fit; use fewer rows or a larger working memory",
                ops->arena->used, ops->arena->capacity, count, size);
    return taken;
}

tn_real *tn_ops_scratch(tn_ops *ops, const char *operation, size_t reals, size_t *slice)
{
    size_t line = TN_ARENA_ALIGNMENT / sizeof(tn_real), lines = tn_pieces(reals, line), total;
    if (!tn_size_mul(lines, tn_pool_threads(ops->pool), &total))
        total = SIZE_MAX;
    *slice = lines * line;
    return tn_ops_take(ops, operation, total, TN_ARENA_ALIGNMENT);
}

/* Zeroing and copying memory that is larger than the caches is divided among threads. */
enum { MOVE_BLOCK = 1 << 16 };

typedef struct move_job {
    tn_real *to;
    const tn_real *from; /* NULL: zeros */
    size_t count;
} move_job;

static void move_chunk(void *argument, size_t chunk, size_t worker)
{
    const move_job *job = argument;
    size_t begin = chunk * MOVE_BLOCK, count = tn_min(MOVE_BLOCK, job->count - begin);
    (void)worker;
    if (job->from == NULL)
        memset(job->to + begin, 0, count * sizeof *job->to);
    else
        memcpy(job->to + begin, job->from + begin, count * sizeof *job->to);
}

static void move(tn_ops *ops, tn_real *to, const tn_real *from, size_t count)
{
    move_job job = { to, from, count };
    tn_ops_run(ops, tn_pieces(count, MOVE_BLOCK), (double)count / 8, move_chunk, &job);
}

tn_tensor tn_ops_result(tn_ops *ops, const char *operation, size_t rows, size_t cols, bool wanted)
{
    size_t count;
    if (!tn_size_mul(rows, cols, &count))
        count = SIZE_MAX; /* refused by the arena */
    tn_tensor result = { rows, cols, tn_ops_take(ops, operation, count, sizeof(tn_real)), NULL };
    if (ops->tape != NULL && wanted) {
        result.grad = tn_ops_take(ops, operation, count, sizeof(tn_real));
        if (result.grad != NULL)
            move(ops, result.grad, NULL, count);
    }
    return ops->failure.code == TENEBRA_OK ? result : (tn_tensor){ 0 };
}

tn_tensor tn_ops_consume(tn_ops *ops, const char *operation, tn_tensor x, bool wanted)
{
    if (ops->tape == NULL)
        return (tn_tensor){ x.rows, x.cols, x.data, NULL };
    tn_tensor copy = tn_ops_result(ops, operation, x.rows, x.cols, wanted);
    if (copy.data != NULL)
        move(ops, copy.data, x.data, x.rows * x.cols);
    return copy;
}

void *tn_ops_record(tn_ops *ops, const char *operation, size_t size,
                    void (*backward)(tn_ops *ops, tn_node *node))
{
    tn_node *node = tn_ops_take(ops, operation, 1, size);
    if (node == NULL)
        return NULL;
    memset(node, 0, size);
    node->backward = backward;
    node->previous = ops->tape->last;
    ops->tape->last = node;
    return node;
}

void tn_ops_run(tn_ops *ops, size_t chunks, double work, tn_chunk_fn *run, void *argument)
{
    tn_pool_run(work < parallel_work ? NULL : ops->pool, chunks, run, argument);
}

/* ------------------------------------------------------ ops.h, in order -- */

void tn_tape_start(tn_ops *ops)
{
    if (ops->failure.code != TENEBRA_OK)
        return;
    if (ops->tape != NULL) {
        tn_fail(&ops->failure, TENEBRA_ERROR_ARGUMENT, "tape", "a recording is already running");
        return;
    }
    tn_tape *tape = tn_ops_take(ops, "tape", 1, sizeof *tape);
    if (tape != NULL)
        tape->last = NULL;
    ops->tape = tape;
}

void tn_tape_backward(tn_ops *ops, tn_tensor loss)
{
    tn_tape *tape = ops->tape;
    ops->tape = NULL;
    if (ops->failure.code != TENEBRA_OK)
        return;
    if (tape == NULL || loss.rows != 1 || loss.cols != 1 || loss.grad == NULL) {
        tn_fail(&ops->failure, TENEBRA_ERROR_ARGUMENT, "tape",
                tape == NULL ? "nothing was recorded"
                             : "the backward starts from one number that depends on something with a "
                               "gradient");
        return;
    }
    loss.grad[0] = 1;
    for (tn_node *node = tape->last; node != NULL && ops->failure.code == TENEBRA_OK;
         node = node->previous)
        node->backward(ops, node);
}

size_t tn_ops_mark(const tn_ops *ops)
{
    return tn_arena_mark(ops->arena);
}

void tn_ops_release(tn_ops *ops, size_t mark)
{
    if (ops->tape == NULL)
        tn_arena_release(ops->arena, mark);
}

tn_tensor tn_op_new(tn_ops *ops, size_t rows, size_t cols)
{
    return tn_ops_result(ops, "new", rows, cols, true);
}

tn_tensor tn_op_rows(tn_ops *ops, tn_tensor x, size_t begin, size_t count)
{
    if (!tn_ops_usable(ops, "rows", x))
        return (tn_tensor){ 0 };
    if (begin > x.rows || count > x.rows - begin) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "rows", "rows %zu and %zu more are not in %zu rows",
                begin, count, x.rows);
        return (tn_tensor){ 0 };
    }
    size_t offset = begin * x.cols;
    return (tn_tensor){ count, x.cols, x.data + offset, x.grad ? x.grad + offset : NULL };
}

tn_tensor tn_op_reshape(tn_ops *ops, tn_tensor x, size_t rows, size_t cols)
{
    if (!tn_ops_usable(ops, "reshape", x))
        return (tn_tensor){ 0 };
    size_t count;
    if (!tn_size_mul(rows, cols, &count) || count != x.rows * x.cols) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "reshape", "[%zu, %zu] does not hold as many numbers "
                "as [%zu, %zu]", x.rows, x.cols, rows, cols);
        return (tn_tensor){ 0 };
    }
    return (tn_tensor){ rows, cols, x.data, x.grad };
}

tn_tensor tn_op_detach(tn_tensor x)
{
    x.grad = NULL;
    return x;
}

void tn_op_watch(tn_ops *ops, const char *name, size_t index, tn_tensor value)
{
    if (ops->watch != NULL && ops->failure.code == TENEBRA_OK && value.data != NULL)
        ops->watch(ops->watch_user, name, index, &value);
}
