/* A second device, which exists only in this file: its memory is not that of the host. An address in an arena stands for the
 * same offset of a memory of its own, where the operations of the CPU run; the arena's own bytes are never the numbers of a
 * tensor. Whatever above the operations follows an address, or keeps numbers past them, changes the answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ops/internal.h"
#include "reason/modules.h"
#include "reason/training_parts.h"
#include "unit/reason/tiny.h"

/* ---------------------------------------------------------------- memory -- */

enum { ARENAS = 3 };

static struct {
    const tn_arena *arena;
    tn_arena memory; /* as large */
} far[ARENAS];

static void *there(const void *address)
{
    const unsigned char *at = address;
    for (size_t i = 0; i < ARENAS; i++)
        if (far[i].arena != NULL && at >= far[i].arena->base && at < far[i].arena->base + far[i].arena->capacity)
            return far[i].memory.base + (at - far[i].arena->base);
    return (void *)(uintptr_t)address; /* weights and values of the host */
}

static void open_memory(size_t number, const tn_arena *arena)
{
    far[number].arena = arena;
    assert_int_equal(tn_arena_open(&far[number].memory, arena->capacity, NULL), TENEBRA_OK);
}

static void close_memory(void)
{
    for (size_t i = 0; i < ARENAS; i++)
        tn_arena_close(&far[i].memory);
    memset(far, 0, sizeof far);
}

static tn_tensor moved(tn_tensor x)
{
    x.data = x.data != NULL ? there(x.data) : NULL;
    x.grad = x.grad != NULL ? there(x.grad) : NULL;
    return x;
}

static tn_real *moved_reals(const tn_real *reals)
{
    return reals != NULL ? there(reals) : NULL;
}

static tn_keys moved_keys(tn_keys keys)
{
    keys.k = moved_reals(keys.k);
    keys.v = moved_reals(keys.v);
    keys.dk = moved_reals(keys.dk);
    keys.dv = moved_reals(keys.dv);
    keys.k_bf16 = keys.k_bf16 != NULL ? there(keys.k_bf16) : NULL;
    keys.v_bf16 = keys.v_bf16 != NULL ? there(keys.v_bf16) : NULL;
    return keys;
}

static tn_row_ref *moved_refs(const tn_row_ref *refs, size_t count)
{
    tn_row_ref *list = malloc((count + 1) * sizeof *list);
    for (size_t i = 0; i < count; i++)
        list[i] = (tn_row_ref){ moved(refs[i].source), refs[i].row };
    return list;
}

/* ------------------------------------------------------------ operations -- */

static size_t carried_out;

static const tn_device far_device;

