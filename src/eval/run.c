#include "eval/run.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/pool.h"
#include "eval/answer.h"
#include "eval/workers.h"
#include "eval/journal.h"
#include "eval/score.h"
#include "eval/statistics.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The state of an answer, in one byte each. */
enum { OPEN, RIGHT, WRONG, SILENT, FAILED }; /* SILENT: wrong, because it names no option */

struct tn_eval {
    const tn_eval_plan *plan;
    tn_eval_options options;
    tn_eval_questions questions;
    tenebra_model *model;
    tn_journal journal;
    json_t *manifest;
    tn_eval_count *counts; /* [entries] */
    unsigned char *states; /* [questions * entries]: question-major, like the numbers of jobs */
    size_t total, done, now;
    double seconds; /* time of the run */
};

static size_t entry_of(const tn_eval *eval, size_t job) { return job % eval->plan->entry_count; }
static size_t question_of(const tn_eval *eval, size_t job) { return job / eval->plan->entry_count; }

/* --------------------------------------------------------------- counts -- */

static void uncount(tn_eval *eval, size_t job)
{
    tn_eval_count *row = &eval->counts[entry_of(eval, job)];
    unsigned char old = eval->states[job];
    eval->done -= old != OPEN;
    row->done -= old != OPEN;
    row->right -= old == RIGHT;
    row->silent -= old == SILENT;
    row->failed -= old == FAILED;
}

/* Counts the newest record of a job. */
static void count_record(tn_eval *eval, size_t job, const json_t *record)
{
    tn_eval_count *row = &eval->counts[entry_of(eval, job)];
    bool failed = json_is_true(json_object_get(record, "failed"));
    uncount(eval, job);
    bool open = json_integer_value(json_object_get(record, "options")) == 0, named = json_is_integer(json_object_get(record, "choice"));
    eval->states[job] = failed ? FAILED : json_is_true(json_object_get(record, "correct")) ? RIGHT : open || named ? WRONG : SILENT;
    eval->done++;
    row->done++;
    row->right += eval->states[job] == RIGHT;
    row->silent += eval->states[job] == SILENT;
    row->failed += failed;
}

static void tell(const tn_eval *eval, size_t job, const json_t *record)
{
    if (eval->options.on_event == NULL)
        return;
    const json_t *error = json_object_get(record, "error");
    const char *where = json_string_value(json_object_get(error, "where"));
    tn_eval_event event = { .counts = eval->counts, .entries = eval->plan->entry_count, .done = eval->done,
                            .total = eval->total, .now = eval->now, .id = eval->questions.samples[question_of(eval, job)]->id,
                            .label = eval->plan->entries[entry_of(eval, job)].label,
                            .where = where ? where : "",
                            .failure = eval->states[job] == FAILED ? json_string_value(json_object_get(error, "sentence")) : NULL };
    eval->options.on_event(eval->options.user, &event);
}

/* A record of an older run. The manifest is compared after these lines and reports records that do not fit. */
static tenebra_code take_old(void *user, const json_t *record, tenebra_error *error)
{
    tn_eval *eval = user;
    const char *id = json_string_value(json_object_get(record, "id"));
    const char *label = json_string_value(json_object_get(record, "method"));
    size_t question = SIZE_MAX - 1;
    TN_TRY(tn_json_size(record, "n", 0, SIZE_MAX >> 12, &question, eval->journal.path, error));
    if (id == NULL || label == NULL || question == SIZE_MAX - 1)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, eval->journal.path, "has a line without \"n\", \"id\" or \"method\"");
    if (question >= eval->questions.count || strcmp(eval->questions.samples[question]->id, id) != 0)
        return TENEBRA_OK;
    for (size_t e = 0; e < eval->plan->entry_count; e++)
        if (strcmp(eval->plan->entries[e].label, label) == 0)
            count_record(eval, question * eval->plan->entry_count + e, record);
    return TENEBRA_OK;
}

/* If the file continues with more questions, the former last question had used the latents of the first one. */
static tenebra_code fit_old(void *user, const json_t *saved, bool *more, tenebra_error *error)
{
    tn_eval *eval = user;
    size_t entries = eval->plan->entry_count;
    TN_TRY(tn_eval_manifest_fit(eval->plan, &eval->questions, eval->manifest, saved, eval->journal.path, more, error));
    size_t last = (size_t)json_integer_value(json_object_get(json_object_get(saved, "data"), "questions")) - 1;
    for (size_t e = 0; e < entries && *more; e++)
        if (tn_eval_takes_other(eval->plan, e)) {
            uncount(eval, last * entries + e);
            eval->states[last * entries + e] = OPEN;
        }
    return TENEBRA_OK;
}

