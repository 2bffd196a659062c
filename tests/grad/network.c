/* Gradients through small networks in which all operations meet, as in the models: two spans over one
 * cache with a latent row between them, and a vision block with a merger. */
#include "check.h"

enum { HEADS = 4, KV_HEADS = 2, HALF = 2, DIM = 2 * HALF, WIDTH = 6, INNER = 7, VOCABULARY = 9 };

/* Indices of the parameters, in the order in which decoder_open adds them. */
enum { EMBED, NORM1, WQ, BQ, WK, BK, WV, BV, WO, NORM2, GATE, UP, DOWN, LAST_NORM, PICTURE };

static void decoder_open(gradient_case *c, uint64_t seed)
{
    case_open(c, seed);
    add(c, VOCABULARY, WIDTH, 0, 1);
    add(c, 1, WIDTH, 1, 0.2);
    add(c, HEADS * DIM, WIDTH, 0, 0.5);
    add(c, 1, HEADS * DIM, 0, 0.2);
    add(c, KV_HEADS * DIM, WIDTH, 0, 0.5);
    add(c, 1, KV_HEADS * DIM, 0, 0.2);
    add(c, KV_HEADS * DIM, WIDTH, 0, 0.5);
    add(c, 1, KV_HEADS * DIM, 0, 0.2);
    add(c, WIDTH, HEADS * DIM, 0, 0.3);
    add(c, 1, WIDTH, 1, 0.2);
    add(c, INNER, WIDTH, 0, 0.5);
    add(c, INNER, WIDTH, 0, 0.5);
    add(c, WIDTH, INNER, 0, 0.5);
    add(c, 1, WIDTH, 1, 0.2);
    add(c, 2, WIDTH, 0, 1);
}

static tn_rope angles(gradient_case *c, size_t rows, size_t start)
{
    double *all = tn_arena_take(&c->work, 2 * rows * HALF, sizeof *all);
    assert_non_null(all);
    for (size_t i = 0; i < rows * HALF; i++) {
        double angle = (double)(start + i / HALF) / (1 + 9 * (double)(i % HALF));
        all[i] = cos(angle);
        all[rows * HALF + i] = sin(angle);
    }
    return (tn_rope){ HALF, all, all + rows * HALF };
}

static tn_tensor linear(gradient_case *c, tn_tensor x, size_t w, size_t b)
{
    tn_weight matrix = weight(c, w);
    tn_vector bias = b ? vector(c, b) : (tn_vector){ 0 };
    return tn_op_linear(&c->ops, x, &matrix, &bias);
}

static tn_tensor rms_norm(gradient_case *c, tn_tensor x, size_t w)
{
    tn_vector scale = vector(c, w);
    return tn_op_rms_norm(&c->ops, x, &scale, 1e-6);
}

/* One decoder layer over rows that follow `start` cached ones. */
static tn_tensor layer(gradient_case *c, tn_tensor x, const tn_keys *keys, size_t start)
{
    tn_ops *ops = &c->ops;
    tn_rope rope = angles(c, x.rows, start);
    size_t mark = tn_ops_mark(ops);
    tn_tensor normed = rms_norm(c, x, NORM1);
    tn_tensor q = tn_op_rope(ops, linear(c, normed, WQ, BQ), &rope, HEADS);
    tn_tensor k = tn_op_rope(ops, linear(c, normed, WK, BK), &rope, KV_HEADS);
    tn_op_store(ops, keys, start, k, linear(c, normed, WV, BV));
    tn_attention shape = { .heads = HEADS, .kv_heads = KV_HEADS, .head_dim = DIM, .causal = true, .start = start };
    x = tn_op_add(ops, x, linear(c, tn_op_attention(ops, q, keys, &shape), WO, 0));
    normed = rms_norm(c, x, NORM2);
    tn_tensor inner = tn_op_swiglu(ops, linear(c, normed, GATE, 0), linear(c, normed, UP, 0));
    x = tn_op_add(ops, x, linear(c, inner, DOWN, 0));
    tn_ops_release(ops, mark);
    return x;
}

/* A prompt of tokens and two image rows; then a span of a latent (the last hidden state), an image row fed again and a token.
 * The loss covers both spans, and the head is tied to the embedding. */
static tn_tensor build_decoder(gradient_case *c)
{
    static const int32_t prompt[] = { 1, 5, 5 }, next[] = { 7 };
    static const int32_t labels[] = { -1, 5, -1, -1, 2, -1, 8, 0 };
    tn_ops *ops = &c->ops;
    tn_keys keys = cache(c, 9, KV_HEADS * DIM);
    tn_weight table = weight(c, EMBED);
    tn_tensor text = tn_op_gather(ops, &table, prompt, 3), token = tn_op_gather(ops, &table, next, 1);
    tn_tensor picture = input(c, PICTURE);
    const tn_row_ref first[] = { { text, 0 }, { picture, 0 }, { picture, 1 }, { text, 1 }, { text, 2 } };
    tn_tensor x = layer(c, tn_op_compose(ops, first, 5, WIDTH), &keys, 0);
    const tn_row_ref second[] = { { x, 4 }, { picture, 1 }, { token, 0 } };
    tn_tensor y = layer(c, tn_op_compose(ops, second, 3, WIDTH), &keys, 5);
    tn_row_ref all[8];
    for (size_t i = 0; i < 8; i++)
        all[i] = i < 5 ? (tn_row_ref){ x, i } : (tn_row_ref){ y, i - 5 };
    tn_tensor normed = rms_norm(c, tn_op_compose(ops, all, 8, WIDTH), LAST_NORM);
    return tn_op_cross_entropy(ops, linear(c, normed, EMBED, 0), labels, 0.5);
}