/* Carries out a copy of the node whose addresses are those of the device's memory. */
static void carry_out(tn_ops *ops, tn_node *node, bool back)
{
    union {
        tn_node node;
        tn_linear_node linear;
        tn_lora_node lora;
        tn_gather_node gather;
        tn_compose_node compose;
        tn_element_node element;
        tn_norm_node norm;
        tn_rope_node rope;
        tn_store_node store;
        tn_attention_node attention;
        tn_loss_node loss;
        tn_add_rows_node add_rows;
        tn_rule_out_node rule_out;
        tn_group_norm_node group_norm;
        tn_conv_node conv;
        tn_vector_node vector;
        tn_mix_node mix;
        tn_product_node product;
        tn_squared_node squared;
    } n;
    void *list = NULL;
    tn_tap *taps = NULL;
    carried_out++;
    switch (node->code) {
    case TN_OP_LINEAR:
        n.linear = *(tn_linear_node *)node;
        n.linear.x = moved(n.linear.x);
        n.linear.y = moved(n.linear.y);
        break;
    case TN_OP_LORA:
        n.lora = *(tn_lora_node *)node;
        n.lora.x = moved(n.lora.x);
        n.lora.y = moved(n.lora.y);
        n.lora.inner = moved(n.lora.inner);
        break;
    case TN_OP_GATHER:
        n.gather = *(tn_gather_node *)node;
        n.gather.y = moved(n.gather.y);
        break;
    case TN_OP_COMPOSE:
        n.compose = *(tn_compose_node *)node;
        n.compose.refs = list = moved_refs(n.compose.refs, n.compose.y.rows);
        n.compose.y = moved(n.compose.y);
        break;
    case TN_OP_NORM:
        n.norm = *(tn_norm_node *)node;
        n.norm.x = moved(n.norm.x);
        n.norm.y = moved(n.norm.y);
        n.norm.mean = moved_reals(n.norm.mean);
        n.norm.inverse = moved_reals(n.norm.inverse);
        break;
    case TN_OP_ROPE:
        n.rope = *(tn_rope_node *)node;
        n.rope.x = moved(n.rope.x);
        n.rope.y = moved(n.rope.y);
        n.rope.rope.cos = moved_reals(n.rope.rope.cos);
        n.rope.rope.sin = moved_reals(n.rope.rope.sin);
        break;
    case TN_OP_STORE:
        n.store = *(tn_store_node *)node;
        n.store.keys = moved_keys(n.store.keys);
        n.store.k = moved(n.store.k);
        n.store.v = moved(n.store.v);
        break;
    case TN_OP_ATTENTION: {
        n.attention = *(tn_attention_node *)node;
        tn_attention_part *parts = list = malloc((n.attention.count + 1) * sizeof *parts);
        taps = malloc((n.attention.count + 1) * sizeof *taps);
        for (size_t p = 0; p < n.attention.count; p++) {
            parts[p] = n.attention.parts[p];
            parts[p].keys = moved_keys(parts[p].keys);
            if (back || parts[p].shape.tap == NULL) /* a tap is only for the forward */
                continue;
            taps[p] = *parts[p].shape.tap;
            taps[p].rows = moved(taps[p].rows);
            parts[p].shape.tap = &taps[p];
        }
        n.attention.parts = parts;
        n.attention.q = moved(n.attention.q);
        n.attention.out = moved(n.attention.out);
        n.attention.peak = moved_reals(n.attention.peak);
        n.attention.total = moved_reals(n.attention.total);
        break;
    }
    case TN_OP_CROSS_ENTROPY:
        n.loss = *(tn_loss_node *)node;
        n.loss.logits = moved(n.loss.logits);
        n.loss.loss = moved(n.loss.loss);
        n.loss.peak = moved_reals(n.loss.peak);
        n.loss.total = there(n.loss.total);
        n.loss.losses = there(n.loss.losses);
        break;
    case TN_OP_ADD_ROWS:
        n.add_rows = *(tn_add_rows_node *)node;
        n.add_rows.refs = list = moved_refs(n.add_rows.refs, n.add_rows.count);
        n.add_rows.x = moved(n.add_rows.x);
        n.add_rows.y = moved(n.add_rows.y);
        break;
    case TN_OP_RULE_OUT:
        n.rule_out = *(tn_rule_out_node *)node;
        n.rule_out.x = moved(n.rule_out.x);
        n.rule_out.y = moved(n.rule_out.y);
        break;
    case TN_OP_GROUP_NORM:
        n.group_norm = *(tn_group_norm_node *)node;
        n.group_norm.x = moved(n.group_norm.x);
        n.group_norm.y = moved(n.group_norm.y);
        n.group_norm.mean = moved_reals(n.group_norm.mean);
        n.group_norm.inverse = moved_reals(n.group_norm.inverse);
        break;
    case TN_OP_CONV:
        n.conv = *(tn_conv_node *)node;
        n.conv.x = moved(n.conv.x);
        n.conv.y = moved(n.conv.y);
        break;
    case TN_OP_VECTOR:
        n.vector = *(tn_vector_node *)node;
        n.vector.y = moved(n.vector.y);
        break;
    case TN_OP_MIX:
        n.mix = *(tn_mix_node *)node;
        n.mix.x = moved(n.mix.x);
        n.mix.y = moved(n.mix.y);
        break;
    case TN_OP_PRODUCT:
        n.product = *(tn_product_node *)node;
        n.product.a = moved(n.product.a);
        n.product.b = moved(n.product.b);
        n.product.y = moved(n.product.y);
        break;
    case TN_OP_SQUARED_ERROR:
        n.squared = *(tn_squared_node *)node;
        n.squared.x = moved(n.squared.x);
        n.squared.target = moved(n.squared.target);
        n.squared.loss = moved(n.squared.loss);
        break;
    default: /* elementwise */
        n.element = *(tn_element_node *)node;
        n.element.x = moved(n.element.x);
        n.element.other = moved(n.element.other);
        n.element.y = moved(n.element.y);
        break;
    }
    const tn_device_op *operation = tn_device_cpu.operations[node->code];
    ops->device = &tn_device_cpu;
    (back ? operation->backward : operation->forward)(ops, &n.node);
    ops->device = &far_device;
    free(list);
    free(taps);
}

