#include "reason/parts.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/nearest.h"
#include "reason/modules.h"

#include <stdlib.h>
#include <string.h>

enum { DEFAULT_MAX_TOKENS = 512, STEPS_MAX = 4096, TEXT_BYTES_A_TOKEN = 1024 };

const tn_method *tn_method_find(const char *name)
{
    for (const tn_method *const *method = tn_methods; *method != NULL; method++)
        if (strcmp((*method)->name, name) == 0)
            return *method;
    return NULL;
}

const tn_method *tn_method_choose(const char *name, tenebra_error *error)
{
    const tn_method *found = tn_method_find(name);
    tn_nearest nearest = tn_nearest_of(name, strlen(name));
    for (const tn_method *const *method = tn_methods; *method != NULL; method++)
        tn_nearest_try(&nearest, (*method)->name);
    if (found == NULL)
        tn_fail(error, TENEBRA_ERROR_ARGUMENT, "method", "there is no method '%s'%s ('tenebra run --help' lists them)", name,
                tn_nearest_hint(&nearest));
    return found;
}

void *tn_reasoner_take(tn_reasoner *reasoner, size_t count, size_t size)
{
    void *memory = tn_arena_take(&reasoner->session->kept, count, size);
    if (memory != NULL)
        memset(memory, 0, count * size);
    return memory;
}

tenebra_code tn_fail_session_full(tenebra_error *error)
{
    return tn_fail(error, TENEBRA_ERROR_LIMIT, "session", "the memory of one question is full");
}

/* ------------------------------------------------------------- opening -- */

tenebra_code tn_reasoner_take_answer(tn_reasoner *reasoner, tenebra_error *error)
{
    tn_arena *kept = &reasoner->session->kept;
    int32_t *tokens = tn_arena_take(kept, reasoner->token_count + reasoner->max_tokens, sizeof *tokens);
    reasoner->text = tn_arena_take(kept, reasoner->text_capacity, 1);
    if (tokens == NULL || reasoner->text == NULL)
        return tn_fail_session_full(error);
    if (reasoner->token_count > 0)
        memcpy(tokens, reasoner->tokens, reasoner->token_count * sizeof *tokens);
    reasoner->tokens = tokens;
    reasoner->pass_tokens = reasoner->text_length = reasoner->text_shown = 0;
    reasoner->pass_limit = reasoner->max_tokens;
    reasoner->draft = reasoner->request->answer_turn != NULL && !reasoner->answering;
    reasoner->text[0] = '\0';
    reasoner->ended = false;
    reasoner->stream = (tn_text_stream){ .tokenizer = reasoner->session->model->tokenizer, .skip_special = true };
    reasoner->trace.text = reasoner->text;
    reasoner->trace.tokens = reasoner->tokens;
    reasoner->trace.finish = TENEBRA_FINISH_END_TOKEN;
    return TENEBRA_OK;
}

static tenebra_code take_memory(tn_reasoner *reasoner, tenebra_error *error)
{
    tn_session *session = reasoner->session;
    size_t vocabulary = session->logits.cols;
    reasoner->max_tokens = tn_min(reasoner->request->max_tokens ? reasoner->request->max_tokens : DEFAULT_MAX_TOKENS,
                                  session->sequence.capacity);
    reasoner->text_capacity = (reasoner->max_tokens + 1) * TEXT_BYTES_A_TOKEN;
    reasoner->step_capacity = STEPS_MAX;
    /* Reserved, not touched: what a question does not use costs addresses only. */
    tn_arena *kept = &session->kept;
    reasoner->rows = tn_arena_take(kept, session->sequence.capacity, sizeof *reasoner->rows);
    reasoner->steps = tn_arena_take(kept, reasoner->step_capacity, sizeof *reasoner->steps);
    reasoner->candidates = tn_arena_take(kept, session->sequence.capacity, sizeof *reasoner->candidates);
    reasoner->tap_keys = tn_arena_take(kept, session->sequence.capacity, sizeof *reasoner->tap_keys);
    reasoner->scores = tn_arena_take(kept, session->sequence.capacity, sizeof *reasoner->scores);
    reasoner->sampler.candidates = tn_arena_take(kept, vocabulary, sizeof *reasoner->sampler.candidates);
    if (reasoner->sampler.candidates == NULL || reasoner->scores == NULL || reasoner->steps == NULL)
        return tn_fail_session_full(error);
    return tn_reasoner_take_answer(reasoner, error);
}

