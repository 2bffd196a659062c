/* Chain-of-Focus (arXiv:2505.15436): a dialogue in which the model may call a tool that shows it an enlarged region of the
 * image. Format, limits and sizes are those of the published code; the words around them are ours, and so is the brief form of calls.
 *
 * The authors first train on dialogues, then with rewards. Training here is the first of the two, on samples that say where their
 * solutions look (tn_sample_region). */
#include "reason/parts.h"
#include "reason/train_example.h"

#include "base/checked.h"
#include "base/json.h"
#include "image/region.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TOOL       "image_zoom_in_tool"
#define CALL_BEGIN "<tool_call>"
#define CALL_END   "</tool_call>"
#define ANSWER_END "</answer>"

enum { ROUNDS, MAX_IMAGES, BAD_CALL, TAG_STOP, LEAD, CALL_FORM, ENLARGE, SCALE, MIN_PIXELS, MAX_PIXELS, CROP_SIZE, CROP_FROM };

static const tn_option options[] = {
    [ROUNDS] = TN_SETTING_SIZE("rounds", "N", "6", 1, 64, "at most N replies; if the last one has no answer, the answer is empty"),
    [MAX_IMAGES] = TN_SETTING_SIZE("max-images", "N", "6", 1, TN_PICTURES_MAX, "at most N images in the dialogue"),
    [BAD_CALL] = TN_SETTING_CHOICE("bad-call", "whole|error", "whole",
                                   "after an invalid call, show the whole image, or describe the error"),
    [TAG_STOP] = TN_SETTING_CHOICE("tag-stop", "no|yes", "no", "end a reply at the end of its first call"),
    [LEAD] = TN_SETTING_TEXT("lead", "Question: ", "text before the question"),
    [CALL_FORM] = TN_SETTING_CHOICE("call-form", "json|brief", "json",
                                    "brief: calls of four numbers, no instruction, no tags of answers; for models trained so"),
    [ENLARGE] = TN_SETTING_SIZE("enlarge", "PERCENT", "150", 100, 1000, "size of the region, relative to the requested box"),
    [SCALE] = TN_SETTING_SIZE("scale", "N", "2", 1, 16, "factor by which the region is enlarged"),
    [MIN_PIXELS] = TN_SETTING_SIZE("crop-min-pixels", "N", "12544", 1, 1 << 28, "minimum area of a region as shown, in pixels"),
    [MAX_PIXELS] = TN_SETTING_SIZE("crop-max-pixels", "N", "14745600", 1, 1 << 28, "maximum area of a region as shown, in pixels"),
    [CROP_SIZE] = TN_SETTING_SIDES("crop-size", "any", "size of every region as shown, instead of scale and bounds"),
    [CROP_FROM] = TN_SETTING_CHOICE("crop-from", "seen|original", "seen",
                                    "cut regions from the image as the model sees it, or from the original, in full resolution"),
    TN_OPTIONS_END
};

enum { ROOM_FOR_WORDS = 224 /* approximate rows of a turn besides its image */ };

typedef struct cof_state {
    size_t pass;        /* images whose rows are counted  */
    bool picture;       /* the next turn shows an image   */
    const char *notice; /* its first text, or NULL        */
} cof_state;

static tenebra_code open_method(tn_reasoner *reasoner, tenebra_error *error)
{
    if (tn_setting_choice(reasoner, CROP_FROM) == 1)
        tn_reasoner_keep_originals(reasoner);
    return tn_reasoner_take_state(reasoner, sizeof(cof_state)) != NULL ? TENEBRA_OK : tn_fail_session_full(error);
}

/* ---------------------------------------------------------------- words -- */

static const char instruction[] =
    "\nThink first, between <think> and </think>. Then either call the function, between " CALL_BEGIN " and " CALL_END
    ", to look closer, or give the final answer between <answer> and </answer>: the letter of an option where there "
    "are "
    "options, else a word or a short phrase.";

