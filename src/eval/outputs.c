#include "eval/outputs.h"

#include "base/file.h"
#include "eval/seal.h"
#include "eval/score_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct output_reader {
    tn_outputs *outputs;
    const tn_key *key;
    const char *path;
    size_t line;
    tn_digest digest; /* of the manifest, if the file is our own and sealed */
    bool sealed;
} output_reader;

/* ------------------------------------------------------------------ rows -- */

/* Answer and groups of the key replace those of the row; options and question only if the row has none. False if the
 * key does not have the question. */
static bool apply_key(const tn_key *key, tn_sample *sample)
{
    const tn_sample *known = tn_key_find(key, sample->id), own = *sample;
    if (known == NULL)
        return false;
    *sample = *known;
    if (own.option_count > 0) {
        sample->options = own.options;
        sample->option_count = own.option_count;
    }
    if (own.question[0] != '\0')
        sample->question = own.question;
    return true;
}

static json_t *member_object(json_t *object, const char *key)
{
    json_t *member = json_object_get(object, key);
    if (member == NULL && json_object_set_new(object, key, json_object()) == 0)
        member = json_object_get(object, key);
    return member;
}

static tenebra_code append_row(tn_outputs *outputs, const tn_output *row, tenebra_error *error)
{
    TN_TRY(TN_GROW(outputs->rows, outputs->count, "outputs", error));
    outputs->rows[outputs->count++] = *row;
    return TENEBRA_OK;
}

/* True if a row counts, apart from repetition; records the reason if not. */
static bool is_scored(output_reader *reading, tn_output *row)
{
    if (reading->key != NULL && !apply_key(reading->key, &row->sample)) {
        reading->outputs->unknown++;
        return false;
    }
    reading->outputs->unkeyed += row->sample.label == NULL;
    return row->sample.label != NULL;
}

static tenebra_code add_output(output_reader *reading, tn_output *row, tenebra_error *error)
{
    tn_outputs *outputs = reading->outputs;
    json_t *ids = member_object(member_object(outputs->seen, row->source), row->method);
    const json_t *known = json_object_get(ids, row->sample.id);
    const char *id = row->sample.id; /* apply_key changes it to an equal one */
    json_int_t place = json_integer_value(known);
    outputs->repeated += known != NULL;
    if (known != NULL && (outputs->place == NULL || place < 0))
        return TENEBRA_OK;
    bool scored = is_scored(reading, row);
    if (known != NULL) {
        if (scored)
            outputs->rows[place] = *row;
        return TENEBRA_OK;
    }
    json_int_t end = scored ? (json_int_t)outputs->count : -1;
    if (ids == NULL || json_object_set_new(ids, id, json_integer(end)) != 0)
        return tn_fail_memory(error, "outputs");
    return scored ? append_row(outputs, row, error) : TENEBRA_OK;
}

/* ----------------------------------------------------------------- texts -- */

static tenebra_code copy_slice(tn_strings *strings, const json_t *string, tn_slice *out, tenebra_error *error)
{
    out->length = json_string_length(string);
    out->bytes = tn_strings_copy(strings, json_string_value(string), out->length);
    return out->bytes != NULL ? TENEBRA_OK : tn_fail_memory(error, "outputs");
}

/* The text of a message: the message itself, its "content", or the "text" of the last part of that. NULL: none. */
static const json_t *message_text(const json_t *message)
{
    if (json_is_object(message))
        message = json_object_get(message, "content");
    if (json_is_array(message) && json_array_size(message) > 0)
        message = json_object_get(json_array_get(message, json_array_size(message) - 1), "text");
    return json_is_string(message) ? message : NULL;
}

static const json_t *find_text(const json_t *row)
{
    static const char *const keys[] = { "text", "generated", "output", "response", "prediction" };
    const json_t *messages = json_object_get(row, "messages");
    if (json_is_array(messages))
        return message_text(json_array_get(messages, json_array_size(messages) - 1));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_is_string(json_object_get(row, keys[i])))
            return json_object_get(row, keys[i]);
    return NULL;
}

/* The user's turn: "prompt", or the message before the last one in the wording of the authors of
 * arXiv:2510.12603 (IVT-LR), who removed its last line. */
static tenebra_code find_prompt(tn_strings *strings, const json_t *row, tn_slice *prompt, tenebra_error *error)
{
    static const char front[] = "[Question]:{", end[] = "\nAnswer:";
    const json_t *given = json_object_get(row, "prompt"), *messages = json_object_get(row, "messages");
    if (json_is_string(given))
        return copy_slice(strings, given, prompt, error);
    size_t count = json_array_size(messages);
    const json_t *before = count >= 2 ? message_text(json_array_get(messages, count - 2)) : NULL;
    if (before == NULL || strncmp(json_string_value(before), front, strlen(front)) != 0)
        return TENEBRA_OK;
    size_t length = json_string_length(before);
    char *text = tn_strings_take(strings, length + sizeof end);
    if (text == NULL)
        return tn_fail_memory(error, "outputs");
    memcpy(text, json_string_value(before), length);
    memcpy(text + length, end, sizeof end);
    *prompt = (tn_slice){ text, length + strlen(end) };
    return TENEBRA_OK;
}

