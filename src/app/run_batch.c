#include "app/run_batch.h"

#include "app/app.h"
#include "app/ask.h"
#include "app/jsonl.h"
#include "app/run_question.h"
#include "base/nearest.h"
#include "reason/asked.h"
#include "reason/question.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_LIMIT = 64 << 20, LIST_MAX = 256 };

static const char *const keys[] = { "id",     "prompt",      "images",      "choices",          "preset",           "system",
                                    "messages", "method",      "settings",    "positions",        "max_tokens",       "temperature",
                                    "top_k",  "top_p",       "seed",        "stop",             "image_size",       "image_min_tokens",
                                    "image_max_tokens", "lens", "scores",     "answer_turn",      "no_exif",          "reconstruct",
                                    NULL };

/* Texts of a list in the JSON of a line. */
typedef struct texts {
    const char *items[LIST_MAX];
    size_t count;
} texts;

/* A line as a request. Texts are those of the JSON. */
typedef struct line {
    size_t number;
    json_t *json, *numbers; /* `numbers`: settings that are numbers, as texts */
    tenebra_request request;
    tenebra_setting settings[2 * TN_METHOD_OPTIONS_MAX + 1];
    char picks[TN_SETTING_TEXT_SIZE];
    texts images, choices, stops;
    tn_question written;
    tn_messages given;
    char turn[TN_ANSWER_TURN_SIZE];
} line;

static void free_line(line *l)
{
    tn_question_free(&l->written);
    tn_messages_free(&l->given);
    json_decref(l->numbers);
    json_decref(l->json);
}

/* -------------------------------------------------------------- reading -- */

static tenebra_code check_keys(const json_t *json, tenebra_error *error)
{
    const char *key;
    json_t *value;
    if (!json_is_object(json))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, "request", "must be a JSON object");
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        tn_nearest nearest = tn_nearest_of(key, strlen(key));
        bool known = false;
        for (size_t i = 0; keys[i] != NULL; i++) {
            known |= strcmp(keys[i], key) == 0;
            tn_nearest_try(&nearest, keys[i]);
        }
        if (!known)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, "request", "there is no key \"%.100s\"%s", key, tn_nearest_hint(&nearest));
    }
    value = json_object_get(json, "id");
    if (json_is_real(value) && fabs(json_real_value(value)) > 9007199254740992.0) /* 2^53 */
        return tn_fail(error, TENEBRA_ERROR_FORMAT, "request", "\"id\" has more digits than a number keeps; write it as a string");
    return TENEBRA_OK;
}

/* A list of strings, or one string. */
static tenebra_code read_texts(const json_t *json, const char *key, texts *list, tenebra_error *error)
{
    const json_t *value = json_object_get(json, key);
    size_t count = json_is_array(value) ? json_array_size(value) : value != NULL;
    if (count > LIST_MAX)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "request", "\"%s\" has %zu entries; at most %d are read", key, count, LIST_MAX);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        if (!json_is_string(item) || strlen(json_string_value(item)) != json_string_length(item))
            return tn_fail(error, TENEBRA_ERROR_FORMAT, "request", "\"%s\" must be a string or a list of strings", key);
        list->items[list->count++] = json_string_value(item);
    }
    return TENEBRA_OK;
}

/* Sizes of pictures; one kind of them replaces what the command line says. */
static tenebra_code read_sizes(line *l, tenebra_error *error)
{
    tenebra_request *r = &l->request;
    const char *size = NULL;
    size_t sides[2] = { 0 };
    bool bounds = json_object_get(l->json, "image_min_tokens") != NULL || json_object_get(l->json, "image_max_tokens") != NULL;
    TN_TRY(tn_json_string(l->json, "image_size", &size, "request", error));
    if (size != NULL && !tn_option_read_sides(size, sides))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, "request", "\"image_size\" must be \"WIDTHxHEIGHT\" in pixels");
    if (size != NULL)
        r->image = (tenebra_image_rule){ .width = sides[0], .height = sides[1] };
    else if (bounds)
        r->image = (tenebra_image_rule){ .min_tokens = r->image.min_tokens, .max_tokens = r->image.max_tokens };
    return TENEBRA_OK;
}

