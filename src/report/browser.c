#include "report/browser.h"

#include "eval/journal.h"
#include "report/answers.h"
#include "report/figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tn_browser_note(tn_browser *browser, const char *sentence)
{
    for (size_t i = 0; i < json_array_size(browser->notes); i++)
        if (strcmp(json_string_value(json_array_get(browser->notes, i)), sentence) == 0)
            return;
    if (browser->notes == NULL)
        browser->notes = json_array();
    json_array_append_new(browser->notes, tn_markup_string(sentence));
}

void tn_browser_free(tn_browser *browser)
{
    json_decref(browser->ways);
    json_decref(browser->questions);
    json_decref(browser->notes);
    tn_album_free(&browser->album);
    *browser = (tn_browser){ 0 };
}

/* --------------------------------------------------------- one question -- */

/* Adds a text, unless it is empty; false without memory. */
static bool put_text(json_t *to, const char *name, const char *text)
{
    return text == NULL || text[0] == '\0' || json_object_set_new(to, name, tn_markup_string(text)) == 0;
}

/* Adds the texts of the question; false without memory. */
static bool add_words(json_t *question, const tn_sample *sample)
{
    json_t *options = json_array();
    bool fits = json_object_set_new(question, "question", tn_markup_string(sample->question)) == 0 &&
                put_text(question, "context", sample->context) && json_object_set_new(question, "options", options) == 0;
    for (size_t i = 0; i < sample->option_count && fits; i++)
        fits = json_array_append_new(options, tn_markup_string(sample->options[i])) == 0;
    if (sample->option_count > 0)
        fits = fits && json_object_set_new(question, "answer", json_integer((json_int_t)sample->answer)) == 0;
    return fits;
}

/* Adds its images; one that cannot be shown is null, with a note. Errors: false without memory. */
static bool add_pictures(tn_browser *browser, json_t *question, const tn_sample *sample, const tenebra_part *pictures,
                         size_t picture_count, bool apply_exif)
{
    json_t *list = json_array();
    for (size_t i = 0; i < (pictures != NULL ? picture_count : sample->image_count); i++) {
        tenebra_part file = { .kind = TENEBRA_PART_IMAGE_FILE, .text = pictures == NULL ? sample->images[i] : NULL };
        tenebra_error error = { 0 };
        size_t index;
        tenebra_code code = tn_album_add(&browser->album, pictures != NULL ? &pictures[i] : &file, apply_exif, &index, &error);
        if (code == TENEBRA_OK) {
            json_array_append_new(list, json_integer((json_int_t)index));
        } else if (code == TENEBRA_ERROR_MEMORY) {
            json_decref(list);
            return false;
        } else {
            char sentence[640];
            snprintf(sentence, sizeof sentence, "An image cannot be shown: %.200s: %.400s", error.where, error.sentence);
            tn_browser_note(browser, sentence);
            json_array_append_new(list, json_null());
        }
    }
    return json_object_set_new(question, "pictures", list) == 0;
}

tenebra_code tn_browser_add(tn_browser *browser, const char *set, const json_t *record, const tn_sample *sample,
                            const tenebra_part *pictures, size_t picture_count, bool apply_exif, json_t *answers, bool *fits,
                            tenebra_error *error)
{
    static const char *const texts[] = { "id", "domain", "topic", "category", "gold" };
    size_t before = browser->album.count;
    json_t *question = json_pack("{s:o?}", "answers", answers);
    *fits = false;
    if (browser->questions == NULL)
        browser->questions = json_array();
    if (question == NULL || answers == NULL || browser->questions == NULL) {
        json_decref(question);
        return tn_fail_memory(error, "report");
    }
    bool complete = put_text(question, "set", set);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        complete &= put_text(question, texts[i], json_string_value(json_object_get(record, texts[i])));
    if (sample != NULL)
        complete &= add_words(question, sample) &&
                    add_pictures(browser, question, sample, pictures, picture_count, apply_exif);
    size_t bytes = !complete ? 0 : json_dumpb(question, NULL, 0, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6));
    *fits = bytes > 0 && browser->bytes + bytes + browser->album.bytes <= browser->budget;
    if (!*fits)
        tn_album_cut(&browser->album, before);
    else if (json_array_append(browser->questions, question) == 0)
        browser->bytes += bytes;
    json_decref(question);
    return bytes > 0 ? TENEBRA_OK : tn_fail_memory(error, "report");
}

