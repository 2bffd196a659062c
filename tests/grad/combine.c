/* Gradients of the operations that combine activations: products, means, gates, and the squared error. */
#include "check.h"

enum { SEEDS = 3 };

static void run(uint64_t seed, const size_t (*shapes)[2], size_t count, tn_tensor (*build)(gradient_case *c))
{
    gradient_case c;
    case_open(&c, seed);
    for (size_t i = 0; i < count; i++)
        add(&c, shapes[i][0], shapes[i][1], 0.2, 1);
    check(&c, build);
    case_close(&c);
}

static tn_tensor build_multiply(gradient_case *c)
{
    return project(c, tn_op_multiply(&c->ops, input(c, 0), input(c, 1)));
}

/* Of the same shape, and with one factor for all, over more than one chunk. */
static void products_of_values_are_right(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        run(seed, (const size_t[][2]){ { 4, 7 }, { 4, 7 } }, 2, build_multiply);
        run(seed, (const size_t[][2]){ { 4, 7 }, { 1, 1 } }, 2, build_multiply);
    }
}

/* More values than one chunk has, 8192: the factor's gradient is a sum over all of them. */
static void one_factor_of_many_values(void **state)
{
    (void)state;
    gradient_case c;
    case_open(&c, 1);
    add(&c, 130, 80, 0, 1);
    add(&c, 1, 1, 0, 1);
    tn_ops *ops = &c.ops;
    tn_tape_start(ops);
    tn_tensor x = input(&c, 0), y = input(&c, 1), zero = tn_op_constant(ops, 130, 80, NULL);
    tn_tape_backward(ops, tn_op_squared_error(ops, tn_op_multiply(ops, x, y), zero, 0.5));
    assert_string_equal(ops->failure.sentence, "");
    double sum = 0;
    for (size_t i = 0; i < x.rows * x.cols; i++)
        sum += x.data[i] * x.data[i] * y.data[0];
    assert_true(fabs(sum - y.grad[0]) <= 1e-9 * fabs(sum));
    case_close(&c);
}

static tn_tensor build_gate(gradient_case *c)
{
    tn_ops *ops = &c->ops;
    tn_tensor gate = tn_op_sigmoid(ops, input(c, 0));
    return project(c, tn_op_multiply(ops, tn_op_tanh(ops, input(c, 1)), gate));
}

static void gates_are_right(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        run(seed, (const size_t[][2]){ { 3, 5 }, { 3, 5 } }, 2, build_gate);
}

static tn_tensor build_vector(gradient_case *c)
{
    tn_vector v = vector(c, 1);
    return project(c, tn_op_add(&c->ops, input(c, 0), tn_op_of_vector(&c->ops, &v)));
}

static void vectors_are_right(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        run(seed, (const size_t[][2]){ { 1, 6 }, { 1, 6 } }, 2, build_vector);
}

static tn_tensor build_mix(gradient_case *c)
{
    static const tn_real shares[] = { 0.5, 0, 2, -1, 0.25, 1, 1, 1 };
    static const tn_real twice[] = { 1, 3 };
    tn_ops *ops = &c->ops;
    tn_tensor x = input(c, 0);
    return project(c, tn_op_add(ops, tn_op_mix(ops, x, shares, 2), tn_op_mix(ops, tn_op_mean(ops, x), twice, 2)));
}

static void mixtures_are_right(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        run(seed, (const size_t[][2]){ { 4, 6 } }, 1, build_mix);
}

static tn_tensor build_product(gradient_case *c)
{
    return project(c, tn_op_product(&c->ops, input(c, 0), input(c, 1), 0.7));
}

static tn_tensor build_square(gradient_case *c)
{
    tn_tensor x = input(c, 0);
    return project(c, tn_op_product(&c->ops, x, x, 0.7));
}

static void products_are_right(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        run(seed, (const size_t[][2]){ { 3, 5 }, { 4, 5 } }, 2, build_product);
        run(seed, (const size_t[][2]){ { 3, 5 } }, 1, build_square);
    }
}

static tn_tensor build_error(gradient_case *c)
{
    static const tn_real values[] = { 1, 2, 3, 4, 5, 6 };
    return project(c, tn_op_squared_error(&c->ops, input(c, 0), tn_op_constant(&c->ops, 2, 3, values), 0.3));
}

static void squared_errors_are_right(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        run(seed, (const size_t[][2]){ { 2, 3 } }, 1, build_error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_values_are_right), cmocka_unit_test(one_factor_of_many_values),
        cmocka_unit_test(gates_are_right),              cmocka_unit_test(vectors_are_right),
        cmocka_unit_test(mixtures_are_right),           cmocka_unit_test(products_are_right),
        cmocka_unit_test(squared_errors_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
