/* The loop of a run: updates, ends of epochs, checkpoints, the result. */
#include "train/trainer.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"
#include "model/finite.h"
#include "store/seal.h"
#include "train/checkpoint.h"
#include "train/log.h"
#include "train/parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- facts -- */

const tn_run_plan *tn_trainer_plan(const tn_trainer *trainer) { return &trainer->plan; }

uint64_t tn_trainer_updates(const tn_trainer *trainer) { return trainer->update; }

void tn_trainer_note(const tn_trainer *trainer, tn_train_event_kind kind, const char *text)
{
    tn_train_event event = { .kind = kind, .text = text };
    if (trainer->options.on_event != NULL)
        trainer->options.on_event(trainer->options.user, &event);
}

bool tn_trainer_is_stopped(const tn_trainer *trainer)
{
    return trainer->options.stop != NULL && atomic_load(trainer->options.stop);
}

static size_t epoch_of(const tn_trainer *trainer, uint64_t update)
{
    return trainer->plan.first_epoch + (size_t)(update / trainer->plan.updates_per_epoch);
}

/* --------------------------------------------------------------- update -- */

static tenebra_code order_epoch(tn_trainer *trainer, size_t epoch, tenebra_error *error)
{
    if (trainer->order_epoch == epoch)
        return TENEBRA_OK;
    trainer->order_epoch = epoch;
    return tn_order_fill(trainer->order, trainer->plan.samples, trainer->config->seed, epoch, trainer->lengths,
                         trainer->config->batch_size, error);
}

/* The training examples for samples first .. first+count-1 of the epoch's order. */
static tenebra_code prepare_examples(tn_trainer *trainer, size_t epoch, size_t first, size_t count, tenebra_error *error)
{
    for (size_t i = 0; i < count; i++) {
        size_t sample = trainer->order[first + i], steps = 0;
        tn_train_example_free(&trainer->examples[i]);
        TN_TRY(tn_trainer_count_steps(trainer, tn_data_sample(trainer->data, sample), &steps, error));
        size_t stage = tn_stage_draw(trainer->config, epoch, sample, steps);
        TN_TRY(tn_trainer_prepare(trainer, sample, stage, &trainer->examples[i], error));
    }
    return TENEBRA_OK;
}

/* Runs training examples 0 .. count-1 in micro-batches. */
static tenebra_code learn_examples(tn_trainer *trainer, size_t count, tn_training_result *sum, tenebra_error *error)
{
    for (size_t i = 0; i < count; i++)
        trainer->batch[i] = &trainer->examples[i];
    return tn_training_update(trainer->training, trainer->batch, count, trainer->config->batch_size, sum, error);
}

static tenebra_code log_update(tn_trainer *trainer, tenebra_error *error)
{
    const tn_train_update *u = &trainer->last;
    json_t *line = json_pack("{s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:I, s:I, s:f, s:f}", "update", (json_int_t)u->update,
                             "epoch", (json_int_t)u->epoch, "stage", (json_int_t)u->stage, "loss", u->loss, "lr", u->lr,
                             "grad_norm", u->grad_norm, "token_accuracy", u->token_accuracy, "labels", (json_int_t)u->labels,
                             "tokens", (json_int_t)u->tokens, "tokens_per_second", u->tokens_per_second, "mfu", u->mfu);
    if (!isnan(u->auxiliary))
        json_object_set_new(line, "auxiliary", json_real(u->auxiliary));
    for (size_t i = 0; i < u->part_count; i++)
        json_object_set_new(line, u->parts[i].name, json_real(u->parts[i].value));
    return tn_log_append(trainer->log, trainer->log_path.text, line, error);
}

static tenebra_code check_finite(const tn_trainer *trainer, double loss, double norm, tenebra_error *error)
{
    if (isfinite(loss) && isfinite(norm))
        return TENEBRA_OK;
    const tn_store *store = trainer->model->store;
    for (size_t i = 0, row, col; i < tn_store_count(store); i++)
        if (!tn_stored_is_finite(tn_store_at(store, i), &row, &col))
            return tn_fail(error, TENEBRA_ERROR_FORMAT, tn_store_at(store, i)->name, "update %llu: the weights from which training started "
                           "hold a value that is NaN or infinite (row %zu, column %zu)", (unsigned long long)trainer->update + 1,
                           row, col);
    return tn_fail(error, TENEBRA_ERROR_MISMATCH, "train", "update %llu: loss %g, gradient norm %g: the numbers are not finite. "
                   "The last checkpoint is valid; continue from it with a lower lr", (unsigned long long)trainer->update + 1, loss, norm);
}

