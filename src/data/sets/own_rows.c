/* The user's own data set: a file with one JSON object per line (docs/data.md). */
#include "base/file.h"
#include "data/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const tn_dataset_split splits[] = {
    { .name = "train" },
    { .name = "dev", .aliases = { "val", "validation", "valid" } },
    { .name = "test" },
    { .name = "all" },
    { 0 },
};

static const char *const known_fields[] = { "id", "question", "image", "image_path", "images", "choices", "options", "answer", "answers",
                                            "rationale", "explanation", "context", "hint", "split", "domain", "topic", "category",
                                            "regions", NULL };

static tenebra_code fail_memory(const char *where, tenebra_error *error)
{
    return tn_fail(error, TENEBRA_ERROR_MEMORY, where, "no memory for the row");
}

static bool has(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    return value != NULL && !json_is_null(value);
}

/* The first of two members that exists. */
static const json_t *either(const json_t *row, const char *one, const char *other)
{
    return json_object_get(row, has(row, one) ? one : other);
}

/* Alternative names of members: a row of the data may have at most one of each line of this table. */
static tenebra_code check_synonyms(const json_t *row, const char *where, tenebra_error *error)
{
    static const char *const same[][4] = { { "image", "image_path", "images" },
                                           { "choices", "options" },
                                           { "rationale", "explanation" },
                                           { "context", "hint" } };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        const char *first = NULL;
        for (const char *const *key = same[i]; *key != NULL; key++) {
            if (has(row, *key) && first != NULL)
                return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "has both \"%s\" and \"%s\", which mean the same; remove one",
                               first, *key);
            first = has(row, *key) ? *key : first;
        }
    }
    return TENEBRA_OK;
}

/* ------------------------------------------------------------- pictures -- */

/* Relative to the file, or an absolute path: the file is the user's own. */
static tenebra_code add_picture(tn_data *data, const json_t *name, const char **out, const char *where, tenebra_error *error)
{
    const char *text = json_string_value(name);
    if (text == NULL || text[0] == '\0' || strlen(text) != json_string_length(name))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "\"image\" must be a path, \"images\" a list of paths");
    size_t size = strlen(data->directory) + strlen(text) + 2;
    char *path = tn_strings_take(&data->strings, size);
    if (path == NULL)
        return fail_memory(where, error);
    snprintf(path, size, text[0] == '/' ? "%.0s%s" : "%s/%s", data->directory, text);
    *out = path;
    return TENEBRA_OK;
}

static tenebra_code read_pictures(tn_data *data, const json_t *row, tn_sample *sample, const char *where, tenebra_error *error)
{
    const json_t *image = either(row, "image", "image_path"), *list = json_object_get(row, "images");
    const json_t *given = image != NULL && !json_is_null(image) ? image : list;
    if (given == NULL || json_is_null(given))
        return TENEBRA_OK;
    size_t count = json_is_array(given) ? json_array_size(given) : 1;
    if (count > TN_DATA_IMAGES_MAX)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, where, "has %zu images; at most %d are possible", count, TN_DATA_IMAGES_MAX);
    const char **images = tn_strings_take(&data->strings, (count + 1) * sizeof *images);
    if (images == NULL)
        return fail_memory(where, error);
    for (size_t i = 0; i < count; i++)
        TN_TRY(add_picture(data, json_is_array(given) ? json_array_get(given, i) : given, &images[i], where, error));
    sample->images = images;
    sample->image_count = count;
    return TENEBRA_OK;
}

/* -------------------------------------------------------------- answers -- */

/* A text, or a number as a text. */
static tenebra_code read_words(tn_data *data, const json_t *value, const char **out, const char *where, tenebra_error *error)
{
    char number[40];
    const char *text = json_string_value(value);
    if (json_is_integer(value))
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        snprintf(number, sizeof number, "%.15g", json_real_value(value));
    else if (text == NULL || strlen(text) != json_string_length(value))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "an answer must be a text or a number");
    text = text != NULL ? text : number;
    *out = tn_strings_copy(&data->strings, text, strlen(text));
    return *out != NULL ? TENEBRA_OK : fail_memory(where, error);
}

static bool is_same(const char *a, const char *b)
{
    size_t m = strlen(a), n = strlen(b);
    tn_strip(&a, &m, true);
    tn_strip(&b, &n, true);
    return m == n && memcmp(a, b, n) == 0;
}

