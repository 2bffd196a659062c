/* Weights as they are stored: what does not fit is refused by name; what means the same gives the
 * same bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/model/models.h"

typedef struct kinds {
    void (*check)(const tn_place *place);
    size_t count;
} kinds;

/* Each row of the tables, in the last layer or block that it has. */
static tenebra_code check_last(void *user, const tn_place *place, tenebra_error *error)
{
    kinds *all = user;
    (void)error;
    if (place->number + 1 < tn_network_members(place->network, place->row->group))
        return TENEBRA_OK;
    all->check(place);
    all->count++;
    return TENEBRA_OK;
}

/* Calls `check` with every kind of tensor. */
static void for_each_kind(const char *golden, void (*check)(const tn_place *place))
{
    tn_model *model = open_model(golden, NULL);
    kinds all = { check, 0 };
    assert_int_equal(tn_networks_each(&model->networks, check_last, &all, NULL), TENEBRA_OK);
    assert_true(all.count > 30);
    tn_model_close(model);
}

/* ------------------------------------------------------------ misfits -- */

static void drop_named(void *user, copied *tensor)
{
    tensor->drop = strcmp(tensor->name, user) == 0;
}

static void check_missing(const tn_place *place)
{
    char copy_of[TN_PLACE_NAME];
    snprintf(copy_of, sizeof copy_of, "%s", place->name);
    refuses(edited_model(UNTIED, drop_named, copy_of, "{}"), TENEBRA_ERROR_MISMATCH, place->name, "missing");
}

static void test_missing(void **state)
{
    (void)state;
    for_each_kind(UNTIED, check_missing);
}

typedef struct change {
    const char *name;
    enum { ROW_MORE, COLUMN_MORE, FLAT, INTEGER, SCALAR } kind;
} change;

static void change_named(void *user, copied *tensor)
{
    const change *c = user;
    if (strcmp(tensor->name, c->name) != 0)
        return;
    size_t shape[TN_STORED_RANK_MAX];
    memcpy(shape, tensor->shape, sizeof shape);
    switch (c->kind) {
    case ROW_MORE: shape[0]++; copy_reshape(tensor, tensor->rank, shape); break;
    case COLUMN_MORE: shape[tensor->rank - 1]++; copy_reshape(tensor, tensor->rank, shape); break;
    case FLAT: shape[0] = tensor->elements; copy_reshape(tensor, 1, shape); break;
    case INTEGER: tensor->type = TN_STORE_I32; break;
    case SCALAR: copy_reshape(tensor, 0, shape); break;
    }
}

static void refuses_change(const char *name, int kind)
{
    change c = { name, 0 };
    c.kind = kind;
    refuses(edited_model(UNTIED, change_named, &c, "{}"), TENEBRA_ERROR_MISMATCH, name,
            kind == INTEGER ? "type I32" : "tensor has the shape [");
}

static void check_misshapen(const tn_place *place)
{
    const char *name = place->name;
    /* The number of rows of the vocabulary is the tensor's own. */
    if (place->row->dims[0] != TN_SIZE_FREE)
        refuses_change(name, ROW_MORE);
    if (tn_place_is_matrix(place)) {
        refuses_change(name, COLUMN_MORE);
        refuses_change(name, FLAT);
    }
    refuses_change(name, INTEGER);
    refuses_change(name, SCALAR);
}

static void test_misshapen(void **state)
{
    (void)state;
    for_each_kind(UNTIED, check_misshapen);
}

static void test_spare(void **state)
{
    (void)state;
    static const char *const names[] = { "model.layers.3.input_layernorm.weight", "visual.blocks.2.norm1.bias",
                                         "model.visual.merger.ln_q.bias", "extra", "model.layers.0.mlp.up_proj.bias" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *directory = make_directory();
        copy *all = copy_open(UNTIED);
        copy_add(all, names[i], 64, 1);
        copy_write(all, directory);
        copy_close(all);
        write_config(UNTIED, directory, "{}");
        refuses(directory, TENEBRA_ERROR_MISMATCH, names[i], "not part of this model");
    }
}

/* The error counts all, and names the first. */
static void drop_norms(void *user, copied *tensor)
{
    (void)user;
    tensor->drop = strstr(tensor->name, "post_attention_layernorm") != NULL;
}

static void test_all_are_counted(void **state)
{
    (void)state;
    refuses(edited_model(UNTIED, drop_norms, NULL, "{}"), TENEBRA_ERROR_MISMATCH,
            "model.layers.0.post_attention_layernorm.weight", "3 tensors do not match");
}

/* ------------------------------------------------------ the same bits -- */

