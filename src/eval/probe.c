#include "eval/probe.h"

#include "eval/statistics.h"
#include "reason/method.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What an intervention takes away. */
typedef enum kind { TEXT, PICKS, ALL, SWEEP } kind;

typedef struct intervention {
    const char *option, *value, *name;
    kind kind;
    bool destroys; /* nothing of the question is left in what it puts there */
} intervention;

static const intervention interventions[] = {
    { "latent-text", "zero", "latent text: zeros", TEXT, true },
    { "latent-text", "noise", "latent text: noise of the same norm", TEXT, true },
    { "latent-text", "shuffle", "latent text: its entries shuffled", TEXT, true },
    { "latent-text", "given", "latent text: another question's", TEXT, true },
    { "latent-text", "mean", "latent text: mean of the prompt", TEXT, false },
    { "latent-text", "frozen", "latent text: that of step one", TEXT, false },
    { "latent-text", "drop", "latent text: none", TEXT, true },
    { "latent-picks", "random", "picks: random", PICKS, true },
    { "latent-picks", "lowest", "picks: the least attended", PICKS, true },
    { "latent-picks", "repeat", "picks: the same at every step", PICKS, false },
    { "latent-picks", "none", "picks: none", PICKS, true },
    { "n-latent", "0", "no latent steps", ALL, true },
    { "n-latent", "1", "1 latent step", SWEEP, false },
    { "n-latent", "2", "2 latent steps", SWEEP, false },
    { "n-latent", "3", "3 latent steps", SWEEP, false },
    { "n-latent", "4", "4 latent steps", SWEEP, false },
    { "n-latent", "6", "6 latent steps", SWEEP, false },
    { "k-select", "1", "1 pick a step", SWEEP, false },
    { "k-select", "4", "4 picks a step", SWEEP, false },
    { "k-select", "8", "8 picks a step", SWEEP, false },
    { "k-select", "16", "16 picks a step", SWEEP, false },
    { "k-select", "32", "32 picks a step", SWEEP, false },
    { "k-select", "64", "64 picks a step", SWEEP, false },
};

enum { COUNT = sizeof interventions / sizeof *interventions };

static char *label_of(const tn_eval_entry *base, const intervention *i)
{
    char *label = malloc(strlen(base->label) + strlen(i->option) + strlen(i->value) + 3);
    if (label != NULL)
        sprintf(label, "%s:%s=%s", base->label, i->option, i->value);
    return label;
}

/* Whether the method has the option, takes the value, and does not have it already. */
static bool applies(const tn_eval_entry *base, const intervention *i)
{
    const char *now = tn_eval_entry_value(base, i->option);
    const tenebra_option *row = tn_method_find(base->method)->options;
    while (row->name != NULL && strcmp(row->name, i->option) != 0)
        row++;
    return now != NULL && strcmp(now, i->value) != 0 && tn_setting_check(row, i->value, NULL) == TENEBRA_OK;
}

static tenebra_code add_intervention(tn_eval_plan *plan, const intervention *i, tenebra_error *error)
{
    char *label = label_of(&plan->entries[0], i);
    if (label == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "probe", "no memory");
    tenebra_code code = tn_eval_plan_add(plan, plan->entries[0].method, error);
    if (code != TENEBRA_OK) {
        free(label);
        return code;
    }
    const tn_eval_entry *base = &plan->entries[0];
    tn_eval_entry *entry = &plan->entries[plan->entry_count - 1];
    free(entry->label);
    entry->label = label;
    for (size_t s = 0; s < base->setting_count; s++)
        TN_TRY(tn_eval_entry_set(entry, base->settings[s].name, base->settings[s].value, error));
    return tn_eval_entry_set(entry, i->option, i->value, error);
}

tenebra_code tn_probe_plan(tn_eval_plan *plan, tenebra_error *error)
{
    if (plan->entry_count != 1)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "method", "one method is probed at a time, not %zu", plan->entry_count);
    if (tn_eval_entry_value(&plan->entries[0], "n-latent") == NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "method", "%s has no latent steps to intervene on", plan->entries[0].method);
    if (strcmp(plan->entries[0].label, plan->entries[0].method) == 0) { /* so that entries can be added under the plain name */
        char *label = malloc(strlen(plan->entries[0].label) + sizeof ":as-it-is");
        if (label == NULL)
            return tn_fail(error, TENEBRA_ERROR_MEMORY, "probe", "no memory");
        sprintf(label, "%s:as-it-is", plan->entries[0].label);
        free(plan->entries[0].label);
        plan->entries[0].label = label;
    }
    for (size_t i = 0; i < COUNT; i++)
        if (applies(&plan->entries[0], &interventions[i]))
            TN_TRY(add_intervention(plan, &interventions[i], error));
    return TENEBRA_OK;
}

