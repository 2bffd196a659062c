#include "store/writer.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/output.h"
#include "store/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    PREFIX = 8,          /* bytes of the header's length                                */
    ALIGNMENT = TN_LINE, /* of the data in the file; the header is padded with spaces   */
    WRITE_MAX = 1 << 30, /* bytes of one system call: Linux takes less than 2 GiB       */
    NAMES_TRIED = 1000
};

struct tn_writer {
    char *path;
    char *partial;   /* NULL until the file is made, and after it got its name */
    int descriptor;  /* -1: not open */
    json_t *header;
    json_t *metadata;
    size_t declared; /* bytes of data */
    size_t written;
    tn_hash hash;    /* of all bytes so far, with zeros in the place of their digest */
    size_t digits;   /* offset of that place in the file */
    bool started, finished;
    tenebra_error failure; /* code 0: none so far */
};

/* Returns the failure that stuck, after copying it out. */
static tenebra_code failed(const tn_writer *writer, tenebra_error *error)
{
    if (error != NULL && writer->failure.code != TENEBRA_OK)
        *error = writer->failure;
    return writer->failure.code;
}

static tenebra_code fail_system(tn_writer *writer, const char *what)
{
    return tn_output_fail(writer->path, what, errno, &writer->failure);
}

tn_writer *tn_writer_open(const char *path, tenebra_error *error)
{
    if (path[0] == '\0' || tn_path_is_directory(path)) {
        tn_fail(error, TENEBRA_ERROR_ARGUMENT, path, "is not the name of a file to write");
        return NULL;
    }
    tn_writer *writer = calloc(1, sizeof *writer);
    if (writer != NULL) {
        writer->descriptor = -1;
        writer->path = strdup(path);
        writer->header = json_object();
        writer->metadata = json_object();
    }
    if (writer == NULL || writer->path == NULL || writer->header == NULL || writer->metadata == NULL) {
        tn_writer_close(writer);
        tn_fail(error, TENEBRA_ERROR_MEMORY, path, "no memory for a writer");
        return NULL;
    }
    return writer;
}

/* ---------------------------------------------------------- declaration -- */

static tenebra_code add_metadata(tn_writer *writer, const char *key, const char *value)
{
    if (writer->started)
        return tn_fail(&writer->failure, TENEBRA_ERROR_ARGUMENT, writer->path,
                       "metadata \"%.100s\" comes after the first data", key);
    json_t *text = json_string(value);
    if (text == NULL || json_object_get(writer->metadata, key) != NULL ||
        json_object_set(writer->metadata, key, text) != 0) {
        json_decref(text);
        return tn_fail(&writer->failure, TENEBRA_ERROR_ARGUMENT, writer->path,
                       "metadata \"%.100s\" is given twice or is not UTF-8", key);
    }
    json_decref(text);
    return TENEBRA_OK;
}

tenebra_code tn_writer_metadata(tn_writer *writer, const char *key, const char *value,
                                tenebra_error *error)
{
    if (writer->failure.code == TENEBRA_OK)
        add_metadata(writer, key, value);
    return failed(writer, error);
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
    tenebra_error *failure = &writer->failure;
    size_t elements, bytes, end;
    if (writer->started)
        return tn_fail(failure, TENEBRA_ERROR_ARGUMENT, writer->path,
                       "tensor \"%.100s\" is declared after the first data", name);
    if (!tn_stored_name_is_valid(name) || json_object_get(writer->header, name) != NULL)
        return tn_fail(failure, TENEBRA_ERROR_ARGUMENT, writer->path,
                       "tensor \"%.100s\" is declared twice or has a name that readers refuse", name);
    if (rank > TN_STORED_RANK_MAX || !tn_store_extent(type, rank, shape, &elements, &bytes) ||
        !tn_size_add(writer->declared, bytes, &end) || end > INT64_MAX)
        return tn_fail(failure, TENEBRA_ERROR_ARGUMENT, writer->path,
                       "tensor \"%.100s\" has too many dimensions or bytes", name);
    json_t *info = describe(type, rank, shape, writer->declared, end);
    if (info == NULL)
        return tn_fail(failure, TENEBRA_ERROR_MEMORY, writer->path, "no memory for tensor \"%.100s\"", name);
    if (json_object_set_new(writer->header, name, info) != 0)
        return tn_fail(failure, TENEBRA_ERROR_ARGUMENT, writer->path, "a tensor's name is not UTF-8");
    writer->declared = end;
    return TENEBRA_OK;
}