/* A letter, an index from 0, or the text of an option; a value that fits two different ones is refused. */
static tenebra_code choose_option(tn_sample *sample, const json_t *answer, const char *where, tenebra_error *error)
{
    char letter[] = { '\0', '\0' }, number[40];
    const char *text = json_string_value(answer);
    size_t count = sample->option_count, found = count, index = count;
    if (json_is_integer(answer)) {
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(answer));
        if (json_integer_value(answer) >= 0 && (size_t)json_integer_value(answer) < count)
            index = (size_t)json_integer_value(answer);
        text = number;
    } else if (text != NULL && tn_sample_set_letter(sample, text))
        index = sample->answer;
    for (size_t i = 0; i < count && text != NULL; i++)
        if (is_same(text, sample->options[i])) {
            if (found < count)
                return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "\"answer\" '%.60s' is the text of two choices; give its letter", text);
            found = i;
        }
    if (found < count && index < count && found != index)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "\"answer\" '%.60s' is the %s of one choice and the text of another; give "
                       "the %s", text, text == number ? "index" : "letter", text == number ? "letter" : "index, from 0");
    letter[0] = (char)('A' + (found < count ? found : index));
    if (tn_sample_set_letter(sample, letter))
        return TENEBRA_OK;
    if (text == NULL)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, answer == NULL ? "has no \"answer\"" : "\"answer\" must be the letter, the "
                       "text, or the index from 0, of one of the choices");
    return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "\"answer\" '%.60s' is not the letter, the text, or the index from 0, of one of "
                   "the %zu choices", text, count);
}

/* The first correct answer is the label, the others are further answers: those of "answer", a value or a list, then those of
 * the list "answers". */
static tenebra_code read_open(tn_data *data, const json_t *row, tn_sample *sample, const char *where, tenebra_error *error)
{
    const json_t *one = json_object_get(row, "answer"), *list = json_object_get(row, "answers");
    bool alone = has(row, "answer") && !json_is_array(one);
    size_t first = alone ? 1 : json_array_size(one), count = first + json_array_size(list);
    if (has(row, "answers") && !json_is_array(list))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "\"answers\" must be a list");
    if (count == 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "has no \"answer\", and no list \"answers\"");
    const char **answers = tn_strings_take(&data->strings, count * sizeof *answers);
    if (answers == NULL)
        return fail_memory(where, error);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = i >= first ? json_array_get(list, i - first) : alone ? one : json_array_get(one, i);
        TN_TRY(read_words(data, value, &answers[i], where, error));
        if (answers[i][0] == '\0')
            return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "the answer is empty");
    }
    sample->open = true;
    sample->label = answers[0];
    sample->answers = answers + 1;
    sample->answer_count = count - 1;
    return TENEBRA_OK;
}

static tenebra_code read_answer(tn_data *data, const json_t *row, tn_sample *sample, const char *where, tenebra_error *error)
{
    const json_t *choices = either(row, "choices", "options");
    if (choices == NULL || json_is_null(choices) || (json_is_array(choices) && json_array_size(choices) == 0))
        return read_open(data, row, sample, where, error);
    if (has(row, "answers"))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "\"answers\" is for questions without choices; one of these is the \"answer\"");
    const char *key = json_object_get(row, "choices") == choices ? "choices" : "options";
    TN_TRY(tn_data_choices(data, row, key, sample, where, error));
    return choose_option(sample, json_object_get(row, "answer"), where, error);
}

/* ------------------------------------------------------------------ rows -- */

/* The split of a row; NULL if it names none. */
static tenebra_code split_of(const tn_data *data, const json_t *row, const tn_dataset_split **split, const char *where,
                             tenebra_error *error)
{
    const json_t *value = json_object_get(row, "split");
    *split = NULL;
    if (value == NULL || json_is_null(value))
        return TENEBRA_OK;
    *split = json_is_string(value) ? tn_dataset_split_find(data->set, json_string_value(value)) : NULL;
    return *split != NULL ? TENEBRA_OK
                          : tn_fail(error, TENEBRA_ERROR_FORMAT, where, "\"split\" must be train, dev or test");
}

static tenebra_code read_id(tn_data *data, const json_t *row, size_t number, tn_sample *sample, const char *where, tenebra_error *error)
{
    const json_t *id = json_object_get(row, "id");
    char line[40];
    if (id != NULL && !json_is_null(id))
        return read_words(data, id, &sample->id, where, error);
    snprintf(line, sizeof line, "line-%zu", number);
    sample->id = tn_strings_copy(&data->strings, line, strlen(line));
    return sample->id != NULL ? TENEBRA_OK : fail_memory(where, error);
}

