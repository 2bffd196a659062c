/* Keys: the correct answers, by id. */
#include "eval/outputs.h"

#include "base/file.h"
#include "data/dataset.h"

#include <stdlib.h>
#include <string.h>

struct tn_key {
    const char *split;
    tn_sample *samples; /* [count] */
    size_t count;
    json_t *index;      /* id: index in samples */
    tn_strings strings;
    tn_data **sets;     /* [set_count] the data sets of samples */
    size_t set_count;
};

tenebra_code tn_key_open(const char *split, tn_key **opened, tenebra_error *error)
{
    tn_key *key = *opened = calloc(1, sizeof *key);
    if (key != NULL) {
        key->split = tn_strings_copy(&key->strings, split, strlen(split));
        key->index = json_object();
    }
    if (key != NULL && key->split != NULL && key->index != NULL)
        return TENEBRA_OK;
    tn_key_close(key);
    *opened = NULL;
    return tn_fail_memory(error, "key");
}

void tn_key_close(tn_key *key)
{
    if (key == NULL)
        return;
    for (size_t i = 0; i < key->set_count; i++)
        tn_data_close(key->sets[i]);
    json_decref(key->index);
    tn_strings_free(&key->strings);
    free(key->sets);
    free(key->samples);
    free(key);
}

static tn_sample *find(const tn_key *key, const char *id)
{
    const json_t *place = json_object_get(key->index, id);
    return place != NULL ? &key->samples[json_integer_value(place)] : NULL;
}

const tn_sample *tn_key_find(const tn_key *key, const char *id)
{
    return find(key, id);
}

size_t tn_key_count(const tn_key *key)
{
    return key->count;
}

const tn_sample *tn_key_pictured(const tn_key *key, size_t n)
{
    for (size_t i = 0; i < key->count; i++)
        if (key->samples[i].image_count > 0 && n-- == 0)
            return &key->samples[i];
    return NULL;
}

static tenebra_code put(tn_key *key, const tn_sample *sample, tenebra_error *error)
{
    tn_sample *known = find(key, sample->id);
    if (known != NULL) {
        *known = *sample;
        return TENEBRA_OK;
    }
    TN_TRY(TN_GROW(key->samples, key->count, "key", error));
    if (json_object_set_new(key->index, sample->id, json_integer((json_int_t)key->count)) != 0)
        return tn_fail_memory(error, "key");
    key->samples[key->count++] = *sample;
    return TENEBRA_OK;
}

/* ----------------------------------------------------------------- files -- */

typedef struct key_file {
    tn_key *key;
    size_t answers; /* questions found in it, of any split */
} key_file;

static tenebra_code add_row(key_file *file, const json_t *row, const char *id, tenebra_error *error)
{
    tn_key *key = file->key;
    tn_sample sample;
    bool readable;
    if (!json_is_object(row))
        return TENEBRA_OK;
    TN_TRY(tn_row_sample(&key->strings, row, id != NULL ? id : tn_row_id(&key->strings, row), &sample, &readable, error));
    if (!readable || sample.label == NULL || sample.label[0] == '\0')
        return TENEBRA_OK;
    file->answers++;
    bool other = sample.split[0] != '\0' && strcmp(key->split, "all") != 0 && strcmp(sample.split, key->split) != 0;
    return other ? TENEBRA_OK : put(key, &sample, error);
}

/* An answer alone, for a known question. */
static tenebra_code change(key_file *file, const char *id, const json_t *label, tenebra_error *error)
{
    tn_sample *known = find(file->key, id), other;
    bool readable;
    json_t *row = known != NULL ? json_pack("{s:O}", "answer", label) : NULL;
    if (known == NULL)
        return TENEBRA_OK;
    if (row == NULL)
        return tn_fail_memory(error, "key");
    tenebra_code code = tn_row_sample(&file->key->strings, row, known->id, &other, &readable, error);
    json_decref(row);
    if (code == TENEBRA_OK && readable && other.label != NULL) {
        known->label = other.label;
        known->answer = other.answer;
        file->answers++;
    }
    return code;
}

/* One object of problems, or answers, by id. */
static tenebra_code add_members(key_file *file, json_t *members, tenebra_error *error)
{
    const char *id;
    json_t *member;
    json_object_foreach(members, id, member) {
        if (!json_is_object(member)) {
            TN_TRY(change(file, id, member, error));
            continue;
        }
        const char *copy = tn_strings_copy(&file->key->strings, id, strlen(id));
        if (copy == NULL)
            return tn_fail_memory(error, "key");
        TN_TRY(add_row(file, member, copy, error));
    }
    return TENEBRA_OK;
}

static tenebra_code add_line(void *user, const char *line, size_t length, tenebra_error *error)
{
    json_t *row = tn_python_json(line, length);
    tenebra_code code = row != NULL ? add_row(user, row, NULL, error) : TENEBRA_OK;
    json_decref(row);
    return code;
}

static tenebra_code add_bytes(key_file *file, const char *bytes, size_t length, tenebra_error *error)
{
    /* A row by itself is a file of one line. */
    json_t *whole = tn_python_json(bytes, length), *answer = json_object_get(whole, "answer");
    tenebra_code code = TENEBRA_OK;
    if (json_is_array(whole))
        for (size_t i = 0; i < json_array_size(whole) && code == TENEBRA_OK; i++)
            code = add_row(file, json_array_get(whole, i), NULL, error);
    else if (json_is_object(whole) && (answer == NULL || json_is_object(answer)))
        code = add_members(file, whole, error);
    else
        code = tn_each_line(bytes, length, add_line, file, error);
    json_decref(whole);
    return code;
}

/* ------------------------------------------------------------------ sets -- */

static tenebra_code add_set(tn_key *key, const char *place, tenebra_error *error)
{
    const tn_data_options options = { .without_images = true, .part = TN_PART_ALL };
    TN_TRY(TN_GROW(key->sets, key->set_count, "key", error));
    tn_data *data;
    TN_TRY(tn_data_open(place, key->split, &options, &data, error));
    key->sets[key->set_count++] = data;
    for (size_t i = 0; i < tn_data_count(data); i++)
        TN_TRY(put(key, tn_data_sample(data, i), error));
    return TENEBRA_OK;
}

tenebra_code tn_key_add(tn_key *key, const char *place, tenebra_error *error)
{
    const char *colon = strchr(place, ':');
    if (colon != NULL && tn_dataset_find(place, (size_t)(colon - place)) != NULL)
        return add_set(key, place, error);
    tn_file file;
    key_file state = { .key = key };
    TN_TRY(tn_file_read(&file, place, TN_OUTPUTS_LIMIT, error));
    tenebra_code code = file.size > 0 ? add_bytes(&state, (const char *)file.data, file.size, error) : TENEBRA_OK;
    tn_file_close(&file);
    if (code == TENEBRA_OK && state.answers == 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, place,
                       "contains no correct answers: a key has lines with \"id\" (or \"pid\") and \"answer\", or is a problems.json");
    return code;
}