/* The size of the image is inserted between these. */
static const char system_front[] =
    "A function shows you a region of the first picture enlarged. Its description stands between <tools> and "
    "</tools>:\n"
    "<tools>\n{\"type\": \"function\", \"function\": {\"name\": \"" TOOL "\", \"description\": \"Shows a region of the "
    "picture enlarged.\", \"parameters\": {\"type\": \"object\", \"properties\": {\"bbox_2d\": {\"type\": \"array\", "
    "\"items\": {\"type\": \"number\"}, \"minItems\": 4, \"maxItems\": 4, \"description\": \"The region as [x1, y1, "
    "x2, y2]: "
    "left, top, right and bottom in pixels of the picture, which is ";
static const char system_back[] =
    ".\"}, \"label\": {\"type\": \"string\", \"description\": \"What is to be seen there; may be left out.\"}}, "
    "\"required\": [\"bbox_2d\"]}}}\n</tools>\n"
    "To call it, write a JSON object with its name and the arguments between " CALL_BEGIN " and " CALL_END
    ":\n" CALL_BEGIN "\n{\"name\": \"" TOOL "\", \"arguments\": {\"bbox_2d\": [x1, y1, x2, y2]}}\n" CALL_END;

/* Two texts around the size of the image to which boxes refer. NULL if the memory is full. */
static const char *around_size(tn_reasoner *reasoner, const char *front, const char *back)
{
    const tn_image *pixels = &reasoner->conversation.pictures[0].pixels;
    char size[96];
    snprintf(size, sizeof size, "%zu pixels wide and %zu high", pixels->width, pixels->height);
    return tn_reasoner_join(reasoner, (const char *const[]){ front, size, back, NULL });
}

static bool is_brief(const tn_reasoner *reasoner)
{
    return tn_setting_choice(reasoner, CALL_FORM) == 1;
}

static tenebra_code begin(tn_reasoner *reasoner, tn_script *script, tenebra_error *error)
{
    bool brief = is_brief(reasoner);
    if (reasoner->conversation.picture_count > 0 && !brief) { /* otherwise there is nothing to show */
        const char *text = around_size(reasoner, system_front, system_back);
        if (text == NULL)
            return tn_fail_session_full(error);
        TN_TRY(tn_script_add_system(script, text, error));
    }
    TN_TRY(tn_script_cut(script, tn_cut_answer_cue, error));
    TN_TRY(tn_script_add_before(script, tn_setting_text(reasoner, LEAD), NULL, error));
    return brief ? TENEBRA_OK : tn_script_add_cue(script, instruction, error);
}

static tenebra_code arrange(tn_reasoner *reasoner, tn_script *script, tenebra_error *error)
{
    const cof_state *state = reasoner->state;
    tn_reasoner_draft(reasoner);
    if (reasoner->pass == 0)
        return begin(reasoner, script, error);
    size_t count = 0;
    tn_chat_part *parts = tn_reasoner_take(reasoner, 3, sizeof *parts);
    if (parts == NULL)
        return tn_fail_session_full(error);
    if (state->picture)
        parts[count++] = (tn_chat_part){ .is_image = true };
    if (state->notice != NULL)
        parts[count++] = (tn_chat_part){ .text = state->notice, .length = strlen(state->notice) };
    if (!is_brief(reasoner))
        parts[count++] = (tn_chat_part){ .text = instruction, .length = sizeof instruction - 1 };
    return tn_script_add_message(script, &(tn_chat_message){ .role = "user", .parts = parts, .part_count = count },
                                 error);
}

/* ---------------------------------------------------------------- calls -- */

