#include "eval/table_make.h"

#include "base/checked.h"
#include "eval/score.h"
#include "eval/statistics.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------- silence -- */

static void count_group(const tn_table_group *group, size_t *questions, size_t *silent, size_t *failed)
{
    *questions = *silent = *failed = 0;
    for (size_t i = 0; i < group->count; i++) {
        *questions += group->sets[i]->count;
        *silent += tn_result_set_silent(group->sets[i]);
        *failed += tn_result_set_failed(group->sets[i]);
    }
}

/* Appends to `text` [size], as much as fits. */
TN_PRINTF(3, 4)
static void add_words(char *text, size_t size, const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, size - used, format, arguments);
    va_end(arguments);
}

/* Whether no question has options. */
static bool are_open(const tn_table_groups *groups)
{
    size_t count = 0;
    for (size_t g = 0; g < groups->count; g++)
        for (size_t s = 0; s < groups->items[g].count; s++)
            for (size_t i = 0; i < groups->items[g].sets[s]->count; i++, count++)
                if (groups->items[g].sets[s]->items[i].options > 0)
                    return false;
    return count > 0;
}

void tn_table_silence(const tn_table_groups *groups, char *text, size_t size)
{
    const char *scorer = groups->count > 0 ? groups->items[0].sets[0]->scorer : "";
    bool any = false, others = false;
    if (are_open(groups)) { /* the default scorer is not named here, because it is about options and letters */
        bool standard = strcmp(scorer, tn_scorer_standard()->name) == 0;
        snprintf(text, size, "The questions are open: an answer counts if it gives a correct answer in words%s%s%s.",
                 standard ? "" : " (scorer '", standard ? "" : scorer, standard ? "" : "')");
        return;
    }
    snprintf(text, size, "Answers that name no option (scorer '%s'; they count as wrong): ", scorer);
    for (size_t g = 0; g < groups->count; g++) {
        size_t questions, silent, failed;
        count_group(&groups->items[g], &questions, &silent, &failed);
        others |= silent == 0;
        if (silent == 0)
            continue;
        add_words(text, size, "%s%.80s %zu of %zu", any ? ", " : "", groups->items[g].name, silent, questions);
        any = true;
    }
    add_words(text, size, "%s.", !any ? "none" : others ? ", others none" : "");
}

/* --------------------------------------------------------------- methods -- */

const char *tn_settings_meant(const json_t *settings, tn_option_meaning means, const char **name)
{
    const char *value = NULL;
    for (size_t m = 0; tn_methods[m] != NULL && value == NULL; m++) { /* the method may be unknown */
        const tn_option *option = tn_option_that_means(tn_methods[m]->options, means);
        value = option != NULL ? json_string_value(json_object_get(settings, option->name)) : NULL;
        if (value != NULL && name != NULL)
            *name = option->name;
    }
    return value;
}

const char *tn_table_setting(const tn_table_group *group, tn_option_meaning means, const char **name)
{
    return tn_settings_meant(json_object_get(group->sets[0]->entry, "settings"), means, name);
}

static double setting_of(const tn_table_group *group, tn_option_meaning means)
{
    const char *value = tn_table_setting(group, means, NULL);
    return value != NULL ? strtod(value, NULL) : (double)NAN;
}

static json_t *accuracy_cell(const tn_table_group *group)
{
    size_t *right = calloc(2 * group->count + 1, sizeof *right), *total = right + group->count;
    if (right == NULL)
        return NULL;
    for (size_t i = 0; i < group->count; i++) {
        total[i] = group->sets[i]->count;
        for (size_t k = 0; k < group->sets[i]->count; k++)
            right[i] += group->sets[i]->items[k].correct;
    }
    json_t *cell = tn_cell_accuracy(right, total, group->count);
    free(right);
    return cell;
}

typedef struct method_row {
    const char *name;
    size_t runs, questions, silent, failed;
    json_t *accuracy;
    double steps, with_injected, sampled, latent, latent_steps, picks, positions; /* means over the answers */
    double seconds, vision, prefill, latents, decoding;
} method_row;

