/* The vision tower of Qwen2-VL: linear patch embedding, 2-D rotary positions, full attention inside each frame, and a
 * merger that converts m x m patches to one embedding of the decoder's width. Source: arXiv:2409.12191, section 2.1,
 * and the layout of the published checkpoints. */
#include "model/backbone.h"
#include "model/pieces.h"
#include "model/rotary.h"

#include <string.h>

enum { WIDTH = TN_SIZE_OWN, MLP, HEADS, CHANNELS, FRAMES, SIDE, MERGE, AREA /* m^2 */, MERGED /* m^2 E */, HIDDEN, DEPTH };
enum { THETA };

static const double EPS = 1e-6;

typedef struct vision_block {
    tn_vector norm1, norm1_bias, norm2, norm2_bias; /* [E] */
    tn_weight q, k, v, proj;                        /* [E, E] */
    tn_vector q_bias, k_bias, v_bias, proj_bias;
    tn_weight fc1, fc2;                             /* [M, E], [E, M] */
    tn_vector fc1_bias, fc2_bias;
} vision_block;

typedef struct vision_tower {
    tn_network network;
    tn_weight patch_embed;      /* [E, patch_values] */
    vision_block *blocks;    /* [depth] */
    tn_vector merge_norm, merge_norm_bias; /* [E] */
    tn_weight merge1, merge2;   /* [m^2 E, m^2 E], [C, m^2 E] */
    tn_vector merge1_bias, merge2_bias;
} vision_tower;

/* --------------------------------------------------------------- tensors -- */

/* transformers >= 4.52 may save the names that it uses internally. */
#define ROW_(...) TN_LAYOUT_ROW(__VA_ARGS__)
#define ROW(name_, ...) .name = name_, .others = { "model." name_ }, ROW_(__VA_ARGS__)
#define TOWER(member) 0, offsetof(vision_tower, member), 1
#define BLOCK(member) TN_ENCODER_BLOCK, offsetof(vision_block, member), 1
#define BLOCK_QKV(member) TN_ENCODER_BLOCK, offsetof(vision_block, member), 3

static const tn_layout_row rows[] = {
    { ROW("visual.patch_embed.proj.weight", PATCHES, TOWER(patch_embed), WIDTH, CHANNELS, FRAMES, SIDE, SIDE) },
    { ROW("visual.blocks.%zu.norm1.weight", SCALE, BLOCK(norm1), WIDTH) },
    { ROW("visual.blocks.%zu.norm1.bias", SHIFT, BLOCK(norm1_bias), WIDTH) },
    { ROW("visual.blocks.%zu.attn.qkv.weight", LINEAR, BLOCK_QKV(q), WIDTH, WIDTH) },
    { ROW("visual.blocks.%zu.attn.qkv.bias", BIAS, BLOCK_QKV(q_bias), WIDTH) },
    { ROW("visual.blocks.%zu.attn.proj.weight", LINEAR, BLOCK(proj), WIDTH, WIDTH),
      .reads = TN_READS_ATTENTION, .residual = true },
    { ROW("visual.blocks.%zu.attn.proj.bias", BIAS, BLOCK(proj_bias), WIDTH) },
    { ROW("visual.blocks.%zu.norm2.weight", SCALE, BLOCK(norm2), WIDTH) },
    { ROW("visual.blocks.%zu.norm2.bias", SHIFT, BLOCK(norm2_bias), WIDTH) },
    { ROW("visual.blocks.%zu.mlp.fc1.weight", LINEAR, BLOCK(fc1), MLP, WIDTH) },
    { ROW("visual.blocks.%zu.mlp.fc1.bias", BIAS, BLOCK(fc1_bias), MLP) },
    { ROW("visual.blocks.%zu.mlp.fc2.weight", LINEAR, BLOCK(fc2), WIDTH, MLP), .residual = true },
    { ROW("visual.blocks.%zu.mlp.fc2.bias", BIAS, BLOCK(fc2_bias), WIDTH) },
    { ROW("visual.merger.ln_q.weight", SCALE, TOWER(merge_norm), WIDTH) },
    { ROW("visual.merger.ln_q.bias", SHIFT, TOWER(merge_norm_bias), WIDTH) },
    { ROW("visual.merger.mlp.0.weight", LINEAR, TOWER(merge1), MERGED, MERGED), .pooled = AREA },
    { ROW("visual.merger.mlp.0.bias", BIAS, TOWER(merge1_bias), MERGED) },
    { ROW("visual.merger.mlp.2.weight", LINEAR, TOWER(merge2), HIDDEN, MERGED), .pooled = AREA },
    { ROW("visual.merger.mlp.2.bias", BIAS, TOWER(merge2_bias), HIDDEN) },
    { .name = NULL }
};

