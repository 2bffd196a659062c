/* The loss of a denoiser in a batch of training examples: how well the first image of each example is reconstructed from the vectors of its
 * latent steps, and from nothing else. */
#ifndef TN_REASON_DENOISE_BATCH_H
#define TN_REASON_DENOISE_BATCH_H

#include "reason/denoise.h"
#include "reason/losses.h"

/* For a tn_loss_part: weight * batch->share * the sum over the examples. Those without steps or without an image add nothing. */
tn_tensor tn_denoiser_batch_loss(const tn_loss_batch *batch, const tn_denoiser *d, double weight);

#endif
