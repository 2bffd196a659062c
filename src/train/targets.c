/* Before the first update: mean and deviation of what the denoiser of the method's module reconstructs. They become part of the module and
 * stay as they are. */
#include "train/parts.h"

#include "base/checked.h"
#include "reason/denoise.h"

/* Samples of the training set that are measured, at equal distances. */
enum { SAMPLES_MOST = 256 };

static tenebra_code add_samples(tn_trainer *trainer, tn_denoiser_sums *sums, tenebra_error *error)
{
    size_t samples = trainer->plan.samples, total = tn_min(SAMPLES_MOST, samples);
    size_t most = tn_min(trainer->config->batch_size, trainer->plan.update_samples);
    for (size_t done = 0; done < total;) {
        size_t count = tn_min(most, total - done);
        for (size_t i = 0; i < count; i++, done++) {
            tn_train_example_free(&trainer->examples[i]);
            TN_TRY(tn_trainer_prepare(trainer, done * samples / total, 0, &trainer->examples[i], error));
            trainer->batch[i] = &trainer->examples[i];
        }
        if (tn_trainer_is_stopped(trainer))
            return tn_fail(error, TENEBRA_ERROR_CANCELLED, trainer->config->output, "stopped before the first update");
        TN_TRY(tn_training_add_targets(trainer->training, trainer->batch, count, sums, error));
    }
    return TENEBRA_OK;
}

tenebra_code tn_trainer_measure_targets(tn_trainer *trainer, tenebra_error *error)
{
    tn_denoiser d;
    tn_denoiser_sums sums = { 0 };
    if (!tn_training_denoiser(trainer->training, &d) || tn_denoiser_is_measured(&d))
        return TENEBRA_OK;
    tenebra_code code = tn_denoiser_sums_open(&sums, &d, error);
    if (code == TENEBRA_OK)
        code = add_samples(trainer, &sums, error);
    if (code == TENEBRA_OK && sums.values > 0)
        tn_denoiser_sums_set(&sums, &d);
    else if (code == TENEBRA_OK)
        tn_trainer_note(trainer, TN_TRAIN_NOTE, "no sample of the training set has an image, so nothing is reconstructed");
    tn_denoiser_sums_close(&sums);
    return code;
}