static const tn_layout layout = {
    .kind = TN_NETWORK_IMAGES,
    .bytes = sizeof(vision_tower),
    .groups = { [TN_ENCODER_BLOCK] = { offsetof(vision_tower, blocks), sizeof(vision_block), DEPTH } },
    .rows = rows,
};

/* --------------------------------------------------------- configuration -- */

static void fill_sizes(const tn_model_config *config, size_t *sizes)
{
    const tn_vision_config *from = &config->vision;
    sizes[WIDTH] = from->embed_dim;
    sizes[MLP] = from->mlp_dim;
    sizes[HEADS] = from->num_heads;
    sizes[CHANNELS] = config->channels;
    sizes[FRAMES] = config->temporal_patch_size;
    sizes[SIDE] = config->patch_size;
    sizes[MERGE] = from->spatial_merge_size;
    sizes[AREA] = sizes[MERGE] * sizes[MERGE];
    sizes[MERGED] = sizes[WIDTH] * sizes[AREA];
    sizes[HIDDEN] = from->hidden_size;
    sizes[DEPTH] = from->depth;
}

static tenebra_code read_config(const json_t *json, const char *file, tn_model_config *config, tenebra_error *error)
{
    tn_vision_config *vision = &config->vision;
    double ratio = 4;
    size_t width = config->decoder.hidden_size;
    const char *activation = "quick_gelu";
    static const char *const types[] = { "default", "axial", NULL };
    const json_t *unused;
    config->patch_size = 14;
    config->temporal_patch_size = 2;
    config->channels = 3;
    *vision = (tn_vision_config){ .embed_dim = 1280, .depth = 32, .num_heads = 16, .spatial_merge_size = 2,
                                  .numbers = { [THETA] = 10000 } };
    TN_TRY(tn_json_size(json, "depth", 1, 4096, &vision->depth, file, error));
    TN_TRY(tn_json_size(json, "embed_dim", 4, 1u << 20, &vision->embed_dim, file, error));
    TN_TRY(tn_json_size(json, "num_heads", 1, 4096, &vision->num_heads, file, error));
    TN_TRY(tn_json_number(json, "mlp_ratio", 0.01, 1000, &ratio, file, error));
    TN_TRY(tn_json_size(json, "patch_size", 1, 1024, &config->patch_size, file, error));
    TN_TRY(tn_json_size(json, "temporal_patch_size", 1, 16, &config->temporal_patch_size, file, error));
    TN_TRY(tn_json_size(json, "spatial_merge_size", 1, 16, &vision->spatial_merge_size, file, error));
    TN_TRY(tn_json_size(json, "in_chans", 1, 16, &config->channels, file, error));
    TN_TRY(tn_json_size(json, "in_channels", 1, 16, &config->channels, file, error));
    TN_TRY(tn_json_size(json, "hidden_size", 1, 1u << 20, &width, file, error));
    TN_TRY(tn_json_string(json, "hidden_act", &activation, file, error));
    TN_TRY(tn_rope_read(json, file, "vision_config.", types, &unused, &vision->numbers[THETA], error));
    if (strcmp(activation, "quick_gelu") != 0)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "the vision activation \"%s\" is not supported",
                       activation);
    if (width != config->decoder.hidden_size)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "the vision tower gives rows of %zu, the decoder takes %zu",
                       width, config->decoder.hidden_size);
    if (vision->embed_dim % vision->num_heads != 0 || vision->embed_dim / vision->num_heads % 4 != 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "%zu vision heads do not divide %zu into multiples of 4",
                       vision->num_heads, vision->embed_dim);
    if (config->channels != 3)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "pictures of %zu channels are not supported",
                       config->channels);
    vision->mlp_dim = (size_t)((double)vision->embed_dim * ratio);
    if (vision->mlp_dim == 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"mlp_ratio\" %g of %zu leaves no MLP in the vision blocks",
                       ratio, vision->embed_dim);
    vision->hidden_size = width;
    vision->patch_values = config->channels * config->temporal_patch_size * config->patch_size * config->patch_size;
    fill_sizes(config, vision->sizes);
    return TENEBRA_OK;
}

static const char *const keys[] = {
    "depth", "embed_dim", "num_heads", "mlp_ratio", "patch_size", "temporal_patch_size", "spatial_merge_size", "in_chans",
    "in_channels", "hidden_size", "hidden_act", "spatial_patch_size", NULL
};

