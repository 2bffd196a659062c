/* Memory, views, the record, and failures that stay. */
#include "unit/ops/fixture.h"

static void failures_stay(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f, tn_kernels_reference(), 1, 1);
    tn_real *values = numbers(&f, 64, 0, 1);
    tn_tensor x = tensor(&f, 4, 8, values);
    tn_weight w = weight_of(values, 3, 7, NULL);
    tn_tensor y = tn_op_linear(&f.ops, x, &w, NULL);
    assert_null(y.data);
    assert_int_equal(f.ops.failure.code, TENEBRA_ERROR_MISMATCH);
    assert_string_equal(f.ops.failure.where, "linear");
    assert_non_null(strstr(f.ops.failure.sentence, "[4, 8]"));
    assert_non_null(strstr(f.ops.failure.sentence, "[3, 7]"));
    tenebra_error first = f.ops.failure;
    size_t used = f.work.used;
    tn_vector scale = { 8, values, NULL };
    assert_null(tn_op_rms_norm(&f.ops, x, &scale, 1e-6).data); /* would fit, but comes after a failure */
    assert_null(tn_op_add(&f.ops, y, y).data);
    assert_null(tn_op_new(&f.ops, 1, 1).data);
    assert_null(tn_op_rows(&f.ops, x, 0, 1).data);
    assert_memory_equal(&first, &f.ops.failure, sizeof first);
    assert_int_equal(f.work.used, used);
    fixture_close(&f);
}

/* Each misuse by itself: the operation's name and its numbers are in the record. */
typedef tn_tensor misuse_fn(tn_ops *ops, tn_tensor x, const tn_real *values);

static tn_tensor empty_input(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)x, (void)values;
    return tn_op_gelu(ops, (tn_tensor){ 0 });
}

static tn_tensor bias_of_other_size(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    tn_real bias[3] = { 0 };
    tn_weight w = weight_of(values, 4, 8, NULL);
    tn_vector b = { 3, bias, NULL };
    return tn_op_linear(ops, x, &w, &b);
}

static tn_tensor absent_weight(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)values;
    tn_weight w = weight_of(NULL, 4, 8, NULL);
    return tn_op_linear(ops, x, &w, NULL);
}

static tn_tensor id_too_large(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)x;
    static const int32_t ids[] = { 0, 4 };
    tn_weight w = weight_of(values, 4, 8, NULL);
    return tn_op_gather(ops, &w, ids, 2);
}

static tn_tensor id_negative(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)x;
    static const int32_t ids[] = { 0, -1 };
    tn_weight w = weight_of(values, 4, 8, NULL);
    return tn_op_gather(ops, &w, ids, 2);
}

static tn_tensor compose_past_the_end(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)values;
    const tn_row_ref ref = { x, 4 };
    return tn_op_compose(ops, &ref, 1, 8);
}

static tn_tensor compose_other_width(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)values;
    const tn_row_ref ref = { x, 0 };
    return tn_op_compose(ops, &ref, 1, 7);
}

static tn_tensor add_other_shape(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)values;
    return tn_op_add(ops, x, tn_op_rows(ops, x, 0, 3));
}

static tn_tensor norm_other_width(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    tn_real scale[7];
    memcpy(scale, values, sizeof scale);
    tn_vector w = { 7, scale, NULL };
    return tn_op_rms_norm(ops, x, &w, 1e-6);
}

static tn_tensor rope_other_width(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    tn_rope rope = { 3, values, values };
    return tn_op_rope(ops, x, &rope, 1);
}

static tn_tensor label_too_large(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)values;
    static const int32_t labels[] = { 0, 8, -1, 0 };
    return tn_op_cross_entropy(ops, x, labels, 1);
}

static tn_tensor rows_past_the_end(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)values;
    return tn_op_rows(ops, x, 2, SIZE_MAX);
}

static tn_tensor reshape_overflow(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)values;
    return tn_op_reshape(ops, x, SIZE_MAX / 2 + 1, 64);
}

static tn_tensor store_past_the_end(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)values;
    tn_real k[32], v[32];
    tn_keys keys = { .capacity = 4, .stride = 8, .k = k, .v = v };
    tn_op_store(ops, &keys, 1, x, x);
    return (tn_tensor){ 0 };
}

static tn_tensor attend_past_the_end(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)values;
    tn_keys keys = { .capacity = 4, .stride = 8, .k = x.data, .v = x.data };
    tn_attention shape = { .heads = 2, .kv_heads = 2, .head_dim = 4, .causal = true, .start = SIZE_MAX };
    return tn_op_attention(ops, x, &keys, &shape);
}

