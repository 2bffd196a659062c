/* Tables of parts of the answers: by domain, topic and number of looks, by latent step, and of requests for regions. */
#include "eval/table_make.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double tn_table_field_mean(const tn_table_group *group, size_t offset)
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

/* ----------------------------------------------------------- by subject -- */

enum { KEY_SIZE = 512 };

/* The number at the end of "name-3"; 0: none. */
static size_t looks_of(const char *topic)
{
    const char *dash = strrchr(topic, '-');
    if (dash == NULL || !isdigit((unsigned char)dash[1]) || strlen(dash) > 4)
        return 0;
    return dash[1 + strspn(dash + 1, "0123456789")] == '\0' ? (size_t)strtoul(dash + 1, NULL, 10) : 0;
}

/* The key by which answers are counted: a domain, "domain\ttopic", or a number of looks as "003". */
static void write_key(char key[KEY_SIZE], tn_subject by, const tn_result *item)
{
    if (by == TN_BY_DOMAIN)
        snprintf(key, KEY_SIZE, "%s", item->domain);
    else if (by == TN_BY_TOPIC)
        snprintf(key, KEY_SIZE, "%s\t%s", item->domain, item->topic);
    else
        snprintf(key, KEY_SIZE, "%03zu", looks_of(item->topic));
}

static bool has_key(tn_subject by, const tn_result *item)
{
    return by == TN_BY_LOOKS ? looks_of(item->topic) > 0 : item->topic[0] != '\0' || item->domain[0] != '\0';
}

/* The keys, sorted, and the index of each. */
typedef struct subjects {
    json_t *places; /* key: index    */
    const char **keys; /* [count]    */
    size_t count;
    bool whole; /* every answer has one */
} subjects;

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool collect(subjects *all, const tn_table_groups *groups, tn_subject by)
{
    char key[KEY_SIZE];
    *all = (subjects){ .places = json_object(), .whole = true };
    for (size_t g = 0; g < groups->count; g++)
        for (size_t i = 0; i < groups->items[g].count; i++)
            for (size_t k = 0; k < groups->items[g].sets[i]->count; k++) {
                const tn_result *item = &groups->items[g].sets[i]->items[k];
                write_key(key, by, item);
                all->whole &= has_key(by, item);
                if (json_object_get(all->places, key) == NULL && json_object_set_new(all->places, key, json_integer(0)) != 0)
                    return false;
            }
    all->keys = calloc(json_object_size(all->places) + 1, sizeof *all->keys);
    if (all->keys == NULL)
        return false;
    for (void *at = json_object_iter(all->places); at != NULL; at = json_object_iter_next(all->places, at))
        all->keys[all->count++] = json_object_iter_key(at);
    if (all->count > 0)
        qsort(all->keys, all->count, sizeof *all->keys, compare_keys);
    for (size_t i = 0; i < all->count; i++)
        json_integer_set(json_object_get(all->places, all->keys[i]), (json_int_t)i);
    return true;
}

static void put_names(tn_table_maker *maker, tn_subject by, const char *key)
{
    size_t domain = strcspn(key, "\t");
    if (by == TN_BY_LOOKS) {
        tn_table_put(maker, tn_cell_count((size_t)strtoul(key, NULL, 10)));
        return;
    }
    tn_table_put(maker, json_stringn(key, domain));
    if (by == TN_BY_TOPIC)
        tn_table_put(maker, json_string(key + domain + 1));
}

/* Correct and all answers of each key in each run of a group: [count, runs] each. */
static void count_keys(const subjects *all, const tn_table_group *group, tn_subject by, size_t *right, size_t *total)
{
    char key[KEY_SIZE];
    for (size_t i = 0; i < group->count; i++)
        for (size_t k = 0; k < group->sets[i]->count; k++) {
            const tn_result *item = &group->sets[i]->items[k];
            write_key(key, by, item);
            size_t place = (size_t)json_integer_value(json_object_get(all->places, key)) * group->count + i;
            total[place]++;
            right[place] += item->correct;
        }
}

/* Adds the column of a group to the existing rows; the first group also adds the number of questions. */
static bool put_group(tn_table_maker *maker, const subjects *all, const tn_table_group *group, tn_subject by, bool first)
{
    size_t *right = calloc(all->count * group->count + 1, sizeof *right), *total = calloc(all->count * group->count + 1, sizeof *total);
    bool fits = right != NULL && total != NULL;
    if (fits)
        count_keys(all, group, by, right, total);
    for (size_t i = 0; i < all->count && fits; i++) {
        maker->row = json_array_get(json_object_get(maker->table, "rows"), i);
        if (first)
            tn_table_put(maker, tn_cell_count(total[i * group->count]));
        tn_table_put(maker, tn_cell_accuracy(right + i * group->count, total + i * group->count, group->count));
    }
    free(right);
    free(total);
    return fits;
}

