#include "model/pieces.h"

#include <math.h>

tn_tensor tn_piece_linear(tn_ops *ops, tn_tensor x, const tn_weight *w, const tn_vector *bias)
{
    return tn_op_lora(ops, tn_op_linear(ops, x, w, bias), x, w, bias);
}

tn_tensor tn_piece_attention(tn_ops *ops, tn_tensor q, tn_tensor k, tn_tensor v, size_t heads, const size_t *borders, size_t segments)
{
    tn_keys keys = tn_keys_of(k, v);
    tn_attention shape = { .heads = heads, .kv_heads = heads, .head_dim = k.cols / heads, .segments = borders,
                           .segment_count = segments };
    return tn_op_attention(ops, q, &keys, &shape);
}

tn_tensor tn_piece_join(tn_ops *ops, const tn_prepared *const *pictures, size_t count, size_t columns)
{
    tn_tensor *parts = tn_ops_take(ops, "vision", count, sizeof *parts);
    for (size_t i = 0; parts != NULL && i < count; i++) {
        if (pictures[i]->columns != columns)
            tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "vision", "image %zu has rows of %zu values, not of %zu", i + 1,
                    pictures[i]->columns, columns);
        parts[i] = tn_op_import(ops, pictures[i]->rows, pictures[i]->columns, pictures[i]->values);
    }
    return count > 0 && parts != NULL ? tn_op_join(ops, parts, count) : tn_op_constant(ops, 0, columns, NULL);
}

/* ------------------------------------------------- patches in cell order -- */

tn_grid *tn_piece_grids(tn_ops *ops, const tn_prepared *const *pictures, size_t count)
{
    tn_grid *grids = tn_ops_take(ops, "vision", count, sizeof *grids);
    for (size_t i = 0; grids != NULL && i < count; i++)
        grids[i] = (tn_grid){ pictures[i]->sides[0], pictures[i]->sides[1], pictures[i]->sides[2] };
    return grids;
}

bool tn_piece_grids_fit(tn_ops *ops, size_t patches, const tn_grid *grids, size_t count, size_t merge)
{
    size_t expected = 0;
    for (size_t g = 0; g < count; g++) {
        if (grids[g].t == 0 || grids[g].h == 0 || grids[g].w == 0 || grids[g].h % merge != 0 || grids[g].w % merge != 0) {
            tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "vision",
                    "image %zu has a grid of %zu x %zu x %zu patches, which are not whole cells of %zu x %zu", g + 1,
                    grids[g].t, grids[g].h, grids[g].w, merge, merge);
            return false;
        }
        expected += tn_grid_patches(grids[g]);
    }
    if (expected == 0 || patches != expected)
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "vision", "%zu patches do not fill %zu grids of %zu",
                patches, count, expected);
    return ops->failure.code == TENEBRA_OK;
}

tn_rope tn_piece_grid_rope(tn_ops *ops, const tn_grid *grids, size_t count, size_t merge, size_t head_dim, double theta)
{
    size_t half = head_dim / 2, quarter = half / 2, patches = 0;
    for (size_t g = 0; g < count; g++)
        patches += tn_grid_patches(grids[g]);
    float *places = tn_ops_take(ops, "vision", 2 * patches, sizeof *places), *place = places;
    tn_turn *turns = tn_ops_take(ops, "vision", half, sizeof *turns);
    if (turns == NULL)
        return (tn_rope){ 0 };
    for (size_t i = 0; i < half; i++) {
        float exponent = (float)(2 * (i % quarter)) / (float)half;
        turns[i] = (tn_turn){ i / quarter, 1.0f / powf((float)theta, exponent) };
    }
    for (size_t g = 0; g < count; g++) {
        size_t cells = grids[g].w / merge, area = merge * merge;
        for (size_t p = 0; p < tn_grid_patches(grids[g]); p++) {
            size_t in_frame = p % (grids[g].h * grids[g].w), cell = in_frame / area, inner = in_frame % area;
            *place++ = (float)(cell / cells * merge + inner / merge);
            *place++ = (float)(cell % cells * merge + inner % merge);
        }
    }
    return tn_op_angles(ops, places, patches, 2, turns, half);
}

size_t *tn_piece_frames(tn_ops *ops, const tn_grid *grids, size_t count, size_t *segments)
{
    size_t frames = 0;
    for (size_t g = 0; g < count; g++)
        frames += grids[g].t;
    size_t *borders = tn_ops_take(ops, "vision", frames + 1, sizeof *borders);
    if (borders == NULL)
        return NULL;
    size_t at = 0;
    borders[0] = 0;
    for (size_t g = 0; g < count; g++)
        for (size_t frame = 0; frame < grids[g].t; frame++, at++)
            borders[at + 1] = borders[at] + grids[g].h * grids[g].w;
    *segments = frames;
    return borders;
}