static tn_tensor attend_uneven_groups(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)values;
    tn_keys keys = { .capacity = 4, .stride = 6, .k = x.data, .v = x.data };
    tn_attention shape = { .heads = 4, .kv_heads = 3, .head_dim = 2, .causal = true };
    return tn_op_attention(ops, x, &keys, &shape);
}

static tn_tensor attend_open_segments(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)values;
    static const size_t borders[] = { 0, 3 };
    tn_keys keys = { .capacity = 4, .stride = 8, .k = x.data, .v = x.data };
    tn_attention shape = { .heads = 2, .kv_heads = 2, .head_dim = 4, .segments = borders, .segment_count = 1 };
    return tn_op_attention(ops, x, &keys, &shape);
}

static tn_tensor attend_falling_segments(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)values;
    static const size_t borders[] = { 0, 9, 4 };
    tn_keys keys = { .capacity = 4, .stride = 8, .k = x.data, .v = x.data };
    tn_attention shape = { .heads = 2, .kv_heads = 2, .head_dim = 4, .segments = borders, .segment_count = 2 };
    return tn_op_attention(ops, x, &keys, &shape);
}

static tn_tensor attend_without_keys(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)values;
    static const size_t borders[] = { 0, 2, 4 }, own[] = { 0, 3, 3 };
    tn_keys keys = { .capacity = 4, .stride = 8, .k = x.data, .v = x.data };
    tn_attention shape = { .heads = 2, .kv_heads = 2, .head_dim = 4, .segments = borders, .key_segments = own, .segment_count = 2 };
    return tn_op_attention(ops, x, &keys, &shape);
}

static tn_tensor attend_too_many_keys(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)values;
    static const size_t borders[] = { 0, 2, 4 }, own[] = { 0, 3, 5 };
    tn_keys keys = { .capacity = 4, .stride = 8, .k = x.data, .v = x.data };
    tn_attention shape = { .heads = 2, .kv_heads = 2, .head_dim = 4, .segments = borders, .key_segments = own, .segment_count = 2 };
    return tn_op_attention(ops, x, &keys, &shape);
}

static tn_tensor tap_unseen_key(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)values;
    static const size_t wanted[] = { 0, 2 };
    tn_real rows[4];
    tn_tap tap = { 1, wanted, 2, { 2, 2, rows, NULL } };
    tn_keys keys = { .capacity = 4, .stride = 8, .k = x.data, .v = x.data };
    tn_attention shape = { .heads = 2, .kv_heads = 2, .head_dim = 4, .causal = true, .tap = &tap };
    return tn_op_attention(ops, x, &keys, &shape);
}

static tn_tensor tap_other_segment(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)values;
    static const size_t borders[] = { 0, 2, 4 }, wanted[] = { 2, 1 };
    tn_real rows[4];
    tn_tap tap = { 3, wanted, 2, { 2, 2, rows, NULL } };
    tn_keys keys = { .capacity = 4, .stride = 8, .k = x.data, .v = x.data };
    tn_attention shape = { .heads = 2, .kv_heads = 2, .head_dim = 4, .segments = borders, .segment_count = 2,
                           .tap = &tap };
    return tn_op_attention(ops, x, &keys, &shape);
}

static tn_tensor tap_unknown_row(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)values;
    tn_tap tap = { .query = 4 };
    tn_keys keys = { .capacity = 4, .stride = 8, .k = x.data, .v = x.data };
    tn_attention shape = { .heads = 2, .kv_heads = 2, .head_dim = 4, .causal = true, .tap = &tap };
    return tn_op_attention(ops, x, &keys, &shape);
}

static tn_tensor backward_without_tape(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)values;
    tn_tape_backward(ops, tn_op_reshape(ops, tn_op_rows(ops, x, 0, 1), 8, 1));
    return (tn_tensor){ 0 };
}

static tn_tensor backward_of_a_row(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)x, (void)values;
    tn_tape_start(ops);
    tn_tape_backward(ops, tn_op_new(ops, 1, 2));
    return (tn_tensor){ 0 };
}

static tn_tensor backward_of_a_constant(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    static const int32_t labels[] = { 1, 2, 3, 4 };
    (void)values;
    tn_tape_start(ops);
    tn_tape_backward(ops, tn_op_cross_entropy(ops, x, labels, 1)); /* x was made before the recording */
    return (tn_tensor){ 0 };
}

static tn_tensor tape_in_tape(tn_ops *ops, tn_tensor x, const tn_real *values)
{
    (void)x, (void)values;
    tn_tape_start(ops);
    tn_tape_start(ops);
    return (tn_tensor){ 0 };
}

