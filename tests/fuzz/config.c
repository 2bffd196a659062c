/* Fuzz target: config.json and preprocessor_config.json.
 *
 * The input is given to every backbone and to the reader of picture settings. What a backbone accepts must be
 * usable: sizes that divide as the networks need, and tensor shapes whose products fit. An input that does not start with '{'
 * selects a valid shape by its first byte and changes it, by two bytes each (which key, which value). So unusual values among
 * valid ones, which cause most mistakes, are frequent. */
#include "base/checked.h"
#include "image/patches.h"
#include "model/networks.h"
#include "model/random.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void check_decoder(const tn_decoder_config *decoder)
{
    require(decoder->hidden_size > 0 && decoder->num_hidden_layers > 0 && decoder->intermediate_size > 0);
    require(decoder->num_attention_heads > 0 && decoder->num_key_value_heads > 0);
    require(decoder->num_attention_heads % decoder->num_key_value_heads == 0);
    require(decoder->head_dim > 0 && decoder->head_dim % 2 == 0);
    size_t pairs = 0;
    for (size_t i = 0; i < 3; i++)
        require(tn_size_add(pairs, decoder->mrope_section[i], &pairs));
    require(pairs == decoder->head_dim / 2);
    require(decoder->rms_norm_eps >= 0 && decoder->rope_theta >= 1);
}

static void check_vision(const tn_backbone *backbone, const tn_model_config *config)
{
    const tn_encoder_config *vision = &config->vision;
    const tn_image_encoder *encoder = backbone->encoder;
    size_t heads = tn_encoder_size(encoder, vision, "num_heads"), width = tn_encoder_size(encoder, vision, "embed_dim"),
           side = tn_encoder_size(encoder, vision, "patch_size");
    require(heads == 0 || (width % heads == 0 && width / heads % 4 == 0)); /* two axes of pairs; 0: the encoder has none */
    for (const tn_size_name *each = encoder->names; each->name != NULL; each++)
        require(vision->sizes[each->size] > 0);
    require(heads == 0 || tn_encoder_size(encoder, vision, "patch_values") == 3 * tn_encoder_size(encoder, vision, "temporal_patch_size") * side * side);
}

/* No shape is without values, or has more than can be counted. */
static void check_layout(const tn_layout *layout, const size_t *sizes)
{
    tn_network network = { .layout = layout };
    memcpy(network.sizes, sizes, sizeof network.sizes);
    for (const tn_layout_row *row = layout->rows; row->name != NULL; row++)
        for (size_t number = 0; number < tn_network_members(&network, row->group); number++) {
            size_t values = 8 * row->parts;
            for (size_t i = 0; i < TN_LAYOUT_RANK && row->dims[i] != TN_SIZE_NONE; i++) {
                size_t size = tn_network_size(&network, row->group, number, row->dims[i]);
                require(size > 0 || row->dims[i] == TN_SIZE_FREE || row->dims[i] >= TN_SIZE_MEMBER);
                require(tn_size_mul(values, size, &values));
            }
        }
}

static void check_tensors(const tn_backbone *backbone, const tn_model_config *config)
{
    size_t sizes[TN_LAYOUT_SIZES] = { 0 };
    tn_decoder_sizes(&config->decoder, sizes);
    check_layout(backbone->decoder, sizes);
    check_layout(backbone->encoder->layout, config->vision.sizes);
}

static void read_as_config(const json_t *json)
{
    for (const tn_backbone *const *backbone = tn_backbones; *backbone != NULL; backbone++) {
        tn_model_config config;
        tenebra_error error = { 0 };
        tenebra_code code = (*backbone)->read_config(json, "input", &config, &error);
        require(code == error.code);
        if (code != TENEBRA_OK) {
            tn_model_config_free(&config);
            continue;
        }
        check_decoder(&config.decoder);
        check_vision(*backbone, &config);
        check_tensors(*backbone, &config);
        tn_model_config_free(&config);
    }
}

static void read_as_preprocessor(const json_t *json)
{
    tn_patch_config patches;
    tenebra_error error = { 0 };
    memset(&patches, 0, sizeof patches);
    tenebra_code code = tn_patch_config_read(json, "input", &patches, &error);
    require(code == error.code);
    if (code == TENEBRA_OK)
        require(patches.patch_size > 0 && patches.merge_size > 0 && patches.temporal_patch_size > 0);
    char text[TN_NOTES_TEXT];
    tn_notes notes = { 0 };
    tn_patch_config_note(json, "input", "part", &notes);
    require(strlen(tn_notes_print(&notes, text)) < TN_NOTES_TEXT && (notes.count == 0) == (text[0] == '\0'));
    for (const char *at = text; *at != '\0'; at++)
        require((unsigned char)*at >= 0x20);
}

