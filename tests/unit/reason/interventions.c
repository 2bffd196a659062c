/* Interventions on the latent loop: each changes what it says, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"
#include "unit/reason/tiny.h"

enum { STEPS = 3, PICKS = 4, BLOCK = PICKS + 1, MOST = 16 };

static run *intervene(const tiny *here, const char *option, const char *value, uint64_t seed)
{
    question q;
    ask_latent(&q, PICTURE, NULL);
    ask_set(&q, option, value);
    q.request.sampling.seed = seed;
    return run_question(here->model, &q);
}

/* The row fed as latent text in step s; vision first. */
static const tn_real *text_row(const run *made, size_t s)
{
    return row_values(&made->reasoner.span.rows[made->trace->prompt_tokens + s * BLOCK + PICKS]);
}

static const tn_real *vision_row(const run *made, size_t s, size_t pick)
{
    return row_values(&made->reasoner.span.rows[made->trace->prompt_tokens + s * BLOCK + pick]);
}

/* Shape, prompt and the picks of step one are those of the plain loop; vision rows are the tower's. */
static void assert_only_text_changed(const run *made, const run *plain)
{
    size_t width = tn_session_hidden(plain->session).cols;
    assert_int_equal(made->trace->latent_steps, STEPS);
    assert_int_equal(made->trace->injected_tokens, STEPS * PICKS);
    assert_int_equal(made->trace->prompt_tokens, plain->trace->prompt_tokens);
    assert_true(same_picks(&made->trace->steps[0], &plain->trace->steps[0]));
    assert_true(same_number(made->trace->steps[0].hidden_norm, plain->trace->steps[0].hidden_norm));
    for (size_t p = 0; p < PICKS; p++)
        assert_memory_equal(vision_row(made, 0, p), vision_row(plain, 0, p), width * sizeof(tn_real));
    for (size_t s = 0; s < STEPS; s++)
        for (size_t p = 0; p < PICKS; p++)
            assert_ptr_equal(vision_row(made, s, p), made->reasoner.conversation.pictures[0].rows.embeds.data +
                                                         made->trace->steps[s].picks[p].index * width);
    assert_false(same_hidden(made, plain)); /* and it has an effect */
}

static void test_zero(void **state)
{
    const tiny *here = *state;
    run *plain = intervene(here, "latent-text", "keep", 0), *made = intervene(here, "latent-text", "zero", 0);
    assert_only_text_changed(made, plain);
    for (size_t s = 0; s < STEPS; s++) {
        assert_true(norm_of_row(text_row(made, s), tn_session_hidden(made->session).cols) == 0);
        assert_true(made->trace->steps[s].hidden_norm > 1); /* the trace has the state itself */
    }
    assert_true(norm_of_row(text_row(plain, 0), tn_session_hidden(plain->session).cols) > 1);
    run_free(made);
    run_free(plain);
}

static void test_noise(void **state)
{
    const tiny *here = *state;
    run *plain = intervene(here, "latent-text", "keep", 0), *made = intervene(here, "latent-text", "noise", 1),
        *twin = intervene(here, "latent-text", "noise", 1), *other = intervene(here, "latent-text", "noise", 2);
    size_t width = tn_session_hidden(plain->session).cols;
    assert_only_text_changed(made, plain);
    for (size_t s = 0; s < STEPS; s++) {
        assert_true(within(norm_of_row(text_row(made, s), width), made->trace->steps[s].hidden_norm, 1e-4));
        assert_memory_equal(text_row(made, s), text_row(twin, s), width * sizeof(tn_real));
        assert_memory_not_equal(text_row(made, s), text_row(other, s), width * sizeof(tn_real));
        double mean = 0; /* of a Gaussian: standard deviation of the mean is norm / width */
        for (size_t i = 0; i < width; i++)
            mean += (double)text_row(made, s)[i] / (double)width;
        assert_true(fabs(mean) < 5 * made->trace->steps[s].hidden_norm / (double)width);
    }
    assert_memory_not_equal(text_row(made, 0), text_row(made, 1), width * sizeof(tn_real));
    run_free(made);
    run_free(twin);
    run_free(other);
    run_free(plain);
}

