#include "eval/table.h"

#include "eval/statistics.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------- numbers -- */

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *count_cell(size_t value)
{
    return json_integer((json_int_t)value);
}

/* Which answers a share is over. */
typedef struct filter {
    const char *domain, *topic; /* NULL: any */
    size_t looks;               /* 0: any    */
} filter;

/* The number at the end of "name-3"; 0: there is none. */
static size_t looks_of(const char *topic)
{
    const char *dash = strrchr(topic, '-');
    if (dash == NULL || !isdigit((unsigned char)dash[1]) || strlen(dash) > 4)
        return 0;
    return dash[1 + strspn(dash + 1, "0123456789")] == '\0' ? (size_t)strtoul(dash + 1, NULL, 10) : 0;
}

static bool fits(const filter *wanted, const tn_result *item)
{
    return (wanted->domain == NULL || strcmp(wanted->domain, item->domain) == 0) &&
           (wanted->topic == NULL || strcmp(wanted->topic, item->topic) == 0) &&
           (wanted->looks == 0 || looks_of(item->topic) == wanted->looks);
}

static void count_right(const tn_result_set *set, const filter *wanted, size_t *right, size_t *total)
{
    *right = *total = 0;
    for (size_t i = 0; i < set->count; i++)
        if (fits(wanted, &set->items[i])) {
            ++*total;
            *right += set->items[i].correct;
        }
}

/* Accuracy of a group in percent, with its interval; null where it has no such questions. */
static json_t *share(const tn_table_group *group, const filter *wanted)
{
    size_t right = 0, total = 0, runs = 0;
    double low = (double)NAN, high = (double)NAN, value = (double)NAN;
    double *means = calloc(group->count + 1, sizeof *means);
    if (means == NULL)
        return NULL; /* a row that lacks a cell is not whole */
    for (size_t i = 0; i < group->count; i++) {
        size_t r, t;
        count_right(group->sets[i], wanted, &r, &t);
        right += r;
        total += t;
        if (t > 0)
            means[runs++] = (double)r / (double)t;
    }
    if (group->count == 1 && total > 0) {
        tn_interval interval = tn_wilson(right, total, TN_Z95);
        value = (double)right / (double)total;
        low = interval.low;
        high = interval.high;
    } else if (total > 0) {
        double half;
        value = tn_table_mean(means, runs, &half);
        low = fmax(0, value - half) + 0 * half; /* NaN stays */
        high = fmin(1, value + half) + 0 * half;
    }
    free(means);
    return total == 0 ? json_null()
                      : json_pack("{s:o, s:o, s:o, s:o, s:o}", "value", number(100 * value), "low", number(100 * low), "high",
                                  number(100 * high), "total", count_cell(total), "correct", count_cell(right));
}

/* Mean of a field over all answers of all runs that have it. */
static double field_mean(const tn_table_group *group, size_t offset)
{
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < group->count; i++)
        for (size_t k = 0; k < group->sets[i]->count; k++) {
            double value;
            memcpy(&value, (const char *)&group->sets[i]->items[k] + offset, sizeof value);
            if (isfinite(value)) {
                sum += value;
                count++;
            }
        }
    return count > 0 ? sum / (double)count : (double)NAN;
}

#define MEAN(group, field) field_mean(group, offsetof(tn_result, field))

/* ---------------------------------------------------------------- parts -- */

static json_t *new_table(const char *name, const char *title)
{
    return json_pack("{s:s, s:s, s:[], s:[]}", "name", name, "title", title, "columns", "rows");
}

static void add_column(json_t *table, const char *name, const char *kind)
{
    json_array_append_new(json_object_get(table, "columns"), json_pack("{s:s, s:s}", "name", name, "kind", kind));
}

static json_t *add_row(json_t *table)
{
    json_t *row = json_array();
    json_array_append_new(json_object_get(table, "rows"), row);
    return row;
}

static void add_table(json_t *tables, json_t *table)
{
    if (json_array_size(json_object_get(table, "rows")) > 0)
        json_array_append(tables, table);
    json_decref(table);
}

/* A number of latent steps or picks that the manifest tells. */
static json_t *setting_cell(const tn_table_group *group, const char *name)
{
    const json_t *value = json_object_get(json_object_get(group->sets[0]->entry, "settings"), name);
    return json_is_string(value) ? json_real(strtod(json_string_value(value), NULL)) : json_null();
}

