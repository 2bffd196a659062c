#include "eval/answer.h"

#include "base/digest.h"
#include "eval/record.h"
#include "eval/score.h"
#include "reason/asked.h"
#include "reason/method.h"

#include <stdlib.h>
#include <string.h>

uint64_t tn_eval_seed(uint64_t seed, const char *id)
{
    tn_hash hash;
    tn_hash_start(&hash);
    tn_hash_add(&hash, &seed, sizeof seed);
    tn_hash_add(&hash, id, strlen(id));
    return tn_hash_finish(&hash).words[0] >> 11;
}

/* --------------------------------------------------------------- record -- */

static json_t *count(size_t value)
{
    return json_integer((json_int_t)value);
}

/* Text that is not UTF-8, which is possible in published files, becomes null. */
static json_t *text(const char *value)
{
    json_t *string = json_string(value);
    return string != NULL ? string : json_null();
}

static json_t *describe_question(const tn_eval_questions *questions, const tn_eval_plan *plan, size_t question, size_t entry)
{
    const tn_sample *sample = questions->samples[question];
    return json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o}", "n", count(question), "id", text(sample->id), "method",
                     plan->entries[entry].label, "gold", text(sample->label), "domain", text(sample->domain), "topic",
                     text(sample->topic), "category", text(sample->category), "options", count(sample->option_count));
}

json_t *tn_eval_failure(const tn_eval_questions *questions, const tn_eval_plan *plan, size_t question, size_t entry,
                        const tenebra_error *error)
{
    json_t *record = describe_question(questions, plan, question, entry);
    if (record == NULL || json_object_set_new(record, "failed", json_true()) != 0 ||
        json_object_set_new(record, "error", json_pack("{s:i, s:o, s:o}", "code", (int)error->code, "where", text(error->where),
                                                       "sentence", text(error->sentence))) != 0) {
        json_decref(record);
        return NULL;
    }
    return record;
}

/* Adds the verdict. */
static bool describe_verdict(json_t *record, const tn_verdict *verdict)
{
    json_t *found = verdict->choice != TN_NO_CHOICE ? json_integer((json_int_t)verdict->choice) : json_null();
    return json_object_set_new(record, "choice", found) == 0 &&
           json_object_set_new(record, "correct", json_boolean(verdict->correct)) == 0;
}

/* --------------------------------------------------------------- asking -- */

bool tn_eval_takes_other(const tn_eval_plan *plan, size_t entry)
{
    return plan->entries[entry].other || (plan->request.reconstruct && tn_method_find(plan->entries[entry].method)->denoiser != NULL);
}

/* The requests for one record, one after another. */
typedef enum stage {
    OTHER,  /* the latents of the next question, for an entry that uses them */
    ANSWER,
    NEUTRAL /* a neutral prompt, to compare maps of attention with            */
} stage;

/* A question in progress. */
typedef struct asking {
    bool busy;
    size_t question, entry, job;
    stage stage;
    json_t *record;
    tn_asked asked; /* the texts of the request */
    tenebra_request request;
    tenebra_setting settings[TN_EVAL_SETTINGS_MAX + 1];
    tenebra_input inputs[2]; /* the latents of the other question: instead of its own, and to reconstruct the image from */
    float *latents; /* [latent_count, latent_size] of the other question */
    size_t latent_count, latent_size;
    char turn[TN_ANSWER_TURN_SIZE];
    tn_neutral neutral;
    tenebra_error error;
    bool failed;
} asking;

struct tn_examinee {
    const tn_eval_plan *plan;
    const tn_eval_questions *questions;
    tn_rounds *rounds;
    asking *all; /* [places] */
    size_t places;
};

