/* Gradients of all operations except attention. */
#include "check.h"

enum { SEEDS = 3 };

/* ------------------------------------------------------------- linear -- */

static tn_tensor build_linear(gradient_case *c)
{
    tn_weight w = weight(c, 1);
    tn_vector b = vector(c, 2);
    return project(c, tn_op_linear(&c->ops, input(c, 0), &w, c->count > 2 ? &b : NULL));
}

static void linear_is_right(void **state)
{
    static const size_t shapes[][3] = { { 1, 1, 1 }, { 3, 7, 5 }, { 5, 70, 67 }, { 2, 3, 130 } };
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (uint64_t seed = 0; seed < 2 * SEEDS; seed++) {
            gradient_case c;
            case_open(&c, seed);
            add(&c, shapes[i][0], shapes[i][1], 0, 1);
            add(&c, shapes[i][2], shapes[i][1], 0, 1);
            if (seed % 2 == 0)
                add(&c, 1, shapes[i][2], 0, 1);
            check(&c, build_linear);
            case_close(&c);
        }
}

/* --------------------------------------------------- gather and compose -- */

static tn_tensor build_gather(gradient_case *c)
{
    static const int32_t ids[] = { 3, 0, 3, 6, 3, 1 };
    tn_weight table = weight(c, 0);
    tn_tensor rows = tn_op_gather(&c->ops, &table, ids, 6);
    return project(c, tn_op_quick_gelu(&c->ops, rows));
}

static void gather_is_right(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        gradient_case c;
        case_open(&c, seed);
        add(&c, 7, 65, 0, 1);
        record(&c, build_gather);
        double unused = 0; /* rows 2, 4 and 5 are not used */
        for (size_t i = 0; i < 65; i++)
            unused += fabs(c.parameters[0].grad[2 * 65 + i]) + fabs(c.parameters[0].grad[4 * 65 + i]);
        assert_true(unused == 0);
        check(&c, build_gather);
        case_close(&c);
    }
}

/* Rows added to others: one gets two, one source goes to two, one source is a constant. */
static tn_tensor build_add_rows(gradient_case *c)
{
    static const size_t rows[] = { 0, 3, 0, 2, 1 };
    tn_tensor x = input(c, 0), y = input(c, 1);
    const tn_row_ref refs[] = { { y, 1 }, { y, 1 }, { y, 0 }, { tn_op_detach(y), 0 }, { x, 4 } };
    return project(c, tn_op_quick_gelu(&c->ops, tn_op_add_rows(&c->ops, tn_op_quick_gelu(&c->ops, x), rows, refs, c->variant)));
}

static void add_rows_is_right(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        gradient_case c;
        case_open(&c, seed);
        c.variant = 3;
        add(&c, 5, 66, 0, 1);
        add(&c, 2, 66, 0, 1);
        check(&c, build_add_rows);
        double kept[2 * 66];
        memcpy(kept, c.parameters[1].grad, sizeof kept);
        c.variant = 4; /* the constant moves the loss, not the gradient of its source through that row */
        double before = loss_of(&c, build_add_rows);
        c.variant = 3;
        assert_true(before != loss_of(&c, build_add_rows));
        c.variant = 0;
        record(&c, build_add_rows);
        for (size_t i = 0; i < 2 * 66; i++)
            assert_true(c.parameters[1].grad[i] == 0 && kept[i] != 0);
        case_close(&c);
    }
}

/* Logits of which two are ruled out: nothing flows to them, and no label is among them. */
static tn_tensor build_rule_out(gradient_case *c)
{
    static const int32_t never[] = { 4, 1 }, labels[] = { 0, -1, 6 };
    tn_tensor logits = input(c, 0);
    return tn_op_cross_entropy(&c->ops, c->variant ? logits : tn_op_rule_out(&c->ops, logits, never, 2), labels, 0.5);
}

static void rule_out_is_right(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        gradient_case c;
        case_open(&c, seed);
        add(&c, 3, 7, 0, 1);
        c.variant = 1;
        record(&c, build_rule_out);
        assert_true(c.parameters[0].grad[4] != 0 && c.parameters[0].grad[2 * 7 + 1] != 0);
        c.variant = 0;
        check(&c, build_rule_out);
        for (size_t row = 0; row < 3; row++)
            assert_true(c.parameters[0].grad[row * 7 + 4] == 0 && c.parameters[0].grad[row * 7 + 1] == 0);
        case_close(&c);
    }
}