static json_t *methods_table(const tn_table_groups *groups)
{
    static const struct { const char *name, *kind; } columns[] = {
        { "method", "text" }, { "runs", "count" }, { "questions", "count" }, { "accuracy", "share" }, { "AR steps", "number" },
        { "with injected", "number" }, { "sampled", "number" }, { "latent", "number" }, { "N", "count" }, { "K", "count" },
        { "rows computed", "number" }, { "seconds", "seconds" }, { "vision s", "seconds" }, { "prefill s", "seconds" },
        { "latent s", "seconds" }, { "decode s", "seconds" }, { "no answer", "count" }, { "failed", "count" },
    };
    json_t *table = new_table("methods", "Accuracy, autoregressive steps and time per question");
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        add_column(table, columns[i].name, columns[i].kind);
    for (size_t g = 0; g < groups->count; g++) {
        const tn_table_group *group = &groups->items[g];
        const filter all = { 0 };
        size_t questions = 0, silent = 0, failed = 0;
        for (size_t i = 0; i < group->count; i++)
            for (size_t k = 0; k < group->sets[i]->count; k++) {
                questions++;
                failed += group->sets[i]->items[k].failed;
                silent += !group->sets[i]->items[k].failed && !group->sets[i]->items[k].found;
            }
        double sampled = MEAN(group, sampled), latent = MEAN(group, latent), injected = MEAN(group, injected);
        json_t *row = add_row(table);
        json_array_append_new(row, json_string(group->name));
        json_array_append_new(row, count_cell(group->count));
        json_array_append_new(row, count_cell(questions));
        json_array_append_new(row, share(group, &all));
        const double numbers[] = { sampled + latent, sampled + latent + injected, sampled, latent };
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
            json_array_append_new(row, number(numbers[i]));
        json_array_append_new(row, setting_cell(group, "n-latent"));
        json_array_append_new(row, setting_cell(group, "k-select"));
        json_array_append_new(row, number(MEAN(group, positions)));
        const double times[] = { MEAN(group, ms), MEAN(group, vision_ms), MEAN(group, prefill_ms), MEAN(group, latent_ms),
                                 MEAN(group, decode_ms) };
        for (size_t i = 0; i < sizeof times / sizeof *times; i++)
            json_array_append_new(row, number(times[i] / 1e3));
        json_array_append_new(row, count_cell(silent));
        json_array_append_new(row, count_cell(failed));
    }
    return table;
}

/* ----------------------------------------------------------- by subject -- */

/* What there is in the answers, sorted: domains, "domain\ttopic", or numbers of looks as "003". */
typedef enum subject { BY_DOMAIN, BY_TOPIC, BY_LOOKS } subject;

static void subject_key(char *key, size_t size, subject by, const tn_result *item)
{
    if (by == BY_DOMAIN)
        snprintf(key, size, "%s", item->domain);
    else if (by == BY_TOPIC)
        snprintf(key, size, "%s\t%s", item->domain, item->topic);
    else
        snprintf(key, size, "%03zu", looks_of(item->topic));
}

