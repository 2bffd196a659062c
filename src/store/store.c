#include "store/store.h"

#include "base/checked.h"
#include "base/file.h"
#include "store/format.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { INDEX_BYTES_MAX = 64 << 20, FILES_MAX = 4096 };

typedef struct member {
    char *path;
    tn_file file;
    tn_contents content;
} member;

struct tn_store {
    member *members;
    size_t member_count;
    const tn_stored **tensors; /* of all members                                            */
    size_t count;
    size_t bytes;
    json_t *places;            /* name -> place in `tensors`; jansson's hashing is seeded,
                                * so a file cannot choose names that collide                */
    json_t *config;            /* the model's configuration from all files; NULL: none */
    tn_notes notes;
};

static const char *file_name(const member *file)
{
    const char *slash = strrchr(file->path, '/');
    return slash ? slash + 1 : file->path;
}

/* Takes ownership of `path`, also on failure. */
static tenebra_code add_file(tn_store *store, char *path, tenebra_error *error)
{
    if (path == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, NULL, "no memory for a path");
    member *file = &store->members[store->member_count++];
    file->path = path;
    TN_TRY(tn_file_map(&file->file, path, error));
    tenebra_code code = tn_contents_open(&file->content, file->file.data, file->file.size, path, error);
    tn_notes_append(&store->notes, &file->content.notes);
    TN_TRY(tn_file_check(&file->file, path, error)); /* this may be the cause of invalid contents */
    return code;
}

static tenebra_code reserve_files(tn_store *store, size_t count, tenebra_error *error)
{
    store->members = calloc(tn_max(count, 1), sizeof *store->members);
    if (store->members == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, NULL, "no memory for %zu files", count);
    return TENEBRA_OK;
}

/* The file of tensor `place`. */
static const member *owner_of(const tn_store *store, size_t place)
{
    size_t i = 0;
    while (place >= store->members[i].content.count)
        place -= store->members[i++].content.count;
    return &store->members[i];
}

static tenebra_code add_tensor(tn_store *store, const member *file, const tn_stored *tensor,
                               tenebra_error *error)
{
    const json_t *known = json_object_get(store->places, tensor->name);
    if (known != NULL)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, file->path,
                       "tensor \"%s\" is also in %.100s", tensor->name,
                       file_name(owner_of(store, (size_t)json_integer_value(known))));
    json_t *place = json_integer((json_int_t)store->count);
    if (json_object_set_new_nocheck(store->places, tensor->name, place) != 0)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, file->path, "no memory for the list of tensors");
    store->tensors[store->count++] = tensor;
    store->bytes += tensor->bytes;
    return TENEBRA_OK;
}

/* Lists the tensors of all files; a name in two files is an error. */
static tenebra_code list_tensors(tn_store *store, tenebra_error *error)
{
    size_t total = 0;
    for (size_t i = 0; i < store->member_count; i++)
        total += store->members[i].content.count;
    store->tensors = calloc(tn_max(total, 1), sizeof *store->tensors);
    store->places = json_object();
    if (store->tensors == NULL || store->places == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, NULL, "no memory for %zu tensors", total);
    for (size_t i = 0; i < store->member_count; i++) {
        const member *file = &store->members[i];
        for (size_t k = 0; k < file->content.count; k++)
            TN_TRY(add_tensor(store, file, &file->content.tensors[k], error));
    }
    return TENEBRA_OK;
}

/* ---------------------------------------------------------------- index -- */

static bool is_plain_file_name(const json_t *value)
{
    const char *name = json_string_value(value);
    return name != NULL && name[0] != '\0' && strlen(name) == json_string_length(value) &&
           strchr(name, '/') == NULL && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int compare_names(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;
    return strcmp(*left, *right);
}

/* The distinct file names of a weight map, sorted; the caller frees the array, the strings are borrowed. */
static tenebra_code list_shards(json_t *map, const char *path, const char ***shards, size_t *count,
                                tenebra_error *error)
{
    const char **names = calloc(tn_max(json_object_size(map), 1), sizeof *names);
    *shards = names;
    *count = 0;
    if (names == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, path, "no memory for %zu names", json_object_size(map));
    const char *tensor;
    json_t *value;
    size_t used = 0;
    json_object_foreach(map, tensor, value) {
        if (!is_plain_file_name(value))
            return tn_fail(error, TENEBRA_ERROR_FORMAT, path,
                           "tensor \"%.200s\" is not mapped to a file name of this directory", tensor);
        names[used++] = json_string_value(value);
    }
    qsort(names, used, sizeof *names, compare_names);
    for (size_t i = 0; i < used; i++)
        if (i == 0 || strcmp(names[i], names[*count - 1]) != 0)
            names[(*count)++] = names[i];
    if (*count > FILES_MAX)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, path, "names %zu files, more than %d", *count, FILES_MAX);
    return TENEBRA_OK;
}

