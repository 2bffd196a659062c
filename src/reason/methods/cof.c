/* Chain-of-Focus (arXiv:2505.15436): a dialogue in which the model may call a tool that shows it an enlarged region of the
 * image. Format, limits and sizes are those of the published code; the words around them are ours. */
#include "reason/parts.h"

#include "base/checked.h"
#include "base/json.h"
#include "image/region.h"

#include <stdio.h>
#include <string.h>

#define TOOL       "image_zoom_in_tool"
#define CALL_BEGIN "<tool_call>"
#define CALL_END   "</tool_call>"

enum { ROUNDS, MAX_IMAGES, BAD_CALL, TAG_STOP, LEAD, ENLARGE, SCALE, MIN_PIXELS, MAX_PIXELS, CROP_FROM };

static const tn_option options[] = {
    [ROUNDS] = TN_SETTING_SIZE("rounds", "N", "6", 1, 64, "at most N replies; if the last one has no answer, the answer is empty"),
    [MAX_IMAGES] = TN_SETTING_SIZE("max-images", "N", "6", 1, TN_PICTURES_MAX, "at most N images in the dialogue"),
    [BAD_CALL] = TN_SETTING_CHOICE("bad-call", "whole|error", "whole",
                                   "after an invalid call, show the whole image, or describe the error"),
    [TAG_STOP] = TN_SETTING_CHOICE("tag-stop", "no|yes", "no", "end a reply at the end of its first call"),
    [LEAD] = TN_SETTING_TEXT("lead", "Question: ", "text before the question"),
    [ENLARGE] = TN_SETTING_SIZE("enlarge", "PERCENT", "150", 100, 1000, "size of the region, relative to the requested box"),
    [SCALE] = TN_SETTING_SIZE("scale", "N", "2", 1, 16, "factor by which the region is enlarged"),
    [MIN_PIXELS] = TN_SETTING_SIZE("crop-min-pixels", "N", "12544", 1, 1 << 28, "minimum area of a region as shown, in pixels"),
    [MAX_PIXELS] = TN_SETTING_SIZE("crop-max-pixels", "N", "14745600", 1, 1 << 28, "maximum area of a region as shown, in pixels"),
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

static tenebra_code begin(tn_reasoner *reasoner, tn_script *script, tenebra_error *error)
{
    if (reasoner->conversation.picture_count > 0) { /* otherwise there is nothing to show */
        const char *text = around_size(reasoner, system_front, system_back);
        if (text == NULL)
            return tn_fail_session_full(error);
        TN_TRY(tn_script_add_system(script, text, error));
    }
    TN_TRY(tn_script_cut(script, tn_cut_answer_cue, error));
    TN_TRY(tn_script_add_before(script, tn_setting_text(reasoner, LEAD), NULL, error));
    return tn_script_add_cue(script, instruction, error);
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

/* Reads the first call of a reply, which starts after its tag, into a region of the first image. Returns a sentence about an
 * error, or NULL. */
static const char *read_call(tn_reasoner *reasoner, const char *text, tn_region *region)
{
    const char *end = strstr(text, CALL_END);
    double box[4] = { 0 };
    json_t *call;
    tn_json_parse(text, end != NULL ? (size_t)(end - text) : strlen(text), "call", &call, NULL);
    const char *wrong = read_box(call, box);
    json_decref(call);
    if (wrong != NULL)
        return wrong;
    if (reasoner->conversation.picture_count == 0)
        return "There is no picture.";
    const tn_image *pixels = &reasoner->conversation.pictures[0].pixels;
    if (tn_region_around(box, (double)tn_setting_size(reasoner, ENLARGE) / 100, pixels->width, pixels->height, region))
        return NULL;
    wrong = around_size(reasoner, "bbox_2d must lie inside of the picture, which is ", ", and hold a pixel.");
    return wrong != NULL ? wrong : "bbox_2d must lie inside of the picture.";
}

/* The size in which a region is shown: the size that the request fixes for all images, or enlarged within the bounds of the
 * method and the request. */
static tenebra_code fit_region(const tn_reasoner *reasoner, const tn_region *region, tn_fit *fit)
{
    const tn_model *model = reasoner->session->model;
    const tn_image_encoder *encoder = model->backbone->encoder;
    const tenebra_image_rule *rule = &reasoner->request->image;
    size_t least = tn_setting_size(reasoner, MIN_PIXELS), most = tn_setting_size(reasoner, MAX_PIXELS), area = encoder->area(model->rule);
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

const tn_method tn_method_cof = {
    .name = "cof",
    .summary = "request enlarged regions of the image, then answer",
    .options = options,
    .note = "published results require a model that was trained to call the tool; other models are only asked to",
    .open = open_method,
    .arrange = arrange,
    .next = next,
};
