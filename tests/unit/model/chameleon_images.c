/* Chameleon's image encoder: its part of config.json, its tensors, how images are prepared, and what is refused. Values are in
 * golden/model/codes.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/plan.h"
#include "model/recipe.h"
#include "unit/model/models.h"

static const tn_image_encoder *encoder_here(void)
{
    const tn_backbone *backbone = tn_backbone_find("chameleon");
    assert_non_null(backbone);
    return backbone->encoder;
}

static tenebra_code read_part(const char *text, tn_model_config *config, tenebra_error *error)
{
    json_t *part = text != NULL ? json_loads(text, 0, NULL) : NULL;
    memset(config, 0, sizeof *config);
    tenebra_code code = encoder_here()->read_config(part, "config.json", config, error);
    json_decref(part);
    return code;
}

static void expect(tenebra_code code, const tenebra_error *error, tenebra_code wanted, const char *words)
{
    if (code != wanted || strstr(error->sentence, words) == NULL)
        print_error("%s\n", error->sentence);
    assert_int_equal(code, wanted);
    assert_int_equal(error->code, wanted);
    assert_non_null(strstr(error->sentence, words));
}

/* ------------------------------------------------------------------ config -- */

/* Without any key: the published models. */
static void test_defaults(void **state)
{
    static const struct {
        const char *name;
        size_t size;
    } wanted[] = { { "levels", 5 }, { "num_res_blocks", 2 }, { "base_channels", 128 }, { "latent_channels", 256 },
                   { "embed_dim", 256 }, { "num_embeddings", 8192 }, { "resolution", 512 } };
    static const char *const texts[] = { NULL, "{}", "{\"channel_multiplier\": null, \"attn_resolutions\": [], \"attn_type\": \"vanilla\"}",
                                         "{\"channel_multiplier\": [1, 1, 2, 2, 4]}" };
    (void)state;
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
        tn_model_config config;
        assert_int_equal(read_part(texts[t], &config, NULL), TENEBRA_OK);
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
            assert_int_equal(tn_encoder_size(encoder_here(), &config.vision, wanted[i].name), wanted[i].size);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *text;
        tenebra_code code;
        const char *words;
    } cases[] = {
        { "{\"base_channels\": 48}", TENEBRA_ERROR_FORMAT, "\"base_channels\" is 48, but norms of the image encoder have 32 groups" },
        { "{\"base_channels\": 0}", TENEBRA_ERROR_FORMAT, "base_channels" },
        { "{\"base_channels\": 4294967296}", TENEBRA_ERROR_FORMAT, "base_channels" },
        { "{\"num_res_blocks\": 0}", TENEBRA_ERROR_FORMAT, "num_res_blocks" },
        { "{\"num_embeddings\": 0}", TENEBRA_ERROR_FORMAT, "num_embeddings" },
        { "{\"embed_dim\": \"x\"}", TENEBRA_ERROR_FORMAT, "embed_dim" },
        { "{\"resolution\": 520}", TENEBRA_ERROR_FORMAT, "5 levels halve the image to cells of 16 pixels" },
        { "{\"channel_multiplier\": []}", TENEBRA_ERROR_FORMAT, "list of 1 to 8 numbers" },
        { "{\"channel_multiplier\": 4}", TENEBRA_ERROR_FORMAT, "list of 1 to 8 numbers" },
        { "{\"channel_multiplier\": [1, 1, 1, 1, 1, 1, 1, 1, 1]}", TENEBRA_ERROR_FORMAT, "list of 1 to 8 numbers" },
        { "{\"channel_multiplier\": [1, 0]}", TENEBRA_ERROR_FORMAT, "whole numbers from 1 to 64" },
        { "{\"channel_multiplier\": [1, \"2\"]}", TENEBRA_ERROR_FORMAT, "whole numbers from 1 to 64" },
        { "{\"attn_resolutions\": [16]}", TENEBRA_ERROR_UNSUPPORTED, "attn_resolutions" },
        { "{\"attn_resolutions\": 16}", TENEBRA_ERROR_UNSUPPORTED, "attn_resolutions" },
        { "{\"attn_type\": \"linear\"}", TENEBRA_ERROR_UNSUPPORTED, "attn_type" },
        { "{\"attn_type\": null}", TENEBRA_ERROR_UNSUPPORTED, "attn_type" }, /* which means: no attention */
        { "{\"double_latent\": true}", TENEBRA_ERROR_UNSUPPORTED, "double_latent" },
        { "{\"in_channels\": 1}", TENEBRA_ERROR_UNSUPPORTED, "images of 1 channels" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_model_config config;
        tenebra_error error = { 0 };
        expect(read_part(cases[i].text, &config, &error), &error, cases[i].code, cases[i].words);
    }
}

