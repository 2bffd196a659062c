/* The list of what is trained: which tensors, their values, and the model as it was afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/parameters.h"
#include "unit/model/models.h"

static tn_parameters *open_list(tn_model *model, const tn_parameters_filter *filter)
{
    tenebra_error error = { 0 };
    tn_parameters *list;
    assert_int_equal(tn_parameters_open(&list, &error), TENEBRA_OK);
    if (tn_parameters_add_weights(list, model, filter, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return list;
}

/* All parameters: the tensors of the file, each once, with their values; a tied head is not a separate item. */
static void everything_is_in_the_list(const char *directory)
{
    tn_model *model = open_model(directory, "reference");
    outcome before = run_model(model);
    tn_parameters *list = open_list(model, NULL);
    size_t elements = 0;
    assert_int_equal(list->count, tn_store_count(model->store));
    for (size_t i = 0; i < list->count; i++) {
        const tn_parameter *item = &list->items[i];
        const tn_stored *stored = tn_store_find(model->store, item->name);
        assert_non_null(stored);
        assert_int_equal(item->count, stored->elements);
        assert_int_equal(item->rank, stored->rank);
        assert_memory_equal(item->values, stored->data, stored->bytes);
        assert_true(item->matrix == (stored->rank > 1) && item->decay == item->matrix && item->rounded == NULL);
        elements += item->count;
    }
    assert_int_equal(list->elements, elements);
    outcome after = run_model(model);
    assert_true(equal(&before, &after));
    /* The networks read the values: each item counts. */
    for (size_t i = 0; i < list->count; i++) {
        tn_real kept = list->items[i].values[0];
        for (size_t k = 0; k < list->items[i].count; k++)
            list->items[i].values[k] += (tn_real)0.01;
        outcome moved = run_model(model);
        assert_false(equal(&before, &moved));
        for (size_t k = 0; k < list->items[i].count; k++)
            list->items[i].values[k] -= (tn_real)0.01;
        list->items[i].values[0] = kept;
        free(moved.values);
    }
    tn_parameters_close(list);
    outcome closed = run_model(model);
    assert_true(equal(&before, &closed));
    free(before.values);
    free(after.values);
    free(closed.values);
    tn_model_close(model);
}

static void untied_list_is_whole(void **state)
{
    (void)state;
    everything_is_in_the_list(UNTIED);
}

static void tied_list_is_whole(void **state)
{
    (void)state;
    everything_is_in_the_list(TIED);
}

/* The head of a tied model reads the embedding that is trained, and its gradient goes there. */
static void tied_head_follows_the_embedding(void **state)
{
    (void)state;
    tn_model *model = open_model(TIED, "reference");
    tn_parameters *list = open_list(model, NULL);
    const tn_parameter *embed = tn_parameters_find(list, "model.embed_tokens.weight");
    assert_non_null(embed);
    assert_ptr_equal(model->decoder.head.matrix.data, embed->values);
    assert_ptr_equal(model->decoder.head.grad, embed->grad);
    tn_parameters_close(list);
    assert_ptr_equal(model->decoder.head.matrix.data, model->decoder.embed.matrix.data);
    assert_null(model->decoder.head.grad);
    tn_model_close(model);
}

static size_t count_with(tn_model *model, const tn_parameters_filter *filter)
{
    tn_parameters *list = open_list(model, filter);
    size_t count = list->count, elements = 0;
    for (size_t i = 0; i < count; i++)
        elements += list->items[i].count;
    assert_int_equal(elements, list->elements);
    tn_parameters_close(list);
    return count;
}

