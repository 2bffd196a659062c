/* RMS norm and layer norm. Sums run in double over eight fixed lanes. The statistics are then exact up to the rounding
 * of the result, at any width and for activations up to the range of f32 (squares of 1e6 are safe), and do not depend
 * on the kernel set. */
#include "ops/internal.h"

enum { LANES = 8 };

static double sum_lanes(const double *lanes)
{
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

static double sum_row(const tn_real *x, size_t n)
{
    double lanes[LANES] = { 0 };
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            lanes[lane] += (double)x[i + lane];
    for (; i < n; i++)
        lanes[i % LANES] += (double)x[i];
    return sum_lanes(lanes);
}

/* Sum of (x - mean)^2. */
static double sum_squares(const tn_real *x, size_t n, double mean)
{
    double lanes[LANES] = { 0 };
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++) {
            double d = (double)x[i + lane] - mean;
            lanes[lane] += d * d;
        }
    for (; i < n; i++) {
        double d = (double)x[i] - mean;
        lanes[i % LANES] += d * d;
    }
    return sum_lanes(lanes);
}

/* Where the scales of a row begin: rows take those of w in turn. */
static size_t turn_of(const tn_norm_node *norm, size_t row)
{
    return row % (norm->w.size / norm->x.cols) * norm->x.cols;
}

static void norm_row(const tn_norm_node *norm, size_t row)
{
    size_t n = norm->x.cols, turn = turn_of(norm, row);
    const tn_real *x = norm->x.data + row * n, *w = norm->w.data + turn, *b = norm->b.data != NULL ? norm->b.data + turn : NULL;
    tn_real *y = norm->y.data + row * n;
    double mean = norm->centred ? sum_row(x, n) / (double)n : 0;
    tn_real inverse = (tn_real)(1 / sqrt(sum_squares(x, n, mean) / (double)n + norm->eps));
    tn_real shift = (tn_real)mean;
    if (norm->inverse != NULL) {
        norm->mean[row] = shift;
        norm->inverse[row] = inverse;
    }
    if (b == NULL)
        for (size_t i = 0; i < n; i++)
            y[i] = (x[i] - shift) * inverse * w[i];
    else
        for (size_t i = 0; i < n; i++)
            y[i] = (x[i] - shift) * inverse * w[i] + b[i];
}

static void norm_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_norm_node *norm = argument;
    size_t block = tn_ops_row_block(norm->x.cols), begin = chunk * block;
    (void)worker;
    for (size_t row = begin; row < tn_min(norm->x.rows, begin + block); row++)
        norm_row(norm, row);
}

/* With z = (x - mean) inverse and g = dy w:  dx = inverse (g - mean(g) - z mean(g z)), where RMS norm has no mean(g). */
static void norm_dx_row(const tn_norm_node *norm, size_t row)
{
    size_t n = norm->x.cols;
    const tn_real *x = norm->x.data + row * n, *dy = norm->y.grad + row * n, *w = norm->w.data + turn_of(norm, row);
    tn_real *dx = norm->x.grad + row * n, inverse = norm->inverse[row], shift = norm->mean[row];
    double sum_g = 0, sum_gz = 0;
    for (size_t i = 0; i < n; i++) {
        double g = (double)dy[i] * (double)w[i];
        sum_g += g;
        sum_gz += g * (double)((x[i] - shift) * inverse);
    }
    tn_real mean_g = norm->centred ? (tn_real)(sum_g / (double)n) : 0;
    tn_real mean_gz = (tn_real)(sum_gz / (double)n);
    for (size_t i = 0; i < n; i++)
        dx[i] += inverse * (dy[i] * w[i] - mean_g - (x[i] - shift) * inverse * mean_gz);
}

static void norm_dx_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_norm_node *norm = argument;
    size_t block = tn_ops_row_block(norm->x.cols), begin = chunk * block;
    (void)worker;
    for (size_t row = begin; row < tn_min(norm->x.rows, begin + block); row++)
        norm_dx_row(norm, row);
}

