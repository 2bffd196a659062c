/* The trace of a latent step (picks, and what the head reads from a hidden state) and of a pass. */
#include "reason/parts.h"

#include "base/checked.h"

#include <string.h>

tenebra_pick tn_reasoner_pick(const tn_reasoner *reasoner, size_t candidate)
{
    const tn_candidate_row *row = &reasoner->conversation.candidates[candidate];
    const tn_picture *picture = &reasoner->conversation.pictures[row->picture];
    tn_rectangle place = { 0 };
    tn_cell_rectangle(row->index, picture->rows.frames, picture->rows.grid_rows, picture->rows.grid_columns, picture->width,
                      picture->height, &place, NULL);
    double x = (double)picture->x, y = (double)picture->y;
    return (tenebra_pick){ row->picture, row->index, (double)reasoner->span.scores[candidate],
                           x + place.x0, y + place.y0, x + place.x1, y + place.y1 };
}

/* A copy of the scores of all candidates; NULL with *count 0 if there are none. */
static tenebra_code keep_scores(tn_reasoner *reasoner, const float **scores, size_t *count, tenebra_error *error)
{
    *scores = NULL;
    *count = 0;
    if (!reasoner->request->scores || reasoner->conversation.candidate_count == 0)
        return TENEBRA_OK;
    float *kept = tn_reasoner_take(reasoner, reasoner->conversation.candidate_count, sizeof *kept);
    if (kept == NULL)
        return tn_fail_session_full(error);
    for (size_t i = 0; i < reasoner->conversation.candidate_count; i++)
        kept[i] = (float)reasoner->span.scores[i];
    *scores = kept;
    *count = reasoner->conversation.candidate_count;
    return TENEBRA_OK;
}

tenebra_code tn_reasoner_tell_scores(tn_reasoner *reasoner, tenebra_step *step, tenebra_error *error)
{
    return keep_scores(reasoner, &step->scores, &step->score_count, error);
}

tenebra_code tn_reasoner_keep_prompt_scores(tn_reasoner *reasoner, tenebra_error *error)
{
    tenebra_trace *trace = &reasoner->trace;
    return keep_scores(reasoner, &trace->prompt_scores, &trace->prompt_score_count, error);
}

tenebra_code tn_reasoner_tell_pictures(tn_reasoner *reasoner, tenebra_error *error)
{
    tenebra_image *rows = tn_reasoner_take(reasoner, reasoner->conversation.picture_count + 1, sizeof *rows);
    if (rows == NULL)
        return tn_fail_session_full(error);
    for (size_t i = 0; i < reasoner->conversation.picture_count; i++) {
        const tn_picture *picture = &reasoner->conversation.pictures[i];
        rows[i] = (tenebra_image){ picture->width, picture->height, picture->rows.frames * picture->rows.grid_rows,
                                   picture->rows.grid_columns, picture->source, picture->x, picture->y };
    }
    reasoner->trace.images = rows;
    reasoner->trace.image_count = reasoner->conversation.picture_count;
    return TENEBRA_OK;
}

void tn_step_weigh(tenebra_step *step, const tn_real *scores, size_t picks, size_t texts)
{
    double images = 0, words = 0, entropy = 0;
    for (size_t i = 0; i < picks; i++)
        images += (double)scores[i];
    for (size_t i = 0; i < texts; i++)
        words += (double)scores[picks + i];
    for (size_t i = 0; i < picks; i++) {
        double share = (double)scores[i] / images;
        entropy -= share > 0 ? share * log(share) : 0;
    }
    step->attention_ratio = picks > 0 && words > 0 ? images / words : (double)NAN;
    step->attention_focus = picks > 0 && images > 0 ? 1 / (entropy + 1e-6) : (double)NAN;
}

tenebra_code tn_reasoner_file_step(tn_reasoner *reasoner, const tenebra_step *step, tenebra_error *error)
{
    if (reasoner->account.step_count == reasoner->account.step_capacity)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "steps", "more than %zu latent steps", reasoner->account.step_capacity);
    reasoner->account.steps[reasoner->account.step_count++] = *step;
    reasoner->trace.step_count = reasoner->account.step_count;
    tenebra_event event = { .kind = TENEBRA_EVENT_STEP, .trace = &reasoner->trace, .step = step,
                            .index = reasoner->account.step_count - 1 };
    const tenebra_request *request = reasoner->request;
    if (request->on_event != NULL && !request->on_event(request->user, &event))
        return tn_fail(error, TENEBRA_ERROR_CANCELLED, "ask", "was cancelled");
    return TENEBRA_OK;
}

/* The `wanted` largest logits in descending order, as probabilities. */
static void read_top(const tn_logits *logits, tenebra_lens *lens, size_t wanted)
{
    double total = 0, largest = (double)logits->data[tn_sample_greedy(logits->data, logits->cols)];
    for (size_t i = 0; i < logits->cols; i++)
        total += exp((double)logits->data[i] - largest);
    for (size_t n = 0; n < wanted; n++) {
        size_t best = logits->cols;
        for (size_t i = 0; i < logits->cols; i++) {
            bool taken = false;
            for (size_t before = 0; before < n && !taken; before++)
                taken = lens[before].token == (int32_t)i;
            if (!taken && (best == logits->cols || logits->data[i] > logits->data[best]))
                best = i;
        }
        lens[n] = (tenebra_lens){ (int32_t)best, "", exp((double)logits->data[best] - largest) / total };
    }
}

