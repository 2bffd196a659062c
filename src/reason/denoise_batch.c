#include "reason/denoise_batch.h"

#include "base/rng.h"

/* Distinguishes the draws of this loss from others of the same example. */
enum { DRAW = 0x64656E6F };

/* What an example reconstructs, and from what; false: nothing. */
static bool read_example(const tn_loss_batch *batch, const tn_denoiser *d, size_t index, tn_denoiser_case *to)
{
    const tn_loss_example *example = &batch->examples[index];
    const tn_image *small = example->example->small;
    if (example->count == 0 || example->example->picture_count == 0)
        return false;
    const tn_denoiser_source source = { &example->pictures[0], &batch->decoder->embed, small != NULL ? small[0].pixels : NULL };
    tn_row_ref *thoughts = tn_ops_take(batch->ops, "denoiser", example->count, sizeof *thoughts);
    *to = (tn_denoiser_case){ .thoughts = thoughts, .target = tn_denoiser_target_of(batch->ops, d, &source),
                              .seed = tn_seed_mix(example->seed, DRAW, 0) };
    if (thoughts == NULL || to->target.values == NULL)
        return false;
    for (size_t i = 0; i < example->count; i++)
        if (example->rows[i].kind == TN_ROW_VECTOR)
            thoughts[to->thought_count++] = example->rows[i].vector;
    tn_denoiser_normalise(d, &to->target);
    return to->thought_count > 0;
}

tn_tensor tn_denoiser_batch_loss(const tn_loss_batch *batch, const tn_denoiser *d, double weight)
{
    tn_denoiser_case *cases = tn_ops_take(batch->ops, "denoiser", batch->count, sizeof *cases);
    size_t count = 0;
    for (size_t i = 0; cases != NULL && i < batch->count; i++)
        count += read_example(batch, d, i, &cases[count]);
    return cases != NULL ? tn_denoiser_loss(batch->ops, d, cases, count, weight * batch->share) : (tn_tensor){ 0 };
}