static tenebra_code add_files(tn_store *store, const char *directory, const char *const *names, size_t count, tenebra_error *error)
{
    TN_TRY(reserve_files(store, count, error));
    for (size_t i = 0; i < count; i++)
        TN_TRY(add_file(store, tn_path_join(directory, names[i]), error));
    return list_tensors(store, error);
}

static tenebra_code open_shards(tn_store *store, const char *directory, json_t *map, const char *path,
                                tenebra_error *error)
{
    const char **shards;
    size_t count;
    tenebra_code code = list_shards(map, path, &shards, &count, error);
    if (code == TENEBRA_OK)
        code = add_files(store, directory, shards, count, error);
    free(shards);
    return code;
}

/* Checks that every tensor is where the index says, and that there are no others. */
static tenebra_code compare_with_index(const tn_store *store, json_t *map, const char *path,
                                       tenebra_error *error)
{
    const char *name;
    json_t *value;
    json_object_foreach(map, name, value) {
        const char *shard = json_string_value(value);
        const json_t *place = json_object_get(store->places, name);
        if (place == NULL)
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, path, "tensor \"%.200s\" is missing from %.100s",
                           name, shard);
        const char *found = file_name(owner_of(store, (size_t)json_integer_value(place)));
        if (strcmp(found, shard) != 0)
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, path,
                           "tensor \"%.200s\" is in %.100s, not in %.100s", name, found, shard);
    }
    for (size_t i = 0; i < store->count; i++)
        if (json_object_get(map, store->tensors[i]->name) == NULL)
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, path,
                           "tensor \"%s\" of %.100s is not in the index", store->tensors[i]->name,
                           file_name(owner_of(store, i)));
    return TENEBRA_OK;
}

static tenebra_code open_indexed(tn_store *store, const char *directory, const char *name, tenebra_error *error)
{
    /* The keys of Hugging Face's writers; their metadata has sums that nothing depends on. */
    static const char *const known[] = { "weight_map", "metadata", NULL };
    json_t *index;
    TN_TRY(tn_json_read_object(directory, name, INDEX_BYTES_MAX, true, &index, error));
    json_t *map = json_object_get(index, "weight_map");
    tn_path path = { "" };
    tenebra_code code = tn_path_print(&path, error, "%s/%s", directory, name);
    if (code == TENEBRA_OK && !json_is_object(map))
        code = tn_fail(error, TENEBRA_ERROR_FORMAT, path.text, "has no object \"weight_map\"");
    if (code == TENEBRA_OK)
        code = open_shards(store, directory, map, path.text, error);
    if (code == TENEBRA_OK)
        code = compare_with_index(store, map, path.text, error);
    tn_notes_unknown(&store->notes, index, known, name, NULL);
    json_decref(index);
    return code;
}

/* -------------------------------------------------------------- opening -- */

static tenebra_code open_single(tn_store *store, const char *path, tenebra_error *error)
{
    TN_TRY(reserve_files(store, 1, error));
    TN_TRY(add_file(store, strdup(path), error));
    return list_tensors(store, error);
}

typedef struct name_list {
    char **items; /* [count], sorted */
    size_t count;
} name_list;

static void free_names(name_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
}

/* The files of a directory whose names match `pattern`. */
static tenebra_code find_files(const char *directory, const char *pattern, name_list *list, tenebra_error *error)
{
    DIR *entries = opendir(directory);
    if (entries == NULL)
        return tn_fail(error, TENEBRA_ERROR_IO, directory, "cannot be read: %s", strerror(errno));
    tenebra_code code = TENEBRA_OK;
    for (const struct dirent *entry; code == TENEBRA_OK && (entry = readdir(entries)) != NULL;) {
        struct stat info;
        if (fnmatch(pattern, entry->d_name, 0) != 0 || fstatat(dirfd(entries), entry->d_name, &info, 0) != 0 || !S_ISREG(info.st_mode))
            continue;
        if (list->count == FILES_MAX) {
            code = tn_fail(error, TENEBRA_ERROR_LIMIT, directory, "contains more than %d files called %s", FILES_MAX, pattern);
            break;
        }
        code = TN_GROW(list->items, list->count, directory, error);
        if (code == TENEBRA_OK && (list->items[list->count] = strdup(entry->d_name)) == NULL)
            code = tn_fail_memory(error, directory);
        list->count += code == TENEBRA_OK;
    }
    closedir(entries);
    if (list->count > 0)
        qsort(list->items, list->count, sizeof *list->items, compare_names);
    return code;
}

