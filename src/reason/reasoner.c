#include "reason/parts.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/nearest.h"
#include "reason/modules.h"
#include "reason/reconstruct.h"

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

tenebra_code tn_method_choose(const char *name, const tn_method **method, tenebra_error *error)
{
    *method = tn_method_find(name);
    if (*method != NULL)
        return TENEBRA_OK;
    tn_nearest nearest = tn_nearest_of(name, strlen(name));
    for (const tn_method *const *known = tn_methods; *known != NULL; known++)
        tn_nearest_try(&nearest, (*known)->name);
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "method", "there is no method '%s'%s ('tenebra run --help' lists them)", name,
                   tn_nearest_hint(&nearest));
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
    int32_t *tokens = tn_arena_take(kept, reasoner->answer.token_count + reasoner->answer.max_tokens, sizeof *tokens);
    reasoner->answer.text = tn_arena_take(kept, reasoner->answer.text_capacity, 1);
    if (tokens == NULL || reasoner->answer.text == NULL)
        return tn_fail_session_full(error);
    if (reasoner->answer.token_count > 0)
        memcpy(tokens, reasoner->answer.tokens, reasoner->answer.token_count * sizeof *tokens);
    reasoner->answer.tokens = tokens;
    reasoner->answer.pass_tokens = reasoner->answer.text_length = reasoner->answer.text_shown = 0;
    reasoner->answer.pass_limit = reasoner->answer.max_tokens;
    reasoner->answer.draft = reasoner->request->answer_turn != NULL && !reasoner->answering;
    reasoner->answer.text[0] = '\0';
    reasoner->answer.ended = false;
    reasoner->answer.stream = (tn_text_stream){ .tokenizer = reasoner->session->model->tokenizer, .skip_special = true };
    reasoner->trace.text = reasoner->answer.text;
    reasoner->trace.tokens = reasoner->answer.tokens;
    reasoner->trace.finish = TENEBRA_FINISH_END_TOKEN;
    return TENEBRA_OK;
}

static tenebra_code take_memory(tn_reasoner *reasoner, tenebra_error *error)
{
    tn_session *session = reasoner->session;
    size_t vocabulary = session->logits.cols;
    reasoner->answer.max_tokens = tn_min(reasoner->request->max_tokens ? reasoner->request->max_tokens : DEFAULT_MAX_TOKENS,
                                  session->sequence.capacity);
    reasoner->answer.text_capacity = (reasoner->answer.max_tokens + 1) * TEXT_BYTES_A_TOKEN;
    reasoner->account.step_capacity = STEPS_MAX;
    /* Memory is only reserved: unused parts cost addresses, not pages. */
    tn_arena *kept = &session->kept;
    reasoner->span.rows = tn_arena_take(kept, session->sequence.capacity, sizeof *reasoner->span.rows);
    reasoner->account.steps = tn_arena_take(kept, reasoner->account.step_capacity, sizeof *reasoner->account.steps);
    reasoner->conversation.candidates = tn_arena_take(kept, session->sequence.capacity, sizeof *reasoner->conversation.candidates);
    reasoner->span.keys = tn_arena_take(kept, session->sequence.capacity, sizeof *reasoner->span.keys);
    reasoner->span.scores = tn_arena_take(kept, session->sequence.capacity, sizeof *reasoner->span.scores);
    reasoner->answer.sampler.candidates = tn_arena_take(kept, vocabulary, sizeof *reasoner->answer.sampler.candidates);
    if (reasoner->answer.sampler.candidates == NULL || reasoner->span.scores == NULL || reasoner->account.steps == NULL)
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
    trace->steps = reasoner->account.steps;
    trace->note = reasoner->method->note;
}

static tenebra_code open_parts(tn_reasoner *reasoner, tenebra_error *error)
{
    const tenebra_request *request = reasoner->request;
    const char *name = request->method ? request->method : tn_method_default();
    TN_TRY(tn_request_check(request, error));
    if (reasoner->method == NULL)
        TN_TRY(tn_method_choose(name, &reasoner->method, error));
    if (request->example != NULL && reasoner->method->reply == TN_REPLY_NONE)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "example", "the method %s takes none", reasoner->method->name);
    TN_TRY(tn_modules_check(reasoner->session->model, reasoner->method, error));
    TN_TRY(tn_reasoner_read_settings(reasoner, error));
    TN_TRY(tn_reasoner_read_positions(reasoner, error));
    TN_TRY(take_memory(reasoner, error));
    start_trace(reasoner);
    TN_TRY(tn_reconstruct_open(reasoner, error));
    reasoner->answer.sampler.sampling = reasoner->trace.sampling;
    reasoner->answer.sampler.rng = tn_rng_seed(request->sampling.seed);
    reasoner->rng = tn_rng_seed(request->sampling.seed ^ 0x6C6174656E74u); /* independent of the sampler's random numbers */
    reasoner->answer.test_first_token = reasoner->loop.goes_on = true;
    reasoner->account.pass_prompt = "";
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
    reasoner->loop.cancel = cancel;
    reasoner->loop.recompute = request->recompute;
    if (request->recompute || request->no_reuse)
        tn_session_forget(session, false);
    tenebra_code code = open_parts(reasoner, error);
    if (code != TENEBRA_OK)
        tn_reasoner_close(reasoner);
    return code;
}

void tn_reasoner_close(tn_reasoner *reasoner)
{
    tn_text_free(&reasoner->answer.piece);
    for (size_t p = 0; p < TN_PICTURES_MAX; p++) {
        tn_image_free(&reasoner->conversation.pictures[p].pixels);
        tn_image_free(&reasoner->conversation.pictures[p].look_pixels);
        tn_image_free(&reasoner->conversation.pictures[p].original);
    }
}

