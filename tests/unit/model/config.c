/* config.json, generation_config.json and preprocessor_config.json: what is read, and what is refused
 * with a sentence that names the key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/model/models.h"

/* --------------------------------------------------------------- hostile -- */

typedef struct hostile {
    const char *changes;
    tenebra_code code;
    const char *words;
} hostile;

#define FORMAT(changes, words) { changes, TENEBRA_ERROR_FORMAT, words }
#define UNSUPPORTED(changes, words) { changes, TENEBRA_ERROR_UNSUPPORTED, words }

static const hostile all_hostile[] = {
    FORMAT("{\"hidden_size\": 0}", "hidden_size"),
    FORMAT("{\"hidden_size\": -48}", "hidden_size"),
    FORMAT("{\"hidden_size\": 48.5}", "hidden_size"),
    FORMAT("{\"hidden_size\": \"48\"}", "hidden_size"),
    FORMAT("{\"hidden_size\": [48]}", "hidden_size"),
    FORMAT("{\"hidden_size\": true}", "hidden_size"),
    FORMAT("{\"hidden_size\": 9223372036854775807}", "hidden_size"),
    FORMAT("{\"hidden_size\": 1e300}", "hidden_size"),
    FORMAT("{\"hidden_size\": \"-\"}", "hidden_size"),
    FORMAT("{\"hidden_size\": null}", "hidden_size"),
    FORMAT("{\"num_hidden_layers\": 0}", "num_hidden_layers"),
    FORMAT("{\"num_hidden_layers\": 100000000}", "num_hidden_layers"),
    FORMAT("{\"num_hidden_layers\": \"-\"}", "num_hidden_layers"),
    FORMAT("{\"num_attention_heads\": 0}", "num_attention_heads"),
    FORMAT("{\"num_attention_heads\": \"-\"}", "num_attention_heads"),
    FORMAT("{\"num_key_value_heads\": 0}", "num_key_value_heads"),
    FORMAT("{\"num_key_value_heads\": 2}", "cannot share"),
    FORMAT("{\"num_key_value_heads\": 6}", "cannot share"),
    FORMAT("{\"num_attention_heads\": 4096, \"num_key_value_heads\": 1}", "not even"), /* 48 / 4096 = 0 */
    FORMAT("{\"hidden_size\": 45}", "not even"),                                       /* 45 / 3 = 15 */
    FORMAT("{\"head_dim\": 15}", "not even"),
    FORMAT("{\"head_dim\": 0}", "head_dim"),
    FORMAT("{\"head_dim\": 4294967296}", "head_dim"),
    FORMAT("{\"intermediate_size\": 0}", "intermediate_size"),
    FORMAT("{\"intermediate_size\": 9223372036854775807}", "intermediate_size"),
    FORMAT("{\"max_position_embeddings\": 0}", "max_position_embeddings"),
    FORMAT("{\"vocab_size\": -1}", "vocab_size"),
    FORMAT("{\"rms_norm_eps\": \"small\"}", "rms_norm_eps"),
    FORMAT("{\"rms_norm_eps\": -1e-6}", "rms_norm_eps"),
    FORMAT("{\"rope_theta\": 0}", "rope_theta"),
    FORMAT("{\"rope_theta\": -10000}", "rope_theta"),
    FORMAT("{\"tie_word_embeddings\": 1}", "tie_word_embeddings"),
    FORMAT("{\"use_sliding_window\": \"no\"}", "use_sliding_window"),
    UNSUPPORTED("{\"use_sliding_window\": true}", "use_sliding_window"),
    UNSUPPORTED("{\"hidden_act\": \"gelu\"}", "gelu"),
    FORMAT("{\"rope_scaling\": \"-\"}", "mrope_section"),
    FORMAT("{\"rope_scaling\": 7}", "rope_scaling"),
    FORMAT("{\"layer_types\": [\"full_attention\"]}", "list of 2 words"),
    FORMAT("{\"layer_types\": [\"full_attention\", \"full_attention\", \"full_attention\"]}", "list of 2 words"),
    FORMAT("{\"layer_types\": \"full_attention\"}", "list of 2 words"),
    FORMAT("{\"rope_scaling\": {\"mrope_section\": [4, 4]}}", "three numbers"),
    FORMAT("{\"rope_scaling\": {\"mrope_section\": [4, 2, 1]}}", "adds up to 7"),
    FORMAT("{\"rope_scaling\": {\"mrope_section\": [4, 2, 3]}}", "adds up to 9"),
    FORMAT("{\"rope_scaling\": {\"mrope_section\": [10, -1, -1]}}", "whole numbers"),
    FORMAT("{\"rope_scaling\": {\"mrope_section\": [4.0, 2, 2]}}", "whole numbers"),
    FORMAT("{\"rope_scaling\": {\"mrope_section\": [9223372036854775807, 2, 2]}}", "whole numbers"),
    UNSUPPORTED("{\"rope_scaling\": {\"type\": \"yarn\"}}", "yarn"),
    FORMAT("{\"rope_scaling\": {\"type\": 3}}", "type"),
    /* transformers 4 follows "type" where both are there, 5 "rope_type": neither may be another */
    UNSUPPORTED("{\"rope_scaling\": {\"rope_type\": \"yarn\", \"type\": \"mrope\"}}", "\"rope_scaling.rope_type\" is \"yarn\""),
    UNSUPPORTED("{\"rope_scaling\": {\"rope_type\": \"default\", \"type\": \"linear\"}}", "\"rope_scaling.type\" is \"linear\""),
    UNSUPPORTED("{\"rope_scaling\": {\"rope_type\": \"\"}}", "\"rope_scaling.rope_type\" is \"\""),
    UNSUPPORTED("{\"rope_parameters\": {\"rope_type\": \"llama3\"}}", "\"rope_parameters.rope_type\" is \"llama3\""),
    UNSUPPORTED("{\"rope_scaling\": \"-\", \"rope_parameters\": {\"rope_type\": \"dynamic\", \"mrope_section\": [4, 2, 2]}}", "dynamic"),
    UNSUPPORTED("{\"text_config\": {\"hidden_size\": 48, \"num_hidden_layers\": 2, \"num_attention_heads\": 3, \"intermediate_size\": 80, "
                "\"rope_scaling\": {\"rope_type\": \"longrope\", \"mrope_section\": [4, 2, 2]}}}",
                "config.json: text_config: \"rope_scaling.rope_type\" is \"longrope\""),
    UNSUPPORTED("{\"rope_scaling\": {\"rope_type\": \"yarn\"}, \"text_config\": {\"hidden_size\": 48, \"num_hidden_layers\": 2, "
                "\"num_attention_heads\": 3, \"intermediate_size\": 80, \"rope_scaling\": {\"type\": \"mrope\", "
                "\"mrope_section\": [4, 2, 2]}}}", "\"rope_scaling.rope_type\" is \"yarn\""),
    UNSUPPORTED("{\"vision_config\": {\"rope_parameters\": {\"rope_type\": \"linear\"}}}",
                "config.json: vision_config: \"rope_parameters.rope_type\" is \"linear\""),
    FORMAT("{\"vision_config\": {\"rope_parameters\": {\"rope_theta\": 0}}}", "config.json: vision_config: rope_parameters: \"rope_theta\""),
    FORMAT("{\"rope_parameters\": 3}", "rope_parameters"),
    UNSUPPORTED("{\"layer_types\": [\"full_attention\", \"sliding_attention\"]}", "sliding_attention"),
    /* weights of others' making */
    UNSUPPORTED("{\"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": 4}}", "\"quantization_config\" says that the weights "
                "are quantized with gptq"),
    UNSUPPORTED("{\"quantization_config\": {\"quant_method\": \"awq\"}}", "with awq"),
    UNSUPPORTED("{\"quantization_config\": {\"quant_method\": \"fp8\"}}", "with fp8"),
    UNSUPPORTED("{\"quantization_config\": {\"quant_method\": \"bitsandbytes\"}}", "with bitsandbytes"),
    UNSUPPORTED("{\"quantization_config\": {\"load_in_8bit\": true}}", "with bitsandbytes"),
    UNSUPPORTED("{\"quantization_config\": {\"quant_method\": \"compressed-tensors\"}}", "with compressed-tensors"),
    UNSUPPORTED("{\"compression_config\": {\"config_groups\": {}}}", "with compressed-tensors"),
    UNSUPPORTED("{\"quantization_config\": {\"bits\": 2}}", "with an unnamed method"),
    UNSUPPORTED("{\"text_config\": {\"quantization_config\": {\"quant_method\": \"aqlm\"}}}", "config.json: text_config: \"quantization_config\" says that "
                "the weights are quantized with aqlm"),
    FORMAT("{\"image_token_id\": \"-\"}", "image_token_id"),
    FORMAT("{\"image_token_id\": -1}", "image_token_id"),
    FORMAT("{\"image_token_id\": 4294967296}", "image_token_id"),
    FORMAT("{\"eos_token_id\": \"280\"}", "eos_token_id"),
    FORMAT("{\"eos_token_id\": [280, null]}", "eos_token_id"),
    FORMAT("{\"eos_token_id\": [280, [281]]}", "eos_token_id"),
    FORMAT("{\"eos_token_id\": -1}", "eos_token_id"),
    FORMAT("{\"eos_token_id\": 4294967576}", "eos_token_id"), /* 2^32 + 280 */
    FORMAT("{\"eos_token_id\": {\"id\": 280}}", "eos_token_id"),
    FORMAT("{\"eos_token_id\": [0, 1, 2, 3, 4, 5, 6, 7, 8]}", "at most 8"),
    FORMAT("{\"vision_config\": \"-\"}", "vision_config"),
    FORMAT("{\"vision_config\": []}", "vision_config"),
    FORMAT("{\"vision_config\": {\"depth\": 0}}", "config.json: vision_config: \"depth\""),
    FORMAT("{\"vision_config\": {\"embed_dim\": 0}}", "config.json: vision_config: \"embed_dim\""),
    FORMAT("{\"vision_config\": {\"num_heads\": 0}}", "config.json: vision_config: \"num_heads\""),
    FORMAT("{\"vision_config\": {\"num_heads\": 5}}", "config.json: vision_config: 5 vision heads"),
    FORMAT("{\"vision_config\": {\"num_heads\": 4}}", "config.json: vision_config: 4 vision heads do not divide 24 into multiples of 4"), /* 24 / 4 = 6 */
    FORMAT("{\"vision_config\": {\"mlp_ratio\": 0}}", "config.json: vision_config: \"mlp_ratio\""),
    FORMAT("{\"vision_config\": {\"mlp_ratio\": 0.02}}", "config.json: vision_config: \"mlp_ratio\""),
    FORMAT("{\"vision_config\": {\"patch_size\": 0}}", "config.json: vision_config: \"patch_size\""),
    FORMAT("{\"vision_config\": {\"patch_size\": 65536}}", "config.json: vision_config: \"patch_size\""),
    FORMAT("{\"vision_config\": {\"temporal_patch_size\": 0}}", "config.json: vision_config: \"temporal_patch_size\""),
    FORMAT("{\"vision_config\": {\"spatial_merge_size\": 0}}", "config.json: vision_config: \"spatial_merge_size\""),
    FORMAT("{\"vision_config\": {\"hidden_size\": 47}}", "config.json: vision_config: the vision tower gives rows of 47"),
    UNSUPPORTED("{\"vision_config\": {\"in_chans\": 1}}", "config.json: vision_config: pictures of 1 channels"),
    UNSUPPORTED("{\"vision_config\": {\"hidden_act\": \"silu\"}}", "config.json: vision_config: the vision activation \"silu\""),
    UNSUPPORTED("{\"model_type\": \"llama\"}", "llama"),
    UNSUPPORTED("{\"model_type\": \"qwen3_vl\"}", "this program reads: chameleon, qwen2_vl"),
    UNSUPPORTED("{\"model_type\": \"-\"}", "is a model without a type (model_type of config.json is missing or empty)"),
    UNSUPPORTED("{\"model_type\": \"\"}", "is a model without a type"),
    FORMAT("{\"text_config\": {\"hidden_size\": 0}}", "config.json: text_config: \"hidden_size\" must be"),
    FORMAT("{\"text_config\": {}}", "config.json: text_config: one of \"hidden_size\""),
    FORMAT("{\"model_type\": 2}", "model_type"),
};

