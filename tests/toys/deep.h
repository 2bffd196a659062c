/* A backbone with a tower of another structure, which exists only in this file. An image is resized so that its shorter side
 * fits, and cropped to a square. The tower has no attention: it consists of blocks of a norm and an MLP for small squares of
 * pixels, four of which become one row. The first two blocks also give vectors that are added to the rows after the first two
 * layers of the decoder. Positions, tensors and keys are different from those of other backbones. */
#ifndef TN_TESTS_TOYS_DEEP_H
#define TN_TESTS_TOYS_DEEP_H

#include "base/checked.h"
#include "model/backbone.h"
#include "model/pieces.h"
#include "model/row.h"

#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------- encoder -- */

enum { DEEP_WIDTH = TN_SIZE_OWN, DEEP_INNER, DEEP_PIECE, DEEP_SHOWN, DEEP_VALUES, DEEP_FOUR, DEEP_HIDDEN, DEEP_BLOCKS, DEEP_AREA };

static const double DEEP_EPS = 1e-5;

typedef struct deep_block {
    tn_vector scale, shift;
    tn_weight up, down, give;
    tn_vector up_bias;
} deep_block;

typedef struct deep_tower {
    tn_network network;
    tn_weight stem, out;
    tn_vector stem_bias, out_bias;
    deep_block *blocks;
} deep_tower;

#define DEEP_TOWER(member) 0, offsetof(deep_tower, member), 1
#define DEEP_BLOCK(member) TN_ENCODER_BLOCK, offsetof(deep_block, member), 1
#define DEEP_ROW(name_, ...) .name = name_, TN_LAYOUT_ROW(__VA_ARGS__)

static const tn_layout_row deep_tower_rows[] = {
    { DEEP_ROW("eye.stem.weight", PATCHES, DEEP_TOWER(stem), DEEP_WIDTH, DEEP_VALUES) },
    { DEEP_ROW("eye.stem.bias", BIAS, DEEP_TOWER(stem_bias), DEEP_WIDTH) },
    { DEEP_ROW("eye.block.%zu.scale", SCALE, DEEP_BLOCK(scale), DEEP_WIDTH) },
    { DEEP_ROW("eye.block.%zu.shift", SHIFT, DEEP_BLOCK(shift), DEEP_WIDTH) },
    { DEEP_ROW("eye.block.%zu.up.weight", LINEAR, DEEP_BLOCK(up), DEEP_INNER, DEEP_WIDTH) },
    { DEEP_ROW("eye.block.%zu.up.bias", BIAS, DEEP_BLOCK(up_bias), DEEP_INNER) },
    { DEEP_ROW("eye.block.%zu.down.weight", LINEAR, DEEP_BLOCK(down), DEEP_WIDTH, DEEP_INNER), .residual = true },
    { DEEP_ROW("eye.block.%zu.give.weight", LINEAR, DEEP_BLOCK(give), DEEP_HIDDEN, DEEP_FOUR), .pooled = DEEP_AREA },
    { DEEP_ROW("eye.out.weight", LINEAR, DEEP_TOWER(out), DEEP_HIDDEN, DEEP_FOUR), .pooled = DEEP_AREA },
    { DEEP_ROW("eye.out.bias", BIAS, DEEP_TOWER(out_bias), DEEP_HIDDEN) },
    { .name = NULL }
};

static const tn_layout deep_tower_layout = {
    .kind = TN_NETWORK_IMAGES,
    .bytes = sizeof(deep_tower),
    .groups = { [TN_ENCODER_BLOCK] = { offsetof(deep_tower, blocks), sizeof(deep_block), DEEP_BLOCKS, 0, NULL } },
    .rows = deep_tower_rows,
};

typedef struct deep_rule {
    size_t piece, shown; /* sides, pixels */
} deep_rule;

static tenebra_code deep_read_tower(const json_t *part, const char *file, tn_model_config *config, tenebra_error *error)
{
    size_t *sizes = config->vision.sizes;
    TN_TRY(tn_json_size(part, "width", 1, 64, &sizes[DEEP_WIDTH], file, error));
    TN_TRY(tn_json_size(part, "inner", 1, 64, &sizes[DEEP_INNER], file, error));
    TN_TRY(tn_json_size(part, "piece", 1, 64, &sizes[DEEP_PIECE], file, error));
    TN_TRY(tn_json_size(part, "shown", 1, 512, &sizes[DEEP_SHOWN], file, error));
    sizes[DEEP_VALUES] = TN_IMAGE_CHANNELS * sizes[DEEP_PIECE] * sizes[DEEP_PIECE];
    sizes[DEEP_AREA] = 4;
    sizes[DEEP_FOUR] = 4 * sizes[DEEP_WIDTH];
    sizes[DEEP_HIDDEN] = config->decoder.hidden_size;
    sizes[DEEP_BLOCKS] = config->vision.deep = 2;
    return TENEBRA_OK;
}