/* ----------------------------------------------------------------- tensors -- */

typedef struct listing {
    size_t tensors, values, shortcuts, halves;
    double operations; /* of one image of 512 x 512 pixels */
} listing;

static tenebra_code list(void *user, const tn_place *place, tenebra_error *error)
{
    static const struct {
        const char *name;
        size_t rank, shape[4], pool;
    } wanted[] = {
        { "model.vqmodel.encoder.conv_in.weight", 4, { 128, 3, 3, 3 }, 1 },
        { "model.vqmodel.encoder.down.0.block.1.conv2.weight", 4, { 128, 128, 3, 3 }, 1 },
        { "model.vqmodel.encoder.down.0.downsample.conv.weight", 4, { 128, 128, 3, 3 }, 4 },
        { "model.vqmodel.encoder.down.2.block.0.norm1.weight", 1, { 128 }, 1 },
        { "model.vqmodel.encoder.down.2.block.0.nin_shortcut.weight", 4, { 256, 128, 1, 1 }, 16 },
        { "model.vqmodel.encoder.down.4.block.0.conv1.weight", 4, { 512, 256, 3, 3 }, 256 },
        { "model.vqmodel.encoder.mid.attn_1.proj_out.weight", 4, { 512, 512, 1, 1 }, 256 },
        { "model.vqmodel.encoder.conv_out.weight", 4, { 256, 512, 3, 3 }, 256 },
        { "model.vqmodel.quant_conv.bias", 1, { 256 }, 1 },
        { "model.vqmodel.quantize.embedding.weight", 2, { 8192, 256 }, 256 },
        { "model.vqmodel.post_quant_conv.weight", 4, { 256, 256, 1, 1 }, 256 },
    };
    listing *all = user;
    (void)error;
    if (place->network->layout->kind != TN_NETWORK_IMAGES)
        return TENEBRA_OK;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (strcmp(place->name, wanted[i].name) == 0) {
            assert_int_equal(place->rank, wanted[i].rank);
            assert_memory_equal(place->shape, wanted[i].shape, wanted[i].rank * sizeof *place->shape);
            assert_int_equal(tn_place_pool(place), wanted[i].pool);
            all->tensors += 1000;
        }
    all->tensors++;
    all->values += place->rows * place->cols;
    all->shortcuts += strstr(place->name, "nin_shortcut.weight") != NULL;
    all->halves += strstr(place->name, "downsample.conv.weight") != NULL;
    if (tn_place_is_matrix(place))
        all->operations += 2.0 * 512 * 512 / (double)tn_place_pool(place) * (double)(place->rows * place->cols);
    return TENEBRA_OK;
}

static size_t block_values(size_t from, size_t to)
{
    size_t values = 2 * from + to * from * 9 + to + 2 * to + to * to * 9 + to;
    return from != to ? values + to * from + to : values;
}

/* The tensors of the published models. Counted by hand: two levels of 128 channels, one from 128 to 256, one of 256, one from 256 to 512,
 * four halvings, the middle, and what is before and after. */
