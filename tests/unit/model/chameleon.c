/* Chameleon's config.json: both generations, the map of tokens, positions, and what is refused with a sentence that names the key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/plan.h"
#include "model/row.h"
#include "unit/model/models.h"

#define CODES TENEBRA_TEST_DATA "/golden/chameleon_64/model"

static const tn_backbone *backbone_here(void)
{
    const tn_backbone *backbone = tn_backbone_find("chameleon");
    assert_non_null(backbone);
    return backbone;
}

static tenebra_code read_changed(const char *changes, tn_model_config *config, tn_notes *notes, tenebra_error *error)
{
    const tn_backbone *backbone;
    char *directory = make_directory();
    write_config(CODES, directory, changes);
    tenebra_code code = tn_model_read_config(directory, NULL, &backbone, config, notes, error);
    remove_directory(directory);
    return code;
}

/* ------------------------------------------------------------ what is read -- */

static void test_values(void **state)
{
    (void)state;
    tn_model_config config;
    assert_int_equal(read_changed("{}", &config, NULL, NULL), TENEBRA_OK);
    const tn_decoder_config *d = &config.decoder;
    assert_int_equal(d->hidden_size, 64);
    assert_int_equal(d->num_hidden_layers, 2);
    assert_int_equal(d->num_attention_heads, 4);
    assert_int_equal(d->num_key_value_heads, 2);
    assert_int_equal(d->head_dim, 16);
    assert_int_equal(d->intermediate_size, 112);
    assert_int_equal(d->max_position_embeddings, 4096);
    assert_true(d->rms_norm_eps == 1e-5 && d->rope_theta == 1e4);
    assert_true(d->head_norm_centred && d->head_norm_eps == 1e-5 && !d->norm_after);
    assert_int_equal(d->mrope_section[0], 8);
    assert_int_equal(d->mrope_section[1] + d->mrope_section[2], 0);
    assert_int_equal(config.picture_token, 262);
    assert_int_equal(config.picture_begin, 260);
    assert_int_equal(config.picture_end, 261);
    assert_int_equal(config.eos_tokens[0], 2);
    assert_false(config.tie_word_embeddings);
    assert_int_equal(config.vision.code_count, 48);
    assert_int_equal(config.vision.ids[25], 228); /* IMGIMGCFZ */
    assert_int_equal(config.vision.ids[9], 229);  /* IMGIMGJZ  */
    tn_model_config_free(&config);
}

