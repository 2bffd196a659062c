/* Rows of result files and keys: JSON as Python reads it, and the fields that describe the question. */
#include "eval/outputs.h"

#include "base/mark.h"
#include "text/utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------- what Python allows -- */

/* The unit of "\uXXXX" at `at`; -1: there is none. */
static long unit_at(const char *text, size_t length, size_t at)
{
    long unit = 0;
    if (length - at < 6 || text[at] != '\\' || text[at + 1] != 'u')
        return -1;
    for (size_t i = at + 2; i < at + 6; i++) {
        if (!isxdigit((unsigned char)text[i]))
            return -1;
        int digit = tolower((unsigned char)text[i]);
        unit = unit * 16 + (digit <= '9' ? digit - '0' : digit - 'a' + 10);
    }
    return unit;
}

/* Copies an escape inside a string. Half of a surrogate pair becomes U+FFFD, which like it belongs to no class of
 * characters. Returns the number of bytes read. */
static size_t copy_escape(const char *text, size_t length, size_t at, tn_text *out, tenebra_error *error)
{
    long unit = unit_at(text, length, at), low = unit >= 0 ? unit_at(text, length, at + 6 < length ? at + 6 : at) : -1;
    if (unit >= 0xD800 && unit <= 0xDBFF && low >= 0xDC00 && low <= 0xDFFF && at + 12 <= length)
        return tn_text_append(out, text + at, 12, error) == TENEBRA_OK ? 12 : 0;
    if (unit >= 0xD800 && unit <= 0xDFFF)
        return tn_text_append(out, "\\ufffd", 6, error) == TENEBRA_OK ? 6 : 0;
    size_t size = length - at < 2 ? length - at : 2;
    return tn_text_append(out, text + at, size, error) == TENEBRA_OK ? size : 0;
}

/* Copies anything but a string: NaN and infinities become null, integers that do not fit 64 bits become texts of their
 * digits. */
static size_t copy_plain(const char *text, size_t length, size_t at, tn_text *out, tenebra_error *error)
{
    static const char *const words[] = { "NaN", "-Infinity", "Infinity" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t size = strlen(words[i]);
        if (length - at >= size && memcmp(text + at, words[i], size) == 0)
            return tn_text_append(out, "null", 4, error) == TENEBRA_OK ? size : 0;
    }
    size_t size = text[at] == '-' && length - at > 1, digits = size;
    while (at + size < length && text[at + size] != '\0' && strchr("0123456789.eE+-", text[at + size]) != NULL) {
        digits += isdigit((unsigned char)text[at + size]) != 0 && digits == size;
        size++;
    }
    if (digits == size && digits > 18) {
        bool fits = tn_text_append(out, "\"", 1, error) == TENEBRA_OK &&
                    tn_text_append(out, text + at, size, error) == TENEBRA_OK && tn_text_append(out, "\"", 1, error) == TENEBRA_OK;
        return fits ? size : 0;
    }
    size = size > 0 ? size : 1;
    return tn_text_append(out, text + at, size, error) == TENEBRA_OK ? size : 0;
}

static json_t *load(const char *text, size_t length)
{
    json_error_t problem;
    size_t mark = tn_mark_length(text, length);
    return json_loadb(length > mark ? text + mark : "", length - mark, JSON_DECODE_ANY | JSON_ALLOW_NUL, &problem);
}

json_t *tn_python_json(const char *text, size_t length)
{
    json_t *value = load(text, length);
    if (value != NULL)
        return value;
    tn_text mended = { 0 };
    bool inside = false; /* of a string */
    size_t size = 1;
    for (size_t at = 0; at < length && size > 0; at += size) {
        if (inside && text[at] == '\\') {
            size = copy_escape(text, length, at, &mended, NULL);
        } else if (inside || text[at] == '"') {
            inside ^= text[at] == '"';
            size = tn_text_append(&mended, text + at, 1, NULL) == TENEBRA_OK;
        } else {
            size = copy_plain(text, length, at, &mended, NULL);
        }
    }
    if (size > 0 && mended.length > 0)
        value = load(mended.data, mended.length);
    tn_text_free(&mended);
    return value;
}

tenebra_code tn_each_line(const char *bytes, size_t length, tn_line_fn *each, void *user, tenebra_error *error)
{
    for (size_t at = 0, end; at < length; at = end + 1) {
        end = at;
        while (end < length && bytes[end] != '\n' && bytes[end] != '\r')
            end++;
        const char *line = bytes + at;
        size_t size = end - at;
        tn_strip(&line, &size, true);
        TN_TRY(each(user, line, size, error));
    }
    return TENEBRA_OK;
}

/* ---------------------------------------------------------------- fields -- */

static bool holds_zero(const json_t *string)
{
    return memchr(json_string_value(string), '\0', json_string_length(string)) != NULL;
}