static void note_unused(tn_store *store, const name_list *files)
{
    for (size_t i = 0; i < files->count; i++)
        tn_notes_add(&store->notes, files->items[i], "all of it");
}

/* The files of the first pattern that has any; those of other patterns are noted. */
static tenebra_code find_weights(tn_store *store, const char *directory, const tn_format *format, name_list *weights, tenebra_error *error)
{
    for (size_t i = 0; i < TN_FORMAT_NAMES && format->weights[i] != NULL; i++) {
        name_list more = { 0 };
        tenebra_code code = find_files(directory, format->weights[i], weights->count > 0 ? &more : weights, error);
        note_unused(store, &more);
        free_names(&more);
        TN_TRY(code);
    }
    return TENEBRA_OK;
}

/* Opens the files of one format. If files of another format are already open, or an index is not needed, this is noted. */
static tenebra_code open_format(tn_store *store, const char *directory, const tn_format *format, tenebra_error *error)
{
    name_list weights = { 0 }, index = { 0 };
    bool open = store->members != NULL;
    tenebra_code code = find_weights(store, directory, format, &weights, error);
    if (code == TENEBRA_OK && format->index != NULL)
        code = find_files(directory, format->index, &index, error);
    if (open)
        note_unused(store, &weights);
    else if (code == TENEBRA_OK && weights.count > 0)
        code = add_files(store, directory, (const char *const *)weights.items, weights.count, error);
    if (open || weights.count > 0)
        note_unused(store, &index);
    else if (code == TENEBRA_OK && index.count > 0)
        code = open_indexed(store, directory, index.items[0], error);
    free_names(&weights);
    free_names(&index);
    return code;
}

/* The names of the files that a directory of a model may contain. */
static void list_wanted(char *text, size_t size)
{
    size_t used = 0;
    for (const tn_format *const *each = tn_formats; *each != NULL; each++)
        for (size_t i = 0; i <= TN_FORMAT_NAMES; i++) {
            const char *name = i < TN_FORMAT_NAMES ? (*each)->weights[i] : (*each)->index;
            if (name != NULL && used < size)
                used += (size_t)snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "", name);
        }
}

static tenebra_code open_directory(tn_store *store, const char *directory, tenebra_error *error)
{
    char wanted[400] = "";
    for (const tn_format *const *each = tn_formats; *each != NULL; each++)
        TN_TRY(open_format(store, directory, *each, error));
    list_wanted(wanted, sizeof wanted);
    return store->members != NULL ? TENEBRA_OK
                                  : tn_fail(error, TENEBRA_ERROR_IO, directory, "contains no weights; they would be in one of "
                                                                                "%s", wanted);
}

/* Merges the configurations of several files of one model; for a repeated key the first file counts. */
static tenebra_code join_configs(tn_store *store, tenebra_error *error)
{
    for (size_t i = 0; i < store->member_count; i++) {
        json_t *config = store->members[i].content.config;
        if (config != NULL && store->config == NULL)
            store->config = json_incref(config);
        else if (config != NULL && json_object_update_missing(store->config, config) != 0)
            return tn_fail(error, TENEBRA_ERROR_MEMORY, store->members[i].path, "no memory for its configuration");
    }
    return TENEBRA_OK;
}

tenebra_code tn_store_open(const char *path, tn_store **opened, tenebra_error *error)
{
    tn_store *store = *opened = calloc(1, sizeof *store);
    if (store == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, path, "no memory");
    tenebra_code code = tn_path_is_directory(path) ? open_directory(store, path, error) : open_single(store, path, error);
    if (code == TENEBRA_OK)
        code = join_configs(store, error);
    if (code != TENEBRA_OK) {
        tn_store_close(store);
        *opened = NULL;
    }
    return code;
}

void tn_store_close(tn_store *store)
{
    if (store == NULL)
        return;
    for (size_t i = 0; i < store->member_count; i++) {
        tn_contents_close(&store->members[i].content);
        tn_file_close(&store->members[i].file);
        free(store->members[i].path);
    }
    json_decref(store->places);
    json_decref(store->config);
    free(store->tensors);
    free(store->members);
    free(store);
}