static void start_trace(tn_reasoner *reasoner)
{
    const tenebra_request *request = reasoner->request;
    tenebra_trace *trace = &reasoner->trace;
    trace->method = reasoner->method->name;
    trace->positions = reasoner->sequential ? "sequential" : "mrope";
    trace->kernels = reasoner->session->model->kernels->name;
    trace->cache_type = reasoner->session->sequence.type == TN_F32 ? "f32" : "bf16";
    trace->threads = tn_pool_threads(reasoner->session->engine->pool);
    trace->sampling = request->sampling;
    trace->sampling.top_p = request->sampling.top_p > 0 ? request->sampling.top_p : 1;
    trace->steps = reasoner->steps;
    trace->note = reasoner->method->note;
}

static tenebra_code open_parts(tn_reasoner *reasoner, tenebra_error *error)
{
    const tenebra_request *request = reasoner->request;
    const char *name = request->method ? request->method : tn_method_default();
    TN_TRY(tn_request_check(request, error));
    if (reasoner->method == NULL)
        reasoner->method = tn_method_choose(name, error);
    if (reasoner->method == NULL)
        return TENEBRA_ERROR_ARGUMENT;
    if (request->example != NULL && reasoner->method->reply == TN_REPLY_NONE)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "example", "the method %s takes none", reasoner->method->name);
    TN_TRY(tn_modules_check(reasoner->session->model, reasoner->method, error));
    TN_TRY(tn_reasoner_read_settings(reasoner, error));
    TN_TRY(tn_reasoner_read_positions(reasoner, error));
    TN_TRY(take_memory(reasoner, error));
    start_trace(reasoner);
    reasoner->sampler.sampling = reasoner->trace.sampling;
    reasoner->sampler.rng = tn_rng_seed(request->sampling.seed);
    reasoner->rng = tn_rng_seed(request->sampling.seed ^ 0x6C6174656E74u); /* apart from the sampler's draws */
    reasoner->test_first_token = reasoner->goes_on = true;
    reasoner->pass_prompt = "";
    tn_session_set_pass(reasoner->session, reasoner->prompts = 1);
    return reasoner->method->open ? reasoner->method->open(reasoner, error) : TENEBRA_OK;
}

tenebra_code tn_reasoner_open(tn_reasoner *reasoner, tn_session *session, const tenebra_request *request,
                              const atomic_bool *cancel, tenebra_error *error)
{
    return tn_reasoner_open_method(reasoner, session, request, NULL, cancel, error);
}

tenebra_code tn_reasoner_open_method(tn_reasoner *reasoner, tn_session *session, const tenebra_request *request,
                                     const tn_method *method, const atomic_bool *cancel, tenebra_error *error)
{
    memset(reasoner, 0, sizeof *reasoner);
    if (request == NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "request", "there is none");
    reasoner->session = session;
    reasoner->request = request;
    reasoner->method = method;
    tn_session_reset(session);
    reasoner->cancel = cancel;
    reasoner->recompute = request->recompute;
    if (request->recompute || request->no_reuse)
        tn_session_forget(session, false);
    tenebra_code code = open_parts(reasoner, error);
    if (code != TENEBRA_OK)
        tn_reasoner_close(reasoner);
    return code;
}