/* Reads the box of a call. Returns a sentence about an error, or NULL. */
static const char *read_box(const json_t *call, double box[4])
{
    const char *name = json_string_value(json_object_get(call, "name"));
    const json_t *list = json_object_get(json_object_get(call, "arguments"), "bbox_2d");
    if (name == NULL || !json_is_object(json_object_get(call, "arguments")))
        return "It must be a JSON object with a name and an object of arguments.";
    if (strcmp(name, TOOL) != 0)
        return "There is no function of that name.";
    if (!json_is_array(list) || json_array_size(list) != 4)
        return "bbox_2d must be a list of four numbers.";
    for (size_t i = 0; i < 4; i++) {
        if (!json_is_number(json_array_get(list, i)))
            return "bbox_2d must be a list of four numbers.";
        box[i] = json_number_value(json_array_get(list, i));
    }
    return NULL;
}

/* Reads a brief call: four whole numbers between blanks. Returns as above. */
static const char *read_numbers(const char *text, size_t length, double box[4])
{
    static const char wrong[] = "It must consist of four whole numbers: left, top, right, bottom.";
    size_t at = 0, count = 0;
    for (;;) {
        while (at < length && text[at] == ' ')
            at++;
        if (at == length)
            return count == 4 ? NULL : wrong;
        double number = 0;
        size_t first = at;
        for (; at < length && text[at] >= '0' && text[at] <= '9'; at++)
            number = 10 * number + (text[at] - '0');
        if (at == first || (at < length && text[at] != ' ') || count == 4)
            return wrong;
        box[count++] = number;
    }
}

/* Reads the first call of a reply, which starts after its tag, into a region of the first image. Returns a sentence about an
 * error, or NULL. */
static const char *read_call(tn_reasoner *reasoner, const char *text, tn_region *region)
{
    const char *end = strstr(text, CALL_END), *wrong;
    size_t length = end != NULL ? (size_t)(end - text) : strlen(text);
    double box[4] = { 0 };
    if (is_brief(reasoner))
        wrong = read_numbers(text, length, box);
    else {
        json_t *call;
        tn_json_parse(text, length, "call", &call, NULL);
        wrong = read_box(call, box);
        json_decref(call);
    }
    if (wrong != NULL)
        return wrong;
    if (reasoner->conversation.picture_count == 0)
        return "There is no picture.";
    const tn_image *pixels = &reasoner->conversation.pictures[0].pixels;
    if (tn_region_around(box, (double)tn_setting_size(reasoner, ENLARGE) / 100, pixels->width, pixels->height, region))
        return NULL;
    wrong = around_size(reasoner, is_brief(reasoner) ? "The box must lie inside of the picture, which is "
                                                     : "bbox_2d must lie inside of the picture, which is ", ", and hold a pixel.");
    return wrong != NULL ? wrong : "bbox_2d must lie inside of the picture.";
}

/* The size in which a region is shown: the one that the method or the request fixes, or enlarged within the bounds of both. */
static tenebra_code fit_region(const tn_reasoner *reasoner, const tn_region *region, tn_fit *fit)
{
    const tn_model *model = reasoner->session->model;
    const tn_image_encoder *encoder = model->backbone->encoder;
    const tenebra_image_rule *rule = &reasoner->request->image;
    size_t least = tn_setting_size(reasoner, MIN_PIXELS), most = tn_setting_size(reasoner, MAX_PIXELS), area = encoder->area(model->rule);
    const size_t *fixed = tn_setting_sides(reasoner, CROP_SIZE);
    if (fixed[0] > 0) {
        const tenebra_image_rule own = { .width = fixed[0], .height = fixed[1] };
        return encoder->fit(model->rule, region->width, region->height, &own, fit, NULL);
    }
    if (rule->width > 0)
        return encoder->fit(model->rule, region->width, region->height, rule, fit, NULL);
    if (rule->max_tokens > 0)
        most = tn_max(1, tn_min(most / area, rule->max_tokens)) * area;
    if (rule->max_pixels > 0)
        most = tn_min(most, rule->max_pixels);
    const tenebra_image_rule own = { .min_pixels = tn_min(least, most), .max_pixels = most };
    size_t scale = tn_setting_size(reasoner, SCALE);
    if (encoder->fit(model->rule, scale * region->width, scale * region->height, &own, fit, NULL) == TENEBRA_OK)
        return TENEBRA_OK;
    static const tenebra_image_rule nothing = { 0 }; /* an encoder of one size cannot follow bounds */
    return encoder->fit(model->rule, scale * region->width, scale * region->height, &nothing, fit, NULL);
}

