/* One JSON object per line, answers as letters: the layout of published and of generated data sets. Fields: id,
 * category, question, choices, context, answer, rationale, image or image_path, domain, topic. */
#include "base/file.h"
#include "data/dataset.h"

#include <stdio.h>
#include <string.h>

/* Letters of options, in order. */
static const char *const letters[] = { "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M",
                                       "N", "O", "P", "Q", "R", "S", "T", "U", "V", "W", "X", "Y", "Z" };

bool tn_sample_set_letter(tn_sample *sample, const char *letter)
{
    size_t length = strlen(letter), index;
    tn_strip(&letter, &length, true);
    if (length != 1 || letter[0] < 'A' || (index = (size_t)(letter[0] - 'A')) >= sample->option_count ||
        index >= sizeof letters / sizeof *letters)
        return false;
    sample->answer = index;
    sample->label = letters[index];
    return true;
}

static tenebra_code read_answer(tn_data *data, const json_t *row, tn_sample *sample, const char *where,
                                tenebra_error *error)
{
    const char *answer;
    TN_TRY(tn_data_text(data, row, "answer", &answer, where, error));
    return tn_sample_set_letter(sample, answer)
               ? TENEBRA_OK
               : tn_fail(error, TENEBRA_ERROR_FORMAT, where, "\"answer\" must be the letter of one of %zu choices",
                         sample->option_count);
}

static tenebra_code read_picture(tn_data *data, const json_t *row, tn_sample *sample, const char *where,
                                 tenebra_error *error)
{
    static const char *const folders[] = { "images", "data/images", "", NULL };
    const char *name;
    TN_TRY(tn_data_text(data, row, "image", &name, where, error));
    if (name[0] == '\0')
        TN_TRY(tn_data_text(data, row, "image_path", &name, where, error));
    return name[0] != '\0' ? tn_data_picture(data, name, folders, sample, where, error) : TENEBRA_OK;
}

/* "split" and "image_id" repeat what the file's name and "image" say. */
static const char *const known_fields[] = { "id", "category", "image_id", "question", "choices", "context", "answer", "rationale",
                                            "split", "image", "image_path", "domain", "topic", "regions", NULL };

static tenebra_code read_row(tn_data *data, const json_t *row, const char *where, tenebra_error *error)
{
    if (!json_is_object(row))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "the row is not a JSON object");
    tn_sample sample = { 0 };
    const struct {
        const char *key, **target;
    } texts[] = {
        { "id", &sample.id },           { "question", &sample.question }, { "context", &sample.context },
        { "domain", &sample.domain },   { "topic", &sample.topic },       { "category", &sample.category },
        { "rationale", &sample.rationale },
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        TN_TRY(tn_data_text(data, row, texts[i].key, texts[i].target, where, error));
    sample.solution = sample.rationale;
    TN_TRY(tn_data_choices(data, row, "choices", &sample, where, error));
    TN_TRY(read_answer(data, row, &sample, where, error));
    TN_TRY(read_picture(data, row, &sample, where, error));
    TN_TRY(tn_data_regions(data, row, &sample, where, error));
    TN_TRY(tn_data_fields(data, row, known_fields, error));
    return tn_data_add(data, &sample, where, error);
}

static tenebra_code parse_line(tn_data *data, const char *line, size_t length, const char *name, size_t number,
                               tenebra_error *error)
{
    char where[256];
    size_t shown = strlen(name);
    snprintf(where, sizeof where, "%s%s:%zu", shown > 200 ? "..." : "", shown > 200 ? name + shown - 200 : name,
             number);
    json_t *row;
    TN_TRY(tn_json_parse(line, length, where, &row, error));
    tenebra_code code = read_row(data, row, where, error);
    json_decref(row);
    return code;
}

tenebra_code tn_rows_parse(tn_data *data, const void *bytes, size_t length, const char *name, tenebra_error *error)
{
    const char *line = bytes, *end = line + length;
    for (size_t number = 1; line != end; number++) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t size = (size_t)((stop != NULL ? stop : end) - line), inside = size;
        const char *start = line;
        tn_strip(&start, &inside, true);
        if (inside > 0)
            TN_TRY(parse_line(data, start, inside, name, number, error));
        line += size + (stop != NULL);
    }
    return TENEBRA_OK;
}

/* A split's file may have any of the split's names, beside "images" or in "data". */
static tenebra_code find_file(tn_data *data, const char **path, tenebra_error *error)
{
    const tn_dataset_split *split = data->split;
    const char *const names[] = { split->name, split->aliases[0], split->aliases[1], split->aliases[2] };
    char text[8][64];
    const char *paths[9] = { NULL };
    size_t count = 0;
    for (size_t i = 0; i < 4 && names[i] != NULL; i++)
        for (size_t folder = 0; folder < 2; folder++, count++) {
            snprintf(text[count], sizeof text[count], "%s%s.jsonl", folder == 0 ? "data/" : "", names[i]);
            paths[count] = text[count];
        }
    return tn_data_locate(data, paths, path, error);
}

tenebra_code tn_rows_read(tn_data *data, tenebra_error *error)
{
    const char *path;
    tn_file file;
    TN_TRY(find_file(data, &path, error));
    TN_TRY(tn_file_read(&file, path, TN_DATA_FILE_LIMIT, error));
    tenebra_code code = file.size > 0 ? tn_rows_parse(data, file.data, file.size, path, error) : TENEBRA_OK;
    tn_file_close(&file);
    return code;
}

json_t *tn_rows_write(const tn_sample *sample)
{
    json_t *choices = json_array(), *row = json_object();
    bool fits = choices != NULL && row != NULL;
    for (size_t i = 0; i < sample->option_count && fits; i++)
        fits = json_array_append_new(choices, json_string(sample->options[i])) == 0;
    const struct {
        const char *key, *text;
    } texts[] = {
        { "id", sample->id },           { "category", sample->category }, { "image_id", sample->id },
        { "question", sample->question }, { "choices", NULL },            { "context", sample->context },
        { "answer", sample->label },    { "rationale", sample->rationale }, { "split", sample->split },
        { "image", sample->image_count > 0 ? sample->images[0] : "" },    { "domain", sample->domain },
        { "topic", sample->topic },
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts && fits; i++)
        fits = json_object_set_new(row, texts[i].key,
                                   texts[i].text != NULL ? json_string(texts[i].text) : json_incref(choices)) == 0;
    json_decref(choices);
    if (sample->region_count > 0)
        fits = fits && json_object_set_new(row, "regions", tn_regions_write(sample)) == 0;
    if (fits)
        return row;
    json_decref(row);
    return NULL;
}
