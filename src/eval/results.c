#include "eval/results.h"

#include "eval/journal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct loading {
    tn_results *results;
    const char *path;
    size_t first; /* index of the file's first set */
    size_t line;  /* records so far */
} loading;

/* Keeps one copy of each text, owned by the results. */
static const char *keep_text(tn_results *results, const char *text)
{
    if (text == NULL)
        text = "";
    if (json_object_get(results->texts, text) == NULL && json_object_set_new(results->texts, text, json_null()) != 0)
        return NULL;
    void *at = json_object_iter_at(results->texts, text);
    return at != NULL ? json_object_iter_key(at) : NULL;
}

static double number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static tenebra_code read_steps(tn_result *item, const json_t *steps, const char *path, tenebra_error *error)
{
    size_t count = json_array_size(steps);
    if (count == 0)
        return TENEBRA_OK;
    item->steps = calloc(count, sizeof *item->steps);
    if (item->steps == NULL)
        return tn_fail_memory(error, path);
    item->step_count = count;
    for (size_t i = 0; i < count; i++) {
        const json_t *step = json_array_get(steps, i);
        item->steps[i] = (tn_result_step){ number_of(step, "attention_ratio"), number_of(step, "attention_focus"),
                                           number_of(step, "hidden_norm"), number_of(step, "hidden_cosine") };
    }
    return TENEBRA_OK;
}

static tenebra_code read_item(loading *l, tn_result *item, const json_t *record, tenebra_error *error)
{
    const char *id = json_string_value(json_object_get(record, "id"));
    size_t n = SIZE_MAX;
    const json_t *tokens = json_object_get(record, "tokens"), *ms = json_object_get(record, "ms");
    *item = (tn_result){ 0 };
    TN_TRY(tn_json_size(record, "n", 0, SIZE_MAX >> 12, &n, l->path, error));
    if (id == NULL || n == SIZE_MAX)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, l->path, "record %zu has no \"id\" or no \"n\"", l->line);
    item->n = n;
    item->id = keep_text(l->results, id);
    item->domain = keep_text(l->results, json_string_value(json_object_get(record, "domain")));
    item->topic = keep_text(l->results, json_string_value(json_object_get(record, "topic")));
    if (item->id == NULL || item->domain == NULL || item->topic == NULL)
        return tn_fail_memory(error, l->path);
    item->failed = json_is_true(json_object_get(record, "failed"));
    item->correct = !item->failed && json_is_true(json_object_get(record, "correct"));
    const json_t *choice = json_object_get(record, "choice");
    item->choice = json_is_integer(choice) && json_integer_value(choice) < 1000000 ? (long)json_integer_value(choice) : -1;
    TN_TRY(tn_json_size(record, "options", 0, 1000000, &item->options, l->path, error));
    item->found = json_is_integer(choice) || item->correct || item->options == 0;
    item->sampled = number_of(tokens, "sampled");
    item->latent = number_of(tokens, "latent");
    item->injected = number_of(tokens, "injected");
    item->positions = number_of(record, "positions_computed");
    item->calls = number_of(record, "calls");
    item->invalid_calls = number_of(record, "invalid_calls");
    item->reconstruction = number_of(json_object_get(record, "reconstruction"), "error");
    item->other_reconstruction = number_of(json_object_get(record, "reconstruction"), "other_error");
    item->crops = number_of(record, "crops");
    item->ms = number_of(ms, "total");
    item->vision_ms = number_of(ms, "vision");
    item->prefill_ms = number_of(ms, "prefill");
    item->latent_ms = number_of(ms, "latent");
    item->decode_ms = number_of(ms, "decode");
    TN_TRY(tn_json_size(ms, "parallel", 0, 1000000, &item->parallel, l->path, error));
    return read_steps(item, json_object_get(record, "steps"), l->path, error);
}

/* The set of a label in the current file; created at its first appearance. */
static tn_result_set *find_set(loading *l, const char *label)
{
    tn_results *results = l->results;
    const json_t *known = json_object_get(results->labels, label);
    if (known != NULL)
        return &results->sets[json_integer_value(known)];
    const char *kept = keep_text(results, label);
    if (kept == NULL || TN_GROW(results->sets, results->count, NULL, NULL) != TENEBRA_OK ||
        json_object_set_new(results->labels, label, json_integer((json_int_t)results->count)) != 0)
        return NULL;
    results->sets[results->count] = (tn_result_set){ .label = kept, .scorer = tn_scorer_standard()->name };
    return &results->sets[results->count++];
}

static tenebra_code take_record(void *user, const json_t *record, tenebra_error *error)
{
    loading *l = user;
    const char *label = json_string_value(json_object_get(record, "method"));
    l->line++;
    if (label == NULL)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, l->path, "record %zu has no \"method\"", l->line);
    tn_result_set *set = find_set(l, label);
    if (set == NULL)
        return tn_fail_memory(error, l->path);
    TN_TRY(TN_GROW(set->items, set->count, l->path, error));
    /* Counted before it is read, so that its memory is freed with the rest after a failure. */
    return read_item(l, &set->items[set->count++], record, error);
}

/* ---------------------------------------------------------------- order -- */

static int compare_places(const void *a, const void *b)
{
    const tn_result *x = a, *y = b;
    return x->n < y->n ? -1 : x->n > y->n;
}

