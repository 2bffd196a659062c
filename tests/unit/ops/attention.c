/* Attention against a softmax written out in double, and its promises about bits and taps. */
#include "unit/ops/fixture.h"

typedef struct problem {
    size_t rows, start, heads, kv_heads, head_dim;
    size_t segment_count; /* 0: causal */
    size_t borders[6], keys[6]; /* keys: borders of the segments' keys; all 0: those of the queries */
    double size; /* deviation of queries and keys */
} problem;

static const problem problems[] = {
    { .rows = 1, .heads = 2, .kv_heads = 1, .head_dim = 4, .size = 1 },
    { .rows = 1, .start = 300, .heads = 6, .kv_heads = 2, .head_dim = 16, .size = 1 },
    { .rows = 37, .start = 5, .heads = 4, .kv_heads = 4, .head_dim = 7, .size = 1 },
    { .rows = 150, .start = 0, .heads = 7, .kv_heads = 1, .head_dim = 24, .size = 1.5 },
    { .rows = 150, .start = 120, .heads = 4, .kv_heads = 2, .head_dim = 10, .size = 3 },
    /* The scores of a single row and of a block are computed in different ways here, with the same bits. */
    { .rows = 45, .start = 200, .heads = 6, .kv_heads = 2, .head_dim = 40, .size = 1 },
    { .rows = 3, .start = 126, .heads = 70, .kv_heads = 1, .head_dim = 2, .size = 1 },
    { .rows = 200, .heads = 2, .kv_heads = 2, .head_dim = 20, .segment_count = 4,
      .borders = { 0, 1, 40, 40, 200 }, .size = 1 },
    { .rows = 260, .heads = 3, .kv_heads = 1, .head_dim = 5, .segment_count = 1,
      .borders = { 0, 260 }, .size = 1 },
    { .rows = 200, .heads = 4, .kv_heads = 2, .head_dim = 20, .segment_count = 4,
      .borders = { 0, 1, 40, 40, 200 }, .keys = { 0, 150, 151, 151, 160 }, .size = 1 },
    { .rows = 3, .heads = 2, .kv_heads = 2, .head_dim = 6, .segment_count = 1, .borders = { 0, 3 }, .keys = { 0, 400 }, .size = 1 },
};
enum { PROBLEMS = sizeof problems / sizeof *problems };

typedef struct data {
    tn_real *q;
    tn_keys keys;
    tn_attention shape;
    size_t width;
} data;

static bool has_own_keys(const problem *p) { return p->keys[1] > 0; }

/* The number of key rows that some query sees. */
static size_t keys_of(const problem *p)
{
    return has_own_keys(p) ? p->keys[p->segment_count] : p->start + p->rows;
}

/* Keys past the last visible one are NaN: reading their values into a result would be seen. */
static data data_of(fixture *f, const problem *p)
{
    size_t stride = p->kv_heads * p->head_dim, used = keys_of(p), capacity = used + 3;
    data d = { .width = p->heads * p->head_dim };
    d.q = numbers(f, p->rows * d.width, 0, p->size);
    d.keys = (tn_keys){ .capacity = capacity, .stride = stride, .k = numbers(f, capacity * stride, 0, p->size),
                        .v = numbers(f, capacity * stride, 0, 1) };
    for (size_t i = used * stride; i < capacity * stride; i++)
        d.keys.k[i] = d.keys.v[i] = (tn_real)NAN;
    d.shape = (tn_attention){ .heads = p->heads, .kv_heads = p->kv_heads, .head_dim = p->head_dim,
                              .causal = p->segment_count == 0, .start = p->start,
                              .segments = p->borders, .segment_count = p->segment_count,
                              .key_segments = has_own_keys(p) ? p->keys : NULL };
    return d;
}

static void seen_keys(const problem *p, size_t row, size_t *begin, size_t *end)
{
    *begin = 0;
    *end = p->start + row + 1;
    for (size_t i = 0; i < p->segment_count; i++)
        if (row >= p->borders[i] && row < p->borders[i + 1])
            *begin = (has_own_keys(p) ? p->keys : p->borders)[i], *end = (has_own_keys(p) ? p->keys : p->borders)[i + 1];
}

/* Probabilities [keys] of one row and head; returns the largest sum of |q k| / sqrt(D). */
static double plain_softmax(const data *d, const problem *p, size_t row, size_t head, double *probabilities)
{
    size_t begin, end, dim = p->head_dim, kv = head / (p->heads / p->kv_heads);
    seen_keys(p, row, &begin, &end);
    double peak = -HUGE_VAL, sum = 0, size = 0;
    memset(probabilities, 0, d->keys.capacity * sizeof *probabilities);
    for (size_t key = begin; key < end; key++) {
        double score = 0, absolute = 0;
        for (size_t i = 0; i < dim; i++) {
            double product = (double)d->q[row * d->width + head * dim + i] *
                             (double)d->keys.k[key * d->keys.stride + kv * dim + i] / sqrt((double)dim);
            score += product;
            absolute += fabs(product);
        }
        probabilities[key] = score;
        peak = fmax(peak, score);
        size = fmax(size, absolute);
    }
    for (size_t key = begin; key < end; key++)
        sum += probabilities[key] = exp(probabilities[key] - peak);
    for (size_t key = begin; key < end; key++)
        probabilities[key] /= sum;
    return size;
}

