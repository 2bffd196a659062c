#include "train/stages.h"

#include "base/checked.h"
#include "reason/method.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Windows of this many batches are sorted by length: similar inside of a batch, random beyond. */
enum { SORT_BATCHES = 50 };

bool tn_train_is_staged(const tn_train_config *config)
{
    return tn_method_option_that_means(config->method, TN_MEANS_LATENT_STEPS) != NULL;
}

size_t tn_stage_of_epoch(const tn_train_config *config, size_t epoch)
{
    if (!tn_train_is_staged(config))
        return 0;
    return tn_min(epoch / config->epochs_per_stage, config->max_latent_stage + 1);
}

tn_stage_effect tn_stage_apply(const tn_train_config *config, size_t stage, size_t step_count)
{
    tn_stage_effect effect = { .stage = stage, .latents = stage, .skip = stage };
    if (stage > config->max_latent_stage) {
        effect.skip = TN_SKIP_ALL;
        effect.latents = config->pad_latents ? config->max_latent_stage : tn_min(config->max_latent_stage, step_count);
    }
    effect.latents = config->latents_off ? 0 : effect.latents * config->thoughts;
    return effect;
}

size_t tn_stage_draw(const tn_train_config *config, size_t epoch, size_t sample, size_t step_count)
{
    size_t stage = tn_stage_of_epoch(config, epoch);
    if (config->uniform_prob <= 0 || !tn_train_is_staged(config))
        return stage;
    tn_rng rng = tn_rng_seed(tn_seed_mix(config->seed, 2 * (uint64_t)epoch + 1, sample));
    if (tn_rng_uniform(&rng) >= config->uniform_prob)
        return stage;
    return (size_t)tn_rng_below(&rng, (uint64_t)step_count + 1);
}

/* --------------------------------------------------------------- order -- */

typedef struct sized {
    size_t length, place, index;
} sized;

static int by_length(const void *a, const void *b)
{
    const sized *x = a, *y = b;
    if (x->length != y->length)
        return x->length < y->length ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static void shuffle(size_t *values, size_t count, tn_rng *rng)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)tn_rng_below(rng, i), value = values[i - 1];
        values[i - 1] = values[j];
        values[j] = value;
    }
}

/* Sorts windows of the shuffled order by length. Then shuffles whole batches; a last, smaller one stays last. */
static tenebra_code group(size_t *order, size_t count, const size_t *lengths, size_t batch, tn_rng *rng, tenebra_error *error)
{
    size_t batches = count / batch, window = batch * SORT_BATCHES;
    sized *items = calloc(count, sizeof *items);
    size_t *places = calloc(batches + 1, sizeof *places);
    if (items == NULL || places == NULL) {
        free(items);
        free(places);
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "data", "no memory for the order of %zu samples", count);
    }
    for (size_t i = 0; i < count; i++)
        items[i] = (sized){ lengths[order[i]], i, order[i] };
    for (size_t begin = 0; begin < count; begin += window)
        qsort(items + begin, tn_min(window, count - begin), sizeof *items, by_length);
    for (size_t i = 0; i < batches; i++)
        places[i] = i;
    shuffle(places, batches, rng);
    for (size_t i = 0; i < count; i++)
        order[i] = items[i < batches * batch ? places[i / batch] * batch + i % batch : i].index;
    free(items);
    free(places);
    return TENEBRA_OK;
}

tenebra_code tn_order_fill(size_t *order, size_t count, uint64_t seed, size_t epoch, const size_t *lengths, size_t batch,
                           tenebra_error *error)
{
    tn_rng rng = tn_rng_seed(tn_seed_mix(seed, 2 * (uint64_t)epoch, 0));
    for (size_t i = 0; i < count; i++)
        order[i] = i;
    shuffle(order, count, &rng);
    if (lengths == NULL || batch < 2 || count == 0)
        return TENEBRA_OK;
    return group(order, count, lengths, batch, &rng, error);
}

/* ------------------------------------------------------------ schedule -- */

tenebra_code tn_run_plan_make(tn_run_plan *plan, const tn_train_config *config, size_t samples, tenebra_error *error)
{
    *plan = (tn_run_plan){ .samples = samples, .first_epoch = config->first_epoch, .epochs = config->epochs };
    if (samples == 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "data", "the split '%s' of the training set has no samples; "
                       "train_split names another", config->train_split != NULL ? config->train_split : "train");
    if (config->epochs <= config->first_epoch)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "num_epochs", "no epochs are left: %zu in all, and 'resume' skips the first "
                       "%zu", config->epochs, config->first_epoch);
    plan->update_samples = config->batch_size * config->accumulation * config->devices; /* each at most 65536 */
    plan->updates_per_epoch = tn_pieces(samples, plan->update_samples);
    if (!tn_size_mul(plan->updates_per_epoch, config->epochs - config->first_epoch, &plan->updates))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "num_epochs", "the number of updates is too large");
    if (config->max_updates > 0)
        plan->updates = tn_min(plan->updates, config->max_updates);
    size_t warmup = config->warmup_updates > 0 ? config->warmup_updates
                                               : (size_t)ceil(config->warmup_ratio * (double)plan->updates);
    plan->schedule = (tn_schedule){ (tn_schedule_kind)config->schedule, warmup, plan->updates };
    return TENEBRA_OK;
}

void tn_run_plan_warn(const tn_run_plan *plan, const tn_train_config *config, void (*tell)(void *user, const char *sentence),
                      void *user)
{
    char text[400];
    size_t last = (plan->updates - 1) / plan->updates_per_epoch + plan->first_epoch;
    size_t reached = tn_stage_of_epoch(config, last);
    if (tn_train_is_staged(config) && reached < config->max_latent_stage) {
        snprintf(text, sizeof text, "stage %zu is the last one reached: stages %zu to %zu (max_latent_stage) would require %zu epochs, but "
                                    "the run ends after epoch %zu", reached, reached + 1, config->max_latent_stage,
                 (config->max_latent_stage + 1) * config->epochs_per_stage, last + 1);
        tell(user, text);
    }
    if (tn_train_is_staged(config) && config->step_groups > 0 && config->step_groups < config->max_latent_stage) {
        snprintf(text, sizeof text, "rationales have at most %zu steps (step_groups): stages after %zu add latents that replace no "
                                    "step", config->step_groups, config->step_groups);
        tell(user, text);
    }
    if (plan->schedule.warmup >= plan->updates && plan->schedule.warmup > 0)
        tell(user, "the whole run is warm-up: the full learning rate is never reached");
    if (plan->update_samples > plan->samples) {
        snprintf(text, sizeof text, "an update takes %zu samples, and there are %zu: each epoch is one update",
                 plan->update_samples, plan->samples);
        tell(user, text);
    }
    if (config->devices == 1 && config->accumulation > 1 && !config->shape) {
        snprintf(text, sizeof text, "one process trains: the effective batch is %zu. A recipe for several devices keeps its batch "
                 "with num_devices: N", plan->update_samples);
        tell(user, text);
    }
}