static tenebra_code read_texts(tn_data *data, const json_t *row, tn_sample *sample, const char *where, tenebra_error *error)
{
    const struct {
        const char *key, **target;
    } texts[] = {
        { "question", &sample->question }, { "context", &sample->context },     { "rationale", &sample->rationale },
        { "domain", &sample->domain },     { "topic", &sample->topic },         { "category", &sample->category },
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        TN_TRY(tn_data_text(data, row, texts[i].key, texts[i].target, where, error));
    if (sample->context[0] == '\0')
        TN_TRY(tn_data_text(data, row, "hint", &sample->context, where, error));
    if (sample->rationale[0] == '\0')
        TN_TRY(tn_data_text(data, row, "explanation", &sample->rationale, where, error));
    sample->solution = sample->rationale;
    return TENEBRA_OK;
}

/* A file while it is read. */
typedef struct reader {
    tn_data *data;
    const char *name;
    bool names, dev; /* some row names a split; some row names dev */
} reader;

/* Rows that name another split are left out. Rows without a split belong to train if other rows name one, otherwise to
 * all splits. If no row belongs to dev, train and dev are parts of train's rows. */
static tenebra_code read_row(reader *r, const json_t *row, size_t number, const char *where, tenebra_error *error)
{
    tn_data *data = r->data;
    const tn_dataset_split *split, *train = tn_dataset_split_find(data->set, "train");
    tn_sample sample = { 0 };
    TN_TRY(split_of(data, row, &split, where, error));
    bool held = strcmp(data->split->name, "dev") == 0 && !r->dev, all = strcmp(data->split->name, "all") == 0;
    if (split == NULL && r->names)
        split = train;
    if (!all && split != NULL && split != (held ? train : data->split))
        return TENEBRA_OK;
    TN_TRY(check_synonyms(row, where, error));
    TN_TRY(read_id(data, row, number, &sample, where, error));
    TN_TRY(read_texts(data, row, &sample, where, error));
    TN_TRY(read_answer(data, row, &sample, where, error));
    TN_TRY(read_pictures(data, row, &sample, where, error));
    TN_TRY(tn_data_regions(data, row, &sample, where, error));
    TN_TRY(tn_data_fields(data, row, known_fields, error));
    return tn_data_add(data, &sample, where, error);
}

static tenebra_code see_split(reader *r, const json_t *row, size_t number, const char *where, tenebra_error *error)
{
    const tn_dataset_split *split;
    (void)number;
    TN_TRY(split_of(r->data, row, &split, where, error));
    r->names |= split != NULL;
    r->dev |= split != NULL && strcmp(split->name, "dev") == 0;
    return TENEBRA_OK;
}

typedef tenebra_code row_fn(reader *r, const json_t *row, size_t number, const char *where, tenebra_error *error);

static tenebra_code each_row(reader *r, const char *bytes, size_t length, row_fn *each, tenebra_error *error)
{
    const char *at = bytes, *end = length > 0 ? bytes + length : bytes;
    for (size_t number = 1; at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at)), *line = at;
        size_t size = (size_t)((stop != NULL ? stop : end) - at);
        char where[256];
        at += size + (stop != NULL);
        tn_strip(&line, &size, true);
        if (size == 0)
            continue;
        snprintf(where, sizeof where, "%.200s:%zu", r->name, number);
        if (size == 1 && (line[0] == '[' || line[0] == '{'))
            return tn_fail(error, TENEBRA_ERROR_FORMAT, where, "a row is one JSON object on one line, not JSON over several lines");
        json_t *row;
        TN_TRY(tn_json_parse(line, size, where, &row, error));
        tenebra_code code = json_is_object(row) ? each(r, row, number, where, error)
                                                : tn_fail(error, TENEBRA_ERROR_FORMAT, where, "the row is not one JSON object on one "
                                                          "line");
        json_decref(row);
        TN_TRY(code);
    }
    return TENEBRA_OK;
}

static tenebra_code parse(tn_data *data, const void *bytes, size_t length, const char *name, tenebra_error *error)
{
    reader r = { .data = data, .name = name };
    TN_TRY(each_row(&r, bytes, length, see_split, error));
    bool train = strcmp(data->split->name, "train") == 0, dev = strcmp(data->split->name, "dev") == 0;
    if (!r.dev && (train || dev) && data->options.part == TN_PART_OF_SPLIT)
        data->options.part = train ? TN_PART_KEPT : TN_PART_HELD;
    if (!r.names && strcmp(data->split->name, "test") == 0)
        data->remark = "no row names a split, so all of them are in 'test', also those that are in 'train'";
    return each_row(&r, bytes, length, read_row, error);
}

static tenebra_code read(tn_data *data, tenebra_error *error)
{
    tn_file file;
    TN_TRY(tn_file_read(&file, data->file, TN_DATA_FILE_LIMIT, error));
    tenebra_code code = parse(data, file.data, file.size, data->file, error);
    tn_file_close(&file);
    return code;
}

const tn_dataset tn_dataset_own_rows = {
    .name = "jsonl",
    .summary = "your own: jsonl:FILE, one JSON object per line with question, image, choices or answer (docs/data.md)",
    .splits = splits,
    .in_file = true,
    .without_images = true,
    .read = read,
    .parse = parse,
};
