/* The vision tower: linear patch embedding, 2-D rotary positions, full attention inside each frame,
 * and a merger that turns m x m patches into one embedding of the decoder's width.
 * Source: arXiv:2409.12191, section 2.1. */
#include "model/network.h"

/* Angles of all patches, cos and sin [N, D/2]: the first half of the frequencies turns with the row,
 * the second with the column of the patch. Patches come grouped by merged cell. */
static tn_rope rope_of_patches(tn_ops *ops, const tn_vision_config *config, const tn_grid *grids,
                               size_t count, size_t patches)
{
    size_t head_dim = config->embed_dim / config->num_heads, half = head_dim / 2, quarter = half / 2;
    size_t merge = config->spatial_merge_size;
    tn_real *cosines = tn_arena_take(ops->arena, patches * half, sizeof *cosines);
    tn_real *sines = tn_arena_take(ops->arena, patches * half, sizeof *sines);
    if (cosines == NULL || sines == NULL) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MEMORY, "vision", "the working memory is full");
        return (tn_rope){ 0 };
    }
    size_t row = 0;
    for (size_t g = 0; g < count; g++) {
        size_t cells = grids[g].w / merge, area = merge * merge;
        for (size_t p = 0; p < tn_grid_patches(grids[g]); p++, row++) {
            size_t in_frame = p % (grids[g].h * grids[g].w), cell = in_frame / area, inner = in_frame % area;
            float place[2] = { (float)(cell / cells * merge + inner / merge),
                               (float)(cell % cells * merge + inner % merge) };
            for (size_t i = 0; i < half; i++) {
                float exponent = (float)(2 * (i % quarter)) / (float)half;
                float inverse = 1.0f / powf((float)config->rope_theta, exponent);
                tn_real angle = place[i / quarter] * inverse;
                cosines[row * half + i] = cos(angle);
                sines[row * half + i] = sin(angle);
            }
        }
    }
    return (tn_rope){ half, cosines, sines };
}

/* Borders [frames + 1] between which attention is full; *segments = number of frames. */
static size_t *frame_borders(tn_ops *ops, const tn_grid *grids, size_t count, size_t *segments)
{
    size_t frames = 0;
    for (size_t g = 0; g < count; g++)
        frames += grids[g].t;
    size_t *borders = tn_arena_take(ops->arena, frames + 1, sizeof *borders);
    if (borders == NULL) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MEMORY, "vision", "the working memory is full");
        return NULL;
    }
    size_t at = 0;
    borders[0] = 0;
    for (size_t g = 0; g < count; g++)
        for (size_t frame = 0; frame < grids[g].t; frame++, at++)
            borders[at + 1] = borders[at] + grids[g].h * grids[g].w;
    *segments = frames;
    return borders;
}

/* What all blocks of one forward share. While recording it lives in the arena: the backward may ask again. */
typedef struct run_state {
    const tn_vision *vision;
    tn_rope rope;
    const size_t *borders;
    size_t segments;
} run_state;

typedef struct block_job {
    const run_state *run;
    const tn_vision_block *block;
} block_job;

static tn_tensor project(tn_ops *ops, tn_tensor x, const tn_weight *w, const tn_vector *bias)
{
    return tn_op_lora(ops, tn_op_linear(ops, x, w, bias), x, w, bias);
}

static tn_tensor attend(tn_ops *ops, const block_job *job, tn_tensor x)
{
    const tn_vision_config *config = &job->run->vision->config;
    const tn_vision_block *block = job->block;
    const tn_rope *rope = &job->run->rope;
    tn_tensor q = tn_op_rope(ops, project(ops, x, &block->q, &block->q_bias), rope, config->num_heads);
    tn_tensor k = tn_op_rope(ops, project(ops, x, &block->k, &block->k_bias), rope, config->num_heads);
    tn_tensor v = project(ops, x, &block->v, &block->v_bias);
    tn_keys keys = { .capacity = k.rows, .stride = config->embed_dim, .k = k.data, .v = v.data, .dk = k.grad, .dv = v.grad };
    tn_attention shape = { .heads = config->num_heads,
                           .kv_heads = config->num_heads,
                           .head_dim = config->embed_dim / config->num_heads,
                           .segments = job->run->borders,
                           .segment_count = job->run->segments };
    return project(ops, tn_op_attention(ops, q, &keys, &shape), &block->proj, &block->proj_bias);
}