/* An index as Python's int() reads it: a number, or digits in a text. */
static bool read_index(const json_t *value, long *index)
{
    if (json_is_number(value)) {
        double number = json_number_value(value);
        *index = number > -1e9 && number < 1e9 ? (long)number : TN_NO_CHOICE;
        return true;
    }
    if (json_is_boolean(value)) {
        *index = json_is_true(value);
        return true;
    }
    if (!json_is_string(value))
        return false;
    tn_slice text = tn_slice_strip((tn_slice){ json_string_value(value), json_string_length(value) });
    size_t sign = text.length > 0 && (text.bytes[0] == '-' || text.bytes[0] == '+');
    if (text.length == sign || text.length > 9 || strspn(text.bytes + sign, "0123456789") < text.length - sign)
        return false;
    *index = strtol(text.bytes, NULL, 10);
    return true;
}

static tenebra_code copy_name(tn_strings *strings, const json_t *row, const char *key, const char **out, tenebra_error *error)
{
    const json_t *name = json_object_get(row, key);
    if (!json_is_string(name))
        return TENEBRA_OK;
    *out = tn_strings_copy(strings, json_string_value(name), json_string_length(name));
    return *out != NULL ? TENEBRA_OK : tn_fail_memory(error, "outputs");
}

/* Our own records have the number of options instead of the options. */
static size_t option_limit(const json_t *row)
{
    const json_t *count = json_object_get(row, "options");
    bool fits = json_is_integer(count) && json_integer_value(count) > 0 && json_integer_value(count) <= TN_OUTPUTS_OPTIONS_MAX;
    return fits ? (size_t)json_integer_value(count) : 0;
}

static tenebra_code add_object(output_reader *reading, const json_t *row, tenebra_error *error)
{
    tn_outputs *outputs = reading->outputs;
    tn_output output = { .method = "", .source = "" };
    bool readable, failed = json_is_true(json_object_get(row, "failed"));
    const char *id = tn_row_id(&outputs->strings, row);
    TN_TRY(tn_row_sample(&outputs->strings, row, id, &output.sample, &readable, error));
    const json_t *text = find_text(row);
    output.scored.chosen = text == NULL && read_index(json_object_get(row, "pred"), &output.scored.choice);
    if (!readable || (text == NULL && !output.scored.chosen && !failed)) {
        outputs->unreadable++;
        return TENEBRA_OK;
    }
    if (text != NULL)
        TN_TRY(copy_slice(&outputs->strings, text, &output.scored.text, error));
    else if (failed)
        output.scored.text = TN_SLICE("");
    output.failed = failed;
    output.scored.option_limit = option_limit(row);
    TN_TRY(find_prompt(&outputs->strings, row, &output.scored.prompt, error));
    TN_TRY(copy_name(&outputs->strings, row, "method", &output.method, error));
    TN_TRY(copy_name(&outputs->strings, row, "source", &output.source, error));
    return add_output(reading, &output, error);
}

/* ----------------------------------------------------------------- files -- */

/* The first line of our own files: the description of the run. */
static bool is_manifest(const json_t *row)
{
    return json_object_get(row, "tenebra_eval") != NULL && json_object_get(row, "id") == NULL;
}

static tenebra_code read_manifest(tn_outputs *outputs, const json_t *manifest, tenebra_error *error)
{
    const json_t *data = json_object_get(manifest, "data");
    outputs->place = outputs->split = "";
    TN_TRY(copy_name(&outputs->strings, data, "place", &outputs->place, error));
    return copy_name(&outputs->strings, data, "split", &outputs->split, error);
}

/* Lines of our own files end with digests; those of other programs are accepted unchecked. */
static tenebra_code check_seal(output_reader *reading, const char *line, size_t length, bool manifest, tenebra_error *error)
{
    tn_digest digest = { { 0 } };
    char where[256];
    if (!manifest && !reading->sealed)
        return TENEBRA_OK;
    tn_seal seal = tn_seal_check(line, length, manifest ? NULL : &reading->digest, &digest);
    bool good = seal == TN_SEAL_GOOD || (seal == TN_SEAL_NONE && !reading->sealed);
    reading->sealed |= manifest && seal == TN_SEAL_GOOD;
    reading->digest = manifest ? digest : reading->digest;
    snprintf(where, sizeof where, "%.230s:%zu", reading->path, reading->line);
    return good ? TENEBRA_OK
                : tn_fail(error, TENEBRA_ERROR_FORMAT, where, "the line was changed after it was written: its digest does not match");
}

