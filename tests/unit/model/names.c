/* Names of tensors and modules: all that a layout's rows know, and nothing that looks like them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/backbone.h"

static const tn_layout *decoder(void)
{
    return tn_backbone_find("qwen2_vl")->decoder;
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t to, from;
        const char *other; /* NULL: none */
    } cases[] = {
        { "model.norm.weight", 0, 0, "model.norm.weight" },
        { "model.norm.weight", 1, 0, "model.language_model.norm.weight" },
        { "model.language_model.norm.weight", 0, 1, "model.norm.weight" },
        { "model.layers.0.self_attn.q_proj.bias", 1, 0, "model.language_model.layers.0.self_attn.q_proj.bias" },
        { "model.language_model.layers.79.mlp.up_proj", 0, 1, "model.layers.79.mlp.up_proj" }, /* a module */
        { "model.layers.10.mlp.up_proj", 1, 0, "model.language_model.layers.10.mlp.up_proj" },
        { "lm_head", 0, 0, "lm_head" },
        { "lm_head.weight", 1, 0, NULL },
        { "model.norm.weight", 2, 0, NULL },
        { "model.norm.weight", 99, 0, NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char other[TN_PLACE_NAME];
        size_t from = 7;
        bool found = tn_layout_rename(decoder(), cases[i].name, strlen(cases[i].name), cases[i].to, other, &from);
        assert_int_equal(from, cases[i].from);
        assert_int_equal(found, cases[i].other != NULL);
        if (found)
            assert_string_equal(other, cases[i].other);
    }
}

static void test_what_only_looks_like_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "", "model", "model.", "model.norm.", "model.norm.weight.", "model.norm.bias", "model.norm.weight.x", "xmodel.norm.weight",
        "model.language_model.lm_head.weight", "model.layers", "model.layers.", "model.layers.1", "model.layers.1.", "model.layers.1.mlp",
        "model.layers..mlp.up_proj.weight", "model.layers.x.mlp.up_proj.weight", "model.layers.1x.mlp.up_proj.weight",
        "model.layers.-1.mlp.up_proj.weight", "model.layers.01.mlp.up_proj.weight", "model.layers.00.mlp.up_proj.weight",
        "model.layers.18446744073709551617.mlp.up_proj.weight", "model.layers.%zu.mlp.up_proj.weight", "visual.merger.ln_q.weight",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char other[TN_PLACE_NAME];
        assert_false(tn_layout_rename(decoder(), names[i], strlen(names[i]), 0, other, NULL));
    }
    char other[TN_PLACE_NAME];
    assert_true(tn_layout_rename(decoder(), "model.norm.weight.x", strlen("model.norm.weight"), 0, other, NULL)); /* length counts */
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_names), cmocka_unit_test(test_what_only_looks_like_names) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
