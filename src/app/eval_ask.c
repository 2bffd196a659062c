/* tenebra eval: asks every question with every method, with progress on stderr. */
#include "app/eval.h"

#include "base/checked.h"
#include "base/clock.h"
#include "reason/method.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FAILURES_SHOWN = 10, QUIET_MS = 15000, DRAW_MS = 100, METHODS_SHOWN = 4, LABEL = 24 };

typedef struct progress {
    double started, drawn;
    size_t failures;
    bool line_open, terminal;
} progress;

static void end_line(progress *p)
{
    if (p->line_open)
        fputc('\n', stderr);
    p->line_open = false;
}

/* At most LABEL bytes of a label, in whole characters: its beginning and its end, which is where the labels of interventions differ. */
static void shorten(const char *label, char text[LABEL + 1])
{
    size_t length = strlen(label), head = length <= LABEL ? length : 8, tail = length <= LABEL ? length : length - (LABEL - 10);
    while (head > 0 && head < length && ((unsigned char)label[head] & 0xC0) == 0x80)
        head--;
    while (((unsigned char)label[tail] & 0xC0) == 0x80)
        tail++;
    snprintf(text, LABEL + 1, "%.*s%s%s", (int)head, label, length <= LABEL ? "" : "..", label + tail);
}

/* The share of correct answers of each of the first methods. */
static size_t describe_methods(const tn_eval_event *event, char texts[METHODS_SHOWN][48], const char *pieces[METHODS_SHOWN])
{
    size_t count = 0;
    for (; count < event->entries && count < METHODS_SHOWN; count++) {
        const tn_eval_count *entry = &event->counts[count];
        double share = entry->done > 0 ? 100 * (double)entry->right / (double)entry->done : 0;
        char label[LABEL + 1];
        shorten(entry->label, label);
        snprintf(texts[count], sizeof texts[count], "%s %.1f%%", label, share);
        pieces[count] = texts[count];
    }
    return count;
}

static void draw(progress *p, const tn_eval_event *event)
{
    char texts[METHODS_SHOWN][48], duration[TN_DURATION_SIZE];
    const char *pieces[METHODS_SHOWN];
    double spent = (tn_clock_ms() - p->started) / 1e3;
    double left = event->now ? spent * (double)(event->total - event->done) / (double)event->now : -1;
    size_t count = describe_methods(event, texts, pieces);
    if (p->terminal) {
        const tn_progress line = { .done = event->done, .total = event->total, .pieces = pieces, .piece_count = count,
                                   .seconds_left = left };
        tn_app_draw_progress(&line);
    } else {
        tn_app_tell("%zu/%zu", event->done, event->total);
        for (size_t i = 0; i < count; i++)
            tn_app_tell("  %s", pieces[i]);
        tn_app_tell("  %s to go\n", tn_app_duration(duration, left));
    }
    p->line_open = p->terminal;
    p->drawn = tn_clock_ms();
}

static void on_event(void *user, const tn_eval_event *event)
{
    progress *p = user;
    if (event->failure != NULL && p->failures++ < FAILURES_SHOWN) {
        end_line(p);
        tn_app_tell("question %s (%s) failed: %s%s%s%s\n", event->id, event->label, event->where, event->where[0] ? ": " : "",
                event->failure,
                p->failures == FAILURES_SHOWN ? "; further failures are only recorded" : "");
    }
    if (tn_clock_ms() - p->drawn > (p->terminal ? DRAW_MS : QUIET_MS) || event->done == event->total)
        draw(p, event);
}

static void print_summary(const json_t *summary)
{
    const json_t *rows = json_object_get(summary, "methods");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i), *interval = json_object_get(row, "interval");
        tn_app_print("%-24s %6.2f%%  [%.2f, %.2f]  %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT,
               json_string_value(json_object_get(row, "method")), json_number_value(json_object_get(row, "acc")),
               json_number_value(json_array_get(interval, 0)), json_number_value(json_array_get(interval, 1)),
               json_integer_value(json_object_get(row, "correct")), json_integer_value(json_object_get(row, "total")));
        static const struct { const char *key, *words; } shares[] = { { "no_answer", "name no option" }, { "failed", "failed" } };
        for (size_t k = 0; k < 2; k++)
            if (json_integer_value(json_object_get(row, shares[k].key)) > 0)
                tn_app_print("  (%" JSON_INTEGER_FORMAT " %s)", json_integer_value(json_object_get(row, shares[k].key)), shares[k].words);
        putchar('\n');
    }
}

