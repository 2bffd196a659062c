/* easy-VQA (Victor Zhou, 2019): {train,test}/questions.json, a list of [question, answer, number of the image], and
 * {train,test}/images/<number>.png. Questions are open; topics are kinds of questions. There is no dev split: a share
 * of train is held out, image by image. */
#include "base/file.h"
#include "data/dataset.h"

#include <stdio.h>
#include <string.h>

static const tn_dataset_split splits[] = {
    { .name = "train", .rows = { 38575 }, .part = TN_PART_KEPT },
    { .name = "dev", .aliases = { "val", "validation" }, .rows = { 38575 }, .of = "train", .part = TN_PART_HELD },
    { .name = "test", .rows = { 9673 } },
    { .name = "trainval", .rows = { 38575 }, .of = "train" },
    { 0 },
};

/* The topic: what the question asks for or, for yes or no, what it is about; the name of a shape is in the answer or in
 * the question. */
static const char *kind_of(const char *question, const char *answer)
{
    static const char *const shapes[] = { "circle", "rectangle", "triangle" };
    bool closed = strcmp(answer, "yes") == 0 || strcmp(answer, "no") == 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strstr(closed ? question : answer, shapes[i]) != NULL)
            return closed ? "yes-no-shape" : "shape";
    return closed ? "yes-no-colour" : "colour";
}

static const char *copy(tn_data *data, const json_t *value)
{
    const char *text = json_string_value(value);
    if (text == NULL || strlen(text) != json_string_length(value))
        return NULL;
    return tn_strings_copy(&data->strings, text, strlen(text));
}

static tenebra_code add_row(tn_data *data, const json_t *row, size_t number, const char *name, tenebra_error *error)
{
    static const char *const none[] = { NULL };
    char where[256], text[64];
    snprintf(where, sizeof where, "%.200s: row %zu", name, number);
    const json_t *image = json_array_get(row, 2);
    tn_sample sample = { .question = copy(data, json_array_get(row, 0)), .label = copy(data, json_array_get(row, 1)) };
    if (json_array_size(row) != 3 || sample.question == NULL || sample.label == NULL || sample.label[0] == '\0' ||
        !json_is_integer(image) || json_integer_value(image) < 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "must be [question, answer, number of the image]");
    snprintf(text, sizeof text, "%s-%zu", tn_data_rows_of(data), number);
    sample.id = tn_strings_copy(&data->strings, text, strlen(text));
    if (sample.id == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, where, "no memory for the row");
    sample.open = true;
    sample.domain = "shapes";
    sample.topic = sample.category = kind_of(sample.question, sample.label);
    snprintf(text, sizeof text, "%s/images/%lld.png", tn_data_rows_of(data), (long long)json_integer_value(image));
    TN_TRY(tn_data_picture(data, text, none, &sample, where, error));
    return tn_data_add(data, &sample, where, error);
}

static tenebra_code add_rows(tn_data *data, const json_t *list, const char *name, tenebra_error *error)
{
    if (!json_is_array(list))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "is not a list of questions");
    for (size_t i = 0; i < json_array_size(list); i++)
        TN_TRY(add_row(data, json_array_get(list, i), i, name, error));
    return TENEBRA_OK;
}

static tenebra_code parse(tn_data *data, const void *bytes, size_t length, const char *name, tenebra_error *error)
{
    json_t *list;
    TN_TRY(tn_json_parse(bytes, length, name, &list, error));
    tenebra_code code = add_rows(data, list, name, error);
    json_decref(list);
    return code;
}

static tenebra_code read(tn_data *data, tenebra_error *error)
{
    char name[64];
    const char *const paths[] = { name, NULL };
    const char *path;
    tn_file file;
    snprintf(name, sizeof name, "%s/questions.json", tn_data_rows_of(data));
    TN_TRY(tn_data_locate(data, paths, &path, error));
    TN_TRY(tn_file_read(&file, path, TN_DATA_FILE_LIMIT, error));
    tenebra_code code = parse(data, file.data, file.size, path, error);
    tn_file_close(&file);
    return code;
}

const tn_dataset tn_dataset_easy_vqa = {
    .name = "easy-vqa",
    .summary = "easy-VQA: {train,test}/questions.json and images/; one shape per image, open questions",
    .splits = splits,
    .read = read,
    .parse = parse,
};
