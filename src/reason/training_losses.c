/* The losses of a method (reason/losses.h) in a batch of training examples. */
#include "reason/training_batch.h"

#include <math.h>

/* The settings of the latent steps, which all examples that have such steps share. */
static const void *own_of(const tn_update *update)
{
    const void *own = NULL;
    for (size_t i = 0; i < update->count && own == NULL; i++)
        own = update->examples[i]->latent_steps > 0 ? update->examples[i]->latent.own : NULL;
    return own;
}

bool tn_update_compares(const tn_training *training, const tn_update *update)
{
    const tn_method *method = training->reasoner.method;
    return method->show != NULL && method->compares(own_of(update));
}

/* What the losses see. False: ops->failure is set. */
static bool look_at(tn_batch *b, double share, tn_loss_batch *seen)
{
    const tn_training *training = b->training;
    const tn_update *update = b->update;
    tn_loss_example *examples = tn_batch_take(b, b->count, sizeof *examples);
    for (size_t i = 0; examples != NULL && i < b->count; i++)
        examples[i] = (tn_loss_example){ b->runs[i].example, b->runs[i].laid, b->runs[i].laid_count, b->runs[i].pictures, b->runs[i].seed };
    *seen = (tn_loss_batch){ .ops = b->ops, .module = tn_module_of(training->model, training->reasoner.method->name),
                             .decoder = &training->model->decoder, .own = own_of(update), .examples = examples, .count = b->count,
                             .share = share, .all = update->examples, .total = update->count, .first = b->first };
    if (update->shown != NULL && b->mode == TN_TRAINING_LEARN)
        seen->shown = tn_op_import(b->ops, update->shown_rows, update->shown_cols, update->shown);
    return examples != NULL && b->ops->failure.code == TENEBRA_OK;
}

tn_tensor tn_batch_show(tn_batch *b)
{
    tn_loss_batch seen;
    tn_batch_draw(b, NULL, 0);
    return look_at(b, 1, &seen) ? b->training->reasoner.method->show(&seen) : (tn_tensor){ 0 };
}

/* Adds the value of a loss to the results; `weight`: that of the mean over the tokens. */
static bool report(tn_batch *b, const tn_loss_part *part, double weight)
{
    tn_training_result *result = b->result;
    tn_real value;
    if (!tn_op_read(b->ops, part->loss, &value))
        return false;
    double mean = (double)value / (weight * part->weight);
    if (part->whole)
        mean *= (double)b->count / (double)b->update->count;
    result->parts[result->part_count++] = (tn_loss_value){ part->name, mean };
    result->auxiliary += part->weight * mean;
    return true;
}

tn_tensor tn_batch_losses(tn_batch *b, tn_tensor loss, double scale)
{
    double weight = scale * (double)b->update->labels;
    tn_loss_part parts[TN_LOSS_PARTS];
    tn_loss_batch seen;
    tn_batch_draw(b, NULL, 0);
    if (!look_at(b, weight / (double)b->update->count, &seen))
        return (tn_tensor){ 0 };
    size_t count = b->training->reasoner.method->batch_losses(&seen, parts);
    b->result->auxiliary = count > 0 ? 0 : (double)NAN;
    for (size_t i = 0; i < count; i++) {
        if (!report(b, &parts[i], weight))
            return (tn_tensor){ 0 };
        loss = tn_op_add(b->ops, loss, parts[i].loss);
    }
    return loss;
}