/* --------------------------------------------------------------- report -- */

/* One intervention against the method as it is, in points. */
typedef struct comparison {
    const intervention *what;
    tn_paired paired;
    size_t total, changed;
    double difference, half, p; /* p as corrected */
} comparison;

static const tn_result_set *find_set(const tn_results *results, const char *label)
{
    for (size_t i = 0; i < results->count; i++)
        if (strcmp(results->sets[i].label, label) == 0)
            return &results->sets[i];
    return NULL;
}

static void compare(comparison *c, const tn_result_set *base, const tn_result_set *set)
{
    size_t hint = 0;
    for (size_t i = 0; i < base->count; i++) {
        const tn_result *a = &base->items[i], *b = tn_result_find(set, a->id, &hint);
        if (b == NULL)
            continue;
        c->total++;
        c->changed += a->choice != b->choice || a->correct != b->correct;
        c->paired.both += a->correct && b->correct;
        c->paired.only_first += a->correct && !b->correct;
        c->paired.only_second += !a->correct && b->correct;
        c->paired.neither += !a->correct && !b->correct;
    }
    double n = (double)c->total, lost = (double)c->paired.only_first, won = (double)c->paired.only_second;
    c->difference = c->total > 0 ? 100 * (won - lost) / n : (double)NAN;
    c->half = c->total > 0 ? 100 * TN_Z95 * sqrt(fmax(0, won + lost - (won - lost) * (won - lost) / n)) / n : (double)NAN;
    c->p = tn_mcnemar_exact(&c->paired);
}

static size_t count_right(const tn_result_set *set)
{
    size_t right = 0;
    for (size_t i = 0; i < set->count; i++)
        right += set->items[i].correct;
    return right;
}

static json_t *share_of(const tn_result_set *set)
{
    size_t right = count_right(set);
    tn_interval interval = tn_wilson(right, set->count, TN_Z95);
    return json_pack("{s:f, s:f, s:f, s:I, s:I}", "value", 100 * (double)right / (double)set->count, "low", 100 * interval.low,
                     "high", 100 * interval.high, "total", (json_int_t)set->count, "correct", (json_int_t)right);
}

static json_t *new_table(void)
{
    static const struct { const char *name, *kind; } columns[] = {
        { "intervention", "text" }, { "questions", "count" }, { "accuracy", "share" }, { "difference", "share" },
        { "answers changed", "share" }, { "lost", "count" }, { "won", "count" }, { "p (corrected)", "probability" },
    };
    json_t *table = json_pack("{s:s, s:s, s:[], s:[]}", "name", "probe", "title",
                              "Interventions on the latents, against the method as it is", "columns", "rows");
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        json_array_append_new(json_object_get(table, "columns"), json_pack("{s:s, s:s}", "name", columns[i].name, "kind", columns[i].kind));
    return table;
}

static void add_row(json_t *table, const tn_result_set *set, const comparison *c)
{
    json_t *row;
    if (c == NULL) {
        row = json_pack("[s, I, o, n, n, n, n, n]", "as it is", (json_int_t)set->count, share_of(set));
    } else {
        tn_interval changed = tn_wilson(c->changed, c->total, TN_Z95);
        row = json_pack("[s, I, o, {s:f, s:f, s:f}, {s:f, s:f, s:f}, I, I, f]", c->what->name, (json_int_t)c->total, share_of(set),
                        "value", c->difference, "low", c->difference - c->half, "high", c->difference + c->half, "value",
                        100 * (double)c->changed / (double)c->total, "low", 100 * changed.low, "high", 100 * changed.high,
                        (json_int_t)c->paired.only_first, (json_int_t)c->paired.only_second, c->p);
    }
    json_array_append_new(json_object_get(table, "rows"), row);
}

/* ---------------------------------------------------------------- words -- */

enum { SENTENCE = 700 };
static const double significant = 0.05;

static void say(json_t *words, const char *sentence)
{
    json_array_append_new(words, json_string(sentence));
}