#define AT(field) offsetof(method_row, field)
static const tn_table_field method_fields[] = {
    { "method", "text", TN_FIELD_TEXT, AT(name) },
    { "runs", "count", TN_FIELD_COUNT, AT(runs) },
    { "questions", "count", TN_FIELD_COUNT, AT(questions) },
    { "accuracy", "share", TN_FIELD_CELL, AT(accuracy) },
    { "no answer", "count", TN_FIELD_COUNT, AT(silent) },
    { "failed", "count", TN_FIELD_COUNT, AT(failed) },
    { "AR steps", "number", TN_FIELD_NUMBER, AT(steps) },
    { "with injected", "number", TN_FIELD_NUMBER, AT(with_injected) },
    { "sampled", "number", TN_FIELD_NUMBER, AT(sampled) },
    { "latent", "number", TN_FIELD_NUMBER, AT(latent) },
    { "N", "count", TN_FIELD_NUMBER, AT(latent_steps) },
    { "K", "count", TN_FIELD_NUMBER, AT(picks) },
    { "rows computed", "number", TN_FIELD_NUMBER, AT(positions) },
    { "seconds", "seconds", TN_FIELD_NUMBER, AT(seconds) },
    { "vision s", "seconds", TN_FIELD_NUMBER, AT(vision) },
    { "prefill s", "seconds", TN_FIELD_NUMBER, AT(prefill) },
    { "latent s", "seconds", TN_FIELD_NUMBER, AT(latents) },
    { "decode s", "seconds", TN_FIELD_NUMBER, AT(decoding) },
    { NULL, NULL, TN_FIELD_TEXT, 0 }
};
#undef AT

static method_row describe_method(const tn_table_group *group)
{
    double sampled = TN_TABLE_MEAN(group, sampled), latent = TN_TABLE_MEAN(group, latent), injected = TN_TABLE_MEAN(group, injected);
    method_row row = { .name = group->name, .runs = group->count, .accuracy = accuracy_cell(group), .steps = sampled + latent,
                       .with_injected = sampled + latent + injected, .sampled = sampled, .latent = latent,
                       .latent_steps = setting_of(group, TN_MEANS_LATENT_STEPS), .picks = setting_of(group, TN_MEANS_PICKS),
                       .positions = TN_TABLE_MEAN(group, positions), .seconds = TN_TABLE_MEAN(group, ms) / 1e3,
                       .vision = TN_TABLE_MEAN(group, vision_ms) / 1e3, .prefill = TN_TABLE_MEAN(group, prefill_ms) / 1e3,
                       .latents = TN_TABLE_MEAN(group, latent_ms) / 1e3, .decoding = TN_TABLE_MEAN(group, decode_ms) / 1e3 };
    count_group(group, &row.questions, &row.silent, &row.failed);
    return row;
}

static json_t *methods_table(const tn_table_groups *groups, const char *note)
{
    tn_table_maker maker;
    tn_table_start(&maker, "methods", "Accuracy, autoregressive steps and time per question");
    tn_table_columns(&maker, method_fields);
    for (size_t g = 0; g < groups->count; g++) {
        const method_row row = describe_method(&groups->items[g]);
        tn_table_add(&maker, method_fields, &row);
    }
    tn_table_note(&maker, note);
    return tn_table_finish(&maker);
}

/* ---------------------------------------------------------------- pairs -- */

void tn_table_pair(const tn_result_set *first, const tn_result_set *second, tn_paired *paired)
{
    size_t hint = 0;
    for (size_t i = 0; i < first->count; i++) {
        const tn_result *a = &first->items[i], *b = tn_result_find(second, a->id, &hint);
        if (b == NULL)
            continue;
        paired->both += a->correct && b->correct;
        paired->only_first += a->correct && !b->correct;
        paired->only_second += !a->correct && b->correct;
        paired->neither += !a->correct && !b->correct;
    }
}

static size_t total_of(const tn_paired *paired)
{
    return paired->both + paired->only_first + paired->only_second + paired->neither;
}

/* Newcombe's interval, for the first minus the second. */
static json_t *paired_cell(double value, const tn_paired *paired, size_t total)
{
    tn_interval interval = tn_paired_difference(paired, TN_Z95); /* second minus first */
    return tn_cell_share(value, -100 * interval.high, -100 * interval.low, total, SIZE_MAX);
}

/* First minus second in points with its interval: over runs, or over the questions of one run, if there is one or the difference is
 * the same in all. *paired: of all runs together. */
static json_t *difference_cell(const tn_table_group *a, const tn_table_group *b, tn_paired *paired)
{
    size_t runs = a->count < b->count ? a->count : b->count, used = 0;
    double *values = calloc(runs + 1, sizeof *values), half;
    tn_paired first = { 0 };
    *paired = (tn_paired){ 0 };
    if (values == NULL)
        return NULL;
    for (size_t i = 0; i < runs; i++) {
        tn_paired one = { 0 };
        tn_table_pair(a->sets[i], b->sets[i], &one);
        size_t total = total_of(&one);
        if (total > 0 && used == 0)
            first = one;
        if (total > 0)
            values[used++] = 100 * ((double)one.only_first - (double)one.only_second) / (double)total;
        paired->both += one.both;
        paired->only_first += one.only_first;
        paired->only_second += one.only_second;
        paired->neither += one.neither;
    }
    double value = tn_table_mean(values, used, &half);
    free(values);
    if (runs == 1 || half == 0)
        return paired_cell(value, &first, total_of(paired));
    /* A difference is within -100..100, so the part of Student's interval outside can be cut off. NaN is kept. */
    double low = fmax(-100, value - half) + 0 * half, high = fmin(100, value + half) + 0 * half;
    return tn_cell_share(value, low, high, total_of(paired), SIZE_MAX);
}