/* True if a new stage begins with this update. */
static bool begins_stage(const tn_trainer *trainer, size_t epoch)
{
    return trainer->update > 0 && trainer->update % trainer->plan.updates_per_epoch == 0 &&
           tn_stage_of_epoch(trainer->config, epoch) != tn_stage_of_epoch(trainer->config, epoch - 1);
}

static tenebra_code run_update(tn_trainer *trainer, tenebra_error *error)
{
    const tn_train_config *config = trainer->config;
    const tn_run_plan *plan = &trainer->plan;
    size_t epoch = epoch_of(trainer, trainer->update);
    size_t first = (size_t)(trainer->update % plan->updates_per_epoch) * plan->update_samples;
    size_t count = tn_min(plan->update_samples, plan->samples - first);
    tn_training_result sum;
    double start = tn_clock_ms();
    TN_TRY(order_epoch(trainer, epoch, error));
    if (config->reset_optimizer && begins_stage(trainer, epoch)) {
        tn_optimizer_reset(&trainer->optimizer);
        tn_trainer_note(trainer, TN_TRAIN_NOTE, "a new stage: the optimizer's moments are reset (reset_optimizer)");
    }
    TN_TRY(prepare_examples(trainer, epoch, first, count, error));
    tn_training_seed(trainer->training, tn_seed_mix(config->seed, 0x74656163, trainer->update));
    tn_optimizer_clear(&trainer->optimizer);
    TN_TRY(learn_examples(trainer, count, &sum, error));
    if (sum.collected && !trainer->told_collected)
        tn_trainer_note(trainer, TN_TRAIN_NOTE, "a loss compares the samples of an update: its batches first run forward only, to collect "
                                                "what they compare, so that the gradient is that of one batch");
    trainer->told_collected = trainer->told_collected || sum.collected;
    double norm = tn_optimizer_norm(&trainer->optimizer), loss = sum.loss / (double)sum.labels;
    TN_TRY(check_finite(trainer, loss, norm, error));
    double lr = config->lr * tn_schedule_factor(&plan->schedule, trainer->update);
    tn_optimizer_step(&trainer->optimizer, lr, tn_clip_factor(norm, config->max_grad_norm));
    trainer->update++;
    double ms = tn_clock_ms() - start, seconds = fmax(ms, 1e-3) / 1e3;
    trainer->train_ms += ms;
    trainer->tokens += sum.rows;
    trainer->last = (tn_train_update){
        .update = trainer->update, .epoch = epoch, .stage = tn_stage_of_epoch(config, epoch), .loss = loss,
        .auxiliary = sum.auxiliary, .lr = lr,
        .grad_norm = norm, .token_accuracy = (double)sum.correct / (double)sum.labels, .samples = count, .labels = sum.labels,
        .tokens = sum.rows, .ms = ms, .tokens_per_second = (double)sum.rows / seconds,
        .mfu = trainer->peak > 0 ? tn_trainer_flops(trainer, trainer->batch, count) / seconds / trainer->peak : 0,
        .part_count = sum.part_count,
    };
    memcpy(trainer->last.parts, sum.parts, sizeof sum.parts);
    TN_TRY(log_update(trainer, error));
    tn_train_event event = { .kind = TN_TRAIN_UPDATE, .update = &trainer->last };
    if (trainer->options.on_event != NULL)
        trainer->options.on_event(trainer->options.user, &event);
    return TENEBRA_OK;
}

/* ------------------------------------------------------- ends of epochs -- */

static tenebra_code save(tn_trainer *trainer, tenebra_error *error)
{
    json_t *state = tn_trainer_state(trainer);
    if (state == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "checkpoint", "no memory for the state");
    tenebra_code code = tn_checkpoint_write(trainer->checkpoints.text, trainer->update, trainer->parameters, &trainer->optimizer,
                                            state, error);
    json_decref(state);
    TN_TRY(code);
    return tn_checkpoint_prune(trainer->checkpoints.text, trainer->config->keep, error);
}

