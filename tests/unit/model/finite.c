/* NaN and infinities: the error names the place where they first occurred. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/finite.h"
#include "model/lora.h"
#include "unit/model/models.h"

typedef struct change {
    const char *name; /* of the tensor */
    float value;
    bool all;         /* of its values; else the one in the middle */
} change;

static void set_value(void *user, copied *tensor)
{
    const change *c = user;
    if (strcmp(tensor->name, c->name) != 0)
        return;
    float *values = (float *)(void *)tensor->data;
    for (size_t i = 0; i < tensor->elements; i++)
        if (c->all || i == tensor->elements / 2)
            values[i] = c->value;
}

/* Runs an image and a prompt, and computes the logits. If anything fails, *error is filled. */
static tenebra_code compute(const tn_model *model, tenebra_error *error)
{
    const tn_grid grid = { 1, 4, 4 };
    tn_session *session = open_session(model, 64, 1);
    tn_real *patches = random_patches(model, tn_grid_patches(grid), 3);
    tn_image_rows picture = { .rows = 4, .frames = 1, .grid_rows = 2, .grid_columns = 2 };
    tenebra_code code = try_encode(session, patches, &grid, 1, &picture.embeds, error);
    if (code == TENEBRA_OK) {
        tn_row *slots = random_prompt(model, 20, &picture, true, 5);
        code = tn_session_append(session, slots, 20, NULL, NULL, error);
        free(slots);
    }
    if (code == TENEBRA_OK)
        code = tn_session_logits(session, error);
    free(patches);
    tn_session_close(session);
    return code;
}

static void check(const char *name, float value, bool all, const char *kernels, const char *where, const char *words)
{
    change c = { name, value, all };
    char *directory = edited_model(TIED, set_value, &c, "{}");
    tenebra_error error = { 0 };
    tn_model *model = open_model(directory, kernels);
    tenebra_code code = compute(model, &error);
    tn_model_close(model);
    remove_directory(directory);
    if (where == NULL) {
        assert_int_equal(code, TENEBRA_OK);
        return;
    }
    assert_error(&error, TENEBRA_ERROR_FORMAT, where, words);
}

static void test_places(void **state)
{
    (void)state;
    static const char *const tensors[][2] = {
        { "model.layers.0.self_attn.q_proj.weight", "decoder layer 0" },
        { "model.layers.0.self_attn.v_proj.bias", "decoder layer 0" },
        { "model.layers.1.mlp.up_proj.weight", "decoder layer 1" },
        { "model.layers.1.input_layernorm.weight", "decoder layer 1" },
        { "model.norm.weight", "the final norm" },
        { "visual.patch_embed.proj.weight", "the input of the blocks" },
        { "visual.blocks.0.attn.qkv.weight", "vision block 0" },
        { "visual.blocks.0.norm2.bias", "vision block 0" },
        { "visual.merger.mlp.2.weight", "the layers after the blocks" },
    };
    for (size_t k = 0; tn_kernels_at(k) != NULL; k++)
        for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
            check(tensors[i][0], NAN, false, tn_kernels_at(k)->name, tensors[i][0], tensors[i][1]);
            check(tensors[i][0], -INFINITY, false, tn_kernels_at(k)->name, tensors[i][0], tensors[i][1]);
        }
    check("model.norm.weight", 1, false, NULL, NULL, NULL); /* the control */
}

/* The head is tied here: every logit comes from the embedding, and the prompt takes some of its rows. */
static void test_embedding(void **state)
{
    (void)state;
    check("model.embed_tokens.weight", NAN, true, NULL, "embedding", "the row of token");
    check("model.embed_tokens.weight", NAN, false, NULL, "head", "the row of token");
}

/* Finite weights whose results leave f32. */
static void test_overflow(void **state)
{
    (void)state;
    check("model.layers.1.mlp.down_proj.weight", 3e38f, true, NULL, "decoder layer 1", "although its weights are not");
    check("visual.blocks.0.mlp.fc2.weight", 3e38f, true, NULL, "vision block 0", "although its weights are not");
}

static void test_rows(void **state)
{
    (void)state;
    tn_real values[67];
    for (size_t bad = 0; bad < 67; bad++) {
        for (size_t i = 0; i < 67; i++)
            values[i] = i % 2 ? (tn_real)-3.4e38 : 0;
        assert_true(tn_all_finite(values, 67));
        values[bad] = bad % 3 == 0 ? (tn_real)NAN : bad % 3 == 1 ? (tn_real)INFINITY : -(tn_real)INFINITY;
        assert_false(tn_all_finite(values, 67));
        assert_true(tn_all_finite(values, bad));
    }
}

/* An adapter's values count as weights. */
static void test_adapter(void **state)
{
    (void)state;
    static const char *const targets[] = { "v_proj" };
    const tn_lora_options options = { .rank = 2, .alpha = 2, .targets = { targets, 1, NULL }, .without_vision = true };
    tn_model *model = open_model(TIED, NULL);
    tn_rng rng = tn_rng_seed(1);
    tenebra_error error = { 0 };
    tn_adapter *adapter;
    assert_int_equal(tn_adapter_make(model, &options, &rng, &adapter, &error), TENEBRA_OK);
    tn_adapter_attach(adapter);
    model->adapters[0] = adapter; /* closed with the model */
    model->adapter_count = 1;
    assert_int_equal(compute(model, &error), TENEBRA_OK);
    adapter->modules[adapter->module_count - 1].b[1] = (tn_real)NAN;
    assert_int_equal(compute(model, &error), TENEBRA_ERROR_FORMAT);
    assert_error(&error, TENEBRA_ERROR_FORMAT, "model.layers.1.self_attn.v_proj", "adapter 1");
    tn_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_places),   cmocka_unit_test(test_embedding),
                                        cmocka_unit_test(test_overflow), cmocka_unit_test(test_rows),
                                        cmocka_unit_test(test_adapter) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
