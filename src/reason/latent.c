#include "reason/latent.h"

#include "reason/lesson.h"
#include "reason/parts.h"

#include "base/checked.h"

#include <string.h>

typedef struct latent_state {
    tn_choice choice;
    bool pending;          /* the last step is not filed yet              */
    tn_tensor first_text, last_text; /* hidden states of step one and of the last step, as they were */
    size_t *watched;       /* cache rows: the step's picks, then all latent text so far */
    size_t *text_rows;     /* cache rows of latent text                   */
    size_t text_count;
    tenebra_step step;
} latent_state;

tenebra_code tn_latent_open_choice(tn_reasoner *reasoner, tn_choice *choice, const tn_latent_settings *settings,
                                   tenebra_error *error)
{
    *choice = (tn_choice){ .settings = *settings };
    if (settings->source == TN_PICKS_NONE)
        choice->settings.picks = 0;
    choice->picks = tn_reasoner_take(reasoner, settings->picks + 1, sizeof *choice->picks);
    choice->first = tn_reasoner_take(reasoner, settings->picks + 1, sizeof *choice->first);
    return choice->picks != NULL && choice->first != NULL ? TENEBRA_OK : tn_fail_session_full(error);
}

tenebra_code tn_latent_open(tn_reasoner *reasoner, const tn_latent_settings *settings, tenebra_error *error)
{
    latent_state *state = tn_reasoner_take(reasoner, 1, sizeof *state);
    if (state == NULL)
        return tn_fail_session_full(error);
    TN_TRY(tn_latent_open_choice(reasoner, &state->choice, settings, error));
    state->watched = tn_reasoner_take(reasoner, settings->picks + settings->steps + 1, sizeof *state->watched);
    state->text_rows = tn_reasoner_take(reasoner, settings->steps + 1, sizeof *state->text_rows);
    if (state->text_rows == NULL)
        return tn_fail_session_full(error);
    reasoner->want_mean = settings->text == TN_TEXT_MEAN;
    reasoner->state = state;
    return TENEBRA_OK;
}

/* ------------------------------------------------------------ one step -- */

static double norm_of(tn_tensor row)
{
    double sum = 0;
    for (size_t i = 0; i < row.cols; i++)
        sum += (double)row.data[i] * (double)row.data[i];
    return sqrt(sum);
}

/* How many embeddings there are is known since the prompt. */
tenebra_code tn_latent_choose(tn_reasoner *reasoner, tn_choice *choice, const tenebra_pick **picks, tenebra_error *error)
{
    if (choice->available == NULL) {
        choice->candidates = reasoner->candidate_count;
        choice->available = tn_reasoner_take(reasoner, choice->candidates + 1, sizeof *choice->available);
        if (choice->available == NULL)
            return tn_fail_session_full(error);
        memset(choice->available, true, choice->candidates);
    }
    tn_choice_next(choice, reasoner->scores, &reasoner->rng);
    tenebra_pick *told = tn_reasoner_take(reasoner, choice->pick_count + 1, sizeof *told);
    if (told == NULL)
        return tn_fail_session_full(error);
    for (size_t i = 0; i < choice->pick_count; i++)
        told[i] = tn_reasoner_pick(reasoner, choice->picks[i]);
    *picks = told;
    return TENEBRA_OK;
}

static void shuffle(tn_tensor row, tn_rng *rng)
{
    for (size_t left = row.cols; left > 1; left--) {
        size_t other = (size_t)tn_rng_below(rng, left);
        tn_real value = row.data[left - 1];
        row.data[left - 1] = row.data[other];
        row.data[other] = value;
    }
}

/* Gaussian with the norm of `like`. */
static void fill_noise(tn_tensor row, tn_tensor like, tn_rng *rng)
{
    for (size_t i = 0; i < row.cols; i++)
        row.data[i] = (tn_real)tn_rng_normal(rng);
    double scale = norm_of(like) / norm_of(row);
    for (size_t i = 0; i < row.cols; i++)
        row.data[i] = (tn_real)((double)row.data[i] * scale);
}

static tenebra_code copy_given(const tn_reasoner *reasoner, const latent_state *state, tn_tensor row, tenebra_error *error)
{
    const tenebra_request *request = reasoner->request;
    size_t step = state->choice.done - 1;
    if (request->latents == NULL || request->latent_size != row.cols || step >= request->latent_count)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "latent-text", "'given' takes the rows of another question's steps from the "
                       "request: %zu of %zu numbers are there, step %zu needs one of %zu", request->latent_count,
                       request->latent_size, step + 1, row.cols);
    for (size_t i = 0; i < row.cols; i++)
        row.data[i] = (tn_real)request->latents[step * row.cols + i];
    return TENEBRA_OK;
}

/* The row to feed as latent text: the hidden state, or what the intervention puts in its place. */
static tenebra_code make_text(tn_reasoner *reasoner, const latent_state *state, tn_tensor *text, tenebra_error *error)
{
    tn_latent_text how = state->choice.settings.text;
    *text = how == TN_TEXT_FROZEN ? state->first_text : state->last_text;
    if (how == TN_TEXT_KEEP || how == TN_TEXT_FROZEN || how == TN_TEXT_DROP)
        return TENEBRA_OK;
    *text = tn_session_keep_row(reasoner->session, state->last_text.data, error);
    if (text->data == NULL)
        return TENEBRA_ERROR_LIMIT;
    if (how == TN_TEXT_ZERO)
        memset(text->data, 0, text->cols * sizeof *text->data);
    else if (how == TN_TEXT_MEAN)
        memcpy(text->data, reasoner->mean.data, text->cols * sizeof *text->data);
    else if (how == TN_TEXT_NOISE)
        fill_noise(*text, state->last_text, &reasoner->rng);
    else if (how == TN_TEXT_SHUFFLE)
        shuffle(*text, &reasoner->rng);
    else
        return copy_given(reasoner, state, *text, error);
    return TENEBRA_OK;
}

