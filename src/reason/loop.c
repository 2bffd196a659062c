/* The loop of a generation, which can be asked what it needs next: encoded images, or a span to run. */
#include "reason/loop.h"

#include "base/checked.h"
#include "base/clock.h"

#include <string.h>

/* --------------------------------------------------------------- prompts -- */

static tenebra_code tell_prompt(tn_reasoner *reasoner, tenebra_error *error)
{
    tenebra_event event = { .kind = TENEBRA_EVENT_PROMPT, .trace = &reasoner->trace };
    const tenebra_request *request = reasoner->request;
    if (request->on_event != NULL && !request->on_event(request->user, &event))
        return tn_fail(error, TENEBRA_ERROR_CANCELLED, "ask", "was cancelled");
    return TENEBRA_OK;
}

/* Adds the prompt to the span. Rows that the cache has from an earlier pass or question are reused; the last row always runs,
 * because its hidden state is needed. */
static tenebra_code lay_prompt(tn_reasoner *reasoner, tenebra_error *error)
{
    tn_session *session = reasoner->session;
    size_t count = reasoner->conversation.prompt_count;
    if (count == 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "prompt", "is empty");
    tn_sequence_truncate(&session->sequence, 0);
    reasoner->span.count = reasoner->conversation.candidate_count = 0;
    reasoner->conversation.next_position = 0;
    reasoner->answer.unrun = -1;
    TN_TRY(tn_reasoner_add_rows(reasoner, reasoner->conversation.prompt, count, error));
    if (reasoner->method->latent_step == NULL && reasoner->conversation.tail_ahead) { /* no steps come between: one span */
        TN_TRY(tn_reasoner_add_tail(reasoner, error));
        count += reasoner->conversation.tail_count;
    }
    bool all = reasoner->span.see_prompt != NULL || session->engine->ops.watch != NULL; /* all rows are needed */
    size_t shared = reasoner->account.pass_reused = all ? 0 : tn_sequence_reuse(&session->sequence, reasoner->span.rows, count - 1);
    reasoner->span.count -= shared;
    if (reasoner->pass == 0)
        reasoner->trace.prompt_reused = shared;
    reasoner->loop.tap = reasoner->method->tap_prompt || reasoner->request->scores;
    reasoner->loop.phase = TN_PHASE_PROMPT;
    return TENEBRA_OK;
}

/* Before another prompt: its pass may have other adapters. */
static tenebra_code start_prompt(tn_reasoner *reasoner, tenebra_error *error)
{
    if (reasoner->pass > 0 && tn_session_set_pass(reasoner->session, ++reasoner->prompts)) {
        if (reasoner->conversation.picture_count != reasoner->conversation.given)
            return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, "adapter", "the vision tower changes from pass to pass, but the "
                           "method has added images");
        reasoner->conversation.picture_count = 0;
        TN_TRY(tn_reasoner_load_pictures(reasoner, error));
    }
    if (reasoner->pass > 0 && reasoner->request->recompute) { /* the reference does not reuse earlier prompts */
        tn_session_forget(reasoner->session, false);
        reasoner->loop.recompute = true;
    }
    TN_TRY(tn_reasoner_render(reasoner, error));
    return lay_prompt(reasoner, error);
}

static tenebra_code start_turn(tn_reasoner *reasoner, tenebra_error *error)
{
    TN_TRY(tn_reasoner_lay_turn(reasoner, error));
    reasoner->account.pass_rows = reasoner->span.count;
    reasoner->loop.tap = reasoner->method->tap_prompt;
    reasoner->loop.phase = TN_PHASE_TURN;
    return TENEBRA_OK;
}

/* Starts with the first prompt: that of the request, unless rows were given. */
static tenebra_code start(tn_reasoner *reasoner, tenebra_error *error)
{
    reasoner->loop.started = tn_clock_ms();
    bool given = reasoner->conversation.prompt != NULL;
    if (!given)
        TN_TRY(tn_reasoner_load_pictures(reasoner, error));
    reasoner->conversation.given = reasoner->conversation.picture_count;
    return given ? lay_prompt(reasoner, error) : start_prompt(reasoner, error);
}

/* Executes the request of an action: a further pass or turn, or the end. */
static tenebra_code end_pass(tn_reasoner *reasoner, tn_action_kind way, tenebra_error *error)
{
    if (!reasoner->answer.ended)
        TN_TRY(tn_stream_end(reasoner, error));
    if (way == TN_ACT_FINISH && reasoner->request->answer_turn != NULL && !reasoner->answering) {
        reasoner->answering = true;
        way = TN_ACT_TURN;
    }
    if (way == TN_ACT_FINISH)
        TN_TRY(tn_stream_release(reasoner, error));
    TN_TRY(tn_reasoner_file_pass(reasoner, reasoner->loop.turn, error));
    reasoner->pass++;
    if (way != TN_ACT_FINISH) {
        TN_TRY(tn_reasoner_take_answer(reasoner, error));
        reasoner->loop.turn = way == TN_ACT_TURN;
        return reasoner->loop.turn ? start_turn(reasoner, error) : start_prompt(reasoner, error);
    }
    reasoner->loop.phase = TN_PHASE_DONE;
    reasoner->trace.images_added = reasoner->conversation.picture_count - reasoner->conversation.given;
    reasoner->trace.total_ms = tn_clock_ms() - reasoner->loop.started;
    return tn_reasoner_tell_pictures(reasoner, error);
}