/* Object with the keys as members; *whole: every answer has one. */
static json_t *collect_subjects(const tn_table_groups *groups, subject by, bool *whole)
{
    json_t *keys = json_object();
    char key[512];
    *whole = true;
    for (size_t g = 0; g < groups->count; g++)
        for (size_t i = 0; i < groups->items[g].count; i++)
            for (size_t k = 0; k < groups->items[g].sets[i]->count; k++) {
                const tn_result *item = &groups->items[g].sets[i]->items[k];
                subject_key(key, sizeof key, by, item);
                *whole &= by == BY_LOOKS ? looks_of(item->topic) > 0 : item->topic[0] != '\0' || item->domain[0] != '\0';
                if (json_object_get(keys, key) == NULL)
                    json_object_set_new(keys, key, json_null());
            }
    return keys;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static json_t *subject_row(json_t *table, const tn_table_groups *groups, subject by, const char *key)
{
    char domain[512];
    filter wanted = { 0 };
    json_t *row = add_row(table);
    snprintf(domain, sizeof domain, "%.*s", (int)strcspn(key, "\t"), key);
    if (by == BY_LOOKS) {
        wanted.looks = (size_t)strtoul(key, NULL, 10);
        json_array_append_new(row, count_cell(wanted.looks));
    } else {
        wanted.domain = domain;
        json_array_append_new(row, json_string(domain));
        if (by == BY_TOPIC) {
            wanted.topic = key + strlen(domain) + 1;
            json_array_append_new(row, json_string(wanted.topic));
        }
    }
    size_t right, total = 0;
    if (groups->count > 0)
        count_right(groups->items[0].sets[0], &wanted, &right, &total);
    json_array_append_new(row, count_cell(total));
    for (size_t g = 0; g < groups->count; g++)
        json_array_append_new(row, share(&groups->items[g], &wanted));
    return row;
}

static json_t *subjects_table(const tn_table_groups *groups, subject by, const char *name, const char *title)
{
    json_t *table = new_table(name, title);
    bool whole;
    json_t *keys = collect_subjects(groups, by, &whole);
    size_t count = json_object_size(keys), at = 0;
    const char **sorted = calloc(count + 1, sizeof *sorted);
    if (sorted == NULL)
        add_row(table); /* nor is one without cells */
    if (sorted == NULL || !whole) {
        free(sorted);
        json_decref(keys);
        return table;
    }
    for (void *member = json_object_iter(keys); member != NULL; member = json_object_iter_next(keys, member))
        sorted[at++] = json_object_iter_key(member);
    qsort(sorted, count, sizeof *sorted, compare_keys);
    add_column(table, by == BY_LOOKS ? "looks" : "domain", by == BY_LOOKS ? "count" : "text");
    if (by == BY_TOPIC)
        add_column(table, "topic", "text");
    add_column(table, "questions", "count");
    for (size_t g = 0; g < groups->count; g++)
        add_column(table, groups->items[g].name, "share");
    for (size_t i = 0; i < count; i++)
        subject_row(table, groups, by, sorted[i]);
    free(sorted);
    json_decref(keys);
    return table;
}

/* -------------------------------------------------------------- latents -- */

/* Mean of a field of the steps number `step` over those that have it; *count of answers with that many steps. */
static double step_mean(const tn_table_group *group, size_t step, size_t offset, size_t *count)
{
    double sum = 0;
    size_t told = 0;
    *count = 0;
    for (size_t i = 0; i < group->count; i++)
        for (size_t k = 0; k < group->sets[i]->count; k++) {
            const tn_result *item = &group->sets[i]->items[k];
            double value = (double)NAN;
            if (step < item->step_count)
                memcpy(&value, (const char *)&item->steps[step] + offset, sizeof value);
            *count += step < item->step_count;
            told += isfinite(value) ? 1 : 0;
            sum += isfinite(value) ? value : 0;
        }
    return told > 0 ? sum / (double)told : (double)NAN;
}

static json_t *latents_table(const tn_table_groups *groups)
{
    static const struct { const char *name; size_t offset; } fields[] = {
        { "attention ratio", offsetof(tn_result_step, ratio) }, { "attention focus", offsetof(tn_result_step, focus) },
        { "norm", offsetof(tn_result_step, norm) }, { "cosine to the last", offsetof(tn_result_step, cosine) } };
    json_t *table = new_table("latents", "Steps, latent or in words: attention ratio and focus (figure 5 of the paper), hidden states");
    add_column(table, "method", "text");
    add_column(table, "step", "count");
    add_column(table, "answers", "count");
    for (size_t f = 0; f < sizeof fields / sizeof *fields; f++)
        add_column(table, fields[f].name, "number");
    for (size_t g = 0; g < groups->count; g++)
        for (size_t step = 0;; step++) {
            size_t count, answers;
            (void)step_mean(&groups->items[g], step, offsetof(tn_result_step, norm), &answers);
            if (answers == 0)
                break;
            json_t *row = add_row(table);
            json_array_append_new(row, json_string(groups->items[g].name));
            json_array_append_new(row, count_cell(step + 1));
            json_array_append_new(row, count_cell(answers));
            for (size_t f = 0; f < sizeof fields / sizeof *fields; f++)
                json_array_append_new(row, number(step_mean(&groups->items[g], step, fields[f].offset, &count)));
        }
    return table;
}

/* ---------------------------------------------------------------- calls -- */

/* A count of a record; what cannot be one counts as none. */
static size_t whole(double value)
{
    return value > 0 && value < 1e6 ? (size_t)value : 0;
}

static json_t *rate(size_t part, size_t total)
{
    part = part < total ? part : total;
    tn_interval interval = tn_wilson(part, total, TN_Z95);
    return total == 0 ? json_null()
                      : json_pack("{s:f, s:f, s:f, s:I, s:I}", "value", 100 * (double)part / (double)total, "low", 100 * interval.low,
                                  "high", 100 * interval.high, "total", (json_int_t)total, "correct", (json_int_t)part);
}

/* Only methods that called at least once. */
static json_t *calls_table(const tn_table_groups *groups)
{
    json_t *table = new_table("calls", "Regions asked for");
    add_column(table, "method", "text");
    add_column(table, "answers with a call", "share");
    add_column(table, "calls", "count");
    add_column(table, "invalid", "share");
    add_column(table, "pictures added", "number");
    for (size_t g = 0; g < groups->count; g++) {
        size_t answers = 0, callers = 0, calls = 0, invalid = 0;
        const tn_table_group *group = &groups->items[g];
        for (size_t i = 0; i < group->count; i++)
            for (size_t k = 0; k < group->sets[i]->count; k++) {
                const tn_result *item = &group->sets[i]->items[k];
                answers += !item->failed;
                callers += item->calls > 0;
                calls += whole(item->calls);
                invalid += whole(item->invalid_calls);
            }
        if (calls == 0)
            continue;
        json_t *row = add_row(table);
        json_array_append_new(row, json_string(group->name));
        json_array_append_new(row, rate(callers, answers));
        json_array_append_new(row, count_cell(calls));
        json_array_append_new(row, rate(invalid, calls));
        json_array_append_new(row, number(MEAN(group, crops)));
    }
    return table;
}

/* ---------------------------------------------------------------- pairs -- */

static void pair_sets(const tn_result_set *first, const tn_result_set *second, tn_paired *paired)
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

/* Difference in points with its interval: over runs, or over questions (normal, of paired shares). */
static double difference(const tn_table_group *a, const tn_table_group *b, tn_paired *paired, double *half)
{
    size_t runs = a->count < b->count ? a->count : b->count;
    double *values = calloc(runs + 1, sizeof *values), result = (double)NAN;
    *paired = (tn_paired){ 0 };
    *half = (double)NAN;
    for (size_t i = 0; i < runs && values != NULL; i++) {
        tn_paired one = { 0 };
        pair_sets(a->sets[i], b->sets[i], &one);
        size_t total = one.both + one.only_first + one.only_second + one.neither;
        values[i] = total > 0 ? 100 * ((double)one.only_first - (double)one.only_second) / (double)total : (double)NAN;
        paired->both += one.both;
        paired->only_first += one.only_first;
        paired->only_second += one.only_second;
        paired->neither += one.neither;
    }
    double n = (double)(paired->both + paired->only_first + paired->only_second + paired->neither);
    double differ = (double)(paired->only_first + paired->only_second), d = (double)paired->only_first - (double)paired->only_second;
    if (values != NULL)
        result = tn_table_mean(values, runs, half);
    if (runs == 1 && n > 0)
        *half = 100 * TN_Z95 * sqrt(fmax(0, differ - d * d / n)) / n;
    free(values);
    return result;
}

static void add_pair(json_t *table, const tn_table_group *a, const tn_table_group *b)
{
    tn_paired paired;
    double half, value = difference(a, b, &paired, &half);
    size_t total = paired.both + paired.only_first + paired.only_second + paired.neither;
    if (total == 0)
        return;
    bool single = a->count == 1 && b->count == 1;
    json_t *row = add_row(table);
    json_array_append_new(row, json_string(a->name));
    json_array_append_new(row, json_string(b->name));
    json_array_append_new(row, count_cell(total));
    json_array_append_new(row, json_pack("{s:o, s:o, s:o, s:o, s:o}", "value", number(value), "low", number(value - half), "high",
                                         number(value + half), "total", count_cell(total), "correct", json_null()));
    json_array_append_new(row, count_cell(paired.both));
    json_array_append_new(row, count_cell(paired.only_first));
    json_array_append_new(row, count_cell(paired.only_second));
    json_array_append_new(row, count_cell(paired.neither));
    json_array_append_new(row, single ? number(tn_mcnemar_exact(&paired)) : json_null());
    json_array_append_new(row, single ? number(tn_mcnemar_chi2(&paired, NULL)) : json_null());
}

static json_t *pairs_table(const tn_table_groups *groups)
{
    static const struct { const char *name, *kind; } columns[] = {
        { "first", "text" }, { "second", "text" }, { "questions", "count" }, { "difference", "share" }, { "both right", "count" },
        { "only first", "count" }, { "only second", "count" }, { "neither", "count" }, { "p (exact)", "probability" },
        { "p (chi2)", "probability" } };
    enum { ALL_PAIRS = 5 };
    json_t *table = new_table("pairs", "Two methods on the same questions (McNemar)");
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        add_column(table, columns[i].name, columns[i].kind);
    for (size_t a = 0; a < groups->count && (a == 0 || groups->count <= ALL_PAIRS); a++)
        for (size_t b = a + 1; b < groups->count; b++)
            add_pair(table, &groups->items[a], &groups->items[b]);
    return table;
}

/* ---------------------------------------------------------------- notes -- */

static void add_note(json_t *notes, const char *text)
{
    for (size_t i = 0; i < json_array_size(notes); i++)
        if (strcmp(json_string_value(json_array_get(notes, i)), text) == 0)
            return;
    json_array_append_new(notes, json_string(text));
}

static void note_set(json_t *notes, const tn_result_set *set, const json_t *first)
{
    char text[600];
    const json_t *data = json_object_get(set->manifest, "data");
    size_t questions = 0, of = 0, failed = 0;
    tn_json_size(data, "questions", 0, SIZE_MAX >> 12, &questions, set->file, NULL);
    tn_json_size(data, "of", 0, SIZE_MAX >> 12, &of, set->file, NULL);
    if (json_is_true(json_object_get(data, "partial"))) {
        snprintf(text, sizeof text, "%.300s: asks %zu of %zu questions of the split", set->file, questions, of);
        add_note(notes, text);
    }
    if (set->count < questions) {
        snprintf(text, sizeof text, "%.300s: %.100s has answered %zu of %zu questions so far", set->file, set->label, set->count, questions);
        add_note(notes, text);
    }
    for (size_t i = 0; i < set->count; i++)
        failed += set->items[i].failed;
    if (failed > 0) {
        snprintf(text, sizeof text, "%.300s: %zu answers of %.100s failed and count as wrong", set->file, failed, set->label);
        add_note(notes, text);
    }
    const char *mine = json_string_value(json_object_get(data, "digest"));
    const char *theirs = json_string_value(json_object_get(first, "digest"));
    if (mine != NULL && theirs != NULL && strcmp(mine, theirs) != 0) {
        snprintf(text, sizeof text, "%.300s: asks other questions than the first file; only those in common are compared in pairs",
                 set->file);
        add_note(notes, text);
    }
    mine = json_string_value(json_object_get(data, "prompt_digest"));
    theirs = json_string_value(json_object_get(first, "prompt_digest"));
    if (mine != NULL && theirs != NULL && strcmp(mine, theirs) != 0) {
        snprintf(text, sizeof text, "%.300s: asks in other words than the first file", set->file);
        add_note(notes, text);
    }
}

json_t *tn_table_report(const tn_table_groups *groups, tenebra_error *error)
{
    json_t *tables = json_array(), *notes = json_array();
    add_table(tables, methods_table(groups));
    add_table(tables, subjects_table(groups, BY_DOMAIN, "domains", "Accuracy by domain"));
    add_table(tables, subjects_table(groups, BY_TOPIC, "topics", "Accuracy by topic"));
    add_table(tables, subjects_table(groups, BY_LOOKS, "looks", "Accuracy by number of looks"));
    add_table(tables, latents_table(groups));
    add_table(tables, calls_table(groups));
    add_table(tables, pairs_table(groups));
    for (size_t g = 0; g < groups->count; g++)
        for (size_t i = 0; i < groups->items[g].count; i++)
            note_set(notes, groups->items[g].sets[i], json_object_get(groups->items[0].sets[0]->manifest, "data"));
    json_t *report = json_pack("{s:o, s:o}", "tables", tables, "notes", notes);
    if (report != NULL && tn_table_is_whole(report))
        return report;
    json_decref(report);
    tn_fail(error, TENEBRA_ERROR_MEMORY, "eval table", "no memory");
    return NULL;
}
