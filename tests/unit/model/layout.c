/* The table of a network's tensors and the loop over it: names, shapes, the order of the forward, and what is trained. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/model/models.h"

enum { WIDTH = TN_SIZE_OWN, INNER, LAYERS };

typedef struct layer {
    tn_vector norm;
    tn_weight up[2], down;
    tn_vector bias;
} layer;

typedef struct toy {
    tn_network network;
    tn_weight embed, head;
    layer *layers;
} toy;

#define ROW(name_, role_, group_, offset_, parts_, ...) .name = name_, TN_LAYOUT_ROW(role_, group_, offset_, parts_, __VA_ARGS__)

static const tn_layout_row rows[] = {
    { ROW("embed", EMBEDDING, 0, offsetof(toy, embed), 1, TN_SIZE_FREE, WIDTH) },
    { ROW("head", HEAD, 0, offsetof(toy, head), 1, TN_SIZE_FREE, WIDTH), .last = true },
    { ROW("layers.%zu.norm", SCALE, 1, offsetof(layer, norm), 1, WIDTH) },
    { ROW("layers.%zu.up", LINEAR, 1, offsetof(layer, up), 2, INNER, WIDTH) },
    { ROW("layers.%zu.down", LINEAR, 1, offsetof(layer, down), 1, WIDTH, INNER), .residual = true },
    { ROW("layers.%zu.down.bias", BIAS, 1, offsetof(layer, bias), 1, WIDTH) },
    { .name = NULL }
};

static const tn_layout layout = {
    .kind = TN_NETWORK_DECODER,
    .bytes = sizeof(toy),
    .groups = { [1] = { offsetof(toy, layers), sizeof(layer), LAYERS, 0, NULL } },
    .rows = rows,
};

static void open_toy(toy *t)
{
    *t = (toy){ .network = { .layout = &layout, .sizes = { [WIDTH] = 6, [INNER] = 5, [LAYERS] = 3 } } };
    assert_int_equal(tn_network_open(&t->network, NULL), TENEBRA_OK);
}

typedef struct seen {
    tn_place places[32];
    size_t count, stop;
} seen;

static tenebra_code see(void *user, const tn_place *place, tenebra_error *error)
{
    seen *s = user;
    if (s->count == s->stop)
        return tn_fail(error, TENEBRA_ERROR_CANCELLED, place->name, "enough");
    s->places[s->count++] = *place;
    return TENEBRA_OK;
}

static const tn_place *named(const seen *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->places[i].name, name) == 0)
            return &s->places[i];
    fail_msg("no %s", name);
    return NULL;
}

static void test_places(void **state)
{
    (void)state;
    toy t;
    seen all = { .stop = 32 }, few = { .stop = 3 };
    tenebra_error error = { 0 };
    open_toy(&t);
    assert_int_equal(tn_network_each(&t.network, see, &all, &error), TENEBRA_OK);
    assert_int_equal(all.count, 2 + 4 * 3);
    assert_string_equal(all.places[3].name, "layers.1.norm"); /* row by row */
    assert_string_equal(all.places[5].name, "layers.0.up");
    const tn_place *up = named(&all, "layers.2.up"), *norm = named(&all, "layers.2.norm"), *embed = named(&all, "embed");
    assert_ptr_equal(up->slot, t.layers[2].up);
    assert_true(up->rows == 10 && up->cols == 6 && up->rank == 2 && up->shape[0] == 10 && up->shape[1] == 6);
    assert_true(norm->rows == 1 && norm->cols == 6 && norm->rank == 1 && norm->shape[0] == 6);
    assert_int_equal(embed->rows, 0); /* not known yet */
    t.embed.matrix.rows = 7;
    all.count = 0;
    tn_network_each(&t.network, see, &all, NULL);
    assert_int_equal(named(&all, "embed")->rows, 7);
    assert_int_equal(named(&all, "head")->rows, 0);
    /* A failure ends the walk and is passed on. */
    assert_int_equal(tn_network_each(&t.network, see, &few, &error), TENEBRA_ERROR_CANCELLED);
    assert_int_equal(few.count, 3);
    assert_string_equal(error.where, "layers.1.norm");
    tn_network_close(&t.network);
}

