/* A backbone whose images are tokens, which exists only in this file. Each square of pixels is replaced by the nearest of some
 * vectors, and each of these is a token of the vocabulary. The results of attention and MLP are normed, and so is each head of
 * queries and keys, with separate scales. Positions are 0, 1, 2, ...; tensors and keys have names of their own. */
#ifndef TN_TESTS_TOYS_CODES_H
#define TN_TESTS_TOYS_CODES_H

#include "base/checked.h"
#include "model/backbone.h"
#include "model/pieces.h"
#include "model/row.h"

#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------- encoder -- */

enum { CODES_WIDTH = TN_SIZE_OWN, CODES_SIDE, CODES_VALUES, CODES_COUNT };

typedef struct codes_tower {
    tn_network network;
    tn_weight project, book; /* [WIDTH, VALUES], [COUNT, WIDTH] */
} codes_tower;

static const tn_layout_row codes_tower_rows[] = {
    { .name = "quantiser.project.weight", TN_LAYOUT_ROW(PATCHES, 0, offsetof(codes_tower, project), 1, CODES_WIDTH, CODES_VALUES) },
    { .name = "quantiser.book.weight", TN_LAYOUT_ROW(LINEAR, 0, offsetof(codes_tower, book), 1, CODES_COUNT, CODES_WIDTH) },
    { .name = NULL }
};

static const tn_layout codes_tower_layout = { .kind = TN_NETWORK_IMAGES, .bytes = sizeof(codes_tower), .rows = codes_tower_rows };

/* Sides of the grid, in squares. */
enum { CODES_SHORTEST = 2, CODES_LONGEST = 4 };

typedef struct codes_rule {
    size_t side;
    double rescale;
} codes_rule;

static tenebra_code codes_read_tower(const json_t *part, const char *file, tn_model_config *config, tenebra_error *error)
{
    size_t *sizes = config->vision.sizes;
    TN_TRY(tn_json_size(part, "width", 1, 64, &sizes[CODES_WIDTH], file, error));
    TN_TRY(tn_json_size(part, "side", 1, 64, &sizes[CODES_SIDE], file, error));
    sizes[CODES_VALUES] = TN_IMAGE_CHANNELS * sizes[CODES_SIDE] * sizes[CODES_SIDE];
    sizes[CODES_COUNT] = config->vision.code_count;
    return TENEBRA_OK;
}

static tenebra_code codes_read_rule(const json_t *part, const char *file, const tn_encoder_config *config, void *rule, tenebra_error *error)
{
    codes_rule *r = rule;
    *r = (codes_rule){ config->sizes[CODES_SIDE], 1.0 / 255 };
    TN_TRY(tn_json_number(part, "rescale_factor", 1e-9, 1e9, &r->rescale, file, error));
    return TENEBRA_OK;
}

static void codes_note_rule(const json_t *part, const char *file, const char *prefix, tn_notes *notes)
{
    static const char *const keys[] = { "image_processor_type", "rescale_factor", NULL };
    tn_notes_unknown(notes, part, keys, file, prefix);
}

static bool codes_same_rule(const void *one, const void *other)
{
    const codes_rule *a = one, *b = other;
    return a->side == b->side && a->rescale == b->rescale;
}

static void codes_bounds(const void *rule, size_t *least, size_t *most)
{
    const codes_rule *r = rule;
    *least = CODES_SHORTEST * CODES_SHORTEST * r->side * r->side;
    *most = CODES_LONGEST * CODES_LONGEST * r->side * r->side;
}

static size_t codes_round(size_t pixels, size_t side)
{
    return tn_max(CODES_SHORTEST, tn_min(CODES_LONGEST, (pixels + side / 2) / side)) * side;
}

static tenebra_code codes_fit(const void *rule, size_t width, size_t height, const tenebra_image_rule *asked, tn_fit *fit,
                              tenebra_error *error)
{
    const codes_rule *r = rule;
    bool fixed;
    size_t w, h;
    TN_TRY(tn_picture_fixed(asked, r->side, &fixed, &w, &h, error));
    *fit = fixed ? tn_fit_whole(w, h, TN_RESAMPLE_LANCZOS)
                 : tn_fit_whole(codes_round(width, r->side), codes_round(height, r->side), TN_RESAMPLE_LANCZOS);
    return TENEBRA_OK;
}

