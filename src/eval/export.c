#include "eval/export.h"

#include "eval/journal.h"
#include "text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The newest record of each question. */
typedef struct collection {
    const char *label, *path;
    char *only;     /* label of the first record, if none is named */
    json_t *records; /* id -> record */
} collection;

static tenebra_code collect(void *user, const json_t *record, tenebra_error *error)
{
    collection *c = user;
    const char *label = json_string_value(json_object_get(record, "method")), *id = json_string_value(json_object_get(record, "id"));
    if (label == NULL || id == NULL)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, c->path, "has a line without \"id\" or \"method\"");
    if (c->label == NULL && c->only == NULL && (c->only = strdup(label)) == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, c->path, "no memory");
    if (c->label == NULL && strcmp(c->only, label) != 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "rows", "%.120s holds answers of '%.80s' and of '%.80s'; name one", c->path,
                       c->only, label);
    if (c->label != NULL && strcmp(c->label, label) != 0)
        return TENEBRA_OK;
    if (json_object_set(c->records, id, (json_t *)(uintptr_t)record) != 0)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, c->path, "no memory");
    return TENEBRA_OK;
}

static json_t *choices_of(const tn_sample *sample)
{
    json_t *list = json_array();
    for (size_t i = 0; i < sample->option_count; i++)
        json_array_append_new(list, json_string(sample->options[i]));
    return list;
}

/* The letter of the correct option; the text of an open answer unchanged. */
static json_t *answer_of(const tn_sample *sample)
{
    const char letter[] = { (char)('A' + sample->answer), '\0' };
    return json_string(sample->option_count > 0 ? letter : sample->label);
}

static tenebra_code add_message(json_t *lines, const tn_prompt_preset *preset, const tn_sample *sample, const json_t *record,
                                tenebra_error *error)
{
    tn_prompt prompt;
    TN_TRY(tn_prompt_write(&prompt, preset, sample, error));
    const char *text = json_string_value(json_object_get(record, "text"));
    json_t *line = json_pack("{s:s, s:o, s:o, s:s, s:s, s:[s, s]}", "id", sample->id, "choices", choices_of(sample), "answer",
                             answer_of(sample), "domain", sample->domain, "topic", sample->topic, "messages", prompt.text,
                             text != NULL ? text : "");
    tn_prompt_free(&prompt);
    return json_array_append_new(lines, line) == 0
               ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_MEMORY, sample->id, "no memory for it (texts must be UTF-8)");
}

static tenebra_code add_index(json_t *results, const tn_sample *sample, const json_t *record, tenebra_error *error)
{
    const json_t *choice = json_object_get(record, "choice");
    json_int_t index = json_is_integer(choice) ? json_integer_value(choice) : -1;
    if (index >= (json_int_t)sample->option_count)
        index = -1;
    return json_object_set_new(results, sample->id, json_integer(index)) == 0
               ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_MEMORY, sample->id, "no memory for it");
}

/* One value per line, or the single object. */
static tenebra_code print(json_t *answers, tn_export_form form, char **text, tenebra_error *error)
{
    tn_text lines = { 0 };
    tenebra_code code = TENEBRA_OK;
    json_t *whole = form == TN_EXPORT_INDICES ? json_pack("{s:O}", "results", answers) : json_incref(answers);
    size_t count = form == TN_EXPORT_INDICES ? 1 : json_array_size(answers);
    for (size_t i = 0; i < count && code == TENEBRA_OK; i++) {
        char *line = form == TN_EXPORT_INDICES ? json_dumps(whole, JSON_INDENT(2)) : json_dumps(json_array_get(whole, i), JSON_COMPACT);
        code = line == NULL ? tn_fail_memory(error, "eval export") : tn_text_append(&lines, "\n", i > 0 ? 1 : 0, error);
        if (code == TENEBRA_OK)
            code = tn_text_append(&lines, line, strlen(line), error);
        free(line);
    }
    json_decref(whole);
    *text = lines.data;
    return code;
}

static tenebra_code export_records(const collection *c, const tn_data *data, const tn_prompt_preset *preset, tn_export_form form,
                                   char **text, tenebra_error *error)
{
    json_t *answers = form == TN_EXPORT_INDICES ? json_object() : json_array();
    tenebra_code code = TENEBRA_OK;
    size_t found = 0;
    for (size_t i = 0; i < tn_data_count(data) && code == TENEBRA_OK; i++) {
        const tn_sample *sample = tn_data_sample(data, i);
        const json_t *record = json_object_get(c->records, sample->id);
        if (record == NULL)
            continue;
        found++;
        code = form == TN_EXPORT_INDICES ? add_index(answers, sample, record, error)
                                         : add_message(answers, preset, sample, record, error);
    }
    if (code == TENEBRA_OK && found != json_object_size(c->records))
        code = tn_fail(error, TENEBRA_ERROR_MISMATCH, c->path, "%zu of its %zu questions are not in the data set",
                       json_object_size(c->records) - found, json_object_size(c->records));
    if (code == TENEBRA_OK)
        code = print(answers, form, text, error);
    json_decref(answers);
    return code;
}

static tenebra_code export_collection(const collection *c, const json_t *manifest, const char *place, tn_export_form form,
                                      char **text, tenebra_error *error)
{
    const json_t *about = json_object_get(manifest, "data");
    const char *split = json_string_value(json_object_get(about, "split"));
    const char *preset = json_string_value(json_object_get(about, "preset"));
    place = place != NULL ? place : json_string_value(json_object_get(about, "place"));
    if (place == NULL || split == NULL || preset == NULL || tn_prompt_find(preset) == NULL)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, c->path, "does not say what was asked: data.place, data.split or data.preset");
    if (json_object_size(c->records) == 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, c->path, "holds no answer of '%.200s'", c->label ? c->label : "any method");
    tn_data_options options = { .without_images = json_is_true(json_object_get(about, "without_images")), .part = TN_PART_ALL };
    tn_data *data;
    TN_TRY(tn_data_open(place, split, &options, &data, error));
    tenebra_code code = export_records(c, data, tn_prompt_find(preset), form, text, error);
    tn_data_close(data);
    return code;
}

tenebra_code tn_eval_export_file(const char *path, const char *label, const char *place, tn_export_form form, char **text,
                                 tenebra_error *error)
{
    collection c = { .label = label, .path = path, .records = json_object() };
    json_t *manifest = NULL;
    *text = NULL;
    tenebra_code code = c.records != NULL ? tn_journal_read(path, &manifest, collect, &c, error) : tn_fail_memory(error, path);
    if (code == TENEBRA_OK)
        code = export_collection(&c, manifest, place, form, text, error);
    json_decref(manifest);
    json_decref(c.records);
    free(c.only);
    if (code != TENEBRA_OK) {
        free(*text);
        *text = NULL;
    }
    return code;
}