static void test_order(void **state)
{
    static const char *const forward[] = { "embed", "layers.0.norm", "layers.0.up", "layers.0.down", "layers.0.down.bias",
                                           "layers.1.norm", "layers.2.down.bias", "head" };
    (void)state;
    toy t;
    seen all = { .stop = 32 };
    open_toy(&t);
    tn_network_each(&t.network, see, &all, NULL);
    for (size_t i = 1; i < sizeof forward / sizeof *forward; i++)
        assert_true(named(&all, forward[i - 1])->order < named(&all, forward[i])->order);
    tn_network_close(&t.network);
}

/* Any weight, vector or adapter counts, in its own member only. */
static void test_trained(void **state)
{
    (void)state;
    toy t;
    tn_real grad = 0;
    open_toy(&t);
    tn_lora lora = { .b.grad = &grad }, frozen = { .next = &lora };
    tn_real **grads[] = { &t.layers[1].norm.grad, &t.layers[1].up[1].grad, &t.layers[1].down.grad, &t.layers[1].bias.grad };
    assert_false(tn_network_is_trained(&t.network, TN_ANY, 0));
    for (size_t i = 0; i < 5; i++) {
        if (i < 4)
            *grads[i] = &grad;
        else
            t.layers[1].up[1].lora = &frozen;
        assert_true(tn_network_is_trained(&t.network, 1, 1));
        assert_true(tn_network_is_trained(&t.network, TN_ANY, 0));
        assert_false(tn_network_is_trained(&t.network, 1, 0) || tn_network_is_trained(&t.network, 1, 2) ||
                     tn_network_is_trained(&t.network, 0, 0));
        if (i < 4)
            *grads[i] = NULL;
    }
    lora.b.grad = NULL;
    assert_false(tn_network_is_trained(&t.network, TN_ANY, 0));
    t.head.grad = &grad;
    assert_true(tn_network_is_trained(&t.network, 0, 0) && !tn_network_is_trained(&t.network, 1, 1));
    tn_network_close(&t.network);
}

/* Roles in a real table, checked by names, which only a test may look at. */
static tenebra_code check_role(void *user, const tn_place *place, tenebra_error *error)
{
    static const char *const residual[] = { "o_proj.weight", "down_proj.weight", "attn.proj.weight", "fc2.weight" };
    size_t *count = user, length = strlen(place->name);
    bool matrix = tn_place_is_matrix(place), writes = false;
    (void)error;
    for (size_t i = 0; i < 4; i++) {
        size_t tail = strlen(residual[i]);
        writes = writes || (length > tail && strcmp(place->name + length - tail, residual[i]) == 0);
    }
    assert_int_equal(place->row->residual, writes);
    assert_int_equal(place->row->reads == TN_READS_ATTENTION, strstr(place->name, "o_proj.w") || strstr(place->name, "attn.proj.w"));
    assert_int_equal(place->row->role == TN_ROLE_SCALE,
                     !matrix && strcmp(place->name + length - strlen(".weight"), ".weight") == 0);
    assert_int_equal(place->row->role == TN_ROLE_SHIFT, !matrix && strstr(place->name, ".bias") &&
                     (strstr(place->name, "norm") || strstr(place->name, "ln_q")));
    assert_int_equal(place->network->layout->kind == TN_NETWORK_IMAGES, strncmp(place->name, "visual.", 7) == 0);
    ++*count;
    return TENEBRA_OK;
}

static void test_roles(void **state)
{
    (void)state;
    size_t count = 0;
    tn_model *model = open_model(UNTIED, NULL);
    assert_int_equal(tn_networks_each(&model->networks, check_role, &count, NULL), TENEBRA_OK);
    assert_int_equal(count, 3 + 12 * model->config.decoder.num_hidden_layers + 7 + 12 * encoder_size(model, "depth"));
    tn_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_places), cmocka_unit_test(test_order), cmocka_unit_test(test_trained),
                                        cmocka_unit_test(test_roles) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