/* Numbers of the request, with the ranges of the options that set them. */
static tenebra_code read_numbers(line *l, tenebra_error *error)
{
    static const char *const names[][2] = { { "max_tokens", "predict" }, { "temperature", "temp" }, { "top_k", "top-k" },
                                            { "top_p", "top-p" }, { "image_min_tokens", "image-min-tokens" },
                                            { "image_max_tokens", "image-max-tokens" } };
    tenebra_request *r = &l->request;
    size_t seed = (size_t)r->sampling.seed;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const tn_option *row = tn_option_find(tn_ask_options, names[i][1]);
        void *target = (char *)r + (row->offset - offsetof(tn_ask, request));
        if (row->kind == TN_OPTION_NUMBER)
            TN_TRY(tn_json_number(l->json, names[i][0], row->minimum, row->maximum, target, "request", error));
        else
            TN_TRY(tn_json_size(l->json, names[i][0], (size_t)row->minimum, (size_t)row->maximum, target, "request", error));
    }
    TN_TRY(tn_json_size(l->json, "seed", 0, INT64_MAX, &seed, "request", error));
    TN_TRY(tn_json_size(l->json, "lens", 0, 32, &r->lens, "request", error));
    TN_TRY(tn_json_bool(l->json, "scores", &r->scores, "request", error));
    TN_TRY(tn_json_bool(l->json, "reconstruct", &r->reconstruct, "request", error));
    TN_TRY(tn_json_bool(l->json, "no_exif", &r->ignore_orientation, "request", error));
    r->sampling.seed = seed;
    return TENEBRA_OK;
}

/* Settings of the line after those of the command line: the last one of a name counts. */
static tenebra_code read_settings(line *l, const tn_run_batch *batch, tenebra_error *error)
{
    tenebra_request *r = &l->request;
    json_t *settings = json_object_get(l->json, "settings"), *value;
    const char *name;
    TN_TRY(tn_json_string(l->json, "method", &r->method, "request", error));
    TN_TRY(tn_json_string(l->json, "positions", &r->positions, "request", error));
    r->setting_count = tn_method_table_choose(batch->methods, batch->trained, r->method, false, l->settings);
    r->settings = l->settings;
    if (settings != NULL && !json_is_object(settings))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, "request", "\"settings\" must be an object of a method's options");
    if (json_object_size(settings) > TN_METHOD_OPTIONS_MAX)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "request", "\"settings\" has more than %d entries", TN_METHOD_OPTIONS_MAX);
    l->numbers = json_object();
    json_object_foreach(settings, name, value) {
        char number[32];
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        if (!json_is_string(value) && !json_is_integer(value))
            return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "a setting must be a string or a whole number");
        if (json_is_integer(value) && json_object_set_new(l->numbers, name, json_string(number)) != 0)
            return tn_fail(error, TENEBRA_ERROR_MEMORY, name, "no memory");
        const json_t *text = json_is_string(value) ? value : json_object_get(l->numbers, name);
        l->settings[r->setting_count++] = (tenebra_setting){ name, json_string_value(text) };
    }
    return TENEBRA_OK;
}

