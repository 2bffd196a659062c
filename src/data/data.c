/* An open split: adds rows, leaves samples out, checks them; and the list of data sets. */
#include "base/checked.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/nearest.h"
#include "data/dataset.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------- sets -- */

const tn_dataset *tn_dataset_find(const char *name, size_t length)
{
    for (const tn_dataset *const *set = tn_datasets; *set != NULL; set++)
        if (strlen((*set)->name) == length && memcmp((*set)->name, name, length) == 0)
            return *set;
    return NULL;
}

const tn_dataset_split *tn_dataset_split_find(const tn_dataset *set, const char *name)
{
    for (const tn_dataset_split *split = set->splits; split->name != NULL; split++) {
        if (strcmp(split->name, name) == 0)
            return split;
        for (size_t i = 0; i < 3 && split->aliases[i] != NULL; i++)
            if (strcmp(split->aliases[i], name) == 0)
                return split;
    }
    return NULL;
}

const char *tn_dataset_name_at(size_t index, const char **summary)
{
    for (size_t i = 0; i <= index; i++)
        if (tn_datasets[i] == NULL)
            return NULL;
    if (summary != NULL)
        *summary = tn_datasets[index]->summary;
    return tn_datasets[index]->name;
}

/* "a, b, c" for an error. */
static void list_names(char *text, size_t size, const tn_dataset *set)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; set != NULL ? set->splits[i].name != NULL : tn_datasets[i] != NULL; i++) {
        int length = snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "",
                              set != NULL ? set->splits[i].name : tn_datasets[i]->name);
        if (length < 0 || (size_t)length >= size - used)
            return;
        used += (size_t)length;
    }
}

/* ----------------------------------------------------- opening, closing -- */

tenebra_code tn_data_new(const tn_dataset *set, const char *directory, const char *split, const tn_data_options *options,
                         tn_data **made, tenebra_error *error)
{
    const tn_dataset_split *found = tn_dataset_split_find(set, split);
    *made = NULL;
    if (found == NULL) {
        char names[160];
        tn_nearest nearest = tn_nearest_of(split, strlen(split));
        list_names(names, sizeof names, set);
        for (size_t i = 0; set->splits[i].name != NULL; i++)
            tn_nearest_try(&nearest, set->splits[i].name);
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, set->name, "has no split '%.40s'; choose one of %s%s", split, names,
                       tn_nearest_hint(&nearest));
    }
    tn_data *data = calloc(1, sizeof *data);
    if (data != NULL)
        data->directory = strdup(directory);
    if (data == NULL || data->directory == NULL) {
        tn_data_close(data);
        return tn_fail_memory(error, directory);
    }
    data->set = set;
    data->split = found;
    data->options = options != NULL ? *options : (tn_data_options){ 0 };
    data->options.without_images |= set->without_images;
    if (data->options.part == TN_PART_OF_SPLIT) {
        data->options.part = found->part;
        data->options.held_out = TN_DATA_HELD_OUT;
    }
    *made = data;
    return TENEBRA_OK;
}

static tenebra_code read_set(tn_data *data, const char *file, tenebra_error *error)
{
    if (data->set->in_file && (data->file = strdup(file)) == NULL)
        return tn_fail_memory(error, file);
    TN_TRY(data->set->read(data, error));
    return tn_data_seal(data, error);
}

tenebra_code tn_dataset_choose(const char *place, const tn_dataset **set, const char **target, tenebra_error *error)
{
    const char *colon = strchr(place, ':');
    *set = colon != NULL && colon[1] != '\0' ? tn_dataset_find(place, (size_t)(colon - place)) : NULL;
    *target = *set != NULL ? colon + 1 : NULL;
    if (*set != NULL)
        return TENEBRA_OK;
    char names[160];
    tn_nearest nearest = tn_nearest_of(place, strcspn(place, ":"));
    list_names(names, sizeof names, NULL);
    for (size_t i = 0; tn_datasets[i] != NULL; i++)
        tn_nearest_try(&nearest, tn_datasets[i]->name);
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, place, "names no data set: write NAME:DIRECTORY with one of %s%s", names,
                   tn_nearest_hint(&nearest));
}