typedef struct misuse {
    misuse_fn *run;
    const char *where, *number;
} misuse;

static void misuse_is_named(void **state)
{
    static const misuse list[] = {
        { empty_input, "gelu", "empty" },
        { bias_of_other_size, "linear", "bias of 3" },
        { absent_weight, "linear", "absent" },
        { id_too_large, "gather", "id 4 at place 1" },
        { id_negative, "gather", "id -1" },
        { compose_past_the_end, "compose", "row 4" },
        { compose_other_width, "compose", "7 columns" },
        { add_other_shape, "add", "[3, 8]" },
        { norm_other_width, "rms_norm", "scale of 7" },
        { rope_other_width, "rope", "1 heads of 3" },
        { label_too_large, "cross_entropy", "label 8 of row 1" },
        { rows_past_the_end, "rows", "4 rows" },
        { reshape_overflow, "reshape", "[4, 8]" },
        { store_past_the_end, "store", "cache of 4 rows" },
        { attend_past_the_end, "attention", "4 rows of keys" },
        { attend_uneven_groups, "attention", "4 heads, 3 key heads" },
        { attend_open_segments, "attention", "0 to 4" },
        { attend_falling_segments, "attention", "2 segments" },
        { attend_without_keys, "attention", "queries have no keys" },
        { attend_too_many_keys, "attention", "at most 4 rows" },
        { tap_unseen_key, "attention", "not key 2" },
        { tap_other_segment, "attention", "not key 1" },
        { tap_unknown_row, "attention", "row 4" },
        { backward_without_tape, "tape", "nothing was recorded" },
        { backward_of_a_row, "tape", "one number" },
        { backward_of_a_constant, "tape", "one number" },
        { tape_in_tape, "tape", "already" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        fixture f;
        fixture_open(&f, tn_kernels_reference(), 1, 1);
        tn_real *values = numbers(&f, 64, 0, 1);
        tn_tensor y = list[i].run(&f.ops, tensor(&f, 4, 8, values), values);
        assert_null(y.data);
        assert_int_not_equal(f.ops.failure.code, TENEBRA_OK);
        assert_string_equal(f.ops.failure.where, list[i].where);
        if (strstr(f.ops.failure.sentence, list[i].number) == NULL)
            fail_msg("'%s' does not say '%s'", f.ops.failure.sentence, list[i].number);
        fixture_close(&f);
    }
}

static void views_share_memory(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f, tn_kernels_reference(), 1, 1);
    tn_tape_start(&f.ops);
    tn_tensor x = tn_op_new(&f.ops, 4, 6), rows = tn_op_rows(&f.ops, x, 1, 2), flat = tn_op_reshape(&f.ops, rows, 3, 4);
    works(&f);
    assert_ptr_equal(rows.data, x.data + 6);
    assert_ptr_equal(rows.grad, x.grad + 6);
    assert_int_equal(rows.rows, 2);
    assert_ptr_equal(flat.data, rows.data);
    assert_int_equal(flat.cols, 4);
    assert_null(tn_op_detach(x).grad);
    assert_ptr_equal(tn_op_detach(x).data, x.data);
    tn_tensor none = tn_op_rows(&f.ops, x, 4, 0);
    assert_non_null(none.data);
    assert_int_equal(none.rows, 0);
    works(&f);
    fixture_close(&f);
}

/* Every operation over no rows at all. */
static void no_rows_is_no_failure(void **state)
{
    (void)state;
    for (int recording = 0; recording < 2; recording++) {
        fixture f;
        fixture_open(&f, tn_kernels_reference(), 2, 1);
        tn_real *values = numbers(&f, 64, 0, 1);
        if (recording)
            tn_tape_start(&f.ops);
        tn_tensor x = tn_op_new(&f.ops, 0, 8);
        tn_weight w = weight_of(values, 8, 8, NULL);
        tn_vector scale = { 8, values, NULL };
        tn_rope rope = { 2, values, values };
        tn_keys keys = { .capacity = 4, .stride = 8, .k = values, .v = values + 32 };
        tn_attention causal = { .heads = 2, .kv_heads = 2, .head_dim = 4, .causal = true, .start = 4 };
        x = tn_op_linear(&f.ops, x, &w, &scale);
        x = tn_op_rope(&f.ops, tn_op_rms_norm(&f.ops, x, &scale, 1e-6), &rope, 2);
        tn_op_store(&f.ops, &keys, 4, x, x);
        x = tn_op_attention(&f.ops, x, &keys, &causal);
        x = tn_op_gelu(&f.ops, tn_op_add(&f.ops, x, tn_op_gather(&f.ops, &w, NULL, 0)));
        x = tn_op_swiglu(&f.ops, x, tn_op_compose(&f.ops, NULL, 0, 8));
        tn_tensor loss = tn_op_cross_entropy(&f.ops, x, NULL, 1);
        works(&f);
        assert_true(loss.data[0] == 0);
        if (recording)
            tn_tape_backward(&f.ops, loss);
        works(&f);
        fixture_close(&f);
    }
}

