/* The generator compared with its published sequence, and the distributions of numbers made from it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"

/* SplitMix64 from the seed 1234567: the first five outputs of the reference program of Vigna (prng.di.unimi.it/splitmix64.c). */
static void the_sequence_is_the_published_one(void **state)
{
    (void)state;
    static const uint64_t expected[] = { 6457827717110365317u, 3203168211198807973u, 9817491932198370423u, 4593380528125082431u,
                                         16408922859458223821u };
    tn_rng rng = tn_rng_seed(1234567), other = tn_rng_seed(1234568);
    for (size_t i = 0; i < 5; i++) {
        assert_true(tn_rng_next(&rng) == expected[i]);
        assert_false(tn_rng_next(&other) == expected[i]);
    }
}

static void draws_below_a_bound_are_even(void **state)
{
    (void)state;
    enum { BOUND = 7, DRAWS = 70000 };
    size_t counts[BOUND] = { 0 };
    tn_rng rng = tn_rng_seed(3);
    for (size_t i = 0; i < DRAWS; i++) {
        uint64_t draw = tn_rng_below(&rng, BOUND);
        assert_true(draw < BOUND);
        counts[draw]++;
    }
    double chi2 = 0, expected = (double)DRAWS / BOUND;
    for (size_t i = 0; i < BOUND; i++)
        chi2 += ((double)counts[i] - expected) * ((double)counts[i] - expected) / expected;
    assert_true(chi2 < 22.46); /* six degrees of freedom, 0.001 */
    assert_true(chi2 > 0.38);  /* a distribution that is too even would also be wrong: the other tail */
    assert_true(tn_rng_below(&rng, 1) == 0);
    assert_true(tn_rng_below(&rng, UINT64_MAX) < UINT64_MAX);
}

static void normal_draws_have_mean_and_variance(void **state)
{
    (void)state;
    enum { DRAWS = 100000 };
    double sum = 0, squares = 0;
    tn_rng rng = tn_rng_seed(5);
    for (size_t i = 0; i < DRAWS; i++) {
        double draw = tn_rng_normal(&rng), uniform = tn_rng_uniform(&rng);
        assert_true(isfinite(draw));
        assert_true(uniform >= 0 && uniform < 1);
        sum += draw;
        squares += draw * draw;
    }
    assert_true(fabs(sum / DRAWS) < 4 / sqrt(DRAWS));              /* standard error 1 / sqrt(n)  */
    assert_true(fabs(squares / DRAWS - 1) < 4 * sqrt(2.0 / DRAWS)); /* of a variance: sqrt(2 / n) */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sequence_is_the_published_one),
        cmocka_unit_test(draws_below_a_bound_are_even),
        cmocka_unit_test(normal_draws_have_mean_and_variance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
