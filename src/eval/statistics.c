#include "eval/statistics.h"

#include <math.h>

tn_interval tn_wilson(size_t correct, size_t total, double z)
{
    if (total == 0)
        return (tn_interval){ 0, 1 };
    double n = (double)total, p = (double)(correct < total ? correct : total) / n, z2 = z * z;
    double middle = (p + z2 / (2 * n)) / (1 + z2 / n);
    double half = z / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
    /* Rounding must not leave the range, and the ends for 0 of n and n of n are exact. */
    double low = correct == 0 ? 0 : fmax(0, middle - half);
    double high = correct >= total ? 1 : fmin(1, middle + half);
    return (tn_interval){ low, high };
}

/* Correlation of the pairs, corrected for continuity. */
static double phi_of(double a, double b, double c, double d)
{
    double n = a + b + c + d, margins = (a + b) * (c + d) * (a + c) * (b + d), product = a * d - b * c;
    if (margins <= 0)
        return 0;
    if (product > 0)
        product = fmax(product - n / 2, 0);
    return product / sqrt(margins);
}

/* The length of the sum of two vectors with this correlation. */
static double square_and_add(double one, double two, double phi)
{
    return sqrt(fmax(0, one * one - 2 * phi * one * two + two * two));
}

tn_interval tn_paired_difference(const tn_paired *paired, double z)
{
    double a = (double)paired->both, b = (double)paired->only_first, c = (double)paired->only_second, d = (double)paired->neither;
    double n = a + b + c + d;
    if (n == 0)
        return (tn_interval){ -1, 1 };
    size_t total = paired->both + paired->only_first + paired->only_second + paired->neither;
    tn_interval first = tn_wilson(paired->both + paired->only_first, total, z);
    tn_interval second = tn_wilson(paired->both + paired->only_second, total, z);
    double p1 = (a + b) / n, p2 = (a + c) / n, phi = phi_of(a, b, c, d), difference = (c - b) / n;
    return (tn_interval){ fmax(-1, difference - square_and_add(p2 - second.low, first.high - p1, phi)),
                          fmin(1, difference + square_and_add(second.high - p2, p1 - first.low, phi)) };
}

double tn_mcnemar_exact(const tn_paired *paired)
{
    size_t b = paired->only_first, c = paired->only_second, m = b < c ? b : c;
    double n = (double)b + (double)c;
    if (b == c)
        return 1;
    /* The logarithm of the probability of exactly m of n; the probability may be smaller than any double. */
    double last = -n * log(2.0);
    for (size_t i = 1; i <= m; i++)
        last += log((n - (double)m + (double)i) / (double)i);
    /* The smaller ones relative to it, downwards, until they add nothing. */
    double sum = 1, term = 1;
    for (size_t k = m; k > 0 && term > 1e-18 * sum; k--) {
        term *= (double)k / (n - (double)k + 1);
        sum += term;
    }
    return fmin(1, 2 * exp(last + log(sum)));
}

double tn_mcnemar_chi2(const tn_paired *paired, double *statistic)
{
    double b = (double)paired->only_first, c = (double)paired->only_second;
    double apart = fmax(0, fabs(b - c) - 1);
    double chi2 = b + c > 0 ? apart * apart / (b + c) : 0;
    if (statistic != NULL)
        *statistic = chi2;
    return erfc(sqrt(chi2 / 2));
}
