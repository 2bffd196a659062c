/* Scores result files again, with another scorer than the one that was used when they were written. */
#include "eval/journal.h"
#include "eval/results.h"

#include <stdio.h>
#include <string.h>

/* The current file. */
typedef struct judging {
    tn_results *results;
    const tn_results_scoring *scoring;
    const json_t *manifest;
    const char *path;
    tn_data *data;
    json_t *places; /* id -> index in the data set  */
    json_t *labels; /* label -> index of the file's set */
    const tn_prompt_preset *preset;
} judging;

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

/* The directory of the file's data set: from the options, or else from the file. */
static const char *place_of(const judging *j, const json_t *data)
{
    const char *set = text_of(data, "set");
    for (size_t i = 0; i < j->scoring->place_count; i++) {
        const char *place = j->scoring->places[i];
        size_t length = strcspn(place, ":");
        if (strlen(set) == length && strncmp(set, place, length) == 0)
            return place;
    }
    return text_of(data, "place");
}

static tenebra_code open_data(judging *j, tenebra_error *error)
{
    const json_t *data = json_object_get(j->manifest, "data");
    const char *split = text_of(data, "split");
    tn_data_options all = { .without_images = true, .part = TN_PART_ALL };
    tenebra_error problem = { 0 };
    j->preset = tn_prompt_find(text_of(data, "preset"));
    if (tn_data_open(place_of(j, data), split[0] != '\0' ? split : "test", &all, &j->data, &problem) != TENEBRA_OK)
        return tn_fail(error, problem.code, problem.where, "%.300s (scoring %.100s requires its questions; --data NAME:DIR says where "
                       "they are)", problem.sentence, j->path);
    j->places = json_object();
    for (size_t i = 0; i < tn_data_count(j->data); i++)
        if (json_object_set_new(j->places, tn_data_sample(j->data, i)->id, json_integer((json_int_t)i)) != 0)
            return tn_fail_memory(error, j->path);
    return TENEBRA_OK;
}

/* The item of a record; NULL if another record of the same answer counts. */
static tn_result *find_item(judging *j, const json_t *record)
{
    const json_t *place = json_object_get(j->labels, text_of(record, "method"));
    if (place == NULL)
        return NULL;
    const tn_result_set *set = &j->results->sets[json_integer_value(place)];
    size_t low = 0, high = set->count, n = (size_t)json_integer_value(json_object_get(record, "n"));
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->items[middle].n < n)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < set->count && set->items[low].n == n && strcmp(set->items[low].id, text_of(record, "id")) == 0;
    return found ? &set->items[low] : NULL;
}

static tenebra_code list_labels(judging *j, tenebra_error *error)
{
    j->labels = json_object();
    for (size_t s = 0; s < j->results->count; s++)
        if (j->results->sets[s].manifest == j->manifest &&
            json_object_set_new(j->labels, j->results->sets[s].label, json_integer((json_int_t)s)) != 0)
            return tn_fail_memory(error, j->path);
    return TENEBRA_OK;
}

static tenebra_code judge(const judging *j, tn_result *item, const tn_sample *sample, const json_t *text, tenebra_error *error)
{
    tn_verdict verdict;
    tn_prompt prompt = { 0 };
    tn_scored scored = { .sample = sample, .text = { json_string_value(text), json_string_length(text) } };
    if (j->preset != NULL)
        TN_TRY(tn_prompt_write(&prompt, j->preset, sample, error));
    scored.prompt = (tn_slice){ prompt.text, prompt.length };
    tenebra_code code = j->scoring->scorer->judge(&verdict, &scored, j->scoring->variant, error);
    tn_prompt_free(&prompt);
    TN_TRY(code);
    item->correct = verdict.correct;
    item->choice = verdict.choice < 1000000 ? verdict.choice : TN_NO_CHOICE;
    item->found = verdict.found || verdict.correct || item->options == 0;
    return TENEBRA_OK;
}

static tenebra_code take_record(void *user, const json_t *record, tenebra_error *error)
{
    judging *j = user;
    const json_t *text = json_object_get(record, "text"), *place = json_object_get(j->places, text_of(record, "id"));
    tn_result *item = find_item(j, record);
    if (item == NULL || item->failed || json_is_true(json_object_get(record, "failed")))
        return TENEBRA_OK;
    const tn_sample *sample = place != NULL ? tn_data_sample(j->data, (size_t)json_integer_value(place)) : NULL;
    if (sample == NULL || strcmp(sample->label, text_of(record, "gold")) != 0)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, j->path, "question '%.80s' is not in the data set as it was asked; --data NAME:DIR "
                       "names another", text_of(record, "id"));
    if (!json_is_string(text))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, j->path, "the record of question '%.80s' has no \"text\" to score",
                       text_of(record, "id"));
    return judge(j, item, sample, text, error);
}

static tenebra_code judge_file(tn_results *results, size_t file, const tn_results_scoring *scoring, tenebra_error *error)
{
    judging j = { .results = results, .scoring = scoring, .manifest = results->manifests[file], .path = results->files[file] };
    json_t *manifest = NULL;
    tenebra_code code = open_data(&j, error);
    if (code == TENEBRA_OK)
        code = list_labels(&j, error);
    if (code == TENEBRA_OK)
        code = tn_journal_read(j.path, &manifest, take_record, &j, error);
    json_decref(manifest);
    json_decref(j.places);
    json_decref(j.labels);
    tn_data_close(j.data);
    return code;
}

tenebra_code tn_results_score(tn_results *results, const tn_results_scoring *scoring, tenebra_error *error)
{
    for (size_t f = 0; f < results->file_count; f++)
        TN_TRY(judge_file(results, f, scoring, error));
    for (size_t s = 0; s < results->count; s++)
        results->sets[s].scorer = scoring->name;
    return TENEBRA_OK;
}
