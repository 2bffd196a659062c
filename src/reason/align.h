/* A contrastive loss that aligns the vectors of an example's latent steps with its image and its text: the mean of the vectors with the
 * mean of the image's embeddings, and with the mean of the embeddings of its text's tokens (tn_train_example.words), each mapped into a
 * common space. Images and texts are constants there. It compares the examples of a whole update (reason/losses.h).
 *
 * Our reading of arXiv:2511.02360, which names such a loss and publishes neither pairs nor sizes. */
#ifndef TN_REASON_ALIGN_H
#define TN_REASON_ALIGN_H

#include "reason/losses.h"

/* The maps into the common space: of the vectors, the images and the texts. */
enum { TN_ALIGN_VECTORS, TN_ALIGN_IMAGES, TN_ALIGN_TEXTS, TN_ALIGN_MAPS };

typedef struct tn_align_map {
    tn_weight weight; /* [D, C] */
} tn_align_map;

/* What an example shows to others (tn_method.show): TN_ALIGN_MAPS rows [D] of length 1. */
tn_tensor tn_align_show(const tn_loss_batch *batch, const tn_align_map maps[TN_ALIGN_MAPS]);

/* (NCE(vectors, images) + NCE(vectors, texts)) / 2 of the update (reason/contrast.h) times weight * batch->share * batch->total, for a
 * tn_loss_part with `whole`. Examples without latent steps are left out, and those without images from the first pair; examples with
 * the same images, or the same text, are not told apart in that pair. */
tn_tensor tn_align_loss(const tn_loss_batch *batch, const tn_align_map maps[TN_ALIGN_MAPS], double weight);

#endif
