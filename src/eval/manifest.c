/* The first line of a result file: everything that affects the answers, and how it is compared. */
#include "eval/plan.h"

#include "base/json.h"
#include "eval/digests.h"
#include "image/image.h"
#include "reason/method.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------- digests -- */

static void digest_questions(const tn_eval_questions *questions, char text[TN_EVAL_DIGEST_TEXT])
{
    tn_hash hash;
    tn_hash_start(&hash);
    for (size_t i = 0; i < questions->count; i++) {
        const tn_sample *sample = questions->samples[i];
        const char *const texts[] = { sample->id, sample->question, sample->context, sample->label, sample->domain,
                                      sample->topic };
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            tn_eval_add_text(&hash, texts[k]);
        for (size_t k = 0; k < sample->option_count; k++)
            tn_eval_add_text(&hash, sample->options[k]);
        for (size_t k = 0; k < sample->answer_count; k++)
            tn_eval_add_text(&hash, sample->answers[k]);
    }
    tn_digest digest = tn_hash_finish(&hash);
    tn_eval_print_digest(&digest, text);
}

/* The digest of all questions as they are asked. */
static tenebra_code digest_prompts(const tn_eval_questions *questions, char text[TN_EVAL_DIGEST_TEXT], tenebra_error *error)
{
    tn_hash hash;
    tn_hash_start(&hash);
    for (size_t i = 0; i < questions->count; i++) {
        tn_prompt prompt;
        TN_TRY(tn_prompt_write(&prompt, questions->preset, questions->samples[i], error));
        tn_eval_add_text(&hash, prompt.text);
        tn_prompt_free(&prompt);
    }
    tn_digest digest = tn_hash_finish(&hash);
    tn_eval_print_digest(&digest, text);
    return TENEBRA_OK;
}

/* ------------------------------------------------------------- manifest -- */

static json_t *text_or_null(const char *text)
{
    return text != NULL ? json_string(text) : json_null();
}

/* The value of every option of the method, including defaults. */
static json_t *describe_entry(const tn_eval_entry *entry)
{
    json_t *settings = json_object();
    const tn_method *method = tn_method_find(entry->method);
    for (const tn_option *row = method->options; row->name != NULL && settings != NULL; row++)
        json_object_set_new(settings, row->name, json_string(tn_eval_entry_value(entry, row->name)));
    return json_pack("{s:s, s:s, s:o, s:b}", "label", entry->label, "method", entry->method, "settings", settings, "other", entry->other);
}

static json_t *describe_entries(const tn_eval_plan *plan)
{
    json_t *list = json_array();
    for (size_t i = 0; i < plan->entry_count; i++)
        json_array_append_new(list, describe_entry(&plan->entries[i]));
    return list;
}

static tenebra_code describe_adapters(const tn_eval_plan *plan, json_t *list, tenebra_error *error)
{
    for (size_t i = 0; i < plan->model_options.adapter_count; i++) {
        const tenebra_adapter *adapter = &plan->model_options.adapters[i];
        char digest[TN_EVAL_DIGEST_TEXT];
        TN_TRY(tn_eval_digest_directory(adapter->directory, digest, error));
        json_t *row = json_pack("{s:s, s:f, s:s}", "directory", adapter->directory, "strength", adapter->strength, "digest", digest);
        if (adapter->pass > 0)
            json_object_set_new(row, "pass", json_integer((json_int_t)adapter->pass));
        json_array_append_new(list, row);
    }
    return TENEBRA_OK;
}

static json_t *describe_sampling(const tn_eval_plan *plan)
{
    const tenebra_sampling *how = &plan->request.sampling;
    return json_pack("{s:f, s:I, s:f, s:I, s:I}", "temperature", how->temperature, "top_k", (json_int_t)how->top_k, "top_p",
                     how->top_p, "seed", (json_int_t)how->seed, "max_tokens", (json_int_t)plan->request.max_tokens);
}

static json_t *describe_images(const tn_eval_plan *plan)
{
    const tenebra_image_rule *rule = &plan->request.image;
    json_t *images = json_pack("{s:I, s:I, s:I, s:I}", "width", (json_int_t)rule->width, "height", (json_int_t)rule->height, "min_tokens",
                               (json_int_t)rule->min_tokens, "max_tokens", (json_int_t)rule->max_tokens);
    if (rule->min_pixels > 0)
        json_object_set_new(images, "min_pixels", json_integer((json_int_t)rule->min_pixels));
    if (rule->max_pixels > 0)
        json_object_set_new(images, "max_pixels", json_integer((json_int_t)rule->max_pixels));
    return images;
}