static tenebra_code deep_read_rule(const json_t *part, const char *file, const tn_encoder_config *config, void *rule, tenebra_error *error)
{
    size_t shown = config->sizes[DEEP_SHOWN];
    TN_TRY(tn_json_size(part, "shown", 1, 512, &shown, file, error));
    *(deep_rule *)rule = (deep_rule){ config->sizes[DEEP_PIECE], shown };
    return shown % (2 * config->sizes[DEEP_PIECE]) == 0 ? TENEBRA_OK
                                                        : tn_fail(error, TENEBRA_ERROR_MISMATCH, file, "%zu pixels are not whole "
                                                                                                       "cells", shown);
}

static void deep_note_rule(const json_t *part, const char *file, const char *prefix, tn_notes *notes)
{
    static const char *const keys[] = { "image_processor_type", "shown", NULL };
    tn_notes_unknown(notes, part, keys, file, prefix);
}

static bool deep_same_rule(const void *one, const void *other)
{
    return memcmp(one, other, sizeof(deep_rule)) == 0;
}

static void deep_bounds(const void *rule, size_t *least, size_t *most)
{
    const deep_rule *r = rule;
    *least = *most = r->shown * r->shown;
}

static bool deep_write_rule(json_t *part, const tn_encoder_config *config, const void *rule, const tenebra_image_rule *asked)
{
    (void)asked;
    size_t shown = rule != NULL ? ((const deep_rule *)rule)->shown : config->sizes[DEEP_SHOWN];
    return json_object_set_new(part, "shown", json_integer((json_int_t)shown)) == 0;
}

/* One size. */
static tenebra_code deep_fit(const void *rule, size_t width, size_t height, const tenebra_image_rule *asked, tn_fit *fit,
                             tenebra_error *error)
{
    size_t shown = ((const deep_rule *)rule)->shown, least = tn_min(width, height);
    if (asked->width + asked->height + asked->min_pixels + asked->max_pixels + asked->min_tokens + asked->max_tokens > 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "image", "models of this type see all images in one size");
    *fit = tn_fit_whole(tn_max(shown, shown * width / least), tn_max(shown, shown * height / least), TN_RESAMPLE_BILINEAR);
    fit->left = (fit->width - shown) / 2;
    fit->top = (fit->height - shown) / 2;
    fit->seen_width = fit->seen_height = shown;
    return TENEBRA_OK;
}

static tn_image_rows deep_measure(const void *rule, size_t width, size_t height)
{
    size_t cell = 2 * ((const deep_rule *)rule)->piece;
    return (tn_image_rows){ .rows = (width / cell) * (height / cell), .frames = 1, .grid_rows = height / cell, .grid_columns = width / cell };
}

static size_t deep_area(const void *rule)
{
    const deep_rule *r = rule;
    return 4 * r->piece * r->piece;
}

/* Values -1 to 1; squares in the order of cells, inside each row by row. */
static tenebra_code deep_prepare(const void *rule, const tn_image *image, tn_prepared *prepared, tenebra_error *error)
{
    size_t piece = ((const deep_rule *)rule)->piece, down = image->height / piece, across = image->width / piece;
    size_t columns = TN_IMAGE_CHANNELS * piece * piece, stride = image->width * TN_IMAGE_CHANNELS;
    tn_real *values = malloc(down * across * columns * sizeof *values), *to = values;
    *prepared = (tn_prepared){ 0 };
    if (values == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "image", "no memory");
    for (size_t i = 0; i < down * across; i++) {
        size_t row = i / 4 / (across / 2) * 2 + i % 4 / 2, column = i / 4 % (across / 2) * 2 + i % 2;
        for (size_t y = 0; y < piece; y++)
            for (size_t x = 0; x < TN_IMAGE_CHANNELS * piece; x++)
                *to++ = (tn_real)image->pixels[(row * piece + y) * stride + column * piece * TN_IMAGE_CHANNELS + x] / 127 - 1;
    }
    *prepared = (tn_prepared){ down * across, columns, { 1, down, across }, 0, values };
    return TENEBRA_OK;
}

