/* Chameleon, 7B and 30B: images are tokens of the vocabulary. Source: arXiv:2405.09818 and the layout of the published
 * checkpoints. */
#include "model/backbone.h"
#include "model/rotary.h"
#include "model/row.h"

#include "base/checked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const tn_image_encoder tn_image_encoder_chameleon; /* encoders/ */

#define ROW(name_, ...) .name = name_, TN_LAYOUT_ROW(__VA_ARGS__)
#define ONCE(member) 0, offsetof(tn_decoder, member), 1
#define LAYER(member) TN_DECODER_LAYER, offsetof(tn_decoder_layer, member), 1

/* All versions of transformers use these names. */
static const tn_layout_row decoder_rows[] = {
    { ROW("model.embed_tokens.weight", EMBEDDING, ONCE(embed), TN_SIZE_FREE, TN_DECODER_HIDDEN) },
    { ROW("model.norm.weight", SCALE, ONCE(norm), TN_DECODER_HIDDEN), .last = true },
    { ROW("lm_head.weight", HEAD, ONCE(head), TN_SIZE_FREE, TN_DECODER_HIDDEN), .last = true },
    { ROW("model.layers.%zu.input_layernorm.weight", SCALE, LAYER(input_norm), TN_DECODER_HIDDEN) },
    { ROW("model.layers.%zu.self_attn.q_proj.weight", LINEAR, LAYER(q), TN_DECODER_QUERY, TN_DECODER_HIDDEN) },
    { ROW("model.layers.%zu.self_attn.k_proj.weight", LINEAR, LAYER(k), TN_DECODER_KEY, TN_DECODER_HIDDEN), .reads = TN_READS_SAME },
    { ROW("model.layers.%zu.self_attn.v_proj.weight", LINEAR, LAYER(v), TN_DECODER_KEY, TN_DECODER_HIDDEN), .reads = TN_READS_SAME },
    { ROW("model.layers.%zu.self_attn.q_norm.weight", SCALE, LAYER(q_norm), TN_DECODER_HEADS, TN_DECODER_HEAD) },
    { ROW("model.layers.%zu.self_attn.q_norm.bias", SHIFT, LAYER(q_norm_bias), TN_DECODER_HEADS, TN_DECODER_HEAD) },
    { ROW("model.layers.%zu.self_attn.k_norm.weight", SCALE, LAYER(k_norm), TN_DECODER_KEY_HEADS, TN_DECODER_HEAD) },
    { ROW("model.layers.%zu.self_attn.k_norm.bias", SHIFT, LAYER(k_norm_bias), TN_DECODER_KEY_HEADS, TN_DECODER_HEAD) },
    { ROW("model.layers.%zu.self_attn.o_proj.weight", LINEAR, LAYER(o), TN_DECODER_HIDDEN, TN_DECODER_QUERY),
      .reads = TN_READS_ATTENTION, .residual = true },
    { ROW("model.layers.%zu.post_attention_layernorm.weight", SCALE, LAYER(post_attention_norm), TN_DECODER_HIDDEN) },
    { ROW("model.layers.%zu.mlp.gate_proj.weight", LINEAR, LAYER(gate), TN_DECODER_INTERMEDIATE, TN_DECODER_HIDDEN) },
    { ROW("model.layers.%zu.mlp.up_proj.weight", LINEAR, LAYER(up), TN_DECODER_INTERMEDIATE, TN_DECODER_HIDDEN),
      .reads = TN_READS_SAME },
    { ROW("model.layers.%zu.mlp.down_proj.weight", LINEAR, LAYER(down), TN_DECODER_HIDDEN, TN_DECODER_INTERMEDIATE),
      .residual = true },
    { .name = NULL }
};

static const tn_layout decoder_layout = {
    .kind = TN_NETWORK_DECODER,
    .bytes = sizeof(tn_decoder),
    .groups = { [TN_DECODER_LAYER] = { offsetof(tn_decoder, layers), sizeof(tn_decoder_layer), TN_DECODER_LAYERS, 0, NULL } },
    .rows = decoder_rows,
};

/* ----------------------------------------------------------------- sizes -- */