tenebra_code tn_writer_declare(tn_writer *writer, const char *name, tn_store_type type, size_t rank,
                               const size_t *shape, tenebra_error *error)
{
    if (writer->failure.code == TENEBRA_OK)
        add_tensor(writer, name, type, rank, shape);
    return failed(writer, error);
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

/* Makes the partial file under a name that nobody has; its mode follows the umask. */
static tenebra_code make_partial(tn_writer *writer)
{
    size_t length = strlen(writer->path) + 64;
    writer->partial = malloc(length);
    if (writer->partial == NULL)
        return tn_fail(&writer->failure, TENEBRA_ERROR_MEMORY, writer->path, "no memory for a path");
    tn_output_sweep(writer->path);
    for (int number = 0; writer->descriptor < 0 && number < NAMES_TRIED; number++) {
        snprintf(writer->partial, length, "%s.partial-%ld-%d", writer->path, (long)getpid(), number);
        writer->descriptor = open(writer->partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (writer->descriptor < 0 && errno != EEXIST)
            break;
    }
    if (writer->descriptor >= 0)
        return TENEBRA_OK;
    fail_system(writer, "created");
    free(writer->partial); /* not ours: it must not be removed */
    writer->partial = NULL;
    return writer->failure.code;
}

static tenebra_code put_bytes(tn_writer *writer, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    tn_hash_add(&writer->hash, data, size);
    while (size > 0) {
        ssize_t count = write(writer->descriptor, bytes, tn_min(size, WRITE_MAX));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return fail_system(writer, "written");
        bytes += count;
        size -= (size_t)count;
    }
    return TENEBRA_OK;
}

/* Length and JSON, padded so that the data starts at a multiple of ALIGNMENT. */
static tenebra_code put_header(tn_writer *writer)
{
    char spaces[ALIGNMENT], zeros[TN_STORE_SEAL_TEXT];
    memset(spaces, ' ', sizeof spaces);
    char *text = json_dumps(writer->header, JSON_COMPACT);
    if (text == NULL)
        return tn_fail(&writer->failure, TENEBRA_ERROR_MEMORY, writer->path, "no memory for the header");
    size_t length = strlen(text), padding = (ALIGNMENT - (PREFIX + length) % ALIGNMENT) % ALIGNMENT;
    unsigned char prefix[PREFIX];
    for (size_t i = 0; i < sizeof prefix; i++)
        prefix[i] = (unsigned char)((uint64_t)(length + padding) >> (8 * i));
    if (length + padding > TN_SAFETENSORS_HEADER_MAX)
        tn_fail(&writer->failure, TENEBRA_ERROR_LIMIT, writer->path,
                "would need a header of %zu bytes, more than %d", length + padding,
                TN_SAFETENSORS_HEADER_MAX);
    else if (put_bytes(writer, prefix, sizeof prefix) == TENEBRA_OK &&
             put_bytes(writer, text, length) == TENEBRA_OK)
        put_bytes(writer, spaces, padding);
    tn_store_seal_print(NULL, zeros);
    writer->digits = PREFIX + (size_t)(tn_store_seal_find(text, length, zeros) - text);
    free(text);
    return writer->failure.code;
}

/* Better said now than after writing the disk full. File systems that count no blocks are trusted. */
static tenebra_code check_room(tn_writer *writer)
{
    struct statvfs info;
    size_t room;
    if (fstatvfs(writer->descriptor, &info) != 0 || info.f_blocks == 0 ||
        !tn_size_mul(info.f_bavail, info.f_frsize, &room) || room >= writer->declared)
        return TENEBRA_OK;
    return tn_fail(&writer->failure, TENEBRA_ERROR_IO, writer->path,
                   "needs %zu bytes, but only %zu are free on its disk", writer->declared, room);
}

static tenebra_code start(tn_writer *writer)
{
    char zeros[TN_STORE_SEAL_TEXT];
    tn_store_seal_print(NULL, zeros);
    TN_TRY(add_metadata(writer, TN_STORE_SEAL_KEY, zeros));
    writer->started = true;
    tn_hash_start(&writer->hash);
    if (json_object_set(writer->header, TN_SAFETENSORS_METADATA, writer->metadata) != 0)
        return tn_fail(&writer->failure, TENEBRA_ERROR_MEMORY, writer->path, "no memory for the metadata");
    TN_TRY(make_partial(writer));
    TN_TRY(check_room(writer));
    return put_header(writer);
}

static tenebra_code add_data(tn_writer *writer, const void *data, size_t size)
{
    if (size > writer->declared - writer->written)
        return tn_fail(&writer->failure, TENEBRA_ERROR_ARGUMENT, writer->path,
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
    if (writer->failure.code == TENEBRA_OK)
        add_data(writer, data, size);
    return failed(writer, error);
}

size_t tn_writer_missing(const tn_writer *writer)
{
    return writer->declared - writer->written;
}

/* ------------------------------------------------------------ finishing -- */

/* A rename lasts only when its directory is on the disk too. Some file systems cannot sync a
 * directory and say EINVAL; their renames are as safe as they get. */
static tenebra_code sync_directory(tn_writer *writer)
{
    char *directory = strdup(writer->path);
    if (directory == NULL)
        return tn_fail(&writer->failure, TENEBRA_ERROR_MEMORY, writer->path, "no memory for a path");
    char *slash = strrchr(directory, '/');
    if (slash != NULL)
        slash[slash == directory] = '\0';
    int descriptor = open(slash ? directory : ".", O_RDONLY | O_CLOEXEC);
    free(directory);
    if (descriptor < 0)
        return TENEBRA_OK; /* a directory that may be written but not read */
    if (fsync(descriptor) != 0 && errno != EINVAL)
        fail_system(writer, "made durable");
    close(descriptor);
    return writer->failure.code;
}

/* The digest of all bytes, over the zeros that held its place. */
static tenebra_code put_digest(tn_writer *writer)
{
    char text[TN_STORE_SEAL_TEXT];
    const char *digits = text + strlen(TN_STORE_SEAL_FRONT);
    tn_digest digest = tn_hash_finish(&writer->hash);
    tn_store_seal_print(&digest, text);
    for (size_t done = 0; done < TN_STORE_SEAL_DIGITS;) {
        ssize_t count = pwrite(writer->descriptor, digits + done, TN_STORE_SEAL_DIGITS - done, (off_t)(writer->digits + done));
        if (count < 0 && errno != EINTR)
            return fail_system(writer, "written");
        done += count > 0 ? (size_t)count : 0;
    }
    return TENEBRA_OK;
}

static tenebra_code put_in_place(tn_writer *writer)
{
    if (writer->finished)
        return tn_fail(&writer->failure, TENEBRA_ERROR_ARGUMENT, writer->path, "is already finished");
    if (writer->written != writer->declared)
        return tn_fail(&writer->failure, TENEBRA_ERROR_ARGUMENT, writer->path,
                       "%zu bytes of the declared tensors were not written", tn_writer_missing(writer));
    if (!writer->started)
        TN_TRY(start(writer));
    TN_TRY(put_digest(writer));
    if (fsync(writer->descriptor) != 0)
        return fail_system(writer, "written");
    int descriptor = writer->descriptor;
    writer->descriptor = -1;
    if (close(descriptor) != 0)
        return fail_system(writer, "written");
    if (rename(writer->partial, writer->path) != 0)
        return fail_system(writer, "put in place");
    free(writer->partial);
    writer->partial = NULL;
    writer->finished = true;
    return sync_directory(writer);
}

tenebra_code tn_writer_finish(tn_writer *writer, tenebra_error *error)
{
    if (writer->failure.code == TENEBRA_OK)
        put_in_place(writer);
    return failed(writer, error);
}

void tn_writer_close(tn_writer *writer)
{
    if (writer == NULL)
        return;
    if (writer->descriptor >= 0)
        close(writer->descriptor);
    if (writer->partial != NULL)
        unlink(writer->partial);
    json_decref(writer->header);
    json_decref(writer->metadata);
    free(writer->partial);
    free(writer->path);
    free(writer);
}