/* Files of transformers 4 have "rope_theta", those of 5 "rope_parameters" and the derived "image_token_id". */
static void test_generations(void **state)
{
    (void)state;
    static const struct {
        const char *changes;
        double theta;
    } cases[] = {
        { "{\"rope_theta\": 5000}", 5000 },
        { "{\"rope_theta\": \"-\", \"rope_scaling\": \"-\"}", 1e4 },
        { "{\"rope_theta\": \"-\", \"rope_scaling\": \"-\", \"rope_parameters\": {\"rope_theta\": 7000.0, \"rope_type\": \"default\"}, "
          "\"image_token_id\": 262, \"dtype\": \"float32\", \"transformers_version\": \"5.24.0\"}", 7000 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_model_config config;
        tn_notes notes = { 0 };
        char text[TN_NOTES_TEXT];
        assert_int_equal(read_changed(cases[i].changes, &config, &notes, NULL), TENEBRA_OK);
        assert_true(config.decoder.rope_theta == cases[i].theta);
        assert_int_equal(config.picture_token, 262);
        assert_string_equal(tn_notes_print(&notes, text), "");
        tn_model_config_free(&config);
    }
}

/* Keys that the reference leaves out have its defaults, which are the sizes of the 7B model. */
static void test_defaults(void **state)
{
    (void)state;
    tn_model_config config;
    assert_int_equal(read_changed("{\"hidden_size\": \"-\", \"num_hidden_layers\": \"-\", \"num_attention_heads\": \"-\", "
                                  "\"num_key_value_heads\": \"-\", \"intermediate_size\": \"-\", \"vocab_size\": \"-\", "
                                  "\"max_position_embeddings\": \"-\", \"rms_norm_eps\": \"-\", \"hidden_act\": \"-\", "
                                  "\"attention_bias\": \"-\", \"mlp_bias\": null, \"swin_norm\": true, \"model_parallel_size\": 4}",
                                  &config, NULL, NULL), TENEBRA_OK);
    const tn_decoder_config *d = &config.decoder;
    assert_int_equal(d->hidden_size, 4096);
    assert_int_equal(d->num_hidden_layers, 32);
    assert_int_equal(d->num_key_value_heads, 32);
    assert_int_equal(d->head_dim, 128);
    assert_int_equal(d->intermediate_size, 11008);
    assert_int_equal(config.vocab_size, 65536);
    assert_true(d->norm_after);
    tn_model_config_free(&config);
}

static void test_notes(void **state)
{
    (void)state;
    tn_model_config config;
    tn_notes notes = { 0 };
    char text[TN_NOTES_TEXT];
    assert_int_equal(read_changed("{\"logit_scale\": 2, \"head_dim\": 32, \"vq_config\": {\"speed\": 1}}", &config, &notes, NULL),
                     TENEBRA_OK);
    assert_string_equal(tn_notes_print(&notes, text), "config.json: logit_scale, head_dim, vq_config.speed");
    tn_model_config_free(&config);
}

/* ------------------------------------------------------------ what is refused -- */

#define FORMAT(changes, words) { changes, TENEBRA_ERROR_FORMAT, words }
#define UNSUPPORTED(changes, words) { changes, TENEBRA_ERROR_UNSUPPORTED, words }

static const struct {
    const char *changes;
    tenebra_code code;
    const char *words;
} all_refused[] = {
    FORMAT("{\"hidden_size\": 0}", "hidden_size"),
    FORMAT("{\"hidden_size\": 66}", "66 cannot be divided into 4 heads"),
    FORMAT("{\"hidden_size\": 68}", "68 cannot be divided into 4 heads of even size"), /* 68 / 4 = 17 */
    FORMAT("{\"num_key_value_heads\": 3}", "cannot share 3 key heads"),
    FORMAT("{\"num_attention_heads\": 0}", "num_attention_heads"),
    FORMAT("{\"intermediate_size\": 9223372036854775807}", "intermediate_size"),
    FORMAT("{\"rms_norm_eps\": -1}", "rms_norm_eps"),
    FORMAT("{\"swin_norm\": 1}", "swin_norm"),
    FORMAT("{\"rope_theta\": 0}", "rope_theta"),
    UNSUPPORTED("{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}}", "\"rope_scaling.type\" is \"linear\": this rotary "
                "embedding is not supported, only default"),
    UNSUPPORTED("{\"rope_parameters\": {\"rope_type\": \"yarn\"}}", "\"rope_parameters.rope_type\" is \"yarn\""),
    UNSUPPORTED("{\"attention_bias\": true}", "\"attention_bias\" is true"),
    UNSUPPORTED("{\"mlp_bias\": true}", "\"mlp_bias\" is true"),
    UNSUPPORTED("{\"hidden_act\": \"gelu\"}", "gelu"),
    FORMAT("{\"image_token_id\": 261}", "\"image_token_id\" is 261, but \"<image>\" of \"vocabulary_map\" is 262"),
    FORMAT("{\"image_token_id\": \"x\"}", "image_token_id"),
    FORMAT("{\"vocabulary_map\": \"-\"}", "\"vocabulary_map\" is missing"),
    FORMAT("{\"vocabulary_map\": null}", "\"vocabulary_map\" is missing"),
    FORMAT("{\"vocabulary_map\": [1, 2]}", "vocabulary_map"),
    FORMAT("{\"vocabulary_map\": {\"<image>\": \"-\"}}", "has no \"<image>\""),
    FORMAT("{\"vocabulary_map\": {\"<image>\": -1}}", "<image>"),
    FORMAT("{\"vocabulary_map\": {\"<image>\": 4294967296}}", "<image>"),
    FORMAT("{\"vocabulary_map\": {\"<racm3:break>\": \"x\"}}", "<racm3:break>"),
    FORMAT("{\"vocabulary_map\": {\"IMGIMGJZ\": \"-\"}}", "code 9"),
    FORMAT("{\"vocabulary_map\": {\"IMGIMGJZ\": 228}}", "two codes with id 228"), /* that of code 25 */
    FORMAT("{\"vocabulary_map\": {\"<image>\": 228}}", "\"<image>\" has the id of a code, 228"),
    FORMAT("{\"vocabulary_map\": {\"</s>\": 229}}", "\"</s>\" has the id of a code, 229"), /* an answer would never end */
    FORMAT("{\"vocabulary_map\": {\"IMGIMGJZ\": 229.0}}", "\"IMGIMGJZ\" must be the id of a token, a whole number"),
    FORMAT("{\"vocabulary_map\": {\"IMGIMGJZ\": true}}", "\"IMGIMGJZ\" must be the id of a token, a whole number"),
    FORMAT("{\"vocabulary_map\": {\"IMGIMGAJZ\": 9}}", "code 9"),
    FORMAT("{\"vocabulary_map\": {\"IMGIMGKZ\": 9}}", "IMGIMGKZ"),
    FORMAT("{\"vocabulary_map\": {\"IMGIMG\": 9}}", "IMGIMG"),
    FORMAT("{\"vocabulary_map\": {\"IMGIMGEIZ\": 9}}", "IMGIMGEIZ"), /* code 48 of 48 */
    FORMAT("{\"vocabulary_map\": {\"IMGIMGJJJJJJJJJJJJJJJJJJJJJJJJJJJJJJZ\": 9}}", "IMGIMGJJJJ"),
    FORMAT("{\"vq_config\": 7}", "vq_config"),
    FORMAT("{\"vq_config\": {\"num_embeddings\": 49}}", "code 48 of 49 (\"num_embeddings\" of \"vq_config\")"),
    FORMAT("{\"vq_config\": \"-\"}", "code 48 of 8192 (\"num_embeddings\" of \"vq_config\")"),
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof all_refused / sizeof *all_refused; i++) {
        tn_model_config config = { 0 };
        tenebra_error error = { 0 };
        tenebra_code code = read_changed(all_refused[i].changes, &config, NULL, &error);
        if (code != all_refused[i].code || strstr(error.sentence, all_refused[i].words) == NULL)
            print_error("%s: %s\n", all_refused[i].changes, error.sentence);
        assert_int_equal(code, all_refused[i].code);
        assert_error(&error, all_refused[i].code, "config.json", all_refused[i].words);
        tn_model_config_free(&config);
    }
}

