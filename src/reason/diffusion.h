/* Diffusion with a fixed schedule: noising as in DDPM (arXiv:2006.11239, equation 4), and sampling as in DDIM without noise
 * (arXiv:2010.02502, equation 12 with eta = 0). Nothing here knows the network that predicts the noise. */
#ifndef TN_REASON_DIFFUSION_H
#define TN_REASON_DIFFUSION_H

#include "base/real.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* T steps; beta rises linearly from the first to the last of them (arXiv:2006.11239, section 4). */
enum { TN_DIFFUSION_STEPS = 1000 };

/* Shares abar_t, t = 0 .. T, of the signal's variance that is left after t steps; abar_0 = 1. */
typedef struct tn_noise_schedule {
    double left[TN_DIFFUSION_STEPS + 1];
} tn_noise_schedule;

void tn_noise_schedule_fill(tn_noise_schedule *schedule);

/* Draws t, uniform in 1 .. T, and eps [count], standard normal, from a seed. */
size_t tn_diffusion_draw(uint64_t seed, tn_real *eps, size_t count);

/* x_t = sqrt(abar_t) x + sqrt(1 - abar_t) eps, in place: x [count] is x_0 before. */
void tn_diffusion_add_noise(const tn_noise_schedule *schedule, size_t t, const tn_real *eps, tn_real *x, size_t count);

/* Predicts the noise eps [count] in x [count] at step t. False ends the sampling. */
typedef bool tn_predict_fn(void *user, const tn_real *x, size_t t, tn_real *eps);

/* What is sampled. */
typedef struct tn_sampling_plan {
    size_t count;    /* values                                                                                                 */
    size_t steps;    /* predictions, 1 .. T, at equal distances from T down                                                    */
    uint64_t seed;   /* of x_T, standard normal; nothing else is drawn                                                         */
    const tn_real *lowest, *highest; /* [count] bounds of x_0, to which each prediction of it is clipped; NULL: none are known */
} tn_sampling_plan;

/* Writes a sample to x [count]; scratch [count]. False if a prediction failed. */
bool tn_diffusion_sample(const tn_sampling_plan *plan, tn_predict_fn *predict, void *user, tn_real *x, tn_real *scratch);

#endif