static tn_image_rows codes_measure(const void *rule, size_t width, size_t height)
{
    const codes_rule *r = rule;
    size_t rows = height / r->side, columns = width / r->side;
    return (tn_image_rows){ .rows = rows * columns, .frames = 1, .grid_rows = rows, .grid_columns = columns };
}

static size_t codes_area(const void *rule)
{
    const codes_rule *r = rule;
    return r->side * r->side;
}

static tenebra_code codes_prepare(const void *rule, const tn_image *image, tn_prepared *prepared, tenebra_error *error)
{
    const codes_rule *r = rule;
    size_t side = r->side, down = image->height / side, across = image->width / side, columns = TN_IMAGE_CHANNELS * side * side;
    tn_real *values = malloc(down * across * columns * sizeof *values), *to = values;
    *prepared = (tn_prepared){ 0 };
    if (values == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "image", "no memory");
    for (size_t cell = 0; cell < down * across; cell++)
        for (size_t y = 0; y < side; y++)
            for (size_t i = 0; i < TN_IMAGE_CHANNELS * side; i++) {
                size_t line = cell / across * side + y, first = cell % across * side * TN_IMAGE_CHANNELS;
                *to++ = (tn_real)(image->pixels[line * image->width * TN_IMAGE_CHANNELS + first + i] * r->rescale - 0.5);
            }
    *prepared = (tn_prepared){ down * across, columns, { 1, down, across }, 0, values };
    return TENEBRA_OK;
}

/* The nearest entry e of the book has the largest z e - |e|^2 / 2; of equal ones it is the first. */
static tn_encoded codes_encode(tn_ops *ops, const tn_network *network, const tn_prepared *const *pictures, size_t count)
{
    const codes_tower *tower = (const codes_tower *)network;
    size_t codes = network->sizes[CODES_COUNT], width = network->sizes[CODES_WIDTH];
    const tn_tensor x = tn_piece_join(ops, pictures, count, network->sizes[CODES_VALUES]);
    tn_real *half = tn_arena_take(ops->arena, codes, sizeof *half), *entry = tn_arena_take(ops->arena, width, sizeof *entry);
    size_t *places = tn_arena_take(ops->arena, x.rows + 1, sizeof *places);
    int32_t *chosen = tn_arena_take(ops->arena, x.rows + 1, sizeof *chosen);
    if (half == NULL || entry == NULL || places == NULL || chosen == NULL) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MEMORY, "vision", "the working memory is full");
        return (tn_encoded){ 0 };
    }
    for (size_t c = 0; c < codes; c++) {
        tn_matrix_unpack(&tower->book.matrix, c, 0, width, entry);
        half[c] = 0;
        for (size_t i = 0; i < width; i++)
            half[c] -= entry[i] * entry[i] / 2;
    }
    const tn_vector bias = { codes, half, NULL };
    tn_tensor z = tn_op_linear(ops, x, &tower->project, NULL);
    tn_op_watch(ops, "vision.patch_embed", 0, z);
    if (!tn_op_argmax(ops, tn_op_linear(ops, z, &tower->book, &bias), places))
        return (tn_encoded){ 0 };
    for (size_t i = 0; i < x.rows; i++)
        chosen[i] = (int32_t)places[i];
    return (tn_encoded){ .codes = chosen };
}

static const char *const codes_tower_keys[] = { "width", "side", NULL };
static const tn_size_name codes_names[] = { { "width", CODES_WIDTH }, { "side", CODES_SIDE }, { "codes", CODES_COUNT }, { NULL, 0 } };