static void test_tensors(void **state)
{
    tn_plan plan;
    listing all = { 0 };
    (void)state;
    assert_int_equal(tn_plan_open(&plan, "chameleon-7b", NULL, NULL), TENEBRA_OK);
    assert_int_equal(tn_networks_each(&plan.networks, list, &all, NULL), TENEBRA_OK);
    size_t same = block_values(128, 128), wider = block_values(128, 256), twice = block_values(256, 256), widest = block_values(256, 512);
    size_t top = block_values(512, 512), halves = 2 * (128 * 128 * 9 + 128) + 2 * (256 * 256 * 9 + 256);
    size_t blocks = 4 * same + wider + 3 * twice + widest + top + halves, middle = 2 * top + 2 * 512 + 4 * (512 * 512 + 512);
    size_t ends = 128 * 27 + 128 + 2 * 512 + 256 * 512 * 9 + 256 + 2 * (256 * 256 + 256) + 8192 * 256;
    assert_int_equal(all.values, blocks + middle + ends);
    assert_int_equal(all.shortcuts, 2);
    assert_int_equal(all.halves, 4);
    assert_int_equal(all.tensors, 11 * 1000 + 2 + 10 * 8 + 2 * 2 + 4 * 2 + 2 * 8 + 2 + 8 + 2 + 2 + 2 + 1 + 2);
    assert_true(all.operations > 5.5e11 && all.operations < 5.6e11);
    tn_plan_close(&plan);
}

typedef struct forms {
    const tn_recipe *recipe;
    size_t blocks[2], plain[2], half; /* of the decoder, of the encoder */
} forms;

static tenebra_code look_at_form(void *user, const tn_place *place, tenebra_error *error)
{
    forms *all = user;
    tn_form form = { .rank = place->rank, .elements = place->rows * place->cols };
    bool images = place->network->layout->kind == TN_NETWORK_IMAGES;
    (void)error;
    if (!tn_place_is_matrix(place))
        return TENEBRA_OK;
    memcpy(form.shape, place->shape, sizeof form.shape);
    tn_recipe_apply(all->recipe, place, place->rows, &form);
    ++*(tn_dtype_of(form.type)->block > 1 ? &all->blocks[images] : &all->plain[images]);
    all->half += images && form.type == TN_F16;
    return TENEBRA_OK;
}

/* Quantised models have the encoder in F16, unless a rule says otherwise. */
static void test_recipe(void **state)
{
    static const tn_dtype types[] = { TN_Q8_0, TN_Q4_0, TN_Q8_256 };
    (void)state;
    tn_plan plan;
    assert_int_equal(tn_plan_open(&plan, "chameleon-7b", NULL, NULL), TENEBRA_OK);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        tn_recipe recipe = tn_recipe_of(types[i], TN_PANELS);
        forms all = { .recipe = &recipe };
        assert_int_equal(tn_networks_each(&plan.networks, look_at_form, &all, NULL), TENEBRA_OK);
        assert_true(all.blocks[0] > 0 && all.blocks[1] == 0 && all.plain[1] > 0 && all.half == all.plain[1]);
        const tn_recipe_rule rule = { "model.vqmodel.encoder.mid.*", types[i] };
        recipe.rules = &rule;
        recipe.rule_count = 1;
        forms ruled = { .recipe = &recipe };
        assert_int_equal(tn_networks_each(&plan.networks, look_at_form, &ruled, NULL), TENEBRA_OK);
        assert_int_equal(ruled.blocks[1], 8);
        assert_int_equal(ruled.half + 8, all.half);
    }
    tn_plan_close(&plan);
}

static void drop_one(void *user, copied *tensor)
{
    if (strcmp(tensor->name, user) == 0)
        snprintf(tensor->name, sizeof tensor->name, "model.vqmodel.decoder.conv_in.weight"); /* not of this model */
}

