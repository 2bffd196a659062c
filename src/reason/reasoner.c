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
    return take_answer(reasoner, error);
}

static void start_trace(tn_reasoner *reasoner)
{
    const tenebra_request *request = reasoner->request;
    tenebra_trace *trace = &reasoner->trace;
    trace->method = reasoner->method->name;
    trace->positions = reasoner->sequential ? "sequential" : "mrope";
    trace->kernels = reasoner->session->model->kernels->name;
    trace->cache_type = reasoner->session->sequence.type == TN_F32 ? "f32" : "bf16";
    trace->threads = tn_pool_threads(reasoner->session->engine.pool);
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
    session->engine.ops.cancel = cancel;
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

/* The mean of rows after the final norm, updated row by row. */
static tenebra_code average(tn_reasoner *reasoner, tn_row_ref rows, size_t count, size_t mark, tenebra_error *error)
{
    tn_engine *engine = &reasoner->session->engine;
    const tn_tensor raw = tn_op_rows(&engine->ops, rows.source, rows.row, count);
    const tn_tensor normed = tn_decoder_norm(&engine->ops, &engine->model->decoder, raw);
    tn_tensor *mean = &reasoner->mean;
    *mean = tn_session_keep_row(reasoner->session, NULL, error);
    for (size_t row = 0; mean->data != NULL && normed.data != NULL && row < count; row++)
        for (size_t i = 0; i < mean->cols; i++) {
            tn_real value = normed.data[row * mean->cols + i];
            mean->data[i] = row == 0 ? value : mean->data[i] + (value - mean->data[i]) * ((tn_real)1 / (tn_real)(row + 1));
        }
    TN_TRY(tn_engine_finish(engine, mark, error));
    return mean->data != NULL ? TENEBRA_OK : TENEBRA_ERROR_LIMIT;
}

/* Runs the span and empties it. */
static tenebra_code run_span(tn_reasoner *reasoner, bool tap, double *spent, tenebra_error *error)
{
    TN_TRY(tn_reasoner_encode_pictures(reasoner, error));
    double start = tn_clock_ms();
    tn_engine *engine = &reasoner->session->engine;
    tn_sequence *sequence = &reasoner->session->sequence;
    size_t end = sequence->length + reasoner->span_count, mark = tn_ops_mark(&engine->ops);
    if (reasoner->recompute)
        tn_sequence_truncate(sequence, 0);
    size_t count = end - sequence->length;
    const tn_span_tap request = { .query = count - 1,
                                  .keys = reasoner->tap_keys,
                                  .count = reasoner->candidate_count + reasoner->extra_count,
                                  .mean = reasoner->scores };
    tn_span span = { .sequence = sequence, .rows = reasoner->rows + sequence->length, .count = count,
                     .tap = tap && request.count > 0 ? &request : NULL, .wants_rows = reasoner->want_mean };
    tenebra_code code = tn_engine_run(engine, &span, 1, error);
    if (code == TENEBRA_OK && reasoner->want_mean)
        code = average(reasoner, span.out, count, mark, error);
    reasoner->span_count = 0;
    reasoner->last_ms = tn_clock_ms() - start;
    reasoner->trace.positions_computed += code == TENEBRA_OK ? count : 0;
    *spent += reasoner->last_ms;
    return code;
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
                       "or make the pictures smaller", first, count, session->sequence.capacity);
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

/* Runs the prompt. Rows that the cache already holds from an earlier pass or question are kept; the last
 * is always run, since its hidden state is wanted. */
static tenebra_code prefill(tn_reasoner *reasoner, tenebra_error *error)
{
    tn_session *session = reasoner->session;
    size_t count = reasoner->prompt_count;
    if (count == 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "prompt", "is empty");
    tn_sequence_truncate(&session->sequence, 0);
    reasoner->span_count = reasoner->candidate_count = 0;
    reasoner->next_position = 0;
    reasoner->unrun = -1;
    TN_TRY(tn_reasoner_add_rows(reasoner, reasoner->prompt, count, error));
    bool all = reasoner->want_mean || session->engine.ops.watch != NULL; /* somebody looks at every row */
    size_t shared = reasoner->pass_reused = all ? 0 : tn_sequence_reuse(&session->sequence, reasoner->rows, count - 1);
    reasoner->span_count -= shared;
    if (reasoner->pass == 0)
        reasoner->trace.prompt_reused = shared;
    bool tap = reasoner->method->tap_prompt || reasoner->request->scores;
    TN_TRY(tn_reasoner_encode_pictures(reasoner, error));
    tn_reasoner_start_work(reasoner, "prompt", session->model->decoder.config.num_hidden_layers * tn_engine_rounds(count - shared));
    tenebra_code code = run_span(reasoner, tap, &reasoner->trace.prefill_ms, error);
    tn_reasoner_end_work(reasoner);
    TN_TRY(code);
    reasoner->trace.prompt_tokens = count;
    reasoner->trace.image_tokens = reasoner->candidate_count;
    reasoner->want_mean = false;
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
    TN_TRY(tn_session_logits(session, error));
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
        if (!reasoner->ended && (reasoner->pass_tokens == reasoner->pass_limit || session->sequence.length == session->sequence.capacity))
            end_answer(reasoner, TENEBRA_FINISH_LENGTH);
    }
    reasoner->trace.generation_ms += tn_clock_ms() - start;
    if (reasoner->ended) {
        reasoner->unrun = reasoner->trace.finish == TENEBRA_FINISH_END_TOKEN ? -1 : token;
        return tn_stream_end(reasoner, error);
    }
    tn_span_add(reasoner, tn_row_of_token(token), NULL);
    TN_TRY(run_span(reasoner, tap, &reasoner->trace.generation_ms, error));
    reasoner->recompute = false; /* the reference, too, uses its cache from the second token on */
    return TENEBRA_OK;
}

static tenebra_code run_action(tn_reasoner *reasoner, const tn_action *action, tenebra_error *error)
{
    if (action->kind == TN_ACT_DECODE)
        return decode(reasoner, action->tap, error);
    if (action->latent)
        reasoner->trace.latent_steps++;
    return run_span(reasoner, action->tap,
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
    return run_span(reasoner, reasoner->method->tap_prompt, &reasoner->trace.prefill_ms, error);
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
        reasoner->recompute = true;
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

tenebra_code tn_reasoner_answer_rows(tn_reasoner *reasoner, tn_row *rows, size_t count, tenebra_error *error)
{
    double start = tn_clock_ms();
    tn_action_kind way;
    reasoner->prompt = rows;
    reasoner->prompt_count = count;
    TN_TRY(prefill(reasoner, error));
    TN_TRY(run_actions(reasoner, &way, error));
    TN_TRY(tn_reasoner_file_pass(reasoner, false, error));
    reasoner->trace.total_ms = tn_clock_ms() - start;
    return TENEBRA_OK;
}