/* After inference, only the results occupy memory; while recording, nothing is released. */
static void marks_and_releases(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f, tn_kernels_reference(), 3, 1);
    tn_real *values = numbers(&f, 4096, 0, 1);
    tn_tensor x = tensor(&f, 16, 16, values);
    tn_weight w = weight_of(values, 16, 16, NULL);
    size_t before = f.work.used;
    tn_tensor y = tn_op_linear(&f.ops, x, &w, NULL);
    tn_keys keys = { .capacity = 16, .stride = 16, .k = values, .v = values + 256 };
    tn_attention shape = { .heads = 4, .kv_heads = 2, .head_dim = 4, .causal = true };
    keys.stride = 8;
    y = tn_op_attention(&f.ops, y, &keys, &shape);
    assert_int_equal(f.work.used, before + 2 * 16 * 16 * sizeof(tn_real));
    tn_tensor z = tn_op_quick_gelu(&f.ops, y);
    assert_ptr_equal(z.data, y.data);
    static const int32_t labels[16] = { 0 };
    size_t mark = tn_ops_mark(&f.ops);
    tn_op_cross_entropy(&f.ops, z, labels, 1);
    assert_int_equal(f.work.used, mark + TN_ARENA_ALIGNMENT);
    tn_ops_release(&f.ops, mark);
    assert_int_equal(f.work.used, mark);
    tn_tape_start(&f.ops);
    size_t recording = f.work.used;
    tn_tensor u = tn_op_quick_gelu(&f.ops, tn_op_add(&f.ops, x, z));
    assert_ptr_not_equal(u.data, x.data);
    size_t used = f.work.used;
    assert_true(used > recording);
    tn_ops_release(&f.ops, mark);
    assert_int_equal(f.work.used, used);
    works(&f);
    fixture_close(&f);
}

/* A network with everything in it, forward and backward, in an arena of any size: either it
 * fits or the failure is MEMORY; under a sanitizer any write past the end is seen. */
static bool run_within(size_t pages, tenebra_code *code)
{
    static const int32_t ids[] = { 1, 0, 3, 2, 1, 1 }, labels[] = { 3, -1, 0, 1, 2, 5 };
    static tn_real values[4096], grads[4096], cache[4][512];
    tn_arena arena;
    assert_int_equal(tn_arena_open(&arena, pages * 4096, NULL), TENEBRA_OK);
    tn_ops ops = { .kernels = tn_kernels_reference(), .arena = &arena };
    tn_rng rng = tn_rng_seed(5);
    for (size_t i = 0; i < 4096; i++)
        values[i] = (tn_real)tn_rng_normal(&rng);
    memset(cache, 0, sizeof cache);
    tn_weight table = weight_of(values, 6, 16, grads), square = weight_of(values + 100, 16, 16, grads + 100);
    tn_vector scale = { 16, values + 400, grads + 400 };
    tn_rope rope = { 2, values + 500, values + 600 };
    tn_keys keys = { .capacity = 8, .stride = 16, .k = cache[0], .v = cache[1], .dk = cache[2], .dv = cache[3] };
    tn_attention shape = { .heads = 4, .kv_heads = 4, .head_dim = 4, .causal = true, .start = 2 };
    tn_tape_start(&ops);
    tn_tensor x = tn_op_gather(&ops, &table, ids, 6), normed = tn_op_layer_norm(&ops, x, &scale, &scale, 1e-6);
    tn_tensor q = tn_op_rope(&ops, tn_op_linear(&ops, normed, &square, &scale), &rope, 4);
    tn_op_store(&ops, &keys, 2, q, normed);
    x = tn_op_add(&ops, x, tn_op_gelu(&ops, tn_op_attention(&ops, q, &keys, &shape)));
    const tn_row_ref refs[] = { { x, 0 }, { x, 1 }, { q, 2 }, { x, 3 }, { x, 5 }, { x, 5 } };
    x = tn_op_swiglu(&ops, tn_op_compose(&ops, refs, 6, 16), tn_op_quick_gelu(&ops, normed));
    tn_tape_backward(&ops, tn_op_cross_entropy(&ops, x, labels, 1));
    *code = ops.failure.code;
    bool fits = arena.used <= arena.capacity;
    tn_arena_close(&arena);
    return fits;
}

