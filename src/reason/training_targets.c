/* Mean and deviation of what a module's denoiser reconstructs, over training examples. */
#include "reason/modules.h"
#include "reason/training_batch.h"

#include <math.h>

bool tn_training_denoiser(const tn_training *training, tn_denoiser *denoiser)
{
    *denoiser = tn_modules_denoiser(training->model, training->reasoner.method);
    return tn_denoiser_is_present(denoiser);
}

/* Adds the first image of each example. */
static void add_examples(tn_batch *b, const tn_denoiser *d, tn_denoiser_sums *sums)
{
    const tn_decoder *decoder = &b->training->model->decoder;
    for (size_t i = 0; i < b->count && b->ops->failure.code == TENEBRA_OK; i++) {
        const tn_example_run *run = &b->runs[i];
        size_t mark = tn_ops_mark(b->ops);
        const tn_denoiser_target target =
            run->example->picture_count > 0 ? tn_denoiser_target_of(b->ops, d, &(tn_denoiser_source){
                                                  &run->pictures[0], &decoder->embed,
                                                  run->example->small != NULL ? run->example->small[0].pixels : NULL })
                                            : (tn_denoiser_target){ 0 };
        if (target.values != NULL)
            tn_denoiser_sums_add(sums, d, &target);
        tn_ops_release(b->ops, mark);
    }
}

tenebra_code tn_training_add_targets(tn_training *training, const tn_train_example *const *examples, size_t count, tn_denoiser_sums *sums,
                                     tenebra_error *error)
{
    tn_training_result unused = { .auxiliary = (double)NAN };
    tn_engine *engine = training->session->engine;
    tn_update update = { .examples = examples, .count = count };
    tn_batch b = { .training = training, .engine = engine, .ops = &engine->ops, .update = &update, .mode = TN_TRAINING_MEASURE,
                   .count = count, .result = &unused };
    tn_denoiser d;
    if (!tn_training_denoiser(training, &d))
        return TENEBRA_OK;
    b.runs = tn_batch_take(&b, count, sizeof *b.runs);
    for (size_t i = 0; b.runs != NULL && i < count; i++)
        b.runs[i].example = examples[i];
    if (b.runs != NULL && !tn_denoiser_shows(&d))
        tn_batch_encode(&b);
    if (b.runs != NULL)
        add_examples(&b, &d, sums);
    b.ops->dropout = NULL;
    return tn_engine_finish(engine, 0, error);
}