/* -------------------------------------------------------------- opening -- */

static tenebra_code open_tables(tn_eval *eval, tenebra_error *error)
{
    const tn_eval_plan *plan = eval->plan;
    if (plan->entry_count == 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "method", "there is none; name one with --method");
    TN_TRY(tn_eval_questions_open(&eval->questions, plan, error));
    eval->counts = calloc(plan->entry_count, sizeof *eval->counts);
    if (!tn_size_mul(eval->questions.count, plan->entry_count, &eval->total) || eval->counts == NULL ||
        (eval->states = calloc(eval->total, 1)) == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "eval", "no memory for %zu questions", eval->questions.count);
    for (size_t e = 0; e < plan->entry_count; e++)
        eval->counts[e].label = plan->entries[e].label;
    return TENEBRA_OK;
}

/* An intervention with another question's latents requires another question. */
static tenebra_code check_other(const tn_eval *eval, tenebra_error *error)
{
    for (size_t e = 0; e < eval->plan->entry_count; e++)
        if (eval->plan->entries[e].other && eval->questions.count < 2)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, eval->plan->entries[e].label, "takes the latents of another question, and "
                           "there is only one");
    return TENEBRA_OK;
}

static tenebra_code open_parts(tn_eval *eval, tenebra_error *error)
{
    TN_TRY(open_tables(eval, error));
    TN_TRY(check_other(eval, error));
    TN_TRY(tenebra_model_open(&eval->model, eval->plan->model, &eval->plan->model_options, error));
    if (eval->model->tokenizer == NULL)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, eval->plan->model, "has no tokenizer, so it cannot be asked in words");
    TN_TRY(tn_eval_manifest(&eval->manifest, eval->plan, &eval->questions, eval->model->kernels->name, error));
    return tn_journal_open(&eval->journal, eval->options.output, eval->manifest, eval->options.anew, take_old, fit_old, eval, error);
}

void tn_eval_notes(const tn_eval *eval, void (*say)(void *user, const char *sentence), void *user)
{
    char text[TN_DATA_NOTE];
    if (tn_data_note(eval->questions.data, text)[0] != '\0')
        say(user, text);
    if (eval->questions.example.unknown[0] != '\0') {
        snprintf(text, sizeof text, "%.160s: unused members: %s", eval->plan->example, eval->questions.example.unknown);
        say(user, text);
    }
}

tenebra_code tn_eval_open(tn_eval **eval, const tn_eval_plan *plan, const tn_eval_options *options, tenebra_error *error)
{
    tn_eval *opened = calloc(1, sizeof *opened);
    *eval = NULL;
    if (opened == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "eval", "no memory");
    opened->plan = plan;
    opened->options = *options;
    opened->journal.file = -1;
    tenebra_code code = open_parts(opened, error);
    if (code == TENEBRA_OK)
        *eval = opened;
    else
        tn_eval_close(opened);
    return code;
}

void tn_eval_close(tn_eval *eval)
{
    if (eval == NULL)
        return;
    tn_journal_close(&eval->journal, NULL);
    tenebra_model_close(eval->model);
    tn_eval_questions_close(&eval->questions);
    json_decref(eval->manifest);
    free(eval->counts);
    free(eval->states);
    free(eval);
}

/* -------------------------------------------------------------- running -- */

typedef struct worker {
    const tn_eval *eval;
    tn_examinee *examinee;
} worker;

static tenebra_code open_worker(void *user, void **opened, tenebra_error *error)
{
    const tn_eval *eval = user;
    size_t workers = tn_max(1, eval->options.workers), threads = eval->options.threads ? eval->options.threads : tn_cpu_count();
    worker *state = calloc(1, sizeof *state);
    if (state == NULL)
        return tn_fail_memory(error, "eval");
    state->eval = eval;
    tenebra_code code = tn_examinee_open(&state->examinee, eval->model, eval->plan, &eval->questions, tn_max(1, eval->options.parallel),
                                         tn_max(1, threads / workers), error);
    if (code == TENEBRA_OK)
        *opened = state;
    else
        free(state);
    return code;
}

static bool begin_job(void *user, size_t job)
{
    const worker *state = user;
    return tn_examinee_begin(state->examinee, question_of(state->eval, job), entry_of(state->eval, job), job);
}