/* --------------------------------------------------------------- forward -- */

/* Shared by all blocks of one forward. While recording it is in the arena, because the backward may read it again. */
typedef struct run_state {
    const vision_tower *tower;
    tn_rope rope;
    const size_t *borders;
    size_t segments;
} run_state;

typedef struct block_job {
    const run_state *run;
    const vision_block *block;
} block_job;

static tn_tensor attend(tn_ops *ops, const block_job *job, tn_tensor x)
{
    const run_state *run = job->run;
    const vision_block *block = job->block;
    size_t heads = run->tower->network.sizes[HEADS];
    tn_tensor q = tn_op_rope(ops, tn_piece_linear(ops, x, &block->q, &block->q_bias), &run->rope, heads);
    tn_tensor k = tn_op_rope(ops, tn_piece_linear(ops, x, &block->k, &block->k_bias), &run->rope, heads);
    tn_tensor v = tn_piece_linear(ops, x, &block->v, &block->v_bias);
    tn_tensor mixed = tn_piece_attention(ops, q, k, v, heads, run->borders, run->segments);
    return tn_piece_linear(ops, mixed, &block->proj, &block->proj_bias);
}

static tn_tensor run_block(tn_ops *ops, tn_tensor x, const void *argument, bool again)
{
    const block_job *job = argument;
    const vision_block *block = job->block;
    (void)again;
    tn_tensor normed = tn_op_layer_norm(ops, x, &block->norm1, &block->norm1_bias, EPS);
    x = tn_op_add(ops, x, attend(ops, job, normed));
    normed = tn_op_layer_norm(ops, x, &block->norm2, &block->norm2_bias, EPS);
    tn_tensor inner = tn_op_quick_gelu(ops, tn_piece_linear(ops, normed, &block->fc1, &block->fc1_bias));
    return tn_op_add(ops, x, tn_piece_linear(ops, inner, &block->fc2, &block->fc2_bias));
}

static tn_tensor merge(tn_ops *ops, const vision_tower *tower, tn_tensor x)
{
    size_t area = tower->network.sizes[AREA];
    tn_tensor normed = tn_op_layer_norm(ops, x, &tower->merge_norm, &tower->merge_norm_bias, EPS);
    tn_tensor cells = tn_op_reshape(ops, normed, normed.rows / area, normed.cols * area);
    tn_tensor inner = tn_op_gelu(ops, tn_piece_linear(ops, cells, &tower->merge1, &tower->merge1_bias));
    return tn_piece_linear(ops, inner, &tower->merge2, &tower->merge2_bias);
}

static tn_tensor encode(tn_ops *ops, const tn_network *network, tn_tensor patches, const tn_grid *grids, size_t count)
{
    const vision_tower *tower = (const vision_tower *)network;
    const size_t *sizes = network->sizes;
    size_t segments = 0;
    if (!tn_piece_grids_fit(ops, patches.rows, grids, count, sizes[MERGE]))
        return (tn_tensor){ 0 };
    run_state *run = tn_arena_take(ops->arena, 1, sizeof *run);
    block_job *jobs = tn_arena_take(ops->arena, sizes[DEPTH], sizeof *jobs);
    if (run == NULL || jobs == NULL) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MEMORY, "vision", "the working memory is full");
        return (tn_tensor){ 0 };
    }
    size_t *borders = tn_piece_frames(ops, grids, count, &segments);
    tn_rope rope = tn_piece_grid_rope(ops, grids, count, sizes[MERGE], sizes[WIDTH] / sizes[HEADS], network->numbers[THETA]);
    *run = (run_state){ tower, rope, borders, segments };
    tn_tensor x = tn_op_linear(ops, patches, &tower->patch_embed, NULL);
    tn_op_watch(ops, "vision.patch_embed", 0, x);
    for (size_t b = 0; b < sizes[DEPTH] && tn_ops_proceed(ops); b++) {
        size_t mark = tn_ops_mark(ops);
        jobs[b] = (block_job){ run, &tower->blocks[b] };
        x = tn_op_checkpoint(ops, x, run_block, &jobs[b], false);
        tn_op_watch(ops, "vision.block", b, x);
        tn_ops_release(ops, mark);
    }
    tn_tensor merged = merge(ops, tower, x);
    return ops->failure.code == TENEBRA_OK ? merged : (tn_tensor){ 0 };
}

const tn_image_encoder tn_image_encoder_qwen2_vl = {
    .layout = &layout,
    .keys = keys,
    .read_config = read_config,
    .encode = encode,
};