tenebra_code tn_examinee_open(tn_examinee **examinee, const tenebra_model *model, const tn_eval_plan *plan,
                              const tn_eval_questions *questions, size_t places, size_t threads, tenebra_error *error)
{
    const tenebra_session_options *given = &plan->session;
    /* Nothing is kept between questions, so that times do not depend on the order; with several questions at once they do in
     * any case. */
    const tn_session_options options = { .context = given->context, .threads = threads, .no_image_cache = places == 1,
                                         .image_cache = given->image_cache,
                                         .cache_type = given->cache_type != NULL && strcmp(given->cache_type, "bf16") == 0 ? TN_BF16
                                                                                                                          : TN_F32 };
    tn_examinee *opened = calloc(1, sizeof *opened);
    *examinee = NULL;
    if (opened == NULL || (opened->all = calloc(places, sizeof *opened->all)) == NULL) {
        free(opened);
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "eval", "no memory");
    }
    opened->plan = plan;
    opened->questions = questions;
    opened->places = places;
    tenebra_code code = tn_rounds_open(&opened->rounds, model, &options, places, error);
    if (code == TENEBRA_OK)
        *examinee = opened;
    else
        tn_examinee_close(opened);
    return code;
}

static void forget(asking *a)
{
    tn_asked_free(&a->asked);
    tn_neutral_free(&a->neutral);
    free(a->latents);
    json_decref(a->record);
    *a = (asking){ .busy = false };
}

void tn_examinee_close(tn_examinee *examinee)
{
    if (examinee == NULL)
        return;
    tn_rounds_close(examinee->rounds);
    for (size_t i = 0; i < examinee->places; i++)
        forget(&examinee->all[i]);
    free(examinee->all);
    free(examinee);
}

/* The request of a question, with the words and settings of its entry. */
static tenebra_code write_request(const tn_examinee *examinee, asking *a, const tn_sample *sample, tenebra_error *error)
{
    const tn_eval_entry *entry = &examinee->plan->entries[a->entry];
    tn_asked_free(&a->asked);
    TN_TRY(tn_asked_write(&a->asked, examinee->questions->preset, sample, error));
    const tenebra_request asked = tn_asked_request(&a->asked);
    a->request = examinee->plan->request;
    a->request.messages = asked.messages;
    a->request.message_count = asked.message_count;
    a->request.ignore_orientation = asked.ignore_orientation;
    a->request.method = entry->method;
    a->request.settings = entry->settings;
    a->request.setting_count = entry->setting_count;
    a->request.no_reuse = true;
    a->request.sampling.seed = tn_eval_seed(examinee->plan->request.sampling.seed, sample->id);
    if (examinee->questions->example.json != NULL && tn_method_find(entry->method)->reply != TN_REPLY_NONE)
        a->request.example = &examinee->questions->example.example;
    return TENEBRA_OK;
}

/* The next question of the data set is answered for its latents; the one after the last is the first. */
static tenebra_code write_other(const tn_examinee *examinee, asking *a, tenebra_error *error)
{
    const tn_eval_entry *entry = &examinee->plan->entries[a->entry];
    TN_TRY(write_request(examinee, a, examinee->questions->samples[(a->question + 1) % examinee->questions->count], error));
    memcpy(a->settings, entry->settings, sizeof entry->settings);
    for (size_t i = 0; i < entry->setting_count; i++)
        if (tn_method_option(entry->method, a->settings[i].name)->means == TN_MEANS_LATENT_TEXT)
            a->settings[i].value = TN_LATENT_TEXT_KEEP;
    a->request.settings = a->settings;
    a->request.max_tokens = 1;
    a->request.reconstruct = false;
    return TENEBRA_OK;
}

static tenebra_code write_answer(const tn_examinee *examinee, asking *a, tenebra_error *error)
{
    TN_TRY(write_request(examinee, a, examinee->questions->samples[a->question], error));
    a->request.inputs = a->inputs;
    a->request.input_count = 0;
    if (examinee->plan->entries[a->entry].other)
        a->inputs[a->request.input_count++] = (tenebra_input){ TN_INPUT_LATENTS, a->latents, a->latent_count, a->latent_size };
    if (a->request.reconstruct && a->latents != NULL)
        a->inputs[a->request.input_count++] = (tenebra_input){ TN_INPUT_RECONSTRUCT, a->latents, a->latent_count, a->latent_size };
    if (examinee->plan->answer_turn) {
        tn_answer_turn_write(a->turn, a->asked.letters);
        a->request.answer_turn = a->turn;
    }
    return TENEBRA_OK;
}