/* --------------------------------------------------------------- decoding -- */

static bool ends_answer(const tn_reasoner *reasoner, int32_t token)
{
    const tn_model_config *config = &reasoner->session->model->config;
    for (size_t i = 0; i < config->eos_count; i++)
        if (config->eos_tokens[i] == token)
            return true;
    return false;
}

/* Whether the request determines the next token. */
static bool is_forced(const tn_reasoner *reasoner)
{
    return reasoner->answer.token_count < reasoner->request->forced_count;
}

/* The next token: determined by the request, or sampled. */
static tenebra_code choose_token(tn_reasoner *reasoner, int32_t *token, tenebra_error *error)
{
    tn_session *session = reasoner->session;
    if (!is_forced(reasoner)) {
        *token = tn_sample_token(&reasoner->answer.sampler, session->logits.data, session->logits.cols);
        return TENEBRA_OK;
    }
    *token = reasoner->request->forced[reasoner->answer.token_count];
    if (*token < 0 || (size_t)*token >= tn_min(session->logits.cols, tn_model_vocabulary(session->model)))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "forced", "token %zu is %d, which the model does not have",
                       reasoner->answer.token_count + 1, (int)*token);
    return TENEBRA_OK;
}

/* Takes the next token, and adds it to the span unless it ends the answer. */
static tenebra_code decode(tn_reasoner *reasoner, tenebra_error *error)
{
    double begin = tn_clock_ms();
    int32_t token;
    TN_TRY(choose_token(reasoner, &token, error));
    reasoner->answer.tokens[reasoner->answer.token_count++] = token;
    reasoner->trace.token_count = reasoner->answer.token_count;
    bool first = ++reasoner->answer.pass_tokens == 1;
    const tn_sequence *sequence = &reasoner->session->sequence;
    if (ends_answer(reasoner, token) && (!first || reasoner->answer.test_first_token)) {
        tn_reasoner_end_answer(reasoner, TENEBRA_FINISH_END_TOKEN);
    } else {
        TN_TRY(tn_stream_token(reasoner, token, error)); /* may find a stop text and end the answer */
        bool full = sequence->length == sequence->capacity || reasoner->answer.pass_tokens == reasoner->answer.pass_limit;
        if (!reasoner->answer.ended && full)
            tn_reasoner_end_answer(reasoner, TENEBRA_FINISH_LENGTH);
    }
    reasoner->trace.generation_ms += tn_clock_ms() - begin;
    if (reasoner->answer.ended) {
        reasoner->answer.unrun = reasoner->trace.finish == TENEBRA_FINISH_END_TOKEN ? -1 : token;
        return tn_stream_end(reasoner, error);
    }
    tn_span_add(reasoner, tn_row_of_token(token), NULL);
    reasoner->loop.phase = TN_PHASE_TOKEN;
    return TENEBRA_OK;
}

/* ---------------------------------------------------------------- actions -- */

/* Executes actions of the method until one requires rows to run, or the logits of the last row, or until the end. `sample`: the
 * logits are available. */
static tenebra_code act(tn_reasoner *reasoner, bool sample, tenebra_error *error)
{
    for (;;) {
        tn_action action = { .kind = TN_ACT_DECODE, .tap = reasoner->loop.tap };
        if (!sample) {
            tn_act_answer(reasoner, &action);
            if (!reasoner->answering)
                TN_TRY(reasoner->method->next(reasoner, &action, error));
        }
        reasoner->loop.tap = action.tap;
        if (reasoner->loop.phase == TN_PHASE_TOKEN)
            reasoner->loop.goes_on = action.kind == TN_ACT_DECODE;
        if (action.kind == TN_ACT_APPEND) {
            reasoner->trace.latent_steps += action.latent;
            reasoner->loop.phase = action.latent ? TN_PHASE_LATENT : TN_PHASE_ROWS;
            return TENEBRA_OK;
        }
        if (action.kind == TN_ACT_DECODE && reasoner->conversation.tail_ahead) { /* latent steps are over */
            TN_TRY(tn_reasoner_add_tail(reasoner, error));
            reasoner->loop.phase = TN_PHASE_ROWS;
            return TENEBRA_OK;
        }
        if (action.kind != TN_ACT_DECODE)
            return end_pass(reasoner, action.kind, error);
        if (reasoner->answer.pass_tokens == reasoner->answer.pass_limit)
            return tn_fail(error, TENEBRA_ERROR_LIMIT, "answer", "has %zu tokens, the maximum that was requested",
                           reasoner->answer.pass_limit);
        if (!is_forced(reasoner) && !reasoner->loop.has_logits) {
            reasoner->loop.phase = TN_PHASE_LOGITS;
            return TENEBRA_OK;
        }
        TN_TRY(decode(reasoner, error));
        if (!reasoner->answer.ended)
            return TENEBRA_OK;
        sample = false;
    }
}

