/* Every kernel set's functions of vectors against double precision, at every length up to 70. */
#include "property/kern/common.h"

enum { LONGEST = 70 };

/* The distance of two floats next to `value`; of denormals at the least. */
static double ulp(double value)
{
    int exponent;
    frexp(value, &exponent);
    return ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
}

static void test_dot_and_axpy(void **state)
{
    (void)state;
    TN_EACH_SET(kernels)
        for (size_t n = 0; n <= LONGEST; n++) {
            tn_rng rng = tn_rng_seed(n);
            float *a = random_floats(&rng, n, 1), *b = random_floats(&rng, n, 1), *y = random_floats(&rng, n + 1, 1);
            double sum = 0, size = 0;
            for (size_t i = 0; i < n; i++) {
                sum += (double)a[i] * (double)b[i];
                size += fabs((double)a[i] * (double)b[i]);
            }
            double dot = kernels->dot(a, b, n);
            assert_true(within(dot, sum, gamma_of(n) * size));
            assert_true(n == 0 || !within(dot, sum + size / (double)n, gamma_of(n) * size)); /* one product too many */
            float *before = take(n + 1, sizeof *before);
            memcpy(before, y, (n + 1) * sizeof *y);
            kernels->axpy(y, 0.7f, a, n);
            for (size_t i = 0; i < n; i++) {
                double product = (double)0.7f * (double)a[i], expected = (double)before[i] + product;
                assert_true(within(y[i], expected, gamma_of(2) * (fabs((double)before[i]) + fabs(product))));
            }
            assert_memory_equal(y + n, before + n, sizeof *y);
            if (n > 0) {
                a[n - 1] = NAN;
                assert_true(isnan(kernels->dot(a, b, n)));
            }
            free(a);
            free(b);
            free(y);
            free(before);
        }
}

static void test_max(void **state)
{
    (void)state;
    TN_EACH_SET(kernels)
        for (size_t n = 1; n <= LONGEST; n++)
            for (size_t at = 0; at < n; at++) {
                float *x = take(n, sizeof *x);
                for (size_t i = 0; i < n; i++)
                    x[i] = -(float)(i + 2);
                x[at] = -1;
                assert_true(kernels->max(x, n) == -1);
                x[at] = INFINITY;
                assert_true(kernels->max(x, n) == INFINITY);
                x[(at + n / 2) % n] = NAN; /* next to an infinity, before or after it */
                assert_true(isnan(kernels->max(x, n)));
                for (size_t i = 0; i < n; i++)
                    x[i] = -INFINITY;
                assert_true(kernels->max(x, n) == -INFINITY);
                free(x);
            }
}

static void test_exp_sum_of_short_vectors(void **state)
{
    (void)state;
    TN_EACH_SET(kernels)
        for (size_t n = 0; n <= LONGEST; n++) {
            tn_rng rng = tn_rng_seed(n);
            float *x = random_floats(&rng, n + 1, 5), shift = 21;
            double expected = 0, largest = 0;
            for (size_t i = 0; i < n; i++) {
                double term = exp((double)(x[i] - shift));
                expected += term;
                largest = term > largest ? term : largest;
            }
            float after = x[n];
            double sum = kernels->exp_sum(x, n, shift);
            assert_true(within(sum, expected, gamma_of(n + 4) * expected));
            assert_true(n == 0 || !within(sum, expected - largest, gamma_of(n + 4) * expected)); /* one left out */
            assert_memory_equal(&after, &x[n], sizeof after);
            free(x);
        }
}

