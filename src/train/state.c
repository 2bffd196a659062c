/* The contents of a checkpoint besides weights and moments. */
#include "train/parts.h"

#include "base/checked.h"

#include <math.h>
#include <string.h>

enum { VERSION = 2 }; /* 2: with a digest, the length of the run, the base model's digest and the last update */

/* [stage, accuracy, update] of each stage that has a best model. */
static json_t *best_models(const tn_trainer *trainer)
{
    json_t *list = json_array();
    for (size_t stage = 0; stage < TN_BEST_STAGES && list != NULL; stage++) {
        if (trainer->best[stage] < 0)
            continue;
        json_t *row = json_pack("{s:I, s:f, s:I}", "stage", (json_int_t)stage, "accuracy", trainer->best[stage], "update",
                                (json_int_t)trainer->best_update[stage]);
        if (json_array_append_new(list, row) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *last_update(const tn_trainer *trainer)
{
    const tn_train_update *last = &trainer->last;
    return json_pack("{s:I, s:I, s:f, s:f, s:f, s:f}", "epoch", (json_int_t)last->epoch, "stage", (json_int_t)last->stage, "loss",
                     last->loss, "lr", last->lr, "grad_norm", last->grad_norm, "token_accuracy", last->token_accuracy);
}

json_t *tn_trainer_state(const tn_trainer *trainer)
{
    json_t *state = json_object();
    bool fits = state != NULL && json_object_set_new(state, "version", json_integer(VERSION)) == 0 &&
                json_object_set_new(state, "update", json_integer((json_int_t)trainer->update)) == 0 &&
                json_object_set_new(state, "validated", json_integer((json_int_t)trainer->validated)) == 0 &&
                json_object_set_new(state, "optimizer_steps", json_integer((json_int_t)trainer->optimizer.step)) == 0 &&
                json_object_set_new(state, "tokens", json_integer((json_int_t)trainer->tokens)) == 0 &&
                json_object_set_new(state, "train_ms", json_real(trainer->train_ms)) == 0 &&
                json_object_set_new(state, "samples", json_integer((json_int_t)trainer->plan.samples)) == 0 &&
                json_object_set_new(state, "data", json_string(trainer->data_mark)) == 0 &&
                json_object_set_new(state, "planned", json_integer((json_int_t)trainer->plan.updates)) == 0 &&
                json_object_set_new(state, "warmup", json_integer((json_int_t)trainer->plan.schedule.warmup)) == 0 &&
                json_object_set_new(state, "base", json_string(trainer->base_mark)) == 0 &&
                json_object_set_new(state, "last", last_update(trainer)) == 0 &&
                json_object_set_new(state, "threads", json_integer((json_int_t)trainer->threads)) == 0 &&
                json_object_set_new(state, "kernels", json_string(trainer->model->kernels->name)) == 0 &&
                json_object_set_new(state, "best", best_models(trainer)) == 0 &&
                json_object_set_new(state, "config", tn_train_config_json(trainer->config)) == 0;
    if (fits)
        return state;
    json_decref(state);
    return NULL;
}

static tenebra_code read_best(tn_trainer *trainer, const json_t *list, size_t last, const char *where, tenebra_error *error)
{
    size_t stage, update;
    double accuracy;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        stage = TN_BEST_STAGES;
        update = 0;
        accuracy = -1;
        TN_TRY(tn_json_size(row, "stage", 0, TN_BEST_STAGES - 1, &stage, where, error));
        TN_TRY(tn_json_size(row, "update", 1, last, &update, where, error));
        TN_TRY(tn_json_number(row, "accuracy", 0, 1, &accuracy, where, error));
        if (stage == TN_BEST_STAGES || update == 0)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "a best model has no stage or no update");
        trainer->best[stage] = accuracy;
        trainer->best_update[stage] = update;
    }
    return TENEBRA_OK;
}

/* The numbers of the last update, for the summary and for the description of the result. */
static tenebra_code read_last(tn_trainer *trainer, const json_t *object, const char *where, tenebra_error *error)
{
    tn_train_update last = { .update = trainer->update, .loss = (double)NAN };
    TN_TRY(tn_json_size(object, "epoch", 0, SIZE_MAX >> 12, &last.epoch, where, error));
    TN_TRY(tn_json_size(object, "stage", 0, TN_BEST_STAGES - 1, &last.stage, where, error));
    TN_TRY(tn_json_number(object, "loss", 0, 1e300, &last.loss, where, error));
    TN_TRY(tn_json_number(object, "lr", 0, 1e300, &last.lr, where, error));
    TN_TRY(tn_json_number(object, "grad_norm", 0, 1e300, &last.grad_norm, where, error));
    TN_TRY(tn_json_number(object, "token_accuracy", 0, 1, &last.token_accuracy, where, error));
    size_t epoch = trainer->plan.first_epoch + (size_t)((trainer->update - 1) / trainer->plan.updates_per_epoch);
    if (isnan(last.loss) || last.epoch != epoch || last.stage != tn_stage_of_epoch(trainer->config, epoch))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "describes another last update than its own, number %llu",
                       (unsigned long long)trainer->update);
    trainer->last = last;
    return TENEBRA_OK;
}