/* ------------------------------------------------------- which questions -- */

/* A question of a data set: "SET\nID". */
enum { KEY_SIZE = 1024 };

static void write_key(char key[KEY_SIZE], const json_t *manifest, const char *id)
{
    const char *set = json_string_value(json_object_get(json_object_get(manifest, "data"), "set"));
    snprintf(key, KEY_SIZE, "%.200s\n%.800s", set != NULL ? set : "", id);
}

static bool is_listed(const char *list, const char *id)
{
    size_t length = strlen(id);
    for (const char *at = list; *at != '\0'; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == length && strncmp(at, id, length) == 0)
            return true;
    return false;
}

/* All questions of all rows, in the order of their first appearance: keys of an object, in jansson's order of
 * insertion. */
static json_t *collect_questions(const tn_table_groups *groups, const char *ids)
{
    char key[KEY_SIZE];
    json_t *all = json_object();
    for (size_t g = 0; g < groups->count && all != NULL; g++)
        for (size_t i = 0; i < groups->items[g].count; i++) {
            const tn_result_set *set = groups->items[g].sets[i];
            for (size_t k = 0; k < set->count; k++) {
                write_key(key, set->manifest, set->items[k].id);
                if ((ids == NULL || is_listed(ids, set->items[k].id)) && json_object_get(all, key) == NULL)
                    json_object_set_new(all, key, json_null());
            }
        }
    return all;
}

/* Every n-th question, `limit` in total, as an object of empty objects, which will hold records by index of the entry. */
static json_t *choose_questions(const json_t *all, size_t limit)
{
    size_t count = json_object_size(all), at = 0, taken = 0;
    json_t *chosen = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)all, key, value)
    {
        if (count <= limit || (taken < limit && at * limit / count != (at + 1) * limit / count)) {
            json_object_set_new(chosen, key, json_object());
            taken++;
        }
        at++;
    }
    return chosen;
}

/* -------------------------------------------------------------- records -- */

/* An entry: a method with its settings, which is a set of the results. */
typedef struct way {
    const tn_result_set *set;
} way;

typedef struct collecting {
    const char *path;
    const json_t *manifest;
    const way *ways; /* [count] */
    size_t count;
    json_t *chosen;
} collecting;

/* Keeps a record of a question that is shown; of several, the last. */
static tenebra_code take_record(void *user, const json_t *record, tenebra_error *error)
{
    const collecting *c = user;
    char key[KEY_SIZE], number[24];
    const char *label = json_string_value(json_object_get(record, "method")), *id = json_string_value(json_object_get(record, "id"));
    if (label == NULL || id == NULL)
        return TENEBRA_OK;
    write_key(key, c->manifest, id);
    json_t *records = json_object_get(c->chosen, key);
    for (size_t w = 0; w < c->count && records != NULL; w++) {
        const tn_result_set *set = c->ways[w].set;
        if (set->manifest != c->manifest || strcmp(set->label, label) != 0)
            continue;
        snprintf(number, sizeof number, "%zu", w);
        if (json_object_set(records, number, (json_t *)(uintptr_t)record) != 0)
            return tn_fail_memory(error, "report");
    }
    return TENEBRA_OK;
}

static tenebra_code read_records(const tn_results *results, const way *ways, size_t count, json_t *chosen, tenebra_error *error)
{
    for (size_t f = 0; f < results->file_count; f++) {
        json_t *manifest;
        collecting c = { results->files[f], results->manifests[f], ways, count, chosen };
        TN_TRY(tn_journal_read(results->files[f], &manifest, take_record, &c, error));
        json_decref(manifest);
    }
    return TENEBRA_OK;
}