static tenebra_code describe_data(const tn_eval_plan *plan, const tn_eval_questions *questions, json_t **data,
                                  tenebra_error *error)
{
    char digest[TN_EVAL_DIGEST_TEXT], prompts[TN_EVAL_DIGEST_TEXT];
    digest_questions(questions, digest);
    TN_TRY(digest_prompts(questions, prompts, error));
    size_t of = tn_data_eligible(questions->data);
    const char *split = plan->split ? plan->split : "test";
    *data = json_pack("{s:s, s:s, s:s, s:I, s:I, s:b, s:b, s:s, s:s, s:s}", "set", tn_data_name(questions->data), "place",
                      plan->data, "split", split, "questions", (json_int_t)questions->count, "of", (json_int_t)of, "partial",
                      questions->count < of, "without_images", plan->without_images, "digest", digest, "preset", questions->preset->name,
                      "prompt_digest", prompts);
    if (plan->held_out > 0) /* only present if it is set, so that files of runs without it can be continued */
        json_object_set_new(*data, "held_out", json_real(plan->held_out));
    return TENEBRA_OK;
}

/* The digest of the example as it is shown: its texts, and the files of its images. */
static tenebra_code digest_example(const tn_example *example, char text[TN_EVAL_DIGEST_TEXT], tenebra_error *error)
{
    const tenebra_example *shown = &example->example;
    const char *const texts[] = { example->asked.prompt.text, shown->answer, shown->label, shown->rationale, shown->scene_graph };
    tn_hash hash;
    tn_hash_start(&hash);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        tn_eval_add_text(&hash, texts[i] ? texts[i] : "");
    for (size_t i = 0; i < example->image_count; i++) {
        tn_file file;
        TN_TRY(tn_file_read(&file, example->images[i], tn_image_limits_default().max_bytes, error));
        if (file.size > 0)
            tn_hash_add(&hash, file.data, file.size);
        tn_file_close(&file);
    }
    tn_digest digest = tn_hash_finish(&hash);
    tn_eval_print_digest(&digest, text);
    return TENEBRA_OK;
}

/* Adds members that are only present if the feature is used, so that files of runs without it can be continued. */
static tenebra_code describe_additions(const tn_eval_plan *plan, const tn_eval_questions *questions, json_t *manifest,
                                       tenebra_error *error)
{
    char digest[TN_EVAL_DIGEST_TEXT];
    if (plan->request.scores)
        json_object_set_new(manifest, "scores", json_true());
    if (plan->request.reconstruct)
        json_object_set_new(manifest, "reconstruct", json_true());
    if (plan->answer_turn)
        json_object_set_new(manifest, "answer_turn", json_true());
    if (plan->example == NULL)
        return TENEBRA_OK;
    TN_TRY(digest_example(&questions->example, digest, error));
    json_object_set_new(manifest, "example", json_pack("{s:s, s:s}", "file", plan->example, "digest", digest));
    return TENEBRA_OK;
}

static tenebra_code describe_all(json_t **manifest, const tn_eval_plan *plan, const tn_eval_questions *questions, const char *kernels,
                                 json_t *adapters, tenebra_error *error)
{
    char weights[TN_EVAL_DIGEST_TEXT];
    json_t *data = NULL;
    TN_TRY(tn_eval_digest_model(plan, weights, error));
    TN_TRY(describe_adapters(plan, adapters, error));
    TN_TRY(describe_data(plan, questions, &data, error));
    *manifest = json_pack("{s:i, s:s, s:s, s:s, s:{s:s, s:s}, s:O, s:o?, s:o, s:o, s:o, s:o, s:o, s:I, s:I}", "tenebra_eval", 1, "version",
                          tenebra_version(), "kernels", kernels, "cache_type",
                          plan->session.cache_type ? plan->session.cache_type : "f32", "model", "directory", plan->model, "digest", weights,
                          "adapters", adapters, "data", data, "methods", describe_entries(plan), "positions",
                          text_or_null(plan->request.positions), "chat_template", text_or_null(plan->model_options.chat_template),
                          "sampling", describe_sampling(plan), "images", describe_images(plan), "context",
                          (json_int_t)plan->session.context, "lens", (json_int_t)plan->request.lens);
    if (*manifest == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "eval", "no memory for the description of the run (texts must be UTF-8)");
    return describe_additions(plan, questions, *manifest, error);
}

tenebra_code tn_eval_manifest(json_t **manifest, const tn_eval_plan *plan, const tn_eval_questions *questions, const char *kernels,
                              tenebra_error *error)
{
    json_t *adapters = json_array();
    *manifest = NULL;
    tenebra_code code = describe_all(manifest, plan, questions, kernels, adapters, error);
    json_decref(adapters);
    if (code != TENEBRA_OK) {
        json_decref(*manifest);
        *manifest = NULL;
    }
    return code;
}

