/* One prompt, divided in any way: all at once, in spans, row by row, recomputed; with any number of threads and any kernel set.
 * Rows and attention must be the same. */
#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/model/models.h"

/* Beyond the 512 rows that run through the layers together, twice. */
enum { LONG = 1040, SHORT = 60 };

/* Two ways to add up the same products differ by a few sqrt(n) eps of their size (Higham and Mary, SIAM J. Sci.
 * Comput. 41, 2019): 6 sqrt(136) eps = 8e-6 for the widest sum here, on normed rows of size up to 4, and three
 * layers of four such sums in a row. This is 3e-4 at worst; one row misplaced changes a row by more than 1e-2
 * (negative controls below). */
static const double bound = 3e-4;

typedef struct run {
    size_t count, cols;
    tn_real *normed; /* [count, C]                       */
    tn_real *logits; /* of the last row                  */
    tn_real *mean;   /* [count] tap of the last row      */
} run;

static void close_run(run *r)
{
    free(r->normed);
    free(r->logits);
    free(r->mean);
}

typedef struct cut {
    size_t span;    /* rows an append; 0: all at once */
    size_t first;   /* rows of the first append, if not 0 */
    bool recompute;
    bool sequential;
} cut;

/* Runs `count` rows of the prompt with an image of 3 x 4 cells, with a tap on the attention of the last row to all rows. */
static run run_cut(tn_session *session, size_t count, cut how)
{
    const tn_grid grid = { 1, 6, 8 };
    size_t cols = tn_session_hidden(session).cols, vocabulary = session->logits.cols;
    tn_session_reset(session);
    tn_image_rows picture = encode(session, grid, 1);
    tn_row *slots = random_prompt(session->model, count, &picture, !how.sequential, 2);
    run r = { count, cols, calloc(count * cols, sizeof(tn_real)), calloc(vocabulary, sizeof(tn_real)),
              calloc(count, sizeof(tn_real)) };
    size_t *keys = calloc(count, sizeof *keys);
    for (size_t i = 0; i < count; i++)
        keys[i] = i;
    for (size_t at = 0; at < count;) {
        size_t rows = tn_min(count - at, at == 0 && how.first ? how.first : how.span ? how.span : count);
        if (how.recompute) {
            tn_sequence_truncate(&session->sequence, 0);
            rows += at;
            at = 0;
        }
        tn_span_tap tap = { .query = rows - 1, .keys = keys, .count = count, .mean = r.mean };
        assert_int_equal(tn_session_append(session, slots + at, rows, at + rows == count ? &tap : NULL, r.normed + at * cols, NULL), TENEBRA_OK);
        at += rows;
        assert_int_equal(session->sequence.length, at);
    }
    assert_int_equal(tn_session_logits(session, NULL), TENEBRA_OK);
    memcpy(r.logits, session->logits.data, vocabulary * sizeof(tn_real));
    assert_memory_equal(tn_session_hidden(session).data, r.normed + (count - 1) * cols, cols * sizeof(tn_real));
    assert_true(all_finite(r.normed, count * cols) && all_finite(r.mean, count));
    free(slots);
    free(keys);
    return r;
}

static double distance(const run *a, const run *b, size_t vocabulary)
{
    assert_int_equal(a->count, b->count);
    double rows = largest_distance(a->normed, b->normed, a->count * a->cols);
    double logits = largest_distance(a->logits, b->logits, vocabulary);
    double mean = largest_distance(a->mean, b->mean, a->count);
    return isnan(rows + logits + mean) ? (double)NAN : fmax(fmax(rows, logits), mean);
}

static bool same_bits(const run *a, const run *b, size_t vocabulary)
{
    return memcmp(a->normed, b->normed, a->count * a->cols * sizeof(tn_real)) == 0 &&
           memcmp(a->logits, b->logits, vocabulary * sizeof(tn_real)) == 0 &&
           memcmp(a->mean, b->mean, a->count * sizeof(tn_real)) == 0;
}

static void for_each_set(void (*check)(const tn_model *model))
{
    for (size_t i = 0; tn_kernels_at(i) != NULL; i++) {
        tn_model *model = open_model(UNTIED, tn_kernels_at(i)->name);
        check(model);
        tn_model_close(model);
    }
}

/* ---------------------------------------------------------------- spans -- */

static void agrees(tn_session *session, const run *expected, cut how)
{
    size_t vocabulary = session->logits.cols;
    run got = run_cut(session, expected->count, how);
    double d = distance(&got, expected, vocabulary);
    if (!(d <= bound))
        print_error("%s: spans of %zu, first %zu: %g\n", session->model->kernels->name, how.span, how.first, d);
    assert_true(d <= bound);
    if (is_steady(session->model->kernels))
        assert_true(same_bits(&got, expected, vocabulary));
    close_run(&got);
}