/* The defaults are those of the reference, with which published files may leave keys out. */
static tenebra_code read_sizes(const json_t *json, const char *file, tn_model_config *config, tenebra_error *error)
{
    tn_decoder_config *decoder = &config->decoder;
    *decoder = (tn_decoder_config){ .hidden_size = 4096, .num_hidden_layers = 32, .num_attention_heads = 32, .num_key_value_heads = 32,
                                    .intermediate_size = 11008, .max_position_embeddings = 4096, .rms_norm_eps = 1e-5,
                                    .rope_theta = 10000, .head_norm_eps = 1e-5, .head_norm_centred = true };
    config->vocab_size = 65536;
    TN_TRY(tn_json_size(json, "hidden_size", 2, 1u << 20, &decoder->hidden_size, file, error));
    TN_TRY(tn_json_size(json, "num_hidden_layers", 1, 4096, &decoder->num_hidden_layers, file, error));
    TN_TRY(tn_json_size(json, "num_attention_heads", 1, 4096, &decoder->num_attention_heads, file, error));
    TN_TRY(tn_json_size(json, "num_key_value_heads", 1, 4096, &decoder->num_key_value_heads, file, error));
    TN_TRY(tn_json_size(json, "intermediate_size", 1, 1u << 22, &decoder->intermediate_size, file, error));
    TN_TRY(tn_json_size(json, "max_position_embeddings", 1, 1u << 26, &decoder->max_position_embeddings, file, error));
    TN_TRY(tn_json_size(json, "vocab_size", 1, 1u << 26, &config->vocab_size, file, error));
    TN_TRY(tn_json_number(json, "rms_norm_eps", 0, 1, &decoder->rms_norm_eps, file, error));
    TN_TRY(tn_json_bool(json, "tie_word_embeddings", &config->tie_word_embeddings, file, error));
    TN_TRY(tn_json_bool(json, "swin_norm", &decoder->norm_after, file, error));
    size_t heads = decoder->num_attention_heads;
    if (heads % decoder->num_key_value_heads != 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "%zu attention heads cannot share %zu key heads", heads,
                       decoder->num_key_value_heads);
    if (decoder->hidden_size % (2 * heads) != 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"hidden_size\" %zu cannot be divided into %zu heads of even size",
                       decoder->hidden_size, heads);
    decoder->head_dim = decoder->hidden_size / heads;
    decoder->mrope_section[0] = decoder->head_dim / 2;
    return TENEBRA_OK;
}

/* What no published model has. */
static tenebra_code refuse_others(const json_t *json, const char *file, tenebra_error *error)
{
    static const char *const biases[] = { "attention_bias", "mlp_bias" };
    const char *activation = "silu";
    for (size_t i = 0; i < 2; i++) {
        bool bias = false;
        TN_TRY(tn_json_bool(json, biases[i], &bias, file, error));
        if (bias)
            return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"%s\" is true; this backbone has no biases", biases[i]);
    }
    TN_TRY(tn_json_string(json, "hidden_act", &activation, file, error));
    if (strcmp(activation, "silu") != 0)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"hidden_act\" is \"%.60s\"; this backbone uses silu", activation);
    return TENEBRA_OK;
}

/* ---------------------------------------------------------------- tokens -- */

#define ENCODER_PART "vq_config"
static const char VOCABULARY[] = "vocabulary_map", PICTURE[] = "<image>", BEGIN[] = "<racm3:break>", END[] = "<eoss>";

/* The id of a token of the map; -1 without one. */
static tenebra_code read_token(const json_t *map, const char *name, const char *file, int32_t *token, tenebra_error *error)
{
    size_t id = SIZE_MAX;
    TN_TRY(tn_json_size(map, name, 0, INT32_MAX, &id, file, error));
    *token = id == SIZE_MAX ? -1 : (int32_t)id;
    return TENEBRA_OK;
}

/* The name of the token of a code: its digits as letters from A on, between these two. */
static const char CODE[] = "IMGIMG", CODE_END[] = "Z";

static void name_code(size_t code, char name[TN_CODE_NAME])
{
    int end = snprintf(name, TN_CODE_NAME, "%s%zu%s", CODE, code, CODE_END) - 1;
    for (size_t at = sizeof CODE - 1; at < (size_t)end; at++)
        name[at] = (char)('A' + (name[at] - '0'));
}

/* The code of that name. False if it is another name. */
static bool code_of(const char *name, size_t *code)
{
    size_t at = sizeof CODE - 1;
    *code = 0;
    for (; name[at] >= 'A' && name[at] <= 'J' && *code < SIZE_MAX / 16; at++)
        *code = 10 * *code + (size_t)(name[at] - 'A');
    return at > sizeof CODE - 1 && strcmp(name + at, CODE_END) == 0;
}

