#include "reason/latent.h"

#include "reason/parts.h"

#include "base/checked.h"

#include <string.h>

typedef struct latent_state {
    tn_latent_settings settings;
    size_t done;           /* steps that ran                              */
    bool pending;          /* the last step is not filed yet              */
    bool *available;       /* [candidates], allocated at the first step   */
    size_t *picks;         /* [K] of the current step                     */
    size_t pick_count;
    size_t *first_picks;   /* [K] of step one                             */
    size_t first_count;
    tn_tensor first_text;  /* hidden state of step one                    */
    size_t *watched;       /* cache rows: the step's picks, then all latent text so far */
    size_t *text_rows;     /* cache rows of latent text                   */
    size_t text_count;
    tenebra_step step;
} latent_state;

tenebra_code tn_latent_open(tn_reasoner *reasoner, const tn_latent_settings *settings, tenebra_error *error)
{
    latent_state *state = tn_reasoner_take(reasoner, 1, sizeof *state);
    if (state == NULL)
        return tn_memory_is_full(error);
    state->settings = *settings;
    if (settings->source == TN_PICKS_NONE)
        state->settings.picks = 0;
    state->picks = tn_reasoner_take(reasoner, settings->picks + 1, sizeof *state->picks);
    state->first_picks = tn_reasoner_take(reasoner, settings->picks + 1, sizeof *state->first_picks);
    state->watched = tn_reasoner_take(reasoner, settings->picks + settings->steps + 1, sizeof *state->watched);
    state->text_rows = tn_reasoner_take(reasoner, settings->steps + 1, sizeof *state->text_rows);
    if (state->text_rows == NULL)
        return tn_memory_is_full(error);
    reasoner->session->want_mean = settings->text == TN_TEXT_MEAN;
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

/* Chooses this step's embeddings into state->picks. */
static tenebra_code choose(tn_reasoner *reasoner, latent_state *state, tenebra_error *error)
{
    size_t count = reasoner->candidate_count, k = state->settings.picks;
    if (state->available == NULL) {
        state->available = tn_reasoner_take(reasoner, count + 1, sizeof *state->available);
        if (state->available == NULL)
            return tn_memory_is_full(error);
        memset(state->available, true, count);
    }
    if (state->settings.source == TN_PICKS_REPEAT && state->done > 0) {
        memcpy(state->picks, state->first_picks, state->first_count * sizeof *state->picks);
        state->pick_count = state->first_count;
    } else if (state->settings.source == TN_PICKS_RANDOM) {
        state->pick_count = tn_select_random(state->available, count, k, &reasoner->rng, state->picks);
    } else if (state->settings.source == TN_PICKS_LOWEST) {
        state->pick_count = tn_select_lowest(reasoner->scores, state->available, count, k, state->picks);
    } else {
        state->pick_count = tn_select_top(reasoner->scores, state->available, count, k, state->settings.order,
                                          state->settings.repick, state->picks);
    }
    if (state->done == 0) {
        memcpy(state->first_picks, state->picks, state->pick_count * sizeof *state->picks);
        state->first_count = state->pick_count;
    }
    return TENEBRA_OK;
}

/* The row to feed as latent text: the hidden state, or what the intervention puts in its place. */
static tenebra_code make_text(tn_reasoner *reasoner, latent_state *state, tn_tensor *text, tenebra_error *error)
{
    tn_session *session = reasoner->session;
    tn_tensor hidden = state->settings.raw_hidden ? session->raw_hidden : session->hidden;
    *text = tn_session_keep_row(session, hidden.data, error);
    if (text->data == NULL)
        return TENEBRA_ERROR_LIMIT;
    if (state->done == 0)
        state->first_text = *text;
    switch (state->settings.text) {
    case TN_TEXT_ZERO:
        memset(text->data, 0, text->cols * sizeof *text->data);
        break;
    case TN_TEXT_NOISE: {
        double norm = norm_of(hidden);
        for (size_t i = 0; i < text->cols; i++)
            text->data[i] = (tn_real)tn_rng_normal(&reasoner->rng);
        double scale = norm / norm_of(*text);
        for (size_t i = 0; i < text->cols; i++)
            text->data[i] = (tn_real)((double)text->data[i] * scale);
        break;
    }
    case TN_TEXT_MEAN:
        memcpy(text->data, session->mean.data, text->cols * sizeof *text->data);
        break;
    case TN_TEXT_FROZEN:
        *text = state->first_text;
        break;
    default:
        break;
    }
    return TENEBRA_OK;
}

static tenebra_code describe(tn_reasoner *reasoner, latent_state *state, tenebra_error *error)
{
    tenebra_pick *picks = tn_reasoner_take(reasoner, state->pick_count + 1, sizeof *picks);
    if (picks == NULL)
        return tn_memory_is_full(error);
    for (size_t i = 0; i < state->pick_count; i++)
        picks[i] = tn_reasoner_pick(reasoner, state->picks[i]);
    tn_session *session = reasoner->session;
    state->step = (tenebra_step){ .picks = picks,
                                  .pick_count = state->pick_count,
                                  .hidden_norm = norm_of(state->settings.raw_hidden ? session->raw_hidden
                                                                                    : session->hidden) };
    return tn_reasoner_lens(reasoner, session->hidden, &state->step.lens, &state->step.lens_count, error);
}

static bool add_picks(tn_reasoner *reasoner, const latent_state *state)
{
    for (size_t i = 0; i < state->pick_count; i++) {
        const tn_candidate_row *candidate = &reasoner->candidates[state->picks[i]];
        if (!tn_span_add_row(reasoner, reasoner->pictures[candidate->picture].embeds, candidate->index, NULL))
            return false;
    }
    return true;
}

/* Watches the rows that this step adds and all latent text, for ratio and focus. */
static tenebra_code watch_step(tn_reasoner *reasoner, latent_state *state, bool with_text, tenebra_error *error)
{
    size_t first = reasoner->session->length, count = state->pick_count;
    bool text_first = state->settings.text_first && with_text;
    for (size_t i = 0; i < count; i++)
        state->watched[i] = first + i + text_first;
    if (with_text)
        state->text_rows[state->text_count++] = text_first ? first : first + count;
    memcpy(state->watched + count, state->text_rows, state->text_count * sizeof *state->watched);
    return tn_reasoner_watch_rows(reasoner, state->watched, count + state->text_count, error);
}

static tenebra_code lay_block(tn_reasoner *reasoner, latent_state *state, tn_action *action, tenebra_error *error)
{
    bool with_text = state->settings.text != TN_TEXT_DROP, laid = true;
    TN_TRY(choose(reasoner, state, error));
    TN_TRY(describe(reasoner, state, error));
    TN_TRY(watch_step(reasoner, state, with_text, error));
    tn_tensor text = { 0 };
    if (with_text)
        TN_TRY(make_text(reasoner, state, &text, error));
    if (with_text && state->settings.text_first)
        laid = tn_span_add_row(reasoner, text, 0, NULL);
    laid = laid && add_picks(reasoner, state);
    if (with_text && !state->settings.text_first)
        laid = laid && tn_span_add_row(reasoner, text, 0, NULL);
    if (!laid)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "context", "a latent step does not fit; raise -c");
    reasoner->trace.injected_tokens += state->pick_count;
    *action = (tn_action){ .kind = TN_ACT_APPEND, .latent = true, .tap = true };
    state->pending = true;
    state->done++;
    return TENEBRA_OK;
}