json_t *tn_table_subjects(const tn_table_groups *groups, tn_subject by, const char *name, const char *title, const char *note)
{
    tn_table_maker maker;
    subjects all;
    tn_table_start(&maker, name, title);
    maker.full |= !collect(&all, groups, by);
    tn_table_column(&maker, by == TN_BY_LOOKS ? "looks" : "domain", by == TN_BY_LOOKS ? "count" : "text");
    if (by == TN_BY_TOPIC)
        tn_table_column(&maker, "topic", "text");
    tn_table_column(&maker, "questions", "count");
    for (size_t i = 0; i < all.count && all.whole; i++) {
        tn_table_row(&maker);
        put_names(&maker, by, all.keys[i]);
    }
    for (size_t g = 0; g < groups->count; g++) {
        tn_table_column(&maker, groups->items[g].name, "share");
        if (all.whole && !maker.full)
            maker.full |= !put_group(&maker, &all, &groups->items[g], by, g == 0);
    }
    tn_table_note(&maker, note);
    free(all.keys);
    json_decref(all.places);
    return tn_table_finish(&maker);
}

/* -------------------------------------------------------------- latents -- */

enum { FIELDS = 4 };

/* Sums over the answers that have a step of this number. */
typedef struct step_sums {
    double sum[FIELDS];
    size_t told[FIELDS], answers;
} step_sums;

static size_t most_steps(const tn_table_group *group)
{
    size_t most = 0;
    for (size_t i = 0; i < group->count; i++)
        for (size_t k = 0; k < group->sets[i]->count; k++)
            most = group->sets[i]->items[k].step_count > most ? group->sets[i]->items[k].step_count : most;
    return most;
}

static void sum_steps(const tn_table_group *group, step_sums *sums)
{
    for (size_t i = 0; i < group->count; i++)
        for (size_t k = 0; k < group->sets[i]->count; k++) {
            const tn_result *item = &group->sets[i]->items[k];
            for (size_t s = 0; s < item->step_count; s++) {
                const tn_result_step *step = &item->steps[s];
                const double values[FIELDS] = { step->ratio, step->focus, step->norm, step->cosine };
                sums[s].answers++;
                for (size_t f = 0; f < FIELDS; f++) {
                    sums[s].told[f] += isfinite(values[f]) ? 1 : 0;
                    sums[s].sum[f] += isfinite(values[f]) ? values[f] : 0;
                }
            }
        }
}

json_t *tn_table_latents(const tn_table_groups *groups)
{
    static const char *const fields[FIELDS] = { "attention ratio", "attention focus", "norm", "cosine to the previous" };
    tn_table_maker maker;
    tn_table_start(&maker, "latents", "Steps, latent or in words: attention ratio and focus (figure 5 of the paper), hidden states");
    tn_table_column(&maker, "method", "text");
    tn_table_column(&maker, "step", "count");
    tn_table_column(&maker, "answers", "count");
    for (size_t f = 0; f < FIELDS; f++)
        tn_table_column(&maker, fields[f], "number");
    for (size_t g = 0; g < groups->count; g++) {
        size_t steps = most_steps(&groups->items[g]);
        step_sums *sums = calloc(steps + 1, sizeof *sums);
        maker.full |= sums == NULL;
        if (sums != NULL)
            sum_steps(&groups->items[g], sums);
        for (size_t s = 0; s < steps && sums != NULL; s++) {
            tn_table_row(&maker);
            tn_table_put(&maker, json_string(groups->items[g].name));
            tn_table_put(&maker, tn_cell_count(s + 1));
            tn_table_put(&maker, tn_cell_count(sums[s].answers));
            for (size_t f = 0; f < FIELDS; f++)
                tn_table_put(&maker, tn_cell_number(sums[s].told[f] > 0 ? sums[s].sum[f] / (double)sums[s].told[f] : (double)NAN));
        }
        free(sums);
    }
    return tn_table_finish(&maker);
}

/* ---------------------------------------------------------------- calls -- */

/* A count of a record; an invalid one counts as 0. */
static size_t whole(double value)
{
    return value > 0 && value < 1e6 ? (size_t)value : 0;
}

/* Only methods with at least one request. */
json_t *tn_table_calls(const tn_table_groups *groups)
{
    tn_table_maker maker;
    tn_table_start(&maker, "calls", "Requested regions");
    tn_table_column(&maker, "method", "text");
    tn_table_column(&maker, "answers with a call", "share");
    tn_table_column(&maker, "calls", "count");
    tn_table_column(&maker, "invalid", "share");
    tn_table_column(&maker, "pictures added", "number");
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
        tn_table_row(&maker);
        tn_table_put(&maker, json_string(group->name));
        tn_table_put(&maker, tn_cell_rate(callers, answers));
        tn_table_put(&maker, tn_cell_count(calls));
        tn_table_put(&maker, tn_cell_rate(invalid, calls));
        tn_table_put(&maker, tn_cell_number(TN_TABLE_MEAN(group, crops)));
    }
    return tn_table_finish(&maker);
}
