/* ScienceQA as its authors publish it: problems.json, pid_splits.json and images/<split>/<pid>/image.png (NeurIPS 2022,
 * arXiv:2209.09513). Answers are indices. With and without questions that have no image, these are two different
 * benchmarks: 4,241 and 2,017 test questions. */
#include "base/file.h"
#include "data/dataset.h"

#include <stdio.h>
#include <string.h>

static const tn_dataset_split splits[] = {
    { .name = "train", .rows = { 12726 }, .with_image = 6218 },
    { .name = "dev", .aliases = { "val", "validation" }, .rows = { 4241 }, .with_image = 2097 },
    { .name = "test", .rows = { 4241 }, .with_image = 2017 },
    { .name = "trainval", .rows = { 16967 }, .with_image = 8315 },
    { .name = "minitrain", .rows = { 1272 }, .with_image = 649 },
    { .name = "minival", .rows = { 424 }, .with_image = 201 },
    { .name = "minitest", .rows = { 424 }, .with_image = 204 },
    { 0 },
};

static const char *const digits[] = { "0",  "1",  "2",  "3",  "4",  "5",  "6",  "7",  "8",  "9",  "10", "11", "12",
                                      "13", "14", "15", "16", "17", "18", "19", "20", "21", "22", "23", "24", "25" };

/* lecture, a blank, solution, both stripped; only one of them if the other is empty; the answer if both are empty. */
static tenebra_code join_rationale(tn_data *data, tn_sample *sample, const char *where, tenebra_error *error)
{
    const char *lecture = sample->lecture, *solution = sample->solution;
    size_t first = strlen(lecture), second = strlen(solution);
    tn_strip(&lecture, &first, true);
    tn_strip(&solution, &second, true);
    if (first + second == 0) {
        sample->rationale = sample->label;
        return TENEBRA_OK;
    }
    char *text = tn_strings_take(&data->strings, first + second + 2);
    if (text == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, where, "no memory for the rationale");
    size_t gap = first > 0 && second > 0;
    memcpy(text, lecture, first);
    memset(text + first, ' ', gap);
    memcpy(text + first + gap, solution, second);
    text[first + gap + second] = '\0';
    sample->rationale = text;
    return TENEBRA_OK;
}

/* images/<the problem's own split>/<pid>/<image>. */
static tenebra_code read_picture(tn_data *data, const json_t *problem, tn_sample *sample, const char *where,
                                 tenebra_error *error)
{
    static const char *const none[] = { NULL };
    static const char *const bases[] = { "images", "data/scienceqa/images" };
    const char *image, *split;
    TN_TRY(tn_data_text(data, problem, "image", &image, where, error));
    TN_TRY(tn_data_text(data, problem, "split", &split, where, error));
    if (image[0] == '\0')
        return TENEBRA_OK;
    if (split[0] == '\0')
        split = data->split->name;
    size_t size = strlen(bases[1]) + strlen(split) + strlen(sample->id) + strlen(image) + 4;
    char *name = tn_strings_take(&data->strings, size);
    if (name == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, where, "no memory for the row");
    const char *const *first = NULL;
    for (size_t i = 0; i < 2; i++) {
        snprintf(name, size, "%s/%s/%s/%s", bases[i], split, sample->id, image);
        TN_TRY(tn_data_picture(data, name, none, sample, where, error));
        if (tn_path_is_file(sample->images[0]))
            return TENEBRA_OK;
        first = first != NULL ? first : sample->images;
    }
    sample->images = first;
    return TENEBRA_OK;
}

static const char *const known_fields[] = { "question", "choices", "answer", "hint", "image", "task", "grade", "subject", "topic",
                                            "category", "skill", "lecture", "solution", "split", NULL };