/* A token that the head does not have can be read, but no model can have it. */
static void test_token_outside(void **state)
{
    (void)state;
    char *directory = edited_model(CODES, NULL, NULL, "{\"vocabulary_map\": {\"IMGIMGJZ\": 270}}");
    refuses(directory, TENEBRA_ERROR_MISMATCH, "", "270");
}

/* A code is never generated, so it ends no answer. */
static void test_code_as_end(void **state)
{
    (void)state;
    refuses(edited_model(CODES, NULL, NULL, "{\"eos_token_id\": [2, 228]}"), TENEBRA_ERROR_MISMATCH, "config.json",
            "end token 228 is the token of code 25 of images");
    char *directory = edited_model(CODES, NULL, NULL, "{\"eos_token_id\": [2, 261]}"); /* the control */
    tn_model_close(open_model(directory, NULL));
    remove_directory(directory);
}

/* ---------------------------------------------------------------- positions -- */

static void test_positions(void **state)
{
    (void)state;
    const tn_image_rows picture = { .rows = 6, .frames = 1, .grid_rows = 2, .grid_columns = 3 };
    tn_row rows[10];
    for (size_t i = 0; i < 10; i++)
        rows[i] = i >= 2 && i < 8 ? tn_row_of_cell(&picture, i - 2) : tn_row_of_token(5);
    assert_int_equal(backbone_here()->positions(rows, 10, 7), 17);
    for (size_t i = 0; i < 10; i++)
        for (size_t axis = 0; axis < 3; axis++)
            assert_int_equal(rows[i].position.axis[axis], 7 + (int32_t)i);
}

/* ------------------------------------------------------------- random models -- */

/* Without a tokenizer, codes have the ids of the published models. */
static void test_shape(void **state)
{
    (void)state;
    tn_plan plan;
    assert_int_equal(tn_plan_open(&plan, "chameleon-7b", NULL, NULL), TENEBRA_OK);
    assert_int_equal(plan.sizes.vision.code_count, 8192);
    assert_int_equal(plan.sizes.vision.ids[0], 4);
    assert_int_equal(plan.sizes.vision.ids[8191], 8195);
    assert_int_equal(plan.sizes.picture_end, 8196);
    assert_int_equal(plan.sizes.picture_begin, 8197);
    assert_int_equal(plan.sizes.picture_token, 8711);
    assert_int_equal(plan.sizes.vocab_size, 65536);
    tn_plan_close(&plan);
    assert_int_equal(tn_plan_open(&plan, "chameleon-30b", NULL, NULL), TENEBRA_OK);
    assert_true(plan.sizes.decoder.norm_after);
    tn_plan_close(&plan);
}

/* A tokenizer of another family lacks a token that every model of this one has. */
static void test_other_tokenizer(void **state)
{
    (void)state;
    tn_plan plan;
    tenebra_error error = { 0 };
    assert_int_equal(tn_plan_open(&plan, "chameleon-tiny", TENEBRA_TEST_DATA "/tokenizer-small", &error), TENEBRA_ERROR_MISMATCH);
    assert_error(&error, TENEBRA_ERROR_MISMATCH, TENEBRA_TEST_DATA "/tokenizer-small", "has no token");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),        cmocka_unit_test(test_generations), cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_notes),         cmocka_unit_test(test_refused),     cmocka_unit_test(test_token_outside),
        cmocka_unit_test(test_code_as_end),
        cmocka_unit_test(test_positions),     cmocka_unit_test(test_shape),       cmocka_unit_test(test_other_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