/* -------------------------------------------------------------- reading -- */

const tn_stored *tn_store_find(const tn_store *store, const char *name)
{
    const json_t *place = json_object_get(store->places, name);
    return place ? store->tensors[json_integer_value(place)] : NULL;
}

size_t tn_store_count(const tn_store *store)
{
    return store->count;
}

const tn_stored *tn_store_at(const tn_store *store, size_t index)
{
    return store->tensors[index];
}

size_t tn_store_bytes(const tn_store *store)
{
    return store->bytes;
}

tenebra_code tn_store_check(const tn_store *store, tenebra_error *error)
{
    for (size_t i = 0; i < store->member_count; i++)
        TN_TRY(tn_file_check(&store->members[i].file, store->members[i].path, error));
    return TENEBRA_OK;
}

size_t tn_store_file_count(const tn_store *store)
{
    return store->member_count;
}

const char *tn_store_file_path(const tn_store *store, size_t index)
{
    return store->members[index].path;
}

const json_t *tn_store_config(const tn_store *store)
{
    return store->config;
}

const tn_notes *tn_store_notes(const tn_store *store)
{
    return &store->notes;
}

const char *tn_store_metadata(const tn_store *store, size_t index, const char *key)
{
    return tn_contents_metadata(&store->members[index].content, key);
}

tenebra_code tn_store_verify_file(const tn_store *store, size_t index, bool *sealed, tenebra_error *error)
{
    const member *file = &store->members[index];
    const tn_format *format = file->content.format;
    *sealed = false;
    tenebra_code code = format->verify != NULL ? format->verify(&file->content, file->path, sealed, error) : TENEBRA_OK;
    tenebra_code cut = tn_file_check(&file->file, file->path, error); /* changed while it was read */
    return cut != TENEBRA_OK ? cut : code;
}

tenebra_code tn_store_verify(const tn_store *store, tenebra_error *error)
{
    bool sealed;
    for (size_t i = 0; i < store->member_count; i++)
        TN_TRY(tn_store_verify_file(store, i, &sealed, error));
    return TENEBRA_OK;
}

tenebra_code tn_store_verify_files(const tn_store *store, tenebra_error *error)
{
    bool sealed;
    for (size_t i = 0; i < store->member_count; i++)
        if (store->members[i].content.format->verify_tensor == NULL)
            TN_TRY(tn_store_verify_file(store, i, &sealed, error));
    return TENEBRA_OK;
}

tenebra_code tn_store_leave(const tn_store *store, const tn_stored *tensor, tenebra_error *error)
{
    size_t i = 0;
    while (tensor < store->members[i].content.tensors || tensor >= store->members[i].content.tensors + store->members[i].content.count)
        i++;
    const member *file = &store->members[i];
    tenebra_code code = TENEBRA_OK;
    if (file->content.format->verify_tensor != NULL)
        code = file->content.format->verify_tensor(&file->content, tensor, file->path, error);
    tn_file_forget(&file->file, tensor->data, tensor->bytes);
    return code;
}

static tenebra_code read_values(const tn_store *store, const char *name, tn_store_type type,
                                void *values, size_t count, tenebra_error *error)
{
    const tn_stored *tensor = tn_store_find(store, name);
    const char *where = store->members[0].path;
    if (tensor == NULL)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, where, "has no tensor \"%.200s\"", name);
    if (tensor->type != type)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, where, "tensor \"%s\" is of type %s, not %s", name,
                       tn_store_type_of(tensor->type)->name, tn_store_type_of(type)->name);
    if (tensor->elements != count)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, where, "tensor \"%s\" has %zu values, not %zu", name,
                       tensor->elements, count);
    if (count > 0)
        memcpy(values, tensor->data, tensor->bytes);
    return tn_store_check(store, error);
}

tenebra_code tn_store_read_f32(const tn_store *store, const char *name, float *values,
                               size_t count, tenebra_error *error)
{
    return read_values(store, name, TN_STORE_F32, values, count, error);
}

tenebra_code tn_store_read_i64(const tn_store *store, const char *name, int64_t *values,
                               size_t count, tenebra_error *error)
{
    return read_values(store, name, TN_STORE_I64, values, count, error);
}

tenebra_code tn_store_read_u8(const tn_store *store, const char *name, uint8_t *values,
                              size_t count, tenebra_error *error)
{
    return read_values(store, name, TN_STORE_U8, values, count, error);
}