/* Reads which token each code is. */
static tenebra_code read_codes(const json_t *map, const char *file, tn_encoder_config *vision, tenebra_error *error)
{
    size_t count = tn_encoder_size(&tn_image_encoder_chameleon, vision, "num_embeddings"), code;
    const char *name;
    json_t *id;
    vision->ids = malloc(count * sizeof *vision->ids);
    if (vision->ids == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, file, "no memory for %zu codes", count);
    vision->code_count = count;
    for (size_t i = 0; i < count; i++)
        vision->ids[i] = -1;
    json_object_foreach((json_t *)(uintptr_t)map, name, id) {
        if (strncmp(name, CODE, sizeof CODE - 1) != 0)
            continue;
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"%s\": \"%.40s\" must be the id of a token, a whole number", VOCABULARY,
                           name);
        if (!code_of(name, &code) || code >= count)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"%s\" contains \"%.40s\", which is not one of the %zu codes "
                           "(\"num_embeddings\" of \"%s\")", VOCABULARY, name, count, ENCODER_PART);
        if (vision->ids[code] >= 0)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"%s\" has two tokens for code %zu", VOCABULARY, code);
        vision->ids[code] = (int32_t)json_integer_value(id);
    }
    for (size_t i = 0; i < count; i++)
        if (vision->ids[i] < 0)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"%s\" has no token for code %zu of %zu (\"num_embeddings\" of \"%s\")",
                           VOCABULARY, i, count, ENCODER_PART);
    return TENEBRA_OK;
}

static int compare_ids(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Two codes with one token could not be told apart, and a word with the token of a code would never be generated. */
static tenebra_code check_ids(const json_t *map, const tn_encoder_config *vision, const char *file, tenebra_error *error)
{
    size_t count = vision->code_count;
    int32_t *sorted = malloc(count * sizeof *sorted), twice = -1;
    const char *name, *word = NULL;
    json_t *value;
    if (sorted == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, file, "no memory for %zu codes", count);
    memcpy(sorted, vision->ids, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_ids);
    for (size_t i = 1; i < count; i++)
        if (sorted[i] == sorted[i - 1])
            twice = sorted[i];
    json_object_foreach((json_t *)(uintptr_t)map, name, value) {
        json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        int32_t key = (int32_t)id;
        if (strncmp(name, CODE, sizeof CODE - 1) != 0 && id >= 0 && id <= INT32_MAX && word == NULL &&
            bsearch(&key, sorted, count, sizeof *sorted, compare_ids) != NULL)
            word = name;
    }
    free(sorted);
    if (twice >= 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"%s\" has two codes with id %d", VOCABULARY, twice);
    return word == NULL ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"%s\": \"%.40s\" has the id of a code, %d", VOCABULARY,
                                               word, (int)json_integer_value(json_object_get(map, word)));
}

static tenebra_code read_tokens(const json_t *json, const char *file, tn_model_config *config, tenebra_error *error)
{
    const json_t *map = json_object_get(json, VOCABULARY);
    int32_t stated;
    if (!json_is_object(map))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"%s\" is missing, which gives the ids of tokens by name", VOCABULARY);
    char part[TN_JSON_PART];
    tn_json_part(part, file, VOCABULARY);
    TN_TRY(read_token(map, PICTURE, part, &config->picture_token, error));
    TN_TRY(read_token(map, BEGIN, part, &config->picture_begin, error));
    TN_TRY(read_token(map, END, part, &config->picture_end, error));
    if (config->picture_token < 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"%s\" has no \"%s\", the token that stands for an image", VOCABULARY,
                       PICTURE);
    TN_TRY(read_token(json, "image_token_id", file, &stated, error)); /* transformers derives it from the map */
    if (stated >= 0 && stated != config->picture_token)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"image_token_id\" is %d, but \"%s\" of \"%s\" is %d", stated, PICTURE,
                       VOCABULARY, config->picture_token);
    TN_TRY(read_codes(map, file, &config->vision, error));
    return check_ids(map, &config->vision, file, error);
}

static tenebra_code read_config(const json_t *json, const char *file, tn_model_config *config, tenebra_error *error)
{
    static const char *const types[] = { "default", NULL };
    const json_t *unused, *encoder = json_object_get(json, ENCODER_PART);
    memset(config, 0, sizeof *config);
    TN_TRY(read_sizes(json, file, config, error));
    TN_TRY(tn_rope_read(json, file, types, &unused, &config->decoder.rope_theta, error));
    TN_TRY(refuse_others(json, file, error));
    if (encoder != NULL && !json_is_null(encoder) && !json_is_object(encoder))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"%s\" must be an object", ENCODER_PART);
    char part[TN_JSON_PART];
    TN_TRY(tn_image_encoder_chameleon.read_config(encoder, tn_json_part(part, file, ENCODER_PART), config, error));
    return read_tokens(json, file, config, error);
}

/* -------------------------------------------------------- random models -- */

/* The name of a code, and its id: that of the tokenizer, if it has the token, or else *next, which then advances past the ids in
 * `taken`. */