static tn_encoded deep_encode(tn_ops *ops, const tn_network *network, const tn_prepared *const *pictures, size_t count)
{
    const deep_tower *tower = (const deep_tower *)network;
    const size_t *sizes = network->sizes;
    tn_encoded all = { 0 };
    tn_tensor x = tn_piece_join(ops, pictures, count, sizes[DEEP_VALUES]);
    x = tn_op_gelu(ops, tn_piece_linear(ops, x, &tower->stem, &tower->stem_bias));
    tn_op_watch(ops, "vision.patch_embed", 0, x);
    for (size_t b = 0; b < sizes[DEEP_BLOCKS] && tn_ops_proceed(ops); b++) {
        const deep_block *block = &tower->blocks[b];
        tn_tensor normed = tn_op_layer_norm(ops, x, &block->scale, &block->shift, DEEP_EPS);
        tn_tensor inner = tn_op_gelu(ops, tn_piece_linear(ops, normed, &block->up, &block->up_bias));
        x = tn_op_add(ops, x, tn_piece_linear(ops, inner, &block->down, NULL));
        tn_op_watch(ops, "vision.block", b, x);
        all.deep[b] = tn_piece_linear(ops, tn_op_reshape(ops, x, x.rows / 4, sizes[DEEP_FOUR]), &block->give, NULL);
    }
    all.embeds = tn_piece_linear(ops, tn_op_reshape(ops, x, x.rows / 4, sizes[DEEP_FOUR]), &tower->out, &tower->out_bias);
    return all;
}

static const char *const deep_tower_keys[] = { "width", "inner", "piece", "shown", NULL };
static const tn_size_name deep_names[] = { { "blocks", DEEP_BLOCKS }, { "width", DEEP_WIDTH }, { "piece", DEEP_PIECE }, { NULL, 0 } };

static const tn_image_encoder deep_encoder = {
    .layout = &deep_tower_layout,
    .keys = deep_tower_keys,
    .names = deep_names,
    .read_config = deep_read_tower,
    .rule_bytes = sizeof(deep_rule),
    .read_rule = deep_read_rule,
    .note_rule = deep_note_rule,
    .same_rule = deep_same_rule,
    .bounds = deep_bounds,
    .write_rule = deep_write_rule,
    .fit = deep_fit,
    .measure = deep_measure,
    .area = deep_area,
    .prepare = deep_prepare,
    .encode = deep_encode,
};

/* -------------------------------------------------------------- backbone -- */

#define DEEP_ONCE(member) 0, offsetof(tn_decoder, member), 1
#define DEEP_LAYER(member) TN_DECODER_LAYER, offsetof(tn_decoder_layer, member), 1

static const tn_layout_row deep_rows[] = {
    { DEEP_ROW("text.table", EMBEDDING, DEEP_ONCE(embed), TN_SIZE_FREE, TN_DECODER_HIDDEN) },
    { DEEP_ROW("text.final", SCALE, DEEP_ONCE(norm), TN_DECODER_HIDDEN), .last = true },
    { DEEP_ROW("text.choice", HEAD, DEEP_ONCE(head), TN_SIZE_FREE, TN_DECODER_HIDDEN), .last = true },
    { DEEP_ROW("text.%zu.norm1", SCALE, DEEP_LAYER(input_norm), TN_DECODER_HIDDEN) },
    { DEEP_ROW("text.%zu.query.weight", LINEAR, DEEP_LAYER(q), TN_DECODER_QUERY, TN_DECODER_HIDDEN) },
    { DEEP_ROW("text.%zu.query.bias", BIAS, DEEP_LAYER(q_bias), TN_DECODER_QUERY) },
    { DEEP_ROW("text.%zu.key.weight", LINEAR, DEEP_LAYER(k), TN_DECODER_KEY, TN_DECODER_HIDDEN), .reads = TN_READS_SAME },
    { DEEP_ROW("text.%zu.value.weight", LINEAR, DEEP_LAYER(v), TN_DECODER_KEY, TN_DECODER_HIDDEN), .reads = TN_READS_SAME },
    { DEEP_ROW("text.%zu.query.norm", SCALE, DEEP_LAYER(q_norm), TN_DECODER_HEAD) },
    { DEEP_ROW("text.%zu.key.norm", SCALE, DEEP_LAYER(k_norm), TN_DECODER_HEAD) },
    { DEEP_ROW("text.%zu.mix.weight", LINEAR, DEEP_LAYER(o), TN_DECODER_HIDDEN, TN_DECODER_QUERY), .reads = TN_READS_ATTENTION,
      .residual = true },
    { DEEP_ROW("text.%zu.norm2", SCALE, DEEP_LAYER(post_attention_norm), TN_DECODER_HIDDEN) },
    { DEEP_ROW("text.%zu.gate.weight", LINEAR, DEEP_LAYER(gate), TN_DECODER_INTERMEDIATE, TN_DECODER_HIDDEN) },
    { DEEP_ROW("text.%zu.up.weight", LINEAR, DEEP_LAYER(up), TN_DECODER_INTERMEDIATE, TN_DECODER_HIDDEN), .reads = TN_READS_SAME },
    { DEEP_ROW("text.%zu.down.weight", LINEAR, DEEP_LAYER(down), TN_DECODER_HIDDEN, TN_DECODER_INTERMEDIATE), .residual = true },
    { .name = NULL }
};

