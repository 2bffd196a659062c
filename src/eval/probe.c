#include "eval/probe.h"

#include "eval/table_make.h"
#include "reason/method.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What an intervention removes or varies. */
typedef enum kind { TEXT, PICKS, ALL, SWEEP } kind;

typedef struct intervention {
    tn_option_meaning means;
    const char *value, *name;
    kind kind;
    bool destroys; /* the replacement contains nothing of the question */
} intervention;

static const intervention interventions[] = {
    { TN_MEANS_LATENT_TEXT, "zero", "latent text: zeros", TEXT, true },
    { TN_MEANS_LATENT_TEXT, "noise", "latent text: noise of the same norm", TEXT, true },
    { TN_MEANS_LATENT_TEXT, "shuffle", "latent text: its entries shuffled", TEXT, true },
    { TN_MEANS_LATENT_TEXT, TN_LATENT_TEXT_GIVEN, "latent text: another question's", TEXT, true },
    { TN_MEANS_LATENT_TEXT, "mean", "latent text: mean of the prompt", TEXT, false },
    { TN_MEANS_LATENT_TEXT, "frozen", "latent text: that of the first step", TEXT, false },
    { TN_MEANS_LATENT_TEXT, "drop", "latent text: none", TEXT, true },
    { TN_MEANS_LATENT_PICKS, "random", "picks: random", PICKS, true },
    { TN_MEANS_LATENT_PICKS, "lowest", "picks: the least attended", PICKS, true },
    { TN_MEANS_LATENT_PICKS, "repeat", "picks: the same at every step", PICKS, false },
    { TN_MEANS_LATENT_PICKS, "none", "picks: none", PICKS, true },
    { TN_MEANS_LATENT_STEPS, "0", "no latent steps", ALL, true },
    { TN_MEANS_LATENT_STEPS, "1", "1 latent step", SWEEP, false },
    { TN_MEANS_LATENT_STEPS, "2", "2 latent steps", SWEEP, false },
    { TN_MEANS_LATENT_STEPS, "3", "3 latent steps", SWEEP, false },
    { TN_MEANS_LATENT_STEPS, "4", "4 latent steps", SWEEP, false },
    { TN_MEANS_LATENT_STEPS, "6", "6 latent steps", SWEEP, false },
    { TN_MEANS_PICKS, "1", "1 pick per step", SWEEP, false },
    { TN_MEANS_PICKS, "4", "4 picks per step", SWEEP, false },
    { TN_MEANS_PICKS, "8", "8 picks per step", SWEEP, false },
    { TN_MEANS_PICKS, "16", "16 picks per step", SWEEP, false },
    { TN_MEANS_PICKS, "32", "32 picks per step", SWEEP, false },
    { TN_MEANS_PICKS, "64", "64 picks per step", SWEEP, false },
};

enum { COUNT = sizeof interventions / sizeof *interventions };

/* The label "LABEL:OPTION=VALUE", which the caller frees. *option is NULL if the method has no option with this meaning. */
static char *label_of(const tn_eval_entry *base, const intervention *i, const tn_option **option)
{
    *option = tn_method_option_that_means(base->method, i->means);
    const char *name = *option != NULL ? (*option)->name : "";
    char *label = malloc(strlen(base->label) + strlen(name) + strlen(i->value) + 3);
    if (label != NULL)
        sprintf(label, "%s:%s=%s", base->label, name, i->value);
    return label;
}

/* Whether the method has the option, accepts the value, and does not already have this value. */
static bool applies(const tn_eval_entry *base, const intervention *i)
{
    const tn_option *option = tn_method_option_that_means(base->method, i->means);
    return option != NULL && strcmp(tn_eval_entry_value(base, option->name), i->value) != 0 &&
           tn_option_check(option, i->value, NULL) == TENEBRA_OK;
}

static tenebra_code add_intervention(tn_eval_plan *plan, const intervention *i, tenebra_error *error)
{
    const tn_option *option;
    char *label = label_of(&plan->entries[0], i, &option);
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
    return tn_eval_entry_set(entry, option->name, i->value, error);
}

/* Whether any intervention applies, apart from other numbers of picks. */
static bool has_steps(const tn_eval_entry *base)
{
    bool found = false;
    for (size_t i = 0; i < COUNT; i++)
        found = found || (interventions[i].kind != SWEEP && applies(base, &interventions[i]));
    return found;
}

