/* The trace as JSON. Numbers that are not finite become null. */
#include "reason/method.h"
#include "reason/reconstruct_json.h"

#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *count(size_t value)
{
    return json_integer((json_int_t)value);
}

/* A question may contain bytes that are not UTF-8; it is then null. */
static json_t *text_json(const char *value)
{
    json_t *string = json_string(value);
    return string != NULL ? string : json_null();
}

static json_t *pick_json(const tenebra_pick *pick)
{
    return json_pack("{s:o, s:o, s:o, s:[o, o, o, o]}", "image", count(pick->image), "index", count(pick->index),
                     "score", number(pick->score), "rectangle", number(pick->x0), number(pick->y0), number(pick->x1),
                     number(pick->y1));
}

static json_t *scores_json(const float *scores, size_t score_count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < score_count; i++)
        json_array_append_new(list, number((double)scores[i]));
    return list;
}

static json_t *pictures_json(const tenebra_trace *trace)
{
    json_t *list = json_array();
    for (size_t i = 0; i < trace->image_count; i++) {
        const tenebra_image *picture = &trace->images[i];
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "width", count(picture->width), "height",
                                              count(picture->height), "rows", count(picture->rows), "columns",
                                              count(picture->columns), "source",
                                              picture->source != SIZE_MAX ? count(picture->source) : json_null(), "x",
                                              count(picture->x), "y", count(picture->y)));
    }
    return list;
}

static json_t *step_json(const tenebra_trace *trace, const tenebra_step *step)
{
    json_t *picks = json_array(), *lens = json_array();
    for (size_t i = 0; i < step->pick_count; i++)
        json_array_append_new(picks, pick_json(&step->picks[i]));
    for (size_t i = 0; i < step->lens_count; i++)
        json_array_append_new(lens, json_pack("{s:i, s:s, s:o}", "token", (int)step->lens[i].token, "text",
                                              step->lens[i].text, "probability", number(step->lens[i].probability)));
    json_t *json = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "picks", picks, "attention_ratio", number(step->attention_ratio),
                     "attention_focus", number(step->attention_focus), "hidden_norm", number(step->hidden_norm),
                     "hidden_cosine", number(step->hidden_cosine), "lens", lens, "ms", number(step->milliseconds));
    if (step->score_count > 0)
        json_object_set_new(json, "scores", scores_json(step->scores, step->score_count));
    tn_reconstruction_add_step(json, trace, step);
    return json;
}

static bool is_number(const char *method, const char *name)
{
    const tn_option *option = tn_method_option(method, name);
    return option != NULL && option->kind == TN_OPTION_SIZE;
}

static json_t *settings_json(const tenebra_trace *trace)
{
    json_t *settings = json_object();
    for (size_t i = 0; i < trace->setting_count; i++) {
        const tenebra_setting *setting = &trace->settings[i];
        json_object_set_new(settings, setting->name,
                            is_number(trace->method, setting->name) ? count((size_t)strtod(setting->value, NULL))
                                                                    : json_string(setting->value));
    }
    return settings;
}

static json_t *tokens_json(const tenebra_trace *trace)
{
    json_t *ids = json_array();
    for (size_t i = 0; i < trace->token_count; i++)
        json_array_append_new(ids, json_integer(trace->tokens[i]));
    return ids;
}

static const char *finish_name(tenebra_finish finish)
{
    return finish == TENEBRA_FINISH_END_TOKEN ? "end_token" : finish == TENEBRA_FINISH_STOP_TEXT ? "stop_text" : "length";
}

static json_t *sampling_json(const tenebra_trace *trace)
{
    const tenebra_sampling *how = &trace->sampling;
    if (!(how->temperature > 0)) /* interventions also use the seed */
        return json_pack("{s:s, s:o}", "mode", "greedy", "seed", json_integer((json_int_t)how->seed));
    return json_pack("{s:s, s:o, s:o, s:o, s:o}", "mode", "sampled", "temperature", number(how->temperature), "top_k",
                     count(how->top_k), "top_p", number(how->top_p), "seed", json_integer((json_int_t)how->seed));
}

static json_t *passes_json(const tenebra_trace *trace)
{
    json_t *list = json_array();
    for (size_t i = 0; i < trace->passes; i++) {
        const tenebra_pass *pass = &trace->pass[i];
        json_array_append_new(list, json_pack("{s:o, s:s, s:o, s:o, s:o, s:s}", "prompt", text_json(pass->prompt), "text", pass->text,
                                              "prompt_tokens", count(pass->prompt_tokens), "reused", count(pass->reused),
                                              "generated", count(pass->token_count), "finish", finish_name(pass->finish)));
    }
    return list;
}

