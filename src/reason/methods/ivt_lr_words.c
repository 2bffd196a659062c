/* Explicit steps with latent vision: the steps are written in words, and after each the image embeddings that its last token
 * attends to most are fed again, with no hidden state. The row "without latent text" of arXiv:2510.12603, table 2, as the
 * authors describe it (issue 4 of their repository); it requires a model that was trained for it. Picks follow the rule of the
 * latent steps. */
#include "reason/latent.h"

#include "reason/train_example.h"
#include "reason/parts.h"

#include "base/checked.h"

enum { K_SELECT, PICK_ORDER, EXHAUSTED, LATENT_PICKS, LOOK_SIZE };

static const tn_option options[] = {
    [K_SELECT] = TN_SETTING_SIZE("k-select", "K", "32", 0, 4096, "image embeddings picked after each step", .means = TN_MEANS_PICKS),
    [PICK_ORDER] = TN_SETTING_CHOICE("pick-order", "cuda|desc|asc", "cuda", "order of the picks, which determines their positions"),
    [EXHAUSTED] = TN_SETTING_CHOICE("exhausted", "take|repick", "take",
                                    "if fewer than K are left: take them, or also used ones"),
    [LATENT_PICKS] = TN_SETTING_CHOICE("latent-picks", "top|random|lowest|repeat|none", "top",
                                         "intervention: which embeddings are picked", .means = TN_MEANS_LATENT_PICKS),
    [LOOK_SIZE] = TN_LOOK_OPTION,
    TN_OPTIONS_END
};

typedef struct words_state {
    tn_choice choice;
    size_t *watched;    /* cache rows: the picks, then the words of the step      */
    size_t rows, words; /* numbers of these rows and words                        */
    size_t inserted_at; /* tokens that the answer had at the last insertion       */
    bool pending;       /* the last insertion ran, but is not in the trace yet    */
    tenebra_step step;
} words_state;

static tenebra_code open_method(tn_reasoner *reasoner, tenebra_error *error)
{
    const tn_latent_settings settings = {
        .steps = SIZE_MAX, /* as many steps as the model writes */
        .picks = tn_setting_size(reasoner, K_SELECT),
        .order = (tn_pick_order)tn_setting_choice(reasoner, PICK_ORDER),
        .repick = tn_setting_choice(reasoner, EXHAUSTED) == 1,
        .text = TN_TEXT_DROP,
        .source = (tn_latent_picks)tn_setting_choice(reasoner, LATENT_PICKS),
        .look = { tn_setting_sides(reasoner, LOOK_SIZE)[0], tn_setting_sides(reasoner, LOOK_SIZE)[1] },
    };
    words_state *state = tn_reasoner_take_state(reasoner, sizeof *state);
    if (state == NULL)
        return tn_fail_session_full(error);
    TN_TRY(tn_latent_open_choice(reasoner, &state->choice, &settings, error));
    state->watched = tn_reasoner_take(reasoner, reasoner->session->sequence.capacity, sizeof *state->watched);
    if (state->watched == NULL)
        return tn_fail_session_full(error);
    return TENEBRA_OK;
}

/* A step is a line. */
static bool ends_line(const tn_reasoner *reasoner, int32_t token)
{
    const tn_tokenizer *tokenizer = reasoner->session->model->tokenizer;
    size_t length = 0;
    const char *bytes = tokenizer != NULL ? tn_tokenizer_bytes(tokenizer, token, &length) : NULL;
    return bytes != NULL && length > 0 && bytes[length - 1] == '\n';
}

/* Whether the newest token ends a step after which embeddings come. */
static bool is_due(const tn_reasoner *reasoner, const words_state *state)
{
    return !reasoner->answer.ended && reasoner->answer.pass_tokens > state->inserted_at &&
           ends_line(reasoner, reasoner->answer.tokens[reasoner->answer.token_count - 1]) && tn_choice_goes_on(&state->choice) &&
           reasoner->session->sequence.capacity - reasoner->session->sequence.length > tn_choice_rows(&state->choice);
}