/* Attention ratio and focus of the step that just ran. Source: arXiv:2510.12603, figure 5. */
static tenebra_code file_step(tn_reasoner *reasoner, latent_state *state, tenebra_error *error)
{
    const tn_real *scores = reasoner->extra_scores;
    double images = 0, texts = 0, entropy = 0;
    for (size_t i = 0; i < state->pick_count; i++)
        images += (double)scores[i];
    for (size_t i = 0; i < state->text_count; i++)
        texts += (double)scores[state->pick_count + i];
    for (size_t i = 0; i < state->pick_count; i++) {
        double share = (double)scores[i] / images;
        entropy -= share > 0 ? share * log(share) : 0;
    }
    state->step.attention_ratio = state->pick_count && texts > 0 ? images / texts : (double)NAN;
    state->step.attention_focus = state->pick_count && images > 0 ? 1 / (entropy + 1e-6) : (double)NAN;
    state->step.milliseconds = reasoner->last_ms;
    state->pending = false;
    return tn_reasoner_file_step(reasoner, &state->step, error);
}

tenebra_code tn_latent_next(tn_reasoner *reasoner, tn_action *action, tenebra_error *error)
{
    latent_state *state = reasoner->state;
    if (state->pending)
        TN_TRY(file_step(reasoner, state, error));
    bool text = state->settings.text != TN_TEXT_DROP;
    size_t left = reasoner->candidate_count;
    for (size_t i = 0; state->available != NULL && i < reasoner->candidate_count; i++)
        left -= !state->available[i];
    /* Used embeddings are fed again by repeating, and by refilling, which only the top choice does. */
    bool again = state->settings.source == TN_PICKS_REPEAT ||
                 (state->settings.source == TN_PICKS_TOP && state->settings.repick);
    bool vision = state->settings.picks > 0 && (left > 0 || (reasoner->candidate_count > 0 && again));
    if (state->done < state->settings.steps && (text || vision))
        return lay_block(reasoner, state, action, error);
    tn_act_answer(reasoner, action);
    return TENEBRA_OK;
}