static void decoder_is_right(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++) {
        gradient_case c;
        decoder_open(&c, seed);
        check(&c, build_decoder);
        case_close(&c);
    }
}

/* Any number of threads: the same bits. The work is below what wakes threads in one operation, so
 * the pool is exercised by the tests of the operations; here it must at least do no harm. */
static void threads_change_nothing(void **state)
{
    (void)state;
    gradient_case c;
    decoder_open(&c, 11);
    record(&c, build_decoder);
    double kept[VOCABULARY * WIDTH];
    memcpy(kept, c.parameters[EMBED].grad, sizeof kept);
    tn_pool_open(3, &c.ops.pool, NULL);
    assert_non_null(c.ops.pool);
    record(&c, build_decoder);
    assert_memory_equal(kept, c.parameters[EMBED].grad, sizeof kept);
    tn_pool_close(c.ops.pool);
    case_close(&c);
}

/* patch embedding -> layer norm -> rope -> attention in segments -> quick GELU MLP -> merger with GELU */
enum { PATCHES, PATCH_EMBED, LN1, LN1_BIAS, VQ, VQ_BIAS, VK, VV, PROJ, LN2, LN2_BIAS, FC1, FC1_BIAS, FC2,
       MERGE1, MERGE1_BIAS, MERGE2 };

static void vision_open(gradient_case *c, uint64_t seed)
{
    enum { E = 8 };
    case_open(c, seed);
    add(c, 12, 5, 0, 1);
    add(c, E, 5, 0, 0.6);
    add(c, 1, E, 1, 0.2);
    add(c, 1, E, 0, 0.2);
    add(c, E, E, 0, 0.4);
    add(c, 1, E, 0, 0.4);
    add(c, E, E, 0, 0.4);
    add(c, E, E, 0, 0.4);
    add(c, E, E, 0, 0.4);
    add(c, 1, E, 1, 0.2);
    add(c, 1, E, 0, 0.2);
    add(c, 11, E, 0, 0.4);
    add(c, 1, 11, 0, 0.4);
    add(c, E, 11, 0, 0.4);
    add(c, 9, 4 * E, 0, 0.3);
    add(c, 1, 9, 0, 0.3);
    add(c, 5, 9, 0, 0.3);
}

static tn_tensor layer_norm(gradient_case *c, tn_tensor x, size_t w)
{
    tn_vector scale = vector(c, w), shift = vector(c, w + 1);
    return tn_op_layer_norm(&c->ops, x, &scale, &shift, 1e-6);
}

static tn_tensor build_vision(gradient_case *c)
{
    static const size_t borders[] = { 0, 4, 12 };
    tn_ops *ops = &c->ops;
    tn_tensor x = linear(c, input(c, PATCHES), PATCH_EMBED, 0);
    tn_rope rope = angles(c, x.rows, 0);
    tn_tensor normed = layer_norm(c, x, LN1);
    tn_tensor q = tn_op_rope(ops, linear(c, normed, VQ, VQ_BIAS), &rope, 2);
    tn_tensor k = tn_op_rope(ops, linear(c, normed, VK, 0), &rope, 2), v = linear(c, normed, VV, 0);
    tn_keys keys = { .capacity = k.rows, .stride = k.cols, .k = k.data, .v = v.data, .dk = k.grad, .dv = v.grad };
    tn_attention shape = { .heads = 2, .kv_heads = 2, .head_dim = DIM, .segments = borders, .segment_count = 2 };
    x = tn_op_add(ops, x, linear(c, tn_op_attention(ops, q, &keys, &shape), PROJ, 0));
    tn_tensor inner = tn_op_quick_gelu(ops, linear(c, layer_norm(c, x, LN2), FC1, FC1_BIAS));
    x = tn_op_add(ops, x, linear(c, inner, FC2, 0));
    tn_tensor cells = tn_op_reshape(ops, layer_norm(c, x, LN1), 3, 4 * x.cols);
    tn_tensor merged = tn_op_gelu(ops, linear(c, cells, MERGE1, MERGE1_BIAS));
    return project(c, linear(c, merged, MERGE2, 0));
}

static void vision_is_right(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++) {
        gradient_case c;
        vision_open(&c, seed);
        check(&c, build_vision);
        case_close(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoder_is_right),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(vision_is_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
