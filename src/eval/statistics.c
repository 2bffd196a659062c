#include "eval/statistics.h"

#include <math.h>

tn_interval tn_wilson(size_t correct, size_t total, double z)
{
    if (total == 0)
        return (tn_interval){ 0, 1 };
    double n = (double)total, p = (double)(correct < total ? correct : total) / n, z2 = z * z;
    double middle = (p + z2 / (2 * n)) / (1 + z2 / n);
    double half = z / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
    /* Rounding must not leave the range, nor keep 0 of n and n of n from their exact ends. */
    double low = correct == 0 ? 0 : fmax(0, middle - half);
    double high = correct >= total ? 1 : fmin(1, middle + half);
    return (tn_interval){ low, high };
}

double tn_mcnemar_exact(const tn_paired *paired)
{
    size_t b = paired->only_first, c = paired->only_second, m = b < c ? b : c;
    double n = (double)b + (double)c;
    if (b == c)
        return 1;
    /* The probability of exactly m of n, as a logarithm: it may be smaller than any double. */
    double last = -n * log(2.0);
    for (size_t i = 1; i <= m; i++)
        last += log((n - (double)m + (double)i) / (double)i);
    /* Those below relative to it, downwards, until they add nothing. */
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