static void test_hostile(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof all_hostile / sizeof *all_hostile; i++) {
        const hostile *h = &all_hostile[i];
        char *directory = make_directory();
        const tn_backbone *backbone;
        tn_model_config config;
        tenebra_error error = { 0 };
        write_config(TIED, directory, h->changes);
        tenebra_code code = tn_model_read_config(directory, NULL, &backbone, &config, NULL, &error);
        char all[sizeof error.where + sizeof error.sentence + 2];
        snprintf(all, sizeof all, "%s: %s", error.where, error.sentence);
        if (code != h->code || strstr(all, h->words) == NULL)
            fail_msg("%s: code %d, %s", h->changes, (int)code, all);
        assert_int_equal(error.code, h->code);
        remove_directory(directory);
    }
}

/* Not JSON, not an object, not there. */
static void test_no_config(void **state)
{
    (void)state;
    static const char *const texts[] = { "", "{", "[]", "7", "{\"model_type\": \"qwen2_vl\"} x",
                                         "{\"model_type\": \"qwen2_vl\", \"model_type\": \"llama\"}",
                                         "{\"model_type\": \"qwen2_vl\", \"hidden_size\": 18446744073709551615}" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *directory = make_directory();
        write_file(directory, "config.json", texts[i], strlen(texts[i]));
        refuses(directory, TENEBRA_ERROR_FORMAT, "config.json", "");
    }
    refuses(make_directory(), TENEBRA_ERROR_IO, "", "is not a model directory: it has no config.json");
    tenebra_error error = { 0 };
    tn_model *no_model;
    assert_int_not_equal(tn_model_open("/nonexistent/model", NULL, &no_model, &error), TENEBRA_OK);
    assert_null(no_model);
    assert_error(&error, TENEBRA_ERROR_IO, "/nonexistent/model", "not a model directory");
    assert_int_not_equal(tn_model_open("/nonexistent/model", NULL, &no_model, NULL), TENEBRA_OK); /* the record is optional */
    assert_null(no_model);
    char *directory = make_directory();
    write_config(TIED, directory, "{}");
    refuses(directory, TENEBRA_ERROR_IO, directory, "");
}

