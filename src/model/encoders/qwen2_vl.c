/* The vision tower of Qwen2-VL: linear patch embedding, 2-D rotary positions, full attention inside each frame, and a
 * merger that converts m x m patches to one embedding of the decoder's width. Source: arXiv:2409.12191, section 2.1,
 * and the layout of the published checkpoints. */
#include "image/patches.h"
#include "model/backbone.h"
#include "model/pieces.h"
#include "model/rotary.h"

#include "base/checked.h"

#include <string.h>

enum { WIDTH = TN_SIZE_OWN, MLP, HEADS, CHANNELS, FRAMES, SIDE, MERGE, AREA /* m^2 */, MERGED /* m^2 E */, HIDDEN, DEPTH,
       VALUES /* of a patch */ };
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
    .groups = { [TN_ENCODER_BLOCK] = { offsetof(vision_tower, blocks), sizeof(vision_block), DEPTH, 0, NULL } },
    .rows = rows,
};

/* --------------------------------------------------------- configuration -- */

static tenebra_code read_config(const json_t *json, const char *file, tn_model_config *config, tenebra_error *error)
{
    tn_encoder_config *vision = &config->vision;
    double ratio = 4;
    const char *activation = "quick_gelu";
    static const char *const types[] = { "default", "axial", NULL };
    const json_t *unused;
    *vision = (tn_encoder_config){ .sizes = { [WIDTH] = 1280, [DEPTH] = 32, [HEADS] = 16, [MERGE] = 2, [SIDE] = 14, [FRAMES] = 2,
                                              [CHANNELS] = 3, [HIDDEN] = config->decoder.hidden_size },
                                   .numbers = { [THETA] = 10000 } };
    size_t *sizes = vision->sizes;
    TN_TRY(tn_json_size(json, "depth", 1, 4096, &sizes[DEPTH], file, error));
    TN_TRY(tn_json_size(json, "embed_dim", 4, 1u << 20, &sizes[WIDTH], file, error));
    TN_TRY(tn_json_size(json, "num_heads", 1, 4096, &sizes[HEADS], file, error));
    TN_TRY(tn_json_number(json, "mlp_ratio", 0.01, 1000, &ratio, file, error));
    TN_TRY(tn_json_size(json, "patch_size", 1, 1024, &sizes[SIDE], file, error));
    TN_TRY(tn_json_size(json, "temporal_patch_size", 1, 16, &sizes[FRAMES], file, error));
    TN_TRY(tn_json_size(json, "spatial_merge_size", 1, 16, &sizes[MERGE], file, error));
    TN_TRY(tn_json_size(json, "in_chans", 1, 16, &sizes[CHANNELS], file, error));
    TN_TRY(tn_json_size(json, "in_channels", 1, 16, &sizes[CHANNELS], file, error));
    TN_TRY(tn_json_size(json, "hidden_size", 1, 1u << 20, &sizes[HIDDEN], file, error));
    TN_TRY(tn_json_string(json, "hidden_act", &activation, file, error));
    TN_TRY(tn_rope_read(json, file, types, &unused, &vision->numbers[THETA], error));
    if (strcmp(activation, "quick_gelu") != 0)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "the vision activation \"%s\" is not supported",
                       activation);
    if (sizes[HIDDEN] != config->decoder.hidden_size)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "the vision tower gives rows of %zu, the decoder takes %zu",
                       sizes[HIDDEN], config->decoder.hidden_size);
    if (sizes[WIDTH] % sizes[HEADS] != 0 || sizes[WIDTH] / sizes[HEADS] % 4 != 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "%zu vision heads do not divide %zu into multiples of 4",
                       sizes[HEADS], sizes[WIDTH]);
    if (sizes[CHANNELS] != TN_IMAGE_CHANNELS)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "pictures of %zu channels are not supported",
                       sizes[CHANNELS]);
    sizes[MLP] = (size_t)((double)sizes[WIDTH] * ratio);
    if (sizes[MLP] == 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"mlp_ratio\" %g of %zu leaves no MLP in the vision blocks",
                       ratio, sizes[WIDTH]);
    sizes[AREA] = sizes[MERGE] * sizes[MERGE];
    sizes[MERGED] = sizes[WIDTH] * sizes[AREA];
    sizes[VALUES] = sizes[CHANNELS] * sizes[FRAMES] * sizes[SIDE] * sizes[SIDE];
    return TENEBRA_OK;
}

