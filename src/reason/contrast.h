/* A contrastive loss: of the rows of two tensors, those that belong together are told from all others. Symmetric InfoNCE, as in
 * arXiv:2103.00020 (section 2.3); InfoNCE is of arXiv:1807.03748. */
#ifndef TN_REASON_CONTRAST_H
#define TN_REASON_CONTRAST_H

#include "base/digest.h"
#include "ops/ops.h"

/* x [T, D] with each row divided by its Euclidean length; a row of zeros stays so. */
tn_tensor tn_contrast_unit(tn_ops *ops, tn_tensor x);

/* Row i of a and row i of b [B, D], of length 1, belong together. With s = a b^T / temperature,
 *
 *     scale / (2 B) * sum over i of [ -log softmax(s_i.)_i - log softmax(s_.i)_i ]      [1, 1], recorded
 *
 * marks [B] say which rows count: one with an unknown mark (zeros) is left out, and B is the number of the others. Rows with equal marks
 * are the same on one side (such as questions about one image), so neither is wrong for the other, and the softmax leaves it out. The
 * loss is exactly 0 if there is nothing to tell apart. */
tn_tensor tn_contrast_loss(tn_ops *ops, tn_tensor a, tn_tensor b, const tn_digest *marks, double temperature, double scale);

#endif
