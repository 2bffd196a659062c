/* Gradients of attention: causal with cached rows before, segments, grouped heads, tap, key blocks. */
#include "check.h"

typedef struct span_shape {
    size_t first, second; /* rows of two spans; segments: the only span has `first` rows */
    size_t heads, kv_heads, head_dim;
} span_shape;

static const span_shape shapes[] = {
    { 1, 1, 1, 1, 2 }, { 5, 3, 4, 2, 3 }, { 7, 4, 6, 1, 2 }, { 70, 2, 3, 3, 2 }, { 130, 3, 2, 1, 1 },
};

static tn_attention attention_of(const span_shape *s, size_t start)
{
    return (tn_attention){ .heads = s->heads, .kv_heads = s->kv_heads, .head_dim = s->head_dim,
                           .causal = true, .start = start };
}

/* Two spans over one cache: the second one's queries leave gradients in the rows of the first. */
static tn_tensor build_spans(gradient_case *c)
{
    const span_shape *s = &shapes[c->variant];
    tn_ops *ops = &c->ops;
    tn_keys keys = cache(c, s->first + s->second + 2, s->kv_heads * s->head_dim);
    tn_attention one = attention_of(s, 0), two = attention_of(s, s->first);
    tn_op_store(ops, &keys, 0, input(c, 0), input(c, 1));
    tn_tensor a = tn_op_attention(ops, input(c, 2), &keys, &one);
    tn_op_store(ops, &keys, s->first, input(c, 3), input(c, 4));
    tn_tensor b = tn_op_attention(ops, input(c, 5), &keys, &two);
    tn_row_ref refs[COEFFICIENTS];
    size_t count = 0;
    for (size_t i = 0; i < s->second; i++)
        refs[count++] = (tn_row_ref){ b, i };
    for (size_t i = 0; i < s->first; i += 1 + s->first / 9)
        refs[count++] = (tn_row_ref){ a, i };
    return project(c, tn_op_compose(ops, refs, count, a.cols));
}

static void spans_are_right(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (uint64_t seed = 0; seed < 3; seed++) {
            const span_shape *s = &shapes[i];
            gradient_case c;
            case_open(&c, 10 * i + seed);
            c.variant = i;
            for (size_t part = 0; part < 2; part++) {
                size_t rows = part ? s->second : s->first;
                add(&c, rows, s->kv_heads * s->head_dim, 0, 1);
                add(&c, rows, s->kv_heads * s->head_dim, 0, 1);
                add(&c, rows, s->heads * s->head_dim, 0, 1);
            }
            if (i > 0) /* one key: the probability is 1 whatever the score */
                check(&c, build_spans);
            else
                record(&c, build_spans);
            case_close(&c);
        }
}

/* Full attention inside each of several segments, keys straight from tensors, as in a vision tower. */
static tn_tensor build_segments(gradient_case *c)
{
    static const size_t borders[] = { 0, 3, 3, 4, 9, 11 }, long_borders[] = { 0, 131, 140 };
    tn_ops *ops = &c->ops;
    tn_tensor q = input(c, 0), k = input(c, 1), v = input(c, 2);
    tn_keys keys = { .capacity = k.rows, .stride = k.cols, .k = k.data, .v = v.data, .dk = k.grad, .dv = v.grad };
    tn_attention shape = { .heads = q.cols / 2, .kv_heads = k.cols / 2, .head_dim = 2,
                           .segments = c->variant ? long_borders : borders,
                           .segment_count = c->variant ? 2 : 5 };
    return project(c, tn_op_attention(ops, q, &keys, &shape));
}

static void segments_are_right(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 5; seed++) {
        gradient_case c;
        case_open(&c, seed);
        c.variant = seed == 4;
        size_t rows = c.variant ? 140 : 11, kv_cols = c.variant ? 2 : 4;
        add(&c, rows, 4, 0, 1);
        add(&c, rows, kv_cols, 0, 1);
        add(&c, rows, kv_cols, 0, 1);
        check(&c, build_segments);
        case_close(&c);
    }
}

/* Segments whose keys are others than their queries, in number and place. */
static tn_tensor build_crossing(gradient_case *c)
{
    static const size_t borders[] = { 0, 3, 3, 4, 9 }, own[] = { 0, 2, 2, 7, 8 };
    tn_tensor q = input(c, 0);
    tn_keys keys = tn_keys_of(input(c, 1), input(c, 2));
    tn_attention shape = { .heads = 2, .kv_heads = 2, .head_dim = 2, .segments = borders, .key_segments = own, .segment_count = 4 };
    return project(c, tn_op_attention(&c->ops, q, &keys, &shape));
}