void tn_reasoner_close(tn_reasoner *reasoner)
{
    tn_text_free(&reasoner->piece);
    for (size_t p = 0; p < TN_PICTURES_MAX; p++)
        tn_image_free(&reasoner->pictures[p].pixels);
}

/* ---------------------------------------------------------------- spans -- */

bool tn_span_add(tn_reasoner *reasoner, tn_row row, const tn_position *position)
{
    size_t at = reasoner->session->sequence.length + reasoner->span_count;
    if (at == reasoner->session->sequence.capacity)
        return false;
    int32_t next = reasoner->next_position;
    row.position = position ? *position : (tn_position){ { next, next, next } };
    for (size_t axis = 0; axis < 3; axis++)
        if (row.position.axis[axis] >= reasoner->next_position)
            reasoner->next_position = row.position.axis[axis] + 1;
    reasoner->rows[at] = row;
    reasoner->span_count++;
    return true;
}

tenebra_code tn_reasoner_watch_rows(tn_reasoner *reasoner, const size_t *rows, size_t count, tenebra_error *error)
{
    if (count > reasoner->session->sequence.capacity - reasoner->candidate_count)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "attention", "%zu rows to watch are more than the context", count);
    memcpy(reasoner->tap_keys + reasoner->candidate_count, rows, count * sizeof *rows);
    reasoner->extra_count = count;
    reasoner->extra_scores = reasoner->scores + reasoner->candidate_count;
    return TENEBRA_OK;
}

/* --------------------------------------------------------------- prompt -- */

static size_t picture_of(const tn_reasoner *reasoner, const tn_image_rows *rows)
{
    size_t picture = 0;
    while (&reasoner->pictures[picture].rows != rows)
        picture++;
    return picture;
}

tenebra_code tn_reasoner_add_rows(tn_reasoner *reasoner, tn_row *rows, size_t count, tenebra_error *error)
{
    tn_session *session = reasoner->session;
    size_t first = session->sequence.length + reasoner->span_count;
    if (count > session->sequence.capacity - first)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "context", "%zu rows are in use and %zu more do not fit into %zu; raise -c "
                       "or make the images smaller", first, count, session->sequence.capacity);
    int32_t next = reasoner->next_position;
    if (reasoner->sequential)
        for (size_t i = 0; i < count; i++, next++)
            rows[i].position = (tn_position){ { next, next, next } };
    else
        next = session->model->backbone->positions(rows, count, next);
    for (size_t i = 0; i < count; i++) {
        reasoner->rows[first + i] = rows[i];
        if (rows[i].kind != TN_ROW_CELL)
            continue;
        size_t at = reasoner->candidate_count++;
        reasoner->candidates[at] = (tn_candidate_row){ first + i, picture_of(reasoner, rows[i].picture), rows[i].cell };
        reasoner->tap_keys[at] = first + i;
    }
    reasoner->span_count += count;
    reasoner->next_position = next;
    reasoner->extra_count = 0; /* their keys came after those of the candidates */
    reasoner->pictures_shown = reasoner->picture_count;
    return TENEBRA_OK;
}

/* ---------------------------------------------------------- for methods -- */

void tn_act_answer(const tn_reasoner *reasoner, tn_action *action)
{
    *action = (tn_action){ .kind = reasoner->ended ? TN_ACT_FINISH : TN_ACT_DECODE };
}

void tn_reasoner_limit_pass(tn_reasoner *reasoner, size_t limit)
{
    reasoner->pass_limit = tn_max(1, tn_min(limit, reasoner->max_tokens));
}

void tn_reasoner_cut_answer(tn_reasoner *reasoner, size_t length)
{
    reasoner->text_length = tn_min(length, reasoner->text_length);
    reasoner->text_shown = tn_min(reasoner->text_shown, reasoner->text_length);
    reasoner->text[reasoner->text_length] = '\0';
    tn_reasoner_end_answer(reasoner, TENEBRA_FINISH_STOP_TEXT);
}
