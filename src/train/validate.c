/* Validation: the model answers questions as a user would ask them, greedily, and the answers are compared. */
#include "train/parts.h"

#include "base/checked.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Models below this size answer one question per thread; larger ones use all threads for each question. */
enum { SMALL_MODEL = 256 << 20, ROUND = 4 };

typedef struct exam {
    tn_trainer *trainer;
    size_t count, workers;
    tenebra_session **sessions; /* [workers]            */
    tenebra_setting settings[TN_TRAIN_SETTINGS_MAX + 1];
    size_t setting_count;
    size_t first;               /* question of chunk 0  */
    unsigned char *right;       /* [count]              */
    tenebra_error *errors;      /* [workers]            */
} exam;

/* An answer is correct if its text ends with what training would have written, apart from white space and from what the method writes
 * after it (may be NULL). */
static bool ends_with(const char *text, const char *expected, const char *after)
{
    size_t length = strlen(text), size = strlen(expected), closing = after != NULL ? strlen(after) : 0;
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    if (closing > 0 && length >= closing && memcmp(text + length - closing, after, closing) == 0)
        length -= closing;
    while (size > 0 && isspace((unsigned char)expected[size - 1]))
        size--;
    return size > 0 && length >= size && memcmp(text + length - size, expected, size) == 0;
}

/* An open question may have several correct answers. */
static tenebra_code judge(const exam *e, const tn_sample *sample, const char *text, bool *right, tenebra_error *error)
{
    const char *name = e->trainer->config->method;
    const tn_method *method = name != NULL ? tn_method_find(name) : NULL;
    const tn_prompt_preset *prompt = e->trainer->validation_prompt;
    *right = false;
    for (size_t i = 0; i <= sample->answer_count && !*right; i++) {
        tn_sample one = *sample;
        if (i > 0)
            one.label = sample->answers[i - 1];
        char *expected;
        TN_TRY(tn_prompt_answer(prompt, &one, &expected, error));
        *right = ends_with(text, expected, method != NULL ? method->answer_end : NULL);
        free(expected);
    }
    return TENEBRA_OK;
}

static tenebra_code answer(const exam *e, size_t question, size_t worker, bool *right, tenebra_error *error)
{
    const tn_trainer *trainer = e->trainer;
    const tn_train_config *config = trainer->config;
    const tn_sample *sample = tn_data_sample(trainer->validation, question);
    tn_asked asked;
    TN_TRY(tn_asked_write(&asked, trainer->validation_prompt, sample, error));
    tenebra_request request = tn_asked_request(&asked);
    request.method = config->method;
    request.settings = e->settings;
    request.setting_count = e->setting_count;
    request.positions = config->positions;
    request.max_tokens = config->validation_tokens;
    request.image = config->image;
    const tenebra_trace *trace;
    tenebra_code code = tenebra_session_ask(e->sessions[worker], &request, &trace, error);
    tn_asked_free(&asked);
    TN_TRY(code);
    return judge(e, sample, trace->text, right, error);
}

static void answer_chunk(void *argument, size_t chunk, size_t worker)
{
    exam *e = argument;
    bool right = false;
    if (e->errors[worker].code == TENEBRA_OK)
        answer(e, e->first + chunk, worker, &right, &e->errors[worker]);
    e->right[e->first + chunk] = right;
}

static tenebra_code open_exam(exam *e, tn_pool **pool, tenebra_error *error)
{
    const tn_trainer *trainer = e->trainer;
    bool small = tn_store_bytes(trainer->model->store) < SMALL_MODEL;
    e->workers = small ? tn_max(1, trainer->threads) : 1;
    e->sessions = calloc(e->workers, sizeof *e->sessions);
    e->errors = calloc(e->workers, sizeof *e->errors);
    e->right = calloc(e->count + 1, sizeof *e->right);
    if (e->sessions == NULL || e->errors == NULL || e->right == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "validation", "no memory for %zu questions", e->count);
    const tenebra_session_options options = { .size = sizeof options, .threads = small ? 1 : trainer->threads };
    for (size_t i = 0; i < e->workers; i++)
        TN_TRY(tenebra_session_open(&e->sessions[i], trainer->model, &options, error));
    return tn_pool_open(e->workers, pool, error);
}

static tenebra_code run_exam(exam *e, tn_pool *pool, tenebra_error *error)
{
    const tn_trainer *trainer = e->trainer;
    for (e->first = 0; e->first < e->count;) {
        if (tn_trainer_is_stopped(trainer))
            return tn_fail(error, TENEBRA_ERROR_CANCELLED, "train", "was stopped");
        size_t round = tn_min(e->count - e->first, ROUND * e->workers);
        tn_pool_run(pool, round, answer_chunk, e);
        for (size_t i = 0; i < e->workers; i++)
            if (e->errors[i].code != TENEBRA_OK)
                return tn_fail(error, e->errors[i].code, e->errors[i].where, "%.400s (in the validation)", e->errors[i].sentence);
        e->first += round;
        tn_train_event event = { .kind = TN_TRAIN_QUESTION, .done = e->first, .total = e->count };
        if (trainer->options.on_event != NULL)
            trainer->options.on_event(trainer->options.user, &event);
    }
    return TENEBRA_OK;
}

/* Counts [correct, questions] by topic. */
static json_t *count_topics(const exam *e)
{
    json_t *topics = json_object();
    for (size_t i = 0; i < e->count && topics != NULL; i++) {
        const char *topic = tn_data_sample(e->trainer->validation, i)->topic;
        const json_t *old = json_object_get(topics, topic);
        json_t *row = json_pack("[I, I]", json_integer_value(json_array_get(old, 0)) + (e->right[i] != 0),
                                json_integer_value(json_array_get(old, 1)) + 1);
        if (json_object_set_new(topics, topic, row) != 0) {
            json_decref(topics);
            return NULL;
        }
    }
    return topics;
}

tenebra_code tn_trainer_validate(tn_trainer *trainer, size_t stage, double *accuracy, size_t *count, json_t **topics,
                                 tenebra_error *error)
{
    const tn_train_config *config = trainer->config;
    exam e = { .trainer = trainer, .count = tn_data_count(trainer->validation), .setting_count = config->setting_count };
    memcpy(e.settings, config->settings, config->setting_count * sizeof *config->settings);
    char latents[TN_SETTING_TEXT_SIZE];
    size_t steps = tn_stage_apply(config, stage, config->step_groups).latents;
    e.setting_count += tn_setting_that_means(config->method, TN_MEANS_LATENT_STEPS, steps, latents, &e.settings[e.setting_count]);
    tn_pool *pool = NULL;
    tenebra_error problem = { 0 };
    tenebra_code code = open_exam(&e, &pool, &problem);
    if (code == TENEBRA_OK)
        code = run_exam(&e, pool, &problem);
    size_t right = 0;
    for (size_t i = 0; i < e.count && code == TENEBRA_OK; i++)
        right += e.right[i];
    *topics = code == TENEBRA_OK ? count_topics(&e) : NULL;
    *accuracy = e.count > 0 ? (double)right / (double)e.count : 0;
    *count = e.count;
    tn_pool_close(pool);
    for (size_t i = 0; e.sessions != NULL && i < e.workers; i++)
        tenebra_session_close(e.sessions[i]);
    free(e.sessions);
    free(e.errors);
    free(e.right);
    return code == TENEBRA_OK ? code : tn_fail(error, code, problem.where, "%s", problem.sentence);
}
