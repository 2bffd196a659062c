/* The plan of a training run, for people and as JSON. */
#include "app/app.h"
#include "app/train_print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A micro-batch of more work than this [floating-point operations] is not run, but estimated from the speed of one
 * product; layers reach about half of that speed. */
static const double MEASURED_WORK = 4e11, USUAL_SHARE = 0.5;

enum { STAGES_MAX = 72 };

typedef struct plan_row {
    size_t first, last; /* epochs, from 0 */
    tn_stage_cost cost;
    double seconds;     /* of all its epochs */
} plan_row;

typedef struct plan_view {
    const tn_run_plan *plan;
    const tn_train_config *config;
    plan_row rows[STAGES_MAX];
    size_t count;
    tn_train_memory memory; /* the largest */
    double seconds, peak;
    bool measured;
    json_t *warnings;
} plan_view;

static tenebra_code cost_stage(tn_trainer *trainer, plan_view *view, plan_row *row, size_t stage, tenebra_error *error)
{
    tn_train_memory memory;
    double batch = (double)view->config->batch_size;
    TN_TRY(tn_trainer_probe(trainer, stage, false, &row->cost, &memory, error));
    if (row->cost.sample_flops * batch <= MEASURED_WORK) {
        TN_TRY(tn_trainer_probe(trainer, stage, true, &row->cost, &memory, error));
    } else {
        view->measured = false;
        row->cost.sample_ms = view->peak > 0 ? row->cost.sample_flops / (view->peak * USUAL_SHARE) * 1e3 : 0;
    }
    if (memory.activations > view->memory.activations || view->memory.elements == 0)
        view->memory = memory;
    return TENEBRA_OK;
}

static tenebra_code make_view(tn_trainer *trainer, plan_view *view, tenebra_error *error)
{
    const tn_run_plan *plan = view->plan;
    view->peak = tn_trainer_peak(trainer);
    view->measured = true;
    size_t last = plan->first_epoch + (plan->updates - 1) / plan->updates_per_epoch;
    for (size_t epoch = plan->first_epoch; epoch <= last; epoch++) {
        size_t stage = tn_stage_of_epoch(view->config, epoch);
        plan_row *row = view->count > 0 ? &view->rows[view->count - 1] : NULL;
        if (row == NULL || row->cost.stage != stage) {
            if (view->count == STAGES_MAX)
                break;
            row = &view->rows[view->count++];
            row->first = epoch;
            TN_TRY(cost_stage(trainer, view, row, stage, error));
        }
        row->last = epoch;
    }
    for (size_t i = 0; i < view->count; i++) {
        plan_row *row = &view->rows[i];
        double samples = (double)plan->samples * (double)(row->last - row->first + 1);
        if (i + 1 == view->count) /* max_updates may cut the last epoch */
            samples = (double)plan->samples * (double)(row->last - row->first) +
                      (double)((plan->updates - 1) % plan->updates_per_epoch + 1) / (double)plan->updates_per_epoch * (double)plan->samples;
        row->seconds = samples * row->cost.sample_ms / 1e3;
        view->seconds += row->seconds;
    }
    return TENEBRA_OK;
}

static void add_warning(void *user, const char *sentence)
{
    json_array_append_new(user, json_string(sentence));
}

/* ------------------------------------------------------------ for people -- */

static void print_size(const char *label, size_t bytes)
{
    tn_app_print("  %-22s %10.1f MB\n", label, (double)bytes / 1048576);
}

static void print_rows(const plan_view *view)
{
    tn_app_print("\n%-10s %5s %8s %-10s %8s %8s %10s %10s\n", "epochs", "stage", "latents", "dropped", "rows", "labels",
                 "ms/sample", "minutes");
    for (size_t i = 0; i < view->count; i++) {
        const plan_row *row = &view->rows[i];
        char epochs[32], dropped[32];
        snprintf(epochs, sizeof epochs, "%zu-%zu", row->first + 1, row->last + 1);
        if (row->cost.skip >= TN_SKIP_ALL)
            snprintf(dropped, sizeof dropped, "all steps");
        else
            snprintf(dropped, sizeof dropped, "%zu step%s", row->cost.skip, row->cost.skip == 1 ? "" : "s");
        tn_app_print("%-10s %5zu %8zu %-10s %8.0f %8.0f %10.2f %10.1f\n", epochs, row->cost.stage, row->cost.latents, dropped,
                     row->cost.rows, row->cost.labels, row->cost.sample_ms, row->seconds / 60);
    }
}

