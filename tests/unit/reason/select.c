/* Choosing image embeddings: against a brute force, with ties, used ones, and too few. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reason/select.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 24, TRIALS = 3000 };

typedef struct draw {
    tn_real scores[MOST];
    bool available[MOST];
    size_t count, k;
} draw;

/* Scores from few values, so that ties are frequent. */
static draw make_draw(tn_rng *rng)
{
    draw made = { .count = tn_rng_below(rng, MOST + 1), .k = tn_rng_below(rng, MOST + 4) };
    size_t values = 1 + tn_rng_below(rng, 2 * MOST);
    for (size_t i = 0; i < made.count; i++) {
        made.scores[i] = (tn_real)tn_rng_below(rng, values);
        made.available[i] = tn_rng_below(rng, 4) > 0;
    }
    return made;
}

/* Whether index a comes before b by score; of equal scores, the lower index comes first. */
static bool precedes(const draw *from, size_t a, size_t b, bool lowest)
{
    if (from->scores[a] != from->scores[b])
        return lowest ? from->scores[a] < from->scores[b] : from->scores[a] > from->scores[b];
    return a < b;
}

/* The rank of an available index: the number of available ones that come before it. */
static size_t rank_of(const draw *from, size_t index, bool lowest)
{
    size_t rank = 0;
    for (size_t other = 0; other < from->count; other++)
        rank += other != index && from->available[other] && precedes(from, other, index, lowest);
    return rank;
}

/* The picks in order of rank, straight from the definition. */
static size_t brute_ranked(const draw *from, bool lowest, size_t *picks)
{
    size_t taken = 0;
    for (size_t i = 0; i < from->count; i++) {
        size_t rank = from->available[i] ? rank_of(from, i, lowest) : SIZE_MAX;
        if (rank < from->k) {
            picks[rank] = i;
            taken++;
        }
    }
    return taken;
}

static bool contains(const size_t *picks, size_t count, size_t index)
{
    for (size_t i = 0; i < count; i++)
        if (picks[i] == index)
            return true;
    return false;
}

/* The order that the rule gives to `ranked`, of which the first `fresh` were available. */
static void brute_order(const draw *from, const size_t *ranked, size_t fresh, size_t taken, tn_pick_order order,
                        size_t *picks)
{
    size_t at = 0;
    if (order == TN_PICK_DESC) {
        memcpy(picks, ranked, taken * sizeof *picks);
    } else if (order == TN_PICK_ASC) {
        for (size_t i = 0; i < from->count; i++)
            if (contains(ranked, taken, i))
                picks[at++] = i;
    } else {
        /* Used ones have a score below all others, so the last index is then one of them. */
        bool by_use = taken > fresh;
        for (int last = 0; last < 2; last++)
            for (size_t i = 0; i < from->count; i++) {
                bool equals_last = by_use ? !contains(ranked, fresh, i)
                                          : taken > 0 && from->scores[i] == from->scores[ranked[taken - 1]];
                if (contains(ranked, taken, i) && equals_last == (last == 1))
                    picks[at++] = i;
            }
    }
}

static size_t brute_top(const draw *from, tn_pick_order order, bool repick, size_t *picks)
{
    size_t ranked[MOST + 1], fresh = brute_ranked(from, false, ranked), taken = fresh;
    for (size_t i = 0; repick && i < from->count && taken < from->k; i++)
        if (!from->available[i])
            ranked[taken++] = i;
    brute_order(from, ranked, fresh, taken, order, picks);
    return taken;
}

static void test_top_against_brute_force(void **state)
{
    (void)state;
    tn_rng rng = tn_rng_seed(11);
    size_t exhausted = 0, orders_differ = 0;
    for (size_t trial = 0; trial < TRIALS; trial++) {
        draw from = make_draw(&rng);
        size_t by_order[3][MOST + 1] = { { 0 } };
        for (int order = TN_PICK_CUDA; order <= TN_PICK_ASC; order++)
            for (int repick = 0; repick < 2; repick++) {
                size_t expected[MOST + 1] = { 0 }, picks[MOST + 1] = { 0 };
                bool available[MOST];
                memcpy(available, from.available, sizeof available);
                size_t wanted = brute_top(&from, (tn_pick_order)order, repick, expected);
                size_t taken = tn_select_top(from.scores, available, from.count, from.k, (tn_pick_order)order, repick, picks);
                assert_int_equal(taken, wanted);
                assert_memory_equal(picks, expected, sizeof picks);
                for (size_t i = 0; i < from.count; i++)
                    assert_int_equal(available[i], from.available[i] && !contains(picks, taken, i));
                exhausted += taken < from.k;
                memcpy(by_order[order], picks, sizeof picks);
            }
        orders_differ += memcmp(by_order[TN_PICK_CUDA], by_order[TN_PICK_DESC], sizeof *by_order) != 0 &&
                         memcmp(by_order[TN_PICK_CUDA], by_order[TN_PICK_ASC], sizeof *by_order) != 0;
    }
    assert_true(exhausted > TRIALS / 10);     /* the trials contain such cases */
    assert_true(orders_differ > TRIALS / 10); /* and the comparison can distinguish the orders */
}

static void test_lowest_against_brute_force(void **state)
{
    (void)state;
    tn_rng rng = tn_rng_seed(12);
    for (size_t trial = 0; trial < TRIALS; trial++) {
        draw from = make_draw(&rng);
        size_t expected[MOST + 1] = { 0 }, picks[MOST + 1] = { 0 };
        bool available[MOST];
        memcpy(available, from.available, sizeof available);
        size_t wanted = brute_ranked(&from, true, expected);
        assert_int_equal(tn_select_lowest(from.scores, available, from.count, from.k, picks), wanted);
        assert_memory_equal(picks, expected, sizeof picks);
    }
}

