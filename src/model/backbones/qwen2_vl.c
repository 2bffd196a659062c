/* Qwen2-VL, 2B to 72B. Source: arXiv:2409.12191 and the layout of the published checkpoints. */
#include "model/backbone.h"
#include "model/rotary.h"
#include "model/row.h"

#include "base/checked.h"

#include <string.h>

extern const tn_image_encoder tn_image_encoder_qwen2_vl; /* encoders/ */

/* transformers >= 4.52 may save the names that it uses in memory. */
#define ROW_(...) TN_LAYOUT_ROW(__VA_ARGS__)
#define ROW(name_, ...) .name = name_, ROW_(__VA_ARGS__)
#define TEXT(rest_, ...) .name = "model." rest_, .others = { "model.language_model." rest_ }, ROW_(__VA_ARGS__)
#define ONCE(member) 0, offsetof(tn_decoder, member), 1
#define LAYER(member) TN_DECODER_LAYER, offsetof(tn_decoder_layer, member), 1

static const tn_layout_row decoder_rows[] = {
    { TEXT("embed_tokens.weight", EMBEDDING, ONCE(embed), TN_SIZE_FREE, TN_DECODER_HIDDEN) },
    { TEXT("norm.weight", SCALE, ONCE(norm), TN_DECODER_HIDDEN), .last = true },
    { ROW("lm_head.weight", HEAD, ONCE(head), TN_SIZE_FREE, TN_DECODER_HIDDEN), .last = true },
    { TEXT("layers.%zu.input_layernorm.weight", SCALE, LAYER(input_norm), TN_DECODER_HIDDEN) },
    { TEXT("layers.%zu.self_attn.q_proj.weight", LINEAR, LAYER(q), TN_DECODER_QUERY, TN_DECODER_HIDDEN) },
    { TEXT("layers.%zu.self_attn.q_proj.bias", BIAS, LAYER(q_bias), TN_DECODER_QUERY) },
    { TEXT("layers.%zu.self_attn.k_proj.weight", LINEAR, LAYER(k), TN_DECODER_KEY, TN_DECODER_HIDDEN), .reads = TN_READS_SAME },
    { TEXT("layers.%zu.self_attn.k_proj.bias", BIAS, LAYER(k_bias), TN_DECODER_KEY) },
    { TEXT("layers.%zu.self_attn.v_proj.weight", LINEAR, LAYER(v), TN_DECODER_KEY, TN_DECODER_HIDDEN), .reads = TN_READS_SAME },
    { TEXT("layers.%zu.self_attn.v_proj.bias", BIAS, LAYER(v_bias), TN_DECODER_KEY) },
    { TEXT("layers.%zu.self_attn.o_proj.weight", LINEAR, LAYER(o), TN_DECODER_HIDDEN, TN_DECODER_QUERY),
      .reads = TN_READS_ATTENTION, .residual = true },
    { TEXT("layers.%zu.post_attention_layernorm.weight", SCALE, LAYER(post_attention_norm), TN_DECODER_HIDDEN) },
    { TEXT("layers.%zu.mlp.gate_proj.weight", LINEAR, LAYER(gate), TN_DECODER_INTERMEDIATE, TN_DECODER_HIDDEN) },
    { TEXT("layers.%zu.mlp.up_proj.weight", LINEAR, LAYER(up), TN_DECODER_INTERMEDIATE, TN_DECODER_HIDDEN),
      .reads = TN_READS_SAME },
    { TEXT("layers.%zu.mlp.down_proj.weight", LINEAR, LAYER(down), TN_DECODER_HIDDEN, TN_DECODER_INTERMEDIATE),
      .residual = true },
    { .name = NULL }
};

static const tn_layout decoder_layout = {
    .kind = TN_NETWORK_DECODER,
    .bytes = sizeof(tn_decoder),
    .groups = { [TN_DECODER_LAYER] = { offsetof(tn_decoder, layers), sizeof(tn_decoder_layer), TN_DECODER_LAYERS, 0, NULL } },
    .rows = decoder_rows,
};

/* "layer_types": one word per layer. */
static tenebra_code check_layers(const json_t *json, const char *file, size_t layers, tenebra_error *error)
{
    const json_t *types = json_object_get(json, "layer_types");
    if (types != NULL && !json_is_null(types) && (!json_is_array(types) || json_array_size(types) != layers))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"layer_types\" must be a list of %zu words, one for each layer", layers);
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (type == NULL || strcmp(type, "full_attention") != 0)
            return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"layer_types\" says \"%.60s\" of layer %zu; only "
                           "full_attention is supported", type ? type : "", i);
    }
    return TENEBRA_OK;
}

#define TEXT_PART "text_config"
#define VISION_PART "vision_config"