/* prefill(n + 1) = prefill(n) + one decoded row, in both kinds of positions (P11). */
static void decode_is_prefill(const tn_model *model)
{
    tn_session *session = open_session(model, LONG, 2);
    static const size_t counts[] = { 16, 17, SHORT, 129, 513, 514 };
    for (int sequential = 0; sequential < 2; sequential++)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            cut whole = { .sequential = sequential }, decoded = { .first = counts[i] - 1, .sequential = sequential };
            run expected = run_cut(session, counts[i], whole);
            agrees(session, &expected, decoded);
            close_run(&expected);
        }
    tn_session_close(session);
}

static void test_decode_is_prefill(void **state)
{
    (void)state;
    for_each_set(decode_is_prefill);
}

/* Any cut: row by row, around multiples of what kernels work on, across the inner 512 rows. */
static void spans_agree(const tn_model *model)
{
    tn_session *session = open_session(model, LONG, 2);
    static const size_t shorts[] = { 1, 2, 7, 16, 33, 59 }, longs[] = { 64, 511, 513 };
    run expected = run_cut(session, SHORT, (cut){ 0 });
    for (size_t i = 0; i < sizeof shorts / sizeof *shorts; i++)
        agrees(session, &expected, (cut){ .span = shorts[i] });
    close_run(&expected);
    expected = run_cut(session, LONG, (cut){ 0 });
    for (size_t i = 0; i < sizeof longs / sizeof *longs; i++)
        agrees(session, &expected, (cut){ .span = longs[i] });
    close_run(&expected);
    tn_session_close(session);
}

static void test_spans_agree(void **state)
{
    (void)state;
    for_each_set(spans_agree);
}

static void recompute_agrees(const tn_model *model)
{
    tn_session *session = open_session(model, LONG, 2);
    run expected = run_cut(session, SHORT, (cut){ .span = 5 });
    agrees(session, &expected, (cut){ .span = 5, .recompute = true });
    close_run(&expected);
    expected = run_cut(session, 700, (cut){ 0 });
    agrees(session, &expected, (cut){ .span = 650, .recompute = true });
    close_run(&expected);
    tn_session_close(session);
}

static void test_recompute_agrees(void **state)
{
    (void)state;
    for_each_set(recompute_agrees);
}

/* Negative controls of the bound: other positions, another order of two rows. */
static void test_bound_finds_errors(void **state)
{
    (void)state;
    tn_model *model = open_model(UNTIED, "reference");
    tn_session *session = open_session(model, LONG, 1);
    run mrope = run_cut(session, SHORT, (cut){ 0 }), sequential = run_cut(session, SHORT, (cut){ .sequential = true });
    assert_true(distance(&mrope, &sequential, session->logits.cols) > 30 * bound);
    tn_row *slots = random_prompt(model, SHORT, NULL, false, 2);
    tn_real *normed[2];
    for (size_t swap = 0; swap < 2; swap++) {
        normed[swap] = calloc(SHORT * tn_session_hidden(session).cols, sizeof(tn_real));
        tn_session_reset(session);
        tn_row kept = slots[10];
        if (swap) {
            slots[10].token = slots[11].token;
            slots[11].token = kept.token;
        }
        assert_int_equal(tn_session_append(session, slots, SHORT, NULL, normed[swap], NULL), TENEBRA_OK);
    }
    size_t last = (SHORT - 1) * tn_session_hidden(session).cols;
    assert_true(largest_distance(normed[0] + last, normed[1] + last, tn_session_hidden(session).cols) > bound);
    assert_true(largest_distance(normed[0], normed[1], 10 * tn_session_hidden(session).cols) == 0); /* causal */
    free(normed[0]);
    free(normed[1]);
    free(slots);
    close_run(&mrope);
    close_run(&sequential);
    tn_session_close(session);
    tn_model_close(model);
}

/* -------------------------------------------------------------- threads -- */

/* Bit for bit, for every set: work is split over outputs, by constants. */
static void threads_agree(const tn_model *model)
{
    run expected = { 0 };
    for (size_t threads = 1; threads <= 4; threads++) {
        tn_session *session = open_session(model, LONG, threads);
        run got = run_cut(session, LONG, (cut){ .span = 700 });
        if (threads == 1) {
            expected = got;
        } else {
            if (!same_bits(&got, &expected, session->logits.cols))
                print_error("%s: %zu threads are not one\n", model->kernels->name, threads);
            assert_true(same_bits(&got, &expected, session->logits.cols));
            close_run(&got);
        }
        tn_session_close(session);
    }
    close_run(&expected);
}

static void test_threads_agree(void **state)
{
    (void)state;
    for_each_set(threads_agree);
}

/* ------------------------------------------------------------------ tap -- */

typedef struct each_layer {
    const tn_model *model;
    size_t count, calls;
    double *sum; /* [count] over layers and heads */
} each_layer;

