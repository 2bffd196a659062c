#include "reason/diffusion.h"

#include "base/rng.h"

#include <math.h>

void tn_noise_schedule_fill(tn_noise_schedule *schedule)
{
    static const double first = 1e-4, last = 0.02;
    schedule->left[0] = 1;
    for (size_t t = 1; t <= TN_DIFFUSION_STEPS; t++)
        schedule->left[t] = schedule->left[t - 1] * (1 - (first + (last - first) * (double)(t - 1) / (TN_DIFFUSION_STEPS - 1)));
}

static void draw_normal(tn_rng *rng, tn_real *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (tn_real)tn_rng_normal(rng);
}

size_t tn_diffusion_draw(uint64_t seed, tn_real *eps, size_t count)
{
    tn_rng rng = tn_rng_seed(seed);
    size_t t = 1 + (size_t)tn_rng_below(&rng, TN_DIFFUSION_STEPS);
    draw_normal(&rng, eps, count);
    return t;
}

void tn_diffusion_add_noise(const tn_noise_schedule *schedule, size_t t, const tn_real *eps, tn_real *x, size_t count)
{
    double signal = sqrt(schedule->left[t]), noise = sqrt(1 - schedule->left[t]);
    for (size_t i = 0; i < count; i++)
        x[i] = (tn_real)(signal * (double)x[i] + noise * (double)eps[i]);
}

/* One step from abar to `next`: x_0 = (x - sqrt(1 - abar) eps) / sqrt(abar), then the same noise at the next level. If x_0 was
 * clipped, the noise is the one with which it gives x. */
static void step(const tn_sampling_plan *plan, double left, double next, const tn_real *eps, tn_real *x)
{
    double signal = sqrt(left), noise = sqrt(1 - left);
    for (size_t i = 0; i < plan->count; i++) {
        double e = (double)eps[i], now = (double)x[i], clean = (now - noise * e) / signal;
        if (plan->lowest != NULL) {
            clean = fmin(fmax(clean, (double)plan->lowest[i]), (double)plan->highest[i]);
            e = (now - signal * clean) / noise;
        }
        x[i] = (tn_real)(sqrt(next) * clean + sqrt(1 - next) * e);
    }
}

bool tn_diffusion_sample(const tn_sampling_plan *plan, tn_predict_fn *predict, void *user, tn_real *x, tn_real *scratch)
{
    tn_noise_schedule schedule;
    tn_rng rng = tn_rng_seed(plan->seed);
    tn_noise_schedule_fill(&schedule);
    draw_normal(&rng, x, plan->count);
    for (size_t i = plan->steps; i > 0; i--) {
        size_t t = TN_DIFFUSION_STEPS * i / plan->steps, next = TN_DIFFUSION_STEPS * (i - 1) / plan->steps;
        if (!predict(user, x, t, scratch))
            return false;
        step(plan, schedule.left[t], schedule.left[next], scratch, x);
    }
    return true;
}