typedef struct counters {
    size_t update, validated, steps, tokens, samples, planned, warmup;
} counters;

static tenebra_code read_counters(const json_t *state, counters *c, const char *where, tenebra_error *error)
{
    const size_t largest = SIZE_MAX >> 12; /* exactly representable in a double */
    TN_TRY(tn_json_size(state, "update", 1, largest, &c->update, where, error));
    TN_TRY(tn_json_size(state, "validated", 0, largest, &c->validated, where, error));
    TN_TRY(tn_json_size(state, "optimizer_steps", 1, largest, &c->steps, where, error));
    TN_TRY(tn_json_size(state, "tokens", 1, largest, &c->tokens, where, error));
    TN_TRY(tn_json_size(state, "samples", 1, largest, &c->samples, where, error));
    TN_TRY(tn_json_size(state, "planned", 1, largest, &c->planned, where, error));
    return tn_json_size(state, "warmup", 0, largest, &c->warmup, where, error);
}

/* Refuses a state that no run can have reached. */
static tenebra_code check_counters(const tn_trainer *trainer, const counters *c, const char *where, tenebra_error *error)
{
    const tn_run_plan *plan = &trainer->plan;
    bool resets = trainer->config->reset_optimizer;
    double rows = (double)c->update * (double)plan->update_samples *
                  (double)trainer->model->config.decoder.max_position_embeddings;
    if (c->update == 0 || c->update != trainer->saved_update)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "contains %zu updates, which contradicts its name", c->update);
    if (c->update > c->planned || c->validated > c->update || c->steps > c->update || (!resets && c->steps != c->update) ||
        c->tokens < c->update || (double)c->tokens > rows)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "has counters that contradict each other: %zu of %zu updates, "
                       "validated after %zu, %zu steps of the optimizer, %zu rows", c->update, c->planned, c->validated, c->steps,
                       c->tokens);
    return TENEBRA_OK;
}

/* The length of a run may change if no completed update would have been different. */
static tenebra_code check_length(const tn_trainer *trainer, const counters *c, const json_t *saved, const char *where,
                                 tenebra_error *error)
{
    const tn_schedule *schedule = &trainer->plan.schedule;
    bool falls = schedule->kind != TN_SCHEDULE_CONSTANT;
    if (c->update > trainer->plan.updates)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, where, "was made after update %zu, and the configuration ends the run after %zu "
                       "(max_updates, num_epochs)", c->update, trainer->plan.updates);
    if ((!falls || c->planned == trainer->plan.updates) && c->warmup == schedule->warmup)
        return TENEBRA_OK;
    const json_t *updates = json_object_get(saved, "max_updates");
    bool by_updates = (size_t)json_integer_value(updates) != trainer->config->max_updates;
    return tn_fail(error, TENEBRA_ERROR_MISMATCH, where, "was made with '%s: %" JSON_INTEGER_FORMAT "', a run of %zu updates; now it would "
                   "have %zu, and the learning rate depends on that number (%s). Put it back, or start another run",
                   by_updates ? "max_updates" : "num_epochs",
                   json_integer_value(by_updates ? updates : json_object_get(saved, "num_epochs")), c->planned,
                   trainer->plan.updates, falls ? "lr_scheduler_type" : "warmup_ratio");
}

