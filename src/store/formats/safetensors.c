/* One safetensors file, read in place in memory.
 *
 * Layout: u64 little-endian length N, N bytes of JSON, data. The JSON object has a member per tensor, {"dtype",
 * "shape", "data_offsets": [begin, end]} with offsets from the start of the data, and "__metadata__" with strings.
 * Everything is checked before a tensor is returned: the file is either valid throughout or refused with the tensor's
 * name. Refused: a header that is longer than the file or the limit, is not a JSON object, or has duplicate keys or
 * unknown members; names that are empty, too long or contain control characters; unknown types; more than 8 dimensions;
 * products that overflow; offsets that are not integers, are outside the data, run backwards or disagree with shape and
 * type; overlaps, gaps and bytes after the last tensor; forms (store/form.h) of no tensor, or of a tensor with another
 * number of bytes.
 * Source: https://huggingface.co/docs/safetensors (format), and its limits in the Rust reader. */
#include "store/format.h"

#include "base/checked.h"
#include "store/seal.h"
#include "store/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX = 8 }; /* bytes before the header */

/* Shared by the checks of one file. */
typedef struct context {
    const char *file;          /* for error records */
    const unsigned char *data; /* after the header  */
    size_t data_bytes;
    tenebra_error *error;
} context;

static uint64_t read_u64(const unsigned char *bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < PREFIX; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

/* A JSON integer that a size can hold. */
static bool read_size(const json_t *value, size_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    json_int_t number = json_integer_value(value);
    *out = (size_t)number;
    return (json_int_t)*out == number;
}

/* A string without zero bytes; NULL if it is anything else. */
static const char *read_text(const json_t *value)
{
    const char *text = json_string_value(value);
    return text != NULL && strlen(text) == json_string_length(value) ? text : NULL;
}

static tenebra_code read_type(const context *at, const json_t *info, tn_stored *tensor)
{
    const char *type = read_text(json_object_get(info, "dtype"));
    if (type == NULL)
        return tn_fail(at->error, TENEBRA_ERROR_FORMAT, at->file,
                       "tensor \"%s\": \"dtype\" must be a string", tensor->name);
    if (!tn_store_type_by_name(type, &tensor->type))
        return tn_fail(at->error, TENEBRA_ERROR_UNSUPPORTED, at->file,
                       "tensor \"%s\" has the unknown type \"%.32s\"", tensor->name, type);
    return TENEBRA_OK;
}

static tenebra_code read_shape(const context *at, const json_t *info, tn_stored *tensor)
{
    const json_t *shape = json_object_get(info, "shape");
    if (!json_is_array(shape))
        return tn_fail(at->error, TENEBRA_ERROR_FORMAT, at->file,
                       "tensor \"%s\": \"shape\" must be an array", tensor->name);
    tensor->rank = json_array_size(shape);
    if (tensor->rank > TN_STORED_RANK_MAX)
        return tn_fail(at->error, TENEBRA_ERROR_UNSUPPORTED, at->file,
                       "tensor \"%s\" has %zu dimensions, more than the %d supported", tensor->name,
                       tensor->rank, TN_STORED_RANK_MAX);
    for (size_t i = 0; i < tensor->rank; i++)
        if (!read_size(json_array_get(shape, i), &tensor->shape[i]))
            return tn_fail(at->error, TENEBRA_ERROR_FORMAT, at->file,
                           "tensor \"%s\": dimension %zu must be a whole number from 0",
                           tensor->name, i);
    if (!tn_stored_measure(tensor))
        return tn_fail(at->error, TENEBRA_ERROR_FORMAT, at->file,
                       "tensor \"%s\": its shape is not a whole number of bytes, or does not fit into memory",
                       tensor->name);
    return TENEBRA_OK;
}

static tenebra_code read_offsets(const context *at, const json_t *info, tn_stored *tensor)
{
    const json_t *offsets = json_object_get(info, "data_offsets");
    size_t begin, end;
    if (json_array_size(offsets) != 2 || !read_size(json_array_get(offsets, 0), &begin) ||
        !read_size(json_array_get(offsets, 1), &end))
        return tn_fail(at->error, TENEBRA_ERROR_FORMAT, at->file,
                       "tensor \"%s\": \"data_offsets\" must be two whole numbers from 0",
                       tensor->name);
    if (begin > end || end > at->data_bytes)
        return tn_fail(at->error, TENEBRA_ERROR_FORMAT, at->file,
                       "tensor \"%s\" is at bytes %zu to %zu of %zu bytes of data; is the file complete?",
                       tensor->name, begin, end, at->data_bytes);
    if (end - begin != tensor->bytes)
        return tn_fail(at->error, TENEBRA_ERROR_FORMAT, at->file,
                       "tensor \"%s\" has %zu bytes, but its type and shape need %zu", tensor->name,
                       end - begin, tensor->bytes);
    tensor->data = at->data + begin;
    return TENEBRA_OK;
}

static tenebra_code read_tensor(const context *at, const char *name, const json_t *info,
                                tn_stored *tensor)
{
    if (!tn_stored_name_is_valid(name))
        return tn_fail(at->error, TENEBRA_ERROR_FORMAT, at->file,
                       "a tensor's name is empty, longer than %d bytes or contains control characters",
                       TN_STORED_NAME_MAX);
    tensor->name = name;
    if (!json_is_object(info))
        return tn_fail(at->error, TENEBRA_ERROR_FORMAT, at->file,
                       "tensor \"%s\" is not described by an object", name);
    TN_TRY(read_type(at, info, tensor));
    TN_TRY(read_shape(at, info, tensor));
    TN_TRY(read_offsets(at, info, tensor));
    /* An unknown member might change the meaning of the bytes. */
    if (json_object_size(info) != 3)
        return tn_fail(at->error, TENEBRA_ERROR_FORMAT, at->file,
                       "tensor \"%s\" has members besides dtype, shape and data_offsets", name);
    return TENEBRA_OK;
}

static tenebra_code check_metadata(const context *at, json_t *metadata)
{
    if (!json_is_object(metadata))
        return tn_fail(at->error, TENEBRA_ERROR_FORMAT, at->file,
                       "\"" TN_WRITER_METADATA "\" must be an object");
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value) {
        if (read_text(value) == NULL)
            return tn_fail(at->error, TENEBRA_ERROR_FORMAT, at->file,
                           "\"" TN_WRITER_METADATA "\" contains something that is not a string");
    }
    return TENEBRA_OK;
}