/* As transformers >= 4.52 may save them. */
static void rename_new(void *user, copied *tensor)
{
    char old[256];
    (void)user;
    memcpy(old, tensor->name, sizeof old);
    if (strncmp(old, "model.", 6) == 0)
        snprintf(tensor->name, sizeof tensor->name, "model.language_model.%.200s", old + 6);
    else if (strncmp(old, "visual.", 7) == 0)
        snprintf(tensor->name, sizeof tensor->name, "model.visual.%.200s", old + 7);
}

static void rename_vision(void *user, copied *tensor)
{
    if (strncmp(tensor->name, "visual.", 7) == 0)
        rename_new(user, tensor);
}

static void nudge(void *user, copied *tensor)
{
    if (strcmp(tensor->name, user) == 0)
        tensor->data[tensor->bytes - 2] ^= 1; /* of the last value: 2^-7 of its fraction */
}

static void gives(char *directory, const outcome *expected, bool same)
{
    outcome got = run_directory(directory);
    assert_true(all_finite(got.values, got.count));
    assert_int_equal(equal(&got, expected), same);
    free(got.values);
    remove_directory(directory);
}

static void test_names_of_both_generations(void **state)
{
    (void)state;
    static const char *const models[] = { TIED, UNTIED };
    for (size_t i = 0; i < 2; i++) {
        outcome expected = run_directory(models[i]);
        gives(edited_model(models[i], NULL, NULL, "{}"), &expected, true);
        gives(edited_model(models[i], rename_new, NULL, "{}"), &expected, true);
        gives(edited_model(models[i], rename_vision, NULL, "{}"), &expected, true);
        /* Negative control: one weight of one layer, by one bit. */
        gives(edited_model(models[i], nudge, (char[]){ "model.layers.1.mlp.down_proj.weight" }, "{}"), &expected, false);
        free(expected.values);
    }
}

/* Both names of one tensor at once: it is not known which is meant. */
static void test_both_names_at_once(void **state)
{
    (void)state;
    char *directory = make_directory();
    copy *all = copy_open(TIED);
    copy_add(all, "model.language_model.embed_tokens.weight", 290, 48);
    copy_write(all, directory);
    copy_close(all);
    write_config(TIED, directory, "{}");
    refuses(directory, TENEBRA_ERROR_MISMATCH, "model.language_model.embed_tokens.weight", "not part of");
}

static void test_shards(void **state)
{
    (void)state;
    outcome expected = run_directory(UNTIED);
    for (size_t shards = 1; shards <= 4; shards++) {
        char *directory = make_directory();
        copy *all = copy_open(UNTIED);
        for (size_t i = 0; i < all->count; i++)
            all->tensors[i].file = i * 7 % shards;
        copy_write_shards(all, directory, shards);
        copy_close(all);
        write_config(UNTIED, directory, "{}");
        gives(directory, &expected, true);
    }
    free(expected.values);
}

/* Weights are used in their own type: as if their rounded values were stored as F32. */
typedef struct rounding {
    tn_dtype type;
    bool keep;
} rounding;

static void round_all(void *user, copied *tensor)
{
    const rounding *r = user;
    copy_round(tensor, r->type, r->keep);
}

static void test_half_types(void **state)
{
    (void)state;
    static const tn_dtype types[] = { TN_F16, TN_BF16 };
    for (size_t i = 0; i < 2; i++) {
        rounding stored = { types[i], false }, kept = { types[i], true };
        char *wide = edited_model(UNTIED, round_all, &kept, "{}");
        outcome expected = run_directory(wide), original = run_directory(UNTIED);
        remove_directory(wide);
        assert_false(equal(&expected, &original)); /* the rounding is felt */
        gives(edited_model(UNTIED, round_all, &stored, "{}"), &expected, true);
        free(expected.values);
        free(original.values);
    }
}

/* F64 weights of F32 values, too; and a mixture of types. */
static void widen(void *user, copied *tensor)
{
    (void)user;
    if (strstr(tensor->name, "proj") != NULL || strstr(tensor->name, "norm") != NULL)
        copy_round(tensor, TN_F64, false);
}

static void test_mixed_types(void **state)
{
    (void)state;
    outcome expected = run_directory(TIED);
    gives(edited_model(TIED, widen, NULL, "{}"), &expected, true);
    free(expected.values);
}

/* --------------------------------------------------------------- heads -- */

