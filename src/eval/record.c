#include "eval/record.h"

#include "reason/method.h"
#include "reason/reconstruct_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The prompt of the map with which others are compared. */
static const char neutral_prompt[] = "Describe the picture.";

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *count(size_t value)
{
    return json_integer((json_int_t)value);
}

/* Text that is not UTF-8 becomes null. */
static json_t *text(const char *value)
{
    json_t *string = json_string(value);
    return string != NULL ? string : json_null();
}

/* [image, index, score, x0, y0, x1, y1] of each pick. */
static json_t *describe_picks(const tenebra_step *step)
{
    json_t *picks = json_array();
    for (size_t i = 0; i < step->pick_count; i++) {
        const tenebra_pick *pick = &step->picks[i];
        json_array_append_new(picks, json_pack("[o, o, o, o, o, o, o]", count(pick->image), count(pick->index), number(pick->score),
                                               number(pick->x0), number(pick->y0), number(pick->x1), number(pick->y1)));
    }
    return picks;
}

/* Four digits each, because maps are only looked at, and a file has thousands of these numbers. */
static json_t *describe_scores(const float *scores, size_t score_count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < score_count; i++) {
        char digits[32];
        snprintf(digits, sizeof digits, "%.4g", (double)scores[i]);
        json_array_append_new(list, number(strtod(digits, NULL)));
    }
    return list;
}

static json_t *describe_step(const tenebra_trace *trace, const tenebra_step *step)
{
    json_t *lens = json_array();
    for (size_t i = 0; i < step->lens_count; i++)
        json_array_append_new(lens, json_pack("[i, o, o]", (int)step->lens[i].token, text(step->lens[i].text),
                                              number(step->lens[i].probability)));
    json_t *row = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "picks", describe_picks(step), "attention_ratio",
                            number(step->attention_ratio), "attention_focus", number(step->attention_focus), "hidden_norm",
                            number(step->hidden_norm), "hidden_cosine", number(step->hidden_cosine), "ms",
                            number(step->milliseconds));
    if (step->lens_count > 0)
        json_object_set(row, "lens", lens);
    json_decref(lens);
    if (step->score_count > 0)
        json_object_set_new(row, "scores", describe_scores(step->scores, step->score_count));
    tn_reconstruction_add_step(row, trace, step);
    return row;
}

static json_t *describe_steps(const tenebra_trace *trace)
{
    json_t *steps = json_array();
    for (size_t i = 0; i < trace->step_count; i++)
        json_array_append_new(steps, describe_step(trace, &trace->steps[i]));
    return steps;
}

/* Milliseconds. "vision" includes reading and resizing images. With "parallel", other answers were computed in the
 * same time. */
static json_t *describe_times(const tenebra_trace *trace, size_t parallel)
{
    json_t *times = json_pack("{s:o, s:o, s:o, s:o, s:o}", "vision", number(trace->decode_ms + trace->vision_ms), "prefill",
                     number(trace->prefill_ms), "latent", number(trace->latent_ms), "decode", number(trace->generation_ms),
                     "total", number(trace->total_ms));
    if (parallel > 1)
        json_object_set_new(times, "parallel", count(parallel));
    return times;
}

static const char *finish_name(tenebra_finish finish)
{
    return finish == TENEBRA_FINISH_END_TOKEN ? "end" : finish == TENEBRA_FINISH_STOP_TEXT ? "stop" : "length";
}

static json_t *describe_account(const tenebra_trace *trace, size_t parallel)
{
    size_t steps = trace->token_count + trace->latent_steps;
    return json_pack("{s:o, s:{s:o, s:o, s:o}, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "text",
                     text(trace->text), "tokens", "sampled", count(trace->token_count), "latent", count(trace->latent_steps),
                     "injected", count(trace->injected_tokens), "ar_steps", count(steps), "ar_steps_injected",
                     count(steps + trace->injected_tokens), "passes", count(trace->passes), "crops", count(trace->images_added),
                     "calls", count(tn_trace_noted(trace, "calls")), "invalid_calls", count(tn_trace_noted(trace, "invalid_calls")),
                     "prompt_tokens", count(trace->prompt_tokens), "image_tokens", count(trace->image_tokens),
                     "positions_computed", count(trace->positions_computed), "finish", finish_name(trace->finish), "seed",
                     json_integer((json_int_t)trace->sampling.seed), "ms", describe_times(trace, parallel), "steps", describe_steps(trace));
}

/* For a conversation in several passes: the texts before the answer, and the cost of each pass. */
static json_t *describe_passes(const tenebra_trace *trace)
{
    json_t *list = json_array();
    for (size_t i = 0; i < trace->passes; i++) {
        const tenebra_pass *pass = &trace->pass[i];
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o, s:s}", "text", text(pass->text), "prompt_tokens",
                                              count(pass->prompt_tokens), "reused", count(pass->reused), "sampled",
                                              count(pass->token_count), "finish", finish_name(pass->finish)));
    }
    return list;
}

