/* ICoT (arXiv:2411.19488): steps in words; at line breaks, the image embeddings that the newest token attends to most are fed
 * again. It requires no training. Defaults are those of the released code for models with cells of 28 pixels. */
#include "reason/parts.h"

#include "base/checked.h"
#include "reason/select.h"

#include <string.h>

enum { CUE, MARK, TRIGGER, EVERY, STICKY, INSERTIONS, PICKS, PICTURES, GRID, MASK_USED, AT_START, MIN_FIRST, MIN_BETWEEN,
       FEED };

static const tn_option options[] = {
    [CUE] = TN_SETTING_TEXT("cue", "\nLet's think step by step.", "text added to the question", .means = TN_MEANS_CUE),
    [MARK] = TN_SETTING_TEXT("mark", "\n", "text of the token that ends a step (default: a line break)"),
    [TRIGGER] = TN_SETTING_CHOICE("trigger", "strict|any", "strict", "the mark must be a token of its own, or may be part of one"),
    [EVERY] = TN_SETTING_SIZE("every", "K", "2", 1, 1024, "insert at every K-th mark"),
    [STICKY] = TN_SETTING_CHOICE("sticky", "yes|no", "yes",
                                 "yes: insert after every token until the next mark, as the released code; no: only at the mark"),
    [INSERTIONS] = TN_SETTING_SIZE("insertions", "N", "3", 0, 1024, "at most N insertions in an answer"),
    [PICKS] = TN_SETTING_SIZE("patches", "N", "16", 1, 4096, "image embeddings in an insertion"),
    [PICTURES] = TN_SETTING_CHOICE("pictures", "last|all", "last", "images to pick from"),
    [GRID] = TN_SETTING_CHOICE("grid", "square|true", "square",
                               "positions of the picks: a separate square, or their places in the image"),
    [MASK_USED] = TN_SETTING_CHOICE("mask-used", "no|yes", "no", "never pick an embedding twice"),
    [AT_START] = TN_SETTING_CHOICE("at-start", "no|yes", "no", "insert once before the first token"),
    [MIN_FIRST] = TN_SETTING_SIZE("min-first", "N", "0", 0, 1e6, "at least N tokens before the first insertion"),
    [MIN_BETWEEN] = TN_SETTING_SIZE("min-between", "N", "0", 0, 1e6, "at least N tokens between two insertions"),
    [FEED] = TN_SETTING_CHOICE("feed", "yes|no", "yes", "no: only report what would be inserted, and the attention to it"),
    TN_OPTIONS_END
};

typedef struct icot_state {
    size_t pass;   /* the pass of the counts below        */
    size_t seen;   /* scanned tokens of the pass          */
    size_t breaks; /* marks among them                    */
    size_t insertions;
    size_t inserted_at; /* number of tokens at the last insertion */
    bool *used;         /* [candidates] */
    bool *available;    /* [candidates] of one insertion */
    size_t *picks;      /* [PICKS]    */
    size_t *watched;    /* cache rows: the step's picks, then the words since the last insertion */
    size_t words;       /* number of these words */
    bool pending;       /* the last insertion is not in the trace yet */
    tenebra_step step;
} icot_state;

static tenebra_code open_method(tn_reasoner *reasoner, tenebra_error *error)
{
    icot_state *state = tn_reasoner_take_state(reasoner, sizeof *state);
    size_t capacity = reasoner->session->sequence.capacity;
    if (state == NULL)
        return tn_fail_session_full(error);
    state->used = tn_reasoner_take(reasoner, capacity, sizeof *state->used);
    state->available = tn_reasoner_take(reasoner, capacity, sizeof *state->available);
    state->picks = tn_reasoner_take(reasoner, tn_setting_size(reasoner, PICKS), sizeof *state->picks);
    state->watched = tn_reasoner_take(reasoner, capacity, sizeof *state->watched);
    if (state->used == NULL || state->available == NULL || state->picks == NULL || state->watched == NULL)
        return tn_fail_session_full(error);
    return TENEBRA_OK;
}

static tenebra_code arrange(tn_reasoner *reasoner, tn_script *script, tenebra_error *error)
{
    if (reasoner->pass > 0)
        return TENEBRA_OK;
    TN_TRY(tn_script_cut(script, tn_cut_answer_cue, error));
    return tn_script_add_cue(script, tn_setting_text(reasoner, CUE), error);
}

/* -------------------------------------------------------------- when -- */

