/* The stage of an epoch, the effect of a stage on a sample, and the order of samples.
 *
 * Everything here is a function of the configuration, the epoch and the sample's number, so that a stopped run can
 * continue from two numbers. Source: arXiv:2412.06769, section 4.1 and its published data code; arXiv:2510.12603,
 * section 3.3. */
#ifndef TN_TRAIN_STAGES_H
#define TN_TRAIN_STAGES_H

#include "base/rng.h"
#include "train/config.h"

/* Number of steps to leave out if a stage leaves out all. */
#define TN_SKIP_ALL ((size_t)1 << 30)

/* The effect on a sample: this many latent steps replace this many steps of its rationale. */
typedef struct tn_stage_effect {
    size_t stage, latents, skip;
} tn_stage_effect;

/* True if the method has latents, so that it has stages. */
bool tn_train_is_staged(const tn_train_config *config);

/* epoch / epochs_per_stage, at most max_latent_stage + 1; 0 always for methods without latents. */
size_t tn_stage_of_epoch(const tn_train_config *config, size_t epoch);

/* The stage applied to a sample of `step_count` steps. Stage s <= max_latent_stage: s * c_thought latents replace s
 * steps. Later: all steps are left out, and the number of latents is that of the last stage (fewer for a sample of few
 * steps, unless pad_latent_to_max). */
tn_stage_effect tn_stage_apply(const tn_train_config *config, size_t stage, size_t step_count);

/* The stage at which sample `sample` is trained in an epoch: the epoch's, or with probability uniform_prob one drawn
 * uniformly from 0 .. step_count. Drawn from (seed, epoch, sample). */
size_t tn_stage_draw(const tn_train_config *config, size_t epoch, size_t sample, size_t step_count);

/* Fills order [count] with a permutation of 0 .. count-1, drawn from (seed, epoch). With lengths [count] (may be NULL),
 * neighbours in runs of `batch` have similar lengths, and the runs are in random order. Errors: MEMORY. */
tenebra_code tn_order_fill(size_t *order, size_t count, uint64_t seed, size_t epoch, const size_t *lengths, size_t batch,
                           tenebra_error *error);

/* ------------------------------------------------------------ schedule -- */

/* The run as numbers, before anything runs. */
typedef struct tn_run_plan {
    size_t samples;            /* of an epoch                                    */
    size_t update_samples;     /* of an update: the effective batch              */
    size_t updates_per_epoch;  /* the last one may have fewer samples            */
    size_t first_epoch, epochs;
    size_t updates;            /* of the whole run, without those before first_epoch */
    tn_schedule schedule;
} tn_run_plan;

/* Errors: ARGUMENT (no samples, no epochs left, the product overflows). */
tenebra_code tn_run_plan_make(tn_run_plan *plan, const tn_train_config *config, size_t samples, tenebra_error *error);

/* Warnings that a user needs before starting an expensive run; calls `tell` for each sentence. */
void tn_run_plan_warn(const tn_run_plan *plan, const tn_train_config *config, void (*tell)(void *user, const char *sentence),
                      void *user);

#endif
