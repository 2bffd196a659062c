/* A cache of bfloat16: what is stored, what attention makes of it, and that it refuses to be trained through. */
#include "unit/ops/fixture.h"

enum { T = 70, START = 90, H = 6, KV = 2, D = 24, S = START + T, WIDTH = H * D, STRIDE = KV * D };

/* The same rows three times: as given, rounded to bfloat16 but kept as reals, and as bfloat16. */
typedef struct caches {
    tn_keys exact, rounded, narrow;
    tn_real *q;
} caches;

static tn_real widened(uint16_t packed)
{
    tn_real value;
    tn_dtype_of(TN_BF16)->unpack(&packed, 1, &value);
    return value;
}

static tn_keys of_reals(fixture *f)
{
    return (tn_keys){ .capacity = S, .stride = STRIDE, .k = numbers(f, S * STRIDE, 0, 0),
                      .v = numbers(f, S * STRIDE, 0, 0) };
}

static caches fill(fixture *f)
{
    caches c = { .exact = of_reals(f), .rounded = of_reals(f), .narrow = { .capacity = S, .stride = STRIDE } };
    c.narrow.k_bf16 = tn_arena_take(&f->stock, S * STRIDE, sizeof(uint16_t));
    c.narrow.v_bf16 = tn_arena_take(&f->stock, S * STRIDE, sizeof(uint16_t));
    c.q = numbers(f, T * WIDTH, 0, 1);
    tn_tensor k = tensor(f, S, STRIDE, numbers(f, S * STRIDE, 0, 1)), v = tensor(f, S, STRIDE, numbers(f, S * STRIDE, 0.5, 1));
    tn_op_store(&f->ops, &c.exact, 0, k, v);
    tn_op_store(&f->ops, &c.narrow, 0, k, v);
    works(f);
    for (size_t i = 0; i < S * STRIDE; i++) {
        c.rounded.k[i] = widened(c.narrow.k_bf16[i]);
        c.rounded.v[i] = widened(c.narrow.v_bf16[i]);
    }
    return c;
}

static tn_tensor attend(fixture *f, const caches *c, const tn_keys *keys, size_t first, size_t rows, const tn_tap *tap)
{
    const tn_attention shape = { .heads = H, .kv_heads = KV, .head_dim = D, .causal = true, .start = START + first,
                                 .tap = tap };
    tn_tensor out = tn_op_attention(&f->ops, tensor(f, rows, WIDTH, c->q + first * WIDTH), keys, &shape);
    works(f);
    return out;
}

/* ---------------------------------------------------------------- store -- */

static void stores_the_nearest(void **state)
{
    (void)state;
    /* Halfway cases go to the even neighbour; the steps of bfloat16 at 1 are 2^-7. */
    static const tn_real given[] = { 1, 1 + 0x1p-8f, 1 + 0x1.8p-7f, 1 + 0x1.01p-8f, -1 - 0x1p-8f, -1 - 0x1.8p-7f, 3.0e38f,
                                     0x1.ffp127f, 0x1p-130f, 0 };
    static const tn_real wanted[] = { 1, 1, 1 + 0x1p-6f, 1 + 0x1p-7f, -1, -1 - 0x1p-6f, 0x1.c4p127f, INFINITY, 0x1p-130f, 0 };
    enum { COUNT = sizeof given / sizeof *given };
    fixture f;
    fixture_open(&f, tn_kernels_reference(), 1, 1);
    uint16_t k[4 * COUNT], v[4 * COUNT];
    memset(k, 0xFF, sizeof k);
    memset(v, 0xFF, sizeof v);
    const tn_keys keys = { .capacity = 4, .stride = COUNT, .k_bf16 = k, .v_bf16 = v };
    tn_op_store(&f.ops, &keys, 2, tensor(&f, 1, COUNT, given), tensor(&f, 1, COUNT, wanted));
    works(&f);
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(widened(k[2 * COUNT + i]) == wanted[i]);
        assert_true(widened(v[2 * COUNT + i]) == wanted[i]);
        assert_true(k[COUNT + i] == 0xFFFF && k[3 * COUNT + i] == 0xFFFF); /* and nothing else */
    }
    fixture_close(&f);
}