static tenebra_code add_line(void *user, const char *line, size_t length, tenebra_error *error)
{
    output_reader *reading = user;
    json_t *row = tn_python_json(line, length);
    bool manifest = json_is_object(row) && is_manifest(row);
    reading->line++;
    tenebra_code code = json_is_object(row) ? check_seal(reading, line, length, manifest, error) : TENEBRA_OK;
    if (!json_is_object(row))
        reading->outputs->unreadable += length > 0;
    else if (code == TENEBRA_OK && manifest)
        code = read_manifest(reading->outputs, row, error);
    else if (code == TENEBRA_OK)
        code = add_object(reading, row, error);
    json_decref(row);
    return code;
}

/* True if the ids are indices of the key's questions with images, from 0; no published question has the id "0". */
static bool by_place(const tn_key *key, json_t *results)
{
    return key != NULL && json_object_get(results, "0") != NULL && tn_key_find(key, "0") == NULL;
}

static const char *resolve(const tn_key *key, const char *id, bool places)
{
    char *end;
    unsigned long n = places ? strtoul(id, &end, 10) : 0;
    const tn_sample *sample = places && *id != '\0' && *end == '\0' ? tn_key_pictured(key, n) : NULL;
    return sample != NULL ? sample->id : id;
}

/* One object: indices by id, and optionally texts. */
static tenebra_code add_results(output_reader *reading, json_t *results, json_t *texts, tenebra_error *error)
{
    tn_outputs *outputs = reading->outputs;
    bool places = by_place(reading->key, results);
    const char *id;
    json_t *value;
    json_object_foreach(results, id, value) {
        const char *name = resolve(reading->key, id, places);
        tn_output output = { .method = "", .source = "" };
        bool readable;
        const json_t *text = json_object_get(texts, id);
        output.scored.chosen = read_index(value, &output.scored.choice);
        const char *copy = tn_strings_copy(&outputs->strings, name, strlen(name));
        if (copy == NULL)
            return tn_fail_memory(error, "outputs");
        TN_TRY(tn_row_sample(&outputs->strings, NULL, copy, &output.sample, &readable, error));
        if (json_is_string(text))
            TN_TRY(copy_slice(&outputs->strings, text, &output.scored.text, error));
        if (output.scored.chosen || json_is_string(text))
            TN_TRY(add_output(reading, &output, error));
        else
            outputs->unreadable++;
    }
    return TENEBRA_OK;
}

static tenebra_code add_bytes(output_reader *reading, const char *bytes, size_t length, tenebra_error *error)
{
    json_t *whole = tn_python_json(bytes, length), *results = json_object_get(whole, "results");
    tenebra_code code = TENEBRA_OK;
    if (json_is_object(results))
        code = add_results(reading, results, json_object_get(whole, "outputs"), error);
    else if (json_is_array(whole))
        for (size_t i = 0; i < json_array_size(whole) && code == TENEBRA_OK; i++)
            code = add_object(reading, json_array_get(whole, i), error);
    else
        code = tn_each_line(bytes, length, add_line, reading, error);
    json_decref(whole);
    return code;
}

tenebra_code tn_outputs_read(tn_outputs *outputs, const char *path, const tn_key *key, tenebra_error *error)
{
    tn_file file;
    output_reader reading = { .outputs = outputs, .key = key, .path = path };
    *outputs = (tn_outputs){ .seen = json_object() };
    if (outputs->seen == NULL)
        return tn_fail_memory(error, "outputs");
    TN_TRY(tn_file_read(&file, path, TN_OUTPUTS_LIMIT, error));
    tenebra_code code = file.size > 0 ? add_bytes(&reading, (const char *)file.data, file.size, error) : TENEBRA_OK;
    tn_file_close(&file);
    if (code == TENEBRA_OK && outputs->count == 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path,
                       "contains nothing to score: %zu rows cannot be read, %zu have no correct answer (--key names a file "
                       "with them), %zu are not in the key", outputs->unreadable, outputs->unkeyed, outputs->unknown);
    for (size_t i = 0; i < outputs->count; i++) {
        outputs->rows[i].scored.sample = &outputs->rows[i].sample;
        outputs->fallible += outputs->rows[i].failed;
    }
    return code;
}

void tn_outputs_free(tn_outputs *outputs)
{
    json_decref(outputs->seen);
    tn_strings_free(&outputs->strings);
    free(outputs->rows);
    *outputs = (tn_outputs){ 0 };
}
