/* What a checkpoint holds beside weights and moments. */
#include "train/parts.h"

#include <string.h>

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

json_t *tn_trainer_state(const tn_trainer *trainer)
{
    json_t *state = json_object();
    bool fits = state != NULL && json_object_set_new(state, "version", json_integer(1)) == 0 &&
                json_object_set_new(state, "update", json_integer((json_int_t)trainer->update)) == 0 &&
                json_object_set_new(state, "validated", json_integer((json_int_t)trainer->validated)) == 0 &&
                json_object_set_new(state, "optimizer_steps", json_integer((json_int_t)trainer->optimizer.step)) == 0 &&
                json_object_set_new(state, "tokens", json_integer((json_int_t)trainer->tokens)) == 0 &&
                json_object_set_new(state, "train_ms", json_real(trainer->train_ms)) == 0 &&
                json_object_set_new(state, "samples", json_integer((json_int_t)trainer->plan.samples)) == 0 &&
                json_object_set_new(state, "data", json_string(trainer->data_mark)) == 0 &&
                json_object_set_new(state, "threads", json_integer((json_int_t)trainer->threads)) == 0 &&
                json_object_set_new(state, "kernels", json_string(trainer->model->kernels->name)) == 0 &&
                json_object_set_new(state, "best", best_models(trainer)) == 0 &&
                json_object_set_new(state, "config", tn_train_config_json(trainer->config)) == 0;
    if (fits)
        return state;
    json_decref(state);
    return NULL;
}

static tenebra_code read_best(tn_trainer *trainer, const json_t *list, const char *where, tenebra_error *error)
{
    size_t stage, update;
    double accuracy;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        stage = TN_BEST_STAGES;
        update = 0;
        accuracy = -1;
        TN_TRY(tn_json_size(row, "stage", 0, TN_BEST_STAGES - 1, &stage, where, error));
        TN_TRY(tn_json_size(row, "update", 0, SIZE_MAX >> 12, &update, where, error));
        TN_TRY(tn_json_number(row, "accuracy", 0, 1, &accuracy, where, error));
        if (stage == TN_BEST_STAGES)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "a best model has no stage");
        trainer->best[stage] = accuracy;
        trainer->best_update[stage] = update;
    }
    return TENEBRA_OK;
}

tenebra_code tn_trainer_read_state(tn_trainer *trainer, const json_t *state, const char *where, tenebra_error *error)
{
    size_t version = 0, update = 0, validated = 0, steps = 0, tokens = 0, samples = 0;
    const size_t largest = SIZE_MAX >> 12; /* exact in a double */
    const char *kernels = "", *data = "";
    TN_TRY(tn_json_size(state, "version", 0, 1000000, &version, where, error));
    if (version != 1)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, where, "is a checkpoint of version %zu; this program reads version 1", version);
    TN_TRY(tn_train_config_compare(trainer->config, json_object_get(state, "config"), where, error));
    TN_TRY(tn_json_size(state, "update", 0, largest, &update, where, error));
    TN_TRY(tn_json_size(state, "validated", 0, largest, &validated, where, error));
    TN_TRY(tn_json_size(state, "optimizer_steps", 0, largest, &steps, where, error));
    TN_TRY(tn_json_size(state, "tokens", 0, largest, &tokens, where, error));
    TN_TRY(tn_json_size(state, "samples", 0, largest, &samples, where, error));
    TN_TRY(tn_json_number(state, "train_ms", 0, 1e15, &trainer->train_ms, where, error));
    TN_TRY(tn_json_string(state, "kernels", &kernels, where, error));
    TN_TRY(tn_json_string(state, "data", &data, where, error));
    if (samples != trainer->plan.samples)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, where, "was made with a training set of %zu samples; now there are %zu",
                       samples, trainer->plan.samples);
    if (strcmp(data, trainer->data_mark) != 0)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, where, "was made with another training set: its texts differ");
    if (strcmp(kernels, trainer->model->kernels->name) != 0)
        tn_trainer_note(trainer, TN_TRAIN_NOTE, "the checkpoint was made with another set of kernels: the run "
                        "will not end with the same bits");
    TN_TRY(read_best(trainer, json_object_get(state, "best"), where, error));
    trainer->update = update;
    trainer->validated = validated;
    trainer->optimizer.step = steps;
    trainer->tokens = tokens;
    return TENEBRA_OK;
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
                json_object_set_new(summary, "loss", json_real(trainer->last.loss)) == 0 &&
                json_object_set_new(summary, "grad_norm", json_real(trainer->last.grad_norm)) == 0 &&
                json_object_set_new(summary, "trained_values", json_integer((json_int_t)trainer->optimizer.total)) == 0 &&
                json_object_set_new(summary, "tokens", json_integer((json_int_t)trainer->tokens)) == 0 &&
                json_object_set_new(summary, "seconds", json_real(seconds)) == 0 &&
                json_object_set_new(summary, "tokens_per_second", json_real(seconds > 0 ? (double)trainer->tokens / seconds : 0)) == 0 &&
                json_object_set_new(summary, "mfu", json_real(trainer->last.mfu)) == 0 &&
                json_object_set_new(summary, "threads", json_integer((json_int_t)trainer->threads)) == 0 &&
                json_object_set_new(summary, "kernels", json_string(trainer->model->kernels->name)) == 0 &&
                json_object_set_new(summary, "best", best_models(trainer)) == 0;
    if (fits)
        return summary;
    json_decref(summary);
    return NULL;
}
