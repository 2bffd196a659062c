#include "store/writer.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/output.h"
#include "store/seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PREFIX = 8,          /* bytes of the header's length                                */
    ALIGNMENT = TN_LINE  /* of the data in the file; the header is padded with spaces   */
};

struct tn_writer {
    tn_output output; /* keeps the first failure */
    json_t *header;
    json_t *metadata;
    size_t declared; /* bytes of data */
    size_t written;
    tn_hash hash;    /* of all bytes so far, with zeros in place of the digest */
    size_t digits;   /* offset of the digest in the file */
    bool started;
};

tenebra_code tn_writer_open(const char *path, tn_writer **opened, tenebra_error *error)
{
    tn_writer *writer = *opened = calloc(1, sizeof *writer);
    if (writer == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, path, "no memory for a writer");
    writer->header = json_object();
    writer->metadata = json_object();
    if (tn_output_open(&writer->output, path, NULL) == TENEBRA_OK && (writer->header == NULL || writer->metadata == NULL))
        tn_fail(&writer->output.failure, TENEBRA_ERROR_MEMORY, path, "no memory for a writer");
    tenebra_code code = tn_output_failed(&writer->output, error);
    if (code != TENEBRA_OK) {
        tn_writer_close(writer);
        *opened = NULL;
    }
    return code;
}

tenebra_code tn_writer_open_in(const char *directory, const char *name, tn_writer **writer, tenebra_error *error)
{
    tn_path path;
    *writer = NULL;
    TN_TRY(tn_path_print(&path, error, "%s/%s", directory, name));
    return tn_writer_open(path.text, writer, error);
}

/* ---------------------------------------------------------- declaration -- */

static tenebra_code add_metadata(tn_writer *writer, const char *key, const char *value)
{
    if (writer->started)
        return tn_fail(&writer->output.failure, TENEBRA_ERROR_ARGUMENT, writer->output.path,
                       "metadata \"%.100s\" comes after the first data", key);
    json_t *text = json_string(value);
    if (text == NULL || json_object_get(writer->metadata, key) != NULL ||
        json_object_set(writer->metadata, key, text) != 0) {
        json_decref(text);
        return tn_fail(&writer->output.failure, TENEBRA_ERROR_ARGUMENT, writer->output.path,
                       "metadata \"%.100s\" is given twice or is not UTF-8", key);
    }
    json_decref(text);
    return TENEBRA_OK;
}

tenebra_code tn_writer_metadata(tn_writer *writer, const char *key, const char *value,
                                tenebra_error *error)
{
    if (writer->output.failure.code == TENEBRA_OK)
        add_metadata(writer, key, value);
    return tn_output_failed(&writer->output, error);
}

static json_t *describe(tn_store_type type, size_t rank, const size_t *shape, size_t begin, size_t end)
{
    json_t *dimensions = json_array();
    for (size_t i = 0; i < rank; i++)
        if (json_array_append_new(dimensions, json_integer((json_int_t)shape[i])) != 0) {
            json_decref(dimensions);
            return NULL;
        }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", tn_store_type_of(type)->name, "shape", dimensions,
                     "data_offsets", (json_int_t)begin, (json_int_t)end);
}

static tenebra_code add_tensor(tn_writer *writer, const char *name, tn_store_type type, size_t rank,
                               const size_t *shape)
{
    tenebra_error *failure = &writer->output.failure;
    size_t elements, bytes, end;
    if (writer->started)
        return tn_fail(failure, TENEBRA_ERROR_ARGUMENT, writer->output.path,
                       "tensor \"%.100s\" is declared after the first data", name);
    if (!tn_stored_name_is_valid(name) || strcmp(name, TN_WRITER_METADATA) == 0 || json_object_get(writer->header, name) != NULL)
        return tn_fail(failure, TENEBRA_ERROR_ARGUMENT, writer->output.path,
                       "tensor \"%.100s\" is declared twice or has a name that readers refuse", name);
    if (rank > TN_STORED_RANK_MAX || !tn_store_extent(type, rank, shape, &elements, &bytes) ||
        !tn_size_add(writer->declared, bytes, &end) || end > INT64_MAX)
        return tn_fail(failure, TENEBRA_ERROR_ARGUMENT, writer->output.path,
                       "tensor \"%.100s\" has too many dimensions or bytes", name);
    json_t *info = describe(type, rank, shape, writer->declared, end);
    if (info == NULL)
        return tn_fail(failure, TENEBRA_ERROR_MEMORY, writer->output.path, "no memory for tensor \"%.100s\"", name);
    if (json_object_set_new(writer->header, name, info) != 0)
        return tn_fail(failure, TENEBRA_ERROR_MEMORY, writer->output.path, "no memory for tensor \"%.100s\"", name);
    writer->declared = end;
    return TENEBRA_OK;
}

tenebra_code tn_writer_declare(tn_writer *writer, const char *name, tn_store_type type, size_t rank,
                               const size_t *shape, tenebra_error *error)
{
    if (writer->output.failure.code == TENEBRA_OK)
        add_tensor(writer, name, type, rank, shape);
    return tn_output_failed(&writer->output, error);
}