/* A file that lacks a tensor, or has one more, is refused. */
static void test_other_files(void **state)
{
    static const char *const names[] = { "model.vqmodel.encoder.down.1.block.0.nin_shortcut.weight", "model.vqmodel.post_quant_conv.bias",
                                         "model.vqmodel.encoder.down.0.downsample.conv.weight" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[128];
        tenebra_error error = { 0 };
        snprintf(name, sizeof name, "%s", names[i]);
        char *directory = edited_model(TENEBRA_TEST_DATA "/golden/chameleon_64/model", drop_one, name, "{}");
        tn_model *no_model;
        assert_int_equal(tn_model_open(directory, NULL, &no_model, &error), TENEBRA_ERROR_MISMATCH);
        assert_null(no_model);
        assert_int_equal(error.code, TENEBRA_ERROR_MISMATCH);
        assert_string_equal(error.where, name);
        assert_non_null(strstr(error.sentence, "missing"));
        remove_directory(directory);
    }
}

/* -------------------------------------------------------------------- rule -- */

typedef struct rule {
    tn_model_config config;
    void *memory;
} rule;

static tenebra_code open_rule(rule *r, const char *sizes, const char *text, tenebra_error *error)
{
    json_t *part = json_loads(text, 0, NULL);
    assert_non_null(part);
    assert_int_equal(read_part(sizes, &r->config, NULL), TENEBRA_OK);
    r->memory = calloc(1, encoder_here()->rule_bytes);
    tenebra_code code = encoder_here()->read_rule(part, "preprocessor_config.json", &r->config.vision, r->memory, error);
    json_decref(part);
    return code;
}

static tn_fit fit_of(const rule *r, size_t width, size_t height, tenebra_image_rule asked)
{
    tn_fit fit;
    tenebra_error error = { 0 };
    if (encoder_here()->fit(r->memory, width, height, &asked, &fit, &error) != TENEBRA_OK)
        fail_msg("%s", error.sentence);
    return fit;
}

static void assert_fit(tn_fit fit, size_t width, size_t height, size_t left, size_t top, size_t seen_width, size_t seen_height)
{
    assert_int_equal(fit.width, width);
    assert_int_equal(fit.height, height);
    assert_int_equal(fit.left, left);
    assert_int_equal(fit.top, top);
    assert_int_equal(fit.seen_width, seen_width);
    assert_int_equal(fit.seen_height, seen_height);
    assert_int_equal(fit.filter, TN_RESAMPLE_LANCZOS);
}

static void test_fit(void **state)
{
    (void)state;
    static const tenebra_image_rule nothing = { 0 };
    rule r;
    assert_int_equal(open_rule(&r, "{}", "{}", NULL), TENEBRA_OK);
    assert_fit(fit_of(&r, 640, 480, nothing), 682, 512, 85, 0, 512, 512); /* int(682.67) */
    assert_fit(fit_of(&r, 480, 640, nothing), 512, 682, 0, 85, 512, 512);
    assert_fit(fit_of(&r, 512, 512, nothing), 512, 512, 0, 0, 512, 512);
    assert_fit(fit_of(&r, 100, 33, nothing), 1551, 512, 519, 0, 512, 512); /* int(1551.5), (1551 - 512) // 2 */
    assert_fit(fit_of(&r, 1, 1, nothing), 512, 512, 0, 0, 512, 512);
    const tn_image_rows rows = encoder_here()->measure(r.memory, 512, 512);
    assert_int_equal(rows.rows, 1024);
    assert_int_equal(rows.grid_rows, 32);
    assert_int_equal(rows.grid_columns, 32);
    assert_int_equal(encoder_here()->area(r.memory), 256);
    /* A fixed size: the image covers it. */
    assert_fit(fit_of(&r, 640, 480, (tenebra_image_rule){ .width = 256, .height = 256 }), 341, 256, 42, 0, 256, 256);
    assert_fit(fit_of(&r, 640, 480, (tenebra_image_rule){ .width = 512, .height = 256 }), 512, 384, 0, 64, 512, 256);
    assert_fit(fit_of(&r, 640, 480, (tenebra_image_rule){ .width = 64, .height = 256 }), 341, 256, 138, 0, 64, 256);
    /* Bounds that the size keeps change nothing. */
    assert_fit(fit_of(&r, 512, 512, (tenebra_image_rule){ .min_tokens = 4, .max_tokens = 1024 }), 512, 512, 0, 0, 512, 512);
    static const struct {
        size_t width, height;
        tenebra_image_rule asked;
        const char *words;
    } refused[] = {
        { 640, 480, { .max_tokens = 1023 }, "--image-size sets another one" },
        { 640, 480, { .min_pixels = 512 * 512 + 1 }, "--image-size sets another one" },
        { 640, 480, { .width = 250, .height = 256 }, "multiples of 16" },
        { 640, 480, { .width = 256 }, "multiples of 16" },
        { 2010, 10, { 0 }, "too long and narrow" },
        { 10, 2010, { 0 }, "too long and narrow" },
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        tenebra_error error = { 0 };
        tn_fit fit;
        expect(encoder_here()->fit(r.memory, refused[i].width, refused[i].height, &refused[i].asked, &fit, &error), &error,
               TENEBRA_ERROR_ARGUMENT, refused[i].words);
    }
    fit_of(&r, 2000, 10, nothing);
    free(r.memory);
}