/* -------------------------------------------------------------- compare -- */

typedef struct difference {
    char text[400]; /* "a was 1, now 2; b was ...": as many of the first differences as fit */
    size_t count, told;
} difference;

/* Whether a member may differ: locations do not affect the answers, and the contents have digests. */
static bool is_free(const char *path)
{
    return strcmp(path, "digest") == 0 || strcmp(path, "model.directory") == 0 || strcmp(path, "data.place") == 0 ||
           strcmp(path, "example.file") == 0 ||
           (strncmp(path, "adapters.", 9) == 0 && strstr(path, ".directory") != NULL);
}

/* What a different digest means, in words; NULL if the path is not that of a digest. */
static const char *digest_words(const char *path)
{
    static const struct {
        const char *path, *words;
    } rows[] = { { "model.digest", "the files of the model have changed" },
                 { "data.digest", "the questions have changed" },
                 { "data.prompt_digest", "the wording of the questions has changed" },
                 { "example.digest", "the solved example has changed" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].path, path) == 0)
            return rows[i].words;
    bool adapter = strncmp(path, "adapters.", 9) == 0 && strstr(path, ".digest") != NULL;
    return adapter ? "the files of an adapter have changed" : NULL;
}

/* A value as text, which the caller frees. */
static char *show(const json_t *value)
{
    return value == NULL ? strdup("not there") : json_is_object(value) ? strdup("there") : tn_json_show(value);
}

static void note_change(difference *found, const char *path, const json_t *saved, const json_t *now)
{
    char *before = show(saved), *after = show(now);
    const char *words = saved != NULL && now != NULL ? digest_words(path) : NULL;
    size_t used = strlen(found->text), room = sizeof found->text - used;
    int length = words != NULL ? snprintf(found->text + used, room, "%s%s", used ? "; " : "", words)
                               : snprintf(found->text + used, room, "%s%s was %.60s, now %.60s", used ? "; " : "", path,
                                          before ? before : "?", after ? after : "?");
    if (length < 0 || (size_t)length >= room)
        found->text[used] = '\0';
    else
        found->told++;
    found->count++;
    free(before);
    free(after);
}

/* A pair of values that is still to be compared. */
typedef struct pair {
    char path[128];
    const json_t *saved, *now;
} pair;

/* The item of `list` that corresponds to an item of another list: that with the same label, or, without labels, at the same
 * index. */
static const json_t *find_item(const json_t *list, const json_t *item, size_t index)
{
    const json_t *label = json_object_get(item, "label");
    if (label == NULL)
        return json_array_get(list, index);
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(label, json_object_get(json_array_get(list, i), "label")))
            return json_array_get(list, i);
    return NULL;
}

/* The name of a list item: its label if it has one, else its index. */
static void name_item(char *path, size_t size, const char *above, const json_t *item, size_t index)
{
    const char *label = json_string_value(json_object_get(item, "label"));
    if (label != NULL)
        snprintf(path, size, "%.90s.%.30s", above, label);
    else
        snprintf(path, size, "%.90s.%zu", above, index);
}

static bool push(pair *waiting, size_t *count, size_t room, const char *path, const json_t *saved, const json_t *now)
{
    if (*count == room)
        return false;
    pair *next = &waiting[(*count)++];
    snprintf(next->path, sizeof next->path, "%s", path);
    next->saved = saved;
    next->now = now;
    return true;
}

static bool push_members(pair *waiting, size_t *count, size_t room, const pair *p)
{
    char path[sizeof p->path];
    bool fits = true;
    const char *key;
    json_t *value;
    const json_t *sides[2] = { p->saved, p->now };
    for (int side = 0; side < 2; side++)
        for (void *at = json_object_iter((json_t *)(uintptr_t)sides[side]); at != NULL && fits;
             at = json_object_iter_next((json_t *)(uintptr_t)sides[side], at)) {
            key = json_object_iter_key(at);
            value = json_object_iter_value(at);
            if (side == 1 && json_object_get(p->saved, key) != NULL)
                continue;
            snprintf(path, sizeof path, "%.90s%s%.30s", p->path, p->path[0] ? "." : "", key);
            fits = push(waiting, count, room, path, side == 0 ? value : NULL, side == 0 ? json_object_get(p->now, key) : value);
        }
    return fits;
}

