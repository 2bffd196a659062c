/* Operations that change some rows, or some columns, of a tensor: rows added to others, columns ruled out. */
#include "ops/internal.h"

#include <float.h>

/* ------------------------------------------------------------- add rows -- */

static void add_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_add_rows_node *a = argument;
    size_t cols = a->y.cols, begin = chunk * TN_OPS_COLUMNS, end = tn_min(cols, begin + TN_OPS_COLUMNS);
    (void)worker;
    for (size_t r = 0; r < a->count; r++)
        for (size_t i = begin; i < end; i++)
            a->y.data[a->rows[r] * cols + i] += a->refs[r].source.data[a->refs[r].row * cols + i];
}

static void add_back_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_add_rows_node *a = argument;
    size_t cols = a->y.cols, begin = chunk * TN_OPS_COLUMNS, end = tn_min(cols, begin + TN_OPS_COLUMNS);
    (void)worker;
    for (size_t row = 0; row < a->y.rows && a->x.grad != NULL; row++)
        for (size_t i = begin; i < end; i++)
            a->x.grad[row * cols + i] += a->y.grad[row * cols + i];
    for (size_t r = 0; r < a->count; r++) {
        tn_real *to = a->refs[r].source.grad;
        for (size_t i = begin; to != NULL && i < end; i++)
            to[a->refs[r].row * cols + i] += a->y.grad[a->rows[r] * cols + i];
    }
}

static void add_forward(tn_ops *ops, tn_node *node)
{
    const tn_add_rows_node *a = (const tn_add_rows_node *)node;
    tn_ops_run(ops, tn_pieces(a->y.cols, TN_OPS_COLUMNS), (double)a->count * (double)a->y.cols, add_chunk, node);
}

static void add_backward(tn_ops *ops, tn_node *node)
{
    const tn_add_rows_node *a = (const tn_add_rows_node *)node;
    tn_ops_run(ops, tn_pieces(a->y.cols, TN_OPS_COLUMNS), (double)(a->y.rows + a->count) * (double)a->y.cols, add_back_chunk, node);
}

const tn_device_op tn_cpu_add_rows = { add_forward, add_backward };

static bool add_fits(tn_ops *ops, tn_tensor x, const size_t *rows, const tn_row_ref *refs, size_t count, bool *wanted)
{
    if (!tn_ops_usable(ops, "add_rows", x))
        return false;
    *wanted = x.grad != NULL;
    for (size_t r = 0; r < count; r++) {
        const tn_tensor source = refs[r].source;
        if (!tn_ops_usable(ops, "add_rows", source))
            return false;
        *wanted = *wanted || source.grad != NULL;
        if (rows[r] >= x.rows || source.cols != x.cols || refs[r].row >= source.rows) {
            tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "add_rows", "row %zu of [%zu, %zu] cannot be added to row %zu of [%zu, %zu]",
                    refs[r].row, source.rows, source.cols, rows[r], x.rows, x.cols);
            return false;
        }
    }
    return true;
}

tn_tensor tn_op_add_rows(tn_ops *ops, tn_tensor x, const size_t *rows, const tn_row_ref *refs, size_t count)
{
    bool wanted = false;
    if (!add_fits(ops, x, rows, refs, count, &wanted))
        return (tn_tensor){ 0 };
    tn_add_rows_node a = { .x = x, .count = count, .rows = rows, .refs = refs };
    a.y = tn_ops_consume(ops, "add_rows", x, wanted);
    if (a.y.grad != NULL) {
        a.rows = tn_ops_copy_list(ops, "add_rows", rows, count, sizeof *rows);
        a.refs = tn_ops_copy_list(ops, "add_rows", refs, count, sizeof *refs);
    }
    return tn_ops_make(ops, TN_OP_ADD_ROWS, &a, sizeof a, a.y);
}

/* ------------------------------------------------------------- rule out -- */

static void rule_forward(tn_ops *ops, tn_node *node)
{
    const tn_real lowest = sizeof(tn_real) == sizeof(float) ? (tn_real)-FLT_MAX : (tn_real)-DBL_MAX;
    const tn_rule_out_node *r = (const tn_rule_out_node *)node;
    (void)ops;
    for (size_t row = 0; row < r->y.rows; row++)
        for (size_t i = 0; i < r->count; i++)
            r->y.data[row * r->y.cols + (size_t)r->columns[i]] = lowest;
}

/* The gradient of a column that is ruled out goes nowhere. */
static void rule_backward(tn_ops *ops, tn_node *node)
{
    const tn_rule_out_node *r = (const tn_rule_out_node *)node;
    for (size_t row = 0; row < r->y.rows; row++)
        for (size_t i = 0; i < r->count; i++)
            r->y.grad[row * r->y.cols + (size_t)r->columns[i]] = 0;
    tn_device_of(ops)->add(ops, r->x.grad, r->y.grad, r->y.rows * r->y.cols);
}

const tn_device_op tn_cpu_rule_out = { rule_forward, rule_backward };

tn_tensor tn_op_rule_out(tn_ops *ops, tn_tensor x, const int32_t *columns, size_t count)
{
    if (!tn_ops_usable(ops, "rule_out", x))
        return (tn_tensor){ 0 };
    for (size_t i = 0; i < count; i++)
        if (columns[i] < 0 || (size_t)columns[i] >= x.cols) {
            tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "rule_out", "there is no column %d of %zu", (int)columns[i], x.cols);
            return (tn_tensor){ 0 };
        }
    tn_rule_out_node r = { .x = x, .columns = columns, .count = count };
    r.y = tn_ops_consume(ops, "rule_out", x, x.grad != NULL);
    return tn_ops_make(ops, TN_OP_RULE_OUT, &r, sizeof r, r.y);
}