static double cosine_of(tn_tensor a, tn_tensor b)
{
    double sum = 0;
    for (size_t i = 0; i < a.cols; i++)
        sum += (double)a.data[i] * (double)b.data[i];
    return sum / (norm_of(a) * norm_of(b));
}

/* What the trace tells of the step; keeps its hidden state. */
static tenebra_code describe(tn_reasoner *reasoner, latent_state *state, const tenebra_pick *picks, tenebra_error *error)
{
    tn_session *session = reasoner->session;
    tn_tensor hidden = state->choice.settings.raw_hidden ? tn_session_raw(session) : tn_session_hidden(session), before = state->last_text;
    state->last_text = tn_session_keep_row(session, hidden.data, error);
    if (state->last_text.data == NULL)
        return TENEBRA_ERROR_LIMIT;
    if (before.data == NULL)
        state->first_text = state->last_text;
    state->step = (tenebra_step){ .picks = picks, .pick_count = state->choice.pick_count, .hidden_norm = norm_of(hidden),
                                  .hidden_cosine = before.data ? cosine_of(before, hidden) : (double)NAN,
                                  .hidden = state->last_text.data, .hidden_size = hidden.cols };
    TN_TRY(tn_reasoner_tell_scores(reasoner, &state->step, error));
    return tn_reasoner_lens(reasoner, &state->step.lens, &state->step.lens_count, error);
}

/* Lays the rows of the step into the span, in their order. */
static bool lay_rows(tn_reasoner *reasoner, const latent_state *state, tn_tensor text)
{
    for (size_t row = 0; row < tn_choice_rows(&state->choice); row++) {
        size_t pick = 0;
        bool is_text = tn_choice_is_text(&state->choice, row, &pick);
        if (!(is_text ? tn_span_add(reasoner, tn_row_of_vector(text, 0), NULL)
                      : tn_span_add(reasoner, reasoner->rows[reasoner->candidates[pick].row], NULL)))
            return false;
    }
    return true;
}

/* Watches the rows that this step adds and all latent text, for ratio and focus. */
static tenebra_code watch_step(tn_reasoner *reasoner, latent_state *state, tenebra_error *error)
{
    size_t first = reasoner->session->sequence.length, count = 0;
    for (size_t row = 0; row < tn_choice_rows(&state->choice); row++) {
        size_t pick;
        if (tn_choice_is_text(&state->choice, row, &pick))
            state->text_rows[state->text_count++] = first + row;
        else
            state->watched[count++] = first + row;
    }
    memcpy(state->watched + count, state->text_rows, state->text_count * sizeof *state->watched);
    return tn_reasoner_watch_rows(reasoner, state->watched, count + state->text_count, error);
}

static tenebra_code lay_block(tn_reasoner *reasoner, latent_state *state, tn_action *action, tenebra_error *error)
{
    tn_tensor text = { 0 };
    const tenebra_pick *picks;
    TN_TRY(tn_latent_choose(reasoner, &state->choice, &picks, error));
    TN_TRY(describe(reasoner, state, picks, error));
    TN_TRY(watch_step(reasoner, state, error));
    TN_TRY(make_text(reasoner, state, &text, error));
    if (!lay_rows(reasoner, state, text))
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "context", "a latent step does not fit; raise -c");
    reasoner->trace.injected_tokens += state->choice.pick_count;
    *action = (tn_action){ .kind = TN_ACT_APPEND, .latent = true, .tap = true };
    state->pending = true;
    return TENEBRA_OK;
}

/* The step that just ran. */
static tenebra_code file_step(tn_reasoner *reasoner, latent_state *state, tenebra_error *error)
{
    tn_step_weigh(&state->step, reasoner->extra_scores, state->choice.pick_count, state->text_count);
    state->step.milliseconds = reasoner->last_ms;
    state->pending = false;
    return tn_reasoner_file_step(reasoner, &state->step, error);
}

tenebra_code tn_latent_next(tn_reasoner *reasoner, tn_action *action, tenebra_error *error)
{
    latent_state *state = reasoner->state;
    if (state->pending)
        TN_TRY(file_step(reasoner, state, error));
    if (state->choice.available == NULL)
        state->choice.candidates = reasoner->candidate_count;
    if (tn_choice_goes_on(&state->choice))
        return lay_block(reasoner, state, action, error);
    tn_act_answer(reasoner, action);
    return TENEBRA_OK;
}

tenebra_code tn_latent_lesson(tn_reasoner *reasoner, tn_lesson *lesson, tenebra_error *error)
{
    const latent_state *state = reasoner->state;
    const tn_latent_settings *settings = &state->choice.settings;
    TN_TRY(tn_lesson_add_latents(lesson, settings->steps > 0 ? lesson->source->latents : 0, settings, error));
    TN_TRY(tn_lesson_add_steps(lesson, lesson->source->skip, error));
    return tn_lesson_add_answer(lesson, error);
}