static bool is_break(const tn_reasoner *reasoner, int32_t token)
{
    const tn_tokenizer *tokenizer = reasoner->session->model->tokenizer;
    const char *mark = tn_setting_text(reasoner, MARK);
    size_t length = 0, wanted = strlen(mark);
    const char *bytes = tokenizer ? tn_tokenizer_bytes(tokenizer, token, &length) : NULL;
    if (bytes == NULL || wanted == 0)
        return false;
    for (size_t at = 0; at + wanted <= length; at++)
        if (memcmp(bytes + at, mark, wanted) == 0)
            return length == wanted || tn_setting_choice(reasoner, TRIGGER) == 1;
    return false;
}

/* Counts the newest token, and returns whether it inserts. With `sticky`, the released code is followed, which tests the number
 * of breaks so far at every token, and not whether this token is a break. */
static bool is_due(const tn_reasoner *reasoner, icot_state *state)
{
    if (reasoner->answer.pass_tokens == 0)
        return state->insertions == 0 && tn_setting_choice(reasoner, AT_START) == 1;
    if (reasoner->answer.pass_tokens == state->seen || reasoner->answer.ended)
        return false;
    bool now = is_break(reasoner, reasoner->answer.tokens[reasoner->answer.token_count - 1]);
    state->seen = reasoner->answer.pass_tokens;
    state->breaks += now;
    if (state->breaks == 0 || state->breaks % tn_setting_size(reasoner, EVERY) != 0)
        return false;
    if (!now && tn_setting_choice(reasoner, STICKY) == 1)
        return false;
    size_t wanted = tn_setting_size(reasoner, state->insertions == 0 ? MIN_FIRST : MIN_BETWEEN);
    return state->seen - state->inserted_at >= wanted;
}

/* -------------------------------------------------------------- what -- */

/* Writes the picks to state->picks in ascending order; returns their number. */
static size_t pick(const tn_reasoner *reasoner, icot_state *state)
{
    bool all = tn_setting_choice(reasoner, PICTURES) == 1, mask = tn_setting_choice(reasoner, MASK_USED) == 1;
    size_t count = reasoner->conversation.candidate_count, last = count > 0 ? reasoner->conversation.candidates[count - 1].picture : 0;
    for (size_t i = 0; i < count; i++)
        state->available[i] = (all || reasoner->conversation.candidates[i].picture == last) && !(mask && state->used[i]);
    size_t picked = tn_select_top(reasoner->span.scores, state->available, count,
                                  tn_setting_size(reasoner, PICKS), TN_PICK_ASC, false, state->picks);
    for (size_t i = 0; i < picked; i++)
        state->used[state->picks[i]] = true;
    return picked;
}

/* The backbone's positions of all cells of an image that begins at `base`; *end is increased to the position that follows. */
static void place_cells(const tn_reasoner *reasoner, const tn_image_rows *picture, int32_t base, tn_row *cells, int32_t *end)
{
    for (size_t cell = 0; cell < picture->rows; cell++)
        cells[cell] = tn_row_of_cell(picture, cell);
    int32_t next = reasoner->session->model->backbone->positions(cells, picture->rows, base);
    *end = next > *end ? next : *end;
}

/* Adds the picked rows with positions from `base` on: those of the first cells of a separate square, or of their places in
 * their images. *end: the position that follows. */
static tenebra_code lay_placed(tn_reasoner *reasoner, const icot_state *state, size_t count, int32_t base, int32_t *end,
                               tenebra_error *error)
{
    tn_image_rows square = { .frames = 1 };
    while (square.grid_rows * square.grid_rows < count)
        square.grid_rows++;
    square.grid_columns = square.grid_rows;
    square.rows = square.grid_rows * square.grid_columns;
    bool own = tn_setting_choice(reasoner, GRID) == 0;
    size_t most = square.rows, mark = tn_arena_mark(&reasoner->session->kept);
    for (size_t p = 0; p < reasoner->conversation.picture_count; p++)
        most = tn_max(most, reasoner->conversation.pictures[p].rows.rows);
    tn_row *cells = tn_reasoner_take(reasoner, most, sizeof *cells);
    const tn_image_rows *placed = NULL;
    *end = base;
    for (size_t i = 0; cells != NULL && i < count; i++) {
        const tn_candidate_row *candidate = &reasoner->conversation.candidates[state->picks[i]];
        const tn_image_rows *picture = own ? &square : &reasoner->conversation.pictures[candidate->picture].rows;
        if (picture != placed)
            place_cells(reasoner, picture, base, cells, end);
        placed = picture;
        tn_span_add(reasoner, reasoner->span.rows[candidate->row], &cells[own ? i : candidate->index].position);
    }
    tn_arena_release(&reasoner->session->kept, mark);
    return cells != NULL ? TENEBRA_OK : tn_fail_session_full(error);
}