static void forward(tn_ops *ops, tn_node *node)
{
    carry_out(ops, node, false);
}

static void backward(tn_ops *ops, tn_node *node)
{
    carry_out(ops, node, true);
}

static void copy(tn_ops *ops, tn_real *to, const tn_real *from, size_t count)
{
    tn_device_cpu.copy(ops, there(to), moved_reals(from), count);
}

static void add(tn_ops *ops, tn_real *to, const tn_real *from, size_t count)
{
    tn_device_cpu.add(ops, there(to), there(from), count);
}

static void read_values(tn_ops *ops, tn_real *host, const tn_real *from, size_t count)
{
    (void)ops;
    memcpy(host, there(from), count * sizeof *host);
}

static void write_values(tn_ops *ops, tn_real *to, const tn_real *host, size_t count)
{
    (void)ops;
    memcpy(there(to), host, count * sizeof *host);
}

static tn_real *import(tn_ops *ops, const tn_real *host, size_t count)
{
    tn_real *at = tn_arena_take(ops->arena, count, sizeof *at);
    assert_non_null(at);
    return memcpy(there(at), host, count * sizeof *host), at;
}

static const tn_real *view(tn_ops *ops, const tn_real *from, size_t count)
{
    tn_real *host = tn_arena_take(ops->arena, count, sizeof *host);
    assert_non_null(host);
    return memcpy(host, there(from), count * sizeof *host);
}

static bool is_finite(tn_ops *ops, tn_tensor x)
{
    return tn_device_cpu.is_finite(ops, moved(x));
}

static void argmax(tn_ops *ops, tn_tensor x, size_t *places)
{
    tn_device_cpu.argmax(ops, moved(x), places);
}

static void nearest(tn_ops *ops, tn_tensor x, const tn_weight *book, int32_t *codes, tn_real *distances)
{
    tn_device_cpu.nearest(ops, moved(x), book, codes, distances);
}

static void mean_rows(tn_ops *ops, tn_tensor mean, tn_tensor x)
{
    tn_device_cpu.mean_rows(ops, moved(mean), moved(x));
}

static void add_heads(tn_ops *ops, tn_tensor sum, tn_tensor rows, tn_real share)
{
    tn_device_cpu.add_heads(ops, moved(sum), moved(rows), share);
}

static void angles(tn_ops *ops, const float *places, size_t count, size_t axes, const tn_turn *turns, size_t half, tn_real *cosines,
                   tn_real *sines)
{
    tn_device_cpu.angles(ops, places, count, axes, turns, half, there(cosines), there(sines));
}

static const tn_device_op operation = { forward, backward };

static const tn_device far_device = {
    .name = "far",
    .operations = { [TN_OP_LINEAR] = &operation, [TN_OP_LORA] = &operation, [TN_OP_GATHER] = &operation, [TN_OP_COMPOSE] = &operation,
                    [TN_OP_JOIN] = &tn_shared_join, [TN_OP_CHECKPOINT] = &tn_shared_checkpoint, [TN_OP_ADD] = &operation,
                    [TN_OP_SWIGLU] = &operation, [TN_OP_QUICK_GELU] = &operation, [TN_OP_GELU] = &operation, [TN_OP_NORM] = &operation,
                    [TN_OP_ROPE] = &operation, [TN_OP_STORE] = &operation, [TN_OP_ATTENTION] = &operation,
                    [TN_OP_CROSS_ENTROPY] = &operation, [TN_OP_ADD_ROWS] = &operation, [TN_OP_RULE_OUT] = &operation,
                    [TN_OP_SILU] = &operation, [TN_OP_GROUP_NORM] = &operation, [TN_OP_CONV] = &operation,
                    [TN_OP_MULTIPLY] = &operation, [TN_OP_SIGMOID] = &operation, [TN_OP_TANH] = &operation, [TN_OP_VECTOR] = &operation,
                    [TN_OP_MIX] = &operation, [TN_OP_PRODUCT] = &operation, [TN_OP_SQUARED_ERROR] = &operation },
    .copy = copy,
    .add = add,
    .read = read_values,
    .write = write_values,
    .import = import,
    .view = view,
    .is_finite = is_finite,
    .argmax = argmax,
    .nearest = nearest,
    .mean_rows = mean_rows,
    .add_heads = add_heads,
    .angles = angles,
};

/* Moves a session to the device before its first question. */
static void move_away(tn_session *session)
{
    open_memory(0, &session->engine->work);
    open_memory(1, &session->kept);
    open_memory(2, &session->sequence.memory);
    session->engine->ops.device = &far_device;
    carried_out = 0;
}