static const tn_image_encoder codes_encoder = {
    .layout = &codes_tower_layout,
    .keys = codes_tower_keys,
    .names = codes_names,
    .read_config = codes_read_tower,
    .rule_bytes = sizeof(codes_rule),
    .read_rule = codes_read_rule,
    .note_rule = codes_note_rule,
    .same_rule = codes_same_rule,
    .bounds = codes_bounds,
    .fit = codes_fit,
    .measure = codes_measure,
    .area = codes_area,
    .prepare = codes_prepare,
    .encode = codes_encode,
};

/* -------------------------------------------------------------- backbone -- */

#define CODES_ONCE(member) 0, offsetof(tn_decoder, member), 1
#define CODES_LAYER(member) TN_DECODER_LAYER, offsetof(tn_decoder_layer, member), 1
#define CODES_ROW(name_, ...) .name = name_, TN_LAYOUT_ROW(__VA_ARGS__)

static const tn_layout_row codes_rows[] = {
    { CODES_ROW("words.weight", EMBEDDING, CODES_ONCE(embed), TN_SIZE_FREE, TN_DECODER_HIDDEN) },
    { CODES_ROW("end.scale", SCALE, CODES_ONCE(norm), TN_DECODER_HIDDEN), .last = true },
    { CODES_ROW("end.words.weight", HEAD, CODES_ONCE(head), TN_SIZE_FREE, TN_DECODER_HIDDEN), .last = true },
    { CODES_ROW("layer.%zu.before", SCALE, CODES_LAYER(input_norm), TN_DECODER_HIDDEN) },
    { CODES_ROW("layer.%zu.q.weight", LINEAR, CODES_LAYER(q), TN_DECODER_QUERY, TN_DECODER_HIDDEN) },
    { CODES_ROW("layer.%zu.k.weight", LINEAR, CODES_LAYER(k), TN_DECODER_KEY, TN_DECODER_HIDDEN), .reads = TN_READS_SAME },
    { CODES_ROW("layer.%zu.v.weight", LINEAR, CODES_LAYER(v), TN_DECODER_KEY, TN_DECODER_HIDDEN), .reads = TN_READS_SAME },
    { CODES_ROW("layer.%zu.q.scale", SCALE, CODES_LAYER(q_norm), TN_DECODER_HEADS, TN_DECODER_HEAD) },
    { CODES_ROW("layer.%zu.q.shift", SHIFT, CODES_LAYER(q_norm_bias), TN_DECODER_HEADS, TN_DECODER_HEAD) },
    { CODES_ROW("layer.%zu.k.scale", SCALE, CODES_LAYER(k_norm), TN_DECODER_KEY_HEADS, TN_DECODER_HEAD) },
    { CODES_ROW("layer.%zu.k.shift", SHIFT, CODES_LAYER(k_norm_bias), TN_DECODER_KEY_HEADS, TN_DECODER_HEAD) },
    { CODES_ROW("layer.%zu.o.weight", LINEAR, CODES_LAYER(o), TN_DECODER_HIDDEN, TN_DECODER_QUERY), .reads = TN_READS_ATTENTION,
      .residual = true },
    { CODES_ROW("layer.%zu.between", SCALE, CODES_LAYER(post_attention_norm), TN_DECODER_HIDDEN) },
    { CODES_ROW("layer.%zu.gate.weight", LINEAR, CODES_LAYER(gate), TN_DECODER_INTERMEDIATE, TN_DECODER_HIDDEN) },
    { CODES_ROW("layer.%zu.up.weight", LINEAR, CODES_LAYER(up), TN_DECODER_INTERMEDIATE, TN_DECODER_HIDDEN), .reads = TN_READS_SAME },
    { CODES_ROW("layer.%zu.down.weight", LINEAR, CODES_LAYER(down), TN_DECODER_HIDDEN, TN_DECODER_INTERMEDIATE), .residual = true },
    { .name = NULL }
};

static const tn_layout codes_layout = {
    .kind = TN_NETWORK_DECODER,
    .bytes = sizeof(tn_decoder),
    .groups = { [TN_DECODER_LAYER] = { offsetof(tn_decoder, layers), sizeof(tn_decoder_layer), TN_DECODER_LAYERS, 0, NULL } },
    .rows = codes_rows,
};