/* Whether another image of that size may be added to the dialogue. */
static bool is_room(const tn_reasoner *reasoner, size_t width, size_t height)
{
    const tn_session *session = reasoner->session;
    size_t rows = tn_model_measure(session->model, width, height).rows, all = 0;
    for (size_t p = 0; p < reasoner->conversation.picture_count; p++)
        all += reasoner->conversation.pictures[p].rows.rows;
    return reasoner->conversation.picture_count < tn_setting_size(reasoner, MAX_IMAGES) &&
           all + rows <= session->sequence.capacity && rows + ROOM_FOR_WORDS < session->sequence.capacity - session->sequence.length;
}

static void refuse(cof_state *state, tenebra_region *call)
{
    call->outcome = TENEBRA_OUTCOME_REFUSED;
    state->notice = "No more regions can be shown. Answer with what you have seen.";
}

/* The pixels of the original in a region of the image as the model sees it; those that it covers in part are included. */
static tn_region in_original(const tn_picture *from, const tn_region *region)
{
    size_t width = from->pixels.width, height = from->pixels.height;
    tn_region whole = { region->x * from->original.width / width, region->y * from->original.height / height, 0, 0 };
    whole.width = ((region->x + region->width) * from->original.width + width - 1) / width - whole.x;
    whole.height = ((region->y + region->height) * from->original.height + height - 1) / height - whole.y;
    return whole;
}

/* Crops the region, shows it in the next turn, and records its place in the original image. */
static tenebra_code show(tn_reasoner *reasoner, cof_state *state, const tn_region *region, const tn_fit *fit, tenebra_region *call,
                         tenebra_error *error)
{
    const tn_picture *from = &reasoner->conversation.pictures[0];
    double x = (double)from->width / (double)from->pixels.width, y = (double)from->height / (double)from->pixels.height;
    tn_image large, shown = { 0 };
    const tn_region original = from->original.width > 0 ? in_original(from, region) : *region;
    TN_TRY(tn_region_show(from->original.width > 0 ? &from->original : &from->pixels, &original, fit->width, fit->height, &large, error));
    tenebra_code code = tn_image_crop(&large, fit->left, fit->top, fit->seen_width, fit->seen_height, &shown, error);
    tn_image_free(&large);
    TN_TRY(code);
    code = tn_reasoner_add_resized(reasoner, &shown, region->width, region->height, error);
    tn_image_free(&shown);
    *call = (tenebra_region){ call->pass,
                            TENEBRA_OUTCOME_SHOWN,
                            0,
                            (double)region->x * x,
                            (double)region->y * y,
                            (double)(region->x + region->width) * x,
                            (double)(region->y + region->height) * y };
    state->picture = true;
    return code;
}

/* The reaction to an invalid call. */
static tenebra_code answer_nonsense(tn_reasoner *reasoner, cof_state *state, const char *wrong, tenebra_error *error)
{
    const tn_picture *from = &reasoner->conversation.pictures[0];
    if (tn_setting_choice(reasoner, BAD_CALL) == 0 && reasoner->conversation.picture_count > 0 &&
        is_room(reasoner, from->pixels.width, from->pixels.height)) {
        state->picture = true;
        return tn_reasoner_add_resized(reasoner, &from->pixels, from->width, from->height, error);
    }
    state->notice = tn_reasoner_join(reasoner, (const char *const[]){ "The call was not carried out. ", wrong, NULL });
    return state->notice != NULL ? TENEBRA_OK : tn_fail_session_full(error);
}