/* Rows of a plain tensor, of a view of it, of a result and of a constant, some of them twice. */
static tn_tensor build_compose(gradient_case *c)
{
    tn_tensor x = input(c, 0), y = input(c, 1);
    tn_tensor late = tn_op_rows(&c->ops, x, 1, 3), constant = tn_op_detach(tn_op_new(&c->ops, 2, x.cols));
    for (size_t i = 0; i < 2 * x.cols; i++)
        constant.data[i] = 0.1 * (double)i;
    tn_vector scale = vector(c, 2);
    tn_tensor normed = tn_op_rms_norm(&c->ops, y, &scale, 1e-6);
    const tn_row_ref refs[] = { { x, 2 }, { late, 1 }, { normed, 0 }, { constant, 1 },
                               { normed, 0 }, { x, 0 }, { late, 2 } };
    return project(c, tn_op_gelu(&c->ops, tn_op_compose(&c->ops, refs, 7, x.cols)));
}

static void compose_is_right(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        gradient_case c;
        case_open(&c, seed);
        add(&c, 4, 9, 0, 1);
        add(&c, 2, 9, 0, 1);
        add(&c, 1, 9, 1, 0.2);
        check(&c, build_compose);
        case_close(&c);
    }
}

/* -------------------------------------------------------- elementwise -- */

static tn_tensor build_add(gradient_case *c)
{
    tn_tensor sum = tn_op_add(&c->ops, input(c, 0), input(c, 1));
    return project(c, tn_op_quick_gelu(&c->ops, sum));
}

static tn_tensor build_add_self(gradient_case *c)
{
    tn_tensor x = input(c, 0);
    tn_tensor sum = tn_op_add(&c->ops, x, x);
    return project(c, tn_op_add(&c->ops, tn_op_gelu(&c->ops, sum), input(c, 1)));
}

static tn_tensor build_swiglu(gradient_case *c)
{
    return project(c, tn_op_swiglu(&c->ops, input(c, 0), input(c, 1)));
}

static tn_tensor build_silu(gradient_case *c)
{
    return project(c, tn_op_add(&c->ops, tn_op_silu(&c->ops, input(c, 0)), tn_op_gelu(&c->ops, input(c, 1))));
}

static tn_tensor build_gelus(gradient_case *c)
{
    tn_tensor both[2] = { tn_op_quick_gelu(&c->ops, input(c, 0)), tn_op_gelu(&c->ops, input(c, 1)) };
    return project(c, tn_op_add(&c->ops, both[0], both[1]));
}

static void elementwise_is_right(void **state)
{
    static build_fn *const builders[] = { build_add, build_add_self, build_swiglu, build_silu, build_gelus };
    (void)state;
    for (size_t i = 0; i < sizeof builders / sizeof *builders; i++)
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            gradient_case c;
            case_open(&c, seed);
            add(&c, 5, 13, 0, 2);
            add(&c, 5, 13, 0, 2);
            check(&c, builders[i]);
            case_close(&c);
        }
}

/* --------------------------------------------------------------- norms -- */

static tn_tensor build_rms(gradient_case *c)
{
    tn_vector w = vector(c, 1);
    return project(c, tn_op_rms_norm(&c->ops, input(c, 0), &w, 1e-6));
}

static tn_tensor build_layer_norm(gradient_case *c)
{
    tn_vector w = vector(c, 1), b = vector(c, 2);
    return project(c, tn_op_layer_norm(&c->ops, input(c, 0), &w, c->variant ? NULL : &b, 1e-6));
}

/* Rows that take three scales and shifts in turn, as heads do; another order is another result. */
static void norms_take_turns(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        gradient_case c;
        case_open(&c, seed);
        add(&c, 6, 7, 0, 1);
        add(&c, 1, 3 * 7, 1, 0.3);
        check(&c, build_rms);
        add(&c, 1, 3 * 7, 0, 1);
        check(&c, build_layer_norm);
        double before = loss_of(&c, build_layer_norm), kept[7], *scales = c.parameters[1].values;
        memcpy(kept, scales, sizeof kept);
        memcpy(scales, scales + 7, sizeof kept);
        memcpy(scales + 7, kept, sizeof kept);
        assert_true(before != loss_of(&c, build_layer_norm));
        case_close(&c);
    }
}

