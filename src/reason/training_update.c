/* The batches of an update. Losses that compare its examples need what the examples of the other batches show, so those are collected
 * first by a forward of all batches, in which dropout draws the same numbers as afterwards. Each batch then learns with the rows of the
 * others as constants. By the chain rule, the sum of the gradients is that of one batch of all examples (as in GradCache,
 * arXiv:2101.06983). */
#include "reason/training_batch.h"

#include "base/checked.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static tn_update update_of(const tn_train_example *const *examples, size_t count)
{
    tn_update update = { .examples = examples, .count = count };
    for (size_t i = 0; i < count; i++)
        update.labels += examples[i]->label_count;
    return update;
}

tenebra_code tn_training_learn(tn_training *training, const tn_train_example *const *examples, size_t count, double scale,
                              tn_training_result *result, tenebra_error *error)
{
    tn_update update = update_of(examples, count);
    return tn_training_run(training, &update, 0, count, TN_TRAINING_LEARN, scale, result, error);
}

tenebra_code tn_training_measure(tn_training *training, const tn_train_example *const *examples, size_t count,
                                tn_training_result *result, tenebra_error *error)
{
    tn_update update = update_of(examples, count);
    return tn_training_run(training, &update, 0, count, TN_TRAINING_MEASURE, 1, result, error);
}

/* Adds the results of a batch. The losses of a method are already its share of the mean over the update. */
static void add_result(tn_training_result *sum, const tn_training_result *result)
{
    sum->loss += result->loss;
    sum->labels += result->labels;
    sum->correct += result->correct;
    sum->rows += result->rows;
    sum->prepared += result->prepared;
    sum->latent_steps += result->latent_steps;
    sum->peak_bytes = tn_max(sum->peak_bytes, result->peak_bytes);
    sum->auxiliary += result->part_count > 0 ? result->auxiliary : 0;
    for (size_t i = 0; i < result->part_count; i++) {
        size_t at = 0;
        while (at < sum->part_count && strcmp(sum->parts[at].name, result->parts[i].name) != 0)
            at++;
        if (at == sum->part_count)
            sum->parts[sum->part_count++] = (tn_loss_value){ result->parts[i].name, 0 };
        sum->parts[at].value += result->parts[i].value;
    }
}

/* Runs the batches of the update in one mode. */
static tenebra_code run_batches(tn_training *training, tn_update *update, size_t batch_size, tn_training_mode mode,
                                tn_training_result *sum, tenebra_error *error)
{
    for (size_t first = 0; first < update->count; first += batch_size) {
        tn_training_result result;
        TN_TRY(tn_training_run(training, update, first, tn_min(batch_size, update->count - first), mode, 1 / (double)update->labels,
                               &result, error));
        if (mode == TN_TRAINING_LEARN)
            add_result(sum, &result);
    }
    return TENEBRA_OK;
}

tenebra_code tn_training_update(tn_training *training, const tn_train_example *const *examples, size_t count, size_t batch_size,
                                tn_training_result *result, tenebra_error *error)
{
    tn_update update = update_of(examples, count);
    tenebra_code code = TENEBRA_OK;
    *result = (tn_training_result){ 0 };
    if (update.labels == 0 || batch_size == 0)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, "data", "no token of an update has a loss");
    if (count > batch_size && tn_update_compares(training, &update)) {
        code = run_batches(training, &update, batch_size, TN_TRAINING_SHOW, NULL, error);
        result->collected = code == TENEBRA_OK;
    }
    if (code == TENEBRA_OK)
        code = run_batches(training, &update, batch_size, TN_TRAINING_LEARN, result, error);
    if (result->part_count == 0)
        result->auxiliary = (double)NAN;
    free(update.shown);
    return code;
}

tenebra_code tn_update_keep(tn_update *update, tn_ops *ops, tn_tensor shown, size_t first, size_t count, tenebra_error *error)
{
    size_t each = shown.rows / count, size = 0;
    if (ops->failure.code != TENEBRA_OK)
        return TENEBRA_OK; /* told by whoever asks ops */
    if (update->shown == NULL) {
        update->shown_rows = each * update->count;
        update->shown_cols = shown.cols;
        if (tn_size_mul(update->shown_rows, shown.cols, &size) && size > 0)
            update->shown = calloc(size, sizeof *update->shown);
        if (update->shown == NULL)
            return tn_fail_memory(error, "update");
    }
    if (each * update->count != update->shown_rows || each * count != shown.rows || shown.cols != update->shown_cols)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, "update", "examples show different numbers of rows to each other");
    tn_op_read(ops, shown, update->shown + each * first * shown.cols);
    return TENEBRA_OK;
}
