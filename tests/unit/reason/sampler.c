/* From logits to a token: greedy, and drawn with exactly the probabilities that the options define. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reason/sampler.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { V = 9, DRAWS = 60000 };

static const tn_real logits[V] = { 0.5f, 2.0f, -1.0f, 1.5f, 1.5f, -INFINITY, 0.0f, 1.0f, -3.0f };

static void test_greedy_takes_the_lowest_of_ties(void **state)
{
    (void)state;
    const tn_real ties[] = { 1, 3, 2, 3, 3 }, equal[] = { -4, -4, -4 };
    assert_int_equal(tn_sample_greedy(ties, 5), 1);
    assert_int_equal(tn_sample_greedy(equal, 3), 0);
    assert_int_equal(tn_sample_greedy(logits, V), 1);
    tn_sampler sampler = { .sampling = { .temperature = 0, .top_k = 1, .top_p = 0.1 } }; /* no scratch, not used */
    assert_int_equal(tn_sample_token(&sampler, logits, V), 1);
}

static void test_what_is_not_a_number(void **state)
{
    (void)state;
    const tn_real first[] = { NAN, 1, 5, NAN }, all[] = { NAN, NAN, NAN, NAN }, infinite[] = { 1, INFINITY, 2, NAN },
                  nothing[] = { -INFINITY, -INFINITY, -INFINITY, -INFINITY };
    assert_int_equal(tn_sample_greedy(first, 4), 2);
    assert_int_equal(tn_sample_greedy(all, 4), 0);
    tn_candidate scratch[4];
    tn_sampler sampler = { .sampling = { .temperature = 1, .top_p = 1 }, .rng = tn_rng_seed(3), .candidates = scratch };
    for (size_t i = 0; i < 200; i++) {
        int32_t token = tn_sample_token(&sampler, first, 4);
        assert_true(token == 1 || token == 2);
        assert_int_equal(tn_sample_token(&sampler, infinite, 4), 1);
        assert_in_range(tn_sample_token(&sampler, all, 4), 0, 3);
        assert_in_range(tn_sample_token(&sampler, nothing, 4), 0, 3);
        sampler.sampling.top_k = i % 6;
        sampler.sampling.top_p = i % 3 ? 0.5 : 1;
    }
}

/* ------------------------------------------------------- distributions -- */

typedef struct setting {
    double temperature, top_p;
    size_t top_k;
} setting;

/* The definition: softmax of logits / temperature, the top_k likeliest, of these the smallest set that
 * reaches top_p of their sum; ties to the lower id. */
static void exact_probabilities(setting s, double p[V])
{
    size_t order[V];
    double total = 0, reached = 0;
    for (size_t i = 0; i < V; i++) {
        size_t rank = 0;
        for (size_t j = 0; j < V; j++)
            rank += logits[j] > logits[i] || (logits[j] == logits[i] && j < i);
        order[rank] = i;
        p[i] = 0;
    }
    size_t kept = s.top_k > 0 && s.top_k < V ? s.top_k : V;
    for (size_t r = 0; r < kept; r++)
        total += exp((double)logits[order[r]] / s.temperature);
    for (size_t r = 0; r < kept && (r == 0 || reached < s.top_p); r++) {
        p[order[r]] = exp((double)logits[order[r]] / s.temperature) / total;
        reached += p[order[r]];
    }
    for (size_t i = 0; i < V; i++)
        p[i] /= reached;
}

static void count_draws(setting s, uint64_t seed, size_t counts[V])
{
    tn_candidate scratch[V];
    tn_sampler sampler = { { s.temperature, s.top_k, s.top_p, 0 }, tn_rng_seed(seed), scratch };
    memset(counts, 0, V * sizeof *counts);
    for (size_t d = 0; d < DRAWS; d++) {
        int32_t token = tn_sample_token(&sampler, logits, V);
        assert_in_range(token, 0, V - 1);
        counts[token]++;
    }
}

/* Pearson's statistic below mean + 6 standard deviations of its distribution; what has no probability
 * never occurs. */
static bool fits(const size_t counts[V], const double p[V])
{
    double statistic = 0, freedom = -1;
    for (size_t i = 0; i < V; i++) {
        if (p[i] == 0 && counts[i] > 0)
            return false;
        if (p[i] > 0) {
            double difference = (double)counts[i] - DRAWS * p[i];
            statistic += difference * difference / (DRAWS * p[i]);
            freedom += 1;
        }
    }
    return statistic <= freedom + 6 * sqrt(2 * freedom) + 1e-9;
}