static tenebra_code draw_curves(const tn_trainer *trainer, tenebra_error *error)
{
    char title[300];
    snprintf(title, sizeof title, "%.200s: %.60s", trainer->config->name ? trainer->config->name : trainer->config->output,
             trainer->config->method);
    return tn_curves_write(trainer->log_path.text, trainer->config->output, title, error);
}

/* Takes ownership of `topics`. */
static tenebra_code log_validation(tn_trainer *trainer, size_t epoch, size_t stage, double accuracy, size_t count,
                                   json_t *topics, tenebra_error *error)
{
    json_t *line = json_pack("{s:I, s:I, s:I, s:f, s:I, s:o}", "update", (json_int_t)trainer->update, "epoch",
                             (json_int_t)epoch, "stage", (json_int_t)stage, "validation_accuracy", accuracy,
                             "validation_count", (json_int_t)count, "topics", topics);
    TN_TRY(tn_log_append(trainer->log, trainer->log_path.text, line, error));
    tn_train_event event = { .kind = TN_TRAIN_VALIDATION, .total = count, .stage = stage, .accuracy = accuracy,
                             .best = trainer->best[stage] };
    if (trainer->options.on_event != NULL)
        trainer->options.on_event(trainer->options.user, &event);
    return TENEBRA_OK;
}

/* Asks the validation questions and keeps the model if it is the stage's best. */
static tenebra_code validate(tn_trainer *trainer, size_t epoch, tenebra_error *error)
{
    size_t stage = tn_stage_of_epoch(trainer->config, epoch), count;
    double accuracy;
    json_t *topics;
    char name[32];
    TN_TRY(tn_trainer_validate(trainer, stage, &accuracy, &count, &topics, error));
    if (accuracy > trainer->best[stage]) {
        snprintf(name, sizeof name, "stage-%zu", stage);
        tenebra_code code = tn_trainer_export(trainer, name, error);
        if (code != TENEBRA_OK) {
            json_decref(topics);
            return code;
        }
        trainer->best[stage] = accuracy;
        trainer->best_update[stage] = trainer->update;
    }
    trainer->validated = trainer->update;
    return log_validation(trainer, epoch, stage, accuracy, count, topics, error);
}

/* Every val_epochs epochs, at the end of a stage, and at the end. */
static bool is_validation_due(const tn_trainer *trainer, size_t epoch)
{
    const tn_train_config *config = trainer->config;
    if (trainer->validation == NULL || tn_data_count(trainer->validation) == 0)
        return false;
    return (epoch + 1) % config->validation_epochs == 0 || trainer->update == trainer->plan.updates ||
           tn_stage_of_epoch(config, epoch) != tn_stage_of_epoch(config, epoch + 1);
}

/* After an epoch, or at the end: validation, checkpoint, curves. Does nothing a second time. */
static tenebra_code end_epoch(tn_trainer *trainer, tenebra_error *error)
{
    bool due = trainer->update > 0 && (trainer->update % trainer->plan.updates_per_epoch == 0 ||
                                       trainer->update == trainer->plan.updates);
    if (!due || trainer->validated == trainer->update)
        return TENEBRA_OK;
    size_t epoch = epoch_of(trainer, trainer->update - 1);
    if (is_validation_due(trainer, epoch))
        TN_TRY(validate(trainer, epoch, error));
    trainer->validated = trainer->update;
    TN_TRY(save(trainer, error));
    return draw_curves(trainer, error);
}

/* -------------------------------------------------------------- the run -- */

static tenebra_code write_configuration(const tn_trainer *trainer, tenebra_error *error)
{
    json_t *config = tn_train_config_json(trainer->config);
    tenebra_code code = tn_store_seal_write(trainer->config->output, "training.json", config, error);
    json_decref(config);
    return code;
}

/* The user requested an end: everything so far is kept. */
static tenebra_code stop(tn_trainer *trainer, tenebra_error *error)
{
    if (trainer->update == 0)
        return tn_fail(error, TENEBRA_ERROR_CANCELLED, trainer->config->output, "stopped before the first update; the same command "
                       "with --resume starts again");
    TN_TRY(save(trainer, error));
    TN_TRY(draw_curves(trainer, error));
    return tn_fail(error, TENEBRA_ERROR_CANCELLED, trainer->config->output, "stopped after update %llu of %zu; the same command with "
                   "--resume continues", (unsigned long long)trainer->update, trainer->plan.updates);
}