/* Accuracy of guessing, over the questions that have options; NaN without any. */
static double chance_of(const tn_result_set *set)
{
    double sum = 0;
    for (size_t i = 0; i < set->count; i++) {
        if (set->items[i].options == 0)
            return (double)NAN;
        sum += 1 / (double)set->items[i].options;
    }
    return sum / (double)set->count;
}

/* What destroying one part does: the largest loss, and whether it is more than chance. */
static void say_of_part(json_t *words, const comparison *list, size_t count, kind part, const char *name)
{
    const comparison *worst = NULL, *surest = NULL;
    double widest = 0, most_changed = 0;
    for (size_t i = 0; i < count; i++) {
        const comparison *c = &list[i];
        if (c->what->kind != part || !c->what->destroys || c->total == 0)
            continue;
        if (worst == NULL || c->difference < worst->difference)
            worst = c;
        if (c->p < significant && c->difference < 0 && (surest == NULL || c->difference < surest->difference))
            surest = c;
        widest = fmax(widest, c->half);
        most_changed = fmax(most_changed, 100 * (double)c->changed / (double)c->total);
    }
    if (worst == NULL)
        return;
    char text[SENTENCE];
    if (surest != NULL)
        snprintf(text, sizeof text, "The answers depend on the %s: with '%s' accuracy falls by %.1f points [%.1f, %.1f] (p = %.2g after "
                 "correction), and it decides %zu of %zu questions.", name, surest->what->name, -surest->difference,
                 -surest->difference - surest->half, -surest->difference + surest->half, surest->p,
                 surest->paired.only_first + surest->paired.only_second, surest->total);
    else
        snprintf(text, sizeof text, "That the answers depend on the %s could not be shown: the largest loss is %.1f points [%.1f, %.1f] "
                 "with '%s' (p = %.2g after correction); at this number of questions losses below about %.1f points stay "
                 "hidden. Up to %.0f%% of the answers changed, right or wrong.", name, fmax(0, -worst->difference),
                 -worst->difference - worst->half, -worst->difference + worst->half, worst->what->name, worst->p,
                 fmax(widest, 100 * 3.0 / (double)worst->total), most_changed);
    say(words, text);
}

static json_t *say_all(const tn_result_set *base, const comparison *list, size_t count)
{
    json_t *words = json_array();
    char text[SENTENCE];
    double chance = chance_of(base);
    tn_interval interval = tn_wilson(count_right(base), base->count, TN_Z95);
    if (isfinite(chance) && !(interval.low > chance)) {
        snprintf(text, sizeof text, "As it is, the method answers no better than guessing (%.1f%% [%.1f, %.1f] against %.1f%%), so nothing "
                 "can be said about what its answers depend on.", 100 * (double)count_right(base) / (double)base->count,
                 100 * interval.low, 100 * interval.high, 100 * chance);
        say(words, text);
        return words;
    }
    say_of_part(words, list, count, TEXT, "latent text (hidden states)");
    say_of_part(words, list, count, PICKS, "picked image embeddings");
    say_of_part(words, list, count, ALL, "latent steps as a whole");
    return words;
}

json_t *tn_probe_report(const tn_results *results, const tn_eval_plan *plan, tenebra_error *error)
{
    const tn_result_set *base = find_set(results, plan->entries[0].label);
    comparison list[COUNT];
    size_t count = 0;
    if (base == NULL || base->count == 0) {
        tn_fail(error, TENEBRA_ERROR_FORMAT, plan->entries[0].label, "has no answers");
        return NULL;
    }
    json_t *table = new_table();
    add_row(table, base, NULL);
    for (size_t i = 0; i < COUNT; i++) {
        char *label = label_of(&plan->entries[0], &interventions[i]);
        const tn_result_set *set = label != NULL ? find_set(results, label) : NULL;
        free(label);
        if (set == NULL)
            continue;
        list[count] = (comparison){ .what = &interventions[i] };
        compare(&list[count++], base, set);
    }
    for (size_t i = 0; i < count; i++) {
        char *label = label_of(&plan->entries[0], list[i].what);
        const tn_result_set *set = label != NULL ? find_set(results, label) : NULL;
        free(label);
        list[i].p = fmin(1, list[i].p * (double)count);
        if (set != NULL && list[i].total > 0)
            add_row(table, set, &list[i]);
    }
    json_t *report = json_pack("{s:[o], s:o, s:[]}", "tables", table, "words", say_all(base, list, count), "notes");
    if (report == NULL)
        tn_fail(error, TENEBRA_ERROR_MEMORY, "probe", "no memory");
    return report;
}
