/* From a request to rows: pictures through the tower, messages through the chat template. */
#include "reason/parts.h"

#include "base/checked.h"
#include "base/clock.h"
#include "image/decode.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------- pictures -- */

tenebra_code tn_reasoner_check_room(const tn_reasoner *reasoner, size_t width, size_t height, tenebra_error *error)
{
    const tn_patch_config *config = &reasoner->session->model->patches;
    size_t cell = config->patch_size * config->merge_size, rows = (width / cell) * (height / cell);
    for (size_t p = 0; p < reasoner->picture_count; p++)
        rows += reasoner->pictures[p].embeds.rows;
    if (rows <= reasoner->session->capacity)
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_LIMIT, "context", "the pictures take %zu rows, the context has %zu; raise -c "
                   "or make them smaller with --image-max-tokens or --image-size", rows, reasoner->session->capacity);
}

static tenebra_code check_number(const tn_reasoner *reasoner, tenebra_error *error)
{
    if (reasoner->picture_count < TN_PICTURES_MAX)
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_LIMIT, "image", "more than %d pictures in one conversation", TN_PICTURES_MAX);
}

tenebra_code tn_reasoner_cut_picture(tn_reasoner *reasoner, const tenebra_part *part, const tn_image *image,
                                     tn_patches *patches, tenebra_error *error)
{
    double start = tn_clock_ms();
    tn_image resized = { 0 };
    TN_TRY(check_number(reasoner, error));
    tenebra_code code = tn_reasoner_resize(reasoner, part, image, &resized, error);
    if (code == TENEBRA_OK)
        code = tn_patches_cut(&reasoner->session->model->patches, &resized, patches, error);
    tn_image_free(&resized);
    reasoner->trace.decode_ms += tn_clock_ms() - start;
    return code;
}

/* What the tower's output depends on: size and pixels. The way from there to patches is the model's. */
static tn_digest content_of(const tn_image *image)
{
    const uint64_t size[3] = { image->width, image->height, image->channels };
    tn_hash hash;
    tn_hash_start(&hash);
    tn_hash_add(&hash, size, sizeof size);
    tn_hash_add(&hash, image->pixels, image->width * image->height * image->channels);
    return tn_hash_finish(&hash);
}

/* Cuts a resized picture and runs it through the tower. */
static tenebra_code encode(tn_reasoner *reasoner, const tn_image *resized, tn_picture *picture, tenebra_error *error)
{
    tn_session *session = reasoner->session;
    tn_patches patches = { 0 };
    double start = tn_clock_ms();
    TN_TRY(tn_patches_cut(&session->model->patches, resized, &patches, error));
    double cut = tn_clock_ms();
    picture->grid = (tn_grid){ patches.grid_t, patches.grid_h, patches.grid_w };
    tn_reasoner_start_work(reasoner, "picture", session->model->config.vision.depth);
    tenebra_code code = tn_session_encode(session, patches.values, &picture->grid, 1, &picture->embeds, error);
    tn_reasoner_end_work(reasoner);
    tn_patches_free(&patches);
    reasoner->trace.decode_ms += cut - start;
    reasoner->trace.vision_ms += tn_clock_ms() - cut;
    if (code == TENEBRA_OK)
        tn_session_remember(session, &picture->content, picture->grid, picture->embeds);
    return code;
}

tenebra_code tn_reasoner_add_resized(tn_reasoner *reasoner, const tn_image *resized, size_t width, size_t height,
                                     tenebra_error *error)
{
    double start = tn_clock_ms();
    TN_TRY(check_number(reasoner, error));
    TN_TRY(tn_reasoner_check_room(reasoner, resized->width, resized->height, error));
    tn_picture *picture = &reasoner->pictures[reasoner->picture_count];
    tn_image_free(&picture->pixels);
    *picture = (tn_picture){ .width = width, .height = height, .source = SIZE_MAX, .content = content_of(resized) };
    tenebra_code code = tn_session_recall(reasoner->session, &picture->content, &picture->grid, &picture->embeds, error);
    reasoner->trace.decode_ms += tn_clock_ms() - start;
    if (code == TENEBRA_OK && picture->embeds.data != NULL)
        reasoner->trace.vision_cached++;
    else if (code == TENEBRA_OK)
        code = encode(reasoner, resized, picture, error);
    if (code == TENEBRA_OK && reasoner->method->keep_pixels)
        code = tn_image_crop(resized, 0, 0, resized->width, resized->height, &picture->pixels, error);
    reasoner->picture_count += code == TENEBRA_OK;
    return code;
}

