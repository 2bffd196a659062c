/* What config.json and generation_config.json say and nothing here uses: the notes of a directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "unit/model/models.h"

/* What the notes of a directory with these files are; NULL: no such file. */
static void check_notes(const char *changes, const char *generation, const char *expected)
{
    char *directory = make_directory(), text[TN_NOTES_TEXT];
    const tn_backbone *backbone;
    tn_model_config config;
    tn_notes notes = { 0 };
    write_config(TIED, directory, changes);
    if (generation != NULL)
        write_file(directory, "generation_config.json", generation, strlen(generation));
    assert_int_equal(tn_model_read_config(directory, NULL, &backbone, &config, &notes, NULL), TENEBRA_OK);
    assert_string_equal(tn_notes_print(&notes, text), expected);
    remove_directory(directory);
}

static void test_notes(void **state)
{
    (void)state;
    check_notes("{}", NULL, "");
    check_notes("{\"architectures\": [\"X\"], \"transformers_version\": \"9\", \"torch_dtype\": \"bfloat16\", \"initializer_range\": 0.5}",
                NULL, "");
    check_notes("{\"logit_scale\": 2}", NULL, "config.json: logit_scale");
    check_notes("{\"logit_scale\": null}", NULL, "");
    check_notes("{\"logit_scale\": 2, \"vision_config\": {\"window_size\": 112}}", NULL,
                "config.json: logit_scale, vision_config.window_size");
    check_notes("{\"rope_scaling\": {\"factor\": 4}, \"is_encoder_decoder\": true}", NULL,
                "config.json: is_encoder_decoder, rope_scaling.factor");
    check_notes("{}", "{\"do_sample\": true, \"temperature\": 0.01, \"top_k\": 1, \"top_p\": 0.001}", "");
    check_notes("{}", "{\"do_sample\": true, \"temperature\": 0.7, \"top_p\": 1.0}",
                "generation_config.json: do_sample, temperature");
    check_notes("{}", "{\"repetition_penalty\": 1.0, \"max_length\": 20}", "");
    check_notes("{}", "{\"repetition_penalty\": 1.05, \"num_beams\": 4, \"x\": 1}",
                "generation_config.json: repetition_penalty, num_beams, x");
}

/* Settings that occur twice with different values: the note names the one that is not
 * used. Which one is used is transformers' choice (5.24):
 * rope_scaling before rope_parameters, theta within them before theta beside them, text_config before the top level, and tied embeddings
 * if either level says so (models/qwen2_vl/configuration_qwen2_vl.py). */
static void test_twice(void **state)
{
    (void)state;
    static const char text[] = "\"text_config\": {\"hidden_size\": 48, \"num_hidden_layers\": 2, \"num_attention_heads\": 3, "
                               "\"num_key_value_heads\": 1, \"intermediate_size\": 80, \"rope_scaling\": {\"type\": \"mrope\", "
                               "\"mrope_section\": [4, 2, 2]}";
    static const char rest[] = ", \"vocab_size\": \"-\", \"max_position_embeddings\": \"-\", \"rms_norm_eps\": \"-\", "
                               "\"hidden_act\": \"-\", \"use_sliding_window\": \"-\", \"max_window_layers\": \"-\", "
                               "\"sliding_window\": \"-\"}";
    static const struct { const char *changes, *more, *expected; } cases[] = {
        { "{\"rope_parameters\": {\"rope_theta\": 9000}}", NULL, "config.json: rope_parameters.rope_theta" },
        { "{\"rope_parameters\": {\"rope_theta\": 1000000.0, \"mrope_section\": [4, 2, 2]}}", NULL, "" },
        { "{\"rope_parameters\": {\"mrope_section\": [2, 4, 2]}}", NULL, "config.json: rope_parameters.mrope_section" },
        { "{\"rope_theta\": 5000, \"rope_scaling\": {\"rope_theta\": 7000}}", NULL, "config.json: rope_theta" },
        { "{\"vision_config\": {\"rope_theta\": 77, \"rope_parameters\": {\"rope_type\": \"axial\", \"rope_theta\": 78}}}", NULL,
          "config.json: vision_config.rope_theta" },
        { "{\"rope_theta\": 5000, ", "}", "config.json: rope_theta" },
        { "{\"rope_theta\": 1000000.0, ", "}", "" },
        { "{\"rope_scaling\": {\"type\": \"mrope\", \"mrope_section\": [2, 2, 4]}, ", "}", "config.json: rope_scaling.mrope_section" },
        { "{\"tie_word_embeddings\": true, ", ", \"tie_word_embeddings\": false}", "config.json: text_config.tie_word_embeddings" },
        { "{\"tie_word_embeddings\": true, ", ", \"tie_word_embeddings\": true}", "" },
        { "{\"tie_word_embeddings\": false, ", ", \"tie_word_embeddings\": true}", "config.json: tie_word_embeddings" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char changes[1024];
        bool nested = cases[i].more != NULL;
        snprintf(changes, sizeof changes, "%s%s%s%s", cases[i].changes, nested ? text : "", nested ? cases[i].more : "",
                 nested ? rest : "");
        check_notes(changes, NULL, cases[i].expected);
    }
}

/* A text part overrides the top level, whose other values are not used. */
static void test_shadowed(void **state)
{
    (void)state;
    check_notes("{\"hidden_size\": 47, \"text_config\": {\"hidden_size\": 48, \"num_hidden_layers\": 2, \"num_attention_heads\": 3, "
                "\"num_key_value_heads\": 1, \"intermediate_size\": 80, \"rope_scaling\": {\"type\": \"mrope\", "
                "\"mrope_section\": [4, 2, 2]}, \"sink\": 1}, \"vocab_size\": \"-\", \"max_position_embeddings\": \"-\", "
                "\"rms_norm_eps\": \"-\", \"hidden_act\": \"-\", \"use_sliding_window\": \"-\", \"max_window_layers\": \"-\", "
                "\"sliding_window\": \"-\"}", NULL,
                "config.json: hidden_size, text_config.sink");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_notes), cmocka_unit_test(test_twice), cmocka_unit_test(test_shadowed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
