#include "reason/latent.h"

#include "reason/train_example.h"
#include "reason/parts.h"
#include "reason/reconstruct.h"

#include "base/checked.h"

#include <string.h>

typedef struct latent_state {
    tn_choice choice;
    bool pending;          /* the last step is not in the trace yet       */
    bool begun, ended;     /* the rows before and after the steps were fed */
    tn_tensor question;    /* [n, C] rows of the question after the final norm, if the method reads them */
    const tn_real *last_text; /* [C] the hidden state of the last step before an intervention; NULL: none yet */
    size_t *watched;       /* cache rows: the step's picks, then all latent text so far */
    size_t *text_rows;     /* cache rows of latent text                   */
    size_t text_count;
    tn_tensor mean;        /* [1, C] mean of the prompt's rows after the final norm, for TN_TEXT_MEAN */
    size_t watched_picks;  /* rows of the step that are picks; a method may pick and add other rows */
    tenebra_step step;
} latent_state;

tenebra_code tn_latent_open_choice(tn_reasoner *reasoner, tn_choice *choice, const tn_latent_settings *settings,
                                   tenebra_error *error)
{
    *choice = (tn_choice){ .settings = *settings };
    if (settings->source == TN_PICKS_NONE)
        choice->settings.picks = 0;
    if (settings->steps > 0 && choice->settings.picks > 0)
        tn_look_open(reasoner, settings->look);
    choice->picks = tn_reasoner_take(reasoner, settings->picks + 1, sizeof *choice->picks);
    choice->first = tn_reasoner_take(reasoner, settings->picks + 1, sizeof *choice->first);
    choice->thoughts = tn_reasoner_take(reasoner, settings->steps + 1, sizeof *choice->thoughts);
    return choice->picks != NULL && choice->first != NULL && choice->thoughts != NULL ? TENEBRA_OK : tn_fail_session_full(error);
}

/* Keeps what later steps need of the prompt: its mean, and the question. */
static tenebra_code keep_prompt(tn_reasoner *reasoner, tn_row_ref rows, size_t count, tenebra_error *error)
{
    latent_state *state = reasoner->state;
    tn_engine *engine = reasoner->session->engine;
    tenebra_code code = TENEBRA_OK;
    size_t mark = tn_ops_mark(&engine->ops);
    const tn_tensor normed = tn_decoder_norm(&engine->ops, &engine->model->decoder, tn_op_rows(&engine->ops, rows.source, rows.row, count));
    if (state->choice.settings.text == TN_TEXT_MEAN)
        code = tn_session_keep_row(reasoner->session, tn_op_mean_rows(&engine->ops, normed), &state->mean, error);
    if (code == TENEBRA_OK && reasoner->method->reads_question) {
        size_t first = tn_question_begins(reasoner->span.rows, count);
        code = tn_session_keep_rows(reasoner->session, tn_op_rows(&engine->ops, normed, first, count - first), &state->question, error);
    }
    TN_TRY(tn_engine_finish(engine, mark, error));
    return code;
}

tenebra_code tn_latent_open(tn_reasoner *reasoner, const tn_latent_settings *settings, tenebra_error *error)
{
    latent_state *state = tn_reasoner_take_state(reasoner, sizeof *state);
    if (state == NULL)
        return tn_fail_session_full(error);
    TN_TRY(tn_latent_open_choice(reasoner, &state->choice, settings, error));
    state->text_rows = tn_reasoner_take(reasoner, settings->steps + 1, sizeof *state->text_rows);
    if (state->text_rows == NULL)
        return tn_fail_session_full(error);
    if (settings->text == TN_TEXT_MEAN || (reasoner->method->reads_question && settings->steps > 0))
        tn_reasoner_see_prompt(reasoner, keep_prompt);
    return TENEBRA_OK;
}

/* ------------------------------------------------------------ one step -- */