static void test_mean(void **state)
{
    const tiny *here = *state;
    run *plain = intervene(here, "latent-text", "keep", 0), *made = intervene(here, "latent-text", "mean", 0);
    size_t width = tn_session_hidden(plain->session).cols, prompt = plain->trace->prompt_tokens;
    assert_only_text_changed(made, plain);

    tn_session *session = tiny_session(here->model, 1);
    tn_real *rows = calloc(prompt * width, sizeof *rows), *mean = calloc(width, sizeof *mean);
    assert_int_equal(tn_session_append(session, plain->reasoner.span.rows, prompt, NULL, rows, NULL), TENEBRA_OK);
    for (size_t i = 0; i < width; i++) {
        double sum = 0;
        for (size_t row = 0; row < prompt; row++)
            sum += (double)rows[row * width + i];
        mean[i] = (tn_real)(sum / (double)prompt);
    }
    for (size_t s = 0; s < STEPS; s++)
        assert_true(rows_within(text_row(made, s), mean, width, 1e-5));
    assert_false(rows_within(mean, rows + (prompt - 1) * width, width, 1e-5)); /* not the last row */
    free(rows);
    free(mean);
    tn_session_close(session);
    run_free(made);
    run_free(plain);
}

static int compare_reals(const void *a, const void *b)
{
    tn_real x = *(const tn_real *)a, y = *(const tn_real *)b;
    return x < y ? -1 : x > y;
}

/* The same values in another order, drawn from the seed. */
static void test_shuffle(void **state)
{
    const tiny *here = *state;
    run *plain = intervene(here, "latent-text", "keep", 0), *made = intervene(here, "latent-text", "shuffle", 1),
        *other = intervene(here, "latent-text", "shuffle", 2);
    size_t width = tn_session_hidden(plain->session).cols, bytes = width * sizeof(tn_real);
    tn_real *own = malloc(bytes), *mixed = malloc(bytes);
    assert_true(own != NULL && mixed != NULL);
    assert_only_text_changed(made, plain);
    assert_memory_not_equal(text_row(made, 0), text_row(plain, 0), bytes);
    assert_memory_not_equal(text_row(made, 0), text_row(other, 0), bytes);
    memcpy(own, text_row(plain, 0), bytes);
    memcpy(mixed, text_row(made, 0), bytes);
    qsort(own, width, sizeof *own, compare_reals);
    qsort(mixed, width, sizeof *mixed, compare_reals);
    assert_memory_equal(own, mixed, bytes);
    free(own);
    free(mixed);
    run_free(made);
    run_free(other);
    run_free(plain);
}

/* Rows of the request replace the hidden states; those of the question's own trace change nothing. */
static void test_given(void **state)
{
    const tiny *here = *state;
    run *plain = intervene(here, "latent-text", "keep", 0);
    size_t width = tn_session_hidden(plain->session).cols, bytes = width * sizeof(tn_real);
    float *latents = malloc(STEPS * bytes);
    assert_non_null(latents);
    for (size_t s = 0; s < STEPS; s++)
        memcpy(latents + s * width, plain->trace->steps[s].hidden, bytes);
    question q;
    ask_latent(&q, PICTURE, NULL);
    ask_set(&q, "latent-text", "given");
    const tenebra_input inputs[] = { { "other", NULL, 0, 0 }, { "latents", latents, STEPS, width } };
    q.request.inputs = inputs;
    q.request.input_count = 2;
    run *same = run_question(here->model, &q);
    assert_true(same_hidden(same, plain));
    for (size_t i = 0; i < STEPS * width; i++)
        latents[i] = (float)((i % 13) * 0.25);
    run *made = run_question(here->model, &q);
    assert_only_text_changed(made, plain);
    for (size_t s = 0; s < STEPS; s++)
        assert_memory_equal(text_row(made, s), latents + s * width, bytes);
    run_free(made);
    run_free(same);
    run_free(plain);
    free(latents);
}

/* The trace has the hidden state of each step, and its cosine to the previous one. */
static void test_what_the_trace_tells(void **state)
{
    const tiny *here = *state;
    run *plain = intervene(here, "latent-text", "keep", 0);
    const tenebra_step *steps = plain->trace->steps;
    size_t width = tn_session_hidden(plain->session).cols;
    assert_true(isnan(steps[0].hidden_cosine));
    for (size_t s = 0; s < STEPS; s++) {
        assert_int_equal(steps[s].hidden_size, width);
        assert_memory_equal(steps[s].hidden, text_row(plain, s), width * sizeof(tn_real));
    }
    double product = 0;
    for (size_t i = 0; i < width; i++)
        product += (double)text_row(plain, 0)[i] * (double)text_row(plain, 1)[i];
    product /= norm_of_row(text_row(plain, 0), width) * norm_of_row(text_row(plain, 1), width);
    assert_true(fabs(product - steps[1].hidden_cosine) < 1e-9 && fabs(product) < 1);
    assert_int_equal(plain->trace->passes, 1);
    assert_int_equal(plain->trace->images_added, 0);
    run_free(plain);
}