/* Accounts for the span that ran. */
static tenebra_code take_result(tn_reasoner *reasoner, const tn_span *span, tenebra_error *error)
{
    tenebra_trace *trace = &reasoner->trace;
    double spent = tn_clock_ms() - reasoner->loop.asked;
    bool prompt = reasoner->loop.phase == TN_PHASE_PROMPT;
    reasoner->loop.has_logits = span->logits != NULL;
    trace->positions_computed += span->count;
    *(prompt || reasoner->loop.phase == TN_PHASE_TURN  ? &trace->prefill_ms
      : reasoner->loop.phase == TN_PHASE_LATENT        ? &trace->latent_ms
                                                  : &trace->generation_ms) += spent;
    if (span->count > 0)
        reasoner->span.last_ms = spent;
    if (reasoner->loop.phase == TN_PHASE_TOKEN)
        reasoner->loop.recompute = false; /* the reference also uses its cache from the second token on */
    if (!prompt)
        return TENEBRA_OK;
    tn_reasoner_end_work(reasoner);
    if (reasoner->span.see_prompt != NULL)
        TN_TRY(reasoner->span.see_prompt(reasoner, span->out, span->count, error));
    reasoner->span.see_prompt = NULL;
    trace->prompt_tokens = reasoner->conversation.prompt_count + reasoner->conversation.tail_count;
    trace->image_tokens = reasoner->conversation.candidate_count;
    return tn_reasoner_keep_prompt_scores(reasoner, error);
}

/* Uses the results of the span that ran, and prepares the next span. */
static tenebra_code go_on(tn_reasoner *reasoner, const tn_span *span, tenebra_error *error)
{
    TN_TRY(take_result(reasoner, span, error));
    if (reasoner->loop.phase == TN_PHASE_PROMPT || reasoner->loop.phase == TN_PHASE_TURN)
        TN_TRY(tell_prompt(reasoner, error));
    return act(reasoner, reasoner->loop.phase == TN_PHASE_LOGITS, error);
}

/* The prepared span. The logits of a token's row are requested together with it if the last token was also followed by a token. */
static void hand_out(tn_reasoner *reasoner, tn_span *span)
{
    tn_session *session = reasoner->session;
    tn_sequence *sequence = &session->sequence;
    size_t end = sequence->length + reasoner->span.count;
    bool lens = reasoner->request->lens > 0;
    bool token = reasoner->loop.phase == TN_PHASE_TOKEN && reasoner->loop.goes_on && !is_forced(reasoner);
    reasoner->loop.asked = tn_clock_ms();
    *span = (tn_span){ .sequence = sequence, .logits = session->logits.data };
    if (reasoner->loop.phase == TN_PHASE_LOGITS)
        return;
    if (reasoner->loop.recompute)
        tn_sequence_truncate(sequence, 0);
    span->rows = reasoner->span.rows + sequence->length;
    span->count = end - sequence->length;
    span->logits = lens || token ? span->logits : NULL;
    span->wants_rows = reasoner->span.see_prompt != NULL;
    reasoner->loop.request_tap = (tn_span_tap){ .query = span->count - 1, .keys = reasoner->span.keys, .mean = reasoner->span.scores,
                                                .count = reasoner->conversation.candidate_count + reasoner->span.extra_count };
    span->tap = reasoner->loop.tap && reasoner->loop.request_tap.count > 0 ? &reasoner->loop.request_tap : NULL;
    reasoner->span.count = 0;
    if (reasoner->loop.phase == TN_PHASE_PROMPT)
        tn_reasoner_start_work(reasoner, "prompt", session->model->decoder.config.num_hidden_layers * tn_engine_rounds(span->count));
}

tenebra_code tn_reasoner_advance(tn_reasoner *reasoner, tn_need *need, tn_span *span, tenebra_error *error)
{
    bool started = reasoner->loop.phase != TN_PHASE_START;
    if (!started || reasoner->loop.handed_out)
        TN_TRY(started ? go_on(reasoner, span, error) : start(reasoner, error));
    reasoner->loop.handed_out = false;
    *need = reasoner->loop.phase == TN_PHASE_DONE ? TN_NEED_NOTHING : TN_NEED_SPAN;
    if (*need == TN_NEED_SPAN && !tn_reasoner_has_pictures(reasoner))
        *need = TN_NEED_PICTURES;
    if (*need == TN_NEED_SPAN) {
        reasoner->loop.handed_out = true;
        hand_out(reasoner, span);
    }
    return TENEBRA_OK;
}