/* ------------------------------------------------------------ data sets -- */

/* The data set of a file; NULL if it does not exist. */
typedef struct source {
    const json_t *manifest;
    tn_data *data;
    size_t hint; /* the probable index of the next question */
} source;

/* The location that the options give for a data set; NULL if none. */
static const char *place_of(const tn_report_options *options, const char *set)
{
    for (size_t i = 0; i < options->place_count; i++) {
        size_t length = strcspn(options->places[i], ":");
        if (strlen(set) == length && strncmp(set, options->places[i], length) == 0)
            return options->places[i];
    }
    return NULL;
}

static tenebra_code open_source(tn_browser *browser, source *from, const tn_report_options *options, tenebra_error *error)
{
    const json_t *data = json_object_get(from->manifest, "data");
    const char *set = json_string_value(json_object_get(data, "set")), *split = json_string_value(json_object_get(data, "split"));
    const char *named = set != NULL ? place_of(options, set) : NULL;
    const char *place = named != NULL ? named : json_string_value(json_object_get(data, "place"));
    tn_data_options all = { .without_images = json_is_true(json_object_get(data, "without_images")), .part = TN_PART_ALL };
    tenebra_code code = TENEBRA_OK;
    if (place != NULL)
        code = tn_data_open(place, split != NULL ? split : "test", &all, &from->data, error);
    if (named != NULL)
        TN_TRY(code);
    if (from->data == NULL)
        tn_browser_note(browser, "Texts and images of questions are not shown, because the data set is not where the result file says; "
                                 "--data NAME:DIR gives its location.");
    return TENEBRA_OK;
}

/* The sample of a record, if the data set still contains the same question. */
static const tn_sample *find_sample(tn_browser *browser, source *from, const json_t *record)
{
    const char *id = json_string_value(json_object_get(record, "id"));
    const char *gold = json_string_value(json_object_get(record, "gold"));
    size_t count = from->data != NULL ? tn_data_count(from->data) : 0;
    for (size_t tried = 0; tried < count && id != NULL; tried++) {
        const tn_sample *sample = tn_data_sample(from->data, (from->hint + tried) % count);
        if (strcmp(sample->id, id) != 0)
            continue;
        from->hint = (from->hint + tried + 1) % count;
        if (gold == NULL || strcmp(gold, sample->label) == 0)
            return sample;
        break;
    }
    if (from->data != NULL)
        tn_browser_note(browser, "Some questions differ in the data set; their texts and images are not shown.");
    return NULL;
}

/* -------------------------------------------------------------- filling -- */

static json_t *option_json(const json_t *settings, tn_option_meaning means)
{
    const char *name = NULL, *value = tn_settings_meant(settings, means, &name);
    return value != NULL ? json_pack("[s, s]", name, value) : NULL;
}

json_t *tn_browser_way(const char *name, const char *style, const json_t *settings)
{
    return json_pack("{s:o, s:s, s:o*, s:o*}", "name", tn_markup_string(name), "style", style, "picks",
                     option_json(settings, TN_MEANS_PICKS), "picked", option_json(settings, TN_MEANS_LATENT_PICKS));
}

/* The names of the rows, with the file's name if a row has several runs. */
static tenebra_code list_ways(tn_browser *browser, const tn_table_groups *groups, way *ways, size_t *count, tenebra_error *error)
{
    browser->ways = json_array();
    *count = 0;
    for (size_t g = 0; g < groups->count; g++)
        for (size_t i = 0; i < groups->items[g].count; i++) {
            char style[TN_STYLE_SIZE], name[400];
            const char *slash = strrchr(groups->items[g].sets[i]->file, '/'), *file = groups->items[g].sets[i]->file;
            tn_figure_style(groups, g, style);
            snprintf(name, sizeof name, groups->items[g].count > 1 ? "%.200s (%.180s)" : "%.200s", groups->items[g].name,
                     slash != NULL ? slash + 1 : file);
            const json_t *settings = json_object_get(groups->items[g].sets[i]->entry, "settings");
            if (json_array_append_new(browser->ways, tn_browser_way(name, style, settings)) != 0)
                return tn_fail_memory(error, "report");
            ways[(*count)++].set = groups->items[g].sets[i];
        }
    return TENEBRA_OK;
}