static bool add_code(json_t *codes, size_t code, const tn_tokenizer *tokenizer, const json_t *taken, size_t *next)
{
    char name[TN_CODE_NAME];
    name_code(code, name);
    int32_t id = tokenizer != NULL ? tn_tokenizer_find(tokenizer, name) : -1;
    const char *key;
    json_t *value;
    for (bool free = false; id < 0 && !free;) {
        free = true;
        json_object_foreach((json_t *)(uintptr_t)taken, key, value)
            free = free && json_integer_value(value) != (json_int_t)*next;
        *next += !free;
    }
    return json_object_set_new(codes, name, json_integer(id >= 0 ? id : (json_int_t)(*next)++)) == 0;
}

/* The map of a shape has the tokens that are not codes. The codes are added under the ids of the tokenizer, or else under the lowest
 * ids that are free: in a model without tokenizer from the first on (those of the published models), or else after its tokens. */
static tenebra_code set_vocabulary(json_t *config, const tn_tokenizer *tokenizer, const char *directory, tenebra_error *error)
{
    json_t *map = json_object_get(config, VOCABULARY), *value, *codes = json_object();
    const char *name;
    size_t count = 8192, size = 0, next = tokenizer != NULL ? tn_tokenizer_size(tokenizer) : 0;
    bool good = codes != NULL;
    tenebra_code code = tn_json_size(json_object_get(config, "vq_config"), "num_embeddings", 1, 1u << 20, &count, VOCABULARY, error);
    json_object_foreach(map, name, value)
        if (tokenizer != NULL && code == TENEBRA_OK && json_integer_set(value, tn_tokenizer_find(tokenizer, name)) == 0 &&
            json_integer_value(value) < 0)
            code = tn_fail(error, TENEBRA_ERROR_MISMATCH, directory, "the tokenizer has no token \"%s\"", name);
    for (size_t i = 0; i < count && good && code == TENEBRA_OK; i++)
        good = add_code(codes, i, tokenizer, map, &next);
    if (code == TENEBRA_OK && (!good || json_object_update(map, codes) != 0))
        code = tn_fail(error, TENEBRA_ERROR_MEMORY, VOCABULARY, "no memory for %zu codes", count);
    json_decref(codes);
    TN_TRY(code);
    TN_TRY(tn_json_size(config, "vocab_size", 1, 1u << 26, &size, VOCABULARY, error));
    return json_object_set_new(config, "vocab_size", json_integer((json_int_t)tn_max(size, next))) == 0
               ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_MEMORY, VOCABULARY, "no memory");
}

/* ------------------------------------------------------------- the rest -- */

static int32_t positions(tn_row *rows, size_t count, int32_t first)
{
    for (size_t i = 0; i < count; i++, first++)
        rows[i].position = (tn_position){ { first, first, first } };
    return first;
}

static const char *const model_types[] = { "chameleon", NULL };

/* In addition to tn_config_keys. The number of machines of the original training changes nothing: scales of heads are stored
 * for each head. */
static const char *const top_keys[] = {
    "vocabulary_map", "vq_config", "image_token_id", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "intermediate_size", "max_position_embeddings", "vocab_size", "rms_norm_eps", "hidden_act", "swin_norm", "attention_bias", "mlp_bias",
    "model_parallel_size", NULL
};
static const char *const text_keys[] = { NULL };

/* The published preprocessor_config.json, for directories that lack one. It leaves out the sizes, which are then those of the
 * encoder, "resolution". */
static const char preprocessor[] =
    "{\"image_processor_type\": \"ChameleonImageProcessor\", \"do_convert_rgb\": true, \"do_resize\": true, "
    "\"resample\": 1, \"do_center_crop\": true, "
    "\"do_rescale\": true, \"rescale_factor\": 0.0078, \"do_normalize\": true, \"image_mean\": [1.0, 1.0, 1.0], "
    "\"image_std\": [1.0, 1.0, 1.0]}";

const tn_backbone tn_backbone_chameleon = {
    .name = "chameleon",
    .model_types = model_types,
    .chat_template = "chameleon",
    .decoder = &decoder_layout,
    .encoder = &tn_image_encoder_chameleon,
    .encoder_part = ENCODER_PART,
    .preprocessor = preprocessor,
    .processor_class = "ChameleonProcessor",
    .picture_keys = { "vocabulary_map.<image>", "vocabulary_map.<racm3:break>", "vocabulary_map.<eoss>" },
    .top_keys = top_keys,
    .text_keys = text_keys,
    .read_config = read_config,
    .set_vocabulary = set_vocabulary,
    .name_code = name_code,
    .positions = positions,
};