/* The text part is at the top level, or in text_config (transformers >= 4.52). */
static tenebra_code read_decoder(const json_t *json, const char *file, tn_model_config *config,
                                 tenebra_error *error)
{
    tn_decoder_config *decoder = &config->decoder;
    const char *activation = "silu";
    bool window = false;
    double eps = 1e-5; /* the default of the reference */
    decoder->max_position_embeddings = 32768;
    TN_TRY(tn_json_size(json, "hidden_size", 2, 1u << 20, &decoder->hidden_size, file, error));
    TN_TRY(tn_json_size(json, "num_hidden_layers", 1, 4096, &decoder->num_hidden_layers, file, error));
    TN_TRY(tn_json_size(json, "num_attention_heads", 1, 4096, &decoder->num_attention_heads, file, error));
    decoder->num_key_value_heads = decoder->num_attention_heads;
    TN_TRY(tn_json_size(json, "num_key_value_heads", 1, 4096, &decoder->num_key_value_heads, file, error));
    TN_TRY(tn_json_size(json, "intermediate_size", 1, 1u << 22, &decoder->intermediate_size, file, error));
    TN_TRY(tn_json_size(json, "max_position_embeddings", 1, 1u << 26, &decoder->max_position_embeddings, file,
                        error));
    TN_TRY(tn_json_size(json, "vocab_size", 1, 1u << 26, &config->vocab_size, file, error));
    TN_TRY(tn_json_number(json, "rms_norm_eps", 0, 1, &eps, file, error));
    TN_TRY(tn_json_string(json, "hidden_act", &activation, file, error));
    TN_TRY(tn_json_bool(json, "use_sliding_window", &window, file, error));
    if (decoder->hidden_size == 0 || decoder->num_hidden_layers == 0 || decoder->num_attention_heads == 0 ||
        decoder->intermediate_size == 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "one of \"hidden_size\", \"num_hidden_layers\", "
                       "\"num_attention_heads\", \"intermediate_size\" is missing");
    if (strcmp(activation, "silu") != 0)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"hidden_act\" is \"%s\"; this backbone uses silu",
                       activation);
    if (window)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"use_sliding_window\" is not supported");
    TN_TRY(check_layers(json, file, decoder->num_hidden_layers, error));
    if (decoder->num_attention_heads % decoder->num_key_value_heads != 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "%zu attention heads cannot share %zu key heads",
                       decoder->num_attention_heads, decoder->num_key_value_heads);
    decoder->head_dim = decoder->hidden_size / decoder->num_attention_heads;
    TN_TRY(tn_json_size(json, "head_dim", 2, 65536, &decoder->head_dim, file, error));
    if (decoder->head_dim < 2 || decoder->head_dim % 2 != 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "a head dimension of %zu is not even", decoder->head_dim);
    decoder->rms_norm_eps = eps;
    decoder->rope_theta = 1000000.0; /* replaced when the sections are read */
    return TENEBRA_OK;
}

/* Reads the sections of a part's rotary embedding, and rope_theta with them. */
static tenebra_code read_sections(const json_t *json, const char *file, tn_decoder_config *decoder, tenebra_error *error)
{
    static const char *const types[] = { "default", "mrope", NULL };
    const json_t *parameters;
    TN_TRY(tn_rope_read(json, file, types, &parameters, &decoder->rope_theta, error));
    const json_t *sections = json_object_get(parameters, "mrope_section");
    if (!json_is_array(sections) || json_array_size(sections) != 3)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "neither \"rope_scaling\" nor \"rope_parameters\" has an "
                       "\"mrope_section\" of three numbers");
    size_t sum = 0;
    for (size_t i = 0; i < 3; i++) {
        const json_t *value = json_array_get(sections, i);
        json_int_t size = json_integer_value(value);
        if (!json_is_integer(value) || size < 0 || size > 65536)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"mrope_section\" must contain whole numbers");
        decoder->mrope_section[i] = (size_t)size;
        sum += (size_t)size;
    }
    if (sum != decoder->head_dim / 2)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"mrope_section\" adds up to %zu, half a head has %zu",
                       sum, decoder->head_dim / 2);
    return TENEBRA_OK;
}

/* A token id at the top level, or else in the text part. */
static tenebra_code read_token(const json_t *json, const json_t *text, const char *key, const char *file,
                               int32_t *token, tenebra_error *error)
{
    size_t id = SIZE_MAX;
    char part[TN_JSON_PART];
    TN_TRY(tn_json_size(text, key, 0, INT32_MAX, &id, text != json ? tn_json_part(part, file, TEXT_PART) : file, error));
    TN_TRY(tn_json_size(json, key, 0, INT32_MAX, &id, file, error));
    *token = id == SIZE_MAX ? -1 : (int32_t)id;
    return TENEBRA_OK;
}