tenebra_code tn_probe_plan(tn_eval_plan *plan, tenebra_error *error)
{
    if (plan->entry_count != 1)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "method", "one method is probed at a time, not %zu", plan->entry_count);
    if (!has_steps(&plan->entries[0]))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "method", "%s has no latent steps and picks nothing, so there is nothing to "
                       "intervene on", plan->entries[0].method);
    if (strcmp(plan->entries[0].label, plan->entries[0].method) == 0) { /* the label must be the plain name, to which options
                                                                         * can be added */
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

/* One intervention compared with the unchanged method, in points. */
typedef struct comparison {
    const intervention *what;
    const tn_result_set *set;
    tn_paired paired;
    size_t total, changed;
    size_t silent; /* of the answers that only the unchanged method gives correctly: those that name no option here, or failed */
    double difference, low, high, p; /* p after the correction */
} comparison;

static const tn_result_set *find_set(const tn_results *results, const char *label)
{
    for (size_t i = 0; i < results->count; i++)
        if (strcmp(results->sets[i].label, label) == 0)
            return &results->sets[i];
    return NULL;
}

static void compare(comparison *c, const tn_result_set *base)
{
    size_t hint = 0;
    for (size_t i = 0; i < base->count; i++) {
        const tn_result *a = &base->items[i], *b = tn_result_find(c->set, a->id, &hint);
        if (b == NULL)
            continue;
        c->total++;
        c->changed += a->choice != b->choice || a->correct != b->correct;
        c->silent += a->correct && !b->correct && (b->failed || !b->found);
    }
    tn_table_pair(base, c->set, &c->paired);
    tn_interval interval = tn_paired_difference(&c->paired, TN_Z95);
    double lost = (double)c->paired.only_first, won = (double)c->paired.only_second;
    c->difference = c->total > 0 ? 100 * (won - lost) / (double)c->total : (double)NAN;
    c->low = 100 * interval.low;
    c->high = 100 * interval.high;
    c->p = tn_mcnemar_exact(&c->paired);
}

/* Whether most of the lost answers name no option that the scorer reads. */
static bool is_silent(const comparison *c)
{
    return 2 * c->silent > c->paired.only_first;
}

static size_t count_right(const tn_result_set *set)
{
    size_t right = 0;
    for (size_t i = 0; i < set->count; i++)
        right += set->items[i].correct;
    return right;
}

/* Tokens of an answer, as a mean over those that did not fail; NaN if there are none. */
static double tokens_of(const tn_result_set *set)
{
    double sum = 0;
    size_t answers = 0;
    for (size_t i = 0; i < set->count; i++)
        if (isfinite(set->items[i].sampled)) {
            sum += set->items[i].sampled;
            answers++;
        }
    return answers > 0 ? sum / (double)answers : (double)NAN;
}

typedef struct probe_row {
    const char *name;
    size_t questions, silent, failed;
    double tokens;
    json_t *accuracy, *difference, *changed, *lost, *lost_silent, *won, *p; /* null for the unchanged method, from difference on */
} probe_row;

#define AT(field) offsetof(probe_row, field)
static const tn_table_field fields[] = {
    { "intervention", "text", TN_FIELD_TEXT, AT(name) },
    { "questions", "count", TN_FIELD_COUNT, AT(questions) },
    { "accuracy", "share", TN_FIELD_CELL, AT(accuracy) },
    { "no answer", "count", TN_FIELD_COUNT, AT(silent) },
    { "failed", "count", TN_FIELD_COUNT, AT(failed) },
    { "tokens", "number", TN_FIELD_NUMBER, AT(tokens) },
    { "difference", "share", TN_FIELD_CELL, AT(difference) },
    { "answers changed", "share", TN_FIELD_CELL, AT(changed) },
    { "lost", "count", TN_FIELD_CELL, AT(lost) },
    { "lost, no answer", "count", TN_FIELD_CELL, AT(lost_silent) },
    { "won", "count", TN_FIELD_CELL, AT(won) },
    { "p (corrected)", "probability", TN_FIELD_CELL, AT(p) },
    { NULL, NULL, TN_FIELD_TEXT, 0 }
};
#undef AT

/* A comparison, or with c == NULL the unchanged method. */
static void add_row(tn_table_maker *maker, const comparison *c, const tn_result_set *set)
{
    probe_row row = { .name = c != NULL ? c->what->name : "unchanged", .questions = c != NULL ? c->total : set->count,
                      .silent = tn_result_set_silent(set), .failed = tn_result_set_failed(set),
                      .tokens = tokens_of(set), .accuracy = tn_cell_rate(count_right(set), set->count) };
    row.difference = c != NULL ? tn_cell_share(c->difference, c->low, c->high, c->total, SIZE_MAX) : json_null();
    row.changed = c != NULL ? tn_cell_rate(c->changed, c->total) : json_null();
    row.lost = c != NULL ? tn_cell_count(c->paired.only_first) : json_null();
    row.lost_silent = c != NULL ? tn_cell_count(c->silent) : json_null();
    row.won = c != NULL ? tn_cell_count(c->paired.only_second) : json_null();
    row.p = c != NULL ? tn_cell_number(c->p) : json_null();
    tn_table_add(maker, fields, &row);
}

/* ---------------------------------------------------------------- words -- */

enum { SENTENCE = 900 };
static const double significant = 0.05;

static bool say(json_t *words, const char *sentence)
{
    return json_array_append_new(words, json_string(sentence)) == 0;
}

/* The accuracy of guessing, over the questions that have options; NaN if there are none. */
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

/* The effects of interventions that destroy one part. */
typedef struct findings {
    const comparison *worst;  /* the largest loss                                                        */
    const comparison *surest; /* the largest significant loss, of answers that name an option            */
    const comparison *silent; /* the largest loss in which most of the lost answers name no option       */
    double hidden, changed;   /* largest loss in points that may be undetected; largest share of changed answers in percent */
} findings;

static findings look_at(const comparison *list, size_t count, kind part)
{
    findings f = { 0 };
    for (size_t i = 0; i < count; i++) {
        const comparison *c = &list[i];
        if (c->what->kind != part || !c->what->destroys || c->total == 0)
            continue;
        const comparison **larger = is_silent(c) ? &f.silent : c->p < significant && c->difference < 0 ? &f.surest : NULL;
        if (larger != NULL && (*larger == NULL || c->difference < (*larger)->difference))
            *larger = c;
        if (f.worst == NULL || c->difference < f.worst->difference)
            f.worst = c;
        f.hidden = fmax(f.hidden, fmax((c->high - c->low) / 2, 100 * 3.0 / (double)c->total));
        f.changed = fmax(f.changed, 100 * (double)c->changed / (double)c->total);
    }
    return f;
}

static bool say_of_part(json_t *words, const comparison *list, size_t count, kind part, const char *name, const tn_result_set *base)
{
    findings f = look_at(list, count, part);
    char text[SENTENCE];
    if (f.worst == NULL)
        return true;
    if (f.surest != NULL)
        snprintf(text, sizeof text, "The answers depend on the %s: with '%s' accuracy falls by %.1f points [%.1f, %.1f] (p = %.2g after "
                                    "correction), and %zu of %zu questions become correct or wrong; %zu of the %zu lost answers name no "
                                    "option.", name,
                 f.surest->what->name, -f.surest->difference, -f.surest->high, -f.surest->low, f.surest->p,
                 f.surest->paired.only_first + f.surest->paired.only_second, f.surest->total, f.surest->silent,
                 f.surest->paired.only_first);
    else if (f.silent != NULL)
        snprintf(text, sizeof text, "Nothing can be concluded about the %s: with '%s' %zu answers are lost, but %zu of them name no option "
                                    "that the scorer '%s' reads. The form of the answers changed; --scorer selects another rule.", name,
                 f.silent->what->name, f.silent->paired.only_first, f.silent->silent, base->scorer);
    else {
        char hidden[64] = "any loss could be undetected", longer[160] = "";
        double tokens = tokens_of(f.worst->set), usual = tokens_of(base);
        if (tokens > usual + 1) /* not true of NaN */
            snprintf(longer, sizeof longer, " Answers then have %.1f tokens instead of %.1f, so steps may be written in words.",
                     tokens, usual);
        if (f.hidden < 100)
            snprintf(hidden, sizeof hidden, "losses below about %.1f points could be undetected", f.hidden);
        snprintf(text, sizeof text, "It could not be shown that the answers depend on the %s: the largest loss is %.1f points [%.1f, %.1f] "
                                    "with '%s' (p = %.2g after correction); with this number of questions, %s. Up to %.0f%% of the answers "
                                    "changed, whether correct or wrong.%s",
                 name, fmax(0, -f.worst->difference), -f.worst->high, -f.worst->low, f.worst->what->name, f.worst->p, hidden, f.changed,
                 longer);
    }
    return say(words, text);
}

/* Writes a sentence about the unchanged method. Returns false if nothing can be concluded from interventions. */
static bool is_usable(const tn_result_set *base, char text[SENTENCE])
{
    size_t right = count_right(base), silent = tn_result_set_silent(base), failed = tn_result_set_failed(base);
    double chance = chance_of(base);
    tn_interval interval = tn_wilson(right, base->count, TN_Z95);
    if (2 * (silent + failed) > base->count)
        snprintf(text, SENTENCE, "Without intervention, %zu of %zu answers name no option that the scorer '%s' reads, and %zu failed, so "
                                 "nothing can be concluded about what the answers depend on; --scorer selects another "
                                 "rule.", silent, base->count,
                 base->scorer, failed);
    else if (isfinite(chance) && !(interval.low > chance))
        snprintf(text, SENTENCE, "Without intervention, the method does not answer better than guessing (%.1f%% [%.1f, %.1f] compared with "
                                 "%.1f%%; %zu of %zu answers name no option), so nothing can be concluded about what its answers depend "
                                 "on.",
                 100 * (double)right / (double)base->count, 100 * interval.low, 100 * interval.high, 100 * chance, silent, base->count);
    else
        return true;
    return false;
}

/* NULL without memory. */
static json_t *say_all(const tn_result_set *base, const comparison *list, size_t count)
{
    json_t *words = json_array();
    char text[SENTENCE];
    bool fits = words != NULL;
    if (!is_usable(base, text)) {
        fits = fits && say(words, text);
    } else {
        fits = fits && say_of_part(words, list, count, TEXT, "latent text (hidden states)", base) &&
               say_of_part(words, list, count, PICKS, "picked image embeddings", base) &&
               say_of_part(words, list, count, ALL, "latent steps as a whole", base);
    }
    if (fits)
        return words;
    json_decref(words);
    return NULL;
}

/* The comparisons for which the results have answers; p is corrected for their number. */
static tenebra_code compare_all(const tn_results *results, const tn_eval_plan *plan, const tn_result_set *base, comparison *list,
                                size_t *count, tenebra_error *error)
{
    *count = 0;
    for (size_t i = 0; i < COUNT; i++) {
        const tn_option *option;
        char *label = label_of(&plan->entries[0], &interventions[i], &option);
        if (label == NULL)
            return tn_fail(error, TENEBRA_ERROR_MEMORY, "probe", "no memory");
        const tn_result_set *set = find_set(results, label);
        free(label);
        if (set == NULL)
            continue;
        list[*count] = (comparison){ .what = &interventions[i], .set = set };
        compare(&list[(*count)++], base);
    }
    for (size_t i = 0; i < *count; i++)
        list[i].p = fmin(1, list[i].p * (double)*count);
    return TENEBRA_OK;
}

static json_t *make_table(const tn_result_set *base, const comparison *list, size_t count)
{
    tn_table_maker maker;
    char note[200];
    tn_table_start(&maker, "probe", "Interventions on the latents, compared with the unchanged method");
    tn_table_columns(&maker, fields);
    add_row(&maker, NULL, base);
    for (size_t i = 0; i < count; i++)
        if (list[i].total > 0)
            add_row(&maker, &list[i], list[i].set);
    snprintf(note, sizeof note, "'no answer': answers that name no option (scorer '%.60s'); they count as wrong.", base->scorer);
    tn_table_note(&maker, note);
    return tn_table_finish(&maker);
}

tenebra_code tn_probe_report(json_t **report, const tn_results *results, const tn_eval_plan *plan, tenebra_error *error)
{
    const tn_result_set *base = find_set(results, plan->entries[0].label);
    comparison list[COUNT];
    size_t count;
    *report = NULL;
    if (base == NULL || base->count == 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, plan->entries[0].label, "has no answers");
    TN_TRY(compare_all(results, plan, base, list, &count, error));
    json_t *table = make_table(base, list, count), *words = say_all(base, list, count);
    if (table != NULL && words != NULL)
        *report = json_pack("{s:[O], s:O, s:[], s:s}", "tables", table, "words", words, "notes", "scorer", base->scorer);
    json_decref(table);
    json_decref(words);
    return *report != NULL ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_MEMORY, "probe", "no memory for the table");
}