static void test_rules(void **state)
{
    static const char *const same[] = { "{\"size\": 512, \"crop_size\": 512}", "{\"size\": {\"shortest_edge\": 512}}",
                                        "{\"crop_size\": {\"height\": 512, \"width\": 512}, \"do_convert_rgb\": true}",
                                        "{\"image_mean\": 1}" };
    static const char *const others[] = { "{\"size\": 528}", "{\"crop_size\": 496}", "{\"crop_size\": {\"height\": 512, \"width\": 496}}",
                                          "{\"resample\": 3}", "{\"rescale_factor\": 0.004}", "{\"image_mean\": [1, 1, 0.5]}",
                                          "{\"do_normalize\": false}", "{\"image_std\": 0.5}" };
    static const struct {
        const char *text;
        tenebra_code code;
        const char *words;
    } refused[] = {
        { "{\"do_resize\": false}", TENEBRA_ERROR_UNSUPPORTED, "\"do_resize\" is false" },
        { "{\"do_center_crop\": false}", TENEBRA_ERROR_UNSUPPORTED, "\"do_center_crop\" is false" },
        { "{\"size\": {\"height\": 512, \"width\": 512}}", TENEBRA_ERROR_UNSUPPORTED, "\"size\" without \"shortest_edge\"" },
        { "{\"crop_size\": {\"height\": 512}}", TENEBRA_ERROR_UNSUPPORTED, "\"crop_size\" without \"width\"" },
        { "{\"size\": \"512\"}", TENEBRA_ERROR_FORMAT, "size" },
        { "{\"size\": 0}", TENEBRA_ERROR_FORMAT, "size" },
        { "{\"crop_size\": 520}", TENEBRA_ERROR_MISMATCH, "multiples of 16" },
        { "{\"crop_size\": 504}", TENEBRA_ERROR_MISMATCH, "multiples of 16" },
        { "{\"size\": 496}", TENEBRA_ERROR_MISMATCH, "at most \"shortest_edge\", 496" },
        { "{\"resample\": 0}", TENEBRA_ERROR_UNSUPPORTED, "nearest" },
        { "{\"image_std\": [1, 0, 1]}", TENEBRA_ERROR_FORMAT, "image_std" },
    };
    (void)state;
    const tn_image_encoder *encoder = encoder_here();
    rule plain, r;
    size_t least, most;
    assert_int_equal(open_rule(&plain, "{}", "{}", NULL), TENEBRA_OK);
    encoder->bounds(plain.memory, &least, &most);
    assert_true(least == 512 * 512 && most == least);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        assert_int_equal(open_rule(&r, "{}", same[i], NULL), TENEBRA_OK);
        assert_true(encoder->same_rule(plain.memory, r.memory));
        free(r.memory);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(open_rule(&r, "{}", others[i], NULL), TENEBRA_OK);
        assert_false(encoder->same_rule(plain.memory, r.memory));
        free(r.memory);
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        tenebra_error error = { 0 };
        expect(open_rule(&r, "{}", refused[i].text, &error), &error, refused[i].code, refused[i].words);
        free(r.memory);
    }
    free(plain.memory);
}