/* The token's text; unused rows of the head have none. */
static tenebra_code name_token(tn_reasoner *reasoner, tenebra_lens *lens, tenebra_error *error)
{
    const tn_tokenizer *tokenizer = reasoner->session->model->tokenizer;
    tn_text text = { 0 };
    if (tokenizer == NULL || (size_t)lens->token >= tn_tokenizer_size(tokenizer))
        return TENEBRA_OK;
    TN_TRY(tn_tokenizer_decode(tokenizer, &lens->token, 1, false, &text, error));
    char *kept = tn_reasoner_take(reasoner, text.length + 1, 1);
    if (kept != NULL && text.length > 0)
        memcpy(kept, text.data, text.length);
    tn_text_free(&text);
    lens->text = kept ? kept : "";
    return TENEBRA_OK;
}

tenebra_code tn_reasoner_lens(tn_reasoner *reasoner, const tenebra_lens **lens, size_t *count, tenebra_error *error)
{
    tn_session *session = reasoner->session;
    size_t wanted = tn_min(reasoner->request->lens, session->logits.cols);
    *count = 0;
    if (wanted == 0)
        return TENEBRA_OK;
    tenebra_lens *rows = tn_reasoner_take(reasoner, wanted, sizeof *rows);
    if (rows == NULL)
        return tn_fail_session_full(error);
    read_top(&session->logits, rows, wanted);
    for (size_t i = 0; i < wanted; i++)
        TN_TRY(name_token(reasoner, &rows[i], error));
    *lens = rows;
    *count = wanted;
    return TENEBRA_OK;
}

/* The note of that name, which is added if there is none; NULL without memory. */
static tenebra_note *note_of(tn_reasoner *reasoner, const char *name, tenebra_note_kind kind)
{
    tenebra_trace *trace = &reasoner->trace;
    tenebra_note *notes = reasoner->account.notes;
    for (size_t i = 0; i < trace->note_count; i++)
        if (strcmp(notes[i].name, name) == 0)
            return &notes[i];
    notes = tn_reasoner_take(reasoner, trace->note_count + 1, sizeof *notes);
    if (notes == NULL)
        return NULL;
    if (trace->note_count > 0)
        memcpy(notes, trace->notes, trace->note_count * sizeof *notes);
    notes[trace->note_count] = (tenebra_note){ .name = name, .kind = kind };
    trace->notes = reasoner->account.notes = notes;
    return &notes[trace->note_count++];
}

tenebra_code tn_reasoner_note_count(tn_reasoner *reasoner, const char *name, size_t count, tenebra_error *error)
{
    tenebra_note *note = note_of(reasoner, name, TENEBRA_NOTE_COUNT);
    if (note == NULL)
        return tn_fail_session_full(error);
    note->count += count;
    return TENEBRA_OK;
}

tenebra_code tn_reasoner_note_region(tn_reasoner *reasoner, const char *name, const tenebra_region *region, tenebra_error *error)
{
    tenebra_note *note = note_of(reasoner, name, TENEBRA_NOTE_REGIONS);
    tenebra_region *regions = note != NULL ? tn_reasoner_take(reasoner, note->count + 1, sizeof *regions) : NULL;
    if (regions == NULL)
        return tn_fail_session_full(error);
    if (note->count > 0)
        memcpy(regions, note->regions, note->count * sizeof *regions);
    regions[note->count++] = *region;
    note->regions = regions;
    return TENEBRA_OK;
}

/* --------------------------------------------------------------- passes -- */

tenebra_code tn_reasoner_keep_prompt(tn_reasoner *reasoner, const char *text, size_t length, tenebra_error *error)
{
    char *kept = tn_reasoner_take(reasoner, length + 1, 1);
    if (kept == NULL)
        return tn_fail_session_full(error);
    if (length > 0)
        memcpy(kept, text, length);
    reasoner->account.pass_prompt = kept;
    return TENEBRA_OK;
}

tenebra_code tn_reasoner_file_pass(tn_reasoner *reasoner, bool turn, tenebra_error *error)
{
    tenebra_trace *trace = &reasoner->trace;
    tenebra_pass *passes = tn_reasoner_take(reasoner, trace->passes + 1, sizeof *passes);
    if (passes == NULL)
        return tn_fail_session_full(error);
    if (trace->passes > 0)
        memcpy(passes, reasoner->account.passes, trace->passes * sizeof *passes);
    passes[trace->passes++] = (tenebra_pass){
        .prompt = reasoner->account.pass_prompt,
        .text = reasoner->answer.text,
        .prompt_tokens = turn ? reasoner->account.pass_rows
                              : reasoner->conversation.prompt_count + reasoner->conversation.tail_count,
        .reused = turn ? 0 : reasoner->account.pass_reused,
        .token_count = reasoner->answer.pass_tokens,
        .finish = trace->finish,
    };
    trace->pass = reasoner->account.passes = passes;
    return TENEBRA_OK;
}
