#include "base/json.h"

#include "base/file.h"
#include "base/mark.h"
#include "base/number.h"
#include "base/output.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* A real without a fraction as an integer; any other value unchanged, with a new reference. */
static json_t *restored(json_t *value)
{
    bool whole = json_is_real(value) && fabs(json_real_value(value)) <= 9007199254740992.0 &&
                 json_real_value(value) == floor(json_real_value(value));
    return whole ? json_integer((json_int_t)json_real_value(value)) : json_incref(value);
}

/* Adds a member whose own members have to be restored, too. */
static bool keep_container(json_t *member, json_t *containers)
{
    return (!json_is_object(member) && !json_is_array(member)) || json_array_append(containers, member) == 0;
}

/* Restores the direct members of an object or array, and adds the objects and arrays among them to `containers`.
 * Setting a member may free the old one. */
static bool restore_members(json_t *container, json_t *containers)
{
    const char *key;
    json_t *member;
    size_t index;
    bool fits = true;
    json_object_foreach(container, key, member)
        fits = fits && keep_container(member, containers) && json_object_set_new(container, key, restored(member)) == 0;
    json_array_foreach(container, index, member)
        fits = fits && keep_container(member, containers) && json_array_set_new(container, index, restored(member)) == 0;
    return fits;
}

/* One integer that is too large makes jansson read all numbers as reals; this turns those without a fraction into
 * integers again. Takes ownership of `value` and returns its replacement; NULL without memory. */
static json_t *restore_integers(json_t *value)
{
    json_t *result = restored(value), *containers = json_array();
    json_decref(value);
    bool fits = result != NULL && json_array_append(containers, result) == 0;
    for (size_t at = 0; fits && at < json_array_size(containers); at++)
        fits = restore_members(json_array_get(containers, at), containers);
    json_decref(containers);
    if (fits)
        return result;
    json_decref(result);
    return NULL;
}

tenebra_code tn_json_parse(const void *text, size_t length, const char *name, json_t **value, tenebra_error *error)
{
    json_error_t problem;
    const size_t mark = tn_mark_length(text, length);
    text = length > 0 ? (const char *)text + mark : text;
    length -= mark;
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL;
    *value = json_loadb(length ? text : "", length, flags, &problem);
    /* tokenizer_config.json has a "model_max_length" of 10^30 if there is no limit. */
    if (*value == NULL && json_error_code(&problem) == json_error_numeric_overflow) {
        *value = json_loadb(text, length, flags | JSON_DECODE_INT_AS_REAL, &problem);
        if (*value != NULL && (*value = restore_integers(*value)) == NULL)
            return tn_fail(error, TENEBRA_ERROR_MEMORY, name, "no memory for %zu bytes of JSON", length);
    }
    if (*value != NULL)
        return TENEBRA_OK;
    if (json_error_code(&problem) == json_error_out_of_memory)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, name, "no memory for %zu bytes of JSON", length);
    TN_TRY(tn_lfs_check(text, length, name, error));
    if (length == 0 || memchr(text, '\n', length) == NULL) /* one line, which may itself be one of several */
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "is not valid JSON: %s (column %d)", problem.text, problem.column);
    return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "is not valid JSON: %s (line %d, column %d)", problem.text, problem.line,
                   problem.column);
}

const char *tn_json_part(char text[TN_JSON_PART], const char *name, const char *part)
{
    snprintf(text, TN_JSON_PART, "%.440s: %.60s", name, part);
    return text;
}

tenebra_code tn_json_read(const char *path, size_t limit, json_t **value, tenebra_error *error)
{
    tn_file file;
    *value = NULL;
    TN_TRY(tn_file_read(&file, path, limit, error));
    tenebra_code code = tn_json_parse(file.data, file.size, path, value, error);
    tn_file_close(&file);
    return code;
}

tenebra_code tn_json_read_object(const char *directory, const char *name, size_t limit, bool required, json_t **object,
                                 tenebra_error *error)
{
    tn_path path;
    *object = NULL;
    TN_TRY(tn_path_print(&path, error, "%s/%s", directory, name));
    if (!required && !tn_path_is_file(path.text))
        return TENEBRA_OK;
    TN_TRY(tn_json_read(path.text, limit, object, error));
    if (json_is_object(*object))
        return TENEBRA_OK;
    json_decref(*object);
    *object = NULL;
    return tn_fail(error, TENEBRA_ERROR_FORMAT, path.text, "must contain one JSON object");
}