static tenebra_code run(tn_trainer *trainer, tenebra_error *error)
{
    tenebra_code code = TENEBRA_OK;
    TN_TRY(write_configuration(trainer, error));
    TN_TRY(tn_trainer_measure_targets(trainer, error));
    tn_trainer_peak(trainer);
    while (code == TENEBRA_OK) {
        code = end_epoch(trainer, error);
        if (code == TENEBRA_OK && trainer->update >= trainer->plan.updates)
            break;
        if (code == TENEBRA_ERROR_CANCELLED || (code == TENEBRA_OK && tn_trainer_is_stopped(trainer)))
            return stop(trainer, error);
        if (code == TENEBRA_OK)
            code = run_update(trainer, error);
        size_t every = trainer->config->save_updates;
        if (code == TENEBRA_OK && every > 0 && trainer->update % every == 0)
            code = save(trainer, error);
    }
    TN_TRY(code);
    return tn_trainer_export(trainer, trainer->adapter != NULL ? "adapter" : "model", error);
}

tenebra_code tn_trainer_run(tn_trainer *trainer, tenebra_error *error)
{
    tenebra_error problem = { 0 };
    tenebra_code code = run(trainer, &problem);
    return code == TENEBRA_OK ? code : tn_fail(error, code, problem.where, "%s", problem.sentence);
}

/* ---------------------------------------------------------------- probe -- */

static tenebra_code measure_batch(tn_trainer *trainer, size_t count, double *ms, tenebra_error *error)
{
    for (int turn = 0; turn < 2; turn++) { /* the first one makes the system allocate the memory */
        tn_training_result sum;
        double start = tn_clock_ms();
        TN_TRY(learn_examples(trainer, count, &sum, error));
        *ms = tn_clock_ms() - start;
    }
    tn_optimizer_clear(&trainer->optimizer);
    return TENEBRA_OK;
}

tenebra_code tn_trainer_probe(tn_trainer *trainer, size_t stage, bool measure, tn_stage_cost *cost,
                              tn_train_memory *memory, tenebra_error *error)
{
    const tn_train_config *config = trainer->config;
    size_t count = tn_min(config->batch_size, trainer->plan.samples);
    tenebra_error problem = { 0 };
    tn_stage_effect effect = tn_stage_apply(config, stage, config->step_groups);
    *cost = (tn_stage_cost){ .stage = stage, .latents = effect.latents, .skip = effect.skip };
    double start = tn_clock_ms();
    for (size_t i = 0; i < count; i++) {
        tn_train_example_free(&trainer->examples[i]);
        tenebra_code code = tn_trainer_prepare(trainer, i * (trainer->plan.samples / count), stage, &trainer->examples[i], &problem);
        if (code != TENEBRA_OK)
            return tn_fail(error, code, problem.where, "%s", problem.sentence);
        trainer->batch[i] = &trainer->examples[i];
        cost->rows += (double)trainer->examples[i].rows / (double)count;
        cost->labels += (double)trainer->examples[i].label_count / (double)count;
    }
    double prepared = tn_clock_ms() - start, ms = 0;
    cost->sample_flops = tn_trainer_flops(trainer, trainer->batch, count) / (double)count;
    *memory = (tn_train_memory){
        .elements = trainer->parameters->elements, .moments = 2 * trainer->parameters->elements * sizeof(tn_real),
        .activations = tn_training_cost(trainer->training, trainer->batch, count), .mapped = tn_store_bytes(trainer->model->store),
    };
    for (size_t i = 0; i < trainer->parameters->count; i++)
        memory->parameters += trainer->parameters->items[i].count *
                              (2 * sizeof(tn_real) + (trainer->parameters->items[i].rounded != NULL ? sizeof(uint16_t) : 0));
    if (measure)
        TN_TRY(measure_batch(trainer, count, &ms, error));
    cost->sample_ms = measure ? (ms + prepared) / (double)count : 0;
    return TENEBRA_OK;
}