static void filters_choose(void **state)
{
    (void)state;
    static const char *const tower[] = { "visual.*", NULL }, *const biases[] = { "*.bias", NULL };
    static const char *const nothing[] = { "nobody", NULL };
    tn_model *model = open_model(UNTIED, "reference");
    size_t all = tn_store_count(model->store), vision = 0, both = 0;
    for (size_t i = 0; i < all; i++) {
        const char *name = tn_store_at(model->store, i)->name;
        bool is_vision = strncmp(name, "visual.", 7) == 0, is_bias = strstr(name, ".bias") != NULL;
        vision += is_vision;
        both += is_vision && is_bias;
    }
    assert_int_equal(count_with(model, &(tn_parameters_filter){ .without_vision = true }), all - vision);
    assert_int_equal(count_with(model, &(tn_parameters_filter){ .without_embeddings = true }), all - 2);
    assert_int_equal(count_with(model, &(tn_parameters_filter){ .include = tower }), vision);
    assert_int_equal(count_with(model, &(tn_parameters_filter){ .exclude = tower }), all - vision);
    assert_int_equal(count_with(model, &(tn_parameters_filter){ .include = tower, .exclude = biases }), vision - both);
    tn_parameters *list;
    assert_int_equal(tn_parameters_open(&list, NULL), TENEBRA_OK);
    tenebra_error error = { 0 };
    assert_int_equal(tn_parameters_add_weights(list, model, &(tn_parameters_filter){ .include = nothing }, &error),
                     TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(tn_parameters_add_weights(list, model, &(tn_parameters_filter){ .compute = TN_F16 }, &error),
                     TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(tn_parameters_add_weights(list, model, &(tn_parameters_filter){ .include = biases }, &error), TENEBRA_OK);
    assert_int_equal(tn_parameters_add_weights(list, model, NULL, &error), TENEBRA_ERROR_ARGUMENT); /* biases twice */
    tn_parameters_close(list);
    tn_model_close(model);
}

/* With bf16 the networks read rounded copies, which follow the values when asked to. */
static void rounded_copies_are_read(void **state)
{
    (void)state;
    tn_model *model = open_model(UNTIED, "reference");
    outcome exact = run_model(model);
    tn_parameters *list = open_list(model, &(tn_parameters_filter){ .compute = TN_BF16 });
    outcome rounded = run_model(model);
    assert_false(equal(&exact, &rounded));
    for (size_t i = 0; i < list->count; i++)
        assert_true((list->items[i].rounded != NULL) == list->items[i].matrix);
    tn_parameter *item = tn_parameters_find(list, "model.layers.1.mlp.up_proj.weight");
    item->values[0] += 1;
    outcome same = run_model(model);
    assert_true(equal(&rounded, &same));
    tn_parameters_round(list);
    outcome moved = run_model(model);
    assert_false(equal(&rounded, &moved));
    item->grad[3] = 1;
    tn_parameters_clear(list);
    assert_true(item->grad[3] == 0);
    tn_parameters_close(list);
    free(exact.values);
    free(rounded.values);
    free(same.values);
    free(moved.values);
    tn_model_close(model);
}

/* Weights and an adapter in one list. The adapter keeps its place when the weights go back. */
static void adapters_join_the_list(void **state)
{
    (void)state;
    static const char *const norms[] = { "*norm*", NULL }, *const target = "q_proj";
    tn_rng rng = tn_rng_seed(2);
    tn_model *model = open_model(UNTIED, "reference");
    tn_lora_options options = { .rank = 2, .alpha = 4, .targets = { &target, 1, NULL } };
    tn_adapter *adapter;
    assert_int_equal(tn_adapter_make(model, &options, &rng, &adapter, NULL), TENEBRA_OK);
    tn_adapter_attach(adapter);
    tn_parameters *list = open_list(model, &(tn_parameters_filter){ .include = norms });
    size_t before = list->count;
    assert_int_equal(tn_parameters_add_adapter(list, adapter, NULL), TENEBRA_OK);
    assert_int_equal(list->count, before + 6);
    const tn_parameter *b = tn_parameters_find(list, "model.layers.2.self_attn.q_proj.lora_B.weight");
    assert_non_null(b);
    assert_true(b->rows == model->decoder.layers[2].q.matrix.rows && b->cols == 2 && b->decay);
    assert_ptr_equal(model->decoder.layers[2].q.lora->b.grad, b->grad);
    assert_ptr_equal(model->decoder.layers[2].q.lora->b.matrix.data, b->values);
    tn_parameters_close(list);
    assert_non_null(model->decoder.layers[2].q.lora);
    assert_null(model->decoder.layers[2].q.lora->b.grad);
    tn_adapter_close(adapter);
    assert_null(model->decoder.layers[2].q.lora);
    tn_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(untied_list_is_whole),     cmocka_unit_test(tied_list_is_whole),
        cmocka_unit_test(tied_head_follows_the_embedding), cmocka_unit_test(filters_choose),
        cmocka_unit_test(rounded_copies_are_read),  cmocka_unit_test(adapters_join_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
