/* One question, computed in several ways: recomputing every row, with any number of threads, with every kernel set; and
 * attention ratio and focus by the formula of the paper from attention that is computed again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"
#include "unit/reason/tiny.h"

enum { STEPS = 3, PICKS = 4 };

/* Whether the second run has the same picks and the same answer, and scores, norms and ratios within the bounds. */
static bool agree(const run *a, const run *b, double bound)
{
    bool same = same_tokens(a->trace, b->trace) && a->trace->step_count == b->trace->step_count;
    for (size_t s = 0; same && s < a->trace->step_count; s++) {
        const tenebra_step *x = &a->trace->steps[s], *y = &b->trace->steps[s];
        same = same_picks(x, y) && within(x->hidden_norm, y->hidden_norm, bound * x->hidden_norm) &&
               within(x->attention_ratio, y->attention_ratio, bound * x->attention_ratio) &&
               within(x->attention_focus, y->attention_focus, bound * x->attention_focus);
        for (size_t p = 0; same && p < x->pick_count; p++)
            same = within(x->picks[p].score, y->picks[p].score, bound * x->picks[p].score);
    }
    return same;
}

/* ------------------------------------------------------------ recomputing -- */

/* What the authors' code runs through the network up to the second token, and one row a token from then on. */
static size_t rows_of_the_reference(const tenebra_trace *trace)
{
    size_t p = trace->prompt_tokens, n = STEPS, k = PICKS, tokens = trace->token_count;
    if (tokens == 1)
        return (n + 1) * p + (k + 1) * n * (n + 1) / 2;
    return (n + 2) * p + (k + 1) * n * (n + 3) / 2 + 1 + (tokens - 2);
}

static void test_recomputing(void **state)
{
    const tiny *here = *state;
    for (int mode = 0; mode < 4; mode++) {
        question q;
        ask_latent(&q, PICTURE, NULL);
        ask_set(&q, "order", mode & 1 ? "text-first" : "vision-first");
        q.request.positions = mode & 2 ? "mrope" : "sequential";
        q.request.max_tokens = mode == 3 ? 1 : 6;
        run *made = run_question(here->model, &q);
        q.request.recompute = true;
        run *again = run_question(here->model, &q);
        assert_true(agree(made, again, 1e-5));
        assert_int_equal(again->trace->positions_computed, rows_of_the_reference(again->trace));
        assert_int_equal(again->trace->latent_steps, STEPS);
        assert_int_equal(again->session->sequence.length, made->session->sequence.length);
        assert_true(again->trace->positions_computed > made->trace->positions_computed);
        run_free(made);
        run_free(again);
    }
}

/* Other questions, orders and states do not agree: the comparison can fail. */
static void test_comparison_can_fail(void **state)
{
    const tiny *here = *state;
    question q, other;
    ask_latent(&q, PICTURE, NULL);
    ask_latent(&other, PICTURE, NULL);
    ask_set(&other, "order", "text-first");
    run *made = run_question(here->model, &q), *wrong = run_question(here->model, &other);
    assert_true(agree(made, made, 0));
    assert_false(agree(made, wrong, 1e-5));
    run_free(wrong);
    ask_latent(&other, OTHER_PICTURE, NULL);
    wrong = run_question(here->model, &other);
    assert_false(agree(made, wrong, 1e-5));
    run_free(wrong);
    run_free(made);
}

/* ------------------------------------------------------ threads, kernels -- */

static void check_threads(const tn_model *model)
{
    question q;
    ask_latent(&q, PICTURE, OTHER_PICTURE);
    run *made = run_method(model, 1, &q, NULL);
    for (size_t threads = 2; threads <= 4; threads++) {
        run *other = run_method(model, threads, &q, NULL);
        assert_int_equal(other->trace->threads, threads);
        assert_true(same_tokens(made->trace, other->trace) && same_steps(made->trace, other->trace) &&
                    same_hidden(made, other));
        run_free(other);
    }
    run_free(made);
}

/* Every kernel set that runs here: equal for any number of threads, and in agreement with the reference. */
static void test_kernel_sets_and_threads(void **state)
{
    const tiny *here = *state;
    question q;
    ask_latent(&q, PICTURE, NULL);
    run *wanted = run_question(here->model, &q);
    for (size_t i = 0; tn_kernels_at(i) != NULL; i++) {
        tn_model *model = tiny_open_model(here, tn_kernels_at(i)->name);
        run *made = run_question(model, &q);
        assert_string_equal(made->trace->kernels, tn_kernels_at(i)->name);
        if (!agree(wanted, made, 1e-3))
            fail_msg("%s does not agree with the reference", tn_kernels_at(i)->name);
        run_free(made);
        check_threads(model);
        tn_model_close(model);
    }
    run_free(wanted);
}

