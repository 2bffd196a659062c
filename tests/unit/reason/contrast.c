/* The contrastive loss: against its formula in double, where it is known, and what it leaves out. */
#include "unit/ops/fixture.h"

#include "reason/contrast.h"

enum { ROWS = 7, COLS = 5 };

static const tn_digest apart[ROWS] = { { { 1 } }, { { 2 } }, { { 3 } }, { { 4 } }, { { 5 } }, { { 6 } }, { { 7 } } };
static const tn_digest twins[ROWS] = { { { 1 } }, { { 2 } }, { { 1 } }, { { 4 } }, { { 2 } }, { { 1 } }, { { 7 } } };
static const tn_digest gaps[ROWS] = { { { 1 } }, { { 0 } }, { { 3 } }, { { 4 } }, { { 5 } }, { { 0 } }, { { 7 } } };

static bool is_known(const tn_digest *mark)
{
    return mark->words[0] != 0;
}

/* -log softmax of row i of the similarities, or of column i. */
static double term(const tn_tensor *a, const tn_tensor *b, const tn_digest *marks, size_t count, size_t i, bool column)
{
    double sum = 0, own = 0;
    for (size_t j = 0; j < count; j++) {
        double s = 0;
        for (size_t c = 0; c < COLS; c++)
            s += (double)a->data[(column ? j : i) * COLS + c] * (double)b->data[(column ? i : j) * COLS + c];
        if (i == j)
            own = s / 0.07;
        if (is_known(&marks[j]) && (i == j || marks[i].words[0] != marks[j].words[0]))
            sum += exp(s / 0.07);
    }
    return log(sum) - own;
}

static double expected(const tn_tensor *a, const tn_tensor *b, const tn_digest *marks, size_t count)
{
    double sum = 0, known = 0;
    for (size_t i = 0; i < count; i++)
        if (is_known(&marks[i])) {
            sum += term(a, b, marks, count, i, false) + term(a, b, marks, count, i, true);
            known++;
        }
    return sum / (2 * known);
}

static double loss_of(fixture *f, tn_tensor a, tn_tensor b, const tn_digest *marks)
{
    tn_tensor loss = tn_contrast_loss(&f->ops, a, b, marks, 0.07, 1);
    works(f);
    return (double)loss.data[0];
}

static tn_tensor units(fixture *f, size_t rows)
{
    return tn_contrast_unit(&f->ops, tensor(f, rows, COLS, numbers(f, rows * COLS, 0, 3)));
}

static void test_formula(void **state)
{
    static const tn_digest *const all[] = { apart, twins, gaps };
    fixture f;
    (void)state;
    fixture_open(&f, best_kernels(), 1, 1);
    const tn_tensor a = units(&f, ROWS), b = units(&f, ROWS);
    for (size_t i = 0; i < ROWS; i++) {
        double square = 0;
        for (size_t c = 0; c < COLS; c++)
            square += (double)a.data[i * COLS + c] * (double)a.data[i * COLS + c];
        assert_true(fabs(square - 1) < 1e-6);
    }
    /* The similarities, up to 1 / 0.07, are rounded to about 1e-6. */
    double got[3];
    for (size_t m = 0; m < 3; m++) {
        got[m] = loss_of(&f, a, b, all[m]);
        assert_true(fabs(got[m] - expected(&a, &b, all[m], ROWS)) < 1e-5);
        assert_true(loss_of(&f, b, a, all[m]) == got[m]); /* T7: the sides may be swapped */
    }
    assert_true(fabs(got[0] - got[1]) > 0.01 && fabs(got[0] - got[2]) > 0.01); /* masks and gaps count */
    assert_true(loss_of(&f, a, a, apart) < got[0]);
    fixture_close(&f);
}

/* T7: one example has nothing to be told from, and neither has one of several with the same mark. */
static void test_nothing_to_tell_apart(void **state)
{
    static const tn_digest same[ROWS] = { { { 1 } }, { { 1 } }, { { 1 } }, { { 1 } }, { { 1 } }, { { 1 } }, { { 1 } } };
    static const tn_digest none[ROWS] = { { { 0 } } };
    fixture f;
    (void)state;
    fixture_open(&f, best_kernels(), 1, 2);
    tn_tape_start(&f.ops);
    tn_tensor a = units(&f, 1), b = units(&f, 1), both[2] = { units(&f, ROWS), units(&f, ROWS) };
    tn_tensor alone = tn_contrast_loss(&f.ops, a, b, apart, 0.07, 1), alike = tn_contrast_loss(&f.ops, both[0], both[1], same, 0.07, 1);
    assert_true(alone.data[0] == 0 && alike.data[0] == 0);
    assert_true(tn_contrast_loss(&f.ops, both[0], both[1], none, 0.07, 1).data[0] == 0);
    tn_tape_backward(&f.ops, tn_op_add(&f.ops, alone, alike));
    works(&f);
    for (size_t i = 0; i < COLS; i++)
        assert_true(a.grad[i] == 0 && both[0].grad[i] == 0);
    fixture_close(&f);
}

/* T7: all rows equal: log B. And no row at all is not a number's end: zeros stay zeros. */
static void test_all_equal(void **state)
{
    fixture f;
    (void)state;
    fixture_open(&f, best_kernels(), 1, 3);
    tn_tensor one = units(&f, 1), rows[ROWS];
    for (size_t i = 0; i < ROWS; i++)
        rows[i] = one;
    const tn_tensor all = tn_op_join(&f.ops, rows, ROWS);
    assert_true(fabs(loss_of(&f, all, all, apart) - log(ROWS)) < 1e-5);
    assert_true(fabs(loss_of(&f, all, all, gaps) - log(ROWS - 2)) < 1e-5);
    assert_true(fabs(loss_of(&f, all, all, twins) - log(ROWS)) > 0.1);
    const tn_tensor zero = tn_contrast_unit(&f.ops, tn_op_constant(&f.ops, 2, COLS, NULL));
    for (size_t i = 0; i < 2 * COLS; i++)
        assert_true(zero.data[i] == 0);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formula),
        cmocka_unit_test(test_nothing_to_tell_apart),
        cmocka_unit_test(test_all_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
