/* The images of a batch of training examples. */
#include "reason/training_batch.h"

#include "reason/look.h"

/* The seeds of `rows` rows of prepared images, in their order. */
static const uint64_t *seed_pictures(tn_batch *b, size_t looks, size_t rows)
{
    uint64_t *seeds = tn_batch_take(b, rows, sizeof *seeds);
    for (size_t i = 0, at = 0; seeds != NULL && i < b->count; i++) {
        size_t first = looks ? tn_train_example_prepared(b->runs[i].example, 0) : 0;
        for (size_t k = 0, count = tn_train_example_prepared(b->runs[i].example, looks); k < count; k++)
            seeds[at++] = tn_seed_mix(b->runs[i].seed, TN_DRAW_PICTURE, first + k);
    }
    return seeds;
}

/* The same image without gradients. If it is tokens, they are replaced by their current embeddings. */
static tn_image_rows detach(tn_batch *b, const tn_image_rows *picture)
{
    tn_image_rows constant = *picture;
    constant.embeds = tn_op_detach(picture->embeds);
    for (size_t d = 0; d < picture->deep_count; d++)
        constant.deep[d] = tn_op_detach(picture->deep[d]);
    if (picture->ids != NULL) {
        tn_tape *tape = b->ops->tape;
        b->ops->tape = NULL;
        constant.embeds = tn_op_gather(b->ops, &b->training->model->decoder.embed, picture->ids, picture->rows);
        constant.ids = NULL;
        b->ops->tape = tape;
    }
    return constant;
}

/* Encodes the images of all examples, or those that picks are read from. A frozen tower records nothing, and neither do looks whose
 * gradients would be cut. */
static void encode(tn_batch *b, size_t looks)
{
    size_t count = 0, rows = 0;
    for (size_t i = 0; i < b->count; i++) {
        rows += tn_train_example_prepared(b->runs[i].example, looks);
        count += looks ? b->runs[i].example->look_count : b->runs[i].example->picture_count;
    }
    const tn_prepared **prepared = tn_batch_take(b, count, sizeof *prepared);
    tn_image_rows **pictures = tn_batch_take(b, count, sizeof *pictures);
    count = 0;
    for (size_t i = 0; pictures != NULL && i < b->count; i++) {
        const tn_train_example *example = b->runs[i].example;
        size_t first = looks ? example->picture_count : 0, last = looks ? first + example->look_count : example->picture_count;
        for (size_t k = first; k < last; k++)
            if (example->pictures[k].rows > 0) {
                prepared[count] = &example->prepared[k];
                pictures[count++] = &b->runs[i].pictures[k];
            }
    }
    if (count == 0 || pictures == NULL)
        return;
    tenebra_error problem;
    tn_tape *tape = b->ops->tape;
    bool trained = tn_network_is_trained(tn_networks_find(&b->training->model->networks, TN_NETWORK_IMAGES), TN_ANY, 0);
    if (b->mode != TN_TRAINING_LEARN || !trained || (looks && !b->training->options.through_picks))
        b->ops->tape = NULL;
    tn_batch_draw(b, seed_pictures(b, looks, rows), rows);
    tn_batch_note(b, tn_engine_encode(b->engine, prepared, pictures, count, b->ops->arena, &problem), &problem);
    b->ops->tape = tape;
    b->result->prepared += rows;
}

/* Encodes all images. A second copy is for latent steps: without gradient, unless through_picks. */
void tn_batch_encode(tn_batch *b)
{
    size_t total = 0;
    for (size_t i = 0; i < b->count; i++)
        total += b->runs[i].example->picture_count + b->runs[i].example->look_count;
    tn_image_rows *memory = tn_batch_take(b, 2 * total, sizeof *memory);
    for (size_t i = 0, at = 0; memory != NULL && i < b->count; i++) {
        tn_example_run *p = &b->runs[i];
        size_t count = p->example->picture_count + p->example->look_count;
        p->pictures = memory + at;
        p->picked = memory + total + at;
        for (size_t k = 0; k < count; k++)
            p->pictures[k] = p->example->pictures[k];
        at += count;
    }
    if (total == 0 || memory == NULL)
        return;
    encode(b, 0);
    encode(b, 1);
    for (size_t i = 0; i < total; i++)
        memory[total + i] = b->training->options.through_picks || memory[i].rows == 0 ? memory[i] : detach(b, &memory[i]);
}