/* Adds a picture in the size that its part, the request or the model gives it. */
static tenebra_code add_picture(tn_reasoner *reasoner, const tenebra_part *part, const tn_image *image, tenebra_error *error)
{
    double start = tn_clock_ms();
    tn_image resized = { 0 };
    TN_TRY(check_number(reasoner, error));
    TN_TRY(tn_reasoner_resize(reasoner, part, image, &resized, error));
    reasoner->trace.decode_ms += tn_clock_ms() - start;
    tn_region seen = tn_reasoner_seen(reasoner, image);
    tenebra_code code = tn_reasoner_add_resized(reasoner, &resized, seen.width, seen.height, error);
    if (code == TENEBRA_OK) {
        tn_picture *picture = &reasoner->pictures[reasoner->picture_count - 1];
        picture->x = seen.x;
        picture->y = seen.y;
    }
    tn_image_free(&resized);
    return code;
}

tenebra_code tn_reasoner_add_picture(tn_reasoner *reasoner, const tn_image *image, tenebra_error *error)
{
    return add_picture(reasoner, NULL, image, error);
}

tenebra_code tn_reasoner_read_picture(tn_reasoner *reasoner, const tenebra_part *part, tn_image *image,
                                      tenebra_error *error)
{
    bool orient = !reasoner->request->ignore_orientation;
    double start = tn_clock_ms();
    tenebra_code code = part->kind == TENEBRA_PART_IMAGE_FILE
                            ? tn_image_read(image, part->text, NULL, orient, error)
                            : tn_image_decode(image, part->bytes, part->length, NULL, orient, part->text ? part->text : "image", error);
    reasoner->trace.decode_ms += tn_clock_ms() - start;
    return code;
}

/* The picture as the method draws it, behind the picture itself where that is kept. */
static tenebra_code add_redrawn(tn_reasoner *reasoner, const tenebra_part *part, const tn_image *image, size_t index, size_t count,
                                tenebra_error *error)
{
    tn_image drawn = { 0 };
    double start = tn_clock_ms();
    TN_TRY(reasoner->method->redraw(reasoner, image, index, count, &drawn, error));
    reasoner->trace.decode_ms += tn_clock_ms() - start;
    tenebra_code code = reasoner->keep_original ? add_picture(reasoner, part, image, error) : TENEBRA_OK;
    if (code == TENEBRA_OK)
        code = add_picture(reasoner, part, &drawn, error);
    tn_image_free(&drawn);
    return code;
}

static tenebra_code add_part(tn_reasoner *reasoner, const tenebra_part *part, size_t index, size_t count, tenebra_error *error)
{
    tn_image image = { 0 };
    tenebra_code code = tn_reasoner_read_picture(reasoner, part, &image, error);
    if (code == TENEBRA_OK)
        code = reasoner->method->redraw != NULL ? add_redrawn(reasoner, part, &image, index, count, error)
                                                : add_picture(reasoner, part, &image, error);
    tn_image_free(&image);
    return code;
}

static size_t count_pictures(const tenebra_part *parts, size_t part_count)
{
    size_t count = 0;
    for (size_t p = 0; p < part_count; p++)
        count += parts[p].kind != TENEBRA_PART_TEXT;
    return count;
}

/* Adds the pictures among the parts; `*index` of `count` is the first of them. */
static tenebra_code add_parts(tn_reasoner *reasoner, const tenebra_part *parts, size_t part_count, size_t *index, size_t count,
                              tenebra_error *error)
{
    for (size_t p = 0; p < part_count; p++) {
        size_t first = reasoner->picture_count;
        if (parts[p].kind == TENEBRA_PART_TEXT)
            continue;
        TN_TRY(add_part(reasoner, &parts[p], *index, count, error));
        for (size_t added = first; added < reasoner->picture_count; added++)
            reasoner->pictures[added].source = *index;
        ++*index;
    }
    return TENEBRA_OK;
}