static const tn_size_name names[] = {
    { "depth", DEPTH }, { "embed_dim", WIDTH }, { "num_heads", HEADS }, { "mlp_dim", MLP }, { "patch_size", SIDE },
    { "temporal_patch_size", FRAMES }, { "spatial_merge_size", MERGE }, { "patch_values", VALUES }, { NULL, 0 }
};

static const char *const keys[] = {
    "depth", "embed_dim", "num_heads", "mlp_ratio", "patch_size", "temporal_patch_size", "spatial_merge_size", "in_chans",
    "in_channels", "hidden_size", "hidden_act", "spatial_patch_size", NULL
};

/* -------------------------------------------------------------- images -- */

/* The bounds of qwen_vl_utils.fetch_image (0.0.14) if a part has none, in cells. */
enum { FETCH_MIN_CELLS = 4, FETCH_MAX_CELLS = 16384 };

static tenebra_code read_rule(const json_t *part, const char *file, const tn_encoder_config *config, void *rule, tenebra_error *error)
{
    tn_patch_config *patches = rule;
    TN_TRY(tn_patch_config_read(part, file, patches, error));
    if (patches->patch_size != config->sizes[SIDE] || patches->merge_size != config->sizes[MERGE] ||
        patches->temporal_patch_size != config->sizes[FRAMES])
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, file, "patch, merge or temporal size differs from config.json");
    return TENEBRA_OK;
}

static bool same_rule(const void *one, const void *other)
{
    const tn_patch_config *a = one, *b = other;
    bool same = a->patch_size == b->patch_size && a->merge_size == b->merge_size && a->min_pixels == b->min_pixels &&
                a->temporal_patch_size == b->temporal_patch_size && a->max_pixels == b->max_pixels && a->rescale == b->rescale &&
                a->resample == b->resample && a->resize == b->resize;
    for (size_t c = 0; c < TN_IMAGE_CHANNELS; c++)
        same = same && a->mean[c] == b->mean[c] && a->std[c] == b->std[c];
    return same;
}

static void bounds(const void *rule, size_t *least, size_t *most)
{
    const tn_patch_config *patches = rule;
    *least = patches->min_pixels;
    *most = patches->max_pixels;
}

static bool put(json_t *part, const char *key, size_t value)
{
    return json_object_set_new(part, key, json_integer((json_int_t)value)) == 0;
}

/* The bounds are written in all places where a reader looks for them; transformers 4 does not look into "size". */
static bool write_rule(json_t *part, const tn_encoder_config *config, const void *rule, const tenebra_image_rule *asked)
{
    json_t *size = json_object_get(part, "size");
    bool fits = config == NULL || (put(part, "patch_size", config->sizes[SIDE]) && put(part, "merge_size", config->sizes[MERGE]) &&
                                   put(part, "temporal_patch_size", config->sizes[FRAMES]));
    if (rule == NULL)
        return fits;
    const tn_patch_config *patches = rule;
    size_t least = asked->min_pixels > 0 ? asked->min_pixels : patches->min_pixels;
    size_t most = asked->max_pixels > 0 ? asked->max_pixels : patches->max_pixels;
    least = least < most ? least : most;
    fits = fits && put(part, "min_pixels", least) && put(part, "max_pixels", most);
    if (!json_is_object(size))
        return fits;
    json_object_del(size, "min_pixels");
    json_object_del(size, "max_pixels");
    return fits && put(size, "shortest_edge", least) && put(size, "longest_edge", most);
}

static size_t side_of_cell(const tn_patch_config *patches)
{
    return patches->patch_size * patches->merge_size;
}

/* A fixed size, or the rule within bounds. */
static tenebra_code fit(const void *rule, size_t width, size_t height, const tenebra_image_rule *asked, tn_fit *to, tenebra_error *error)
{
    const tn_patch_config *patches = rule;
    size_t cell = side_of_cell(patches), least = patches->min_pixels, most = patches->max_pixels, w, h;
    bool fixed;
    TN_TRY(tn_picture_fixed(asked, cell, &fixed, &w, &h, error));
    if (!fixed && patches->resize) {
        TN_TRY(tn_picture_bounds(asked, cell * cell, &least, &most, error));
        TN_TRY(tn_smart_resize(height, width, cell, least, most, &h, &w, error));
    }
    *to = fixed || patches->resize ? tn_fit_whole(w, h, patches->resample) : tn_fit_whole(width, height, patches->resample);
    return TENEBRA_OK;
}