typedef struct pair_row {
    const char *first, *second;
    json_t *difference;
    tn_paired paired;
    size_t total;
    double exact, chi2; /* p if both have one run; NaN for several */
} pair_row;

#define AT(field) offsetof(pair_row, field)
static const tn_table_field pair_fields[] = {
    { "first", "text", TN_FIELD_TEXT, AT(first) },
    { "second", "text", TN_FIELD_TEXT, AT(second) },
    { "questions", "count", TN_FIELD_COUNT, AT(total) },
    { "difference", "share", TN_FIELD_CELL, AT(difference) },
    { "both right", "count", TN_FIELD_COUNT, AT(paired.both) },
    { "only first", "count", TN_FIELD_COUNT, AT(paired.only_first) },
    { "only second", "count", TN_FIELD_COUNT, AT(paired.only_second) },
    { "neither", "count", TN_FIELD_COUNT, AT(paired.neither) },
    { "p (exact)", "probability", TN_FIELD_NUMBER, AT(exact) },
    { "p (chi2)", "probability", TN_FIELD_NUMBER, AT(chi2) },
    { NULL, NULL, TN_FIELD_TEXT, 0 }
};
#undef AT

static void put_pair(tn_table_maker *maker, const tn_table_group *a, const tn_table_group *b)
{
    pair_row row = { .first = a->name, .second = b->name, .exact = (double)NAN, .chi2 = (double)NAN };
    row.difference = difference_cell(a, b, &row.paired);
    row.total = total_of(&row.paired);
    if (row.difference != NULL && row.total == 0) {
        json_decref(row.difference);
        return;
    }
    if (a->count == 1 && b->count == 1) {
        row.exact = tn_mcnemar_exact(&row.paired);
        row.chi2 = tn_mcnemar_chi2(&row.paired, NULL);
    }
    tn_table_add(maker, pair_fields, &row);
}

static json_t *pairs_table(const tn_table_groups *groups, const char *note)
{
    enum { ALL_PAIRS = 5 };
    tn_table_maker maker;
    tn_table_start(&maker, "pairs", "Two methods on the same questions (McNemar)");
    tn_table_columns(&maker, pair_fields);
    for (size_t a = 0; a < groups->count && (a == 0 || groups->count <= ALL_PAIRS); a++)
        for (size_t b = a + 1; b < groups->count; b++)
            put_pair(&maker, &groups->items[a], &groups->items[b]);
    tn_table_note(&maker, note);
    return tn_table_finish(&maker);
}

/* ---------------------------------------------------------------- notes -- */

/* Notes as members of an object, each once; false without memory. */
static bool add_note(json_t *notes, const char *text)
{
    return json_object_set_new(notes, text, json_null()) == 0;
}

/* Notes appear in pages that are passed on, so they contain names of files without their directories. */
static const char *name_of(const tn_result_set *set)
{
    const char *slash = strrchr(set->file, '/');
    return slash != NULL ? slash + 1 : set->file;
}

static bool note_data(json_t *notes, const tn_result_set *set, const json_t *first)
{
    static const struct { const char *key, *words; } digests[] = {
        { "digest", "has other questions than the first file; only common questions are compared in pairs" },
        { "prompt_digest", "asks in another wording than the first file" },
    };
    const json_t *data = json_object_get(set->manifest, "data");
    bool fits = true;
    char text[600];
    for (size_t i = 0; i < 2; i++) {
        const char *mine = json_string_value(json_object_get(data, digests[i].key));
        const char *theirs = json_string_value(json_object_get(first, digests[i].key));
        snprintf(text, sizeof text, "%.300s: %s", name_of(set), digests[i].words);
        if (mine != NULL && theirs != NULL && strcmp(mine, theirs) != 0)
            fits &= add_note(notes, text);
    }
    return fits;
}