static void crossing_segments_are_right(void **state)
{
    (void)state;
    gradient_case c;
    case_open(&c, 9);
    add(&c, 9, 4, 0, 1);
    add(&c, 8, 4, 0, 1);
    add(&c, 8, 4, 0, 1);
    check(&c, build_crossing);
    case_close(&c);
}

/* Constants: if the queries, or the keys of the first span, have no gradient, the other gradients stay correct. */
static tn_tensor build_partly_constant(gradient_case *c)
{
    tn_ops *ops = &c->ops;
    tn_keys keys = cache(c, 6, 4);
    tn_tensor constant = tn_op_detach(tn_op_new(ops, 3, 4));
    for (size_t i = 0; i < 12; i++)
        constant.data[i] = 0.3 * (double)i - 1;
    tn_tensor k = input(c, 0), v = input(c, 1), q = input(c, 2);
    tn_op_store(ops, &keys, 0, constant, constant);
    tn_op_store(ops, &keys, 3, k, v);
    tn_attention shape = { .heads = 2, .kv_heads = 2, .head_dim = 2, .causal = true, .start = 3 };
    tn_tensor a = tn_op_attention(ops, q, &keys, &shape);
    tn_tensor b = tn_op_attention(ops, constant, &keys, &shape);
    if (c->variant == 1) {
        keys.dv = NULL;
        b = tn_op_attention(ops, tn_op_detach(b), &keys, &shape);
    }
    return project(c, tn_op_add(ops, a, b));
}

static void constants_are_skipped(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 3; seed++) {
        gradient_case c;
        case_open(&c, seed);
        add(&c, 3, 4, 0, 1);
        add(&c, 3, 4, 0, 1);
        add(&c, 3, 4, 0, 1);
        check(&c, build_partly_constant);
        /* One more call with detached queries and values without a gradient: q still reaches the loss
         * through the first call alone. */
        double before[12], after[12];
        record(&c, build_partly_constant);
        memcpy(before, c.parameters[2].grad, sizeof before);
        c.variant = 1;
        record(&c, build_partly_constant);
        memcpy(after, c.parameters[2].grad, sizeof after);
        assert_memory_equal(before, after, sizeof before);
        case_close(&c);
    }
}

/* If another operation after the attention also reads keys, values and queries, gradients add up. */
static tn_tensor build_used_again(gradient_case *c)
{
    tn_ops *ops = &c->ops;
    tn_keys keys = cache(c, 5, 4);
    tn_tensor k = input(c, 0), v = input(c, 1), q = input(c, 2);
    tn_op_store(ops, &keys, 0, k, v);
    tn_attention shape = { .heads = 2, .kv_heads = 2, .head_dim = 2, .causal = true };
    tn_tensor a = tn_op_swiglu(ops, tn_op_attention(ops, q, &keys, &shape), v);
    return project(c, tn_op_add(ops, tn_op_add(ops, tn_op_add(ops, a, k), v), q));
}

static void used_again_is_right(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 3; seed++) {
        gradient_case c;
        case_open(&c, seed);
        for (size_t i = 0; i < 3; i++)
            add(&c, 5, 4, 0, 1);
        check(&c, build_used_again);
        case_close(&c);
    }
}

/* The store's backward leaves the gradients of the cache at zero. */
static tn_tensor build_kept(gradient_case *c)
{
    tn_ops *ops = &c->ops;
    tn_tensor k = input(c, 0), v = input(c, 1), q = input(c, 2);
    tn_op_store(ops, &c->kept, 0, k, v);
    tn_attention shape = { .heads = 2, .kv_heads = 1, .head_dim = 2, .causal = true };
    return project(c, tn_op_attention(ops, q, &c->kept, &shape));
}

static void gradients_move_out_of_the_cache(void **state)
{
    (void)state;
    gradient_case c;
    case_open(&c, 7);
    add(&c, 5, 2, 0, 1);
    add(&c, 5, 2, 0, 1);
    add(&c, 5, 4, 0, 1);
    double *all = stock(&c, 4 * 10, sizeof *all);
    c.kept = (tn_keys){ .capacity = 5, .stride = 2, .k = all, .v = all + 10, .dk = all + 20, .dv = all + 30 };
    double first[10];
    record(&c, build_kept);
    memcpy(first, c.parameters[0].grad, sizeof first);
    assert_true(fabs(first[0]) > 0);
    for (size_t i = 20; i < 40; i++)
        assert_true(all[i] == 0);
    record(&c, build_kept);
    assert_memory_equal(first, c.parameters[0].grad, sizeof first);
    case_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_are_right),
        cmocka_unit_test(segments_are_right),
        cmocka_unit_test(crossing_segments_are_right),
        cmocka_unit_test(constants_are_skipped),
        cmocka_unit_test(used_again_is_right),
        cmocka_unit_test(gradients_move_out_of_the_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