static void test_frozen(void **state)
{
    const tiny *here = *state;
    run *plain = intervene(here, "latent-text", "keep", 0), *made = intervene(here, "latent-text", "frozen", 0);
    size_t bytes = tn_session_hidden(plain->session).cols * sizeof(tn_real);
    assert_only_text_changed(made, plain);
    assert_memory_equal(text_row(made, 0), text_row(plain, 0), bytes);
    for (size_t s = 1; s < STEPS; s++) {
        assert_memory_equal(text_row(made, s), text_row(made, 0), bytes);
        assert_memory_not_equal(text_row(plain, s), text_row(plain, 0), bytes);
    }
    run_free(made);
    run_free(plain);
}

/* Combined with the raw state, too: what is kept is what was fed. */
static void test_frozen_raw(void **state)
{
    const tiny *here = *state;
    question q;
    ask_latent(&q, PICTURE, NULL);
    ask_set(&q, "hidden", "raw");
    ask_set(&q, "latent-text", "frozen");
    run *made = run_question(here->model, &q);
    size_t width = tn_session_hidden(made->session).cols;
    assert_true(within(norm_of_row(text_row(made, 2), width), made->trace->steps[0].hidden_norm, 1e-4));
    assert_memory_equal(text_row(made, 2), text_row(made, 0), width * sizeof(tn_real));
    run_free(made);
}

/* ---------------------------------------------------------------- picks -- */

/* Scores of all image embeddings from the row before step s, computed again from the rows fed so far. */
static void scores_before(const run *made, size_t s, tn_real scores[MOST])
{
    size_t keys[MOST], rows = made->trace->prompt_tokens + s * BLOCK;
    assert_int_equal(made->reasoner.conversation.candidate_count, MOST);
    for (size_t i = 0; i < MOST; i++)
        keys[i] = made->reasoner.conversation.candidates[i].row;
    const tn_span_tap tap = { .query = rows - 1, .keys = keys, .count = MOST, .mean = scores };
    tn_session_close(replay(made, rows, &tap));
}

/* Text rows are those of the plain loop in step one; every pick has its score. */
static void assert_only_picks_changed(const run *made, const run *plain)
{
    assert_int_equal(made->trace->latent_steps, STEPS);
    assert_int_equal(made->trace->injected_tokens, STEPS * PICKS);
    assert_memory_equal(text_row(made, 0), text_row(plain, 0), tn_session_hidden(plain->session).cols * sizeof(tn_real));
    for (size_t s = 0; s < STEPS; s++) {
        tn_real scores[MOST];
        scores_before(made, s, scores);
        for (size_t p = 0; p < PICKS; p++) {
            const tenebra_pick *pick = &made->trace->steps[s].picks[p];
            assert_true(within(pick->score, (double)scores[pick->index], 1e-6));
        }
    }
    assert_false(same_hidden(made, plain));
}

/* Whether the picks of each step are the `PICKS` largest (smallest) of those not used before. */
static bool picks_are_extreme(const run *made, bool lowest)
{
    bool used[MOST] = { false };
    for (size_t s = 0; s < STEPS; s++) {
        tn_real scores[MOST];
        bool now[MOST] = { false };
        scores_before(made, s, scores);
        for (size_t p = 0; p < PICKS; p++)
            now[made->trace->steps[s].picks[p].index] = true;
        for (size_t a = 0; a < MOST; a++)
            for (size_t b = 0; b < MOST; b++)
                if (now[a] && !now[b] && !used[b] && (lowest ? scores[a] > scores[b] : scores[a] < scores[b]))
                    return false;
        for (size_t a = 0; a < MOST; a++) {
            if (now[a] && used[a])
                return false;
            used[a] |= now[a];
        }
    }
    return true;
}

static void test_top_and_lowest(void **state)
{
    const tiny *here = *state;
    run *plain = intervene(here, "latent-picks", "top", 0), *made = intervene(here, "latent-picks", "lowest", 0);
    assert_only_picks_changed(made, plain);
    assert_true(picks_are_extreme(plain, false));
    assert_true(picks_are_extreme(made, true));
    assert_false(picks_are_extreme(plain, true));
    assert_false(picks_are_extreme(made, false));
    run_free(made);
    run_free(plain);
}