/* ---------------------------------------------------------------- spans -- */

bool tn_span_add(tn_reasoner *reasoner, tn_row row, const tn_position *position)
{
    size_t at = reasoner->session->sequence.length + reasoner->span.count;
    if (at == reasoner->session->sequence.capacity)
        return false;
    int32_t next = reasoner->conversation.next_position;
    row.position = position ? *position : (tn_position){ { next, next, next } };
    for (size_t axis = 0; axis < 3; axis++)
        if (row.position.axis[axis] >= reasoner->conversation.next_position)
            reasoner->conversation.next_position = row.position.axis[axis] + 1;
    reasoner->span.rows[at] = row;
    reasoner->span.count++;
    return true;
}

tenebra_code tn_reasoner_watch_rows(tn_reasoner *reasoner, const size_t *rows, size_t count, tenebra_error *error)
{
    if (count > reasoner->session->sequence.capacity - reasoner->conversation.candidate_count)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "attention", "%zu rows to watch are more than the context", count);
    memcpy(reasoner->span.keys + reasoner->conversation.candidate_count, rows, count * sizeof *rows);
    reasoner->span.extra_count = count;
    reasoner->span.extra_scores = reasoner->span.scores + reasoner->conversation.candidate_count;
    return TENEBRA_OK;
}

/* --------------------------------------------------------------- prompt -- */

static size_t picture_of(const tn_reasoner *reasoner, const tn_image_rows *rows)
{
    size_t picture = 0;
    while (&reasoner->conversation.pictures[picture].rows != rows)
        picture++;
    return picture;
}

tenebra_code tn_reasoner_add_rows(tn_reasoner *reasoner, tn_row *rows, size_t count, tenebra_error *error)
{
    tn_session *session = reasoner->session;
    size_t first = session->sequence.length + reasoner->span.count;
    if (count > session->sequence.capacity - first)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "context", "%zu rows are in use and %zu more do not fit into %zu%sshorten the prompt or "
                       "make images smaller (--image-size)", first, count, session->sequence.capacity, tn_session_advice(session));
    int32_t next = reasoner->conversation.next_position;
    if (reasoner->sequential)
        for (size_t i = 0; i < count; i++, next++)
            rows[i].position = (tn_position){ { next, next, next } };
    else
        next = session->model->backbone->positions(rows, count, next);
    for (size_t i = 0; i < count; i++) {
        reasoner->span.rows[first + i] = rows[i];
        if (rows[i].kind != TN_ROW_CELL)
            continue;
        size_t at = reasoner->conversation.candidate_count++;
        reasoner->conversation.candidates[at] = (tn_candidate_row){ first + i, picture_of(reasoner, rows[i].picture), rows[i].cell };
        reasoner->span.keys[at] = first + i;
    }
    reasoner->span.count += count;
    reasoner->conversation.next_position = next;
    reasoner->span.extra_count = 0; /* their keys follow those of the candidates */
    reasoner->conversation.shown = reasoner->conversation.picture_count;
    return TENEBRA_OK;
}

tenebra_code tn_reasoner_add_tail(tn_reasoner *reasoner, tenebra_error *error)
{
    tn_conversation *c = &reasoner->conversation;
    for (size_t i = 0; i < c->tail_count && c->tail_ahead; i++)
        if (!tn_span_add(reasoner, c->tail[i], NULL))
            return tn_fail(error, TENEBRA_ERROR_LIMIT, "context", "the end of the prompt does not fit into %zu rows%sshorten the "
                           "prompt", reasoner->session->sequence.capacity, tn_session_advice(reasoner->session));
    c->tail_ahead = false;
    return TENEBRA_OK;
}

/* ---------------------------------------------------------- for methods -- */

void tn_act_answer(const tn_reasoner *reasoner, tn_action *action)
{
    *action = (tn_action){ .kind = reasoner->answer.ended ? TN_ACT_FINISH : TN_ACT_DECODE };
}

void *tn_reasoner_take_state(tn_reasoner *reasoner, size_t size)
{
    return reasoner->state = tn_reasoner_take(reasoner, 1, size);
}

void tn_reasoner_see_prompt(tn_reasoner *reasoner, tn_prompt_seen_fn *see)
{
    reasoner->span.see_prompt = see;
}

void tn_reasoner_watch_none(tn_reasoner *reasoner)
{
    reasoner->span.extra_count = 0;
}

void tn_reasoner_count_injected(tn_reasoner *reasoner, size_t rows)
{
    reasoner->trace.injected_tokens += rows;
}

void tn_reasoner_draft(tn_reasoner *reasoner)
{
    reasoner->answer.draft = true;
}

void tn_reasoner_give_up(tn_reasoner *reasoner)
{
    reasoner->answer.draft = false;
    reasoner->trace.text = "";
    reasoner->trace.finish = TENEBRA_FINISH_LENGTH;
}

bool tn_reasoner_shows_both(const tn_reasoner *reasoner)
{
    const tn_method *method = reasoner->method;
    return method->redraw != NULL && method->shows_both != NULL && method->shows_both(reasoner);
}

void tn_reasoner_limit_pass(tn_reasoner *reasoner, size_t limit)
{
    reasoner->answer.pass_limit = tn_max(1, tn_min(limit, reasoner->answer.max_tokens));
}

void tn_reasoner_cut_answer(tn_reasoner *reasoner, size_t length)
{
    reasoner->answer.text_length = tn_min(length, reasoner->answer.text_length);
    reasoner->answer.text_shown = tn_min(reasoner->answer.text_shown, reasoner->answer.text_length);
    reasoner->answer.text[reasoner->answer.text_length] = '\0';
    tn_reasoner_end_answer(reasoner, TENEBRA_FINISH_STOP_TEXT);
}