/* ---------------------------------------------------------------- answers -- */

static run *ask_far(const tn_model *model, const question *q)
{
    tn_session *session = tiny_session(model, 1);
    move_away(session);
    return run_in(session, q, NULL);
}

static void test_answers(void **state)
{
    const tiny *here = *state;
    static const char *const texts[] = { "keep", "noise", "mean", "shuffle" };
    for (size_t i = 0; i < 5; i++) {
        question q;
        ask_latent(&q, PICTURE, i == 1 ? OTHER_PICTURE : NULL);
        if (i < 4)
            ask_set(&q, "latent-text", texts[i]);
        else
            ask_about(&q, "icot", PICTURE, NULL, "What is small and green?");
        q.request.scores = true;
        q.request.lens = 3;
        run *near = run_question(here->model, &q), *made = ask_far(here->model, &q);
        size_t cols = tn_session_hidden(near->session).cols;
        tn_real *hidden = malloc(cols * sizeof *hidden);
        assert_true(tn_op_read(&made->session->engine->ops, tn_session_hidden(made->session), hidden));
        assert_memory_equal(hidden, tn_session_hidden(near->session).data, cols * sizeof *hidden);
        /* Negative control: the host's bytes are not the numbers. */
        assert_memory_not_equal(hidden, tn_session_hidden(made->session).data, cols * sizeof *hidden);
        assert_true(same_tokens(near->trace, made->trace));
        assert_true(same_steps(near->trace, made->trace));
        assert_true(carried_out > 100);
        free(hidden);
        run_free(near);
        run_free(made);
        close_memory();
    }
}

/* --------------------------------------------------------- images as tokens -- */

/* The vectors of which codes are the nearest rows of a codebook. */
typedef struct vectors {
    tn_ops *ops;
    size_t count;
    tn_real *values, *bytes; /* as the device reads them, and the host's bytes at the same address */
} vectors;

static void keep_vectors(void *user, const char *name, size_t index, const tn_tensor *value)
{
    vectors *v = user;
    (void)index;
    if (strcmp(name, "vq.prequant") != 0)
        return;
    v->count = value->rows * value->cols;
    v->values = malloc(v->count * sizeof *v->values);
    v->bytes = malloc(v->count * sizeof *v->bytes);
    memcpy(v->bytes, value->data, v->count * sizeof *v->bytes);
    assert_true(tn_op_read(v->ops, *value, v->values));
}

/* Convolutions, group norms and the choice of codes: the same tokens. */
static void test_codes(void **state)
{
    enum { SIDE = 32 };
    (void)state;
    tn_model *model;
    assert_int_equal(tn_model_open(TENEBRA_TEST_DATA "/golden/chameleon_64/model", &(tn_model_options){ .kernels = "reference" }, &model,
                                   NULL), TENEBRA_OK);
    tn_rng rng = tn_rng_seed(3);
    tn_image image;
    tn_prepared prepared;
    int32_t ids[2][SIDE * SIDE / 16];
    vectors seen[2] = { 0 };
    assert_int_equal(tn_image_new(&image, SIDE, SIDE, 3, NULL), TENEBRA_OK);
    for (size_t i = 0; i < SIDE * SIDE * 3; i++)
        image.pixels[i] = (unsigned char)tn_rng_below(&rng, 256);
    assert_int_equal(model->backbone->encoder->prepare(model->rule, &image, &prepared, NULL), TENEBRA_OK);
    for (size_t away = 0; away < 2; away++) {
        tn_session *session = tiny_session(model, 1);
        tn_image_rows rows = tn_model_measure(model, SIDE, SIDE), *to = &rows;
        const tn_prepared *from = &prepared;
        if (away)
            move_away(session);
        seen[away].ops = &session->engine->ops;
        session->engine->ops.watch = keep_vectors;
        session->engine->ops.watch_user = &seen[away];
        assert_int_equal(tn_engine_encode(session->engine, &from, &to, 1, &session->kept, NULL), TENEBRA_OK);
        assert_int_equal(rows.rows, SIDE * SIDE / 16);
        memcpy(ids[away], rows.ids, sizeof ids[away]);
        tn_session_close(session);
        close_memory();
    }
    assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
    assert_memory_equal(seen[0].values, seen[1].values, seen[0].count * sizeof *seen[0].values);
    assert_memory_not_equal(seen[1].values, seen[1].bytes, seen[1].count * sizeof *seen[1].values);
    for (size_t away = 0; away < 2; away++) {
        free(seen[away].values);
        free(seen[away].bytes);
    }
    tn_prepared_free(&prepared);
    tn_image_free(&image);
    tn_model_close(model);
}