/* A score errs by e = (D + 3) eps size, so a probability by 2 e (itself and the sum), by the
 * exponential ((2 + |score - peak|) eps, twice) and by the roundings of the sum of `keys` terms. */
static double relative_bound(const problem *p, size_t keys, double size)
{
    double eps = FLT_EPSILON;
    return 2 * ((double)p->head_dim + 3) * eps * size + 2 * (2 + 2 * size) * eps + ((double)keys + 4) * eps;
}

static void equals_a_softmax(void **state)
{
    (void)state;
    for (size_t n = 0; n < PROBLEMS; n++) {
        const problem *p = &problems[n];
        fixture f;
        fixture_open(&f, best_kernels(), 2, n);
        data d = data_of(&f, p);
        tn_tensor out = tn_op_attention(&f.ops, tensor(&f, p->rows, d.width, d.q), &d.keys, &d.shape);
        works(&f);
        double *probabilities = malloc(d.keys.capacity * sizeof *probabilities);
        double *wanted = malloc(p->head_dim * sizeof *wanted), *bound = malloc(p->head_dim * sizeof *bound);
        for (size_t row = 0; row < p->rows; row++)
            for (size_t head = 0; head < p->heads; head++) {
                double size = plain_softmax(&d, p, row, head, probabilities);
                size_t offset = head / (p->heads / p->kv_heads) * p->head_dim;
                for (size_t i = 0; i < p->head_dim; i++) {
                    double absolute = 0;
                    wanted[i] = 0;
                    for (size_t key = 0; key < keys_of(p); key++) {
                        double term = probabilities[key] * (double)d.keys.v[key * d.keys.stride + offset + i];
                        wanted[i] += term;
                        absolute += fabs(term);
                    }
                    bound[i] = relative_bound(p, keys_of(p), size) * absolute;
                }
                assert_within(out.data + row * d.width + head * p->head_dim, wanted, bound, p->head_dim);
            }
        free(probabilities);
        free(wanted);
        free(bound);
        fixture_close(&f);
    }
}

/* Decoding equals prefill bit for bit: row by row, and in spans of any length. */
static void rows_do_not_depend_on_their_block(void **state)
{
    (void)state;
    for (size_t set = 0; tn_kernels_at(set) != NULL; set++)
        for (size_t n = 0; n < PROBLEMS; n++) {
            const problem *p = &problems[n];
            if (p->segment_count != 0)
                continue;
            fixture f;
            fixture_open(&f, tn_kernels_at(set), 1, n);
            data d = data_of(&f, p);
            tn_tensor whole = tn_op_attention(&f.ops, tensor(&f, p->rows, d.width, d.q), &d.keys, &d.shape);
            for (size_t length = 1; length < 80; length += 6) /* 1, 7, ... */
                for (size_t row = 0; row < p->rows; row += length) {
                    size_t count = tn_min(length, p->rows - row);
                    tn_attention shape = d.shape;
                    shape.start += row;
                    size_t mark = tn_ops_mark(&f.ops);
                    tn_tensor part = tn_op_attention(&f.ops, tensor(&f, count, d.width, d.q + row * d.width),
                                                     &d.keys, &shape);
                    works(&f);
                    assert_memory_equal(part.data, whole.data + row * d.width, count * d.width * sizeof *d.q);
                    tn_ops_release(&f.ops, mark);
                }
            fixture_close(&f);
        }
}

/* Rows that no query of the span can see may have any values; rows that only later queries see must not affect earlier ones. */
static void later_keys_do_not_reach_earlier_rows(void **state)
{
    (void)state;
    const problem p = { .rows = 20, .start = 3, .heads = 2, .kv_heads = 1, .head_dim = 6, .size = 1 };
    fixture f;
    fixture_open(&f, best_kernels(), 1, 4);
    data d = data_of(&f, &p);
    tn_tensor before = tn_op_attention(&f.ops, tensor(&f, p.rows, d.width, d.q), &d.keys, &d.shape);
    for (size_t i = 0; i < d.keys.stride; i++) {
        d.keys.k[(3 + 11) * d.keys.stride + i] = (tn_real)NAN;
        d.keys.v[(3 + 11) * d.keys.stride + i] = (tn_real)INFINITY;
    }
    tn_tensor after = tn_op_attention(&f.ops, tensor(&f, p.rows, d.width, d.q), &d.keys, &d.shape);
    works(&f);
    assert_memory_equal(before.data, after.data, 11 * d.width * sizeof *d.q);
    for (size_t i = 11 * d.width; i < p.rows * d.width; i++)
        assert_true(isnan(after.data[i]));
    fixture_close(&f);
}