/* dw[c] += sum over rows of dy z, db[c] += sum over rows of dy. */
static void norm_dw_chunk(void *argument, size_t chunk, size_t worker)
{
    const tn_norm_node *norm = argument;
    size_t n = norm->x.cols, begin = chunk * TN_OPS_COLUMNS, end = tn_min(n, begin + TN_OPS_COLUMNS);
    (void)worker;
    for (size_t row = 0; row < norm->x.rows; row++) {
        const tn_real *x = norm->x.data + row * n, *dy = norm->y.grad + row * n;
        tn_real inverse = norm->inverse[row], shift = norm->mean[row];
        size_t turn = turn_of(norm, row);
        for (size_t i = begin; i < end && norm->w.grad != NULL; i++)
            norm->w.grad[turn + i] += dy[i] * ((x[i] - shift) * inverse);
        for (size_t i = begin; i < end && norm->b.grad != NULL; i++)
            norm->b.grad[turn + i] += dy[i];
    }
}

static void norm_forward(tn_ops *ops, tn_node *node)
{
    const tn_norm_node *norm = (const tn_norm_node *)node;
    tn_ops_run(ops, tn_pieces(norm->x.rows, tn_ops_row_block(norm->x.cols)), 2 * (double)norm->x.rows * (double)norm->x.cols,
               norm_chunk, node);
}

static void norm_backward(tn_ops *ops, tn_node *node)
{
    const tn_norm_node *norm = (const tn_norm_node *)node;
    double work = 2 * (double)norm->x.rows * (double)norm->x.cols;
    if (norm->x.grad != NULL)
        tn_ops_run(ops, tn_pieces(norm->x.rows, tn_ops_row_block(norm->x.cols)), work, norm_dx_chunk, node);
    if (norm->w.grad != NULL || norm->b.grad != NULL)
        tn_ops_run(ops, tn_pieces(norm->x.cols, TN_OPS_COLUMNS), work, norm_dw_chunk, node);
}

const tn_device_op tn_cpu_norm = { norm_forward, norm_backward };

static bool norm_fits(tn_ops *ops, const char *operation, tn_tensor x, const tn_vector *w, const tn_vector *b)
{
    if (!tn_ops_usable(ops, operation, x))
        return false;
    bool scaled = w->data != NULL && x.cols > 0 && w->size > 0 && w->size % x.cols == 0 && x.rows % (w->size / x.cols) == 0;
    if (!scaled || (b->data != NULL && b->size != w->size))
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, operation, "rows of %zu columns do not fit a scale of %zu "
                "and a shift of %zu numbers", x.cols, w->data ? w->size : 0, b->data ? b->size : 0);
    return ops->failure.code == TENEBRA_OK;
}

static tn_tensor run_norm(tn_ops *ops, const char *operation, tn_norm_node norm)
{
    tn_tensor x = norm.x;
    if (!norm_fits(ops, operation, x, &norm.w, &norm.b))
        return (tn_tensor){ 0 };
    bool wanted = x.grad != NULL || norm.w.grad != NULL || norm.b.grad != NULL;
    norm.y = tn_ops_result(ops, operation, x.rows, x.cols, wanted);
    if (norm.y.grad != NULL) {
        norm.mean = tn_ops_take(ops, operation, x.rows, sizeof *norm.mean);
        norm.inverse = tn_ops_take(ops, operation, x.rows, sizeof *norm.inverse);
    }
    return tn_ops_make(ops, TN_OP_NORM, &norm, sizeof norm, norm.y);
}

tn_tensor tn_op_rms_norm(tn_ops *ops, tn_tensor x, const tn_vector *w, double eps)
{
    return run_norm(ops, "rms_norm", (tn_norm_node){ .x = x, .w = *w, .eps = eps });
}

tn_tensor tn_op_layer_norm(tn_ops *ops, tn_tensor x, const tn_vector *w, const tn_vector *b, double eps)
{
    tn_vector shift = b && b->data ? *b : (tn_vector){ 0 };
    return run_norm(ops, "layer_norm", (tn_norm_node){ .x = x, .w = *w, .b = shift, .centred = true, .eps = eps });
}