static bool note_set(json_t *notes, const tn_result_set *set, const json_t *first)
{
    char text[600];
    const json_t *data = json_object_get(set->manifest, "data");
    size_t questions = 0, of = 0, parallel = 0, failed = tn_result_set_failed(set);
    bool fits = true;
    tn_json_size(data, "questions", 0, SIZE_MAX >> 12, &questions, set->file, NULL);
    tn_json_size(data, "of", 0, SIZE_MAX >> 12, &of, set->file, NULL);
    if (json_is_true(json_object_get(data, "partial"))) {
        snprintf(text, sizeof text, "%.300s: asks %zu of %zu questions of the split", name_of(set), questions, of);
        fits &= add_note(notes, text);
    }
    if (json_object_get(set->manifest, "digest") == NULL) {
        snprintf(text, sizeof text, "%.300s: was written by an older version, without digests, so changes to the file cannot be detected",
                 name_of(set));
        fits &= add_note(notes, text);
    }
    if (set->count < questions) {
        snprintf(text, sizeof text, "%.300s: %.100s has answered %zu of %zu questions so far", name_of(set), set->label,
                 set->count, questions);
        fits &= add_note(notes, text);
    }
    if (failed > 0) {
        snprintf(text, sizeof text, "%.300s: %zu answer%s of %.100s failed and count%s as wrong", name_of(set), failed,
                 failed == 1 ? "" : "s", set->label, failed == 1 ? "s" : "");
        fits &= add_note(notes, text);
    }
    for (size_t i = 0; i < set->count; i++)
        parallel = tn_max(parallel, set->items[i].parallel);
    if (parallel > 0) {
        snprintf(text, sizeof text, "%.300s: up to %zu answers of %.100s were computed at once; each has the time in which all of them ran",
                 name_of(set), parallel, set->label);
        fits &= add_note(notes, text);
    }
    return note_data(notes, set, first) && fits;
}

/* Whether all runs of a group have the same accuracy. */
static bool is_constant(const tn_table_group *group)
{
    double first = (double)NAN;
    bool equal = true;
    for (size_t i = 0; i < group->count; i++) {
        size_t right = 0, total = group->sets[i]->count;
        for (size_t k = 0; k < total; k++)
            right += group->sets[i]->items[k].correct;
        double accuracy = (double)right / (double)total;
        equal &= i == 0 || accuracy == first;
        first = accuracy;
    }
    return group->count > 1 && equal;
}

static bool note_group(json_t *notes, const tn_table_group *group)
{
    char text[400];
    snprintf(text, sizeof text, "all %zu runs of %.200s have the same accuracy; its interval is that of one run, over its questions",
             group->count, group->name);
    return !is_constant(group) || add_note(notes, text);
}

/* The notes as a list; NULL without memory. */
static json_t *make_notes(const tn_table_groups *groups)
{
    json_t *notes = json_object(), *list = json_array();
    bool fits = notes != NULL && list != NULL;
    for (size_t g = 0; g < groups->count && fits; g++)
        fits = note_group(notes, &groups->items[g]);
    for (size_t g = 0; g < groups->count && fits; g++)
        for (size_t i = 0; i < groups->items[g].count; i++)
            fits &= note_set(notes, groups->items[g].sets[i], json_object_get(groups->items[0].sets[0]->manifest, "data"));
    for (void *at = json_object_iter(notes); at != NULL && fits; at = json_object_iter_next(notes, at))
        fits = json_array_append_new(list, json_string(json_object_iter_key(at))) == 0;
    json_decref(notes);
    if (fits)
        return list;
    json_decref(list);
    return NULL;
}

/* Adds the table, which it takes ownership of, unless it has no rows. */
static bool add_table(json_t *tables, json_t *table)
{
    bool fits = table != NULL;
    if (fits && json_array_size(json_object_get(table, "rows")) > 0)
        fits = json_array_append(tables, table) == 0;
    json_decref(table);
    return fits;
}

tenebra_code tn_table_report(json_t **report, const tn_table_groups *groups, tenebra_error *error)
{
    enum { SILENCE = 2000 };
    char note[SILENCE];
    json_t *tables = json_array(), *notes = make_notes(groups);
    *report = NULL;
    tn_table_silence(groups, note, sizeof note);
    bool fits = tables != NULL && notes != NULL && add_table(tables, methods_table(groups, note)) &&
                add_table(tables, tn_table_subjects(groups, TN_BY_DOMAIN, "domains", "Accuracy by domain", note)) &&
                add_table(tables, tn_table_subjects(groups, TN_BY_TOPIC, "topics", "Accuracy by topic", note)) &&
                add_table(tables, tn_table_subjects(groups, TN_BY_LOOKS, "looks", "Accuracy by number of looks", note)) &&
                add_table(tables, tn_table_latents(groups)) && add_table(tables, tn_table_calls(groups)) &&
                add_table(tables, tn_table_reconstructions(groups)) &&
                add_table(tables, pairs_table(groups, note));
    if (fits)
        *report = json_pack("{s:O, s:O, s:s}", "tables", tables, "notes", notes, "scorer",
                            groups->count > 0 ? groups->items[0].sets[0]->scorer : "");
    json_decref(tables);
    json_decref(notes);
    return *report != NULL ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_MEMORY, "eval table", "no memory for the tables");
}