/* A model of another resolution, without sizes in its file; and what is written into one. */
static void test_written(void **state)
{
    const tn_image_encoder *encoder = encoder_here();
    static const tenebra_image_rule nothing = { 0 };
    rule small, cut, again;
    (void)state;
    assert_int_equal(open_rule(&small, "{\"resolution\": 64, \"channel_multiplier\": [1, 1, 1]}", "{}", NULL), TENEBRA_OK);
    assert_fit(fit_of(&small, 128, 64, nothing), 128, 64, 32, 0, 64, 64);
    for (size_t written = 0; written < 2; written++) { /* from the configuration, and from a rule */
        json_t *part = json_object();
        assert_int_equal(open_rule(&cut, "{\"resolution\": 64, \"channel_multiplier\": [1, 1, 1]}",
                                   "{\"size\": 80, \"crop_size\": {\"height\": 72, \"width\": 76}}", NULL), TENEBRA_OK);
        assert_true(encoder->write_rule(part, &small.config.vision, written ? cut.memory : NULL, &nothing));
        char *text = json_dumps(part, 0);
        assert_int_equal(open_rule(&again, "{}", "{}", NULL), TENEBRA_OK);
        free(again.memory);
        assert_int_equal(open_rule(&again, "{\"resolution\": 32, \"channel_multiplier\": [1, 1, 1]}", text, NULL), TENEBRA_OK);
        assert_true(encoder->same_rule(written ? cut.memory : small.memory, again.memory));
        assert_false(encoder->same_rule(written ? small.memory : cut.memory, again.memory));
        free(text);
        free(again.memory);
        free(cut.memory);
        json_decref(part);
    }
    free(small.memory);
}

static void test_notes(void **state)
{
    json_t *known = json_loads("{\"do_convert_rgb\": true, \"do_resize\": true, \"size\": 512, \"trim_frame\": false}", 0, NULL);
    json_t *unknown = json_loads("{\"do_convert_rgb\": false, \"patch_size\": 14}", 0, NULL);
    char text[TN_NOTES_TEXT];
    tn_notes notes = { 0 };
    (void)state;
    encoder_here()->note_rule(known, "preprocessor_config.json", NULL, &notes);
    assert_int_equal(notes.count, 0);
    encoder_here()->note_rule(unknown, "preprocessor_config.json", NULL, &notes);
    tn_notes_print(&notes, text);
    assert_non_null(strstr(text, "do_convert_rgb"));
    assert_non_null(strstr(text, "patch_size"));
    json_decref(known);
    json_decref(unknown);
}

static void test_odd_images(void **state)
{
    rule r;
    tn_image image;
    tn_prepared prepared;
    tenebra_error error = { 0 };
    (void)state;
    assert_int_equal(open_rule(&r, "{}", "{}", NULL), TENEBRA_OK);
    assert_int_equal(tn_image_new(&image, 32, 24, 3, NULL), TENEBRA_OK);
    memset(image.pixels, 0, 32 * 24 * 3);
    expect(encoder_here()->prepare(r.memory, &image, &prepared, &error), &error, TENEBRA_ERROR_ARGUMENT, "32 x 24 pixels are not whole "
                                                                                                       "cells of 16");
    assert_null(prepared.values);
    tn_image_free(&image);
    free(r.memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),    cmocka_unit_test(test_refused), cmocka_unit_test(test_tensors), cmocka_unit_test(test_recipe),
        cmocka_unit_test(test_other_files), cmocka_unit_test(test_fit),     cmocka_unit_test(test_rules),   cmocka_unit_test(test_written),
        cmocka_unit_test(test_notes),       cmocka_unit_test(test_odd_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
