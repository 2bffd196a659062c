#include "reason/parts.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/nearest.h"

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

/* Room for the tokens and the text of one more pass. Those of earlier passes stay. */
static tenebra_code take_answer(tn_reasoner *reasoner, tenebra_error *error)
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
                                  session->capacity);
    reasoner->text_capacity = (reasoner->max_tokens + 1) * TEXT_BYTES_A_TOKEN;
    reasoner->span_capacity = session->capacity;
    reasoner->step_capacity = STEPS_MAX;
    /* Reserved, not touched: what a question does not use costs addresses only. */
    tn_arena *kept = &session->kept;
    reasoner->span = tn_arena_take(kept, reasoner->span_capacity, sizeof *reasoner->span);
    reasoner->steps = tn_arena_take(kept, reasoner->step_capacity, sizeof *reasoner->steps);
    reasoner->candidates = tn_arena_take(kept, session->capacity, sizeof *reasoner->candidates);
    reasoner->tap_keys = tn_arena_take(kept, session->capacity, sizeof *reasoner->tap_keys);
    reasoner->scores = tn_arena_take(kept, session->capacity, sizeof *reasoner->scores);
    reasoner->sampler.candidates = tn_arena_take(kept, vocabulary, sizeof *reasoner->sampler.candidates);
    if (reasoner->sampler.candidates == NULL || reasoner->scores == NULL || reasoner->steps == NULL)
        return tn_fail_session_full(error);
    return take_answer(reasoner, error);
}

static void start_trace(tn_reasoner *reasoner)
{
    const tenebra_request *request = reasoner->request;
    tenebra_trace *trace = &reasoner->trace;
    trace->method = reasoner->method->name;
    trace->positions = reasoner->sequential ? "sequential" : "mrope";
    trace->kernels = reasoner->session->model->kernels->name;
    trace->cache_type = reasoner->session->cache[0].k ? "f32" : "bf16";
    trace->threads = tn_pool_threads(reasoner->session->pool);
    trace->sampling = request->sampling;
    trace->sampling.top_p = request->sampling.top_p > 0 ? request->sampling.top_p : 1;
    trace->steps = reasoner->steps;
    trace->note = reasoner->method->note;
}

static tenebra_code open_parts(tn_reasoner *reasoner, tenebra_error *error)
{
    const tenebra_request *request = reasoner->request;
    const char *name = request->method ? request->method : "direct";
    TN_TRY(tn_request_check(request, error));
    if (reasoner->method == NULL)
        reasoner->method = tn_method_choose(name, error);
    if (reasoner->method == NULL)
        return TENEBRA_ERROR_ARGUMENT;
    if (request->example != NULL && reasoner->method->reply == TN_REPLY_NONE)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "example", "the method %s takes none", reasoner->method->name);
    TN_TRY(tn_reasoner_read_settings(reasoner, error));
    TN_TRY(tn_reasoner_read_positions(reasoner, error));
    TN_TRY(take_memory(reasoner, error));
    start_trace(reasoner);
    reasoner->sampler.sampling = reasoner->trace.sampling;
    reasoner->sampler.rng = tn_rng_seed(request->sampling.seed);
    reasoner->rng = tn_rng_seed(request->sampling.seed ^ 0x6C6174656E74u); /* apart from the sampler's draws */
    reasoner->test_first_token = true;
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
    session->ops.cancel = cancel;
    session->recompute = request->recompute;
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

static bool add_slot(tn_reasoner *reasoner, tn_slot slot, const tn_position *position)
{
    if (reasoner->span_count == reasoner->span_capacity)
        return false;
    int32_t next = reasoner->next_position;
    slot.position = position ? *position : (tn_position){ { next, next, next } };
    for (size_t axis = 0; axis < 3; axis++)
        if (slot.position.axis[axis] >= reasoner->next_position)
            reasoner->next_position = slot.position.axis[axis] + 1;
    reasoner->span[reasoner->span_count++] = slot;
    return true;
}

bool tn_span_add_token(tn_reasoner *reasoner, int32_t token, const tn_position *position)
{
    return add_slot(reasoner, (tn_slot){ .token = token }, position);
}

bool tn_span_add_row(tn_reasoner *reasoner, tn_tensor source, size_t row, const tn_position *position)
{
    return add_slot(reasoner, (tn_slot){ .token = -1, .row = { source, row } }, position);
}

bool tn_span_add_again(tn_reasoner *reasoner, size_t cache_row, const tn_position *position)
{
    return add_slot(reasoner, reasoner->session->slots[cache_row], position);
}