/* Every 4003rd float from 0 to -120 (a billion and more exist), within 1 unit in the last place. */
static void test_exponentials(void **state)
{
    (void)state;
    TN_EACH_SET(kernels) {
        double worst = 0;
        for (uint32_t bits = 0x80000000u; bits < 0xC2F00000u; bits += 4003 * 64) {
            float x[64], given[64];
            for (uint32_t i = 0; i < 64; i++) {
                uint32_t word = bits + 4003 * i;
                memcpy(&given[i], &word, sizeof word);
            }
            memcpy(x, given, sizeof x);
            kernels->exp_sum(x, 64, 0);
            for (size_t i = 0; i < 64; i++) {
                double expected = exp((double)given[i]), off = fabs((double)x[i] - expected) / ulp(expected);
                worst = off > worst ? off : worst;
                assert_true(off <= 1);
            }
        }
        print_message("%s: exponential off by at most %.2f units in the last place\n", kernels->name, worst);
    }
}

static void test_exponentials_of_special_values(void **state)
{
    (void)state;
    TN_EACH_SET(kernels)
        for (size_t n = 3; n <= LONGEST; n++) {
            float *x = take(n, sizeof *x);
            for (size_t i = 0; i < n; i++)
                x[i] = -INFINITY;
            x[1] = 2;
            assert_true(kernels->exp_sum(x, n, 2) == 1);
            for (size_t i = 0; i < n; i++)
                assert_true(x[i] == (i == 1));
            x[n - 1] = NAN;
            assert_true(isnan(kernels->exp_sum(x, n, 2)));
            assert_true(isnan(x[n - 1]) && !isnan(x[0]));
            free(x);
        }
}

/* x sigmoid(slope x) in double, and how far floats may be from it: the rounding of slope and of the
 * product change e^(slope x) by 2 |slope x| u; 1 ulp of the exponential, an addition, a division and a
 * multiplication make 5 u. Beyond the range of e^x the result is 0 instead of less than 90 / FLT_MAX. */
static bool gate_is_right(float value, float x, double slope, double factor)
{
    double expected = (double)x / (1 + exp(-slope * (double)x)) * factor;
    double u = 0x1p-24, off = (2 * fabs(slope * (double)x) + 5) * u * fabs(expected);
    return within(value, expected, off + 90 / (double)FLT_MAX * fabs(factor) + 0x1p-149);
}

static void test_gates(void **state)
{
    (void)state;
    TN_EACH_SET(kernels)
        for (size_t n = 1; n <= LONGEST; n++) {
            tn_rng rng = tn_rng_seed(n);
            float *x = random_floats(&rng, n + 1, n % 2 ? 3 : 60), *up = random_floats(&rng, n, 1);
            float *gate = take(n + 1, sizeof *gate);
            memcpy(gate, x, (n + 1) * sizeof *gate);
            kernels->silu_mul(gate, up, n);
            for (size_t i = 0; i < n; i++) {
                assert_true(gate_is_right(gate[i], x[i], 1, (double)up[i]));
                if (x[i] > 1 && fabsf(up[i]) > 0.01f)
                    assert_false(gate_is_right(gate[i] * (1 + 0x1p-14f), x[i], 1, (double)up[i]));
            }
            assert_memory_equal(&gate[n], &x[n], sizeof *x);
            memcpy(gate, x, (n + 1) * sizeof *gate);
            kernels->quick_gelu(gate, n);
            for (size_t i = 0; i < n; i++)
                assert_true(gate_is_right(gate[i], x[i], 1.702, 1));
            assert_memory_equal(&gate[n], &x[n], sizeof *x);
            gate[n - 1] = NAN;
            kernels->quick_gelu(gate, n);
            assert_true(isnan(gate[n - 1]));
            gate[0] = NAN;
            kernels->silu_mul(gate, up, n);
            assert_true(isnan(gate[0]));
            gate[0] = 1e30f;
            kernels->quick_gelu(gate, 1);
            assert_true(gate[0] == 1e30f);
            free(x);
            free(up);
            free(gate);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dot_and_axpy),
        cmocka_unit_test(test_max),
        cmocka_unit_test(test_exp_sum_of_short_vectors),
        cmocka_unit_test(test_exponentials),
        cmocka_unit_test(test_exponentials_of_special_values),
        cmocka_unit_test(test_gates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
