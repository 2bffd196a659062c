/* Rows of the tables: which answers belong together, and means over runs. */
#include "eval/table.h"

#include "base/nearest.h"
#include "eval/statistics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Takes ownership of `name`. */
static tenebra_code add_group(tn_table_groups *groups, char *name, const tn_result_set **sets, size_t count, tenebra_error *error)
{
    const tn_result_set **kept = malloc((count + 1) * sizeof *kept);
    if (kept == NULL || name == NULL || TN_GROW(groups->items, groups->count, NULL, NULL) != TENEBRA_OK) {
        free(kept);
        free(name);
        return tn_fail_memory(error, "eval table");
    }
    memcpy(kept, sets, count * sizeof *kept);
    groups->items[groups->count++] = (tn_table_group){ name, kept, count };
    return TENEBRA_OK;
}

static char *join_names(const char *front, size_t front_length, const char *behind)
{
    char *name = malloc(front_length + strlen(behind) + 3);
    if (name != NULL)
        sprintf(name, "%.*s: %s", (int)front_length, front, behind);
    return name;
}

/* "runs/a.jsonl" is shown as "a". */
static char *name_with_file(const tn_result_set *set)
{
    const char *slash = strrchr(set->file, '/'), *stem = slash ? slash + 1 : set->file, *dot = strrchr(stem, '.');
    return join_names(stem, dot != NULL && dot > stem ? (size_t)(dot - stem) : strlen(stem), set->label);
}

static bool is_label_elsewhere(const tn_results *results, const tn_result_set *set)
{
    for (size_t i = 0; i < results->count; i++)
        if (&results->sets[i] != set && results->sets[i].label == set->label) /* texts are kept once */
            return true;
    return false;
}

/* Whether two sets are the same run: the same settings, seed included, and the same answers. */
static bool is_same_run(const tn_result_set *a, const tn_result_set *b)
{
    bool same = a->label == b->label && a->count == b->count && a->count > 0 && json_equal(a->manifest, b->manifest);
    for (size_t i = 0; i < a->count && same; i++) {
        const tn_result *x = &a->items[i], *y = &b->items[i];
        same = x->n == y->n && x->choice == y->choice && x->correct == y->correct && x->found == y->found && x->failed == y->failed &&
               (x->sampled == y->sampled || (isnan(x->sampled) && isnan(y->sampled)));
    }
    return same;
}

/* A run that counts twice would make the interval of several runs too narrow. */
static tenebra_code check_runs(const tn_results *results, size_t first, size_t end, const char *name, tenebra_error *error)
{
    for (size_t i = first; i < end; i++)
        for (size_t k = first; k < i; k++)
            if (is_same_run(&results->sets[k], &results->sets[i]))
                return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "group", "%.80s contains the same run twice (%.80s and %.80s); runs of a "
                               "group differ in their seed", name, results->sets[k].file, results->sets[i].file);
    return TENEBRA_OK;
}

static tenebra_code add_named(tn_table_groups *groups, const tn_results *results, size_t first, size_t end, const char *name,
                              tenebra_error *error)
{
    TN_TRY(check_runs(results, first, end, name, error));
    const tn_result_set **sets = malloc((end - first + 1) * sizeof *sets);
    if (sets == NULL)
        return tn_fail_memory(error, "eval table");
    tenebra_code code = TENEBRA_OK;
    bool several = false;
    for (size_t i = first + 1; i < end; i++)
        several |= results->sets[i].label != results->sets[first].label; /* texts are kept once */
    for (size_t i = first; i < end && code == TENEBRA_OK; i++) {
        const char *label = results->sets[i].label;
        size_t count = 0;
        bool seen = false;
        for (size_t k = first; k < i; k++)
            seen |= results->sets[k].label == label;
        for (size_t k = i; k < end; k++)
            if (results->sets[k].label == label)
                sets[count++] = &results->sets[k];
        if (!seen)
            code = add_group(groups, several ? join_names(name, strlen(name), label) : strdup(name), sets, count, error);
    }
    free(sets);
    return code;
}

tenebra_code tn_table_group_sets(tn_table_groups *groups, const tn_results *results, size_t first, size_t end, const char *name,
                                 tenebra_error *error)
{
    if (name != NULL)
        return add_named(groups, results, first, end, name, error);
    for (size_t i = first; i < end; i++) {
        const tn_result_set *set = &results->sets[i];
        TN_TRY(add_group(groups, is_label_elsewhere(results, set) ? name_with_file(set) : strdup(set->label), &set, 1, error));
    }
    return TENEBRA_OK;
}

void tn_table_groups_free(tn_table_groups *groups)
{
    for (size_t i = 0; i < groups->count; i++) {
        free(groups->items[i].name);
        free(groups->items[i].sets);
    }
    free(groups->items);
    *groups = (tn_table_groups){ 0 };
}

tenebra_code tn_table_choose(tn_table_groups *groups, const char *names, tenebra_error *error)
{
    tn_table_groups chosen = { 0 };
    tenebra_code code = TENEBRA_OK;
    for (const char *at = names; *at != '\0' && code == TENEBRA_OK; at += strcspn(at, ","), at += *at == ',') {
        size_t length = strcspn(at, ","), i = 0;
        tn_nearest nearest = tn_nearest_of(at, length);
        for (size_t j = 0; j < groups->count; j++)
            tn_nearest_try(&nearest, groups->items[j].name);
        while (i < groups->count && (strlen(groups->items[i].name) != length || strncmp(groups->items[i].name, at, length) != 0))
            i++;
        if (i == groups->count)
            code = tn_fail(error, TENEBRA_ERROR_ARGUMENT, "rows", "there is no row '%.*s'%s", (int)(length < 200 ? length : 200), at,
                           tn_nearest_hint(&nearest));
        else
            code = add_group(&chosen, strdup(groups->items[i].name), groups->items[i].sets, groups->items[i].count, error);
    }
    if (code != TENEBRA_OK) {
        tn_table_groups_free(&chosen);
        return code;
    }
    tn_table_groups_free(groups);
    *groups = chosen;
    return TENEBRA_OK;
}

/* Student's quantile of 0.975 for 1 to 30 degrees of freedom; above, the first term of Cornish and Fisher's expansion
 * is sufficient. */
static double student(size_t freedom)
{
    static const double table[] = { 12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
                                    2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
                                    2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423 };
    if (freedom - 1 < sizeof table / sizeof *table)
        return table[freedom - 1];
    return TN_Z95 + (TN_Z95 * TN_Z95 * TN_Z95 + TN_Z95) / (4 * (double)freedom);
}

double tn_table_mean(const double *values, size_t count, double *half)
{
    double sum = 0, squares = 0;
    bool equal = true;
    for (size_t i = 0; i < count; i++) {
        sum += values[i];
        equal &= values[i] == values[0];
    }
    double mean = count == 0 ? (double)NAN : equal ? values[0] : sum / (double)count; /* the sum may be rounded */
    for (size_t i = 0; i < count; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    *half = count > 1 ? student(count - 1) * sqrt(squares / (double)(count - 1) / (double)count) : (double)NAN;
    return mean;
}
