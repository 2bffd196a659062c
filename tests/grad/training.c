/* What training adds to the operations: low-rank additions with dropout, joined rows, parts that run twice. */
#include "check.h"

enum { T = 5, IN = 6, OUT = 7, RANK = 3, X = 0, W, A1, B1, A2, B2 };

/* Dropout draws the same numbers at every evaluation. */
static void seed_dropout(gradient_case *c, double p, size_t rows)
{
    tn_dropout *dropout = tn_arena_take(&c->work, 1, sizeof *dropout);
    uint64_t *seeds = tn_arena_take(&c->work, rows, sizeof *seeds);
    assert_true(dropout != NULL && seeds != NULL);
    for (size_t i = 0; i < rows; i++)
        seeds[i] = 17 * i;
    *dropout = (tn_dropout){ seeds, rows, 0 };
    c->ops.dropout = p > 0 ? dropout : NULL;
}

static tn_lora *lora_of(gradient_case *c, size_t a, size_t b, double scale, double dropout, tn_lora *next)
{
    tn_lora *lora = tn_arena_take(&c->work, 1, sizeof *lora);
    assert_non_null(lora);
    *lora = (tn_lora){ .a = weight(c, a), .b = weight(c, b), .scale = scale, .dropout = dropout, .next = next };
    return lora;
}

/* variant 1: x is a constant; 2: W is frozen; 4: dropout; 8: the B of the second addition is frozen. */
static tn_tensor build_lora(gradient_case *c)
{
    double p = c->variant & 4 ? 0.4 : 0;
    seed_dropout(c, p, T);
    tn_tensor x = input(c, X);
    if (c->variant & 1)
        x = tn_op_detach(x);
    tn_weight w = weight(c, W);
    if (c->variant & 2)
        w.grad = NULL;
    tn_lora *second = lora_of(c, A2, B2, -0.5, p, NULL);
    if (c->variant & 8)
        second->b.grad = NULL;
    w.lora = lora_of(c, A1, B1, 1.5, p, second);
    tn_tensor y = tn_op_lora(&c->ops, tn_op_linear(&c->ops, x, &w, NULL), x, &w, NULL);
    return project(c, tn_op_gelu(&c->ops, y));
}

static void open_lora(gradient_case *c, uint64_t variant)
{
    case_open(c, variant);
    c->variant = variant;
    add(c, T, IN, 0, 1);
    add(c, OUT, IN, 0, 0.5);
    for (size_t i = 0; i < 2; i++) {
        add(c, RANK, IN, 0, 0.5);
        add(c, OUT, RANK, 0, 0.5);
    }
}

/* The gradients that are wanted by differences; those that are not wanted are zero. */
static void compare(gradient_case *c, const bool *wanted)
{
    double recorded = record(c, build_lora), inferred = loss_of(c, build_lora);
    assert_memory_equal(&recorded, &inferred, sizeof recorded);
    for (size_t i = 0; i < c->count; i++) {
        parameter *p = &c->parameters[i];
        size_t n = p->rows * p->cols;
        double differences[64], sum = 0;
        assert_true(n <= 64);
        for (size_t j = 0; j < n; j++) {
            differences[j] = wanted[i] ? difference(c, build_lora, &p->values[j]) : 0;
            sum += fabs(p->grad[j]);
        }
        if (!wanted[i]) {
            assert_true(sum == 0);
            continue;
        }
        assert_true(distance(p->grad, differences, n, 1) <= BOUND);
        assert_false(distance(p->grad, differences, n, 1.001) <= BOUND);
    }
}

static void lora_gradients_are_right(void **state)
{
    (void)state;
    for (uint64_t variant = 0; variant < 16; variant++) {
        gradient_case c;
        open_lora(&c, variant);
        const bool wanted[] = { !(variant & 1), !(variant & 2), true, true, true, !(variant & 8) };
        compare(&c, wanted);
        case_close(&c);
    }
}

/* Dropout drops about p of the inputs, scales the others, and is off without a generator. */
static void dropout_drops(void **state)
{
    (void)state;
    enum { N = 4000 };
    gradient_case c;
    case_open(&c, 1);
    tn_tensor x = tn_op_new(&c.ops, N, 1), y = tn_op_new(&c.ops, N, 1);
    double one = 1;
    tn_lora lora = { .a = { { .type = TN_F64, .rows = 1, .cols = 1, .data = &one }, NULL, NULL },
                     .b = { { .type = TN_F64, .rows = 1, .cols = 1, .data = &one }, NULL, NULL }, .scale = 1, .dropout = 0.25 };
    tn_weight w = { .lora = &lora };
    uint64_t seeds[2 * N];
    for (size_t i = 0; i < 2 * N; i++)
        seeds[i] = i;
    tn_dropout dropout = { seeds, 2 * N, 0 }; /* every second one */
    for (int on = 0; on < 2; on++) {
        size_t dropped = 0;
        for (size_t i = 0; i < N; i++) {
            x.data[i] = 3;
            y.data[i] = 0;
        }
        c.ops.dropout = on ? &dropout : NULL;
        tn_op_lora(&c.ops, y, x, &w, NULL);
        for (size_t i = 0; i < N; i++) {
            assert_true(y.data[i] == 0 || fabs(y.data[i] - (on ? 4 : 3)) < 1e-12);
            dropped += y.data[i] == 0;
        }
        /* Five standard deviations of a binomial of 4000 draws are 137. */
        assert_true(on ? dropped > 1000 - 137 && dropped < 1000 + 137 : dropped == 0);
    }
    case_close(&c);
}

