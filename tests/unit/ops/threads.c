/* The same bits for any number of threads, forward and backward, for every kernel set, with shapes
 * large enough to wake the threads; and the same forward bits whether recorded or not. */
#include "unit/ops/fixture.h"

enum { LIMIT = 32 };

/* Copies of results, in the order in which a scenario offers them. */
typedef struct collection {
    size_t count, forward; /* results; how many of them come from the forward */
    size_t sizes[LIMIT];
    unsigned char *copies[LIMIT];
} collection;

static void keep(collection *c, const tn_real *data, size_t count)
{
    assert_true(c->count < LIMIT);
    assert_non_null(data);
    c->sizes[c->count] = count * sizeof *data;
    c->copies[c->count] = malloc(c->sizes[c->count]);
    memcpy(c->copies[c->count++], data, count * sizeof *data);
}

static void drop(collection *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->copies[i]);
}

static void assert_same(const char *set, const collection *a, const collection *b, size_t count)
{
    assert_true(count > 0 && count <= a->count && count <= b->count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(a->sizes[i], b->sizes[i]);
        if (memcmp(a->copies[i], b->copies[i], a->sizes[i]) != 0)
            fail_msg("set %s: result %zu differs", set, i);
    }
}

static tn_real *zeros(fixture *f, size_t count)
{
    tn_real *x = tn_arena_take(&f->stock, count, sizeof *x);
    assert_non_null(x);
    memset(x, 0, count * sizeof *x);
    return x;
}

/* The loss -log softmax(all numbers of y)[0]; walks back when recording. */
static void finish(fixture *f, collection *c, tn_tensor y)
{
    static const int32_t label = 0;
    works(f);
    bool recording = f->ops.tape != NULL;
    tn_tensor loss = tn_op_cross_entropy(&f->ops, tn_op_reshape(&f->ops, y, 1, y.rows * y.cols), &label, 100);
    works(f);
    keep(c, loss.data, 1);
    c->forward = c->count;
    if (recording)
        tn_tape_backward(&f->ops, loss);
    works(f);
}

typedef void scenario_fn(fixture *f, collection *c);

static void linear_and_norms(fixture *f, collection *c)
{
    enum { T = 150, C = 300, N = 450 };
    bool recording = f->ops.tape != NULL;
    tn_real *dw = zeros(f, N * C), *db = zeros(f, N), *ds = zeros(f, C), *dt = zeros(f, C);
    tn_weight w = weight_of(numbers(f, N * C, 0, 0.1), N, C, dw);
    tn_vector b = { N, numbers(f, N, 0, 1), db }, scale = { C, numbers(f, C, 1, 0.1), ds };
    tn_vector shift = { C, numbers(f, C, 0, 1), dt };
    tn_tensor x = tensor(f, T, C, numbers(f, T * C, 0, 1));
    tn_tensor a = tn_op_layer_norm(&f->ops, x, &scale, &shift, 1e-6), r = tn_op_rms_norm(&f->ops, a, &scale, 1e-6);
    tn_tensor y = tn_op_linear(&f->ops, r, &w, &b);
    keep(c, a.data, T * C);
    keep(c, r.data, T * C);
    keep(c, y.data, T * N);
    finish(f, c, y);
    if (!recording)
        return;
    keep(c, x.grad, T * C);
    keep(c, dw, N * C);
    keep(c, db, N);
    keep(c, ds, C);
    keep(c, dt, C);
}

static void elementwise_rope_and_rows(fixture *f, collection *c)
{
    enum { T = 140, C = 512, V = 33, HEADS = 4, HALF = 64 };
    bool recording = f->ops.tape != NULL;
    int32_t ids[T];
    tn_row_ref refs[T];
    tn_real *dt = zeros(f, V * C);
    tn_weight table = weight_of(numbers(f, V * C, 0, 1), V, C, dt);
    tn_tensor x = tensor(f, T, C, numbers(f, T * C, 0, 1)), y = tensor(f, T, C, numbers(f, T * C, 0, 1));
    for (size_t i = 0; i < T; i++) {
        ids[i] = (int32_t)(i * i % V);
        refs[i] = (tn_row_ref){ i % 3 ? x : y, i * 7 % 20 };
    }
    tn_tensor z = tn_op_add(&f->ops, tn_op_gather(&f->ops, &table, ids, T), tn_op_compose(&f->ops, refs, T, C));
    tn_rope rope = { HALF, numbers(f, T * HALF, 0, 0.7), numbers(f, T * HALF, 0, 0.7) };
    z = tn_op_swiglu(&f->ops, tn_op_rope(&f->ops, z, &rope, HEADS), y);
    z = tn_op_gelu(&f->ops, tn_op_quick_gelu(&f->ops, z));
    keep(c, z.data, T * C);
    finish(f, c, z);
    if (!recording)
        return;
    keep(c, x.grad, T * C);
    keep(c, y.grad, T * C);
    keep(c, dt, V * C);
}

