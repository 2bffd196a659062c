#include "reason/example.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 16 << 20, IMAGES_MAX = 16, OPTIONS_MAX = 26 };

/* A text that is used unchanged. */
static const tn_prompt_preset verbatim = { .name = "",
                                           .summary = "",
                                           .front = "",
                                           .behind = "",
                                           .options = "",
                                           .mark = { "", "" },
                                           .option_end = "",
                                           .option_join = "",
                                           .end = "",
                                           .answer = { "Therefore, the answer is ", "" } };

/* -------------------------------------------------------------- members -- */

/* A path relative to the folder of `file`; the caller frees it. */
static char *beside(const char *file, const char *name)
{
    const char *slash = strrchr(file, '/');
    if (name[0] == '/' || slash == NULL)
        return strdup(name);
    char *folder = strndup(file, (size_t)(slash - file) + (slash == file));
    char *path = folder != NULL ? tn_path_join(folder, name) : NULL;
    free(folder);
    return path;
}

static tenebra_code add_image(tn_example *example, const json_t *name, const char *path, tenebra_error *error)
{
    if (!json_is_string(name) || strlen(json_string_value(name)) != json_string_length(name))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "\"image\" must be a path, or a list of paths");
    if ((example->images[example->image_count] = beside(path, json_string_value(name))) == NULL)
        return tn_fail_memory(error, path);
    example->image_count++;
    return TENEBRA_OK;
}

static tenebra_code read_images(tn_example *example, const char *path, tenebra_error *error)
{
    const json_t *image = json_object_get(example->json, "image");
    if (image == NULL || json_is_null(image))
        image = json_object_get(example->json, "image_path");
    size_t count = json_is_array(image) ? json_array_size(image) : 1;
    if (image == NULL || json_is_null(image))
        return TENEBRA_OK;
    if (count > IMAGES_MAX)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, path, "\"image\" contains more than %d", IMAGES_MAX);
    example->images = calloc(count + 1, sizeof *example->images);
    if (example->images == NULL)
        return tn_fail_memory(error, path);
    for (size_t i = 0; i < count; i++)
        TN_TRY(add_image(example, json_is_array(image) ? json_array_get(image, i) : image, path, error));
    return TENEBRA_OK;
}

/* Reads "options" or "choices" into `options` [OPTIONS_MAX]. */
static tenebra_code read_options(const json_t *json, const char **options, size_t *count, const char *path,
                                 tenebra_error *error)
{
    const json_t *list =
        json_object_get(json, "options") ? json_object_get(json, "options") : json_object_get(json, "choices");
    *count = 0;
    if (list == NULL || json_is_null(list))
        return TENEBRA_OK;
    if (!json_is_array(list) || json_array_size(list) > OPTIONS_MAX)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "\"options\" must be a list of at most %d texts",
                       OPTIONS_MAX);
    for (; *count < json_array_size(list); (*count)++) {
        options[*count] = json_string_value(json_array_get(list, *count));
        if (options[*count] == NULL)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "\"options\" must contain texts");
    }
    return TENEBRA_OK;
}

static tenebra_code read_answer(const json_t *json, tn_sample *sample, const char *path, tenebra_error *error)
{
    const char *answer = "";
    TN_TRY(tn_json_string(json, "answer", &answer, path, error));
    if (answer[0] == '\0')
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "has no \"answer\"");
    if (sample->option_count == 0)
        sample->label = answer;
    else if (!tn_sample_set_letter(sample, answer))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "\"answer\" is '%.40s', not the letter of one of %zu options",
                       answer, sample->option_count);
    return TENEBRA_OK;
}

/* A scene graph that is not a text is written as JSON on one line. */
static tenebra_code read_graph(tn_example *example, const char *path, tenebra_error *error)
{
    const json_t *graph = json_object_get(example->json, "scene_graph");
    if (graph == NULL || json_is_null(graph))
        return TENEBRA_OK;
    example->example.scene_graph = json_string_value(graph);
    if (json_is_string(graph))
        return TENEBRA_OK;
    example->graph = json_dumps(graph, JSON_ENCODE_ANY);
    example->example.scene_graph = example->graph;
    return example->graph != NULL ? TENEBRA_OK : tn_fail_memory(error, path);
}

/* The second line has members of rows of data sets that are never shown. */
static const char *const known_members[] = {
    "image", "image_path", "question", "options", "choices", "context", "prompt", "answer", "rationale", "scene_graph",
    "id", "category", "domain", "topic", "split", "image_id", NULL,
};

/* -------------------------------------------------------------- reading -- */

static tenebra_code read_all(tn_example *example, const char *path, const tn_prompt_preset *preset,
                             tenebra_error *error)
{
    const char *options[OPTIONS_MAX] = { 0 }, *prompt = NULL;
    tn_sample sample = { .id = path, .question = "", .context = "", .options = options, .label = "" };
    if (!json_is_object(example->json))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "must contain one JSON object");
    TN_TRY(tn_json_string(example->json, "question", &sample.question, path, error));
    TN_TRY(tn_json_string(example->json, "context", &sample.context, path, error));
    TN_TRY(tn_json_string(example->json, "prompt", &prompt, path, error));
    TN_TRY(tn_json_string(example->json, "rationale", &example->example.rationale, path, error));
    TN_TRY(read_options(example->json, options, &sample.option_count, path, error));
    TN_TRY(read_graph(example, path, error));
    TN_TRY(read_images(example, path, error));
    TN_TRY(read_answer(example->json, &sample, path, error));
    if (sample.question[0] == '\0' && prompt == NULL)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "has neither \"question\" nor \"prompt\"");
    sample.images = (const char *const *)example->images;
    sample.image_count = example->image_count;
    TN_TRY(tn_prompt_answer(preset, &sample, &example->answer, error));
    if (prompt != NULL) {
        sample.question = prompt;
        sample.option_count = 0;
        preset = &verbatim;
    }
    TN_TRY(tn_asked_write(&example->asked, preset, &sample, error));
    example->example.label = sample.label;
    example->example.answer = example->answer;
    example->example.parts = example->asked.parts;
    example->example.part_count = example->asked.message.part_count;
    tn_json_unknown(example->json, known_members, example->unknown, sizeof example->unknown);
    return TENEBRA_OK;
}

/* Takes ownership of the JSON. */
static tenebra_code open_json(tn_example *example, json_t *json, const char *path, const tn_prompt_preset *preset,
                              tenebra_error *error)
{
    *example = (tn_example){ .json = json };
    tenebra_code code = read_all(example, path, preset, error);
    if (code != TENEBRA_OK)
        tn_example_free(example);
    return code;
}

tenebra_code tn_example_read(tn_example *example, const char *path, const tn_prompt_preset *preset,
                             tenebra_error *error)
{
    json_t *json;
    *example = (tn_example){ 0 };
    TN_TRY(tn_json_read(path, FILE_LIMIT, &json, error));
    return open_json(example, json, path, preset, error);
}

tenebra_code tn_example_parse(tn_example *example, const void *bytes, size_t length, const char *path,
                              const tn_prompt_preset *preset, tenebra_error *error)
{
    json_t *json;
    *example = (tn_example){ 0 };
    TN_TRY(tn_json_parse(bytes, length, path, &json, error));
    return open_json(example, json, path, preset, error);
}

void tn_example_free(tn_example *example)
{
    for (size_t i = 0; i < example->image_count; i++)
        free(example->images[i]);
    free(example->images);
    free(example->answer);
    free(example->graph);
    tn_asked_free(&example->asked);
    json_decref(example->json);
    *example = (tn_example){ .json = NULL };
}