/* Adds the picked embeddings between the border tokens of an image. */
static tenebra_code lay(tn_reasoner *reasoner, const icot_state *state, size_t count, tenebra_error *error)
{
    const tn_model_config *config = &reasoner->session->model->config;
    if (config->picture_begin >= 0)
        tn_span_add(reasoner, tn_row_of_token(config->picture_begin), NULL);
    int32_t end = 0;
    if (!reasoner->sequential)
        TN_TRY(lay_placed(reasoner, state, count, reasoner->conversation.next_position, &end, error));
    for (size_t i = 0; reasoner->sequential && i < count; i++)
        tn_span_add(reasoner, reasoner->span.rows[reasoner->conversation.candidates[state->picks[i]].row], NULL);
    const tn_position border = { { end, end, end } };
    if (config->picture_end >= 0)
        tn_span_add(reasoner, tn_row_of_token(config->picture_end), reasoner->sequential ? NULL : &border);
    return TENEBRA_OK;
}

static bool feeds(const tn_reasoner *reasoner)
{
    return tn_setting_choice(reasoner, FEED) == 0;
}

/* Watches the attention of the step's last row to the picks and to the step's words, for ratio and focus. If nothing is fed,
 * the picks are rows of the prompt, and the attending row is that of the next token. */
static tenebra_code watch(tn_reasoner *reasoner, icot_state *state, size_t count, tenebra_error *error)
{
    size_t length = reasoner->session->sequence.length, border = reasoner->session->model->config.picture_begin >= 0;
    state->words = reasoner->answer.pass_tokens - state->inserted_at;
    for (size_t i = 0; i < count; i++)
        state->watched[i] = feeds(reasoner) ? length + border + i : reasoner->conversation.candidates[state->picks[i]].row;
    for (size_t i = 0; i < state->words; i++)
        state->watched[count + i] = length - state->words + i;
    return tn_reasoner_watch_rows(reasoner, state->watched, count + state->words, error);
}

static tenebra_code insert(tn_reasoner *reasoner, icot_state *state, size_t count, tenebra_error *error)
{
    tenebra_pick *picks = tn_reasoner_take(reasoner, count, sizeof *picks);
    if (picks == NULL)
        return tn_fail_session_full(error);
    for (size_t i = 0; i < count; i++)
        picks[i] = tn_reasoner_pick(reasoner, state->picks[i]);
    state->step = (tenebra_step){ .picks = picks,
                                  .pick_count = count,
                                  .hidden_norm = (double)NAN,
                                  .hidden_cosine = (double)NAN };
    TN_TRY(tn_reasoner_tell_scores(reasoner, &state->step, error));
    TN_TRY(watch(reasoner, state, count, error));
    if (feeds(reasoner)) {
        TN_TRY(lay(reasoner, state, count, error));
        tn_reasoner_count_injected(reasoner, reasoner->span.count);
    }
    state->insertions++;
    state->inserted_at = reasoner->answer.pass_tokens;
    state->pending = true;
    return TENEBRA_OK;
}

static tenebra_code file_step(tn_reasoner *reasoner, icot_state *state, tenebra_error *error)
{
    tn_step_weigh(&state->step, reasoner->span.extra_scores, state->step.pick_count, state->words);
    tn_reasoner_watch_none(reasoner); /* tokens that follow do not need it */
    state->pending = false;
    state->step.milliseconds = reasoner->span.last_ms;
    return tn_reasoner_file_step(reasoner, &state->step, error);
}

static tenebra_code next(tn_reasoner *reasoner, tn_action *action, tenebra_error *error)
{
    icot_state *state = reasoner->state;
    size_t most = tn_setting_size(reasoner, INSERTIONS),
           picks = tn_setting_size(reasoner, PICKS);
    if (state->pending)
        TN_TRY(file_step(reasoner, state, error));
    if (state->pass != reasoner->pass) {
        state->pass = reasoner->pass;
        state->seen = state->breaks = state->inserted_at = 0;
    }
    bool room = reasoner->session->sequence.capacity - reasoner->session->sequence.length > picks + 2; /* and a token after it */
    if (is_due(reasoner, state) && state->insertions < most && room) {
        size_t count = pick(reasoner, state);
        *action = (tn_action){ .kind = TN_ACT_APPEND, .tap = true };
        if (count > 0) {
            TN_TRY(insert(reasoner, state, count, error));
            if (feeds(reasoner))
                return TENEBRA_OK;
        }
    }
    tn_act_answer(reasoner, action);
    action->tap = state->insertions < most || state->pending;
    return TENEBRA_OK;
}

const tn_method tn_method_icot = {
    .name = "icot",
    .summary = "write the reasoning, with image embeddings fed again at line breaks",
    .options = options,
    .tap_prompt = true,
    .reply = TN_REPLY_REASONED,
    .open = open_method,
    .arrange = arrange,
    .next = next,
};
