#include "reason/align.h"

#include "model/pieces.h"
#include "reason/contrast.h"

static tn_tensor nothing(const tn_loss_batch *batch)
{
    return tn_op_constant(batch->ops, 1, batch->decoder->config.hidden_size, NULL);
}

/* The mean of the vectors of all latent steps [1, C]; zeros without any. */
static tn_tensor mean_of_vectors(const tn_loss_batch *batch, const tn_loss_example *one)
{
    tn_row_ref *refs = tn_ops_take(batch->ops, "align", one->count + 1, sizeof *refs);
    size_t count = 0;
    for (size_t i = 0; refs != NULL && i < one->count; i++)
        if (one->rows[i].kind == TN_ROW_VECTOR)
            refs[count++] = one->rows[i].vector;
    return count > 0 ? tn_op_mean(batch->ops, tn_op_compose(batch->ops, refs, count, batch->decoder->config.hidden_size)) : nothing(batch);
}

/* The means of the embeddings of all images, and of the tokens of the text: constants. */
static tn_tensor mean_of_images(const tn_loss_batch *batch, const tn_loss_example *one)
{
    size_t rows = 0, count = one->example->picture_count;
    for (size_t p = 0; p < count; p++)
        rows += one->pictures[p].rows;
    tn_row *cells = tn_ops_take(batch->ops, "align", rows + 1, sizeof *cells);
    for (size_t p = 0, at = 0; cells != NULL && p < count; p++)
        for (size_t i = 0; i < one->pictures[p].rows; i++)
            cells[at++] = tn_row_of_cell(&one->pictures[p], i);
    return cells != NULL && rows > 0 ? tn_op_mean(batch->ops, tn_rows_input(batch->ops, batch->decoder, cells, rows)) : nothing(batch);
}

static tn_tensor mean_of_words(const tn_loss_batch *batch, const tn_loss_example *one)
{
    const tn_train_example *example = one->example;
    return example->word_count > 0
               ? tn_op_mean(batch->ops, tn_op_gather(batch->ops, &batch->decoder->embed, example->words, example->word_count))
               : nothing(batch);
}

tn_tensor tn_align_show(const tn_loss_batch *batch, const tn_align_map maps[TN_ALIGN_MAPS])
{
    tn_ops *ops = batch->ops;
    tn_tensor *all = tn_ops_take(ops, "align", batch->count * TN_ALIGN_MAPS, sizeof *all);
    for (size_t i = 0; all != NULL && i < batch->count; i++) {
        tn_tensor *mapped = all + i * TN_ALIGN_MAPS;
        tn_tape *tape = ops->tape;
        ops->tape = NULL;
        tn_tensor image = tn_op_detach(mean_of_images(batch, &batch->examples[i]));
        tn_tensor words = tn_op_detach(mean_of_words(batch, &batch->examples[i]));
        ops->tape = tape;
        mapped[TN_ALIGN_VECTORS] = tn_piece_linear(ops, mean_of_vectors(batch, &batch->examples[i]), &maps[TN_ALIGN_VECTORS].weight, NULL);
        mapped[TN_ALIGN_IMAGES] = tn_piece_linear(ops, image, &maps[TN_ALIGN_IMAGES].weight, NULL);
        mapped[TN_ALIGN_TEXTS] = tn_piece_linear(ops, words, &maps[TN_ALIGN_TEXTS].weight, NULL);
    }
    return all != NULL ? tn_contrast_unit(ops, tn_op_join(ops, all, batch->count * TN_ALIGN_MAPS)) : (tn_tensor){ 0 };
}

/* The rows of one map for all examples of the update: those of this batch, `own`, with gradients. */
static tn_tensor rows_of(const tn_loss_batch *batch, tn_tensor own, size_t map)
{
    tn_row_ref *refs = tn_ops_take(batch->ops, "align", batch->total, sizeof *refs);
    for (size_t i = 0; refs != NULL && i < batch->total; i++) {
        bool here = i >= batch->first && i < batch->first + batch->count;
        refs[i] = here ? (tn_row_ref){ own, (i - batch->first) * TN_ALIGN_MAPS + map }
                       : (tn_row_ref){ batch->shown, i * TN_ALIGN_MAPS + map };
    }
    return refs != NULL ? tn_op_compose(batch->ops, refs, batch->total, own.cols) : (tn_tensor){ 0 };
}

tn_tensor tn_align_loss(const tn_loss_batch *batch, const tn_align_map maps[TN_ALIGN_MAPS], double weight)
{
    static const double temperature = 0.07;
    tn_ops *ops = batch->ops;
    size_t total = batch->total;
    double scale = weight * batch->share * (double)total / 2;
    tn_digest *images = tn_ops_take(ops, "align", total, sizeof *images), *texts = tn_ops_take(ops, "align", total, sizeof *texts);
    if (images == NULL || texts == NULL)
        return (tn_tensor){ 0 };
    for (size_t i = 0; i < total; i++) {
        bool thinks = batch->all[i]->latent_steps > 0;
        images[i] = thinks ? batch->all[i]->image_mark : (tn_digest){ 0 };
        texts[i] = thinks ? batch->all[i]->words_mark : (tn_digest){ 0 };
    }
    const tn_tensor own = tn_align_show(batch, maps), vectors = rows_of(batch, own, TN_ALIGN_VECTORS);
    tn_tensor loss = tn_contrast_loss(ops, vectors, rows_of(batch, own, TN_ALIGN_IMAGES), images, temperature, scale);
    return tn_op_add(ops, loss, tn_contrast_loss(ops, vectors, rows_of(batch, own, TN_ALIGN_TEXTS), texts, temperature, scale));
}