/* Watches the attention of the last pick to the picks and to the step's words, for ratio and focus. */
static tenebra_code watch(tn_reasoner *reasoner, words_state *state, tenebra_error *error)
{
    size_t length = reasoner->session->sequence.length, count = state->rows = reasoner->span.count;
    state->words = reasoner->answer.pass_tokens - state->inserted_at;
    for (size_t i = 0; i < count; i++)
        state->watched[i] = length + i;
    for (size_t i = 0; i < state->words; i++)
        state->watched[count + i] = length - state->words + i;
    return tn_reasoner_watch_rows(reasoner, state->watched, count + state->words, error);
}

static tenebra_code insert(tn_reasoner *reasoner, words_state *state, tn_action *action, tenebra_error *error)
{
    const tenebra_pick *picks;
    TN_TRY(tn_latent_lay(reasoner, &state->choice, &(tn_latent_known){ 0 }, &picks, error));
    state->step = (tenebra_step){ .picks = picks, .pick_count = state->choice.pick_count, .hidden_norm = (double)NAN,
                                  .hidden_cosine = (double)NAN };
    TN_TRY(tn_reasoner_tell_scores(reasoner, &state->step, error));
    TN_TRY(watch(reasoner, state, error));
    state->inserted_at = reasoner->answer.pass_tokens;
    state->pending = true;
    *action = (tn_action){ .kind = TN_ACT_APPEND, .tap = true };
    return TENEBRA_OK;
}

static tenebra_code file_step(tn_reasoner *reasoner, words_state *state, tenebra_error *error)
{
    tn_step_weigh(&state->step, reasoner->span.extra_scores, state->rows, state->words);
    tn_reasoner_watch_none(reasoner); /* tokens that follow do not need it */
    state->step.milliseconds = reasoner->span.last_ms;
    state->pending = false;
    return tn_reasoner_file_step(reasoner, &state->step, error);
}

static tenebra_code next(tn_reasoner *reasoner, tn_action *action, tenebra_error *error)
{
    words_state *state = reasoner->state;
    if (state->pending)
        TN_TRY(file_step(reasoner, state, error));
    TN_TRY(tn_latent_open_candidates(reasoner, &state->choice, error));
    if (is_due(reasoner, state))
        return insert(reasoner, state, action, error);
    tn_act_answer(reasoner, action);
    action->tap = tn_choice_goes_on(&state->choice);
    return TENEBRA_OK;
}

/* As in answering, the picks follow the token that ends a line, so a step must not contain another such token. */
static tenebra_code check_step(const tn_reasoner *reasoner, const tn_train_example *example, size_t first, size_t step,
                               tenebra_error *error)
{
    bool whole = example->count > first && ends_line(reasoner, example->text[example->count - 1].token);
    for (size_t i = first; i + 1 < example->count && whole; i++)
        whole = !ends_line(reasoner, example->text[i].token);
    if (whole)
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, "prompt", "step %zu is not one line with a line break at its end, where this "
                   "method feeds image embeddings; use another wording", step + 1);
}

static tenebra_code arrange_training(tn_reasoner *reasoner, tn_train_example *example, tenebra_error *error)
{
    const words_state *state = reasoner->state;
    for (size_t i = 0; i < example->source->step_count; i++) {
        size_t first = example->count;
        TN_TRY(tn_train_example_add_step(example, i, error));
        TN_TRY(check_step(reasoner, example, first, i, error));
        TN_TRY(tn_train_example_add_latents(example, 1, &state->choice.settings, error));
    }
    return tn_train_example_add_answer(example, error);
}

const tn_method tn_method_ivt_lr_words = {
    .name = "ivt-lr-words",
    .summary = "write the steps, with image embeddings fed again after each, then answer",
    .note = "a model that was not trained to write steps with image embeddings after each does not give meaningful answers",
    .options = options,
    .sequential = true,
    .open = open_method,
    .latent_step = tn_latent_step,
    .next = next,
    .arrange_training = arrange_training,
};