static void tap_gives_probabilities(void **state)
{
    (void)state;
    for (size_t n = 0; n < PROBLEMS; n++) {
        const problem *p = &problems[n];
        fixture f;
        fixture_open(&f, best_kernels(), 2, n);
        data d = data_of(&f, p);
        size_t row = p->rows * 3 / 4, begin, end;
        seen_keys(p, row, &begin, &end);
        size_t count = end - begin, *keys = malloc(count * sizeof *keys);
        for (size_t i = 0; i < count; i++)
            keys[i] = end - 1 - i; /* any order */
        tn_real *rows = malloc(p->heads * count * sizeof *rows);
        tn_tap tap = { row, keys, count, { p->heads, count, rows, NULL } };
        tn_tensor plain = tn_op_attention(&f.ops, tensor(&f, p->rows, d.width, d.q), &d.keys, &d.shape);
        d.shape.tap = &tap;
        tn_tensor tapped = tn_op_attention(&f.ops, tensor(&f, p->rows, d.width, d.q), &d.keys, &d.shape);
        works(&f);
        assert_memory_equal(plain.data, tapped.data, p->rows * d.width * sizeof *d.q);
        double *wanted = malloc(d.keys.capacity * sizeof *wanted), *bound = malloc(count * sizeof *bound);
        double *reversed = malloc(count * sizeof *reversed);
        for (size_t head = 0; head < p->heads; head++) {
            double size = plain_softmax(&d, p, row, head, wanted), sum = 0;
            for (size_t i = 0; i < count; i++) {
                reversed[i] = wanted[keys[i]];
                bound[i] = relative_bound(p, count, size) * reversed[i];
                sum += (double)rows[head * count + i];
            }
            assert_within(rows + head * count, reversed, bound, count);
            assert_true(fabs(sum - 1) <= ((double)count + 8) * FLT_EPSILON);
        }
        /* A tap on chosen keys: the same numbers, still as shares of all visible keys. */
        tn_real *some = malloc(p->heads * sizeof *some);
        tn_tap one = { row, &keys[count / 2], 1, { p->heads, 1, some, NULL } };
        d.shape.tap = &one;
        tn_op_attention(&f.ops, tensor(&f, p->rows, d.width, d.q), &d.keys, &d.shape);
        works(&f);
        for (size_t head = 0; head < p->heads; head++)
            assert_true(fabs((double)some[head] - (double)rows[head * count + count / 2]) <=
                        4 * FLT_EPSILON * (double)some[head]);
        free(keys);
        free(rows);
        free(wanted);
        free(bound);
        free(reversed);
        free(some);
        fixture_close(&f);
    }
}

/* P10: scores of 1e13; the softmax becomes the largest entry, and nothing overflows. */
static void huge_scores_are_finite(void **state)
{
    (void)state;
    const problem p = { .rows = 30, .heads = 2, .kv_heads = 2, .head_dim = 8, .size = 1e6 };
    for (size_t set = 0; tn_kernels_at(set) != NULL; set++) {
        fixture f;
        fixture_open(&f, tn_kernels_at(set), 1, 4);
        data d = data_of(&f, &p);
        for (size_t i = 0; i < d.keys.stride * p.rows; i++)
            d.keys.v[i] = 1e6f * d.keys.v[i];
        tn_tensor out = tn_op_attention(&f.ops, tensor(&f, p.rows, d.width, d.q), &d.keys, &d.shape);
        works(&f);
        double *probabilities = malloc(d.keys.capacity * sizeof *probabilities);
        for (size_t row = 0; row < p.rows; row++)
            for (size_t head = 0; head < 2; head++) {
                size_t best = 0;
                plain_softmax(&d, &p, row, head, probabilities);
                for (size_t key = 1; key <= row; key++)
                    best = probabilities[key] > probabilities[best] ? key : best;
                const tn_real *to = out.data + row * d.width + head * 8;
                const tn_real *from = d.keys.v + best * d.keys.stride + head * 8;
                for (size_t i = 0; i < 8; i++)
                    assert_true(fabs((double)to[i] - (double)from[i]) <= FLT_EPSILON * fabs((double)from[i]));
            }
        free(probabilities);
        fixture_close(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_a_softmax),
        cmocka_unit_test(rows_do_not_depend_on_their_block),
        cmocka_unit_test(later_keys_do_not_reach_earlier_rows),
        cmocka_unit_test(tap_gives_probabilities),
        cmocka_unit_test(huge_scores_are_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
