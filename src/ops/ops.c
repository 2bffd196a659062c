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

tn_tensor tn_ops_result(tn_ops *ops, const char *operation, size_t rows, size_t cols, bool wanted)
{
    size_t count;
    if (!tn_size_mul(rows, cols, &count))
        count = SIZE_MAX; /* refused by the arena */
    tn_tensor result = { rows, cols, tn_ops_take(ops, operation, count, sizeof(tn_real)), NULL };
    if (ops->tape != NULL && wanted) {
        result.grad = tn_ops_take(ops, operation, count, sizeof(tn_real));
        if (result.grad != NULL)
            tn_device_of(ops)->copy(ops, result.grad, NULL, count);
    }
    return ops->failure.code == TENEBRA_OK ? result : (tn_tensor){ 0 };
}

tn_tensor tn_ops_consume(tn_ops *ops, const char *operation, tn_tensor x, bool wanted)
{
    if (ops->tape == NULL)
        return (tn_tensor){ x.rows, x.cols, x.data, NULL };
    tn_tensor copy = tn_ops_result(ops, operation, x.rows, x.cols, wanted);
    if (copy.data != NULL)
        tn_device_of(ops)->copy(ops, copy.data, x.data, x.rows * x.cols);
    return copy;
}

void *tn_ops_copy_list(tn_ops *ops, const char *operation, const void *list, size_t count, size_t size)
{
    void *copy = tn_ops_take(ops, operation, count, size);
    return copy != NULL && count > 0 ? memcpy(copy, list, count * size) : copy;
}

bool tn_ops_apply(tn_ops *ops, tn_op_code code, void *node, size_t size, bool record)
{
    tn_node *here = node;
    if (ops->failure.code != TENEBRA_OK)
        return false;
    *here = (tn_node){ code, NULL };
    if (record) {
        here = tn_ops_copy_list(ops, "tape", node, 1, size);
        if (here == NULL)
            return false;
        here->previous = ops->tape->last;
        ops->tape->last = here;
    }
    tn_device_of(ops)->operations[code]->forward(ops, here);
    return ops->failure.code == TENEBRA_OK;
}

