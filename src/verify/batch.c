/* A padded batch of training samples against a golden case: each sample computed by itself. */
#include "verify/parts.h"

#include <stdlib.h>

void tn_verify_positions(tn_verify *verify, const char *name, const int64_t *mask, size_t samples, size_t width)
{
    int64_t *positions = tn_verify_take(verify, samples * width, sizeof *positions);
    for (size_t s = 0; positions != NULL && s < samples; s++)
        for (size_t i = 0, next = 0; i < width; i++)
            positions[s * width + i] = mask[s * width + i] != 0 ? (int64_t)next++ : 0;
    if (positions != NULL)
        tn_verify_compare_integers(verify, name, positions, samples * width);
    free(positions);
}

void tn_verify_batch(tn_verify *verify)
{
    const tn_stored *stored = tn_verify_input(verify, "batch2.input_ids");
    const tn_stored *masks = tn_verify_input(verify, "batch2.attention_mask");
    const tn_stored *marks = tn_verify_input(verify, "batch2.labels"), *latents = tn_verify_input(verify, "latent_token_id");
    const tn_stored *chosen = tn_store_find(verify->golden, "batch2.selected"); /* marked when it is compared */
    tn_verify_picture picture;
    if (stored == NULL || masks == NULL || marks == NULL || latents == NULL || chosen == NULL || stored->rank != 2 ||
        stored->shape[0] > 64 || masks->elements != stored->elements || marks->elements != stored->elements ||
        chosen->rank != 3 || chosen->shape[1] != stored->shape[0] || latents->elements != 1 ||
        !tn_verify_open_picture(verify, &picture))
        return;
    size_t samples = stored->shape[0], width = stored->shape[1], picks = chosen->shape[2], all = 0;
    int64_t *ids = tn_verify_ids(verify, stored), *mask = tn_verify_integers(verify, masks);
    int64_t *labels = tn_verify_integers(verify, marks), *latent = tn_verify_integers(verify, latents);
    int64_t *selected = tn_verify_take(verify, (TN_VERIFY_STEPS + chosen->shape[0]) * samples * picks + 1, sizeof *selected);
    tn_real single[64];
    double sum = 0;
    for (size_t s = 0; selected && ids && mask && labels && latent && s < samples; s++) {
        size_t labelled = 0;
        double loss = tn_verify_sample(verify, &picture, picks, ids + s * width, mask + s * width, labels + s * width, width,
                                       latent[0], selected + s * picks, samples * picks, &labelled);
        single[s] = (tn_real)loss;
        sum += loss * (double)labelled;
        all += labelled;
    }
    if (all > 0) {
        tn_real loss = (tn_real)(sum / (double)all);
        tn_verify_compare_integers(verify, "batch2.selected", selected, chosen->elements);
        tn_verify_compare(verify, "batch2.single_losses", single, samples);
        tn_verify_compare(verify, "batch2.loss", &loss, 1);
        tn_verify_positions(verify, "batch2.position_ids", mask, samples, width);
    }
    free(ids);
    free(mask);
    free(labels);
    free(latent);
    free(selected);
    tn_verify_close_picture(&picture);
}