static tenebra_code read_question(line *l, const tn_run_batch *batch, tenebra_error *error)
{
    tenebra_question question = { .preset = batch->preset, .system = batch->system };
    const json_t *messages = json_object_get(l->json, "messages");
    TN_TRY(tn_json_string(l->json, "prompt", &question.text, "request", error));
    TN_TRY(tn_json_string(l->json, "preset", &question.preset, "request", error));
    TN_TRY(tn_json_string(l->json, "system", &question.system, "request", error));
    TN_TRY(read_texts(l->json, "images", &l->images, error));
    TN_TRY(read_texts(l->json, "choices", &l->choices, error));
    if ((messages != NULL) == (question.text != NULL))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, "request", "must have either \"prompt\" or \"messages\"");
    if (question.text != NULL && question.text[strspn(question.text, " \t\r\n")] == '\0')
        return tn_fail(error, TENEBRA_ERROR_FORMAT, "request", "\"prompt\" is empty");
    if (l->choices.count == 1)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, "request", "\"choices\" has one entry; give at least two to choose from");
    if (messages != NULL && (l->images.count > 0 || l->choices.count > 0 || json_object_get(l->json, "system") != NULL ||
                             json_object_get(l->json, "preset") != NULL))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, "request", "\"images\", \"choices\", \"preset\" and \"system\" go with \"prompt\"");
    if (messages != NULL) {
        TN_TRY(tn_messages_read(&l->given, messages, "messages", error));
        l->request.messages = l->given.turns;
        l->request.message_count = l->given.turn_count;
        return TENEBRA_OK;
    }
    question.images = l->images.items;
    question.image_count = l->images.count;
    question.choices = l->choices.items;
    question.choice_count = l->choices.count;
    TN_TRY(tn_question_write(&l->written, &question, tn_trained_wording(batch->trained), error));
    l->request.setting_count += tn_wording_setting(question.preset != NULL ? tn_prompt_find(question.preset) : NULL, l->request.method,
                                                   l->settings, l->request.setting_count, l->picks,
                                                   &l->settings[l->request.setting_count]);
    l->request.messages = l->written.turns;
    l->request.message_count = l->written.turn_count;
    return TENEBRA_OK;
}

static tenebra_code read_line(line *l, const tn_run_batch *batch, const char *text, size_t length, tenebra_error *error)
{
    bool turn = batch->base->answer_turn != NULL;
    if (length > LINE_LIMIT)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "request", "has more than %d bytes", LINE_LIMIT);
    TN_TRY(tn_json_parse(text, length, "request", &l->json, error));
    TN_TRY(check_keys(l->json, error));
    TN_TRY(read_sizes(l, error));
    TN_TRY(read_numbers(l, error));
    TN_TRY(read_settings(l, batch, error));
    TN_TRY(read_question(l, batch, error));
    TN_TRY(read_texts(l->json, "stop", &l->stops, error));
    TN_TRY(tn_json_bool(l->json, "answer_turn", &turn, "request", error));
    if (l->stops.count > 0) {
        l->request.stops = l->stops.items;
        l->request.stop_count = l->stops.count;
    }
    tn_answer_turn_write(l->turn, l->choices.count);
    l->request.answer_turn = turn ? l->turn : NULL;
    return TENEBRA_OK;
}

/* ------------------------------------------------------------ answering -- */

typedef struct watcher {
    const tn_trained *trained;
    const char *noted; /* the method whose note was printed last */
} watcher;

static bool watch(void *user, const tenebra_event *event)
{
    watcher *w = user;
    const tenebra_trace *trace = event->trace;
    bool taught = w->trained->method != NULL && strcmp(w->trained->method, trace->method) == 0;
    if (event->kind == TENEBRA_EVENT_PROMPT && trace->note != NULL && !taught && w->noted != trace->method) {
        tn_app_tell("note       %s\n", trace->note);
        w->noted = trace->method;
    }
    return !tn_app_interrupted();
}

static tenebra_code describe(json_t *answer, const tenebra_trace *trace, bool whole, tenebra_error *error)
{
    char *text = tenebra_trace_json(trace);
    json_t *all = NULL;
    if (text != NULL)
        tn_json_parse(text, strlen(text), "trace", &all, error);
    static const char *const shown[] = { "answer", "finish", "method", NULL };
    free(text);
    if (all == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "answer", "no memory");
    for (size_t i = 0; shown[i] != NULL && !whole; i++)
        json_object_set(answer, shown[i], json_object_get(all, shown[i]));
    int result = whole ? json_object_update(answer, all) : 0;
    json_decref(all);
    return result == 0 ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_MEMORY, "answer", "no memory");
}

