/* Nearest names: what counts as near, and what does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/nearest.h"

static const char *hint_for(const char *word, const char *names)
{
    static tn_nearest nearest;
    nearest = tn_nearest_of(word, strlen(word));
    tn_nearest_try_list(&nearest, names, '|');
    return tn_nearest_hint(&nearest);
}

static void test_near(void **state)
{
    (void)state;
    static const struct {
        const char *word, *name;
    } pairs[] = { { "rnu", "run" }, { "n-latnet", "n-latent" }, { "n_latent", "n-latent" }, { "IVT-LR", "ivt-lr" },
                  { "ivtlr", "ivt-lr" }, { "evall", "eval" }, { "threds", "threads" }, { "batch-sise", "batch_size" },
                  { "trane", "train" } };
    const char *names = "train|run|eval|n-latent|ivt-lr|threads|batch_size";
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char wanted[64] = "; did you mean '";
        assert_string_equal(hint_for(pairs[i].word, names), strcat(strcat(wanted, pairs[i].name), "'?"));
    }
}

static void test_far(void **state)
{
    (void)state;
    const char *names = "train|run|eval|n-latent|ivt-lr|threads|cot|a";
    static const char *const words[] = { "", "telepathy", "think", "x", "qqqqqqqq", "runtime", "ab" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_string_equal(hint_for(words[i], names), i == 6 ? "; did you mean 'a'?" : "");
}

static void test_ties_and_lengths(void **state)
{
    (void)state;
    assert_string_equal(hint_for("cat", "bat|hat|at"), "; did you mean 'bat'?"); /* the first of three at distance 1 */
    assert_string_equal(hint_for("cat", "||"), "");
    char longest[TN_NEAREST_LONGEST + 2];
    memset(longest, 'x', sizeof longest);
    longest[TN_NEAREST_LONGEST + 1] = '\0';
    assert_string_equal(hint_for(longest, longest), ""); /* too long to be compared */
    assert_string_not_equal(hint_for(longest + 1, longest + 1), "");
    tn_nearest part = tn_nearest_of("threads=0.5", 7);
    tn_nearest_try(&part, "threads");
    assert_int_equal(part.distance, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_near), cmocka_unit_test(test_far),
                                        cmocka_unit_test(test_ties_and_lengths) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