static void rope_and_causal_attention(fixture *f, collection *c)
{
    enum { T = 170, START = 60, H = 6, KV = 2, HALF = 9, D = 2 * HALF };
    bool recording = f->ops.tape != NULL;
    tn_rope rope = { HALF, numbers(f, T * HALF, 0, 0.7), numbers(f, T * HALF, 0, 0.7) };
    size_t n = (START + T) * KV * D;
    tn_keys keys = { .capacity = START + T, .stride = KV * D, .k = numbers(f, n, 0, 1), .v = numbers(f, n, 0, 1) };
    if (recording) {
        keys.dk = zeros(f, n);
        keys.dv = zeros(f, n);
    }
    tn_tensor q = tensor(f, T, H * D, numbers(f, T * H * D, 0, 1));
    tn_tensor k = tensor(f, T, KV * D, numbers(f, T * KV * D, 0, 1));
    tn_tensor v = tensor(f, T, KV * D, numbers(f, T * KV * D, 0, 1));
    size_t wanted[START];
    tn_real *rows = zeros(f, H * START);
    for (size_t i = 0; i < START; i++)
        wanted[i] = 3 * i;
    tn_tap tap = { T - 1, wanted, START, { H, START, rows, NULL } };
    tn_attention shape = { .heads = H, .kv_heads = KV, .head_dim = D, .causal = true, .start = START, .tap = &tap };
    tn_op_store(&f->ops, &keys, START, tn_op_rope(&f->ops, k, &rope, KV), v);
    tn_tensor y = tn_op_attention(&f->ops, tn_op_rope(&f->ops, q, &rope, H), &keys, &shape);
    keep(c, y.data, T * H * D);
    keep(c, rows, H * START);
    finish(f, c, y);
    if (!recording)
        return;
    keep(c, q.grad, T * H * D);
    keep(c, k.grad, T * KV * D);
    keep(c, v.grad, T * KV * D);
    keep(c, keys.dk, n);
    keep(c, keys.dv, n);
}

static void segments(fixture *f, collection *c)
{
    enum { T = 300, H = 3, D = 20 };
    static const size_t borders[] = { 0, 7, 140, 300 };
    bool recording = f->ops.tape != NULL;
    tn_tensor q = tensor(f, T, H * D, numbers(f, T * H * D, 0, 1));
    tn_tensor k = tensor(f, T, H * D, numbers(f, T * H * D, 0, 1));
    tn_tensor v = tensor(f, T, H * D, numbers(f, T * H * D, 0, 1));
    tn_keys keys = { .capacity = T, .stride = H * D, .k = k.data, .v = v.data, .dk = k.grad, .dv = v.grad };
    tn_attention shape = { .heads = H, .kv_heads = H, .head_dim = D, .segments = borders, .segment_count = 3 };
    tn_tensor y = tn_op_attention(&f->ops, q, &keys, &shape);
    keep(c, y.data, T * H * D);
    finish(f, c, y);
    if (!recording)
        return;
    keep(c, q.grad, T * H * D);
    keep(c, k.grad, T * H * D);
    keep(c, v.grad, T * H * D);
}

static void loss_of_rows(fixture *f, collection *c)
{
    enum { T = 23, V = 4001 };
    bool recording = f->ops.tape != NULL;
    int32_t labels[T];
    for (size_t i = 0; i < T; i++)
        labels[i] = i % 4 ? (int32_t)(i * 150) : -100;
    tn_tensor logits = tensor(f, T, V, numbers(f, T * V, 0, 2));
    tn_tensor loss = tn_op_cross_entropy(&f->ops, logits, labels, 0.1);
    keep(c, loss.data, 1);
    c->forward = c->count;
    if (!recording)
        return;
    tn_tape_backward(&f->ops, loss);
    works(f);
    keep(c, logits.grad, T * V);
}