tenebra_code tn_reasoner_watch_rows(tn_reasoner *reasoner, const size_t *rows, size_t count, tenebra_error *error)
{
    if (count > reasoner->session->capacity - reasoner->candidate_count)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "attention", "%zu rows to watch are more than the context", count);
    memcpy(reasoner->tap_keys + reasoner->candidate_count, rows, count * sizeof *rows);
    reasoner->extra_count = count;
    reasoner->extra_scores = reasoner->scores + reasoner->candidate_count;
    return TENEBRA_OK;
}

/* Runs the span, from row `skip` of it on, and empties it. */
static tenebra_code run_span(tn_reasoner *reasoner, size_t skip, bool tap, double *spent, tenebra_error *error)
{
    double start = tn_clock_ms();
    size_t count = reasoner->span_count - skip;
    tn_span_tap request = { .query = count - 1,
                            .keys = reasoner->tap_keys,
                            .count = reasoner->candidate_count + reasoner->extra_count,
                            .mean = reasoner->scores };
    tenebra_code code = tn_session_append(reasoner->session, reasoner->span + skip, count,
                                          tap && request.count > 0 ? &request : NULL, error);
    reasoner->span_count = 0;
    reasoner->last_ms = tn_clock_ms() - start;
    *spent += reasoner->last_ms;
    reasoner->trace.positions_computed = reasoner->session->positions_computed;
    return code;
}

/* --------------------------------------------------------------- prompt -- */

/* Every picture must fill its run of image tokens. */
tenebra_code tn_reasoner_find_candidates(tn_reasoner *reasoner, const int32_t *ids, size_t count, size_t first_row,
                                         size_t first_picture, tenebra_error *error)
{
    int32_t image = reasoner->session->model->config.image_token;
    size_t picture = first_picture, index = 0, wanted = 0, present = 0;
    for (size_t p = first_picture; p < reasoner->picture_count; p++)
        wanted += reasoner->pictures[p].embeds.rows;
    for (size_t i = 0; i < count; i++)
        present += ids[i] == image;
    if (wanted != present)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, "prompt",
                       "holds %zu image tokens, the pictures have %zu embeddings", present, wanted);
    for (size_t i = 0; i < count; i++) {
        if (ids[i] != image)
            continue;
        while (index == reasoner->pictures[picture].embeds.rows) {
            picture++;
            index = 0;
        }
        size_t at = reasoner->candidate_count++;
        reasoner->candidates[at] = (tn_candidate_row){ first_row + i, picture, index++ };
        reasoner->tap_keys[at] = first_row + i;
    }
    reasoner->extra_count = 0; /* their keys stood behind those of the candidates */
    reasoner->pictures_shown = reasoner->picture_count;
    return TENEBRA_OK;
}

static tenebra_code prompt_positions(tn_reasoner *reasoner, tn_position *positions, tenebra_error *error)
{
    const tn_model *model = reasoner->session->model;
    tn_grid grids[TN_PICTURES_MAX];
    if (reasoner->sequential) {
        for (size_t i = 0; i < reasoner->prompt_count; i++)
            positions[i] = (tn_position){ { (int32_t)i, (int32_t)i, (int32_t)i } };
        return TENEBRA_OK;
    }
    for (size_t p = 0; p < reasoner->picture_count; p++)
        grids[p] = reasoner->pictures[p].grid;
    int32_t next;
    return model->backbone->positions(&model->config, reasoner->prompt, reasoner->prompt_count, grids,
                                      reasoner->picture_count, 0, positions, &next, error);
}

bool tn_reasoner_lay_ids(tn_reasoner *reasoner, const int32_t *ids, size_t count, size_t first_row,
                         const tn_position *positions)
{
    size_t next = 0;
    bool laid = true;
    while (next < reasoner->candidate_count && reasoner->candidates[next].row < first_row)
        next++;
    for (size_t i = 0; i < count && laid; i++) {
        const tn_candidate_row *candidate = &reasoner->candidates[next];
        if (next == reasoner->candidate_count || candidate->row != first_row + i) {
            laid = tn_span_add_token(reasoner, ids[i], &positions[i]);
            continue;
        }
        const tn_picture *picture = &reasoner->pictures[candidate->picture];
        laid = tn_span_add_row(reasoner, picture->embeds, candidate->index, &positions[i]);
        if (laid)
            reasoner->span[reasoner->span_count - 1].content = picture->content;
        next++;
    }
    return laid;
}

/* Runs the prompt. Rows that the cache already holds from an earlier pass or question are kept; the last
 * is always run, since its hidden state is wanted. */