/* The error of a number is at most half a step: 2^-9 of its binade's upper end, so at most 2^-8 of the number. */
static void rounding_is_bounded(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f, best_kernels(), 2, 2);
    caches c = fill(&f);
    size_t off = 0;
    for (size_t i = 0; i < S * STRIDE; i++) {
        int exponent;
        frexp((double)c.exact.k[i], &exponent);
        assert_true(fabs((double)c.exact.k[i] - (double)c.rounded.k[i]) <= ldexp(1, exponent - 9));
        off += !(fabs((double)c.exact.k[i] - (double)c.rounded.k[i]) <= ldexp(1, exponent - 11));
    }
    assert_true(off > S * STRIDE / 2); /* it does round: a quarter of the bound is not kept */
    fixture_close(&f);
}

/* ------------------------------------------------------------- attention -- */

/* Reading bfloat16 changes nothing but the numbers: the same bits as with the rounded numbers as reals, for prefill,
 * single rows and taps, in every kernel set. */
static void equals_the_rounded_numbers(void **state)
{
    (void)state;
    for (size_t set = 0; tn_kernels_at(set) != NULL; set++) {
        fixture f;
        fixture_open(&f, tn_kernels_at(set), 2, set);
        caches c = fill(&f);
        size_t keys[S];
        tn_real rows[2][H * S];
        for (size_t i = 0; i < S; i++)
            keys[i] = S - 1 - i;
        const tn_tap taps[2] = { { T - 1, keys, S, { H, S, rows[0], NULL } }, { T - 1, keys, S, { H, S, rows[1], NULL } } };
        tn_tensor reals = attend(&f, &c, &c.rounded, 0, T, &taps[0]), narrow = attend(&f, &c, &c.narrow, 0, T, &taps[1]);
        assert_memory_equal(reals.data, narrow.data, T * WIDTH * sizeof(tn_real));
        assert_memory_equal(rows[0], rows[1], sizeof rows[0]);
        assert_memory_not_equal(reals.data, attend(&f, &c, &c.exact, 0, T, NULL).data, T * WIDTH * sizeof(tn_real));
        for (size_t row = 0; row < T; row += 7) {
            tn_tensor alone = attend(&f, &c, &c.narrow, row, 1, NULL);
            assert_memory_equal(alone.data, reals.data + row * WIDTH, WIDTH * sizeof(tn_real));
        }
        c.narrow.v_bf16[START * STRIDE] ^= 1;
        assert_memory_not_equal(reals.data, attend(&f, &c, &c.narrow, 0, T, NULL).data, T * WIDTH * sizeof(tn_real));
        fixture_close(&f);
    }
}

/* Probabilities of a row and head in double; returns the largest sum of |q k| / sqrt(D). */
static double softmax(const caches *c, size_t row, size_t head, double p[S])
{
    double peak = -HUGE_VAL, sum = 0, size = 0;
    size_t end = START + row + 1;
    for (size_t key = 0; key < end; key++) {
        double absolute = 0;
        p[key] = 0;
        for (size_t i = 0; i < D; i++) {
            double product = (double)c->q[row * WIDTH + head * D + i] *
                             (double)c->exact.k[key * STRIDE + head / (H / KV) * D + i] / sqrt(D);
            p[key] += product;
            absolute += fabs(product);
        }
        peak = fmax(peak, p[key]);
        size = fmax(size, absolute);
    }
    for (size_t key = 0; key < end; key++)
        sum += p[key] = exp(p[key] - peak);
    for (size_t key = 0; key < end; key++)
        p[key] /= sum;
    return size;
}

/* With u = 2^-8, the largest relative change by rounding, scores change by at most s = u size, probabilities by the factor
 * exp(2 s), and values by 1 + u. The errors of f32 are far smaller (4 digits). */