static tenebra_code add_example(tn_reasoner *reasoner, tenebra_error *error)
{
    const tenebra_example *example = reasoner->request->example;
    size_t index = 0, first = reasoner->picture_count, count = count_pictures(example->parts, example->part_count);
    TN_TRY(add_parts(reasoner, example->parts, example->part_count, &index, count, error));
    for (size_t added = first; added < reasoner->picture_count; added++)
        reasoner->pictures[added].source = SIZE_MAX;
    return TENEBRA_OK;
}

/* What would make the answer impossible is found before the pictures take their time. Pictures stand in the order of
 * the conversation, those of the example where it comes. */
tenebra_code tn_reasoner_load_pictures(tn_reasoner *reasoner, tenebra_error *error)
{
    const tenebra_request *request = reasoner->request;
    const tn_model *model = reasoner->session->model;
    size_t front = tn_request_system_count(request), index = 0, count = 0;
    if (model->tokenizer == NULL)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, model->directory,
                       "has no tokenizer.json, which a question in words needs");
    if (request->message_count == 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "messages", "there are none");
    for (size_t m = 0; m < request->message_count; m++)
        count += count_pictures(request->messages[m].parts, request->messages[m].part_count);
    for (size_t m = 0; m < request->message_count; m++) {
        if (m == front && request->example != NULL)
            TN_TRY(add_example(reasoner, error));
        TN_TRY(add_parts(reasoner, request->messages[m].parts, request->messages[m].part_count, &index, count, error));
    }
    return TENEBRA_OK;
}

/* ----------------------------------------------------------------- text -- */

tenebra_code tn_reasoner_encode(tn_reasoner *reasoner, const tn_text_span *spans, size_t span_count, size_t first_picture,
                                const int32_t **kept_ids, size_t *count, tenebra_error *error)
{
    const tn_model *model = reasoner->session->model;
    size_t counts[TN_PICTURES_MAX], pictures = reasoner->picture_count - first_picture;
    for (size_t p = 0; p < pictures; p++)
        counts[p] = reasoner->pictures[first_picture + p].embeds.rows;
    tn_ids ids = { 0 };
    tenebra_code code = tn_tokenizer_encode(model->tokenizer, spans, span_count, &ids, error);
    if (code == TENEBRA_OK)
        code = tn_ids_expand(&ids, model->config.image_token, counts, pictures, "images", error);
    int32_t *kept = code == TENEBRA_OK ? tn_reasoner_take(reasoner, ids.count + 1, sizeof *kept) : NULL;
    if (code == TENEBRA_OK && kept == NULL)
        code = tn_fail_session_full(error);
    for (size_t i = 0; code == TENEBRA_OK && i < ids.count; i++) {
        kept[i] = ids.ids[i];
        if ((size_t)ids.ids[i] >= tn_model_vocabulary(model))
            code = tn_fail(error, TENEBRA_ERROR_MISMATCH, "prompt", "token %d is outside of the embedding's %zu rows",
                           ids.ids[i], tn_model_vocabulary(model));
    }
    *kept_ids = kept;
    *count = ids.count;
    tn_ids_free(&ids);
    return code;
}

tenebra_code tn_reasoner_render(tn_reasoner *reasoner, tenebra_error *error)
{
    tn_script script;
    TN_TRY(tn_script_open(&script, reasoner, error));
    if (reasoner->method->arrange != NULL)
        TN_TRY(reasoner->method->arrange(reasoner, &script, error));
    reasoner->dialogue = script.messages;
    reasoner->dialogue_count = script.message_count;
    tn_chat_text rendered = { 0 };
    tn_chat_options options = { .add_generation_prompt = true };
    tenebra_code code = tn_chat_render(reasoner->session->model->chat_template, script.messages, script.message_count, &options,
                                       &rendered, error);
    if (code == TENEBRA_OK)
        code = tn_reasoner_keep_prompt(reasoner, rendered.text.data, rendered.text.length, error);
    if (code == TENEBRA_OK)
        code = tn_reasoner_encode(reasoner, rendered.spans, rendered.span_count, 0, &reasoner->prompt,
                                  &reasoner->prompt_count, error);
    tn_chat_text_free(&rendered);
    return code;
}