static void add_layer(void *user, size_t layer, const tn_real *rows)
{
    each_layer *e = user;
    size_t heads = e->model->config.decoder.num_attention_heads;
    assert_int_equal(layer, e->calls++);
    for (size_t head = 0; head < heads; head++) {
        double total = 0;
        for (size_t i = 0; i < e->count; i++) {
            double p = (double)rows[head * e->count + i];
            assert_true(p >= 0 && p <= 1 + FLT_EPSILON);
            total += p;
            e->sum[i] += p;
        }
        /* n roundings of half an ulp of numbers that add up to 1, and those of the softmax's own sum */
        assert_true(fabs(total - 1) <= (double)e->count * FLT_EPSILON);
    }
}

/* The tapped row anywhere in a span that runs in three pieces: its probabilities over all rows that it sees
 * are a distribution, layer by layer, and `mean` is their mean. */
static void tap_is_right(const tn_model *model)
{
    static const size_t queries[] = { 0, 128, 511, 512, LONG - 1 };
    tn_session *session = open_session(model, LONG, 2);
    tn_row *slots = random_prompt(model, LONG, NULL, false, 4);
    double shares = (double)(model->config.decoder.num_attention_heads * model->config.decoder.num_hidden_layers);
    size_t keys[LONG];
    tn_real mean[LONG];
    double sum[LONG];
    for (size_t i = 0; i < LONG; i++)
        keys[i] = i;
    for (size_t q = 0; q < sizeof queries / sizeof *queries; q++) {
        size_t count = queries[q] + 1;
        memset(sum, 0, sizeof sum);
        each_layer each = { model, count, 0, sum };
        tn_span_tap tap = { queries[q], keys, count, mean, add_layer, &each };
        tn_session_reset(session);
        assert_int_equal(tn_session_append(session, slots, LONG, &tap, NULL, NULL), TENEBRA_OK);
        assert_int_equal(each.calls, model->config.decoder.num_hidden_layers);
        double total = 0, largest = 0;
        for (size_t i = 0; i < count; i++) {
            largest = fmax(largest, (double)mean[i]);
            assert_true(fabs((double)mean[i] - sum[i] / shares) <= shares * FLT_EPSILON * sum[i] / shares);
            total += (double)mean[i];
        }
        assert_true(fabs(total - 1) <= (double)count * FLT_EPSILON);
        /* Negative control: without one key it is none. */
        assert_true(fabs(total - largest - 1) > (double)count * FLT_EPSILON);
    }
    free(slots);
    tn_session_close(session);
}

static void test_tap_is_right(void **state)
{
    (void)state;
    for_each_set(tap_is_right);
}

/* Any choice of keys gives those entries of the full row; keys that the row cannot see are refused. */
static void test_tap_of_some_keys(void **state)
{
    (void)state;
    tn_model *model = open_model(UNTIED, "reference");
    tn_session *session = open_session(model, LONG, 1);
    tn_row *slots = random_prompt(model, LONG, NULL, false, 4);
    size_t all[SHORT], some[] = { 41, 3, 0, 3, 58 };
    tn_real row[SHORT], picked[5];
    for (size_t i = 0; i < SHORT; i++)
        all[i] = i;
    tn_span_tap whole = { .query = 58, .keys = all, .count = 59, .mean = row };
    assert_int_equal(tn_session_append(session, slots, SHORT, &whole, NULL, NULL), TENEBRA_OK);
    tn_session_reset(session);
    assert_int_equal(tn_session_append(session, slots, 30, NULL, NULL, NULL), TENEBRA_OK);
    tn_span_tap part = { .query = 28, .keys = some, .count = 5, .mean = picked };
    assert_int_equal(tn_session_append(session, slots + 30, 30, &part, NULL, NULL), TENEBRA_OK);
    for (size_t i = 0; i < 5; i++)
        assert_memory_equal(&picked[i], &row[some[i]], sizeof *row);
    assert_memory_not_equal(&picked[0], &picked[1], sizeof *row);

    tenebra_error error = { 0 };
    size_t future[] = { 59 };
    tn_sequence_truncate(&session->sequence, 30);
    tn_span_tap unseen = { .query = 28, .keys = future, .count = 1, .mean = picked };
    assert_int_equal(tn_session_append(session, slots + 30, 30, &unseen, NULL, &error), TENEBRA_ERROR_ARGUMENT);
    assert_error(&error, TENEBRA_ERROR_ARGUMENT, "attention", "59");
    free(slots);
    tn_session_close(session);
    tn_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode_is_prefill), cmocka_unit_test(test_spans_agree),
        cmocka_unit_test(test_recompute_agrees),  cmocka_unit_test(test_bound_finds_errors),
        cmocka_unit_test(test_threads_agree),     cmocka_unit_test(test_tap_is_right),
        cmocka_unit_test(test_tap_of_some_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