/* ------------------------------------------------------------ what is read -- */

/* A size of the image encoder. */
static size_t size_of(const tn_model_config *config, const char *name)
{
    return tn_encoder_size(tn_backbone_find("qwen2_vl")->encoder, &config->vision, name);
}

static void read_ok(const char *directory, tn_model_config *config)
{
    const tn_backbone *backbone;
    tenebra_error error = { 0 };
    tenebra_code code = tn_model_read_config(directory, NULL, &backbone, config, NULL, &error);
    if (code != TENEBRA_OK)
        print_error("%s: %s\n", error.where, error.sentence);
    assert_int_equal(code, TENEBRA_OK);
    assert_string_equal(backbone->name, "qwen2-vl");
}

static void test_values(void **state)
{
    (void)state;
    tn_model_config config;
    read_ok(UNTIED, &config);
    const tn_decoder_config *d = &config.decoder;
    assert_int_equal(d->hidden_size, 64);
    assert_int_equal(d->num_hidden_layers, 3);
    assert_int_equal(d->num_attention_heads, 4);
    assert_int_equal(d->num_key_value_heads, 2);
    assert_int_equal(d->head_dim, 16);
    assert_int_equal(d->intermediate_size, 136);
    assert_true(d->rms_norm_eps == 1e-6);
    assert_true(d->rope_theta == 1e6);
    assert_int_equal(d->mrope_section[0], 2);
    assert_int_equal(d->mrope_section[1], 3);
    assert_int_equal(d->mrope_section[2], 3);
    assert_int_equal(size_of(&config, "embed_dim"), 32);
    assert_int_equal(size_of(&config, "depth"), 2);
    assert_int_equal(size_of(&config, "mlp_dim"), 128);
    assert_int_equal(size_of(&config, "patch_values"), 3 * 2 * 14 * 14);
    assert_int_equal(config.picture_token, 412);
    assert_int_equal(config.picture_begin, 410);
    assert_int_equal(config.picture_end, 411);
    assert_int_equal(config.eos_count, 1);
    assert_int_equal(config.eos_tokens[0], 414);
    assert_false(config.tie_word_embeddings);
}