static double product_of(const tn_real *a, const tn_real *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

tenebra_code tn_latent_open_candidates(tn_reasoner *reasoner, tn_choice *choice, tenebra_error *error)
{
    const tn_conversation *c = &reasoner->conversation;
    size_t cells = 0;
    if (choice->available != NULL)
        return TENEBRA_OK;
    choice->candidates = c->candidate_count;
    for (size_t i = 0; i < choice->candidates; i++)
        cells += tn_look_ratio(&c->pictures[c->candidates[i].picture].rows, &c->pictures[c->candidates[i].picture].look);
    choice->available = tn_reasoner_take(reasoner, choice->candidates + 1, sizeof *choice->available);
    choice->starts = tn_reasoner_take(reasoner, choice->candidates + 1, sizeof *choice->starts);
    choice->cells = tn_reasoner_take(reasoner, cells + 1, sizeof *choice->cells);
    if (choice->available == NULL || choice->starts == NULL || choice->cells == NULL)
        return tn_fail_session_full(error);
    memset(choice->available, true, choice->candidates);
    for (size_t i = 0; i < choice->candidates; i++) {
        const tn_picture *picture = &c->pictures[c->candidates[i].picture];
        tn_choice_add(choice, i, &picture->rows, &picture->look, c->candidates[i].index);
    }
    return TENEBRA_OK;
}

tenebra_code tn_latent_lay(tn_reasoner *reasoner, tn_choice *choice, const tn_latent_known *known, const tenebra_pick **picks,
                           tenebra_error *error)
{
    static const tenebra_input nothing = { 0 };
    const tenebra_input *given = tn_reasoner_input(reasoner, TN_INPUT_LATENTS);
    given = given != NULL ? given : &nothing;
    TN_TRY(tn_latent_open_candidates(reasoner, choice, error));
    size_t count = 0;
    tn_row *rows = tn_reasoner_take(reasoner, tn_choice_rows(choice), sizeof *rows);
    tenebra_pick *told = tn_reasoner_take(reasoner, choice->settings.picks + 1, sizeof *told);
    if (rows == NULL || told == NULL)
        return tn_fail_session_full(error);
    tn_latent_view view = { .ops = &reasoner->session->engine->ops,
                            .module = tn_module_of(reasoner->session->model, reasoner->method->name),
                            .decoder = &reasoner->session->model->decoder, .hidden = { known->hidden, 0 },
                            .raw = { known->raw, 0 }, .scores = reasoner->span.scores, .rng = &reasoner->rng, .mean = known->mean,
                            .question = { known->question, 0 }, .question_rows = known->question.rows, .answering = true,
                            .given = given->values, .given_steps = given->rows, .given_size = given->columns };
    choice->text = choice->settings.raw_hidden ? view.raw : view.hidden;
    TN_TRY(tn_session_take_row(reasoner->session, &view.made, error));
    if (view.module != NULL)
        TN_TRY(tn_session_take_row(reasoner->session, &view.thought, error));
    TN_TRY(reasoner->method->latent_step(choice, &view, rows, &count, error));
    size_t injected = 0;
    for (size_t i = 0; i < count; i++) {
        if (!tn_span_add(reasoner, rows[i], NULL))
            return tn_fail(error, TENEBRA_ERROR_LIMIT, "context", "a latent step does not fit into %zu rows%stake fewer steps or picks",
                           reasoner->session->sequence.capacity, tn_session_advice(reasoner->session));
        injected += rows[i].kind == TN_ROW_CELL;
    }
    for (size_t i = 0; i < choice->pick_count; i++)
        told[i] = tn_reasoner_pick(reasoner, choice->picks[i]);
    tn_reasoner_count_injected(reasoner, injected);
    *picks = told;
    return TENEBRA_OK;
}

/* Fills the trace of the step that is made from this hidden state. */
static tenebra_code describe(tn_reasoner *reasoner, latent_state *state, tn_tensor hidden, const tenebra_pick *picks,
                             tenebra_error *error)
{
    const tn_real *before = state->last_text;
    tn_real *now = tn_reasoner_take(reasoner, hidden.cols, sizeof *now);
    if (now == NULL || !tn_op_read(&reasoner->session->engine->ops, hidden, now))
        return tn_fail_session_full(error);
    state->last_text = now;
    double norm = sqrt(product_of(now, now, hidden.cols));
    double cosine = before != NULL ? product_of(before, now, hidden.cols) / (sqrt(product_of(before, before, hidden.cols)) * norm)
                                   : (double)NAN;
    state->step = (tenebra_step){ .picks = picks, .pick_count = state->choice.pick_count, .hidden_norm = norm,
                                  .hidden_cosine = cosine, .hidden = now, .hidden_size = hidden.cols };
    TN_TRY(tn_reasoner_tell_scores(reasoner, &state->step, error));
    return tn_reasoner_lens(reasoner, &state->step.lens, &state->step.lens_count, error);
}

/* Watches the rows of this step and all latent text, for ratio and focus. */
static tenebra_code watch_step(tn_reasoner *reasoner, latent_state *state, tenebra_error *error)
{
    size_t first = reasoner->session->sequence.length, count = 0;
    const tn_choice *choice = &state->choice;
    if (state->watched == NULL)
        state->watched = tn_reasoner_take(reasoner, tn_choice_rows(choice) + choice->settings.steps, sizeof *state->watched);
    if (state->watched == NULL)
        return tn_fail_session_full(error);
    for (size_t row = 0; row < reasoner->span.count; row++) {
        if (reasoner->span.rows[first + row].kind == TN_ROW_VECTOR)
            state->text_rows[state->text_count++] = first + row;
        else
            state->watched[count++] = first + row;
    }
    state->watched_picks = count;
    memcpy(state->watched + count, state->text_rows, state->text_count * sizeof *state->watched);
    return tn_reasoner_watch_rows(reasoner, state->watched, count + state->text_count, error);
}

static tenebra_code lay_block(tn_reasoner *reasoner, latent_state *state, tn_action *action, tenebra_error *error)
{
    tn_session *session = reasoner->session;
    const tenebra_pick *picks;
    tn_latent_known known = { .mean = state->mean, .question = state->question };
    TN_TRY(tn_session_keep_row(session, tn_session_hidden(session), &known.hidden, error));
    TN_TRY(tn_session_keep_row(session, tn_session_raw(session), &known.raw, error));
    TN_TRY(tn_latent_lay(reasoner, &state->choice, &known, &picks, error));
    TN_TRY(describe(reasoner, state, state->choice.text.source, picks, error));
    bool last = !tn_choice_goes_on(&state->choice);
    TN_TRY(tn_reconstruct_step(reasoner, state->choice.thoughts, state->choice.done, last, &state->step, error));
    TN_TRY(watch_step(reasoner, state, error));
    *action = (tn_action){ .kind = TN_ACT_APPEND, .latent = true, .tap = true };
    state->pending = true;
    return TENEBRA_OK;
}

/* Adds the step that just ran to the trace. */
static tenebra_code file_step(tn_reasoner *reasoner, latent_state *state, tenebra_error *error)
{
    tn_step_weigh(&state->step, reasoner->span.extra_scores, state->watched_picks, state->text_count);
    state->step.milliseconds = reasoner->span.last_ms;
    state->pending = false;
    return tn_reasoner_file_step(reasoner, &state->step, error);
}

/* Feeds the method's row before the steps (0) or after them (1). */
static tenebra_code lay_mark(tn_reasoner *reasoner, size_t which, tn_action *action, tenebra_error *error)
{
    latent_state *state = reasoner->state;
    tn_session *session = reasoner->session;
    tn_engine *engine = session->engine;
    tn_tensor row;
    size_t mark = tn_ops_mark(&engine->ops);
    const tn_tensor both = reasoner->method->marks(&engine->ops, tn_module_of(session->model, reasoner->method->name));
    tenebra_code code = tn_session_keep_rows(session, tn_op_rows(&engine->ops, both, which, 1), &row, error);
    TN_TRY(tn_engine_finish(engine, mark, error));
    TN_TRY(code);
    if (!tn_span_add(reasoner, tn_row_of_vector(row, 0), NULL))
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "context", "the rows around latent steps do not fit into %zu rows%stake fewer steps",
                       session->sequence.capacity, tn_session_advice(session));
    *action = (tn_action){ .kind = TN_ACT_APPEND, .tap = which == 0 && tn_choice_needs_scores(&state->choice) };
    return TENEBRA_OK;
}