static tenebra_code keep_latents(asking *a, const tenebra_trace *trace, tenebra_error *error)
{
    size_t count = trace->step_count, size = count > 0 ? trace->steps[0].hidden_size : 0;
    a->latents = calloc(count * size + 1, sizeof *a->latents);
    if (a->latents == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "eval", "no memory for latents");
    for (size_t s = 0; s < count; s++)
        memcpy(a->latents + s * size, trace->steps[s].hidden, size * sizeof *a->latents);
    a->latent_count = count;
    a->latent_size = size;
    return TENEBRA_OK;
}

static tenebra_code take_answer(const tn_examinee *examinee, asking *a, const tenebra_trace *trace, tenebra_error *error)
{
    tn_verdict verdict;
    const tn_scored scored = { .sample = examinee->questions->samples[a->question], .text = TN_SLICE(trace->text),
                               .prompt = { a->asked.prompt.text, a->asked.prompt.length } };
    TN_TRY(tn_scorer_standard()->judge(&verdict, &scored, 0, error));
    if (!tn_record_add_trace(a->record, trace, examinee->places) || !describe_verdict(a->record, &verdict))
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "eval", "no memory for a record");
    return a->request.scores ? tn_neutral_write(&a->neutral, &a->request, trace->positions, error) : TENEBRA_OK;
}

/* Takes the result of the finished request and prepares the next one; *next is false if the record is complete. */
static tenebra_code take_end(const tn_examinee *examinee, asking *a, const tenebra_trace *trace, bool *next, tenebra_error *error)
{
    *next = a->stage == OTHER;
    if (a->stage == OTHER) {
        TN_TRY(keep_latents(a, trace, error));
        a->stage = ANSWER;
        return write_answer(examinee, a, error);
    }
    if (a->stage == NEUTRAL)
        return tn_record_add_neutral(a->record, trace) ? TENEBRA_OK
                                                       : tn_fail(error, TENEBRA_ERROR_MEMORY, "scores", "no memory for a record");
    TN_TRY(take_answer(examinee, a, trace, error));
    *next = a->neutral.parts != NULL;
    a->stage = NEUTRAL;
    return TENEBRA_OK;
}

/* Begins the request of the stage. */
static tenebra_code begin_stage(const tn_examinee *examinee, asking *a, tenebra_error *error)
{
    return tn_rounds_begin(examinee->rounds, a->stage == NEUTRAL ? &a->neutral.request : &a->request, NULL, NULL, a, error);
}

bool tn_examinee_begin(tn_examinee *examinee, size_t question, size_t entry, size_t job)
{
    asking *a = examinee->all;
    while (a->busy)
        a++;
    *a = (asking){ .busy = true, .question = question, .entry = entry, .job = job };
    a->record = describe_question(examinee->questions, examinee->plan, question, entry);
    a->stage = tn_eval_takes_other(examinee->plan, entry) && examinee->questions->count > 1 ? OTHER : ANSWER;
    tenebra_code code = a->stage == OTHER ? write_other(examinee, a, &a->error) : write_answer(examinee, a, &a->error);
    if (code == TENEBRA_OK)
        code = begin_stage(examinee, a, &a->error);
    a->failed = code != TENEBRA_OK;
    return a->record != NULL;
}

/* Returns the record of a finished question and frees its place. */
static bool hand_out(const tn_examinee *examinee, asking *a, size_t *job, json_t **record)
{
    *job = a->job;
    *record = a->failed ? tn_eval_failure(examinee->questions, examinee->plan, a->question, a->entry, &a->error) : json_incref(a->record);
    forget(a);
    return *record != NULL;
}

bool tn_examinee_proceed(tn_examinee *examinee, size_t *job, json_t **record)
{
    tn_rounds_end ended;
    *record = NULL;
    for (size_t i = 0; i < examinee->places; i++)
        if (examinee->all[i].busy && examinee->all[i].failed)
            return hand_out(examinee, &examinee->all[i], job, record);
    if (!tn_rounds_take(examinee->rounds, &ended)) {
        tn_rounds_run(examinee->rounds);
        return true;
    }
    asking *a = ended.user;
    bool next = false;
    tenebra_code code = ended.code;
    a->error = ended.error;
    if (code == TENEBRA_OK)
        code = take_end(examinee, a, ended.trace, &next, &a->error);
    if (code == TENEBRA_OK && next)
        code = begin_stage(examinee, a, &a->error);
    a->failed = code != TENEBRA_OK;
    return a->failed || next || hand_out(examinee, a, job, record);
}