/* transformers >= 4.52 puts the text part into "text_config", transformers 5 also renames
 * "rope_scaling" and keeps theta there. The whole configuration must come out the same. */
static void test_nested(void **state)
{
    (void)state;
    static const char *const moved[] = {
        "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size",
        "max_position_embeddings", "rms_norm_eps", "vocab_size", "hidden_act", "use_sliding_window",
        "tie_word_embeddings", "eos_token_id", "vision_start_token_id", "vision_end_token_id" };
    tn_model_config flat;
    read_ok(TIED, &flat);
    for (int newer = 0; newer < 2; newer++) {
        json_t *config = json_load_file(TIED "/config.json", 0, NULL), *text = json_object();
        for (size_t i = 0; i < sizeof moved / sizeof *moved; i++) {
            json_object_set(text, moved[i], json_object_get(config, moved[i]));
            json_object_del(config, moved[i]);
        }
        json_t *scaling = json_object_get(config, "rope_scaling"), *theta = json_object_get(config, "rope_theta");
        json_object_set(text, newer ? "rope_parameters" : "rope_scaling", scaling);
        json_object_set(newer ? scaling : text, "rope_theta", theta);
        json_object_del(config, "rope_scaling");
        json_object_del(config, "rope_theta");
        /* Keys outside text_config do not belong to the text part. */
        json_object_set_new(config, "hidden_size", json_integer(7));
        json_object_set_new(config, "text_config", text);
        char *directory = make_directory(), *written = json_dumps(config, 0);
        write_file(directory, "config.json", written, strlen(written));
        free(written);
        json_decref(config);
        tn_model_config nested;
        read_ok(directory, &nested);
        assert_memory_equal(&nested, &flat, sizeof flat);
        remove_directory(directory);
    }
}