static void test_random(void **state)
{
    const tiny *here = *state;
    run *plain = intervene(here, "latent-picks", "top", 0), *made = intervene(here, "latent-picks", "random", 1),
        *twin = intervene(here, "latent-picks", "random", 1), *other = intervene(here, "latent-picks", "random", 2);
    assert_only_picks_changed(made, plain);
    assert_true(same_steps(made->trace, twin->trace) && same_tokens(made->trace, twin->trace));
    assert_false(same_steps(made->trace, other->trace));
    bool used[MOST] = { false };
    for (size_t s = 0; s < STEPS; s++)
        for (size_t p = 0; p < PICKS; p++) {
            size_t index = made->trace->steps[s].picks[p].index;
            assert_in_range(index, 0, MOST - 1);
            assert_false(used[index]);
            used[index] = true;
        }
    assert_false(picks_are_extreme(made, false) || picks_are_extreme(made, true));
    run_free(made);
    run_free(twin);
    run_free(other);
    run_free(plain);
}

static void test_repeat(void **state)
{
    const tiny *here = *state;
    run *plain = intervene(here, "latent-picks", "top", 0), *made = intervene(here, "latent-picks", "repeat", 0);
    assert_only_picks_changed(made, plain);
    assert_true(same_picks(&made->trace->steps[0], &plain->trace->steps[0]));
    for (size_t s = 1; s < STEPS; s++) {
        assert_true(same_picks(&made->trace->steps[s], &made->trace->steps[0]));
        assert_false(same_picks(&plain->trace->steps[s], &plain->trace->steps[0]));
    }
    run_free(made);
    run_free(plain);
}

/* The orders change the positions of the picks, not which embeddings are picked in step one. */
static void test_pick_orders(void **state)
{
    const tiny *here = *state;
    run *by[3] = { intervene(here, "pick-order", "cuda", 0), intervene(here, "pick-order", "desc", 0),
                   intervene(here, "pick-order", "asc", 0) };
    unsigned sets[3] = { 0 };
    for (size_t o = 0; o < 3; o++)
        for (size_t p = 0; p < PICKS; p++)
            sets[o] |= 1u << by[o]->trace->steps[0].picks[p].index;
    assert_true(sets[0] == sets[1] && sets[1] == sets[2]);
    assert_false(same_picks(&by[0]->trace->steps[0], &by[1]->trace->steps[0]));
    for (size_t p = 1; p < PICKS; p++) {
        const tenebra_pick *desc = by[1]->trace->steps[0].picks, *asc = by[2]->trace->steps[0].picks;
        assert_true(desc[p].score <= desc[p - 1].score);
        assert_true(asc[p].index > asc[p - 1].index);
    }
    const tenebra_pick *cuda = by[0]->trace->steps[0].picks;
    for (size_t p = 0; p + 1 < PICKS; p++) {
        assert_true(cuda[p].score > cuda[PICKS - 1].score);
        assert_true(p == 0 || cuda[p].index > cuda[p - 1].index);
    }
    for (size_t o = 0; o < 3; o++)
        run_free(by[o]);
}

/* Without latent text, a step that has nothing to pick must not be taken: all 16 embeddings are used in step one. Used ones are
 * fed again only by the intervention `repeat`, or by the refilled `top` choice. */
static void test_nothing_left(void **state)
{
    static const struct { const char *picks; size_t steps; } cases[] = {
        { "lowest", 1 }, { "random", 1 }, { "top", STEPS }, { "repeat", STEPS }, { "none", 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        question q;
        ask_about(&q, "ivt-lr", PICTURE, NULL, "What is small and green?");
        ask_set(&q, "n-latent", "3");
        ask_set(&q, "k-select", "16");
        ask_set(&q, "exhausted", "repick");
        ask_set(&q, "latent-text", "drop");
        ask_set(&q, "latent-picks", cases[i].picks);
        run *made = run_question(((const tiny *)*state)->model, &q);
        assert_int_equal(made->trace->latent_steps, cases[i].steps);
        assert_int_equal(made->trace->injected_tokens, cases[i].steps * 16);
        assert_true(made->trace->token_count > 0);
        run_free(made);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero),       cmocka_unit_test(test_noise),  cmocka_unit_test(test_mean),
        cmocka_unit_test(test_shuffle),    cmocka_unit_test(test_given), cmocka_unit_test(test_what_the_trace_tells),
        cmocka_unit_test(test_frozen),     cmocka_unit_test(test_frozen_raw),
        cmocka_unit_test(test_top_and_lowest), cmocka_unit_test(test_random), cmocka_unit_test(test_repeat),
        cmocka_unit_test(test_pick_orders), cmocka_unit_test(test_nothing_left),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
