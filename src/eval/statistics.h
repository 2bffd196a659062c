/* Statistics of counts: intervals of an accuracy, and the comparison of two methods on the same questions. */
#ifndef TN_EVAL_STATISTICS_H
#define TN_EVAL_STATISTICS_H

#include <stddef.h>

/* The quantile of the normal distribution for intervals of 95 %. */
#define TN_Z95 1.959963984540054

typedef struct tn_interval {
    double low, high; /* fractions, 0..1 */
} tn_interval;

/* Wilson's score interval of the fraction correct / total for the quantile `z` (> 0). Without trials (total 0) it is
 * 0..1. correct > total counts as total. Source: Wilson 1927, JASA 22(158), equation 8. Threads: any. */
tn_interval tn_wilson(size_t correct, size_t total, double z);

/* Two methods on the same questions. */
typedef struct tn_paired {
    size_t both, only_first, only_second, neither; /* questions answered correctly */
} tn_paired;

/* Interval of the difference of their accuracies, second minus first, -1..1, for the quantile `z`: Newcombe's "square
 * and add" of Wilson's intervals with the correlation of the pairs (phi, corrected for continuity; 0 if a margin is
 * empty). It lies within -1..1, contains the difference itself, and is not a single point if the two never differ.
 * Without questions it is -1..1. Source: Newcombe 1998, Statist. Med. 17:2635-2650, method 10; Altman et al. 2000,
 * Statistics with Confidence, chapter 6. */
tn_interval tn_paired_difference(const tn_paired *paired, double z);

/* The probability of a split of the differing questions that is at least as uneven, if both methods are equally good:
 * two-sided, exact (binomial), at most 1; 1 if they never differ. Work grows with the number of differing questions.
 * Source: McNemar 1947, Psychometrika 12(2); the exact form as in Fagerland et al. 2013, BMC Med. Res. Methodol. 13:91.
 * Threads: any. */
double tn_mcnemar_exact(const tn_paired *paired);

/* The same by the chi-square distribution with one degree of freedom, with Edwards' correction for continuity;
 * *statistic (may be NULL) is set to chi-square. 0 and probability 1 if they never differ. Suitable for 25 differing
 * questions or more. */
double tn_mcnemar_chi2(const tn_paired *paired, double *statistic);

#endif