/* ----------------------------------------------------- ratio and focus -- */

typedef struct attention {
    double sums[TINY_CONTEXT]; /* over layers and heads */
    size_t rows, heads, layers;
} attention;

static void add_layer(void *user, size_t layer, const tn_real *rows)
{
    attention *seen = user;
    for (size_t head = 0; head < seen->heads; head++)
        for (size_t row = 0; row < seen->rows; row++)
            seen->sums[row] += (double)rows[head * seen->rows + row];
    seen->layers = layer + 1;
}

/* Attention of row `query` to all rows up to itself, from a fresh run of these rows. */
static void see_attention(const run *made, size_t query, attention *seen)
{
    size_t keys[TINY_CONTEXT];
    tn_real mean[TINY_CONTEXT];
    *seen = (attention){ .rows = query + 1, .heads = made->session->model->config.decoder.num_attention_heads };
    for (size_t i = 0; i < seen->rows; i++)
        keys[i] = i;
    const tn_span_tap tap = { .query = query, .keys = keys, .count = seen->rows, .mean = mean, .each = add_layer,
                              .user = seen };
    tn_session_close(replay(made, query + 1, &tap));
    double total = 0;
    for (size_t i = 0; i < seen->rows; i++)
        total += seen->sums[i] / (double)(seen->heads * seen->layers);
    assert_true(within(total, 1, 1e-5));
}

/* arXiv:2510.12603, figure 5: R = sum over the step's image embeddings / sum over the latent text so far;
 * F = 1 / (H + 1e-6), H the entropy of the attention normalised over the step's image embeddings. The step's
 * last row looks. */
static void figure_five(const run *made, size_t s, bool text_first, size_t query, double *ratio, double *focus)
{
    attention seen;
    double images = 0, texts = 0, entropy = 0;
    size_t prompt = made->trace->prompt_tokens, first = prompt + s * (PICKS + 1) + text_first;
    see_attention(made, query, &seen);
    for (size_t p = 0; p < PICKS; p++)
        images += seen.sums[first + p];
    for (size_t before = 0; before <= s; before++)
        texts += seen.sums[prompt + before * (PICKS + 1) + (text_first ? 0 : PICKS)];
    for (size_t p = 0; p < PICKS; p++) {
        double share = seen.sums[first + p] / images;
        entropy -= share * log(share);
    }
    *ratio = images / texts;
    *focus = 1 / (entropy + 1e-6);
}

static void test_ratio_and_focus(void **state)
{
    const tiny *here = *state;
    for (int text_first = 0; text_first < 2; text_first++) {
        question q;
        ask_latent(&q, PICTURE, NULL);
        ask_set(&q, "order", text_first ? "text-first" : "vision-first");
        run *made = run_question(here->model, &q);
        for (size_t s = 0; s < STEPS; s++) {
            const tenebra_step *step = &made->trace->steps[s];
            size_t last = made->trace->prompt_tokens + (s + 1) * (PICKS + 1) - 1;
            double ratio, focus;
            figure_five(made, s, text_first, last, &ratio, &focus);
            assert_true(within(step->attention_ratio, ratio, 1e-4 * ratio));
            assert_true(within(step->attention_focus, focus, 1e-4 * focus));
            figure_five(made, s, text_first, last + 1, &ratio, &focus); /* another row sees something else */
            assert_false(within(step->attention_ratio, ratio, 1e-4 * ratio));
        }
        run_free(made);
    }
}

/* --------------------------------------------------- incremental decoding -- */

/* Whatever a method fed, its rows in one span of a fresh session lead to the same hidden state. */
static void test_replayed_rows(void **state)
{
    const tiny *here = *state;
    const char *const methods[] = { "direct", "cot", "coconut", "ivt-lr" };
    for (size_t m = 0; m < 4; m++) {
        question q;
        ask_about(&q, methods[m], PICTURE, OTHER_PICTURE, "What is small and green?");
        run *made = run_question(here->model, &q);
        tn_session *again = replay(made, made->session->sequence.length, NULL);
        assert_true(rows_within(tn_session_hidden(again).data, tn_session_hidden(made->session).data, tn_session_hidden(again).cols, 1e-4));
        tn_session_close(again);
        again = replay(made, made->session->sequence.length - 1, NULL);
        assert_false(rows_within(tn_session_hidden(again).data, tn_session_hidden(made->session).data, tn_session_hidden(again).cols, 1e-4));
        tn_session_close(again);
        run_free(made);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recomputing),     cmocka_unit_test(test_comparison_can_fail),
        cmocka_unit_test(test_kernel_sets_and_threads),
        cmocka_unit_test(test_ratio_and_focus), cmocka_unit_test(test_replayed_rows),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
