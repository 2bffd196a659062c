/* Gradients of the operations of images: convolution and group norm. */
#include "check.h"

enum { SEEDS = 3 };

/* -------------------------------------------------------- convolution -- */

/* As many shapes as convolutions of image encoders have: padded on all sides; halving, padded on the right and at the bottom only;
 * one pixel; and a kernel that is as large as its image. */
static const tn_conv convs[] = {
    { .height = 5, .width = 4, .kernel = 3, .stride = 1, .top = 1, .left = 1, .bottom = 1, .right = 1 },
    { .height = 6, .width = 4, .kernel = 3, .stride = 2, .bottom = 1, .right = 1 },
    { .height = 3, .width = 5, .kernel = 1, .stride = 1 },
    { .height = 3, .width = 3, .kernel = 3, .stride = 2 },
};

static tn_tensor build_conv(gradient_case *c)
{
    tn_weight w = weight(c, 1);
    tn_vector b = vector(c, 2);
    return project(c, tn_op_conv(&c->ops, input(c, 0), &convs[c->variant], &w, c->count > 2 ? &b : NULL));
}

static void convolutions_are_right(void **state)
{
    enum { CHANNELS = 5, OUTPUTS = 6 };
    (void)state;
    for (size_t i = 0; i < sizeof convs / sizeof *convs; i++)
        for (uint64_t seed = 0; seed < 2 * SEEDS; seed++) {
            gradient_case c;
            case_open(&c, seed);
            c.variant = i;
            add(&c, convs[i].height * convs[i].width, CHANNELS, 0, 1);
            add(&c, OUTPUTS, CHANNELS * convs[i].kernel * convs[i].kernel, 0, 1);
            if (seed % 2 == 0)
                add(&c, 1, OUTPUTS, 0, 1);
            check(&c, build_conv);
            case_close(&c);
        }
}

/* More rows than one tile has, 256: the gradient of the weight is a sum over tiles. */
static void convolutions_have_tiles(void **state)
{
    static const tn_conv wide = { .height = 42, .width = 30, .kernel = 1, .stride = 1 };
    (void)state;
    gradient_case c;
    case_open(&c, 1);
    size_t x = add(&c, wide.height * wide.width, 2, 0, 1), w = add(&c, 3, 2, 0, 1);
    tn_ops *ops = &c.ops;
    tn_tape_start(ops);
    tn_weight matrix = weight(&c, w);
    tn_tensor in = input(&c, x), out = project(&c, tn_op_conv(ops, in, &wide, &matrix, NULL));
    tn_tape_backward(ops, out);
    assert_string_equal(ops->failure.sentence, "");
    for (size_t o = 0; o < 3; o++)
        for (size_t i = 0; i < 2; i++) {
            double sum = 0;
            for (size_t row = 0; row < in.rows; row++)
                sum += c.coefficients[row * 3 + o] * c.parameters[x].values[row * 2 + i];
            assert_true(fabs(sum - c.parameters[w].grad[o * 2 + i]) <= 1e-9 * fabs(sum));
        }
    case_close(&c);
}

/* Two convolutions and what is between them: the second reads what the first gives. */
static tn_tensor build_block(gradient_case *c)
{
    tn_ops *ops = &c->ops;
    static const tn_conv half = { .height = 4, .width = 5, .kernel = 3, .stride = 1, .top = 1, .left = 1, .bottom = 1, .right = 1 };
    tn_weight first = weight(c, 1), second = weight(c, 2);
    tn_vector scale = vector(c, 3), shift = vector(c, 4);
    tn_tensor x = input(c, 0), y = tn_op_conv(ops, x, &half, &first, NULL);
    y = tn_op_silu(ops, tn_op_group_norm(ops, y, &scale, &shift, 2, 1e-6));
    return project(c, tn_op_add(ops, tn_op_conv(ops, y, &half, &second, NULL), x));
}

static void blocks_are_right(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        gradient_case c;
        case_open(&c, seed);
        add(&c, 20, 4, 0, 1);
        add(&c, 4, 36, 0, 0.3);
        add(&c, 4, 36, 0, 0.3);
        add(&c, 1, 4, 1, 0.3);
        add(&c, 1, 4, 0, 1);
        check(&c, build_block);
        case_close(&c);
    }
}

/* ---------------------------------------------------------- group norm -- */

static tn_tensor build_group_norm(gradient_case *c)
{
    tn_vector w = vector(c, 1), b = vector(c, 2);
    return project(c, tn_op_group_norm(&c->ops, input(c, 0), &w, &b, c->variant, 1e-6));
}

/* One group, several, as many as columns; few pixels, and more than one block of 256 of them. */
static void group_norms_are_right(void **state)
{
    static const size_t shapes[][3] = { { 3, 8, 1 }, { 4, 12, 4 }, { 5, 3, 3 }, { 300, 4, 2 } };
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (uint64_t seed = 0; seed < (shapes[i][0] > 256 ? 1 : SEEDS); seed++) {
            gradient_case c;
            case_open(&c, seed);
            c.variant = shapes[i][2];
            add(&c, shapes[i][0], shapes[i][1], 0.5, 1.5);
            add(&c, 1, shapes[i][1], 1, 0.3);
            add(&c, 1, shapes[i][1], 0, 1);
            check(&c, build_group_norm);
            case_close(&c);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_are_right), cmocka_unit_test(convolutions_have_tiles),
        cmocka_unit_test(blocks_are_right),       cmocka_unit_test(group_norms_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