static tenebra_code read_members(const context *at, json_t *header, tn_contents *contents)
{
    const char *key;
    json_t *value;
    json_object_foreach(header, key, value) {
        if (strcmp(key, TN_WRITER_METADATA) != 0)
            TN_TRY(read_tensor(at, key, value, &contents->tensors[contents->count++]));
        else {
            TN_TRY(check_metadata(at, value));
            contents->metadata = json_incref(value);
        }
    }
    return TENEBRA_OK;
}

/* ---------------------------------------------------------------- forms -- */

static tenebra_code read_form(const context *at, const char *text, tn_stored *tensor)
{
    size_t shape[2];
    tn_form form;
    if (!tn_form_parse(text, &form))
        return tn_fail(at->error, TENEBRA_ERROR_FORMAT, at->file,
                       "tensor \"%s\": \"%.60s\" describes no packed weights; \"Q8_0 panels 64 32\" would", tensor->name, text);
    tn_form_bytes(&form, shape);
    if (tensor->type != TN_STORE_U8 || tensor->rank != 2 || tensor->shape[0] != shape[0] || tensor->shape[1] != shape[1])
        return tn_fail(at->error, TENEBRA_ERROR_FORMAT, at->file,
                       "tensor \"%s\" is described as \"%.60s\", which takes U8 [%zu, %zu]", tensor->name, text, shape[0], shape[1]);
    tensor->form = form;
    return TENEBRA_OK;
}

static bool names_form(const char *key)
{
    return strncmp(key, TN_FORM_KEY, strlen(TN_FORM_KEY)) == 0;
}

/* Called after all tensors are read. */
static tenebra_code read_forms(const context *at, const json_t *header, const tn_contents *contents)
{
    for (size_t i = 0; i < contents->count; i++) {
        tn_stored *tensor = &contents->tensors[i];
        char described[sizeof TN_FORM_KEY + TN_STORED_NAME_MAX];
        snprintf(described, sizeof described, TN_FORM_KEY "%s", tensor->name);
        const char *text = tn_contents_metadata(contents, described);
        if (text != NULL)
            TN_TRY(read_form(at, text, tensor));
    }
    const char *key;
    json_t *value;
    json_object_foreach(contents->metadata, key, value) {
        const char *name = key + (names_form(key) ? strlen(TN_FORM_KEY) : 0);
        if (names_form(key) && (strcmp(name, TN_WRITER_METADATA) == 0 || json_object_get(header, name) == NULL))
            return tn_fail(at->error, TENEBRA_ERROR_FORMAT, at->file, "describes the weights of \"%.100s\", which it does not hold",
                           name);
    }
    return TENEBRA_OK;
}