tenebra_code tn_data_open(const char *place, const char *split, const tn_data_options *options, tn_data **data, tenebra_error *error)
{
    const tn_dataset *set;
    const char *target;
    tn_path directory;
    *data = NULL;
    TN_TRY(tn_dataset_choose(place, &set, &target, error));
    const char *slash = strrchr(target, '/');
    if (!(set->in_file ? tn_path_is_file(target) : tn_path_is_directory(target)))
        return tn_fail(error, TENEBRA_ERROR_IO, target, set->in_file ? "is not a file" : "is not a directory");
    if (!set->in_file)
        TN_TRY(tn_path_print(&directory, error, "%s", target));
    else if (slash == NULL) /* that of the file */
        TN_TRY(tn_path_print(&directory, error, "."));
    else
        TN_TRY(tn_path_print(&directory, error, "%.*s", (int)(slash == target ? 1 : slash - target), target));
    TN_TRY(tn_data_new(set, directory.text, split, options, data, error));
    tenebra_code code = read_set(*data, target, error);
    if (code != TENEBRA_OK) {
        tn_data_close(*data);
        *data = NULL;
    }
    return code;
}

void tn_data_close(tn_data *data)
{
    if (data == NULL)
        return;
    tn_strings_free(&data->strings);
    json_decref(data->unknown);
    free(data->samples);
    free(data->directory);
    free(data->file);
    free(data);
}

size_t tn_data_count(const tn_data *data) { return data->count; }
const tn_sample *tn_data_sample(const tn_data *data, size_t index) { return &data->samples[index]; }
size_t tn_data_rows(const tn_data *data) { return data->rows; }
size_t tn_data_eligible(const tn_data *data) { return data->eligible; }
const char *tn_data_rows_of(const tn_data *data) { return data->split->of != NULL ? data->split->of : data->split->name; }
size_t tn_data_rows_with_image(const tn_data *data) { return data->rows_with_image; }
const char *tn_data_name(const tn_data *data) { return data->set->name; }

const tn_prompt_preset *tn_data_prompt(const tn_data *data)
{
    return data->set->prompt != NULL ? tn_prompt_find(data->set->prompt) : tn_prompt_standard();
}

void tn_made_free(tn_made *made)
{
    tn_strings_free(&made->strings);
    free(made->pixels);
    *made = (tn_made){ 0 };
}

/* ---------------------------------------------------------------- notes -- */

tenebra_code tn_data_fields(tn_data *data, const json_t *row, const char *const *known, tenebra_error *error)
{
    enum { KEPT = 64 };
    for (void *at = json_object_iter((json_t *)(uintptr_t)row); at != NULL;
         at = json_object_iter_next((json_t *)(uintptr_t)row, at)) {
        const char *name = json_object_iter_key(at);
        if (tn_json_is_known(name, known) || json_object_get(data->unknown, name) != NULL ||
            json_object_size(data->unknown) >= KEPT)
            continue;
        if (data->unknown == NULL)
            data->unknown = json_object();
        if (json_object_set_new(data->unknown, name, json_null()) != 0)
            return tn_fail(error, TENEBRA_ERROR_MEMORY, data->directory, "no memory for the names of fields");
    }
    return TENEBRA_OK;
}

const char *tn_data_note(const tn_data *data, char text[TN_DATA_NOTE])
{
    const char *place = data->file != NULL ? data->file : data->directory;
    text[0] = '\0';
    if (data->remark != NULL)
        snprintf(text, TN_DATA_NOTE, "%.120s: %.160s%s", place, data->remark, data->unknown != NULL ? "; " : "");
    if (data->unknown == NULL)
        return text;
    size_t used = strlen(text);
    if (used == 0)
        used = (size_t)snprintf(text, TN_DATA_NOTE, "%.120s: ", place);
    snprintf(text + used, TN_DATA_NOTE - used, "unused fields in its rows: ");
    char *list = text + strlen(text);
    tn_json_unknown(data->unknown, (const char *const[]){ NULL }, list, (size_t)(text + TN_DATA_NOTE - list));
    return text;
}