static tenebra_code add_problem(tn_data *data, const char *pid, const json_t *problem, const char *name,
                                tenebra_error *error)
{
    char where[256];
    snprintf(where, sizeof where, "%.180s: problem %.40s", name, pid);
    if (!json_is_object(problem))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "is missing, or is not an object");
    tn_sample sample = { .id = tn_strings_copy(&data->strings, pid, strlen(pid)) };
    if (sample.id == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, where, "no memory for the row");
    const struct {
        const char *key, **target;
    } texts[] = {
        { "question", &sample.question }, { "hint", &sample.context },   { "subject", &sample.subject },
        { "topic", &sample.topic },       { "category", &sample.category }, { "grade", &sample.grade },
        { "skill", &sample.skill },       { "task", &sample.task },      { "lecture", &sample.lecture },
        { "solution", &sample.solution },
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        TN_TRY(tn_data_text(data, problem, texts[i].key, texts[i].target, where, error));
    sample.domain = sample.subject;
    TN_TRY(tn_data_choices(data, problem, "choices", &sample, where, error));
    sample.answer = TN_DATA_OPTIONS_MAX;
    TN_TRY(tn_json_size(problem, "answer", 0, sample.option_count - 1, &sample.answer, where, error));
    if (sample.answer >= sample.option_count)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "has no \"answer\"");
    sample.label = digits[sample.answer];
    TN_TRY(join_rationale(data, &sample, where, error));
    TN_TRY(read_picture(data, problem, &sample, where, error));
    TN_TRY(tn_data_fields(data, problem, known_fields, error));
    return tn_data_add(data, &sample, where, error);
}

/* The pids of the split, in the order of the list. */
static tenebra_code add_listed(tn_data *data, const json_t *problems, const json_t *lists, const char *name,
                               tenebra_error *error)
{
    const json_t *list = json_object_get(lists, data->split->name);
    for (size_t i = 0; i < 3 && list == NULL && data->split->aliases[i] != NULL; i++)
        list = json_object_get(lists, data->split->aliases[i]);
    if (!json_is_array(list))
        return tn_fail(error, TENEBRA_ERROR_IO, name, "pid_splits.json has no list for '%s'", data->split->name);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *pid = json_string_value(json_array_get(list, i));
        if (pid == NULL || strlen(pid) != json_string_length(json_array_get(list, i)))
            return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "pid_splits.json: entry %zu of '%s' is not a text", i,
                           data->split->name);
        TN_TRY(add_problem(data, pid, json_object_get(problems, pid), name, error));
    }
    return TENEBRA_OK;
}

/* Without lists: the problems that name the split themselves. */
static tenebra_code add_named(tn_data *data, json_t *problems, const char *name, tenebra_error *error)
{
    if (!json_is_object(problems))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "is not an object of problems");
    const char *pid;
    json_t *problem;
    json_object_foreach(problems, pid, problem) {
        const char *split = json_string_value(json_object_get(problem, "split"));
        const tn_dataset_split *named = split != NULL ? tn_dataset_split_find(data->set, split) : NULL;
        if (named == data->split || !json_is_object(problem))
            TN_TRY(add_problem(data, pid, problem, name, error));
    }
    return TENEBRA_OK;
}

static tenebra_code parse(tn_data *data, const void *bytes, size_t length, const char *name, tenebra_error *error)
{
    json_t *problems;
    TN_TRY(tn_json_parse(bytes, length, name, &problems, error));
    tenebra_code code = add_named(data, problems, name, error);
    json_decref(problems);
    return code;
}

static tenebra_code read(tn_data *data, tenebra_error *error)
{
    static const char *const problem_paths[] = { "problems.json", "data/scienceqa/problems.json", NULL };
    static const char *const list_paths[] = { "pid_splits.json", "data/scienceqa/pid_splits.json", NULL };
    const char *problem_path, *list_path;
    TN_TRY(tn_data_locate(data, problem_paths, &problem_path, error));
    TN_TRY(tn_data_locate(data, list_paths, &list_path, error));
    json_t *problems, *lists;
    TN_TRY(tn_json_read(problem_path, TN_DATA_FILE_LIMIT, &problems, error));
    tenebra_code code = tn_json_read(list_path, TN_DATA_FILE_LIMIT, &lists, error);
    if (code == TENEBRA_OK)
        code = add_listed(data, problems, lists, problem_path, error);
    json_decref(lists);
    json_decref(problems);
    return code;
}

const tn_dataset tn_dataset_scienceqa = {
    .name = "scienceqa",
    .summary = "ScienceQA: problems.json, pid_splits.json and images/, in DIR or DIR/data/scienceqa",
    .splits = splits,
    .prompt = "ivtlr-infer-parens",
    .read = read,
    .parse = parse,
};