tenebra_code tn_json_write(const char *path, const json_t *value, size_t flags, tenebra_error *error)
{
    char *text = value != NULL ? json_dumps(value, flags) : NULL;
    if (text == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, path, "no memory for its contents");
    tenebra_code code = tn_output_put(path, text, strlen(text), error);
    free(text);
    return code;
}

tenebra_code tn_json_write_in(const char *directory, const char *name, const json_t *value, size_t flags, tenebra_error *error)
{
    tn_path path;
    TN_TRY(tn_path_print(&path, error, "%s/%s", directory, name));
    return tn_json_write(path.text, value, flags, error);
}

static const json_t *member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

tenebra_code tn_json_number(const json_t *object, const char *key, double minimum, double maximum,
                            double *out, const char *name, tenebra_error *error)
{
    const json_t *value = member(object, key);
    if (value == NULL)
        return TENEBRA_OK;
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= minimum && number <= maximum))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "\"%s\" must be a number from %g to %g", key,
                       minimum, maximum);
    *out = number;
    return TENEBRA_OK;
}

tenebra_code tn_json_size(const json_t *object, const char *key, size_t minimum, size_t maximum,
                          size_t *out, const char *name, tenebra_error *error)
{
    const json_t *value = member(object, key);
    if (value == NULL)
        return TENEBRA_OK;
    const double exact = 9007199254740992.0; /* 2^53: up to here a double holds every integer */
    double number = json_real_value(value);
    bool real = json_is_real(value) && number >= 0 && number <= exact && number == floor(number);
    bool whole = real || (json_is_integer(value) && json_integer_value(value) >= 0);
    size_t size = real ? (size_t)number : whole ? (size_t)json_integer_value(value) : 0;
    if (!whole || size < minimum || size > maximum)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "\"%s\" must be a whole number from %zu to %zu",
                       key, minimum, maximum);
    *out = size;
    return TENEBRA_OK;
}

tenebra_code tn_json_bool(const json_t *object, const char *key, bool *out, const char *name,
                          tenebra_error *error)
{
    const json_t *value = member(object, key);
    if (value == NULL)
        return TENEBRA_OK;
    if (!json_is_boolean(value))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "\"%s\" must be true or false", key);
    *out = json_is_true(value);
    return TENEBRA_OK;
}

tenebra_code tn_json_string(const json_t *object, const char *key, const char **out,
                            const char *name, tenebra_error *error)
{
    const json_t *value = member(object, key);
    if (value == NULL)
        return TENEBRA_OK;
    if (!json_is_string(value))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "\"%s\" must be a string", key);
    if (strlen(json_string_value(value)) != json_string_length(value))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "\"%s\" contains the character U+0000", key);
    *out = json_string_value(value);
    return TENEBRA_OK;
}

bool tn_json_is_known(const char *name, const char *const *known)
{
    while (*known != NULL && strcmp(*known, name) != 0)
        known++;
    return *known != NULL;
}

void tn_json_list_name(char *text, size_t size, const char *name)
{
    enum { SHOWN = 40 };
    size_t used = strlen(text), length = strlen(name), shown = length < SHOWN ? length : SHOWN;
    if (size - used < shown + 8)
        return;
    used += (size_t)snprintf(text + used, size - used, "%s", used > 0 ? ", " : "");
    for (size_t i = 0; i < shown; i++)
        text[used++] = (unsigned char)name[i] < 0x20 || name[i] == 0x7F ? '?' : name[i];
    snprintf(text + used, size - used, "%s", shown < length ? "..." : "");
}

size_t tn_json_unknown(const json_t *object, const char *const *known, char *text, size_t size)
{
    size_t count = 0;
    text[0] = '\0';
    for (void *at = json_object_iter((json_t *)(uintptr_t)object); at != NULL;
         at = json_object_iter_next((json_t *)(uintptr_t)object, at)) {
        const char *name = json_object_iter_key(at);
        if (tn_json_is_known(name, known))
            continue;
        tn_json_list_name(text, size, name);
        count++;
    }
    return count;
}

char *tn_json_show(const json_t *value)
{
    char text[TN_NUMBER_TEXT];
    if (value == NULL)
        return strdup("nothing");
    if (json_is_real(value))
        return strdup(tn_number_print(json_real_value(value), text));
    return json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
}