static tenebra_code prefill(tn_reasoner *reasoner, tenebra_error *error)
{
    tn_session *session = reasoner->session;
    size_t count = reasoner->prompt_count;
    if (count == 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "prompt", "is empty");
    if (count > session->capacity)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "context", "the prompt has %zu rows, the context %zu; raise -c "
                       "or make the pictures smaller", count, session->capacity);
    reasoner->candidate_count = 0;
    TN_TRY(tn_reasoner_find_candidates(reasoner, reasoner->prompt, count, 0, 0, error));
    tn_position *positions = tn_arena_take(&session->kept, count, sizeof *positions);
    if (positions == NULL)
        return tn_fail_session_full(error);
    TN_TRY(prompt_positions(reasoner, positions, error));
    reasoner->span_count = 0;
    reasoner->next_position = 0;
    reasoner->unrun = -1;
    if (!tn_reasoner_lay_ids(reasoner, reasoner->prompt, count, 0, positions))
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "context", "the prompt does not fit; raise -c");
    size_t shared = reasoner->pass_reused = tn_session_reuse(session, reasoner->span, count - 1);
    if (reasoner->pass == 0)
        reasoner->trace.prompt_reused = shared;
    bool tap = reasoner->method->tap_prompt || reasoner->request->scores;
    tn_reasoner_start_work(reasoner, "prompt", session->model->decoder.config.num_hidden_layers);
    tenebra_code code = run_span(reasoner, shared, tap, &reasoner->trace.prefill_ms, error);
    tn_reasoner_end_work(reasoner);
    TN_TRY(code);
    reasoner->trace.prompt_tokens = count;
    reasoner->trace.image_tokens = reasoner->candidate_count;
    session->want_mean = false; /* the mean is that of the prompt */
    return tn_reasoner_keep_prompt_scores(reasoner, error);
}

/* ----------------------------------------------------------- generation -- */

static bool ends_answer(const tn_reasoner *reasoner, int32_t token)
{
    const tn_model_config *config = &reasoner->session->model->config;
    for (size_t i = 0; i < config->eos_count; i++)
        if (config->eos_tokens[i] == token)
            return true;
    return false;
}

static void end_answer(tn_reasoner *reasoner, tenebra_finish finish)
{
    reasoner->ended = true;
    reasoner->trace.finish = finish;
}

/* The next token: one that the request forces, or a sampled one. */
static tenebra_code choose_token(tn_reasoner *reasoner, int32_t *token, tenebra_error *error)
{
    tn_session *session = reasoner->session;
    const tenebra_request *request = reasoner->request;
    if (reasoner->token_count < request->forced_count) {
        *token = request->forced[reasoner->token_count];
        if (*token < 0 || (size_t)*token >= tn_min(session->logits.cols, tn_model_vocabulary(session->model)))
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "forced", "token %zu is %d, which the model does not have",
                           reasoner->token_count + 1, (int)*token);
        return TENEBRA_OK;
    }
    TN_TRY(tn_session_logits(session, session->hidden, error));
    *token = tn_sample_token(&reasoner->sampler, session->logits.data, session->logits.cols);
    return TENEBRA_OK;
}

static tenebra_code decode(tn_reasoner *reasoner, bool tap, tenebra_error *error)
{
    tn_session *session = reasoner->session;
    double start = tn_clock_ms();
    if (reasoner->pass_tokens == reasoner->pass_limit)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "answer", "has %zu tokens, the most that were asked for",
                       reasoner->pass_limit);
    int32_t token;
    TN_TRY(choose_token(reasoner, &token, error));
    reasoner->tokens[reasoner->token_count++] = token;
    reasoner->trace.token_count = reasoner->token_count;
    bool first = ++reasoner->pass_tokens == 1;
    if (ends_answer(reasoner, token) && (!first || reasoner->test_first_token)) {
        end_answer(reasoner, TENEBRA_FINISH_END_TOKEN);
    } else {
        TN_TRY(tn_stream_token(reasoner, token, error)); /* may end at a stop text */
        if (!reasoner->ended && (reasoner->pass_tokens == reasoner->pass_limit || session->length == session->capacity))
            end_answer(reasoner, TENEBRA_FINISH_LENGTH);
    }
    reasoner->trace.generation_ms += tn_clock_ms() - start;
    if (reasoner->ended) {
        reasoner->unrun = reasoner->trace.finish == TENEBRA_FINISH_END_TOKEN ? -1 : token;
        return tn_stream_end(reasoner, error);
    }
    tn_span_add_token(reasoner, token, NULL);
    TN_TRY(run_span(reasoner, 0, tap, &reasoner->trace.generation_ms, error));
    session->recompute = false; /* the reference, too, uses its cache from the second token on */
    return TENEBRA_OK;
}