/* ---------------------------------------------------------------- cover -- */

/* By position; an empty tensor comes before another with the same start. */
static int compare_positions(const void *a, const void *b)
{
    const tn_stored *left = a, *right = b;
    const unsigned char *from_left = left->data, *from_right = right->data;
    if (from_left != from_right)
        return from_left < from_right ? -1 : 1;
    if (left->bytes != right->bytes)
        return left->bytes < right->bytes ? -1 : 1;
    return strcmp(left->name, right->name);
}

/* Sorts the tensors and makes sure that they cover the data once and completely. */
static tenebra_code check_cover(const context *at, const tn_contents *file)
{
    qsort(file->tensors, file->count, sizeof *file->tensors, compare_positions);
    const unsigned char *end = at->data;
    for (size_t i = 0; i < file->count; i++) {
        const tn_stored *tensor = &file->tensors[i];
        const unsigned char *begin = tensor->data;
        if (begin < end)
            return tn_fail(at->error, TENEBRA_ERROR_FORMAT, at->file, "tensor \"%s\" overlaps \"%s\"",
                           tensor->name, file->tensors[i - 1].name);
        if (begin > end)
            return tn_fail(at->error, TENEBRA_ERROR_FORMAT, at->file,
                           "%zu bytes before tensor \"%s\" belong to no tensor", (size_t)(begin - end),
                           tensor->name);
        end = begin + tensor->bytes;
    }
    size_t covered = (size_t)(end - at->data);
    if (covered != at->data_bytes)
        return tn_fail(at->error, TENEBRA_ERROR_FORMAT, at->file,
                       "%zu bytes after the last tensor belong to no tensor", at->data_bytes - covered);
    return TENEBRA_OK;
}

static tenebra_code find_header(const unsigned char *bytes, size_t size, const char *name,
                                size_t *length, tenebra_error *error)
{
    if (size < PREFIX)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name,
                       "has %zu bytes, too few for a safetensors file", size);
    uint64_t header = read_u64(bytes);
    if (header > size - PREFIX)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name,
                       "claims a header of %llu bytes but has only %zu bytes; is it a complete safetensors file?",
                       (unsigned long long)header, size);
    if (header > TN_WRITER_HEADER_MAX)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, name, "has a header of %llu bytes, more than %d",
                       (unsigned long long)header, TN_WRITER_HEADER_MAX);
    if (header == 0 || bytes[PREFIX] != '{')
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "has a header that does not start with '{'");
    *length = (size_t)header;
    return TENEBRA_OK;
}

static bool knows(const unsigned char *bytes, size_t size)
{
    return size > PREFIX && read_u64(bytes) <= size - PREFIX && bytes[PREFIX] == '{';
}

static tenebra_code open_file(tn_contents *contents, const char *name, tenebra_error *error)
{
    size_t length = 0;
    TN_TRY(find_header(contents->bytes, contents->size, name, &length, error));
    tenebra_error problem;
    json_t *header;
    tenebra_code code = tn_json_parse(contents->bytes + PREFIX, length, name, &header, &problem);
    contents->own = header;
    if (code != TENEBRA_OK)
        return tn_fail(error, code, name, "header: %s", problem.sentence);
    contents->tensors = calloc(json_object_size(header) + 1, sizeof *contents->tensors);
    if (contents->tensors == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, name, "no memory for %zu tensors", json_object_size(header));
    const context at = { name, contents->bytes + PREFIX + length, contents->size - PREFIX - length, error };
    TN_TRY(read_members(&at, header, contents));
    TN_TRY(read_forms(&at, header, contents));
    return check_cover(&at, contents);
}

static void close_file(tn_contents *contents)
{
    json_decref(contents->own); /* owns the names */
}

static tenebra_code verify_file(const tn_contents *contents, const char *name, bool *sealed, tenebra_error *error)
{
    const char *text = tn_contents_metadata(contents, TN_STORE_SEAL_KEY);
    *sealed = text != NULL;
    return *sealed ? tn_store_seal_check(contents->bytes, contents->size, PREFIX + (size_t)read_u64(contents->bytes), text, name, error)
                   : TENEBRA_OK;
}

const tn_format tn_format_safetensors = {
    .name = "safetensors",
    .names = { "*" TN_WRITER_ENDING },
    .weights = { TN_WRITER_WEIGHTS },
    .index = TN_WRITER_INDEX,
    .knows = knows,
    .open = open_file,
    .close = close_file,
    .verify = verify_file,
};