/* One chosen question, with its records in the order of the entries. */
static tenebra_code add_chosen(tn_browser *browser, source *sources, size_t source_count, const way *ways, size_t count,
                               const json_t *records, bool *fits, tenebra_error *error)
{
    json_t *answers = json_array();
    const json_t *first = NULL;
    source *from = NULL;
    for (size_t w = 0; w < count; w++) {
        char number[24];
        snprintf(number, sizeof number, "%zu", w);
        const json_t *record = json_object_get(records, number);
        if (record == NULL)
            continue;
        if (json_array_append_new(answers, tn_answer_json(record, w)) != 0) {
            json_decref(answers);
            return tn_fail_memory(error, "report");
        }
        if (first == NULL) {
            first = record;
            for (size_t s = 0; s < source_count && from == NULL; s++)
                from = sources[s].manifest == ways[w].set->manifest ? &sources[s] : NULL;
        }
    }
    *fits = true;
    if (first == NULL || from == NULL) {
        json_decref(answers);
        return TENEBRA_OK;
    }
    const char *set = json_string_value(json_object_get(json_object_get(from->manifest, "data"), "set"));
    return tn_browser_add(browser, set, first, find_sample(browser, from, first), NULL, 0, false, answers, fits, error);
}

static tenebra_code add_all(tn_browser *browser, source *sources, size_t source_count, const way *ways, size_t count,
                            const json_t *chosen, tenebra_error *error)
{
    const char *key;
    json_t *records;
    bool fits = true;
    json_object_foreach((json_t *)(uintptr_t)chosen, key, records)
    {
        TN_TRY(add_chosen(browser, sources, source_count, ways, count, records, &fits, error));
        if (!fits)
            break;
    }
    return TENEBRA_OK;
}

static tenebra_code fill(tn_browser *browser, const tn_results *results, source *sources, way *ways, const tn_table_groups *groups,
                         const tn_report_options *options, json_t *chosen, tenebra_error *error)
{
    size_t count;
    TN_TRY(list_ways(browser, groups, ways, &count, error));
    TN_TRY(read_records(results, ways, count, chosen, error));
    for (size_t f = 0; f < results->file_count; f++) {
        sources[f].manifest = results->manifests[f];
        TN_TRY(open_source(browser, &sources[f], options, error));
    }
    return add_all(browser, sources, results->file_count, ways, count, chosen, error);
}

tenebra_code tn_browser_fill(tn_browser *browser, const tn_results *results, const tn_table_groups *groups,
                             const tn_report_options *options, tenebra_error *error)
{
    source *sources = calloc(results->file_count + 1, sizeof *sources);
    size_t sets = 0;
    for (size_t g = 0; g < groups->count; g++)
        sets += groups->items[g].count;
    way *ways = calloc(sets + 1, sizeof *ways);
    json_t *all = collect_questions(groups, options->ids);
    json_t *chosen = all != NULL ? choose_questions(all, options->limit > 0 ? options->limit : TN_REPORT_QUESTIONS) : NULL;
    browser->total = json_object_size(all);
    browser->questions = json_array();
    tenebra_code code = sources != NULL && ways != NULL && chosen != NULL ? TENEBRA_OK : tn_fail_memory(error, "report");
    if (code == TENEBRA_OK && options->ids != NULL && browser->total == 0)
        code = tn_fail(error, TENEBRA_ERROR_ARGUMENT, "ids", "no question of the result files has such an id");
    if (code == TENEBRA_OK)
        code = fill(browser, results, sources, ways, groups, options, chosen, error);
    for (size_t f = 0; f < results->file_count && sources != NULL; f++)
        tn_data_close(sources[f].data);
    free(sources);
    free(ways);
    json_decref(all);
    json_decref(chosen);
    return code;
}
