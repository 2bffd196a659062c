#include "app/train_print.h"

#include "app/app.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NUMBERS = 7 + TN_LOSS_PARTS };

void tn_train_print_keys(void)
{
    tn_app_print("Keys of a recipe, one 'key: value' per line. Options of the method (tenebra run --help) are keys, too.\n\n");
    for (const tn_option *key = tn_train_keys; key->name != NULL; key++) {
        tn_app_print("%-28s %s", key->name, key->help);
        if (key->kind == TN_OPTION_CHOICE)
            tn_app_print(" (%s)", key->argument);
        if (key->value != NULL)
            tn_app_print(" (default: %s)", key->value);
        if (key->aliases != NULL) {
            tn_app_print("; also:");
            for (const char *at = key->aliases + 1; *at != '\0'; at += strcspn(at, " ") + 1)
                tn_app_print(" %.*s", (int)strcspn(at, " "), at);
        }
        putchar('\n');
    }
    tn_app_print("\nKeys of other trainers that are accepted without effect:\n\n");
    for (const tn_train_unused *unused = tn_train_unused_keys; unused->name != NULL; unused++)
        tn_app_print("%-28s %s%s%s%s\n", unused->name, unused->note, unused->values == NULL ? "" : " (refused unless ",
                     unused->values == NULL ? "" : unused->values[0] != '\0' ? unused->values : "null",
                     unused->values == NULL ? "" : ")");
}

/* ------------------------------------------------------------- progress -- */

void tn_train_end_line(tn_train_progress *progress)
{
    if (progress->line_open)
        fputc('\n', stderr);
    progress->line_open = false;
}

void tn_train_print_start(tn_train_progress *progress)
{
    const tn_run_plan *plan = tn_trainer_plan(progress->trainer);
    uint64_t made = tn_trainer_updates(progress->trainer);
    tn_app_tell("%s: %zu sample%s, %zu an update, %zu update%s in epochs %zu to %zu\n", progress->config->method, plan->samples,
                plan->samples == 1 ? "" : "s", plan->update_samples, plan->updates, plan->updates == 1 ? "" : "s", plan->first_epoch + 1,
                plan->epochs);
    if (made > 0)
        tn_app_tell("continuing after update %" PRIu64 "\n", made);
}

/* What is known of an update, the most important first. */
static size_t describe_update(const tn_train_update *u, char texts[NUMBERS][40], const char *pieces[NUMBERS])
{
    size_t count = 0;
    snprintf(texts[count++], sizeof texts[0], "loss %.4f", u->loss);
    snprintf(texts[count++], sizeof texts[0], "epoch %zu stage %zu", u->epoch + 1, u->stage);
    snprintf(texts[count++], sizeof texts[0], "acc %.3f", u->token_accuracy);
    for (size_t i = 0; i < u->part_count; i++)
        snprintf(texts[count++], sizeof texts[0], "%s %.4f", u->parts[i].name, u->parts[i].value);
    snprintf(texts[count++], sizeof texts[0], "norm %.2f", u->grad_norm);
    snprintf(texts[count++], sizeof texts[0], "lr %.2g", u->lr);
    snprintf(texts[count++], sizeof texts[0], "%.0f tok/s", u->tokens_per_second);
    if (u->mfu > 0)
        snprintf(texts[count++], sizeof texts[0], "mfu %.0f%%", 100 * u->mfu);
    for (size_t i = 0; i < count; i++)
        pieces[i] = texts[i];
    return count;
}

static void print_update(tn_train_progress *progress, const tn_train_update *u)
{
    char texts[NUMBERS][40], duration[TN_DURATION_SIZE];
    const char *pieces[NUMBERS];
    size_t count = describe_update(u, texts, pieces);
    progress->recent_ms = progress->recent_ms > 0 ? 0.95 * progress->recent_ms + 0.05 * u->ms : u->ms;
    double left = progress->recent_ms / 1e3 * (double)(progress->planned - u->update);
    if (isatty(STDERR_FILENO)) {
        const tn_progress line = { .done = u->update, .total = progress->planned, .pieces = pieces, .piece_count = count,
                                   .seconds_left = left };
        tn_app_draw_progress(&line);
        progress->line_open = true;
    } else if (u->update % progress->config->log_updates == 0 || u->update == progress->planned) {
        tn_app_tell("%" PRIu64 "/%zu", u->update, progress->planned);
        for (size_t i = 0; i < count; i++)
            tn_app_tell("  %s", pieces[i]);
        tn_app_tell("  %s to go\n", tn_app_duration(duration, left));
    }
}

void tn_train_print_event(void *user, const tn_train_event *event)
{
    tn_train_progress *progress = user;
    switch (event->kind) {
    case TN_TRAIN_UPDATE:
        print_update(progress, event->update);
        return;
    case TN_TRAIN_QUESTION:
        if (isatty(STDERR_FILENO)) {
            const tn_progress line = { .label = "validation", .done = event->done, .total = event->total, .seconds_left = -1 };
            tn_app_draw_progress(&line);
            progress->line_open = true;
        }
        return;
    case TN_TRAIN_VALIDATION:
        tn_train_end_line(progress);
        tn_app_tell("stage %zu: %.1f%% of %zu validation questions correct (best of this stage: %.1f%%)\n", event->stage,
                100 * event->accuracy, event->total, 100 * event->best);
        return;
    case TN_TRAIN_SAVED:
        tn_train_end_line(progress);
        tn_app_tell("written: %s\n", event->text);
        return;
    case TN_TRAIN_NOTE:
        tn_train_end_line(progress);
        tn_app_tell("note: %s\n", event->text);
        return;
    }
}

void tn_train_print_summary(const json_t *summary)
{
    char duration[TN_DURATION_SIZE];
    const json_t *loss = json_object_get(summary, "loss");
    json_int_t planned = json_integer_value(json_object_get(summary, "planned_updates"));
    tn_app_print("%s: %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " update%s, ",
                 json_string_value(json_object_get(summary, "output")), json_integer_value(json_object_get(summary, "updates")), planned,
                 planned == 1 ? "" : "s");
    if (json_is_number(loss))
        tn_app_print("loss %.4f, %.0f tokens/s, ", json_number_value(loss),
                     json_number_value(json_object_get(summary, "tokens_per_second")));
    tn_app_print("%s", tn_app_duration(duration, json_number_value(json_object_get(summary, "seconds"))));
    const json_t *best = json_object_get(summary, "best");
    for (size_t i = 0; i < json_array_size(best); i++) {
        const json_t *row = json_array_get(best, i);
        tn_app_print("\nstage %" JSON_INTEGER_FORMAT ": best validation %.1f%% after update %" JSON_INTEGER_FORMAT,
               json_integer_value(json_object_get(row, "stage")), 100 * json_number_value(json_object_get(row, "accuracy")),
               json_integer_value(json_object_get(row, "update")));
    }
}