static tenebra_code read_config(const json_t *json, const char *file, tn_model_config *config,
                                tenebra_error *error)
{
    memset(config, 0, sizeof *config);
    const json_t *text = json_object_get(json, TEXT_PART);
    bool nested = json_is_object(text);
    char inner[TN_JSON_PART], tower[TN_JSON_PART];
    const char *text_file = nested ? tn_json_part(inner, file, TEXT_PART) : file;
    double outer = 0;
    text = nested ? text : json;
    TN_TRY(read_decoder(text, text_file, config, error));
    TN_TRY(read_sections(text, text_file, &config->decoder, error));
    if (nested) { /* the top level is not used, but must not request another rotary embedding */
        static const char *const types[] = { "default", "mrope", NULL };
        const json_t *unused;
        TN_TRY(tn_rope_read(json, file, types, &unused, &outer, error));
    }
    const json_t *vision = json_object_get(json, VISION_PART);
    if (!json_is_object(vision))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"%s\" is missing", VISION_PART);
    TN_TRY(tn_image_encoder_qwen2_vl.read_config(vision, tn_json_part(tower, file, VISION_PART), config, error));
    TN_TRY(read_token(json, text, "image_token_id", file, &config->picture_token, error));
    TN_TRY(read_token(json, text, "vision_start_token_id", file, &config->picture_begin, error));
    TN_TRY(read_token(json, text, "vision_end_token_id", file, &config->picture_end, error));
    bool tied = false; /* on either level, as in transformers 5.24 */
    TN_TRY(tn_json_bool(text, "tie_word_embeddings", &tied, text_file, error));
    TN_TRY(tn_json_bool(json, "tie_word_embeddings", &config->tie_word_embeddings, file, error));
    config->tie_word_embeddings = config->tie_word_embeddings || tied;
    if (config->picture_token < 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"image_token_id\" is missing");
    return TENEBRA_OK;
}

/* Text rows continue the count. An image of t x h x w merged cells occupies a block whose axes start at the next position p: (p
 * + frame, p + row, p + column). Text continues after the largest position used.
 * Source: arXiv:2409.12191, section 2.1, figure 3. */
static int32_t positions(tn_row *rows, size_t count, int32_t first)
{
    int32_t next = first;
    for (size_t i = 0; i < count; i++) {
        tn_row *row = &rows[i];
        if (row->kind != TN_ROW_CELL) {
            row->position = (tn_position){ { next, next, next } };
            next++;
            continue;
        }
        const tn_image_rows *picture = row->picture;
        size_t h = picture->grid_rows, w = picture->grid_columns, cell = row->cell;
        row->position = (tn_position){ { next + (int32_t)(cell / (h * w)), next + (int32_t)(cell / w % h),
                                         next + (int32_t)(cell % w) } };
        if (cell + 1 == picture->rows)
            next += (int32_t)tn_max(picture->frames, tn_max(h, w));
    }
    return next;
}

static const char *const model_types[] = { "qwen2_vl", NULL };

/* Keys that are read, and those whose values change no answer, in addition to tn_config_keys. */
static const char *const top_keys[] = { "text_config", "vision_config", "image_token_id", "video_token_id",
                                        "vision_start_token_id", "vision_end_token_id", "vision_token_id", NULL };
static const char *const text_keys[] = {
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size",
    "max_position_embeddings", "vocab_size", "rms_norm_eps", "hidden_act", "use_sliding_window", "head_dim", "layer_types",
    "image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id", "vision_token_id",
    "sliding_window", "max_window_layers", /* only used with use_sliding_window, which is refused */
    NULL
};
/* The published preprocessor_config.json, for directories that lack one. */
static const char preprocessor[] =
    "{\"image_processor_type\": \"Qwen2VLImageProcessor\", "
    "\"min_pixels\": 3136, \"max_pixels\": 12845056, \"patch_size\": 14, \"temporal_patch_size\": 2, "
    "\"merge_size\": 2, \"image_mean\": [0.48145466, 0.4578275, 0.40821073], "
    "\"image_std\": [0.26862954, 0.26130258, 0.27577711]}";

const tn_backbone tn_backbone_qwen2_vl = {
    .name = "qwen2-vl",
    .model_types = model_types,
    .chat_template = "qwen2-vl",
    .renamed_since = { 4, 52 },
    .decoder = &decoder_layout,
    .encoder = &tn_image_encoder_qwen2_vl,
    .encoder_part = VISION_PART,
    .preprocessor = preprocessor,
    .picture_keys = { "image_token_id", "vision_start_token_id", "vision_end_token_id" },
    .top_keys = top_keys,
    .text_keys = text_keys,
    .read_config = read_config,
    .positions = positions,
};