/* With several questions at once, only the whole run tells what one costs. */
static void print_rate(const json_t *summary)
{
    json_int_t now = json_integer_value(json_object_get(summary, "answers_now"));
    if (now > 0)
        tn_app_tell("%" JSON_INTEGER_FORMAT " answer%s in %.1f s, %.3g per second\n", now, now == 1 ? "" : "s",
                    json_number_value(json_object_get(summary, "seconds")),
                    json_number_value(json_object_get(summary, "answers_per_second")));
}

/* Prints, once for each method, what it requires of the model and cannot be checked in its files, and options that are not used. */
static void print_notes(const tn_eval_settings *settings)
{
    const tn_eval_plan *plan = &settings->plan;
    const char *taught = settings->ask.trained.method;
    bool seeded = false;
    size_t passes = 0;
    for (size_t e = 0; e < plan->entry_count; e++) {
        seeded |= tn_ask_intervenes(plan->entries[e].method, plan->entries[e].settings, plan->entries[e].setting_count);
        passes = tn_max(passes, tn_ask_passes(plan->entries[e].method));
    }
    tn_ask_tell_passes(&settings->ask, passes);
    tn_ask_tell_greedy("note: ", &plan->request.sampling, seeded);
    for (size_t e = 0; e < plan->entry_count; e++) {
        const char *note = tn_method_find(plan->entries[e].method)->note;
        bool told = false;
        for (size_t other = 0; other < e && !told; other++)
            told = strcmp(plan->entries[other].method, plan->entries[e].method) == 0;
        if (note != NULL && !told && (taught == NULL || strcmp(taught, plan->entries[e].method) != 0))
            tn_app_tell("note: %s: %s\n", plan->entries[e].method, note);
    }
}

static void print_note(void *user, const char *sentence)
{
    (void)user;
    tn_app_tell("note: %s\n", sentence);
}

int tn_eval_run_plan(const tn_eval_settings *settings, json_t **summary)
{
    tenebra_error error = { 0 };
    progress p = { .started = tn_clock_ms(), .drawn = tn_clock_ms(), .terminal = isatty(STDERR_FILENO) };
    tn_eval_options options = settings->run;
    options.on_event = on_event;
    options.user = &p;
    tn_app_catch_interrupts();
    *summary = NULL;
    tn_eval *eval;
    if (tn_eval_open(&eval, &settings->plan, &options, &error) != TENEBRA_OK)
        return tn_app_fail(&error);
    tn_app_tell_notes(tn_eval_model(eval));
    print_notes(settings);
    tn_eval_notes(eval, print_note, NULL);
    p.started = tn_clock_ms();
    tenebra_code code = tn_eval_run(eval, &error);
    end_line(&p);
    size_t failed = tn_eval_failures(eval);
    int exit_code = failed > 0 ? TN_EXIT_FAILED : TN_EXIT_OK;
    if (code != TENEBRA_OK) {
        exit_code = tn_app_fail(&error);
        tn_app_tell("%s holds the answers so far; the same command continues from there\n", options.output);
    } else {
        *summary = tn_eval_summary(eval);
        if (failed > 0)
            tn_app_tell("tenebra: eval: %zu answer%s failed and count%s as wrong; %s has the reasons, --retry asks again\n", failed,
                        failed == 1 ? "" : "s", failed == 1 ? "s" : "", options.output);
    }
    tn_eval_close(eval);
    return exit_code;
}

int tn_eval_ask(int argc, char **argv)
{
    tn_eval_settings settings;
    json_t *summary = NULL;
    int exit_code;
    if (tn_eval_settings_read(&settings, &tn_command_eval, argc, argv, &exit_code)) {
        exit_code = tn_eval_run_plan(&settings, &summary);
        if (summary != NULL && settings.json) {
            tn_app_print_json(summary, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
            putchar('\n');
        } else if (summary != NULL) {
            tn_app_tell("results: %s\n", settings.run.output);
            print_rate(summary);
            print_summary(summary);
        }
        json_decref(summary);
    }
    tn_eval_settings_free(&settings);
    return exit_code;
}