static void full_memory_is_a_failure(void **state)
{
    (void)state;
    size_t failed = 0, worked = 0;
    for (size_t pages = 1; pages <= 64; pages++) {
        tenebra_code code;
        assert_true(run_within(pages, &code));
        assert_true(code == TENEBRA_OK || code == TENEBRA_ERROR_MEMORY);
        failed += code == TENEBRA_ERROR_MEMORY;
        worked += code == TENEBRA_OK;
        assert_true(code == TENEBRA_OK || worked == 0); /* what fits, fits in more */
    }
    assert_true(failed > 3 && worked > 3);
}

static void sizes_do_not_wrap(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f, tn_kernels_reference(), 1, 1);
    assert_null(tn_op_new(&f.ops, SIZE_MAX / 2 + 1, 2).data);
    assert_int_equal(f.ops.failure.code, TENEBRA_ERROR_MEMORY);
    fixture_close(&f);
}

typedef struct seen {
    size_t count, index;
    const tn_real *data;
    const char *name;
} seen;

static void see(void *user, const char *name, size_t index, const tn_tensor *value)
{
    seen *s = user;
    *s = (seen){ s->count + 1, index, value->data, name };
}

static void watching_sees_values(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f, tn_kernels_reference(), 1, 1);
    seen s = { 0 };
    tn_tensor x = tn_op_new(&f.ops, 2, 2);
    tn_op_watch(&f.ops, "hidden", 7, x); /* no tap */
    f.ops.watch = see;
    f.ops.watch_user = &s;
    tn_op_watch(&f.ops, "hidden", 7, x);
    assert_int_equal(s.count, 1);
    assert_int_equal(s.index, 7);
    assert_ptr_equal(s.data, x.data);
    assert_string_equal(s.name, "hidden");
    tn_op_watch(&f.ops, "hidden", 8, (tn_tensor){ 0 });
    tn_op_add(&f.ops, x, (tn_tensor){ 0 });
    tn_op_watch(&f.ops, "hidden", 9, x); /* after a failure */
    assert_int_equal(s.count, 1);
    fixture_close(&f);
}

/* Frozen weights, detached tensors: results without gradient, nothing recorded, nothing written. */
static void constants_get_no_gradient(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f, tn_kernels_reference(), 1, 1);
    tn_real *values = numbers(&f, 64, 0, 1);
    tn_tape_start(&f.ops);
    tn_tensor x = tensor(&f, 2, 8, values), constant = tn_op_detach(x);
    tn_weight frozen = weight_of(values, 8, 8, NULL);
    tn_tensor from_constant = tn_op_linear(&f.ops, constant, &frozen, NULL);
    assert_null(from_constant.grad);
    assert_null(tn_op_gelu(&f.ops, from_constant).grad);
    tn_tensor y = tn_op_add(&f.ops, tn_op_linear(&f.ops, x, &frozen, NULL), constant);
    assert_non_null(y.grad);
    static const int32_t labels[] = { 1, 2 };
    tn_tape_backward(&f.ops, tn_op_cross_entropy(&f.ops, y, labels, 1));
    works(&f);
    double total = 0;
    for (size_t i = 0; i < 16; i++)
        total += fabs((double)x.grad[i]);
    assert_true(total > 0);

    /* A loss of only the detached result gives no gradient for x. */
    memset(x.grad, 0, 16 * sizeof *x.grad);
    tn_real grad[64] = { 0 };
    tn_weight trained = weight_of(values, 8, 8, grad);
    tn_tape_start(&f.ops);
    y = tn_op_linear(&f.ops, tn_op_detach(tn_op_gelu(&f.ops, x)), &trained, NULL);
    tn_tape_backward(&f.ops, tn_op_cross_entropy(&f.ops, y, labels, 1));
    works(&f);
    for (size_t i = 0; i < 16; i++)
        assert_true(x.grad[i] == 0);
    assert_true(fabs((double)grad[0]) > 0);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_stay),            cmocka_unit_test(misuse_is_named),
        cmocka_unit_test(views_share_memory),       cmocka_unit_test(no_rows_is_no_failure),
        cmocka_unit_test(marks_and_releases),       cmocka_unit_test(full_memory_is_a_failure),
        cmocka_unit_test(sizes_do_not_wrap),        cmocka_unit_test(watching_sees_values),
        cmocka_unit_test(constants_get_no_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