static void name_line(json_t *answer, size_t number, json_t *id)
{
    json_object_set_new(answer, "line", json_integer((json_int_t)number));
    if (id != NULL)
        json_object_set(answer, "id", id);
}

/* Options of the command line are for all lines, some of which may set a temperature; so only keys of the line itself are noted. */
static void note_greedy(const line *l, const char *where)
{
    const tenebra_sampling *all = &l->request.sampling;
    const tenebra_sampling own = { .temperature = all->temperature,
                                   .top_k = json_object_get(l->json, "top_k") != NULL ? all->top_k : 0,
                                   .top_p = json_object_get(l->json, "top_p") != NULL ? all->top_p : 0,
                                   .seed = json_object_get(l->json, "seed") != NULL ? all->seed : 0 };
    tn_ask_tell_greedy(where, &own, tn_ask_intervenes(l->request.method, l->request.settings, l->request.setting_count));
}

/* Fills the answer, or an error in its place, with the number and the id of the line in either. */
static tenebra_code answer_line(const tn_run_batch *batch, tenebra_session *session, watcher *w, size_t number, const char *text,
                                size_t length, json_t *answer, tenebra_error *error)
{
    line l = { .number = number, .request = *batch->base };
    const tenebra_trace *trace;
    l.request.on_event = watch;
    l.request.user = w;
    l.request.work = false;
    if (l.request.method == NULL)
        l.request.method = batch->trained->method;
    if (l.request.positions == NULL)
        l.request.positions = batch->trained->positions;
    tenebra_code code = read_line(&l, batch, text, length, error);
    json_t *id = json_object_get(l.json, "id");
    char where[48];
    snprintf(where, sizeof where, "note: line %zu: ", number);
    if (code == TENEBRA_OK) {
        note_greedy(&l, where);
        tn_run_question_note_scope(batch->scope, l.request.messages, l.request.message_count, where);
        code = tenebra_session_ask(session, &l.request, &trace, error);
    }
    name_line(answer, number, id);
    if (code == TENEBRA_OK)
        code = describe(answer, trace, batch->whole, error);
    if (code != TENEBRA_OK) {
        json_object_clear(answer);
        name_line(answer, number, id);
        tn_jsonl_put_error(answer, number, error);
    }
    free_line(&l);
    return code;
}

int tn_run_batch_answer(const tn_run_batch *batch, tenebra_session *session)
{
    char *text = NULL;
    size_t capacity = 0, number = 0;
    int exit_code = TN_EXIT_OK;
    watcher w = { .trained = batch->trained };
    for (ssize_t length; !tn_app_interrupted() && (length = getline(&text, &capacity, stdin)) >= 0;) {
        number++;
        if (strspn(text, " \t\r\n") == (size_t)length)
            continue;
        tenebra_error error = { 0 };
        json_t *answer = json_object();
        if (answer_line(batch, session, &w, number, text, tn_jsonl_length(text, (size_t)length), answer, &error) != TENEBRA_OK)
            exit_code = TN_EXIT_FAILED;
        tenebra_code code = tn_app_interrupted() ? TENEBRA_OK : tn_jsonl_write(answer, &error);
        json_decref(answer);
        if (code != TENEBRA_OK) {
            free(text);
            return TN_EXIT_FAILED; /* a failed write is reported when stdout is closed */
        }
    }
    free(text);
    if (tn_app_interrupted()) {
        tn_app_print_error(&(tenebra_error){ .code = TENEBRA_ERROR_CANCELLED });
        exit_code = TN_EXIT_FAILED;
    }
    return exit_code;
}
