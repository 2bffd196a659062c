#include "eval/answer.h"

#include "base/digest.h"
#include "eval/record.h"
#include "eval/score.h"
#include "reason/asked.h"
#include "reason/method.h"

#include <stdlib.h>
#include <string.h>

tenebra_code tn_examinee_open(tn_examinee *examinee, const tenebra_model *model, const tn_eval_plan *plan,
                              const tn_eval_questions *questions, size_t threads, tenebra_error *error)
{
    /* Nothing is kept from question to question: times and counts would depend on the order. */
    tenebra_session_options options = plan->session;
    options.threads = threads;
    options.no_image_cache = true;
    *examinee = (tn_examinee){ .plan = plan, .questions = questions };
    return tenebra_session_open(&examinee->session, model, &options, error);
}

void tn_examinee_close(tn_examinee *examinee)
{
    tenebra_session_close(examinee->session);
    examinee->session = NULL;
}

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

/* Text that may be no UTF-8 (a published file promises nothing) becomes null. */
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

/* Latent text of another question. */
typedef struct donor {
    float *latents; /* [count, size] */
    size_t count, size;
} donor;

static void fill_request(const tn_examinee *examinee, const tn_eval_entry *entry, tenebra_request *request)
{
    const tenebra_request asked = *request;
    *request = examinee->plan->request;
    request->messages = asked.messages;
    request->message_count = asked.message_count;
    request->ignore_orientation = asked.ignore_orientation;
    request->method = entry->method;
    request->settings = entry->settings;
    request->setting_count = entry->setting_count;
    request->no_reuse = true;
    if (examinee->questions->example.json != NULL && tn_method_find(entry->method)->reply != TN_REPLY_NONE)
        request->example = &examinee->questions->example.example;
}

static tenebra_code keep_latents(donor *other, const tenebra_trace *trace, tenebra_error *error)
{
    other->count = trace->step_count;
    other->size = other->count > 0 ? trace->steps[0].hidden_size : 0;
    other->latents = calloc(other->count * other->size + 1, sizeof *other->latents);
    if (other->latents == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "eval", "no memory for latents");
    for (size_t s = 0; s < other->count; s++)
        memcpy(other->latents + s * other->size, trace->steps[s].hidden, other->size * sizeof *other->latents);
    return TENEBRA_OK;
}

/* Asks the next question of the set for its latents; the last one's next is the first. */
static tenebra_code ask_other(tn_examinee *examinee, size_t question, const tn_eval_entry *entry, donor *other,
                              tenebra_error *error)
{
    const tn_sample *sample = examinee->questions->samples[(question + 1) % examinee->questions->count];
    tenebra_setting settings[TN_EVAL_SETTINGS_MAX + 1];
    tn_asked asked;
    TN_TRY(tn_asked_write(&asked, examinee->questions->preset, sample, error));
    tenebra_request request = tn_asked_request(&asked);
    fill_request(examinee, entry, &request);
    memcpy(settings, entry->settings, sizeof entry->settings);
    for (size_t i = 0; i < entry->setting_count; i++)
        if (tn_method_option(entry->method, settings[i].name)->means == TN_MEANS_LATENT_TEXT)
            settings[i].value = TN_LATENT_TEXT_KEEP;
    request.settings = settings;
    request.sampling.seed = tn_eval_seed(examinee->plan->request.sampling.seed, sample->id);
    request.max_tokens = 1;
    const tenebra_trace *trace;
    tenebra_code code = tenebra_session_ask(examinee->session, &request, &trace, error);
    if (code == TENEBRA_OK)
        code = keep_latents(other, trace, error);
    tn_asked_free(&asked);
    return code;
}

static tenebra_code ask(tn_examinee *examinee, size_t question, const tn_eval_entry *entry, json_t *record, tenebra_error *error)
{
    const tn_sample *sample = examinee->questions->samples[question];
    donor other = { .latents = NULL };
    tn_asked asked;
    const tenebra_trace *trace;
    tn_verdict verdict;
    char turn[TN_ANSWER_TURN_SIZE];
    tenebra_code code = entry->other ? ask_other(examinee, question, entry, &other, error) : TENEBRA_OK;
    if (code == TENEBRA_OK)
        code = tn_asked_write(&asked, examinee->questions->preset, sample, error);
    if (code == TENEBRA_OK) {
        tenebra_request request = tn_asked_request(&asked);
        fill_request(examinee, entry, &request);
        request.sampling.seed = tn_eval_seed(examinee->plan->request.sampling.seed, sample->id);
        const tenebra_input input = { TN_INPUT_LATENTS, other.latents, other.count, other.size };
        request.inputs = &input;
        request.input_count = entry->other;
        if (examinee->plan->answer_turn) {
            tn_answer_turn_write(turn, asked.letters);
            request.answer_turn = turn;
        }
        code = tenebra_session_ask(examinee->session, &request, &trace, error);
        if (code == TENEBRA_OK) {
            tn_scored scored = { .sample = sample, .text = TN_SLICE(trace->text),
                                 .prompt = { asked.prompt.text, asked.prompt.length } };
            code = tn_scorer_standard()->judge(&verdict, &scored, 0, error);
        }
        if (code == TENEBRA_OK && (!tn_record_add_trace(record, trace) || !describe_verdict(record, &verdict)))
            code = tn_fail(error, TENEBRA_ERROR_MEMORY, "eval", "no memory for a record");
        if (code == TENEBRA_OK && request.scores)
            code = tn_record_add_neutral(record, examinee->session, &request, trace->positions, error);
        tn_asked_free(&asked);
    }
    free(other.latents);
    return code;
}

json_t *tn_examinee_answer(tn_examinee *examinee, size_t question, size_t entry)
{
    tenebra_error error = { 0 };
    json_t *record = describe_question(examinee->questions, examinee->plan, question, entry);
    if (record == NULL)
        return NULL;
    if (ask(examinee, question, &examinee->plan->entries[entry], record, &error) == TENEBRA_OK)
        return record;
    json_decref(record);
    return tn_eval_failure(examinee->questions, examinee->plan, question, entry, &error);
}