/* --------------------------------------------------------------- adding -- */

static tenebra_code check_sample(const tn_sample *sample, const char *where, tenebra_error *error)
{
    if (sample->id == NULL || sample->id[0] == '\0')
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "the row has no \"id\"");
    if (sample->question == NULL || sample->question[0] == '\0')
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "the row has no \"question\"");
    if (sample->option_count > 0 && sample->answer >= sample->option_count)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "the answer is number %zu of %zu options",
                       sample->answer + 1, sample->option_count);
    return TENEBRA_OK;
}

static void fill_empty(tn_sample *sample)
{
    const char **texts[] = { &sample->context,  &sample->label,   &sample->rationale, &sample->lecture,
                             &sample->solution, &sample->split,   &sample->domain,    &sample->topic,
                             &sample->category, &sample->subject, &sample->grade,     &sample->skill,
                             &sample->task };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (*texts[i] == NULL)
            *texts[i] = "";
}

/* The last two parts of a path. They do not change if a data set is moved. */
static const char *last_parts(const char *path)
{
    const char *at = path + strlen(path);
    for (int parts = 0; at > path; at--)
        if (at[-1] == '/' && ++parts == 2)
            break;
    return at;
}

/* The place of a sample in 0..1, the same in every version: the first 53 bits of BLAKE2b-256 over "held out", a zero
 * byte, and the name of its image. */
static double position_of(const tn_sample *sample)
{
    static const char purpose[] = "held out";
    const char *name = sample->image_count > 0 ? last_parts(sample->images[0]) : sample->id;
    tn_hash hash;
    tn_hash_start(&hash);
    tn_hash_add(&hash, purpose, sizeof purpose);
    tn_hash_add(&hash, name, strlen(name));
    return (double)(tn_hash_finish(&hash).words[0] >> 11) * 0x1p-53;
}

static bool is_of_part(const tn_data_options *options, const tn_sample *sample)
{
    bool parted = options->part == TN_PART_KEPT || options->part == TN_PART_HELD;
    return !parted || (position_of(sample) < options->held_out) == (options->part == TN_PART_HELD);
}

tenebra_code tn_data_add(tn_data *data, const tn_sample *sample, const char *where, tenebra_error *error)
{
    TN_TRY(check_sample(sample, where, error));
    data->rows++;
    data->rows_with_image += sample->image_count > 0;
    if (sample->image_count == 0 && !data->options.without_images)
        return TENEBRA_OK;
    if (!is_of_part(&data->options, sample))
        return TENEBRA_OK;
    data->eligible++;
    if (!tn_is_listed(data->options.topics, sample->topic != NULL ? sample->topic : ""))
        return TENEBRA_OK;
    if (data->options.limit > 0 && data->count >= data->options.limit)
        return TENEBRA_OK;
    TN_TRY(TN_GROW(data->samples, data->count, where, error));
    data->samples[data->count] = *sample;
    data->samples[data->count].split = data->split->name;
    fill_empty(&data->samples[data->count++]);
    return TENEBRA_OK;
}

static int compare_ids(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;
    return strcmp(*left, *right);
}

tenebra_code tn_data_seal(tn_data *data, tenebra_error *error)
{
    const char **ids = malloc((data->count + 1) * sizeof *ids);
    if (ids == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, data->directory, "no memory to compare %zu ids", data->count);
    for (size_t i = 0; i < data->count; i++)
        ids[i] = data->samples[i].id;
    qsort(ids, data->count, sizeof *ids, compare_ids);
    tenebra_code code = TENEBRA_OK;
    for (size_t i = 1; i < data->count && code == TENEBRA_OK; i++)
        if (strcmp(ids[i - 1], ids[i]) == 0)
            code = tn_fail(error, TENEBRA_ERROR_FORMAT, data->file != NULL ? data->file : data->directory,
                           "the id '%.80s' occurs twice in split %s", ids[i], data->split->name);
    free(ids);
    return code;
}