static bool proceed(void *user, size_t *job, char **line)
{
    const worker *state = user;
    json_t *record;
    if (!tn_examinee_proceed(state->examinee, job, &record))
        return false;
    *line = record != NULL ? json_dumps(record, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    bool fits = record == NULL || *line != NULL;
    json_decref(record);
    return fits;
}

static void close_worker(void *user)
{
    worker *state = user;
    tn_examinee_close(state->examinee);
    free(state);
}

static tenebra_code take_line(void *user, size_t job, const char *line, size_t length, tenebra_error *error)
{
    tn_eval *eval = user;
    TN_TRY(tn_store_check(eval->model->store, error)); /* every later answer would fail, and this one may be wrong */
    TN_TRY(tn_journal_append(&eval->journal, line, length, error));
    json_t *record;
    TN_TRY(tn_json_parse(line, length, "record", &record, error));
    eval->now++;
    count_record(eval, job, record);
    tell(eval, job, record);
    json_decref(record);
    return TENEBRA_OK;
}

static tenebra_code take_death(void *user, size_t job, const char *why, tenebra_error *error)
{
    tn_eval *eval = user;
    tenebra_error theirs;
    tn_fail(&theirs, TENEBRA_ERROR_LIMIT, "workers", "%s", why);
    json_t *record = tn_eval_failure(&eval->questions, eval->plan, question_of(eval, job), entry_of(eval, job), &theirs);
    char *line = record != NULL ? json_dumps(record, JSON_COMPACT) : NULL;
    json_decref(record);
    tenebra_code code = line != NULL ? take_line(user, job, line, strlen(line), error)
                                     : tn_fail(error, TENEBRA_ERROR_MEMORY, "eval", "no memory for a record");
    free(line);
    return code;
}

tenebra_code tn_eval_run(tn_eval *eval, tenebra_error *error)
{
    size_t *jobs = calloc(eval->total, sizeof *jobs), count = 0;
    if (jobs == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "eval", "no memory for %zu questions", eval->total);
    for (size_t job = 0; job < eval->total; job++)
        if (eval->states[job] == OPEN || (eval->states[job] == FAILED && eval->options.retry)) {
            uncount(eval, job);
            eval->states[job] = OPEN;
            jobs[count++] = job;
        }
    tn_workers_calls calls = { .open = open_worker, .begin = begin_job, .proceed = proceed, .close = close_worker, .done = take_line,
                            .died = take_death, .leave = eval->options.leave };
    double begin = tn_clock_ms();
    tenebra_code code = tn_workers_run(tn_max(1, eval->options.workers), tn_max(1, eval->options.parallel), jobs, count, &calls, eval,
                                    eval->options.stop, error);
    eval->seconds = (tn_clock_ms() - begin) / 1e3;
    free(jobs);
    tenebra_code closed = tn_journal_close(&eval->journal, code == TENEBRA_OK ? error : NULL);
    return code != TENEBRA_OK ? code : closed;
}

const tenebra_model *tn_eval_model(const tn_eval *eval)
{
    return eval->model;
}

size_t tn_eval_failures(const tn_eval *eval)
{
    size_t failed = 0;
    for (size_t e = 0; e < eval->plan->entry_count; e++)
        failed += eval->counts[e].failed;
    return failed;
}

json_t *tn_eval_summary(const tn_eval *eval)
{
    json_t *rows = json_array();
    bool fits = rows != NULL;
    for (size_t e = 0; e < eval->plan->entry_count && fits; e++) {
        const tn_eval_count *row = &eval->counts[e];
        tn_interval interval = tn_wilson(row->right, row->done, TN_Z95);
        json_t *line = json_pack("{s:s, s:I, s:I, s:I, s:I, s:f, s:[f, f]}", "method", row->label, "total", (json_int_t)row->done,
                                 "correct", (json_int_t)row->right, "no_answer", (json_int_t)row->silent, "failed",
                                 (json_int_t)row->failed, "acc", row->done > 0 ? 100 * (double)row->right / (double)row->done : 0,
                                 "interval", 100 * interval.low, 100 * interval.high);
        fits = json_array_append_new(rows, line) == 0;
    }
    json_t *summary = json_pack("{s:s, s:s, s:I, s:I, s:I, s:f, s:f, s:o}", "output", eval->options.output, "scorer",
                                tn_scorer_standard()->name, "questions", (json_int_t)eval->questions.count, "answers",
                                (json_int_t)eval->done, "answers_now", (json_int_t)eval->now, "seconds", eval->seconds,
                                "answers_per_second", eval->seconds > 0 ? (double)eval->now / eval->seconds : 0, "methods", rows);
    if (fits)
        return summary;
    json_decref(summary);
    return NULL;
}
