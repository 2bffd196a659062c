/* Intervals and paired comparisons against values from exact fractions (Python's fractions and math.comb) and 50-digit decimals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "eval/statistics.h"

#include <math.h>

static void expect_near(double value, double expected, double tolerance)
{
    assert_true(fabs(value - expected) <= tolerance * fmax(fabs(expected), 1e-300));
}

static void test_wilson(void **state)
{
    (void)state;
    const struct {
        size_t correct, total;
        double low, high;
    } cases[] = {
        { 1, 2, 0.094531205734230725, 0.90546879426576932 },
        { 3, 10, 0.10779126740630103, 0.60322185253885463 },
        { 1319, 2318, 0.54876752609719692, 0.5890541149043097 },
        { 1332, 2017, 0.63943179475495104, 0.68073186636548677 },
        { 3188, 4241, 0.73848333588550941, 0.76448008941828216 },
        { 1, 100000, 1.7652477303783126e-06, 5.664709659040965e-05 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_interval interval = tn_wilson(cases[i].correct, cases[i].total, TN_Z95);
        assert_true(fabs(interval.low - cases[i].low) <= 1e-12 && fabs(interval.high - cases[i].high) <= 1e-12);
    }
}

static void test_wilson_edges(void **state)
{
    (void)state;
    tn_interval none = tn_wilson(0, 0, TN_Z95), all = tn_wilson(7, 7, TN_Z95), zero = tn_wilson(0, 7, TN_Z95);
    assert_true(none.low == 0 && none.high == 1);
    assert_true(all.high == 1 && all.low > 0.6 && all.low < 0.7);
    assert_true(zero.low == 0 && fabs(zero.high - (1 - all.low)) < 1e-12);
    tn_interval more = tn_wilson(9, 7, TN_Z95);
    assert_true(more.low == all.low && more.high == 1);
    for (size_t total = 1; total < 200; total++)
        for (size_t correct = 0; correct <= total; correct++) {
            tn_interval interval = tn_wilson(correct, total, TN_Z95);
            double p = (double)correct / (double)total;
            assert_true(interval.low >= 0 && interval.low <= p && p <= interval.high && interval.high <= 1);
        }
}

/* Published examples: Altman et al. 2000, table 6.2 (also in R's biostatUZH), and tests of R's contingencytables 3.1.0 (Cavo et
 * al. 2012, Bentur et al. 2009, of Fagerland et al. 2014); there the difference is first minus second. */
static void test_difference(void **state)
{
    (void)state;
    static const struct {
        tn_paired pairs;
        double low, high; /* first minus second */
    } cases[] = {
        { { 59, 6, 16, 80 }, -0.1186, -0.0046 },
        { { 1, 1, 7, 12 }, -0.507, -0.026 },
        { { 14, 5, 0, 22 }, 0.011, 0.226 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_interval found = tn_paired_difference(&cases[i].pairs, TN_Z95);
        double digits = i == 0 ? 5e-5 : 5e-4;
        assert_true(fabs(-found.high - cases[i].low) <= digits && fabs(-found.low - cases[i].high) <= digits);
        const tn_paired turned = { cases[i].pairs.both, cases[i].pairs.only_second, cases[i].pairs.only_first, cases[i].pairs.neither };
        tn_interval other = tn_paired_difference(&turned, TN_Z95);
        assert_true(fabs(other.low + found.high) < 1e-12 && fabs(other.high + found.low) < 1e-12);
    }
}

/* For all counts, the interval is within the possible range and contains the difference. The normal interval of paired shares
 * would leave the range. */
static void test_difference_is_possible(void **state)
{
    (void)state;
    enum { MOST = 14 };
    for (size_t a = 0; a <= MOST; a++)
        for (size_t b = 0; a + b <= MOST; b++)
            for (size_t c = 0; a + b + c <= MOST; c++)
                for (size_t d = 0; a + b + c + d <= MOST; d++) {
                    tn_interval found = tn_paired_difference(&(tn_paired){ a, b, c, d }, TN_Z95);
                    double n = (double)(a + b + c + d), difference = n > 0 ? ((double)c - (double)b) / n : 0;
                    assert_true(found.low >= -1 && found.high <= 1 && found.low <= difference && difference <= found.high);
                    assert_true(found.high - found.low > 0.01);
                }
    tn_interval all = tn_paired_difference(&(tn_paired){ 0, 30, 0, 1 }, TN_Z95);
    double share = 30.0 / 31, normal = TN_Z95 * sqrt(share * (1 - share) / 31);
    assert_true(-share - normal < -1); /* what was printed before */
    assert_true(all.low > -1 && all.low < -share && all.high > -share && all.high < -0.75);
}

static void test_exact(void **state)
{
    (void)state;
    const struct {
        size_t b, c;
        double p;
    } cases[] = {
        { 1, 0, 1.0 },
        { 6, 0, 0.03125 },
        { 2, 9, 0.0654296875 },
        { 10, 25, 0.01667384780012071 },
        { 40, 41, 1.0 },
        { 120, 200, 9.079968569115874e-06 },
        { 0, 60, 1.734723475976807e-18 },
        { 300, 900, 5.3451220728110286e-70 },
        { 1, 1000, 9.351301457402253e-299 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_near(tn_mcnemar_exact(&(tn_paired){ 5, cases[i].b, cases[i].c, 9 }), cases[i].p, 1e-9);
        expect_near(tn_mcnemar_exact(&(tn_paired){ 0, cases[i].c, cases[i].b, 1 }), cases[i].p, 1e-9);
    }
    assert_true(tn_mcnemar_exact(&(tn_paired){ 5, 4, 4, 9 }) == 1 && tn_mcnemar_exact(&(tn_paired){ 5, 0, 0, 9 }) == 1);
    assert_true(tn_mcnemar_exact(&(tn_paired){ 5, 4, 5, 9 }) == 1);
}

static void test_chi2(void **state)
{
    (void)state;
    double statistic;
    expect_near(tn_mcnemar_chi2(&(tn_paired){ 1, 10, 25, 1 }, &statistic), 0.017960477526078766, 1e-9);
    expect_near(statistic, 5.6, 1e-12);
    assert_true(tn_mcnemar_chi2(&(tn_paired){ 1, 0, 0, 1 }, &statistic) == 1 && statistic == 0);
    assert_true(tn_mcnemar_chi2(&(tn_paired){ 1, 3, 3, 1 }, NULL) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wilson),
        cmocka_unit_test(test_wilson_edges),
        cmocka_unit_test(test_difference),
        cmocka_unit_test(test_difference_is_possible),
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_chi2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