static tn_tensor run_block(tn_ops *ops, tn_tensor x, const void *argument, bool again)
{
    const block_job *job = argument;
    const tn_vision_block *block = job->block;
    double eps = job->run->vision->config.layer_norm_eps;
    (void)again;
    tn_tensor normed = tn_op_layer_norm(ops, x, &block->norm1, &block->norm1_bias, eps);
    x = tn_op_add(ops, x, attend(ops, job, normed));
    normed = tn_op_layer_norm(ops, x, &block->norm2, &block->norm2_bias, eps);
    tn_tensor inner = tn_op_quick_gelu(ops, project(ops, normed, &block->fc1, &block->fc1_bias));
    return tn_op_add(ops, x, project(ops, inner, &block->fc2, &block->fc2_bias));
}

static tn_tensor merge(tn_ops *ops, const tn_vision *vision, tn_tensor x)
{
    const tn_vision_config *config = &vision->config;
    size_t area = config->spatial_merge_size * config->spatial_merge_size;
    tn_tensor normed = tn_op_layer_norm(ops, x, &vision->merge_norm, &vision->merge_norm_bias,
                                        config->layer_norm_eps);
    tn_tensor cells = tn_op_reshape(ops, normed, normed.rows / area, normed.cols * area);
    tn_tensor inner = tn_op_gelu(ops, project(ops, cells, &vision->merge1, &vision->merge1_bias));
    return project(ops, inner, &vision->merge2, &vision->merge2_bias);
}

/* Whether the patches are those of the grids, and the grids made of whole merged cells. */
static bool grids_fit(tn_ops *ops, const tn_vision_config *config, tn_tensor patches, const tn_grid *grids,
                      size_t count)
{
    size_t expected = 0, merge = config->spatial_merge_size;
    for (size_t g = 0; g < count; g++) {
        if (grids[g].t == 0 || grids[g].h == 0 || grids[g].w == 0 || grids[g].h % merge != 0 || grids[g].w % merge != 0) {
            tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "vision",
                    "picture %zu has a grid of %zu x %zu x %zu patches, not of whole cells of %zu x %zu", g + 1,
                    grids[g].t, grids[g].h, grids[g].w, merge, merge);
            return false;
        }
        expected += tn_grid_patches(grids[g]);
    }
    if (expected == 0 || patches.rows != expected)
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "vision", "%zu patches do not fill %zu grids of %zu",
                patches.rows, count, expected);
    return ops->failure.code == TENEBRA_OK;
}

tn_tensor tn_vision_forward(tn_ops *ops, const tn_vision *vision, tn_tensor patches,
                            const tn_grid *grids, size_t count)
{
    const tn_vision_config *config = &vision->config;
    size_t segments = 0;
    if (!grids_fit(ops, config, patches, grids, count))
        return (tn_tensor){ 0 };
    run_state *run = tn_arena_take(ops->arena, 1, sizeof *run);
    block_job *jobs = tn_arena_take(ops->arena, config->depth, sizeof *jobs);
    if (run == NULL || jobs == NULL) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MEMORY, "vision", "the working memory is full");
        return (tn_tensor){ 0 };
    }
    size_t *borders = frame_borders(ops, grids, count, &segments);
    *run = (run_state){ vision, rope_of_patches(ops, config, grids, count, patches.rows), borders, segments };
    tn_tensor x = tn_op_linear(ops, patches, &vision->patch_embed, NULL);
    tn_op_watch(ops, "vision.patch_embed", 0, x);
    for (size_t b = 0; b < config->depth && tn_ops_proceed(ops); b++) {
        size_t mark = tn_ops_mark(ops);
        jobs[b] = (block_job){ run, &vision->blocks[b] };
        x = tn_op_checkpoint(ops, x, run_block, &jobs[b], false);
        tn_op_watch(ops, "vision.block", b, x);
        tn_ops_release(ops, mark);
    }
    tn_tensor merged = merge(ops, vision, x);
    return ops->failure.code == TENEBRA_OK ? merged : (tn_tensor){ 0 };
}