static bool push_items(pair *waiting, size_t *count, size_t room, const pair *p)
{
    char path[sizeof p->path];
    const json_t *lists[2] = { p->saved, p->now };
    bool fits = true;
    for (size_t side = 0; side < 2; side++)
        for (size_t i = 0; i < json_array_size(lists[side]) && fits; i++) {
            const json_t *item = json_array_get(lists[side], i), *other = find_item(lists[1 - side], item, i);
            if (side == 1 && other != NULL)
                continue; /* the pair is already in the list */
            name_item(path, sizeof path, p->path, item, i);
            fits = push(waiting, count, room, path, side == 0 ? item : other, side == 0 ? other : item);
        }
    return fits;
}

tenebra_code tn_eval_manifest_compare(const json_t *now, const json_t *saved, const char *where, tenebra_error *error)
{
    enum { ROOM = 1 << 14 };
    difference found = { .count = 0 };
    pair *waiting = calloc(ROOM, sizeof *waiting);
    size_t count = 0;
    bool fits = waiting != NULL && push(waiting, &count, ROOM, "", saved, now);
    while (fits && count > 0) {
        pair p = waiting[--count];
        if (json_is_object(p.saved) && json_is_object(p.now))
            fits = push_members(waiting, &count, ROOM, &p);
        else if (json_is_array(p.saved) && json_is_array(p.now))
            fits = push_items(waiting, &count, ROOM, &p);
        else if (!is_free(p.path) && (p.saved == NULL || p.now == NULL || !json_equal(p.saved, p.now)))
            note_change(&found, p.path, p.saved, p.now);
    }
    free(waiting);
    if (!fits)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, where, "no memory to compare what the run was made with");
    if (found.count == 0)
        return TENEBRA_OK;
    char more[40] = "";
    if (found.count > found.told)
        snprintf(more, sizeof more, "; and %zu more", found.count - found.told);
    return tn_fail(error, TENEBRA_ERROR_MISMATCH, where,
            "was made with other settings: %s%s. Restore them, choose another file, or start again with --force-new", found.text, more);
}

/* The manifest of this run if it had only the first `count` questions. */
static tenebra_code shorten(const tn_eval_plan *plan, const tn_eval_questions *questions, size_t count, const json_t *now,
                            const char *where, json_t **shortened, tenebra_error *error)
{
    tn_eval_questions first = *questions;
    json_t *data, *copy;
    *shortened = NULL;
    first.count = count;
    TN_TRY(describe_data(plan, &first, &data, error));
    copy = json_copy((json_t *)(uintptr_t)now);
    if (json_object_set_new(copy, "data", data) != 0) { /* also without a copy */
        json_decref(copy);
        return tn_fail(error, TENEBRA_ERROR_MEMORY, where, "no memory to compare what the run was made with");
    }
    *shortened = copy;
    return TENEBRA_OK;
}

/* Refuses fewer questions than the file has answers to. Any other difference is reported first. */
static tenebra_code refuse_fewer(const json_t *now, const json_t *saved, size_t asked, size_t count, const char *where,
                                 tenebra_error *error)
{
    static const char *const keys[] = { "questions", "partial", "digest", "prompt_digest" };
    json_t *copy = json_deep_copy(now), *data = json_object_get(copy, "data");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        json_object_set(data, keys[i], json_object_get(json_object_get(saved, "data"), keys[i]));
    tenebra_code code = copy != NULL ? tn_eval_manifest_compare(copy, saved, where, error)
                                     : tn_fail(error, TENEBRA_ERROR_MEMORY, where, "no memory to compare what the run was made with");
    json_decref(copy);
    TN_TRY(code);
    return tn_fail(error, TENEBRA_ERROR_MISMATCH, where, "contains a run of %zu questions, but this one asks %zu: leave --limit out or "
                                                         "raise it, choose another file, or start again with --force-new", asked, count);
}

tenebra_code tn_eval_manifest_fit(const tn_eval_plan *plan, const tn_eval_questions *questions, const json_t *now, const json_t *saved,
                                  const char *where, bool *more, tenebra_error *error)
{
    size_t asked = 0;
    TN_TRY(tn_json_size(json_object_get(saved, "data"), "questions", 0, SIZE_MAX >> 12, &asked, where, error));
    *more = asked > 0 && asked < questions->count;
    if (asked > questions->count)
        return refuse_fewer(now, saved, asked, questions->count, where, error);
    if (!*more)
        return tn_eval_manifest_compare(now, saved, where, error);
    json_t *then;
    TN_TRY(shorten(plan, questions, asked, now, where, &then, error));
    tenebra_code code = tn_eval_manifest_compare(then, saved, where, error);
    json_decref(then);
    return code;
}