static void norms_are_right(void **state)
{
    static const size_t widths[] = { 2, 8, 19, 66 };
    (void)state;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            gradient_case c;
            case_open(&c, 100 + seed);
            add(&c, 4, widths[i], 0.5, 1.5);
            add(&c, 1, widths[i], 1, 0.3);
            check(&c, build_rms);
            if (widths[i] > 2) { /* two values and their mean: a step function */
                c.variant = 1;
                check(&c, build_layer_norm);
                c.variant = 0;
                add(&c, 1, widths[i], 0, 1);
                check(&c, build_layer_norm);
            }
            case_close(&c);
        }
}

/* ---------------------------------------------------------------- rope -- */

static tn_tensor build_rope(gradient_case *c)
{
    enum { ROWS = 4, HALF = 3, HEADS = 3 };
    double *angles = tn_arena_take(&c->work, 2 * ROWS * HALF, sizeof *angles);
    for (size_t i = 0; i < ROWS * HALF; i++) {
        angles[i] = cos((double)(i + 1));
        angles[ROWS * HALF + i] = sin((double)(i + 1));
    }
    tn_rope rope = { HALF, angles, angles + ROWS * HALF };
    tn_tensor turned = tn_op_rope(&c->ops, input(c, 0), &rope, HEADS);
    return project(c, tn_op_quick_gelu(&c->ops, turned));
}

static void rope_is_right(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        gradient_case c;
        case_open(&c, seed);
        add(&c, 4, 18, 0, 1);
        check(&c, build_rope);
        case_close(&c);
    }
}

/* ---------------------------------------------------------------- loss -- */

static tn_tensor build_cross_entropy(gradient_case *c)
{
    static const int32_t labels[] = { 2, -100, 0, 10, 2 };
    tn_weight w = weight(c, 1);
    tn_tensor logits = tn_op_linear(&c->ops, input(c, 0), &w, NULL);
    return tn_op_cross_entropy(&c->ops, logits, labels, 0.25);
}

static void cross_entropy_is_right(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        gradient_case c;
        case_open(&c, seed);
        add(&c, 5, 6, 0, 1);
        add(&c, 11, 6, 0, 1);
        check(&c, build_cross_entropy);
        double *row = c.parameters[0].grad + 6; /* without label */
        for (size_t i = 0; i < 6; i++)
            assert_true(row[i] == 0);
        case_close(&c);
    }
}

/* --------------------------------------------------------------- views -- */

/* Overlapping views, reshaped, used several times. */
static tn_tensor build_views(gradient_case *c)
{
    tn_ops *ops = &c->ops;
    tn_tensor x = tn_op_add(ops, input(c, 0), input(c, 1));
    tn_tensor wide = tn_op_reshape(ops, x, 2, 18), low = tn_op_rows(ops, x, 0, 4), high = tn_op_rows(ops, x, 2, 4);
    tn_weight w = weight(c, 2);
    tn_tensor mixed = tn_op_linear(ops, wide, &w, NULL);       /* [2, 3] */
    tn_weight v = weight(c, 3);
    tn_tensor other = tn_op_linear(ops, low, &v, NULL);        /* [4, 6] */
    tn_tensor more = tn_op_linear(ops, high, &v, NULL);        /* [4, 6] */
    tn_tensor joined = tn_op_swiglu(ops, other, more);
    return project(c, tn_op_add(ops, tn_op_reshape(ops, tn_op_rows(ops, joined, 3, 1), 2, 3), mixed));
}

static void views_are_right(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        gradient_case c;
        case_open(&c, seed);
        add(&c, 6, 6, 0, 1);
        add(&c, 6, 6, 0, 1);
        add(&c, 3, 18, 0, 1);
        add(&c, 6, 6, 0, 1);
        check(&c, build_views);
        case_close(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_is_right),        cmocka_unit_test(gather_is_right),
        cmocka_unit_test(norms_take_turns),
        cmocka_unit_test(add_rows_is_right),
        cmocka_unit_test(rule_out_is_right),
        cmocka_unit_test(compose_is_right),       cmocka_unit_test(elementwise_is_right),
        cmocka_unit_test(norms_are_right),        cmocka_unit_test(rope_is_right),
        cmocka_unit_test(cross_entropy_is_right), cmocka_unit_test(views_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