static tenebra_code codes_read_ids(const json_t *json, const char *file, tn_encoder_config *vision, tenebra_error *error)
{
    const json_t *list = json_object_get(json, "codes");
    vision->code_count = json_array_size(list);
    vision->ids = calloc(vision->code_count + 1, sizeof *vision->ids);
    if (vision->ids == NULL || vision->code_count == 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"codes\" names no tokens");
    for (size_t i = 0; i < vision->code_count; i++)
        vision->ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    return TENEBRA_OK;
}

static tenebra_code codes_read_config(const json_t *json, const char *file, tn_model_config *config, tenebra_error *error)
{
    tn_decoder_config *d = &config->decoder;
    size_t token = 0;
    *config = (tn_model_config){ .decoder = { .rms_norm_eps = 1e-5, .rope_theta = 10000, .head_norm_eps = 1e-5,
                                              .head_norm_centred = true, .norm_after = true }, .picture_begin = -1, .picture_end = -1 };
    TN_TRY(tn_json_size(json, "width", 2, 4096, &d->hidden_size, file, error));
    TN_TRY(tn_json_size(json, "layers", 1, 64, &d->num_hidden_layers, file, error));
    TN_TRY(tn_json_size(json, "heads", 1, 64, &d->num_attention_heads, file, error));
    TN_TRY(tn_json_size(json, "inner", 1, 4096, &d->intermediate_size, file, error));
    TN_TRY(tn_json_size(json, "positions", 1, 1 << 20, &d->max_position_embeddings, file, error));
    TN_TRY(tn_json_size(json, "vocab_size", 1, 1 << 20, &config->vocab_size, file, error));
    TN_TRY(tn_json_size(json, "picture_token", 0, INT32_MAX, &token, file, error));
    d->num_key_value_heads = d->num_attention_heads;
    d->head_dim = d->hidden_size / d->num_attention_heads;
    d->mrope_section[0] = d->head_dim / 2;
    config->picture_token = (int32_t)token;
    TN_TRY(codes_read_ids(json, file, &config->vision, error));
    return codes_encoder.read_config(json_object_get(json, "quantiser"), file, config, error);
}

static int32_t codes_positions(tn_row *rows, size_t count, int32_t first)
{
    for (size_t i = 0; i < count; i++, first++)
        rows[i].position = (tn_position){ { first, first, first } };
    return first;
}

static const char *const codes_types[] = { "toy_codes", NULL };
static const char *const codes_keys[] = { "width", "layers", "heads", "inner", "positions", "vocab_size", "picture_token", "codes",
                                          "quantiser", NULL };

static const tn_backbone codes_backbone = {
    .name = "toy-codes",
    .model_types = codes_types,
    .picture_keys = { "picture_token", NULL, NULL },
    .chat_template = "qwen2-vl",
    .renamed_since = { 99, 0 },
    .decoder = &codes_layout,
    .encoder = &codes_encoder,
    .encoder_part = "quantiser",
    .preprocessor = "{\"image_processor_type\": \"ToyCodes\", \"rescale_factor\": 0.004}",
    .top_keys = codes_keys,
    .text_keys = codes_keys,
    .read_config = codes_read_config,
    .positions = codes_positions,
};

/* A random model: the tokens of codes are not in order, and follow those of all tokenizers of the tests. */
static const char codes_shape[] =
    "{\"tokens\": {\"picture_token\": \"<|image_pad|>\", \"eos_token_id\": \"<|im_end|>\"}, \"config\": {\"model_type\": \"toy_codes\", "
    "\"width\": 32, \"layers\": 3, \"heads\": 4, \"inner\": 48, \"positions\": 4096, \"vocab_size\": 1040, \"picture_token\": 1012, "
    "\"eos_token_id\": 1002, \"codes\": [1030, 1025, 1039, 1028, 1031, 1024, 1033, 1029, 1037, 1026], "
    "\"quantiser\": {\"width\": 5, \"side\": 8}}}";

#endif
