/* Converts a sample of a data set to a training example. */
#include "train/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

tenebra_code tn_trainer_count_steps(const tn_trainer *trainer, const tn_sample *sample, size_t *count, tenebra_error *error)
{
    tn_steps steps;
    TN_TRY(tn_steps_split(&steps, sample->rationale, trainer->config->step_groups, error));
    *count = steps.count;
    tn_steps_free(&steps);
    return TENEBRA_OK;
}

/* The regions of a sample, which come after so many of its `steps`; the caller frees them. */
static tenebra_code take_regions(const tn_sample *sample, const tn_steps *steps, tn_sample_region **regions, tenebra_error *error)
{
    *regions = calloc(sample->region_count + 1, sizeof **regions);
    if (*regions == NULL)
        return tn_fail_memory(error, "regions");
    for (size_t i = 0; i < sample->region_count; i++) {
        (*regions)[i] = sample->regions[i];
        (*regions)[i].after = tn_steps_within(steps, sample->regions[i].after);
    }
    return TENEBRA_OK;
}

static tenebra_code prepare(tn_trainer *trainer, size_t number, size_t stage, const tn_steps *steps, tn_train_example *example,
                            tenebra_error *error)
{
    const tn_sample *sample = tn_data_sample(trainer->data, number);
    tn_asked asked;
    tn_sample_region *regions = NULL;
    char *answer;
    TN_TRY(tn_prompt_answer(trainer->prompt, sample, &answer, error));
    tenebra_code code = take_regions(sample, steps, &regions, error);
    if (code == TENEBRA_OK)
        code = tn_asked_write(&asked, trainer->prompt, sample, error);
    if (code == TENEBRA_OK) {
        tn_stage_effect effect = tn_stage_apply(trainer->config, stage, steps->count);
        tn_train_example_source source = {
            .messages = &asked.message, .message_count = 1, .steps = steps->items, .step_count = steps->count,
            .step = { trainer->prompt->step[0], trainer->prompt->step[1] }, .answer = answer, .regions = regions,
            .region_count = sample->region_count, .latents = effect.latents,
            .skip = effect.skip < steps->count ? effect.skip : steps->count, .limit = trainer->config->cutoff,
        };
        code = tn_training_prepare(trainer->training, &source, example, error);
        example->number = number;
        tn_asked_free(&asked);
    }
    free(answer);
    free(regions);
    return code;
}

tenebra_code tn_trainer_prepare(tn_trainer *trainer, size_t sample_index, size_t stage, tn_train_example *example, tenebra_error *error)
{
    const tn_sample *sample = tn_data_sample(trainer->data, sample_index);
    tenebra_error problem = { 0 };
    tn_steps steps;
    tenebra_code code = tn_steps_split(&steps, sample->rationale, trainer->config->step_groups, &problem);
    if (code == TENEBRA_OK) {
        code = prepare(trainer, sample_index, stage, &steps, example, &problem);
        tn_steps_free(&steps);
    }
    if (code != TENEBRA_OK)
        tn_fail(error, code, problem.where, "%.350s (sample '%.80s' of the training set)", problem.sentence, sample->id);
    return code;
}