static const tn_layout deep_layout = {
    .kind = TN_NETWORK_DECODER,
    .bytes = sizeof(tn_decoder),
    .groups = { [TN_DECODER_LAYER] = { offsetof(tn_decoder, layers), sizeof(tn_decoder_layer), TN_DECODER_LAYERS, 0, NULL } },
    .rows = deep_rows,
};

static tenebra_code deep_read_config(const json_t *json, const char *file, tn_model_config *config, tenebra_error *error)
{
    tn_decoder_config *d = &config->decoder;
    size_t token = 0;
    *config = (tn_model_config){ .decoder = { .rms_norm_eps = 1e-6, .head_norm_eps = 1e-6, .rope_theta = 500, .num_key_value_heads = 2, .head_dim = 8,
                                              .mrope_section = { 1, 2, 1 } },
                                 .picture_begin = -1, .picture_end = -1, .tie_word_embeddings = true };
    TN_TRY(tn_json_size(json, "channels", 2, 4096, &d->hidden_size, file, error));
    TN_TRY(tn_json_size(json, "depth", 1, 64, &d->num_hidden_layers, file, error));
    TN_TRY(tn_json_size(json, "heads", 1, 64, &d->num_attention_heads, file, error));
    TN_TRY(tn_json_size(json, "inner", 1, 4096, &d->intermediate_size, file, error));
    TN_TRY(tn_json_size(json, "reach", 1, 1 << 20, &d->max_position_embeddings, file, error));
    TN_TRY(tn_json_size(json, "vocab_size", 1, 1 << 20, &config->vocab_size, file, error));
    TN_TRY(tn_json_size(json, "picture", 0, INT32_MAX, &token, file, error));
    config->picture_token = (int32_t)token;
    return deep_encoder.read_config(json_object_get(json, "eye"), file, config, error);
}

/* The cells of an image have one time, and their rows and columns; what follows is placed after the sum of both. */
static int32_t deep_positions(tn_row *rows, size_t count, int32_t first)
{
    for (size_t i = 0; i < count; i++) {
        const tn_image_rows *picture = rows[i].picture;
        if (rows[i].kind != TN_ROW_CELL) {
            rows[i].position = (tn_position){ { first, first, first } };
            first++;
            continue;
        }
        rows[i].position = (tn_position){ { first, first + (int32_t)(rows[i].cell / picture->grid_columns),
                                            first + (int32_t)(rows[i].cell % picture->grid_columns) } };
        if (rows[i].cell + 1 == picture->rows)
            first += (int32_t)(picture->grid_rows + picture->grid_columns);
    }
    return first;
}

static const char *const deep_types[] = { "toy_deep", NULL };
static const char *const deep_keys[] = { "channels", "depth", "heads", "inner", "reach", "vocab_size", "picture", "eye", NULL };

static const tn_backbone deep_backbone = {
    .name = "toy-deep",
    .model_types = deep_types,
    .picture_keys = { "picture", NULL, NULL },
    .chat_template = "qwen2-vl",
    .renamed_since = { 99, 0 },
    .decoder = &deep_layout,
    .encoder = &deep_encoder,
    .encoder_part = "eye",
    .preprocessor = "{\"image_processor_type\": \"ToyDeep\", \"shown\": 24}",
    .top_keys = deep_keys,
    .text_keys = deep_keys,
    .read_config = deep_read_config,
    .positions = deep_positions,
};

static const char deep_shape[] =
    "{\"tokens\": {\"picture\": \"<|image_pad|>\", \"eos_token_id\": \"<|im_end|>\"}, \"config\": {\"model_type\": \"toy_deep\", "
    "\"channels\": 32, \"depth\": 3, \"heads\": 4, \"inner\": 40, \"reach\": 4096, \"vocab_size\": 1024, \"picture\": 1012, "
    "\"eos_token_id\": 1002, \"eye\": {\"width\": 12, \"inner\": 20, \"piece\": 6, \"shown\": 36}}}";

#endif