static void print_text(const plan_view *view)
{
    const tn_train_config *config = view->config;
    const tn_run_plan *plan = view->plan;
    tn_app_print("method            %s, %s\n", config->method, config->tuning == TN_TUNE_LORA ? "an adapter (LoRA)" : "full training");
    for (size_t i = 0; i < config->setting_count; i++)
        tn_app_print("%s%s %s%s", i == 0 ? "settings          " : ", ", config->settings[i].name, config->settings[i].value,
                     i + 1 < config->setting_count ? "" : "\n");
    tn_app_print("wording           %s\n", config->prompt);
    tn_app_print("training set      %s, split %s: %zu samples\n", config->data, config->train_split, plan->samples);
    tn_app_print("effective batch   %zu = %zu samples x %zu accumulated x %zu devices\n", plan->update_samples, config->batch_size,
           config->accumulation, config->devices);
    tn_app_print("updates           %zu, %zu an epoch\n", plan->updates, plan->updates_per_epoch);
    tn_app_print("optimizer         lr %g, warm-up %llu updates, %s at a new stage\n", config->lr,
           (unsigned long long)plan->schedule.warmup, config->reset_optimizer ? "reset" : "kept");
    tn_app_print("trained values    %zu\n", view->memory.elements);
    print_rows(view);
    tn_app_print("\nmemory\n");
    print_size("weights as stored", view->memory.mapped);
    print_size("trained, gradients", view->memory.parameters);
    print_size("moments", view->memory.moments);
    print_size("a micro-batch", view->memory.activations);
    print_size("together", view->memory.mapped + view->memory.parameters + view->memory.moments + view->memory.activations);
    tn_app_print("\ntime              %.1f minutes without validation (%s)\n", view->seconds / 60,
           view->measured ? "measured on one micro-batch of each stage" : "estimated from the number of operations");
    for (size_t i = 0; i < json_array_size(view->warnings); i++)
        tn_app_print("warning: %s\n", json_string_value(json_array_get(view->warnings, i)));
}

/* ---------------------------------------------------------- for programs -- */

static json_t *row_json(const plan_row *row)
{
    json_t *skip = row->cost.skip >= TN_SKIP_ALL ? json_string("all") : json_integer((json_int_t)row->cost.skip);
    return json_pack("{s:I, s:I, s:I, s:I, s:o, s:f, s:f, s:f, s:f, s:f}", "first_epoch", (json_int_t)row->first, "last_epoch",
                     (json_int_t)row->last, "stage", (json_int_t)row->cost.stage, "latents", (json_int_t)row->cost.latents,
                     "dropped_steps", skip, "rows", row->cost.rows, "labels", row->cost.labels, "sample_ms", row->cost.sample_ms,
                     "sample_flops", row->cost.sample_flops, "seconds", row->seconds);
}

static void print_json(const plan_view *view)
{
    const tn_run_plan *plan = view->plan;
    const tn_train_memory *memory = &view->memory;
    json_t *rows = json_array();
    for (size_t i = 0; i < view->count; i++)
        json_array_append_new(rows, row_json(&view->rows[i]));
    json_t *object = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:{s:I, s:I, s:I, s:I, s:I}, s:f, s:b, s:f, s:O, s:o}", "method", view->config->method,
        "samples", (json_int_t)plan->samples, "effective_batch", (json_int_t)plan->update_samples, "updates", (json_int_t)plan->updates,
        "updates_per_epoch", (json_int_t)plan->updates_per_epoch, "warmup_updates", (json_int_t)plan->schedule.warmup, "stages", rows,
        "memory", "trained_values", (json_int_t)memory->elements, "weights", (json_int_t)memory->mapped, "parameters",
        (json_int_t)memory->parameters, "moments", (json_int_t)memory->moments, "activations", (json_int_t)memory->activations,
        "seconds", view->seconds, "measured", view->measured, "peak_flops", view->peak, "warnings", view->warnings, "config",
        tn_train_config_json(view->config));
    if (object != NULL)
        tn_app_print_json(object, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(object);
}

int tn_train_print_plan(tn_trainer *trainer, const tn_train_config *config, bool json)
{
    tenebra_error error;
    plan_view *view = calloc(1, sizeof *view);
    int exit_code = TN_EXIT_OK;
    if (view == NULL)
        return TN_EXIT_FAILED;
    view->plan = tn_trainer_plan(trainer);
    view->config = config;
    view->warnings = json_array();
    tn_run_plan_warn(view->plan, config, add_warning, view->warnings);
    if (make_view(trainer, view, &error) != TENEBRA_OK)
        exit_code = tn_app_fail(&error);
    else if (json)
        print_json(view);
    else
        print_text(view);
    json_decref(view->warnings);
    free(view);
    return exit_code;
}