static tenebra_code carry_out(tn_reasoner *reasoner, const char *text, bool last, tenebra_error *error)
{
    const double nowhere = (double)NAN;
    cof_state *state = reasoner->state;
    tenebra_region call = { reasoner->pass, TENEBRA_OUTCOME_INVALID, 0, nowhere, nowhere, nowhere, nowhere };
    tn_region region;
    tn_fit fit;
    state->picture = false;
    state->notice = NULL;
    const char *wrong = read_call(reasoner, text, &region);
    if (wrong == NULL && fit_region(reasoner, &region, &fit) != TENEBRA_OK)
        wrong = "The region is too long for its width.";
    if (wrong == NULL && (last || !is_room(reasoner, fit.seen_width, fit.seen_height)))
        refuse(state, &call);
    else if (wrong == NULL)
        TN_TRY(show(reasoner, state, &region, &fit, &call, error));
    else if (!last)
        TN_TRY(answer_nonsense(reasoner, state, wrong, error));
    TN_TRY(tn_reasoner_note_count(reasoner, "invalid_calls", call.outcome == TENEBRA_OUTCOME_INVALID, error));
    return tn_reasoner_note_region(reasoner, "calls", &call, error);
}

static tenebra_code next(tn_reasoner *reasoner, tn_action *action, tenebra_error *error)
{
    cof_state *state = reasoner->state;
    if (state->pass != reasoner->pass) {
        state->pass = reasoner->pass;
        tn_reasoner_count_injected(reasoner, reasoner->conversation.turn_rows);
    }
    tn_act_answer(reasoner, action);
    const char *call = strstr(reasoner->answer.text, CALL_BEGIN);
    bool cut = call != NULL && tn_setting_choice(reasoner, TAG_STOP) == 1 && strstr(call, CALL_END) != NULL;
    if (call == NULL || !(reasoner->answer.ended || cut))
        return TENEBRA_OK;
    bool last = reasoner->pass + 1 == tn_setting_size(reasoner, ROUNDS);
    TN_TRY(carry_out(reasoner, call + strlen(CALL_BEGIN), last, error));
    action->kind = last ? TN_ACT_FINISH : TN_ACT_TURN;
    if (last) /* it requests more, so there is no answer */
        tn_reasoner_give_up(reasoner);
    return TENEBRA_OK;
}

/* -------------------------------------------------------------- training -- */

/* Part low .. high of a side of the whole original, in whole pixels of the image as the model sees it, at least one; the model sees
 * `seen` of the original's pixels from `begin` on as `pixels`. False if it sees none of them. */
static bool place(double low, double high, size_t whole, size_t begin, size_t seen, size_t pixels, size_t *first, size_t *end)
{
    double scale = (double)pixels / (double)seen, last = (double)pixels;
    double from = (low * (double)whole - (double)begin) * scale, to = (high * (double)whole - (double)begin) * scale;
    if (!(from < last && to > 0 && from < to))
        return false;
    *first = (size_t)floor(fmax(from, 0) + 0.5);
    *end = (size_t)floor(fmin(to, last) + 0.5);
    *first = tn_min(*first, pixels - 1);
    *end = tn_max(*end, *first + 1);
    return true;
}

/* The call that shows the region; NULL and a sentence if there is none, or the memory is full. */
static const char *write_call(tn_reasoner *reasoner, const tn_sample_region *region, const char **wrong)
{
    const tn_picture *from = &reasoner->conversation.pictures[0];
    const tn_image *pixels = &from->pixels;
    char text[160];
    size_t x0, y0, x1, y1;
    *wrong = "The model sees no image.";
    if (reasoner->conversation.picture_count == 0)
        return NULL;
    *wrong = "The model does not see that part of the image.";
    if (!place(region->box[0], region->box[2], from->whole_width, from->x, from->width, pixels->width, &x0, &x1) ||
        !place(region->box[1], region->box[3], from->whole_height, from->y, from->height, pixels->height, &y0, &y1))
        return NULL;
    *wrong = "The memory of one question is full.";
    snprintf(text, sizeof text, is_brief(reasoner) ? CALL_BEGIN "%zu %zu %zu %zu" CALL_END
             : CALL_BEGIN "\n{\"name\": \"" TOOL "\", \"arguments\": {\"bbox_2d\": [%zu, %zu, %zu, %zu]}}\n" CALL_END, x0, y0, x1, y1);
    return tn_reasoner_join(reasoner, (const char *const[]){ text, NULL });
}

