/* Building blocks of networks, made from operations. All can be recorded. */
#ifndef TN_MODEL_PIECES_H
#define TN_MODEL_PIECES_H

#include "model/encoder.h"

/* W x + bias with the low-rank additions of the weight; bias may be NULL. */
tn_tensor tn_piece_linear(tn_ops *ops, tn_tensor x, const tn_weight *w, const tn_vector *bias);

/* Full attention between the rows of each segment: q, k, v [N, heads * D] -> [N, heads * D]. borders [segments + 1]. */
tn_tensor tn_piece_attention(tn_ops *ops, tn_tensor q, tn_tensor k, tn_tensor v, size_t heads, const size_t *borders, size_t segments);

/* The values of several prepared images, one after another [N, columns]; those of a single image are not copied. On failure, or
 * if they have another number of columns, ops->failure is set. */
tn_tensor tn_piece_join(tn_ops *ops, const tn_prepared *const *pictures, size_t count, size_t columns);

/* -------------------------------------------- patches in cell order -- */

/* Patches of one image: frames, rows, columns (before merging; h and w are multiples of the merge). */
typedef struct tn_grid {
    size_t t, h, w;
} tn_grid;

static inline size_t tn_grid_patches(tn_grid grid) { return grid.t * grid.h * grid.w; }

/* The grids of prepared images. NULL: ops->failure is set. */
tn_grid *tn_piece_grids(tn_ops *ops, const tn_prepared *const *pictures, size_t count);

/* Checks that the number of patches is that of the grids, and that the grids consist of whole cells of merge x merge;
 * otherwise sets ops->failure. */
bool tn_piece_grids_fit(tn_ops *ops, size_t patches, const tn_grid *grids, size_t count, size_t merge);

/* Angles of all patches, cos and sin [N, D/2]: the first half of the frequencies rotates with the row, the second with
 * the column of the patch. */
tn_rope tn_piece_grid_rope(tn_ops *ops, const tn_grid *grids, size_t count, size_t merge, size_t head_dim, double theta);

/* Borders [frames + 1] of the frames of all images; *segments is set to the number of frames. NULL: ops->failure is
 * set. */
size_t *tn_piece_frames(tn_ops *ops, const tn_grid *grids, size_t count, size_t *segments);

#endif
