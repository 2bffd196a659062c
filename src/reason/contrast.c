#include "reason/contrast.h"

#include <math.h>
#include <string.h>

tn_tensor tn_contrast_unit(tn_ops *ops, tn_tensor x)
{
    static const double nothing = 1e-24; /* so that zeros stay finite; far below the squares of any other row */
    tn_real *shares = tn_ops_take(ops, "contrast", x.cols, sizeof *shares);
    for (size_t i = 0; shares != NULL && i < x.cols; i++)
        shares[i] = (tn_real)(1 / sqrt((double)x.cols));
    const tn_vector scale = { x.cols, shares, NULL };
    return shares != NULL ? tn_op_rms_norm(ops, x, &scale, nothing) : (tn_tensor){ 0 };
}

static bool is_known(const tn_digest *mark)
{
    return tn_digest_equal(mark, mark);
}

/* The rows of x that count. */
static tn_tensor known_of(tn_ops *ops, tn_tensor x, const tn_digest *marks, size_t count)
{
    tn_row_ref *refs = tn_ops_take(ops, "contrast", count, sizeof *refs);
    for (size_t i = 0, at = 0; refs != NULL && i < x.rows; i++)
        if (is_known(&marks[i]))
            refs[at++] = (tn_row_ref){ x, i };
    return refs != NULL ? tn_op_compose(ops, refs, count, x.cols) : (tn_tensor){ 0 };
}

/* What is added to the logits [count, count] of the rows that count: a number that leaves nothing of their exponentials, for rows with
 * equal marks. */
static tn_tensor mask_of(tn_ops *ops, const tn_digest *marks, size_t rows, size_t count)
{
    static const tn_real never = (tn_real)-1e30;
    tn_real *mask = tn_ops_take(ops, "contrast", count * count, sizeof *mask);
    for (size_t i = 0, at = 0; mask != NULL && i < rows; i++)
        for (size_t j = 0; is_known(&marks[i]) && j < rows; j++)
            if (is_known(&marks[j]))
                mask[at++] = i != j && tn_digest_equal(&marks[i], &marks[j]) ? never : 0;
    return mask != NULL ? tn_op_constant(ops, count, count, mask) : (tn_tensor){ 0 };
}

tn_tensor tn_contrast_loss(tn_ops *ops, tn_tensor a, tn_tensor b, const tn_digest *marks, double temperature, double scale)
{
    size_t count = 0;
    for (size_t i = 0; i < a.rows; i++)
        count += is_known(&marks[i]);
    int32_t *labels = tn_ops_take(ops, "contrast", count + 1, sizeof *labels);
    if (count == 0 || labels == NULL)
        return tn_op_constant(ops, 1, 1, NULL);
    for (size_t i = 0; i < count; i++)
        labels[i] = (int32_t)i;
    const tn_tensor left = known_of(ops, a, marks, count), right = known_of(ops, b, marks, count);
    const tn_tensor mask = mask_of(ops, marks, a.rows, count);
    double share = scale / (2 * (double)count);
    tn_tensor rows = tn_op_add(ops, tn_op_product(ops, left, right, 1 / temperature), mask);
    tn_tensor columns = tn_op_add(ops, tn_op_product(ops, right, left, 1 / temperature), mask);
    return tn_op_add(ops, tn_op_cross_entropy(ops, rows, labels, share), tn_op_cross_entropy(ops, columns, labels, share));
}