const char *tn_row_id(tn_strings *strings, const json_t *row)
{
    static const char *const keys[] = { "id", "pid", "qid", "question_id", "idx" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *id = json_object_get(row, keys[i]);
        if (json_is_string(id) && !holds_zero(id))
            return tn_strings_copy(strings, json_string_value(id), json_string_length(id));
        if (json_is_integer(id)) {
            char text[32];
            int size = snprintf(text, sizeof text, "%lld", (long long)json_integer_value(id));
            return tn_strings_copy(strings, text, (size_t)size);
        }
    }
    return NULL;
}

static tenebra_code copy_text(tn_strings *strings, const json_t *row, const char *key, const char **out, bool *readable,
                              tenebra_error *error)
{
    const json_t *value = json_object_get(row, key);
    *out = "";
    if (!json_is_string(value))
        return TENEBRA_OK;
    *readable = *readable && !holds_zero(value);
    *out = tn_strings_copy(strings, json_string_value(value), json_string_length(value));
    return *out != NULL ? TENEBRA_OK : tn_fail_memory(error, "outputs");
}

static tenebra_code copy_options(tn_strings *strings, const json_t *row, tn_sample *sample, bool *readable, tenebra_error *error)
{
    const json_t *list = json_object_get(row, "choices");
    if (!json_is_array(list))
        list = json_object_get(row, "options");
    size_t count = json_array_size(list);
    if (count == 0)
        return TENEBRA_OK;
    *readable = *readable && count <= TN_OUTPUTS_OPTIONS_MAX;
    const char **options = *readable ? tn_strings_take(strings, count * sizeof *options) : NULL;
    if (*readable && options == NULL)
        return tn_fail_memory(error, "outputs");
    for (size_t i = 0; i < count && *readable; i++) {
        const json_t *option = json_array_get(list, i);
        *readable = json_is_string(option) && !holds_zero(option);
        options[i] = *readable ? tn_strings_copy(strings, json_string_value(option), json_string_length(option)) : "";
        if (options[i] == NULL)
            return tn_fail_memory(error, "outputs");
    }
    sample->options = options;
    sample->option_count = *readable ? count : 0;
    return TENEBRA_OK;
}

/* The correct answer: a text, or an index. */
static tenebra_code copy_label(tn_strings *strings, const json_t *row, tn_sample *sample, bool *readable, tenebra_error *error)
{
    static const char *const keys[] = { "answer", "gold", "gt", "gt_answer" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *label = json_object_get(row, keys[i]);
        char digits[32];
        if (json_is_string(label)) {
            TN_TRY(copy_text(strings, row, keys[i], &sample->label, readable, error));
        } else if (json_is_integer(label) && json_integer_value(label) >= 0) {
            int size = snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(label));
            sample->label = tn_strings_copy(strings, digits, (size_t)size);
        } else {
            continue;
        }
        return sample->label != NULL ? TENEBRA_OK : tn_fail_memory(error, "outputs");
    }
    return TENEBRA_OK;
}

/* Placeholders for an image and for text beside the question, whose contents a key need not have. */
static const char *const known_picture[] = { "" };

static void note_contents(const json_t *row, tn_sample *sample)
{
    const json_t *image = json_object_get(row, "image"), *pictured = json_object_get(row, "has_image");
    bool named = json_is_string(image) ? json_string_length(image) > 0 : json_is_object(image);
    sample->images = known_picture;
    sample->image_count = pictured != NULL ? json_is_true(pictured) : named;
    if (sample->context[0] == '\0' && json_is_true(json_object_get(row, "has_text")))
        sample->context = "-";
}

tenebra_code tn_row_sample(tn_strings *strings, const json_t *row, const char *id, tn_sample *sample, bool *readable,
                           tenebra_error *error)
{
    const char *hint;
    *sample = (tn_sample){ .id = id, .rationale = "", .lecture = "", .solution = "" };
    *readable = id != NULL;
    const struct {
        const char *key, **target;
    } texts[] = {
        { "question", &sample->question }, { "context", &sample->context }, { "hint", &hint },
        { "split", &sample->split },       { "domain", &sample->domain },   { "topic", &sample->topic },
        { "category", &sample->category }, { "subject", &sample->subject }, { "grade", &sample->grade },
        { "skill", &sample->skill },       { "task", &sample->task },
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        TN_TRY(copy_text(strings, row, texts[i].key, texts[i].target, readable, error));
    if (sample->context[0] == '\0')
        sample->context = hint;
    TN_TRY(copy_options(strings, row, sample, readable, error));
    TN_TRY(copy_label(strings, row, sample, readable, error));
    long index = sample->label != NULL ? tn_label_index(sample->label) : TN_NO_CHOICE;
    sample->answer = index > 0 ? (size_t)index : 0;
    note_contents(row, sample);
    return TENEBRA_OK;
}