tenebra_code tn_latent_next(tn_reasoner *reasoner, tn_action *action, tenebra_error *error)
{
    latent_state *state = reasoner->state;
    bool marks = reasoner->method->marks != NULL && state->choice.settings.steps > 0;
    if (state->pending)
        TN_TRY(file_step(reasoner, state, error));
    TN_TRY(tn_latent_open_candidates(reasoner, &state->choice, error));
    if (marks && !state->begun) {
        state->begun = true;
        return lay_mark(reasoner, 0, action, error);
    }
    if (tn_choice_goes_on(&state->choice))
        return lay_block(reasoner, state, action, error);
    if (marks && !state->ended) {
        state->ended = true;
        return lay_mark(reasoner, 1, action, error);
    }
    tn_act_answer(reasoner, action);
    return TENEBRA_OK;
}

tenebra_code tn_latent_example(tn_reasoner *reasoner, tn_train_example *example, tenebra_error *error)
{
    const latent_state *state = reasoner->state;
    const tn_latent_settings *settings = &state->choice.settings;
    size_t latents = settings->steps > 0 ? example->source->latents : 0;
    bool marks = reasoner->method->marks != NULL && latents > 0;
    if (marks)
        TN_TRY(tn_train_example_add_mark(example, 0, error));
    TN_TRY(tn_train_example_add_latents(example, latents, settings, error));
    if (marks)
        TN_TRY(tn_train_example_add_mark(example, 1, error));
    TN_TRY(tn_train_example_add_steps(example, example->source->skip, error));
    return tn_train_example_add_answer(example, error);
}