/* --------------------------------------------------------------- training -- */

/* Loss and gradients [elements] of two examples, for free(). */
static tn_real *train(const tiny *here, const char *method, bool away, bool checkpoint, double *loss, size_t *count)
{
    static const tenebra_setting settings[] = { { "n-latent", "3" }, { "k-select", "4" }, { "lq-width", "16" }, { "loss", "lm" },
                                                { "lambda-c", "1" } };
    static const char *const words[] = { "the cat sits left", "it looks at a ball", "the ball is green" };
    size_t setting_count = strcmp(method, "lare") == 0 ? 5 : 2;
    const tn_training_options options = { .method = method, .settings = settings, .setting_count = setting_count, .threads = 1,
                                         .image.width = 112, .image.height = 112, .checkpoint = checkpoint, .through_hidden = true };
    tenebra_error error = { 0 };
    tn_model *model = tiny_open_model(here, "reference");
    tn_training *training;
    assert_int_equal(tn_modules_train(model, tn_method_find(method), settings, setting_count, 3, &error), TENEBRA_OK);
    assert_int_equal(tn_training_open(model, &options, &training, &error), TENEBRA_OK);
    tn_parameters *parameters;
    assert_int_equal(tn_parameters_open(&parameters, &error), TENEBRA_OK);
    assert_int_equal(tn_parameters_add_weights(parameters, model, NULL, &error), TENEBRA_OK);
    if (away)
        move_away(training->session);
    tn_train_example examples[2] = { { 0 } };
    const tn_train_example *pointers[] = { &examples[0], &examples[1] };
    for (size_t i = 0; i < 2; i++) {
        tenebra_part parts[] = { { .kind = TENEBRA_PART_IMAGE_FILE, .text = i == 0 ? PICTURE : OTHER_PICTURE },
                                 { .kind = TENEBRA_PART_TEXT, .text = "What is left of the ball?" } };
        const tenebra_message message = { "user", parts, 2 };
        const tn_train_example_source source = { .messages = &message, .message_count = 1, .steps = words, .step_count = 3,
                                          .answer = "Therefore, the answer is B", .latents = i + 1, .skip = i + 1 };
        assert_int_equal(tn_training_prepare(training, &source, &examples[i], &error), TENEBRA_OK);
    }
    tn_training_result result;
    carried_out = 0;
    if (tn_training_learn(training, pointers, 2, 0.125, &result, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    assert_true((carried_out > 100) == away);
    tn_real *all = malloc(parameters->elements * sizeof *all);
    *loss = result.loss + (result.part_count > 0 ? result.auxiliary : 0);
    assert_int_equal(result.part_count > 0, strcmp(method, "lare") == 0);
    *count = 0;
    for (size_t i = 0; i < parameters->count; *count += parameters->items[i++].count)
        memcpy(all + *count, parameters->items[i].grad, parameters->items[i].count * sizeof *all);
    for (size_t i = 0; i < 2; i++)
        tn_train_example_free(&examples[i]);
    tn_training_close(training);
    tn_parameters_close(parameters);
    tn_model_close(model);
    close_memory();
    return all;
}

static void check_gradients(const tiny *here, const char *method, bool checkpoint)
{
    double loss[2];
    size_t count[2];
    tn_real *near = train(here, method, false, checkpoint, &loss[0], &count[0]);
    tn_real *made = train(here, method, true, checkpoint, &loss[1], &count[1]);
    assert_true(loss[0] > 0 && loss[0] == loss[1]);
    assert_int_equal(count[0], count[1]);
    assert_memory_equal(near, made, count[0] * sizeof *near);
    assert_true(norm_of_row(near, count[0]) > 0);
    free(near);
    free(made);
}

/* A method without a module, and one with a module and a loss that compares examples. */
static void test_gradients(void **state)
{
    for (size_t checkpoint = 0; checkpoint < 2; checkpoint++) {
        check_gradients(*state, "ivt-lr", checkpoint);
        check_gradients(*state, "lare", checkpoint);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, tiny_set_up, tiny_tear_down),
        cmocka_unit_test(test_codes),
        cmocka_unit_test_setup_teardown(test_gradients, tiny_set_up, tiny_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