tn_tensor tn_ops_make(tn_ops *ops, tn_op_code code, void *node, size_t size, tn_tensor result)
{
    return tn_ops_apply(ops, code, node, size, result.grad != NULL) ? result : (tn_tensor){ 0 };
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

void tn_tape_walk(tn_ops *ops, const tn_tape *tape)
{
    for (tn_node *node = tape->last; node != NULL && ops->failure.code == TENEBRA_OK; node = node->previous)
        tn_device_of(ops)->operations[node->code]->backward(ops, node);
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
    const tn_real one = 1;
    tn_device_of(ops)->write(ops, loss.grad, &one, 1);
    tn_tape_walk(ops, tape);
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

/* ------------------------------------------- values from and for the host -- */

tn_tensor tn_op_constant(tn_ops *ops, size_t rows, size_t cols, const tn_real *values)
{
    tn_tensor x = tn_ops_result(ops, "constant", rows, cols, false);
    if (x.data != NULL && values != NULL)
        tn_device_of(ops)->write(ops, x.data, values, rows * cols);
    else if (x.data != NULL)
        tn_device_of(ops)->copy(ops, x.data, NULL, rows * cols);
    return x;
}

tn_tensor tn_op_import(tn_ops *ops, size_t rows, size_t cols, const tn_real *values)
{
    if (ops->failure.code != TENEBRA_OK)
        return (tn_tensor){ 0 };
    return (tn_tensor){ rows, cols, tn_device_of(ops)->import(ops, values, rows * cols), NULL };
}

tn_tensor tn_tensor_take(tn_arena *arena, size_t rows, size_t cols)
{
    size_t count;
    tn_real *data = tn_size_mul(rows, cols, &count) ? tn_arena_take(arena, count, sizeof *data) : NULL;
    return data != NULL ? (tn_tensor){ rows, cols, data, NULL } : (tn_tensor){ 0 };
}

bool tn_op_read(tn_ops *ops, tn_tensor x, tn_real *values)
{
    if (!tn_ops_usable(ops, "read", x))
        return false;
    tn_device_of(ops)->read(ops, values, x.data, x.rows * x.cols);
    return ops->failure.code == TENEBRA_OK;
}

void tn_op_write(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    if (tn_ops_usable(ops, "write", x))
        tn_device_of(ops)->write(ops, x.data, values, x.rows * x.cols);
}

void tn_op_copy(tn_ops *ops, tn_tensor to, tn_tensor from)
{
    if (!tn_ops_usable(ops, "copy", to) || !tn_ops_usable(ops, "copy", from))
        return;
    if (to.rows != from.rows || to.cols != from.cols)
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "copy", "[%zu, %zu] is not the shape [%zu, %zu]", from.rows, from.cols,
                to.rows, to.cols);
    else
        tn_device_of(ops)->copy(ops, to.data, from.data, to.rows * to.cols);
}

const tn_real *tn_op_view(tn_ops *ops, tn_tensor x)
{
    return tn_ops_usable(ops, "view", x) ? tn_device_of(ops)->view(ops, x.data, x.rows * x.cols) : NULL;
}

bool tn_op_is_finite(tn_ops *ops, tn_tensor x)
{
    return x.data == NULL || tn_device_of(ops)->is_finite(ops, x);
}

bool tn_op_argmax(tn_ops *ops, tn_tensor x, size_t *places)
{
    if (!tn_ops_usable(ops, "argmax", x))
        return false;
    tn_device_of(ops)->argmax(ops, x, places);
    return ops->failure.code == TENEBRA_OK;
}

size_t tn_argmax(const tn_real *values, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (values[i] > values[best] || (isnan(values[best]) && !isnan(values[i])))
            best = i;
    return best;
}

bool tn_all_finite(const tn_real *values, size_t count)
{
    int bad = 0;
    for (size_t i = 0; i < count; i++)
        bad |= !(values[i] - values[i] == 0); /* NaN for NaN and infinities; without a branch, so that it runs in vectors */
    return bad == 0;
}

tn_tensor tn_op_mean_rows(tn_ops *ops, tn_tensor x)
{
    if (!tn_ops_usable(ops, "mean_rows", x))
        return (tn_tensor){ 0 };
    tn_tensor mean = tn_ops_result(ops, "mean_rows", 1, x.cols, false);
    if (mean.data != NULL)
        tn_device_of(ops)->mean_rows(ops, mean, x);
    return mean;
}

void tn_op_add_heads(tn_ops *ops, tn_tensor sum, tn_tensor rows, tn_real share)
{
    if (!tn_ops_usable(ops, "add_heads", sum) || !tn_ops_usable(ops, "add_heads", rows))
        return;
    if (sum.rows != 1 || sum.cols != rows.cols)
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "add_heads", "rows of %zu columns do not add up to [%zu, %zu]", rows.cols,
                sum.rows, sum.cols);
    else
        tn_device_of(ops)->add_heads(ops, sum, rows, share);
}

tn_rope tn_op_angles(tn_ops *ops, const float *places, size_t count, size_t axes, const tn_turn *turns, size_t half)
{
    tn_tensor cosines = tn_ops_result(ops, "angles", count, half, false), sines = tn_ops_result(ops, "angles", count, half, false);
    for (size_t i = 0; i < half && ops->failure.code == TENEBRA_OK; i++)
        if (turns[i].axis >= axes)
            tn_fail(&ops->failure, TENEBRA_ERROR_ARGUMENT, "angles", "there is no axis %zu", turns[i].axis);
    if (ops->failure.code != TENEBRA_OK)
        return (tn_rope){ 0 };
    tn_device_of(ops)->angles(ops, places, count, axes, turns, half, cosines.data, sines.data);
    return (tn_rope){ half, cosines.data, sines.data };
}

/* ------------------------------------------------------- views and joining -- */

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