static tenebra_code fit_part(const void *rule, size_t width, size_t height, const tenebra_part *part, tn_fit *to, tenebra_error *error)
{
    size_t cell = side_of_cell(rule), area, w, h;
    size_t smallest = FETCH_MIN_CELLS * cell * cell, largest = FETCH_MAX_CELLS * cell * cell;
    if (part->resized_width > 0) {
        height = part->resized_height;
        width = part->resized_width;
    } else {
        smallest = part->min_pixels ? part->min_pixels : smallest;
        largest = part->max_pixels ? part->max_pixels : largest;
    }
    if (smallest > largest)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "image", "min_pixels %zu and max_pixels %zu of a part leave nothing", smallest,
                       largest);
    TN_TRY(tn_smart_resize(height, width, cell, smallest, largest, &h, &w, error));
    if (!tn_size_mul(w, h, &area) || area > tn_image_limits_default().max_pixels)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "image", "a part asks for %zu x %zu pixels; the limit is %zu in all", w, h,
                       tn_image_limits_default().max_pixels);
    *to = tn_fit_whole(w, h, TN_RESAMPLE_BICUBIC);
    return TENEBRA_OK;
}

/* Sides that do not fill whole cells are cut off. */
static tn_image_rows measure(const void *rule, size_t width, size_t height)
{
    size_t cell = side_of_cell(rule);
    return (tn_image_rows){ .rows = (height / cell) * (width / cell), .frames = 1, .grid_rows = height / cell,
                            .grid_columns = width / cell };
}

static size_t area(const void *rule)
{
    return side_of_cell(rule) * side_of_cell(rule);
}

static tenebra_code prepare(const void *rule, const tn_image *image, tn_prepared *prepared, tenebra_error *error)
{
    tn_patches cut;
    *prepared = (tn_prepared){ 0 };
    TN_TRY(tn_patches_cut(rule, image, &cut, error));
    double frame = (double)cut.grid_h * (double)cut.grid_w;
    *prepared = (tn_prepared){ cut.count, cut.columns, { cut.grid_t, cut.grid_h, cut.grid_w }, (double)cut.grid_t * frame * frame,
                               cut.values };
    return TENEBRA_OK;
}

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

static tn_encoded encode(tn_ops *ops, const tn_network *network, const tn_prepared *const *pictures, size_t count)
{
    const vision_tower *tower = (const vision_tower *)network;
    const size_t *sizes = network->sizes;
    size_t segments = 0;
    tn_grid *grids = tn_piece_grids(ops, pictures, count);
    tn_tensor x = tn_piece_join(ops, pictures, count, sizes[VALUES]);
    if (grids == NULL || tn_tensor_is_empty(x) || !tn_piece_grids_fit(ops, x.rows, grids, count, sizes[MERGE]))
        return (tn_encoded){ 0 };
    run_state *run = tn_ops_take(ops, "vision", 1, sizeof *run);
    block_job *jobs = tn_ops_take(ops, "vision", sizes[DEPTH], sizeof *jobs);
    if (jobs == NULL) {
        return (tn_encoded){ 0 };
    }
    size_t *borders = tn_piece_frames(ops, grids, count, &segments);
    tn_rope rope = tn_piece_grid_rope(ops, grids, count, sizes[MERGE], sizes[WIDTH] / sizes[HEADS], network->numbers[THETA]);
    *run = (run_state){ tower, rope, borders, segments };
    x = tn_op_linear(ops, x, &tower->patch_embed, NULL);
    tn_op_watch(ops, "vision.patch_embed", 0, x);
    for (size_t b = 0; b < sizes[DEPTH] && tn_ops_proceed(ops); b++) {
        size_t mark = tn_ops_mark(ops);
        jobs[b] = (block_job){ run, &tower->blocks[b] };
        x = tn_op_checkpoint(ops, x, run_block, &jobs[b], false);
        tn_op_watch(ops, "vision.block", b, x);
        tn_ops_release(ops, mark);
    }
    return (tn_encoded){ .embeds = merge(ops, tower, x) };
}

const tn_image_encoder tn_image_encoder_qwen2_vl = {
    .layout = &layout,
    .keys = keys,
    .names = names,
    .read_config = read_config,
    .rule_bytes = sizeof(tn_patch_config),
    .read_rule = read_rule,
    .note_rule = tn_patch_config_note,
    .same_rule = same_rule,
    .bounds = bounds,
    .write_rule = write_rule,
    .fit = fit,
    .fit_part = fit_part,
    .measure = measure,
    .area = area,
    .prepare = prepare,
    .encode = encode,
};