/* Whether the part that an encoder crops lies in the resized image, and consists of the rows that it measures. */
static void check_fit(const tn_image_encoder *encoder, const void *rule, size_t width, size_t height)
{
    static const tenebra_image_rule nothing = { 0 };
    tenebra_error error = { 0 };
    tn_fit fit;
    tenebra_code code = encoder->fit(rule, width, height, &nothing, &fit, &error);
    require(code == error.code);
    if (code != TENEBRA_OK)
        return;
    require(fit.seen_width > 0 && fit.seen_height > 0 && fit.width <= TN_IMAGE_SIDE_MAX && fit.height <= TN_IMAGE_SIDE_MAX);
    require(fit.left <= fit.width - fit.seen_width && fit.seen_width <= fit.width);
    require(fit.top <= fit.height - fit.seen_height && fit.seen_height <= fit.height);
    const tn_image_rows rows = encoder->measure(rule, fit.seen_width, fit.seen_height);
    require(rows.rows == rows.frames * rows.grid_rows * rows.grid_columns);
}

/* As the processor file of each encoder, with its default sizes. */
static void read_as_rule(const json_t *json)
{
    for (const tn_backbone *const *backbone = tn_backbones; *backbone != NULL; backbone++) {
        const tn_image_encoder *encoder = (*backbone)->encoder;
        tn_model_config config = { 0 };
        tenebra_error error = { 0 };
        void *rule = calloc(1, encoder->rule_bytes);
        require(rule != NULL && encoder->read_config(NULL, "config.json", &config, NULL) == TENEBRA_OK);
        tenebra_code code = encoder->read_rule(json, "input", &config.vision, rule, &error);
        require(code == error.code);
        if (code == TENEBRA_OK) {
            check_fit(encoder, rule, 640, 480);
            check_fit(encoder, rule, 1, 30000);
        }
        char text[TN_NOTES_TEXT];
        tn_notes notes = { 0 };
        encoder->note_rule(json, "input", "part", &notes);
        require(strlen(tn_notes_print(&notes, text)) < TN_NOTES_TEXT);
        tn_model_config_free(&config);
        free(rule);
    }
}

static void read_both(const json_t *json)
{
    if (!json_is_object(json))
        return;
    read_as_config(json);
    read_as_preprocessor(json);
    read_as_rule(json);
}

/* -------------------------------------------------- changes to a sound file -- */

static const char *const values[] = {
    "0", "1", "2", "3", "4", "6", "8", "12", "14", "16", "32", "64", "100", "1000", "4096", "65536", "1048576",
    "4194304", "67108864", "2147483647", "4294967296", "9223372036854775807", "-1", "0.001", "0.01", "0.1", "0.5",
    "1.5", "1e-6", "1e12", "1e300", "true", "false", "null", "\"\"", "\"silu\"", "\"default\"", "[]", "[2,1,1]",
    "[0,0,16]", "[16,0,0]", "[8,8]", "{}", "[1,2,3,4,5,6,7,8,9]",
};
enum { VALUES = sizeof values / sizeof *values };

static size_t count_keys(json_t *object)
{
    size_t count = 0;
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
        count += 1 + (json_is_object(value) ? count_keys(value) : 0);
    return count;
}

/* Sets member number `*which`, counted in depth, and leaves SIZE_MAX there once it is done. */
static void set_member(json_t *object, size_t *which, const char *text)
{
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(object, next, key, value) {
        if (*which == SIZE_MAX)
            return;
        if ((*which)-- == 0) {
            json_object_set_new(object, key, json_loads(text, JSON_DECODE_ANY, NULL));
            *which = SIZE_MAX;
            return;
        }
        if (json_is_object(value))
            set_member(value, which, text);
    }
}

static void read_changed(const uint8_t *bytes, size_t size)
{
    size_t shapes = 0;
    while (tn_shapes[shapes].name != NULL)
        shapes++;
    const tn_shape *shape = &tn_shapes[bytes[0] % shapes];
    json_t *json;
    tn_json_parse(shape->text, shape->length, shape->name, &json, NULL);
    json_t *config = json_object_get(json, "config");
    require(config != NULL);
    for (size_t i = 1; i + 1 < size && i < 16 && count_keys(config) > 0; i += 2) {
        size_t which = bytes[i] % count_keys(config);
        set_member(config, &which, values[bytes[i + 1] % VALUES]);
    }
    read_both(config);
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size > 0 && bytes[0] != '{') {
        read_changed(bytes, size);
        return 0;
    }
    json_t *json;
    tn_json_parse(bytes, size, "input", &json, NULL);
    read_both(json);
    json_decref(json);
    return 0;
}