/* Sorts, and keeps the last of several records of an answer. A merge sort, because the order has to be stable. */
static bool sort_items(tn_result_set *set)
{
    tn_result *other = malloc((set->count + 1) * sizeof *other), *from = set->items, *to = other;
    if (other == NULL)
        return false;
    for (size_t width = 1; width < set->count; width *= 2) {
        for (size_t begin = 0; begin < set->count; begin += 2 * width) {
            size_t middle = begin + width < set->count ? begin + width : set->count;
            size_t end = begin + 2 * width < set->count ? begin + 2 * width : set->count;
            for (size_t i = begin, j = middle, k = begin; k < end; k++)
                to[k] = i < middle && (j == end || compare_places(&from[i], &from[j]) <= 0) ? from[i++] : from[j++];
        }
        tn_result *swap = from;
        from = to;
        to = swap;
    }
    size_t kept = 0;
    for (size_t i = 0; i < set->count; i++) {
        if (i + 1 < set->count && from[i + 1].n == from[i].n)
            free(from[i].steps);
        else
            to[kept++] = from[i];
    }
    set->count = kept;
    set->items = to;
    free(from);
    return true;
}

/* Indices by id: also a merge sort, since ids may come in any order. */
static bool sort_ids(tn_result_set *set)
{
    size_t *other = malloc((set->count + 1) * sizeof *other), *from = malloc((set->count + 1) * sizeof *from);
    if (other == NULL || from == NULL) {
        free(other);
        free(from);
        return false;
    }
    for (size_t i = 0; i < set->count; i++)
        from[i] = i;
    for (size_t width = 1; width < set->count; width *= 2) {
        for (size_t begin = 0; begin < set->count; begin += 2 * width) {
            size_t middle = begin + width < set->count ? begin + width : set->count;
            size_t end = begin + 2 * width < set->count ? begin + 2 * width : set->count;
            for (size_t i = begin, j = middle, k = begin; k < end; k++) {
                bool first = i < middle && (j == end || strcmp(set->items[from[i]].id, set->items[from[j]].id) <= 0);
                other[k] = first ? from[i++] : from[j++];
            }
        }
        size_t *swap = from;
        from = other;
        other = swap;
    }
    set->by_id = from;
    free(other);
    return true;
}

static const json_t *find_entry(const json_t *manifest, const char *label)
{
    const json_t *methods = json_object_get(manifest, "methods");
    for (size_t i = 0; i < json_array_size(methods); i++) {
        const json_t *entry = json_array_get(methods, i);
        const char *found = json_string_value(json_object_get(entry, "label"));
        if (found != NULL && strcmp(found, label) == 0)
            return entry;
    }
    return NULL;
}

static tenebra_code add_file(tn_results *results, const char *path, json_t *manifest, tenebra_error *error)
{
    char *name = strdup(path);
    if (name == NULL || TN_GROW(results->manifests, results->file_count, NULL, NULL) != TENEBRA_OK ||
        TN_GROW(results->files, results->file_count, NULL, NULL) != TENEBRA_OK) {
        free(name);
        json_decref(manifest);
        return tn_fail_memory(error, path);
    }
    results->manifests[results->file_count] = manifest;
    results->files[results->file_count++] = name;
    return TENEBRA_OK;
}

tenebra_code tn_results_add(tn_results *results, const char *path, tenebra_error *error)
{
    json_t *manifest;
    if (results->texts == NULL)
        results->texts = json_object();
    if (results->labels == NULL)
        results->labels = json_object();
    if (results->texts == NULL || results->labels == NULL)
        return tn_fail_memory(error, path);
    json_object_clear(results->labels);
    loading l = { .results = results, .path = path, .first = results->count };
    TN_TRY(tn_journal_read(path, &manifest, take_record, &l, error));
    TN_TRY(add_file(results, path, manifest, error));
    for (size_t i = l.first; i < results->count; i++) {
        tn_result_set *set = &results->sets[i];
        if (!sort_items(set) || !sort_ids(set))
            return tn_fail_memory(error, path);
        set->file = results->files[results->file_count - 1];
        set->manifest = manifest;
        set->entry = find_entry(manifest, set->label);
    }
    if (results->count == l.first)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "holds no answer yet");
    return TENEBRA_OK;
}

void tn_results_free(tn_results *results)
{
    for (size_t i = 0; i < results->count; i++) {
        for (size_t k = 0; k < results->sets[i].count; k++)
            free(results->sets[i].items[k].steps);
        free(results->sets[i].items);
        free(results->sets[i].by_id);
    }
    for (size_t i = 0; i < results->file_count; i++) {
        json_decref(results->manifests[i]);
        free(results->files[i]);
    }
    free(results->sets);
    free(results->manifests);
    free(results->files);
    json_decref(results->texts);
    json_decref(results->labels);
    *results = (tn_results){ 0 };
}

size_t tn_result_set_silent(const tn_result_set *set)
{
    size_t silent = 0;
    for (size_t i = 0; i < set->count; i++)
        silent += !set->items[i].failed && !set->items[i].found;
    return silent;
}

size_t tn_result_set_failed(const tn_result_set *set)
{
    size_t failed = 0;
    for (size_t i = 0; i < set->count; i++)
        failed += set->items[i].failed;
    return failed;
}

const tn_result *tn_result_find(const tn_result_set *set, const char *id, size_t *hint)
{
    if (*hint < set->count && strcmp(set->items[*hint].id, id) == 0)
        return &set->items[(*hint)++];
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(set->items[set->by_id[middle]].id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == set->count || strcmp(set->items[set->by_id[low]].id, id) != 0)
        return NULL;
    *hint = set->by_id[low] + 1;
    return &set->items[set->by_id[low]];
}