static void test_tied_head_may_be_stored(void **state)
{
    (void)state;
    outcome expected = run_directory(TIED);
    for (size_t changed = 0; changed < 2; changed++) {
        char *directory = make_directory();
        copy *all = copy_open(TIED);
        const copied *embed = copy_find(all, "model.embed_tokens.weight");
        copied *head = copy_add(all, "lm_head.weight", embed->shape[0], embed->shape[1]);
        memcpy(head->data, embed->data, embed->bytes);
        head->data[2] ^= changed; /* negative control: the stored head is the one in use */
        copy_write(all, directory);
        copy_close(all);
        write_config(TIED, directory, "{}");
        gives(directory, &expected, !changed);
    }
    free(expected.values);
}

static void test_untied_head_must_be_stored(void **state)
{
    (void)state;
    refuses(edited_model(UNTIED, drop_named, (char[]){ "lm_head.weight" }, "{}"), TENEBRA_ERROR_MISMATCH,
            "lm_head.weight", "missing");
    /* Without a setting about tying, the head is not tied. */
    refuses(edited_model(TIED, NULL, NULL, "{\"tie_word_embeddings\": \"-\"}"), TENEBRA_ERROR_MISMATCH,
            "lm_head.weight", "missing");
}

typedef struct rows {
    const char *name;
    size_t count;
} rows;

static void set_rows(void *user, copied *tensor)
{
    const rows *r = user;
    if (strcmp(tensor->name, r->name) == 0)
        copy_reshape(tensor, 2, (size_t[]){ r->count, tensor->shape[1] });
}

/* "vocab_size" is not what counts rows. */
static void test_rows_come_from_tensors(void **state)
{
    (void)state;
    static const char *const wrong[] = { "{\"vocab_size\": 1}", "{\"vocab_size\": 60000000}", "{\"vocab_size\": \"-\"}" };
    outcome expected = run_directory(UNTIED);
    for (size_t i = 0; i < 3; i++)
        gives(edited_model(UNTIED, NULL, NULL, wrong[i]), &expected, true);
    free(expected.values);

    /* Padded embedding, or embedding and head. */
    rows padded = { "model.embed_tokens.weight", 448 };
    char *directory = edited_model(UNTIED, set_rows, &padded, "{}");
    tn_model *model = open_model(directory, NULL);
    assert_int_equal(tn_model_vocabulary(model), 448);
    assert_int_equal(model->decoder.head.matrix.rows, 430);
    tn_session *session = open_session(model, 8, 1);
    assert_int_equal(session->logits.cols, 430);
    tn_session_close(session);
    tn_model_close(model);
    remove_directory(directory);

    rows large = { "lm_head.weight", 431 };
    refuses(edited_model(UNTIED, set_rows, &large, "{}"), TENEBRA_ERROR_MISMATCH, "lm_head.weight", "has 431 rows");
    rows small = { "model.embed_tokens.weight", 412 };
    char *cut = edited_model(UNTIED, set_rows, &small, "{}");
    refuses(cut, TENEBRA_ERROR_MISMATCH, "lm_head.weight", "has 430 rows");
    /* Tied: the control tokens must be among the rows. */
    rows few = { "model.embed_tokens.weight", 278 };
    refuses(edited_model(TIED, set_rows, &few, "{}"), TENEBRA_ERROR_MISMATCH, "config.json", "image token 278");
    rows without_end = { "model.embed_tokens.weight", 280 };
    refuses(edited_model(TIED, set_rows, &without_end, "{}"), TENEBRA_ERROR_MISMATCH, "config.json", "end token 280");
}

static void test_another_vocabulary_is_noted(void **state)
{
    (void)state;
    static const struct { const char *changes, *part; } cases[] = { { "{\"vocab_size\": 300}", "vocab_size (300, but" },
                                                                    { "{\"vocab_size\": 290}", NULL } };
    for (size_t i = 0; i < 2; i++) {
        char *directory = edited_model(TIED, NULL, NULL, cases[i].changes);
        tn_model *model = open_model(directory, NULL);
        assert_true(cases[i].part != NULL ? strstr(model->note, cases[i].part) != NULL : model->note[0] == '\0');
        tn_model_close(model);
        remove_directory(directory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_misshapen),
        cmocka_unit_test(test_spare),
        cmocka_unit_test(test_all_are_counted),
        cmocka_unit_test(test_names_of_both_generations),
        cmocka_unit_test(test_both_names_at_once),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_half_types),
        cmocka_unit_test(test_mixed_types),
        cmocka_unit_test(test_tied_head_may_be_stored),
        cmocka_unit_test(test_untied_head_must_be_stored),
        cmocka_unit_test(test_rows_come_from_tensors),
        cmocka_unit_test(test_another_vocabulary_is_noted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