/* Missing numbers are null. */
static json_t *regions_json(const tenebra_note *note)
{
    static const char *const outcomes[] = { "shown", "invalid", "refused" };
    json_t *list = json_array();
    for (size_t i = 0; i < note->count; i++) {
        const tenebra_region *region = &note->regions[i];
        json_array_append_new(list, json_pack("{s:o, s:s, s:o, s:[o, o, o, o]}", "pass", count(region->pass), "outcome",
                                              outcomes[region->outcome], "image", count(region->image), "rectangle",
                                              number(region->x0), number(region->y0), number(region->x1), number(region->y1)));
    }
    return list;
}

const tenebra_note *tenebra_trace_note(const tenebra_trace *trace, const char *name)
{
    for (size_t i = 0; trace != NULL && name != NULL && i < trace->note_count; i++)
        if (strcmp(trace->notes[i].name, name) == 0)
            return &trace->notes[i];
    return NULL;
}

size_t tn_trace_noted(const tenebra_trace *trace, const char *name)
{
    const tenebra_note *note = tenebra_trace_note(trace, name);
    return note != NULL ? note->count : 0;
}

typedef enum field_kind { COUNT, NOTED, SPENT, STEPS, STEPS_INJECTED } field_kind;

typedef struct field {
    const char *name; /* NULL after the last */
    field_kind kind;
    size_t offset; /* offset in the trace of a size_t (COUNT) or of milliseconds (SPENT); NOTED: the note of that name, or 0 */
} field;

#define AT(member) offsetof(tenebra_trace, member)
static const field counts[] = {
    { "prompt", COUNT, AT(prompt_tokens) }, { "image", COUNT, AT(image_tokens) }, { "latent", COUNT, AT(latent_steps) },
    { "injected", COUNT, AT(injected_tokens) }, { "generated", COUNT, AT(token_count) }, { "ar_steps", STEPS, 0 },
    { "ar_steps_injected", STEPS_INJECTED, 0 }, { "calls", NOTED, 0 }, { "invalid_calls", NOTED, 0 },
    { "positions_computed", COUNT, AT(positions_computed) }, { "prompt_reused", COUNT, AT(prompt_reused) },
    { "vision_cached", COUNT, AT(vision_cached) }, { "passes", COUNT, AT(passes) }, { "crops", COUNT, AT(images_added) }, { NULL, COUNT, 0 }
};
static const field times[] = {
    { "decode", SPENT, AT(decode_ms) }, { "vision", SPENT, AT(vision_ms) }, { "prefill", SPENT, AT(prefill_ms) },
    { "latent", SPENT, AT(latent_ms) }, { "generation", SPENT, AT(generation_ms) }, { "total", SPENT, AT(total_ms) }, { NULL, SPENT, 0 }
};
#undef AT

static json_t *fields_json(const tenebra_trace *trace, const field *fields)
{
    json_t *json = json_object();
    size_t steps = trace->token_count + trace->latent_steps;
    for (const field *f = fields; f->name != NULL; f++) {
        const void *at = (const char *)trace + f->offset;
        json_object_set_new(json, f->name, f->kind == SPENT          ? number(*(const double *)at)
                                           : f->kind == COUNT        ? count(*(const size_t *)at)
                                           : f->kind == NOTED        ? count(tn_trace_noted(trace, f->name))
                                           : f->kind == STEPS        ? count(steps)
                                                                     : count(steps + trace->injected_tokens));
    }
    return json;
}

static json_t *trace_json(const tenebra_trace *trace)
{
    json_t *steps = json_array();
    for (size_t i = 0; i < trace->step_count; i++)
        json_array_append_new(steps, step_json(trace, &trace->steps[i]));
    return json_pack("{s:s, s:s, s:o, s:s, s:o, s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o}", "answer", trace->text, "method",
                     trace->method, "settings", settings_json(trace), "positions", trace->positions, "sampling",
                     sampling_json(trace), "kernels", trace->kernels, "cache_type", trace->cache_type, "threads",
                     count(trace->threads), "finish",
                     finish_name(trace->finish), "tokens", tokens_json(trace), "steps", steps, "counts",
                     fields_json(trace, counts), "ms", fields_json(trace, times), "passes", passes_json(trace));
}

char *tenebra_trace_json(const tenebra_trace *trace)
{
    json_t *json = trace != NULL ? trace_json(trace) : NULL;
    if (json == NULL)
        return NULL;
    if (trace->prompt_score_count > 0) {
        json_object_set_new(json, "pictures", pictures_json(trace));
        json_object_set_new(json, "prompt_scores", scores_json(trace->prompt_scores, trace->prompt_score_count));
    }
    if (trace->reconstruction != NULL)
        json_object_set_new(json, "reconstruction", tn_reconstruction_json(trace->reconstruction));
    for (size_t i = 0; i < trace->note_count; i++)
        if (trace->notes[i].kind == TENEBRA_NOTE_REGIONS)
            json_object_set_new(json, trace->notes[i].name, regions_json(&trace->notes[i]));
    if (trace->note != NULL)
        json_object_set_new(json, "note", json_string(trace->note));
    char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(json);
    return text;
}