/* Checks the data and the model of the run. */
static tenebra_code check_sources(const tn_trainer *trainer, const json_t *state, size_t samples, const char *where,
                                  tenebra_error *error)
{
    const char *kernels = "", *data = "", *base = "";
    TN_TRY(tn_json_string(state, "kernels", &kernels, where, error));
    TN_TRY(tn_json_string(state, "data", &data, where, error));
    TN_TRY(tn_json_string(state, "base", &base, where, error));
    if (samples != trainer->plan.samples)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, where, "was made with a training set of %zu samples; now there are %zu",
                       samples, trainer->plan.samples);
    if (strcmp(data, trainer->data_mark) != 0)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, where, "was made with another training set: its texts differ");
    if (strcmp(base, trainer->base_mark) != 0)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, where, "was made from another model than %.300s holds now: its weights or its "
                       "config.json differ", trainer->model->directory);
    if (strcmp(kernels, trainer->model->kernels->name) != 0)
        tn_trainer_note(trainer, TN_TRAIN_NOTE, "the checkpoint was made with another set of kernels: the run "
                        "will not end with the same bits");
    return TENEBRA_OK;
}

tenebra_code tn_trainer_read_state(tn_trainer *trainer, const json_t *state, const char *where, tenebra_error *error)
{
    size_t version = 0;
    counters c = { 0 };
    TN_TRY(tn_json_size(state, "version", 0, 1000000, &version, where, error));
    if (version != VERSION)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, where, "is a checkpoint of version %zu; this program continues version %d",
                       version, VERSION);
    TN_TRY(tn_train_config_compare(trainer->config, json_object_get(state, "config"), where, error));
    TN_TRY(read_counters(state, &c, where, error));
    TN_TRY(check_counters(trainer, &c, where, error));
    TN_TRY(check_length(trainer, &c, json_object_get(state, "config"), where, error));
    TN_TRY(check_sources(trainer, state, c.samples, where, error));
    TN_TRY(tn_json_number(state, "train_ms", 0, 1e15, &trainer->train_ms, where, error));
    TN_TRY(read_best(trainer, json_object_get(state, "best"), c.update, where, error));
    trainer->update = c.update;
    trainer->validated = c.validated;
    trainer->optimizer.step = c.steps;
    trainer->tokens = c.tokens;
    return read_last(trainer, json_object_get(state, "last"), where, error);
}

/* Null before the first update. */
static bool add_last(json_t *summary, const char *key, double value, const tn_trainer *trainer)
{
    return json_object_set_new(summary, key, trainer->update > 0 ? json_real(value) : json_null()) == 0;
}

json_t *tn_trainer_summary(const tn_trainer *trainer)
{
    double seconds = trainer->train_ms / 1e3;
    json_t *summary = json_object();
    bool fits = summary != NULL && json_object_set_new(summary, "output", json_string(trainer->config->output)) == 0 &&
                json_object_set_new(summary, "method", json_string(trainer->config->method)) == 0 &&
                json_object_set_new(summary, "updates", json_integer((json_int_t)trainer->update)) == 0 &&
                json_object_set_new(summary, "planned_updates", json_integer((json_int_t)trainer->plan.updates)) == 0 &&
                json_object_set_new(summary, "epoch", json_integer((json_int_t)trainer->last.epoch)) == 0 &&
                json_object_set_new(summary, "stage", json_integer((json_int_t)trainer->last.stage)) == 0 &&
                add_last(summary, "loss", trainer->last.loss, trainer) &&
                add_last(summary, "grad_norm", trainer->last.grad_norm, trainer) &&
                json_object_set_new(summary, "trained_values", json_integer((json_int_t)trainer->optimizer.total)) == 0 &&
                json_object_set_new(summary, "tokens", json_integer((json_int_t)trainer->tokens)) == 0 &&
                json_object_set_new(summary, "seconds", json_real(seconds)) == 0 &&
                json_object_set_new(summary, "tokens_per_second", json_real(seconds > 0 ? (double)trainer->tokens / seconds : 0)) == 0 &&
                json_object_set_new(summary, "mfu", trainer->last.mfu > 0 ? json_real(trainer->last.mfu) : json_null()) == 0 &&
                json_object_set_new(summary, "threads", json_integer((json_int_t)trainer->threads)) == 0 &&
                json_object_set_new(summary, "kernels", json_string(trainer->model->kernels->name)) == 0 &&
                json_object_set_new(summary, "best", best_models(trainer)) == 0;
    if (fits)
        return summary;
    json_decref(summary);
    return NULL;
}