/* The three orders of one example, written out: 0.7 twice at the border, only one of them fits. */
static void test_orders_of_an_example(void **state)
{
    (void)state;
    const tn_real scores[] = { 0.7f, 0.2f, 0.9f, 0.7f, 0.8f };
    const size_t cuda[] = { 2, 4, 0 }, desc[] = { 2, 4, 0 }, asc[] = { 0, 2, 4 };
    const size_t *expected[] = { [TN_PICK_CUDA] = cuda, [TN_PICK_DESC] = desc, [TN_PICK_ASC] = asc };
    for (int order = TN_PICK_CUDA; order <= TN_PICK_ASC; order++) {
        bool available[] = { true, true, true, true, true };
        size_t picks[3];
        assert_int_equal(tn_select_top(scores, available, 5, 3, (tn_pick_order)order, false, picks), 3);
        assert_memory_equal(picks, expected[order], sizeof picks);
    }
    const tn_real rising[] = { 0.1f, 0.2f, 0.3f, 0.4f };
    const size_t cuda_of_rising[] = { 2, 3, 1 };
    bool available[] = { true, true, true, true };
    size_t picks[3];
    assert_int_equal(tn_select_top(rising, available, 4, 3, TN_PICK_CUDA, false, picks), 3);
    assert_memory_equal(picks, cuda_of_rising, sizeof picks);
}

/* Step after step until nothing is left, then `take` gives nothing and `repick` the lowest used ones. */
static void test_exhaustion(void **state)
{
    (void)state;
    const tn_real scores[] = { 5, 4, 3, 2, 1 };
    bool available[] = { true, true, true, true, true };
    size_t picks[8];
    assert_int_equal(tn_select_top(scores, available, 5, 3, TN_PICK_DESC, false, picks), 3);
    assert_int_equal(tn_select_top(scores, available, 5, 3, TN_PICK_DESC, false, picks), 2);
    assert_true(picks[0] == 3 && picks[1] == 4);
    assert_int_equal(tn_select_top(scores, available, 5, 3, TN_PICK_DESC, false, picks), 0);
    assert_int_equal(tn_select_top(scores, available, 5, 3, TN_PICK_CUDA, true, picks), 3);
    assert_true(picks[0] == 0 && picks[1] == 1 && picks[2] == 2);
    assert_int_equal(tn_select_top(scores, available, 5, 8, TN_PICK_CUDA, true, picks), 5);
    assert_int_equal(tn_select_lowest(scores, available, 5, 3, picks), 0);
}

static void test_nothing_to_pick(void **state)
{
    (void)state;
    tn_rng rng = tn_rng_seed(1);
    size_t pick = 77;
    bool available = true;
    const tn_real score = 1;
    assert_int_equal(tn_select_top(NULL, NULL, 0, 4, TN_PICK_CUDA, true, &pick), 0);
    assert_int_equal(tn_select_lowest(NULL, NULL, 0, 4, &pick), 0);
    assert_int_equal(tn_select_random(NULL, 0, 4, &rng, &pick), 0);
    assert_int_equal(tn_select_top(&score, &available, 1, 0, TN_PICK_CUDA, true, &pick), 0);
    assert_true(available);
    assert_int_equal(pick, 77);
}

static void test_random_draws(void **state)
{
    (void)state;
    enum { COUNT = 8, K = 3, DRAWS = 20000 };
    tn_rng rng = tn_rng_seed(5), twin = tn_rng_seed(5), other = tn_rng_seed(6);
    size_t hits[COUNT] = { 0 }, differing = 0;
    for (size_t d = 0; d < DRAWS; d++) {
        bool all[3][COUNT];
        size_t picks[3][K];
        memset(all, true, sizeof all);
        all[0][2] = all[1][2] = all[2][2] = false; /* used before */
        assert_int_equal(tn_select_random(all[0], COUNT, K, &rng, picks[0]), K);
        assert_int_equal(tn_select_random(all[1], COUNT, K, &twin, picks[1]), K);
        assert_int_equal(tn_select_random(all[2], COUNT, K, &other, picks[2]), K);
        assert_memory_equal(picks[0], picks[1], sizeof *picks);
        differing += memcmp(picks[0], picks[2], sizeof *picks) != 0;
        for (size_t i = 0; i < K; i++) {
            assert_true(picks[0][i] < COUNT && (i == 0 || picks[0][i] > picks[0][i - 1]));
            assert_false(all[0][picks[0][i]]);
            hits[picks[0][i]]++;
        }
    }
    assert_true(differing > DRAWS / 2);
    /* Each of the 7 is drawn with probability 3/7: standard deviation 70 draws, bound 5 of them. */
    for (size_t i = 0; i < COUNT; i++)
        assert_true(i == 2 ? hits[i] == 0 : labs((long)hits[i] - DRAWS * 3 / 7) < 350);
}

static void test_random_takes_what_is_left(void **state)
{
    (void)state;
    tn_rng rng = tn_rng_seed(9);
    bool available[] = { false, true, false, true };
    size_t picks[4];
    assert_int_equal(tn_select_random(available, 4, 4, &rng, picks), 2);
    assert_true(picks[0] == 1 && picks[1] == 3);
    assert_int_equal(tn_select_random(available, 4, 4, &rng, picks), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_top_against_brute_force), cmocka_unit_test(test_lowest_against_brute_force),
        cmocka_unit_test(test_orders_of_an_example),    cmocka_unit_test(test_exhaustion),
        cmocka_unit_test(test_nothing_to_pick),         cmocka_unit_test(test_random_draws),
        cmocka_unit_test(test_random_takes_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