static const setting settings[] = {
    { 1, 1, 0 }, { 0.6, 1, 0 }, { 2.5, 1, 0 }, { 1, 1, 3 }, { 1, 1, 1 }, { 1, 1, V }, { 1, 1, V + 5 },
    { 1, 0.8, 0 }, { 1, 0.3, 0 }, { 1.3, 0.7, 4 }, { 0.6, 0.95, 7 },
};
enum { SETTINGS = sizeof settings / sizeof *settings };

static void test_distributions(void **state)
{
    (void)state;
    for (size_t s = 0; s < SETTINGS; s++) {
        size_t counts[V];
        double p[V];
        exact_probabilities(settings[s], p);
        count_draws(settings[s], 100 + s, counts);
        if (!fits(counts, p))
            fail_msg("temperature %g, top-k %zu, top-p %g: not the distribution", settings[s].temperature,
                     settings[s].top_k, settings[s].top_p);
    }
}

/* Negative control of the statistic: each setting's draws do not fit a slightly different temperature, or no top-k or top-p. */
static void test_statistic_can_fail(void **state)
{
    (void)state;
    size_t counts[V];
    double p[V];
    count_draws((setting){ 1, 1, 0 }, 1, counts);
    exact_probabilities((setting){ 1.05, 1, 0 }, p);
    assert_false(fits(counts, p));
    exact_probabilities((setting){ 1, 1, 7 }, p);
    assert_false(fits(counts, p));
    count_draws((setting){ 1, 0.8, 0 }, 1, counts);
    exact_probabilities((setting){ 1, 1, 0 }, p);
    assert_false(fits(counts, p));
}

static void test_at_least_one_stays(void **state)
{
    (void)state;
    tn_candidate scratch[V];
    tn_sampler sampler = { { 1, 0, 1e-12, 0 }, tn_rng_seed(8), scratch };
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(tn_sample_token(&sampler, logits, V), 1);
    const tn_real equal[] = { 2, 2, 2 };
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(tn_sample_token(&sampler, equal, 3), 0);
}

static void test_tiny_temperature_is_greedy(void **state)
{
    (void)state;
    tn_candidate scratch[V];
    tn_sampler sampler = { { 1e-300, 0, 1, 0 }, tn_rng_seed(8), scratch };
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(tn_sample_token(&sampler, logits, V), 1);
}

static void test_seed_is_used(void **state)
{
    (void)state;
    enum { LENGTH = 40 };
    int32_t drawn[3][LENGTH];
    const uint64_t seeds[] = { 42, 42, 43 };
    for (size_t s = 0; s < 3; s++) {
        tn_candidate scratch[V];
        tn_sampler sampler = { { 1, 0, 1, 0 }, tn_rng_seed(seeds[s]), scratch };
        for (size_t i = 0; i < LENGTH; i++)
            drawn[s][i] = tn_sample_token(&sampler, logits, V);
    }
    assert_memory_equal(drawn[0], drawn[1], sizeof *drawn);
    assert_memory_not_equal(drawn[0], drawn[2], sizeof *drawn);
}

/* A complete vocabulary, with a simple sort as reference: index k has the k-th largest. */
static void test_large_vocabulary(void **state)
{
    (void)state;
    enum { LARGE = 5000, K = 50 };
    tn_real *many = calloc(LARGE, sizeof *many);
    tn_candidate *scratch = calloc(LARGE, sizeof *scratch);
    assert_true(many != NULL && scratch != NULL);
    tn_rng rng = tn_rng_seed(77);
    for (size_t i = 0; i < LARGE; i++)
        many[i] = (tn_real)(3 * tn_rng_normal(&rng));
    tn_sampler sampler = { { 50, K, 1, 0 }, tn_rng_seed(1), scratch }; /* hot: all K are about equally likely */
    bool seen[LARGE] = { false };
    for (size_t d = 0; d < 2000; d++)
        seen[tn_sample_token(&sampler, many, LARGE)] = true;
    size_t drawn = 0;
    for (size_t i = 0; i < LARGE; i++) {
        size_t rank = 0;
        for (size_t j = 0; seen[i] && j < LARGE; j++)
            rank += many[j] > many[i];
        assert_true(!seen[i] || rank < K);
        drawn += seen[i];
    }
    assert_int_equal(drawn, K);
    free(many);
    free(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy_takes_the_lowest_of_ties), cmocka_unit_test(test_what_is_not_a_number),
        cmocka_unit_test(test_distributions),                   cmocka_unit_test(test_statistic_can_fail),
        cmocka_unit_test(test_at_least_one_stays),              cmocka_unit_test(test_tiny_temperature_is_greedy),
        cmocka_unit_test(test_seed_is_used),                    cmocka_unit_test(test_large_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