/* Adds a reply's call, read by the same code as in answering, and the turn that shows the region. */
static tenebra_code add_look(tn_reasoner *reasoner, tn_train_example *example, size_t number, tenebra_error *error)
{
    const tn_sample_region *look = &example->source->regions[number];
    cof_state *state = reasoner->state;
    tenebra_region unused = { 0 };
    tn_region region;
    tn_fit fit = { 0 };
    const char *wrong, *text = write_call(reasoner, look, &wrong);
    if (text != NULL)
        wrong = read_call(reasoner, text + strlen(CALL_BEGIN), &region);
    if (wrong == NULL && fit_region(reasoner, &region, &fit) != TENEBRA_OK)
        wrong = "It is too long for its width.";
    if (wrong == NULL && !is_room(reasoner, fit.seen_width, fit.seen_height))
        wrong = "It does not fit: see max-images, and the context.";
    if (wrong == NULL && number + 1 >= tn_setting_size(reasoner, ROUNDS))
        wrong = "After it, no reply is left for the answer: raise rounds.";
    if (wrong != NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "regions", "region %zu (%g %g to %g %g of the image) cannot be shown: %s", number + 1,
                       look->box[0], look->box[1], look->box[2], look->box[3], wrong);
    *state = (cof_state){ 0 };
    TN_TRY(show(reasoner, state, &region, &fit, &unused, error));
    TN_TRY(tn_train_example_add_text(example, text, true, error));
    return tn_train_example_add_turn(example, tn_setting_choice(reasoner, TAG_STOP) == 0, error);
}

/* Adds steps first .. end - 1 of the rationale; in the form of the published models, between tags. */
static tenebra_code add_thought(const tn_reasoner *reasoner, tn_train_example *example, size_t first, size_t end, tenebra_error *error)
{
    bool tags = !is_brief(reasoner) && first < end;
    if (tags)
        TN_TRY(tn_train_example_add_text(example, "<think>", true, error));
    for (size_t i = first; i < end; i++)
        TN_TRY(tn_train_example_add_step(example, i, error));
    return tags ? tn_train_example_add_text(example, "</think>\n", true, error) : TENEBRA_OK;
}

/* Every region of the sample is a reply that calls for it, after the steps that come before it. A sample without regions is answered
 * at once: not every question requires a look. */
static tenebra_code arrange_training(tn_reasoner *reasoner, tn_train_example *example, tenebra_error *error)
{
    const tn_train_example_source *source = example->source;
    size_t step = 0;
    for (size_t i = 0; i < source->region_count; i++) {
        size_t end = tn_max(step, tn_min(source->regions[i].after, source->step_count));
        TN_TRY(add_thought(reasoner, example, step, end, error));
        TN_TRY(add_look(reasoner, example, i, error));
        step = end;
    }
    TN_TRY(add_thought(reasoner, example, step, source->step_count, error));
    if (is_brief(reasoner))
        return tn_train_example_add_answer(example, error);
    TN_TRY(tn_train_example_add_text(example, "<answer>", true, error));
    TN_TRY(tn_train_example_add_text(example, source->answer, true, error));
    TN_TRY(tn_train_example_add_text(example, ANSWER_END, true, error));
    return tn_train_example_add_end(example, error);
}

const tn_method tn_method_cof = {
    .name = "cof",
    .summary = "request enlarged regions of the image, then answer",
    .options = options,
    .note = "published results require a model that was trained to call the tool; other models are only asked to",
    .open = open_method,
    .arrange = arrange,
    .next = next,
    .arrange_training = arrange_training,
    .answer_end = ANSWER_END,
    .uses_regions = true,
};
