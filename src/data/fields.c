/* Fields that the readers of all data sets use: texts, options, images. */
#include "base/file.h"
#include "data/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tenebra_code fail_memory(const char *where, tenebra_error *error)
{
    return tn_fail(error, TENEBRA_ERROR_MEMORY, where, "no memory for the row");
}

static tenebra_code copy_string(tn_data *data, const json_t *value, const char *key, const char **out,
                                const char *where, tenebra_error *error)
{
    if (!json_is_string(value))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "\"%s\" must be a text", key);
    size_t length = json_string_length(value);
    if (memchr(json_string_value(value), '\0', length) != NULL)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "\"%s\" contains a zero byte", key);
    *out = tn_strings_copy(&data->strings, json_string_value(value), length);
    return *out != NULL ? TENEBRA_OK : fail_memory(where, error);
}

tenebra_code tn_data_text(tn_data *data, const json_t *row, const char *key, const char **out, const char *where,
                          tenebra_error *error)
{
    const json_t *value = json_object_get(row, key);
    *out = "";
    if (value == NULL || json_is_null(value))
        return TENEBRA_OK;
    return copy_string(data, value, key, out, where, error);
}

tenebra_code tn_data_choices(tn_data *data, const json_t *row, const char *key, tn_sample *sample,
                             const char *where, tenebra_error *error)
{
    const json_t *list = json_object_get(row, key);
    size_t count = json_array_size(list);
    bool texts = true;
    for (size_t i = 0; i < count; i++)
        texts = texts && json_is_string(json_array_get(list, i));
    if (!json_is_array(list) || count < 1 || count > TN_DATA_OPTIONS_MAX || !texts)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "\"%s\" must be a list of 1 to %d texts", key,
                       TN_DATA_OPTIONS_MAX);
    const char **options = tn_strings_take(&data->strings, count * sizeof *options);
    if (options == NULL)
        return fail_memory(where, error);
    for (size_t i = 0; i < count; i++)
        TN_TRY(copy_string(data, json_array_get(list, i), key, &options[i], where, error));
    sample->options = options;
    sample->option_count = count;
    return TENEBRA_OK;
}

/* ------------------------------------------------------------- pictures -- */

static bool leads_out(const char *path)
{
    for (const char *part = path; part != NULL; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0'))
            return true;
    }
    return false;
}

static bool is_absolute(const char *path)
{
    bool letter = (path[0] >= 'A' && path[0] <= 'Z') || (path[0] >= 'a' && path[0] <= 'z');
    return path[0] == '/' || (letter && path[1] == ':');
}

/* "directory/folder/name" in the data set's memory, NULL without memory; `folder` may be "". */
static char *join(tn_data *data, const char *folder, const char *name)
{
    size_t size = strlen(data->directory) + strlen(folder) + strlen(name) + 3;
    char *path = tn_strings_take(&data->strings, size);
    if (path != NULL)
        snprintf(path, size, "%s/%s%s%s", data->directory, folder, folder[0] != '\0' ? "/" : "", name);
    return path;
}

/* The first path at which the image is a file, otherwise the first path. */
static tenebra_code find_picture(tn_data *data, const char *name, const char *const *folders, const char **found,
                                 const char *where, tenebra_error *error)
{
    const char *last = strrchr(name, '/') != NULL ? strrchr(name, '/') + 1 : name;
    *found = NULL;
    if (!is_absolute(name)) {
        *found = join(data, "", name);
        if (*found == NULL)
            return fail_memory(where, error);
        if (tn_path_is_file(*found))
            return TENEBRA_OK;
    }
    for (size_t i = 0; folders[i] != NULL; i++) {
        char *path = join(data, folders[i], last);
        if (path == NULL)
            return fail_memory(where, error);
        if (*found == NULL || tn_path_is_file(path)) {
            *found = path;
            if (tn_path_is_file(path))
                return TENEBRA_OK;
        }
    }
    return TENEBRA_OK;
}

tenebra_code tn_data_picture(tn_data *data, const char *name, const char *const *folders, tn_sample *sample,
                             const char *where, tenebra_error *error)
{
    char *plain = tn_strings_copy(&data->strings, name, strlen(name));
    const char **list = tn_strings_take(&data->strings, sizeof *list);
    if (plain == NULL || list == NULL)
        return fail_memory(where, error);
    for (char *c = plain; *c != '\0'; c++)
        *c = *c == '\\' ? '/' : *c;
    size_t length = strlen(plain);
    if (leads_out(plain) || length == 0 || plain[length - 1] == '/')
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "the image '%.80s' is not a file inside the data set", name);
    TN_TRY(find_picture(data, plain, folders, &list[0], where, error));
    if (list[0] == NULL)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "the image '%.80s' is not a file inside the data set", name);
    sample->images = list;
    sample->image_count = 1;
    return TENEBRA_OK;
}

tenebra_code tn_data_locate(tn_data *data, const char *const *paths, const char **found, tenebra_error *error)
{
    for (size_t i = 0; paths[i] != NULL; i++) {
        char *path = join(data, "", paths[i]);
        if (path == NULL)
            return fail_memory(data->directory, error);
        if (tn_path_is_file(path)) {
            *found = path;
            return TENEBRA_OK;
        }
    }
    return tn_fail(error, TENEBRA_ERROR_IO, data->directory, "holds no %s", paths[0]);
}
