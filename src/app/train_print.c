#include "app/train_print.h"

#include "app/app.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void tn_train_print_keys(void)
{
    printf("Keys of a configuration, one 'key: value' a line; options of the method (tenebra run --help) are keys, too.\n\n");
    for (const tn_train_key *key = tn_train_keys; key->name != NULL; key++) {
        printf("%-28s %s", key->name, key->help);
        if (key->words != NULL)
            printf(" (%s)", key->words);
        if (key->value != NULL)
            printf(" [%s]", key->value);
        if (key->aliases[0] != '\0') {
            printf("; also:");
            for (const char *at = key->aliases + 1; *at != '\0'; at += strcspn(at, " ") + 1)
                printf(" %.*s", (int)strcspn(at, " "), at);
        }
        putchar('\n');
    }
    printf("\nAccepted from files of other trainers, without effect:\n\n");
    for (const tn_train_unused *unused = tn_train_unused_keys; unused->name != NULL; unused++)
        printf("%-28s %s\n", unused->name, unused->note);
}

/* ------------------------------------------------------------- progress -- */

static void print_duration(FILE *out, double seconds)
{
    unsigned long whole = seconds > 0 && seconds < 1e9 ? (unsigned long)(seconds + 0.5) : 0;
    if (whole >= 3600)
        fprintf(out, "%lu:%02lu:%02lu", whole / 3600, whole / 60 % 60, whole % 60);
    else
        fprintf(out, "%lu:%02lu", whole / 60, whole % 60);
}

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
    fprintf(stderr, "%s: %zu samples, %zu an update, %zu updates in epochs %zu to %zu\n", progress->config->method, plan->samples,
            plan->update_samples, plan->updates, plan->first_epoch + 1, plan->epochs);
    if (made > 0)
        fprintf(stderr, "going on after update %" PRIu64 "\n", made);
}

static void print_numbers(const tn_train_progress *progress, const tn_train_update *u)
{
    fprintf(stderr, "epoch %zu stage %zu  loss %.4f  acc %.3f  norm %.2f  lr %.2g  %.0f tok/s", u->epoch + 1, u->stage, u->loss,
            u->token_accuracy, u->grad_norm, u->lr, u->tokens_per_second);
    if (u->mfu > 0)
        fprintf(stderr, "  mfu %.0f%%", 100 * u->mfu);
    fprintf(stderr, "  ");
    print_duration(stderr, progress->recent_ms / 1e3 * (double)(progress->planned - u->update));
    fprintf(stderr, " to go");
}

static void print_update(tn_train_progress *progress, const tn_train_update *u)
{
    enum { WIDTH = 20 };
    progress->recent_ms = progress->recent_ms > 0 ? 0.95 * progress->recent_ms + 0.05 * u->ms : u->ms;
    if (isatty(STDERR_FILENO)) {
        char bar[WIDTH + 1];
        size_t filled = progress->planned > 0 ? (size_t)u->update * WIDTH / progress->planned : 0;
        for (size_t i = 0; i < WIDTH; i++)
            bar[i] = i < filled ? '#' : '.';
        bar[WIDTH] = '\0';
        fprintf(stderr, "\r[%s] %" PRIu64 "/%zu  ", bar, u->update, progress->planned);
        print_numbers(progress, u);
        fputs("\033[K", stderr);
        progress->line_open = true;
    } else if (u->update % progress->config->log_updates == 0 || u->update == progress->planned) {
        fprintf(stderr, "%" PRIu64 "/%zu  ", u->update, progress->planned);
        print_numbers(progress, u);
        fputc('\n', stderr);
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
            fprintf(stderr, "\rvalidation: %zu of %zu questions\033[K", event->done, event->total);
            progress->line_open = true;
        }
        return;
    case TN_TRAIN_VALIDATION:
        tn_train_end_line(progress);
        fprintf(stderr, "stage %zu: %.1f%% of %zu validation questions right (best of this stage: %.1f%%)\n", event->stage,
                100 * event->accuracy, event->total, 100 * event->best);
        return;
    case TN_TRAIN_SAVED:
        tn_train_end_line(progress);
        fprintf(stderr, "written: %s\n", event->text);
        return;
    case TN_TRAIN_NOTE:
        tn_train_end_line(progress);
        fprintf(stderr, "note: %s\n", event->text);
        return;
    }
}

void tn_train_print_summary(const json_t *summary)
{
    printf("%s: %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " updates, loss %.4f, %.0f tokens/s, ",
           json_string_value(json_object_get(summary, "output")), json_integer_value(json_object_get(summary, "updates")),
           json_integer_value(json_object_get(summary, "planned_updates")), json_number_value(json_object_get(summary, "loss")),
           json_number_value(json_object_get(summary, "tokens_per_second")));
    print_duration(stdout, json_number_value(json_object_get(summary, "seconds")));
    const json_t *best = json_object_get(summary, "best");
    for (size_t i = 0; i < json_array_size(best); i++) {
        const json_t *row = json_array_get(best, i);
        printf("\nstage %" JSON_INTEGER_FORMAT ": best validation %.1f%% after update %" JSON_INTEGER_FORMAT,
               json_integer_value(json_object_get(row, "stage")), 100 * json_number_value(json_object_get(row, "accuracy")),
               json_integer_value(json_object_get(row, "update")));
    }
}
