/* Result files as rows of tables: the files of --group NAME=FILE,FILE,... make one row per method, other files a row each. */
#include "app/eval.h"

#include <stdlib.h>
#include <string.h>

/* Loads the files of "NAME=FILE,FILE,..."; returns the name, which the caller frees. */
static tenebra_code load_group(tn_results *results, const char *text, char **name, tenebra_error *error)
{
    char *copy = strdup(text), *equals = copy ? strchr(copy, '=') : NULL;
    *name = NULL;
    if (equals == NULL || equals == copy || equals[1] == '\0') {
        tenebra_code code = copy == NULL ? tn_fail(error, TENEBRA_ERROR_MEMORY, "group", "no memory")
                                         : tn_fail(error, TENEBRA_ERROR_ARGUMENT, "group",
                                                   "'%.200s' is not of the form NAME=FILE,FILE,...", text);
        free(copy);
        return code;
    }
    *equals = '\0';
    tenebra_code code = TENEBRA_OK;
    for (char *at = equals + 1, *next; at != NULL && code == TENEBRA_OK; at = next) {
        next = strchr(at, ',');
        if (next != NULL)
            *next++ = '\0';
        code = tn_results_add(results, at, error);
    }
    *name = copy;
    return code;
}

/* All files are read first, because groups point into the results. */
tenebra_code tn_eval_load_groups(tn_results *results, tn_table_groups *groups, const tn_option_list *named, const char *rows,
                                 char **files, size_t file_count, tenebra_error *error)
{
    size_t count = named->count;
    size_t *ends = calloc(count + 1, sizeof *ends);
    char **names = calloc(count + 1, sizeof *names);
    tenebra_code code = ends != NULL && names != NULL ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_MEMORY, "eval table", "no memory");
    for (size_t i = 0; i < count && code == TENEBRA_OK; i++) {
        code = load_group(results, named->items[i], &names[i], error);
        ends[i] = results->count;
    }
    for (size_t i = 0; i < file_count && code == TENEBRA_OK; i++)
        code = tn_results_add(results, files[i], error);
    for (size_t i = 0; i < count && code == TENEBRA_OK; i++)
        code = tn_table_group_sets(groups, results, i > 0 ? ends[i - 1] : 0, ends[i], names[i], error);
    if (code == TENEBRA_OK)
        code = tn_table_group_sets(groups, results, count > 0 ? ends[count - 1] : 0, results->count, NULL, error);
    if (code == TENEBRA_OK && rows != NULL)
        code = tn_table_choose(groups, rows, error);
    for (size_t i = 0; names != NULL && i < count; i++)
        free(names[i]);
    free(names);
    free(ends);
    return code;
}

tenebra_code tn_eval_rescore(tn_results *results, const char *scorer, const char *const *places, size_t place_count,
                             tenebra_error *error)
{
    tn_results_scoring scoring = { .name = scorer, .places = places, .place_count = place_count };
    if (scorer == NULL)
        return TENEBRA_OK;
    TN_TRY(tn_scorer_choose(scorer, &scoring.scorer, &scoring.variant, error));
    return tn_results_score(results, &scoring, error);
}