/* A convolution that is divided into tiles, and one that is not. */
static void images(fixture *f, collection *c)
{
    enum { SIDE = 132, C = 32, N = 24, BOOK = 300, ROWS = SIDE * SIDE / 4 };
    static const tn_conv shape = { .height = SIDE, .width = SIDE, .kernel = 3, .stride = 2, .bottom = 1, .right = 1 };
    static const tn_conv second = { .height = SIDE / 2, .width = SIDE / 2, .kernel = 3, .stride = 2, .bottom = 1, .right = 1 };
    bool recording = f->ops.tape != NULL;
    tn_real *dw = zeros(f, N * 9 * C), *db = zeros(f, N), *ds = zeros(f, C), *dt = zeros(f, C), *dv = zeros(f, N * 9 * N);
    tn_weight w = weight_of(numbers(f, N * 9 * C, 0, 0.1), N, 9 * C, dw), v = weight_of(numbers(f, N * 9 * N, 0, 0.1), N, 9 * N, dv);
    tn_weight book = weight_of(numbers(f, BOOK * N, 0, 1), BOOK, N, NULL);
    tn_vector b = { N, numbers(f, N, 0, 1), db }, scale = { C, numbers(f, C, 1, 0.1), ds }, shift = { C, numbers(f, C, 0, 1), dt };
    tn_tensor x = tensor(f, SIDE * SIDE, C, numbers(f, SIDE * SIDE * C, 0, 1));
    tn_tensor a = tn_op_silu(&f->ops, tn_op_group_norm(&f->ops, x, &scale, &shift, 8, 1e-6));
    tn_tensor y = tn_op_conv(&f->ops, a, &shape, &w, &b), z = tn_op_conv(&f->ops, y, &second, &v, NULL);
    keep(c, a.data, SIDE * SIDE * C);
    keep(c, y.data, ROWS * N);
    keep(c, z.data, ROWS / 4 * N);
    int32_t codes[ROWS];
    tn_real *distances = zeros(f, ROWS);
    assert_int_equal(y.rows, ROWS);
    assert_true(tn_op_nearest(&f->ops, y, &book, codes, distances));
    keep(c, distances, ROWS);
    for (size_t i = 0; i < ROWS; i++)
        distances[i] = (tn_real)codes[i];
    keep(c, distances, ROWS);
    finish(f, c, z);
    if (!recording)
        return;
    keep(c, x.grad, SIDE * SIDE * C);
    keep(c, dw, N * 9 * C);
    keep(c, dv, N * 9 * N);
    keep(c, db, N);
    keep(c, ds, C);
    keep(c, dt, C);
}

static scenario_fn *const scenarios[] = { linear_and_norms, elementwise_rope_and_rows, rope_and_causal_attention,
                                          segments, loss_of_rows, images };

static collection run(scenario_fn *scenario, const tn_kernels *kernels, size_t threads, bool recording, uint64_t seed)
{
    fixture f;
    collection c = { 0 };
    fixture_open(&f, kernels, threads, seed);
    if (recording)
        tn_tape_start(&f.ops);
    scenario(&f, &c);
    fixture_close(&f);
    return c;
}

static void threads_do_not_change_bits(void **state)
{
    static const size_t threads[] = { 2, 3, 5 };
    (void)state;
    for (size_t set = 0; tn_kernels_at(set) != NULL; set++)
        for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
            collection one = run(scenarios[i], tn_kernels_at(set), 1, true, i);
            for (size_t j = 0; j < sizeof threads / sizeof *threads; j++) {
                collection many = run(scenarios[i], tn_kernels_at(set), threads[j], true, i);
                assert_int_equal(one.count, many.count);
                assert_same(tn_kernels_at(set)->name, &one, &many, one.count);
                drop(&many);
            }
            drop(&one);
        }
}

static void recording_does_not_change_bits(void **state)
{
    (void)state;
    for (size_t set = 0; tn_kernels_at(set) != NULL; set++)
        for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
            collection plain = run(scenarios[i], tn_kernels_at(set), 2, false, i);
            collection recorded = run(scenarios[i], tn_kernels_at(set), 2, true, i);
            assert_same(tn_kernels_at(set)->name, &plain, &recorded, plain.forward);
            drop(&plain);
            drop(&recorded);
        }
}

/* The comparison sees: other numbers give other bits in every result that is not zero throughout. */
static void other_numbers_differ(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        collection a = run(scenarios[i], tn_kernels_reference(), 1, true, i);
        collection b = run(scenarios[i], tn_kernels_reference(), 1, true, i + 100);
        assert_int_equal(a.count, b.count);
        for (size_t j = 0; j < a.count; j++)
            assert_memory_not_equal(a.copies[j], b.copies[j], a.sizes[j]);
        drop(&a);
        drop(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_do_not_change_bits),
        cmocka_unit_test(recording_does_not_change_bits),
        cmocka_unit_test(other_numbers_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