/* ---------------------------------------------------------- checkpoint -- */

/* A part with a matrix, low-rank additions with dropout, and a residual. */
static tn_tensor part(tn_ops *ops, tn_tensor x, const void *argument, bool again)
{
    const tn_weight *w = argument;
    (void)again;
    tn_tensor y = tn_op_lora(ops, tn_op_linear(ops, x, w, NULL), x, w, NULL);
    return tn_op_add(ops, x, tn_op_gelu(ops, y));
}

static tn_tensor build_parts(gradient_case *c)
{
    tn_weight *w = tn_arena_take(&c->work, 1, sizeof *w);
    assert_non_null(w);
    c->ops.checkpoint = c->variant & 1;
    seed_dropout(c, 0.3, (T - 2) * 2 + 2); /* first for T - 2 rows, then for all of them */
    c->ops.dropout->rows = T - 2;
    tn_tensor x = input(c, X), first = tn_op_rows(&c->ops, x, 0, 2), rest = tn_op_rows(&c->ops, x, 2, T - 2);
    *w = weight(c, W);
    w->lora = lora_of(c, A1, B1, 0.5, 0.3, NULL);
    for (size_t i = 0; i < 3; i++)
        rest = tn_op_checkpoint(&c->ops, rest, part, w, true);
    const tn_tensor all[] = { rest, first, rest };
    c->ops.dropout->rows = (T - 2) * 2 + 2;
    return project(c, tn_op_checkpoint(&c->ops, tn_op_join(&c->ops, all, 3), part, w, true));
}

static void open_parts(gradient_case *c, uint64_t variant)
{
    case_open(c, 9);
    c->variant = variant;
    add(c, T, IN, 0, 1);
    add(c, IN, IN, 0, 0.2);
    add(c, RANK, IN, 0, 0.3);
    add(c, IN, RANK, 0, 0.3);
}

static void parts_that_run_twice_are_right(void **state)
{
    (void)state;
    for (uint64_t variant = 0; variant < 2; variant++) {
        gradient_case c;
        open_parts(&c, variant);
        check(&c, build_parts);
        case_close(&c);
    }
}

/* What is kept is less, and the numbers are the same. */
static void parts_that_run_twice_keep_less(void **state)
{
    (void)state;
    gradient_case plain, twice;
    open_parts(&plain, 0);
    open_parts(&twice, 1);
    double a = record(&plain, build_parts), b = record(&twice, build_parts);
    assert_memory_equal(&a, &b, sizeof a);
    for (size_t i = 0; i < plain.count; i++)
        assert_true(distance(twice.parameters[i].grad, plain.parameters[i].grad,
                             plain.parameters[i].rows * plain.parameters[i].cols, 1) < 1e-14);
    assert_true(twice.work.peak < plain.work.peak);
    case_close(&plain);
    case_close(&twice);
}

/* --------------------------------------------------------------- errors -- */

static void misfits_are_told(void **state)
{
    (void)state;
    gradient_case c;
    open_lora(&c, 0);
    tn_tensor x = input(&c, X), y = tn_op_new(&c.ops, T, OUT);
    tn_weight w = weight(&c, W);
    w.lora = lora_of(&c, A1, A2, 1, 0, NULL);
    assert_null(tn_op_lora(&c.ops, y, x, &w, NULL).data);
    assert_int_equal(c.ops.failure.code, TENEBRA_ERROR_MISMATCH);
    memset(&c.ops.failure, 0, sizeof c.ops.failure);
    const tn_tensor parts[] = { x, y };
    assert_null(tn_op_join(&c.ops, parts, 2).data);
    assert_int_equal(c.ops.failure.code, TENEBRA_ERROR_MISMATCH);
    memset(&c.ops.failure, 0, sizeof c.ops.failure);
    assert_null(tn_op_join(&c.ops, parts, 0).data);
    assert_int_equal(c.ops.failure.code, TENEBRA_ERROR_ARGUMENT);
    case_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lora_gradients_are_right),       cmocka_unit_test(dropout_drops),
        cmocka_unit_test(parts_that_run_twice_are_right), cmocka_unit_test(parts_that_run_twice_keep_less),
        cmocka_unit_test(misfits_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