static tenebra_code run_action(tn_reasoner *reasoner, const tn_action *action, tenebra_error *error)
{
    if (action->kind == TN_ACT_DECODE)
        return decode(reasoner, action->tap, error);
    if (action->latent)
        reasoner->trace.latent_steps++;
    return run_span(reasoner, 0, action->tap,
                    action->latent ? &reasoner->trace.latent_ms : &reasoner->trace.generation_ms, error);
}

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
    end_answer(reasoner, TENEBRA_FINISH_STOP_TEXT);
}

static tenebra_code tell_prompt(tn_reasoner *reasoner, tenebra_error *error)
{
    tenebra_event event = { .kind = TENEBRA_EVENT_PROMPT, .trace = &reasoner->trace };
    const tenebra_request *request = reasoner->request;
    if (request->on_event != NULL && !request->on_event(request->user, &event))
        return tn_fail(error, TENEBRA_ERROR_CANCELLED, "ask", "was cancelled");
    return TENEBRA_OK;
}

static tenebra_code run_turn(tn_reasoner *reasoner, tenebra_error *error)
{
    TN_TRY(tn_reasoner_lay_turn(reasoner, error));
    reasoner->pass_rows = reasoner->span_count;
    return run_span(reasoner, 0, reasoner->method->tap_prompt, &reasoner->trace.prefill_ms, error);
}

/* One pass, of which the prompt is there: actions until one asks for another pass, which it says, or the end. */
static tenebra_code run_actions(tn_reasoner *reasoner, tn_action_kind *way, tenebra_error *error)
{
    TN_TRY(tell_prompt(reasoner, error));
    for (;;) {
        tn_action action;
        tn_act_answer(reasoner, &action);
        if (!reasoner->answering)
            TN_TRY(reasoner->method->next(reasoner, &action, error));
        *way = action.kind;
        if (action.kind != TN_ACT_APPEND && action.kind != TN_ACT_DECODE)
            return reasoner->ended ? TENEBRA_OK : tn_stream_end(reasoner, error);
        TN_TRY(run_action(reasoner, &action, error));
    }
}

/* Before another prompt: weights of its own may have to be put on. */
static tenebra_code start_prompt(tn_reasoner *reasoner, size_t given, tenebra_error *error)
{
    if (reasoner->pass > 0 && tn_session_set_pass(reasoner->session, ++reasoner->prompts)) {
        if (reasoner->picture_count != given)
            return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, "adapter", "the vision tower changes from pass to pass, but the "
                           "method has added pictures");
        reasoner->picture_count = 0;
        TN_TRY(tn_reasoner_load_pictures(reasoner, error));
    }
    if (reasoner->pass > 0 && reasoner->request->recompute) { /* the reference knows nothing of earlier prompts */
        tn_session_forget(reasoner->session, false);
        reasoner->session->recompute = true;
    }
    TN_TRY(tn_reasoner_render(reasoner, error));
    return prefill(reasoner, error);
}

tenebra_code tn_reasoner_answer(tn_reasoner *reasoner, tenebra_error *error)
{
    double start = tn_clock_ms();
    tn_action_kind way = TN_ACT_PASS;
    TN_TRY(tn_reasoner_load_pictures(reasoner, error));
    size_t given = reasoner->picture_count;
    for (reasoner->pass = 0; way != TN_ACT_FINISH; reasoner->pass++) {
        bool turn = way == TN_ACT_TURN;
        if (reasoner->pass > 0)
            TN_TRY(take_answer(reasoner, error));
        TN_TRY(turn ? run_turn(reasoner, error) : start_prompt(reasoner, given, error));
        TN_TRY(run_actions(reasoner, &way, error));
        if (way == TN_ACT_FINISH && reasoner->request->answer_turn != NULL && !reasoner->answering) {
            reasoner->answering = true;
            way = TN_ACT_TURN;
        }
        if (way == TN_ACT_FINISH)
            TN_TRY(tn_stream_release(reasoner, error));
        TN_TRY(tn_reasoner_file_pass(reasoner, turn, error));
    }
    reasoner->trace.crops = reasoner->picture_count - given;
    reasoner->trace.total_ms = tn_clock_ms() - start;
    return tn_reasoner_tell_pictures(reasoner, error);
}

tenebra_code tn_reasoner_answer_ids(tn_reasoner *reasoner, const int32_t *ids, size_t count, tenebra_error *error)
{
    double start = tn_clock_ms();
    tn_action_kind way;
    reasoner->prompt = ids;
    reasoner->prompt_count = count;
    TN_TRY(prefill(reasoner, error));
    TN_TRY(run_actions(reasoner, &way, error));
    TN_TRY(tn_reasoner_file_pass(reasoner, false, error));
    reasoner->trace.total_ms = tn_clock_ms() - start;
    return TENEBRA_OK;
}