/* [pass, outcome, x0, y0, x1, y1] of each region requested; null if none was shown. */
static json_t *describe_regions(const tenebra_note *requested)
{
    static const char *const outcomes[] = { "shown", "invalid", "refused" };
    json_t *list = json_array();
    for (size_t i = 0; i < requested->count; i++) {
        const tenebra_region *call = &requested->regions[i];
        json_array_append_new(list, json_pack("[o, s, o, o, o, o]", count(call->pass), outcomes[call->outcome], number(call->x0),
                                              number(call->y0), number(call->x1), number(call->y1)));
    }
    return list;
}

static json_t *describe_pictures(const tenebra_trace *trace)
{
    json_t *list = json_array();
    for (size_t i = 0; i < trace->image_count; i++) {
        const tenebra_image *picture = &trace->images[i];
        json_array_append_new(list, json_pack("[o, o, o, o, o, o, o]", count(picture->width), count(picture->height), count(picture->rows),
                                              count(picture->columns),
                                              picture->source != SIZE_MAX ? count(picture->source) : json_null(),
                                              count(picture->x), count(picture->y)));
    }
    return list;
}

bool tn_record_add_trace(json_t *record, const tenebra_trace *trace, size_t parallel)
{
    json_t *more = describe_account(trace, parallel);
    bool fits = more != NULL && json_object_update(record, more) == 0;
    json_decref(more);
    if (fits && trace->passes > 1)
        fits = json_object_set_new(record, "turns", describe_passes(trace)) == 0;
    if (fits && trace->reconstruction != NULL)
        fits = json_object_set_new(record, "reconstruction", tn_reconstruction_json(trace->reconstruction)) == 0;
    const tenebra_note *requested = tenebra_trace_note(trace, "calls");
    if (fits && requested != NULL)
        fits = json_object_set_new(record, "regions", describe_regions(requested)) == 0;
    if (fits && trace->image_count > 0 && (trace->step_count > 0 || trace->prompt_score_count > 0))
        fits = json_object_set_new(record, "pictures", describe_pictures(trace)) == 0;
    if (fits && trace->prompt_score_count > 0)
        fits = json_object_set_new(record, "prompt_scores",
                                   describe_scores(trace->prompt_scores, trace->prompt_score_count)) == 0;
    return fits;
}

/* -------------------------------------------------------------- neutral -- */

/* The images of a request, and room for a text after them; NULL with *picture_count 0 if it has none. The caller frees
 * it. */
static tenebra_part *collect_pictures(const tenebra_request *request, size_t *picture_count)
{
    size_t parts = 1;
    *picture_count = 0;
    for (size_t m = 0; m < request->message_count; m++)
        parts += request->messages[m].part_count;
    tenebra_part *pictures = calloc(parts, sizeof *pictures);
    for (size_t m = 0; m < request->message_count && pictures != NULL; m++)
        for (size_t p = 0; p < request->messages[m].part_count; p++)
            if (request->messages[m].parts[p].kind != TENEBRA_PART_TEXT)
                pictures[(*picture_count)++] = request->messages[m].parts[p];
    return pictures;
}

tenebra_code tn_neutral_write(tn_neutral *neutral, const tenebra_request *request, const char *positions, tenebra_error *error)
{
    size_t pictures;
    *neutral = (tn_neutral){ .parts = collect_pictures(request, &pictures) };
    if (neutral->parts == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "scores", "no memory for a neutral prompt");
    if (pictures == 0) {
        tn_neutral_free(neutral);
        return TENEBRA_OK;
    }
    neutral->parts[pictures] = (tenebra_part){ .kind = TENEBRA_PART_TEXT, .text = neutral_prompt };
    neutral->message = (tenebra_message){ "user", neutral->parts, pictures + 1 };
    neutral->request = (tenebra_request){ .size = sizeof neutral->request, .messages = &neutral->message, .message_count = 1,
                                          .positions = positions, .max_tokens = 1, .image = request->image,
                                          .ignore_orientation = request->ignore_orientation, .scores = true,
                                          .no_reuse = request->no_reuse };
    return TENEBRA_OK;
}

void tn_neutral_free(tn_neutral *neutral)
{
    free(neutral->parts);
    *neutral = (tn_neutral){ .parts = NULL };
}

bool tn_record_add_neutral(json_t *record, const tenebra_trace *trace)
{
    return json_object_set_new(record, "neutral", describe_scores(trace->prompt_scores, trace->prompt_score_count)) == 0;
}