tenebra_code tn_writer_declare_weight(tn_writer *writer, const char *name, const tn_form *form, tenebra_error *error)
{
    if (!tn_form_is_packed(form))
        return tn_writer_declare(writer, name, tn_store_type_of_weight(form->type), form->rank, form->shape, error);
    char key[sizeof TN_FORM_KEY + TN_STORED_NAME_MAX], text[TN_FORM_TEXT];
    size_t shape[2];
    tn_form_bytes(form, shape);
    tn_form_print(form, text);
    snprintf(key, sizeof key, TN_FORM_KEY "%s", name);
    TN_TRY(tn_writer_declare(writer, name, TN_STORE_U8, 2, shape, error));
    return tn_writer_metadata(writer, key, text, error);
}

/* -------------------------------------------------------------- writing -- */

static tenebra_code put_bytes(tn_writer *writer, const void *data, size_t size)
{
    tn_hash_add(&writer->hash, data, size);
    return tn_output_write(&writer->output, data, size, NULL);
}

/* Length and JSON, padded so that the data starts at a multiple of ALIGNMENT. */
static tenebra_code put_header(tn_writer *writer)
{
    char spaces[ALIGNMENT], zeros[TN_STORE_SEAL_TEXT];
    memset(spaces, ' ', sizeof spaces);
    char *text = json_dumps(writer->header, JSON_COMPACT);
    if (text == NULL)
        return tn_fail(&writer->output.failure, TENEBRA_ERROR_MEMORY, writer->output.path, "no memory for the header");
    size_t length = strlen(text), padding = (ALIGNMENT - (PREFIX + length) % ALIGNMENT) % ALIGNMENT;
    unsigned char prefix[PREFIX];
    for (size_t i = 0; i < sizeof prefix; i++)
        prefix[i] = (unsigned char)((uint64_t)(length + padding) >> (8 * i));
    if (length + padding > TN_WRITER_HEADER_MAX)
        tn_fail(&writer->output.failure, TENEBRA_ERROR_LIMIT, writer->output.path,
                "would need a header of %zu bytes, more than %d", length + padding,
                TN_WRITER_HEADER_MAX);
    else if (put_bytes(writer, prefix, sizeof prefix) == TENEBRA_OK &&
             put_bytes(writer, text, length) == TENEBRA_OK)
        put_bytes(writer, spaces, padding);
    tn_store_seal_print(NULL, zeros);
    writer->digits = PREFIX + (size_t)(tn_store_seal_find(text, length, zeros) - text);
    free(text);
    return writer->output.failure.code;
}

static tenebra_code start(tn_writer *writer)
{
    char zeros[TN_STORE_SEAL_TEXT];
    tn_store_seal_print(NULL, zeros);
    TN_TRY(add_metadata(writer, TN_STORE_SEAL_KEY, zeros));
    writer->started = true;
    tn_hash_start(&writer->hash);
    if (json_object_set(writer->header, TN_WRITER_METADATA, writer->metadata) != 0)
        return tn_fail(&writer->output.failure, TENEBRA_ERROR_MEMORY, writer->output.path, "no memory for the metadata");
    TN_TRY(tn_output_reserve(&writer->output, writer->declared, NULL)); /* reported now instead of after filling the
                                                                         * disk */
    return put_header(writer);
}

static tenebra_code add_data(tn_writer *writer, const void *data, size_t size)
{
    if (size > writer->declared - writer->written)
        return tn_fail(&writer->output.failure, TENEBRA_ERROR_ARGUMENT, writer->output.path,
                       "%zu bytes are more than the %zu that the declared tensors still take", size,
                       writer->declared - writer->written);
    if (!writer->started)
        TN_TRY(start(writer));
    TN_TRY(put_bytes(writer, data, size));
    writer->written += size;
    return TENEBRA_OK;
}

tenebra_code tn_writer_write(tn_writer *writer, const void *data, size_t size, tenebra_error *error)
{
    if (writer->output.failure.code == TENEBRA_OK)
        add_data(writer, data, size);
    return tn_output_failed(&writer->output, error);
}

size_t tn_writer_missing(const tn_writer *writer)
{
    return writer->declared - writer->written;
}

/* ------------------------------------------------------------ finishing -- */

/* Writes the digest of all bytes over the zeros in its place. */
static tenebra_code put_digest(tn_writer *writer)
{
    char text[TN_STORE_SEAL_TEXT];
    const char *digits = text + strlen(TN_STORE_SEAL_FRONT);
    tn_digest digest = tn_hash_finish(&writer->hash);
    tn_store_seal_print(&digest, text);
    return tn_output_rewrite(&writer->output, writer->digits, digits, TN_STORE_SEAL_DIGITS, NULL);
}

static tenebra_code put_in_place(tn_writer *writer)
{
    if (writer->written != writer->declared)
        return tn_fail(&writer->output.failure, TENEBRA_ERROR_ARGUMENT, writer->output.path,
                       "%zu bytes of the declared tensors were not written", tn_writer_missing(writer));
    if (!writer->started)
        TN_TRY(start(writer));
    if (!writer->output.finished)
        TN_TRY(put_digest(writer));
    return tn_output_finish(&writer->output, NULL);
}

tenebra_code tn_writer_finish(tn_writer *writer, tenebra_error *error)
{
    if (writer->output.failure.code == TENEBRA_OK)
        put_in_place(writer);
    return tn_output_failed(&writer->output, error);
}

void tn_writer_close(tn_writer *writer)
{
    if (writer == NULL)
        return;
    tn_output_close(&writer->output);
    json_decref(writer->header);
    json_decref(writer->metadata);
    free(writer);
}