static void stays_near_the_exact_numbers(void **state)
{
    (void)state;
    const double u = 0x1p-8;
    fixture f;
    fixture_open(&f, best_kernels(), 2, 3);
    caches c = fill(&f);
    tn_tensor out = attend(&f, &c, &c.narrow, 0, T, NULL);
    double largest = 0;
    for (size_t row = 0; row < T; row++)
        for (size_t head = 0; head < H; head++) {
            double p[S], wanted[D], bound[D], size = softmax(&c, row, head, p);
            for (size_t i = 0; i < D; i++) {
                double absolute = 0;
                wanted[i] = 0;
                for (size_t key = 0; key < START + row + 1; key++) {
                    double term = p[key] * (double)c.exact.v[key * STRIDE + head / (H / KV) * D + i];
                    wanted[i] += term;
                    absolute += fabs(term);
                }
                bound[i] = (exp(2 * u * size) * (1 + u) - 1 + 1e-4) * absolute;
                largest = fmax(largest, fabs((double)out.data[row * WIDTH + head * D + i] - wanted[i]) / absolute);
            }
            assert_within(out.data + row * WIDTH + head * D, wanted, bound, D);
        }
    assert_true(largest > u / 16); /* the bound allows only for rounding */
    fixture_close(&f);
}

/* -------------------------------------------------------------- refusals -- */

static void refuses_gradients(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f, tn_kernels_reference(), 1, 4);
    caches c = fill(&f);
    const tn_attention shape = { .heads = H, .kv_heads = KV, .head_dim = D, .causal = true, .start = START };
    tn_tape_start(&f.ops);
    tn_tensor x = tensor(&f, T, WIDTH, c.q), k = tensor(&f, 1, STRIDE, c.q);
    assert_non_null(x.grad);
    assert_null(tn_op_attention(&f.ops, x, &c.narrow, &shape).data);
    assert_int_equal(f.ops.failure.code, TENEBRA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(f.ops.failure.sentence, "train with one of f32"));
    memset(&f.ops.failure, 0, sizeof f.ops.failure);
    tn_op_store(&f.ops, &c.narrow, 0, k, k);
    assert_int_equal(f.ops.failure.code, TENEBRA_ERROR_UNSUPPORTED);
    memset(&f.ops.failure, 0, sizeof f.ops.failure);
    /* What has no gradient goes through. */
    tn_op_store(&f.ops, &c.narrow, 0, tn_op_detach(k), tn_op_detach(k));
    assert_non_null(tn_op_attention(&f.ops, tn_op_detach(x), &c.narrow, &shape).data);
    works(&f);
    fixture_close(&f);
}

static void refuses_mixtures(void **state)
{
    (void)state;
    fixture f;
    fixture_open(&f, tn_kernels_reference(), 1, 5);
    caches c = fill(&f);
    tn_keys wrong[4] = { c.narrow, c.narrow, c.exact, { .capacity = S, .stride = STRIDE } };
    wrong[0].k = c.exact.k;
    wrong[1].v_bf16 = NULL;
    wrong[2].v = NULL;
    const tn_attention shape = { .heads = H, .kv_heads = KV, .head_dim = D, .causal = true };
    for (size_t i = 0; i < 4; i++) {
        assert_null(tn_op_attention(&f.ops, tensor(&f, T, WIDTH, c.q), &wrong[i], &shape).data);
        assert_int_equal(f.ops.failure.code, TENEBRA_ERROR_MISMATCH);
        memset(&f.ops.failure, 0, sizeof f.ops.failure);
        tn_op_store(&f.ops, &wrong[i], 0, tensor(&f, 1, STRIDE, c.q), tensor(&f, 1, STRIDE, c.q));
        assert_int_equal(f.ops.failure.code, TENEBRA_ERROR_MISMATCH);
        memset(&f.ops.failure, 0, sizeof f.ops.failure);
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores_the_nearest),         cmocka_unit_test(rounding_is_bounded),
        cmocka_unit_test(equals_the_rounded_numbers), cmocka_unit_test(stays_near_the_exact_numbers),
        cmocka_unit_test(refuses_gradients),          cmocka_unit_test(refuses_mixtures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