/* rope_theta is read from the object, else from the same level, else it has the default. Of both objects, rope_scaling is used
 * unless it is empty. */
static void test_theta(void **state)
{
    (void)state;
    static const struct {
        const char *changes;
        double text, vision;
    } cases[] = {
        { "{}", 1e6, 1e4 },
        { "{\"rope_theta\": \"-\"}", 1e6, 1e4 },
        { "{\"rope_theta\": 5000}", 5000, 1e4 },
        { "{\"rope_theta\": 5000, \"rope_scaling\": {\"rope_theta\": 7000}}", 7000, 1e4 },
        { "{\"rope_parameters\": {\"rope_theta\": 9000}}", 1e6, 1e4 },
        { "{\"rope_scaling\": \"-\", \"rope_parameters\": {\"rope_theta\": 9000, \"rope_type\": \"default\", "
          "\"mrope_section\": [4, 2, 2]}}", 9000, 1e4 },
        { "{\"vision_config\": {\"rope_theta\": 77}}", 1e6, 77 },
        { "{\"vision_config\": {\"rope_theta\": 77, \"rope_parameters\": {\"rope_type\": \"axial\", \"rope_theta\": 78}}}", 1e6, 78 },
        { "{\"vision_config\": {\"rope_parameters\": {\"rope_type\": \"default\"}}}", 1e6, 1e4 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_model_config config;
        char *directory = make_directory();
        write_config(TIED, directory, cases[i].changes);
        read_ok(directory, &config);
        assert_true(config.decoder.rope_theta == cases[i].text);
        assert_true(config.vision.numbers[0] == cases[i].vision); /* the only one of this tower */
        remove_directory(directory);
    }
}

static void check_eos(const char *config_eos, const char *generation, const int32_t *expected, size_t count)
{
    char changes[128];
    tn_model_config config;
    char *directory = make_directory();
    snprintf(changes, sizeof changes, "{\"eos_token_id\": %s}", config_eos);
    write_config(TIED, directory, changes);
    if (generation != NULL)
        write_file(directory, "generation_config.json", generation, strlen(generation));
    read_ok(directory, &config);
    assert_int_equal(config.eos_count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(config.eos_tokens[i], expected[i]);
    remove_directory(directory);
}

static void test_end_tokens(void **state)
{
    (void)state;
    static const int32_t ends[] = { 280, 281, 7 };
    check_eos("280", NULL, ends, 1);
    check_eos("[280, 281]", NULL, ends, 2);
    check_eos("[]", NULL, ends, 0);
    check_eos("null", NULL, ends, 0);
    check_eos("5", "{\"eos_token_id\": [280, 281, 7]}", ends, 3); /* generation's go first */
    check_eos("[5, 6]", "{\"eos_token_id\": 280}", ends, 1);
    check_eos("280", "{\"temperature\": 0.01, \"top_p\": 0.001}", ends, 1);
    char *directory = make_directory();
    write_config(TIED, directory, "{}");
    write_file(directory, "generation_config.json", "{\"eos_token_id\": \"x\"}", 21);
    refuses(directory, TENEBRA_ERROR_FORMAT, "generation_config.json", "eos_token_id");
    directory = make_directory();
    write_config(TIED, directory, "{}");
    write_file(directory, "generation_config.json", "[1]", 3);
    refuses(directory, TENEBRA_ERROR_FORMAT, "generation_config.json", "object");
}

/* -------------------------------------------------------------- images -- */

static char *with_preprocessor(const char *text)
{
    char *directory = edited_model(TIED, NULL, NULL, "{}");
    write_file(directory, "preprocessor_config.json", text, strlen(text));
    return directory;
}

static void test_preprocessor(void **state)
{
    (void)state;
    refuses(with_preprocessor("{\"patch_size\": 16}"), TENEBRA_ERROR_MISMATCH, "preprocessor_config.json", "differs");
    refuses(with_preprocessor("{\"merge_size\": 1}"), TENEBRA_ERROR_MISMATCH, "preprocessor_config.json", "differs");
    refuses(with_preprocessor("{\"temporal_patch_size\": 1}"), TENEBRA_ERROR_MISMATCH, "preprocessor_config.json",
            "differs");
    refuses(with_preprocessor("{\"trim_frame\": 1}"), TENEBRA_ERROR_FORMAT, "preprocessor_config.json", "trim_frame");
    char *framed = with_preprocessor("{\"trim_frame\": true}"), *plain = with_preprocessor("{}");
    tn_model *trims = open_model(framed, NULL), *leaves = open_model(plain, NULL);
    assert_true(trims->trims_frames && !leaves->trims_frames && trims->notes.count == leaves->notes.count);
    tn_model_close(trims);
    tn_model_close(leaves);
    remove_directory(framed);
    remove_directory(plain);
    refuses(with_preprocessor("{\"patch_size\": 0}"), TENEBRA_ERROR_FORMAT, "preprocessor_config.json", "patch_size");
    refuses(with_preprocessor("no json"), TENEBRA_ERROR_FORMAT, "preprocessor_config.json", "");
    char *directory = with_preprocessor("{\"min_pixels\": 784, \"max_pixels\": 1568}");
    tn_model *model = open_model(directory, NULL);
    assert_int_equal(patch_config(model)->max_pixels, 1568);
    tn_model_close(model);
    remove_directory(directory);
}

/* Of both files the new one counts, as in transformers 5.24; a difference is noted. 1000 x 1000 pixels under a longest_edge of
 * 200704 give a grid of 32 x 32 patches there, so 256 rows. */
static void test_processor(void **state)
{
    (void)state;
    static const char both[] = "{\"image_processor\": {\"size\": {\"shortest_edge\": 3136, \"longest_edge\": 200704}, "
                               "\"patch_size\": 14}, \"processor_class\": \"P\", \"video_processor\": {}}";
    static const char alone[] = "{\"processor_class\": \"Qwen2VLProcessor\"}";
    static const struct {
        const char *processor, *preprocessor;
        size_t pixels;
        const char *note;
    } cases[] = {
        { both, NULL, 200704, "" },
        { both, "{\"max_pixels\": 200704}", 200704, "" },
        { both, "{\"max_pixels\": 401408}", 200704, "preprocessor_config.json: all of it" },
        { both, "no json", 0, "" },
        { alone, "{\"max_pixels\": 401408}", 401408, "" },
        { alone, NULL, 12845056, "" },
        { "{\"image_processor\": null, \"odd\": 1}", "{\"max_pixels\": 401408, \"odder\": 1}", 401408,
          "processor_config.json: odd; preprocessor_config.json: odder" },
        { "{\"image_processor\": {\"max_pixels\": 5000, \"size\": {\"longest_edge\": 9000, \"height\": 3}, \"do_convert_rgb\": false, "
          "\"do_pad\": true}}", NULL, 5000, "processor_config.json: image_processor.do_convert_rgb, image_processor.do_pad, "
          "image_processor.size.height" },
        { NULL, "{\"image_processor\": {\"max_pixels\": 401408}}", 401408, "" }, /* as 4.57 unwraps it */
        { "{\"image_processor\": {\"patch_size\": 16}}", "{}", 0, "" },
        { "{\"image_processor\": 3}", "{}", 0, "" },
        { "[]", "{}", 0, "" },
        /* Another class prepares images in another way and is refused. Classes of one family follow the same rule. */
        { "{\"image_processor\": {\"image_processor_type\": \"Qwen2VLImageProcessorFast\"}}", NULL, 1003520, "" },
        { "{\"image_processor\": {\"image_processor_type\": \"Qwen2VLImageProcessorPil\"}}", NULL, 1003520, "" },
        { "{\"image_processor\": {\"image_processor_type\": \"CLIPImageProcessor\"}}", NULL, 0, "" },
        { NULL, "{\"image_processor_type\": \"Qwen2VLImageProcessorX\"}", 0, "" },
        { NULL, "{\"image_processor_type\": \"SiglipImageProcessor\"}", 0, "" },
        { "{\"image_token\": \"<|image_pad|>\"}", NULL, 12845056, "" },
        { "{\"image_token\": \"<image>\"}", NULL, 12845056, "processor_config.json: image_token" },
    };
    const tn_backbone *backbone;
    tn_model_config config;
    assert_int_equal(tn_model_read_config(TIED, NULL, &backbone, &config, NULL, NULL), TENEBRA_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *directory = make_directory(), text[TN_NOTES_TEXT];
        tn_patch_config *patches = NULL;
        bool trims;
        tn_notes notes = { 0 };
        if (cases[i].processor != NULL)
            write_file(directory, "processor_config.json", cases[i].processor, strlen(cases[i].processor));
        if (cases[i].preprocessor != NULL)
            write_file(directory, "preprocessor_config.json", cases[i].preprocessor, strlen(cases[i].preprocessor));
        tenebra_code code = tn_model_read_processor(directory, backbone, &config, (void **)&patches, &trims, &notes, NULL);
        assert_int_equal(code == TENEBRA_OK, cases[i].pixels > 0);
        if (code == TENEBRA_OK) {
            size_t height, width;
            assert_int_equal(patches->max_pixels, cases[i].pixels);
            assert_int_equal(strncmp(tn_notes_print(&notes, text), cases[i].note, tn_max(1, strlen(cases[i].note))), 0);
            assert_int_equal(tn_smart_resize(1000, 1000, 28, patches->min_pixels, patches->max_pixels, &height, &width, NULL), TENEBRA_OK);
            if (cases[i].pixels == 200704)
                assert_int_equal(height / 28 * (width / 28), 256);
        }
        free(patches);
        remove_directory(directory);
    }
}

static void test_old_quantization(void **state)
{
    (void)state;
    char *directory = edited_model(TIED, NULL, NULL, "{\"quantization_config\": null}");
    tn_model_close(open_model(directory, NULL));
    write_file(directory, "quantize_config.json", "{\"bits\": 4}", 11);
    refuses(directory, TENEBRA_ERROR_UNSUPPORTED, "quantize_config.json", "with gptq");
    directory = edited_model(TIED, NULL, NULL, "{}");
    write_file(directory, "quant_config.json", "{\"w_bit\": 4}", 12);
    refuses(directory, TENEBRA_ERROR_UNSUPPORTED, "quant_config.json", "with awq");
}

/* Without tokenizer and preprocessor: ids and patches can still be run; the published preparation applies. */
static void test_bare_directory(void **state)
{
    (void)state;
    tn_model *model = open_model(TIED, NULL);
    assert_null(model->tokenizer);
    assert_int_equal(patch_config(model)->min_pixels, 3136);
    assert_int_equal(patch_config(model)->max_pixels, 12845056);
    outcome o = run_model(model);
    assert_true(all_finite(o.values, o.count));
    free(o.values);
    tn_model_close(model);
}

static void test_kernels(void **state)
{
    (void)state;
    const tn_model_options unknown = { .kernels = "abacus" };
    tenebra_error error = { 0 };
    tn_model *no_model;
    assert_int_not_equal(tn_model_open(TIED, &unknown, &no_model, &error), TENEBRA_OK);
    assert_null(no_model);
    assert_error(&error, TENEBRA_ERROR_ARGUMENT, "abacus", "reference");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile),      cmocka_unit_test(test_no_config),     cmocka_unit_test(test_values),
        cmocka_unit_test(test_nested),       cmocka_unit_test(test_end_tokens),    cmocka_unit_test(test_preprocessor),
        cmocka_unit_test(test_bare_directory), cmocka_unit_test(test_kernels),       cmocka_unit_test(test_theta),
        cmocka_unit_test(test_processor),
        cmocka_unit_test(test_old_quantization),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
