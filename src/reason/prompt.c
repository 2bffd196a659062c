/* From a request to rows: images are measured, messages are rendered by the chat template, and images are encoded. */
#include "reason/look.h"
#include "reason/parts.h"

#include "base/checked.h"
#include "base/clock.h"
#include "image/decode.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------- images -- */

tenebra_code tn_reasoner_check_room(const tn_reasoner *reasoner, size_t width, size_t height, tenebra_error *error)
{
    size_t rows = tn_model_measure(reasoner->session->model, width, height).rows;
    for (size_t p = 0; p < reasoner->conversation.picture_count; p++)
        rows += reasoner->conversation.pictures[p].rows.rows;
    if (rows <= reasoner->session->sequence.capacity)
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_LIMIT, "context", "the images take %zu rows, but the context has %zu%sshow fewer, or make them "
                   "smaller with --image-size or --image-max-tokens", rows, reasoner->session->sequence.capacity,
                   tn_session_advice(reasoner->session));
}

static tenebra_code check_number(const tn_reasoner *reasoner, tenebra_error *error)
{
    if (reasoner->conversation.picture_count < TN_PICTURES_MAX)
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_LIMIT, "image", "more than %d images in one conversation", TN_PICTURES_MAX);
}

tn_digest tn_reasoner_digest(const tn_image *image)
{
    const uint64_t size[3] = { image->width, image->height, image->channels };
    tn_hash hash;
    tn_hash_start(&hash);
    tn_hash_add(&hash, size, sizeof size);
    tn_hash_add(&hash, image->pixels, image->width * image->height * image->channels);
    return tn_hash_finish(&hash);
}

/* Runs an image through the encoder. */
static tenebra_code encode(tn_reasoner *reasoner, const tn_image *pixels, tn_image_rows *output, tenebra_error *error)
{
    tn_session *session = reasoner->session;
    const tn_model *model = session->model;
    tn_prepared prepared;
    double start = tn_clock_ms();
    TN_TRY(model->backbone->encoder->prepare(model->rule, pixels, &prepared, error));
    double made = tn_clock_ms();
    const tn_prepared *input = &prepared;
    tn_work work;
    tn_reasoner_start_work(reasoner, "image", tn_network_members(tn_networks_find(&model->networks, TN_NETWORK_IMAGES), TN_ENCODER_BLOCK));
    tn_work_begin(&work, session->engine, &reasoner, 1);
    tenebra_code code = tn_engine_encode(session->engine, &input, &output, 1, &session->kept, error);
    tn_work_end(&work);
    tn_reasoner_end_work(reasoner);
    tn_prepared_free(&prepared);
    reasoner->trace.decode_ms += made - start;
    reasoner->trace.vision_ms += tn_clock_ms() - made;
    if (code == TENEBRA_OK)
        tn_session_remember(session, output);
    return code;
}

static tenebra_code recall_or_encode(tn_reasoner *reasoner, const tn_image *pixels, tn_image_rows *rows, tenebra_error *error)
{
    if (tn_picture_is_encoded(rows))
        return TENEBRA_OK;
    TN_TRY(tn_session_recall(reasoner->session, rows, error));
    if (!tn_picture_is_encoded(rows))
        return encode(reasoner, pixels, rows, error);
    reasoner->trace.vision_cached++;
    return TENEBRA_OK;
}

tenebra_code tn_reasoner_encode_pictures(tn_reasoner *reasoner, tenebra_error *error)
{
    for (size_t p = 0; p < reasoner->conversation.picture_count; p++) {
        tn_picture *picture = &reasoner->conversation.pictures[p];
        TN_TRY(recall_or_encode(reasoner, &picture->pixels, &picture->rows, error));
        if (picture->look.rows > 0)
            TN_TRY(recall_or_encode(reasoner, &picture->look_pixels, &picture->look, error));
    }
    return TENEBRA_OK;
}

bool tn_reasoner_has_pictures(const tn_reasoner *reasoner)
{
    bool encoded = true;
    for (size_t p = 0; p < reasoner->conversation.picture_count && encoded; p++) {
        const tn_picture *picture = &reasoner->conversation.pictures[p];
        encoded = tn_picture_is_encoded(&picture->rows) && (picture->look.rows == 0 || tn_picture_is_encoded(&picture->look));
    }
    return encoded;
}

/* Adds an image of its final size and takes ownership of it. */
static tenebra_code take_resized(tn_reasoner *reasoner, tn_image *resized, size_t width, size_t height, tenebra_error *error)
{
    double start = tn_clock_ms();
    TN_TRY(check_number(reasoner, error));
    TN_TRY(tn_reasoner_check_room(reasoner, resized->width, resized->height, error));
    tn_picture *picture = &reasoner->conversation.pictures[reasoner->conversation.picture_count++];
    tn_image_free(&picture->pixels);
    tn_image_free(&picture->look_pixels);
    tn_image_free(&picture->original);
    *picture = (tn_picture){ .rows = tn_model_measure(reasoner->session->model, resized->width, resized->height),
                             .width = width, .height = height, .whole_width = width, .whole_height = height, .source = SIZE_MAX,
                             .pixels = *resized };
    picture->rows.content = tn_reasoner_digest(resized);
    *resized = (tn_image){ 0 };
    reasoner->trace.decode_ms += tn_clock_ms() - start;
    return TENEBRA_OK;
}

tenebra_code tn_reasoner_add_resized(tn_reasoner *reasoner, const tn_image *resized, size_t width, size_t height,
                                     tenebra_error *error)
{
    tn_image copy = { 0 };
    TN_TRY(tn_image_crop(resized, 0, 0, resized->width, resized->height, &copy, error));
    tenebra_code code = take_resized(reasoner, &copy, width, height, error);
    tn_image_free(&copy);
    return code;
}

/* Adds an image in the size that its part, the request or the model determines. */
static tenebra_code add_picture(tn_reasoner *reasoner, const tenebra_part *part, const tn_image *image, tenebra_error *error)
{
    double start = tn_clock_ms();
    tn_image resized = { 0 };
    TN_TRY(check_number(reasoner, error));
    tn_region seen;
    TN_TRY(tn_reasoner_resize(reasoner, part, image, &resized, &seen, error));
    reasoner->trace.decode_ms += tn_clock_ms() - start;
    tenebra_code code = take_resized(reasoner, &resized, seen.width, seen.height, error);
    if (code == TENEBRA_OK) {
        tn_picture *picture = &reasoner->conversation.pictures[reasoner->conversation.picture_count - 1];
        picture->x = seen.x;
        picture->y = seen.y;
        picture->whole_width = image->width;
        picture->whole_height = image->height;
        code = tn_look_add(reasoner, image, picture, error);
        if (code == TENEBRA_OK && reasoner->conversation.keep_originals)
            code = tn_image_crop(image, seen.x, seen.y, seen.width, seen.height, &picture->original, error);
    }
    tn_image_free(&resized);
    return code;
}

void tn_reasoner_keep_originals(tn_reasoner *reasoner)
{
    reasoner->conversation.keep_originals = true;
}

tenebra_code tn_reasoner_add_picture(tn_reasoner *reasoner, const tn_image *image, tenebra_error *error)
{
    return add_picture(reasoner, NULL, image, error);
}

static tenebra_code read_picture(tn_reasoner *reasoner, const tenebra_part *part, tn_image *image, tenebra_error *error)
{
    bool orient = !reasoner->request->ignore_orientation;
    double start = tn_clock_ms();
    tenebra_code code = part->kind == TENEBRA_PART_IMAGE_FILE
                            ? tn_image_read(image, part->text, NULL, orient, error)
                            : tn_image_decode(image, part->bytes, part->length, NULL, orient, part->text ? part->text : "image", error);
    reasoner->trace.decode_ms += tn_clock_ms() - start;
    return code;
}

/* Adds the image as the method draws it, after the original if that is also shown. */
static tenebra_code add_redrawn(tn_reasoner *reasoner, const tenebra_part *part, const tn_image *image, size_t index, size_t count,
                                tenebra_error *error)
{
    tn_image drawn = { 0 };
    double start = tn_clock_ms();
    TN_TRY(reasoner->method->redraw(reasoner, image, index, count, &drawn, error));
    reasoner->trace.decode_ms += tn_clock_ms() - start;
    tenebra_code code = tn_reasoner_shows_both(reasoner) ? add_picture(reasoner, part, image, error) : TENEBRA_OK;
    if (code == TENEBRA_OK)
        code = add_picture(reasoner, part, &drawn, error);
    tn_image_free(&drawn);
    return code;
}

static tenebra_code add_part(tn_reasoner *reasoner, const tenebra_part *part, size_t index, size_t count, tenebra_error *error)
{
    tn_image image = { 0 };
    tenebra_code code = read_picture(reasoner, part, &image, error);
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

/* Adds the images among the parts; `*index` of `count` is the first of them. */
static tenebra_code add_parts(tn_reasoner *reasoner, const tenebra_part *parts, size_t part_count, size_t *index, size_t count,
                              tenebra_error *error)
{
    for (size_t p = 0; p < part_count; p++) {
        size_t first = reasoner->conversation.picture_count;
        if (parts[p].kind == TENEBRA_PART_TEXT)
            continue;
        TN_TRY(add_part(reasoner, &parts[p], *index, count, error));
        for (size_t added = first; added < reasoner->conversation.picture_count; added++)
            reasoner->conversation.pictures[added].source = *index;
        ++*index;
    }
    return TENEBRA_OK;
}

static tenebra_code add_example(tn_reasoner *reasoner, tenebra_error *error)
{
    const tenebra_example *example = reasoner->request->example;
    size_t index = 0, first = reasoner->conversation.picture_count, count = count_pictures(example->parts, example->part_count);
    TN_TRY(add_parts(reasoner, example->parts, example->part_count, &index, count, error));
    for (size_t added = first; added < reasoner->conversation.picture_count; added++)
        reasoner->conversation.pictures[added].source = SIZE_MAX;
    return TENEBRA_OK;
}

/* Errors that make an answer impossible are found before images are encoded, which takes time. Images are in the order of the
 * conversation, those of the example at its place. */
tenebra_code tn_reasoner_load_pictures(tn_reasoner *reasoner, tenebra_error *error)
{
    const tenebra_request *request = reasoner->request;
    const tn_model *model = reasoner->session->model;
    size_t front = tn_request_system_count(request), index = 0, count = 0;
    if (model->tokenizer == NULL)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, model->directory,
                       "has no tokenizer.json, which a question in words requires");
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

tenebra_code tn_reasoner_lay_text(tn_reasoner *reasoner, const tn_text_span *spans, size_t span_count, size_t first_picture,
                                  tn_row **rows, size_t *count, tenebra_error *error)
{
    const tn_model *model = reasoner->session->model;
    size_t picture = first_picture, total = 0;
    tn_ids ids = { 0 };
    *count = 0;
    tenebra_code code = tn_tokenizer_encode(model->tokenizer, spans, span_count, &ids, error);
    if (code == TENEBRA_OK && ids.picture_count != reasoner->conversation.picture_count - first_picture)
        code = tn_fail(error, TENEBRA_ERROR_MISMATCH, "prompt", "the chat template '%s' has places for %zu images (%s), of "
                       "which there are %zu", model->chat_template->name, ids.picture_count,
                       model->chat_template->image ? model->chat_template->image : "it shows none",
                       reasoner->conversation.picture_count - first_picture);
    for (size_t p = first_picture; p < reasoner->conversation.picture_count; p++)
        total += reasoner->conversation.pictures[p].rows.rows;
    *rows = code == TENEBRA_OK ? tn_reasoner_take(reasoner, ids.count + total + 1, sizeof **rows) : NULL;
    if (code == TENEBRA_OK && *rows == NULL)
        code = tn_fail_session_full(error);
    for (size_t i = 0; code == TENEBRA_OK && i < ids.count; i++) {
        if (picture - first_picture < ids.picture_count && ids.pictures[picture - first_picture] == i) {
            const tn_image_rows *cells = &reasoner->conversation.pictures[picture++].rows;
            for (size_t cell = 0; cell < cells->rows; cell++)
                (*rows)[(*count)++] = tn_row_of_cell(cells, cell);
        } else if ((size_t)ids.ids[i] >= tn_model_vocabulary(model)) {
            code = tn_fail(error, TENEBRA_ERROR_MISMATCH, "prompt", "token %d is outside of the embedding's %zu rows", ids.ids[i],
                           tn_model_vocabulary(model));
        } else {
            (*rows)[(*count)++] = tn_row_of_token(ids.ids[i]);
        }
    }
    tn_ids_free(&ids);
    return code;
}

/* The tokens that the tokenizer puts before a prompt. */
static tenebra_code lay_front(tn_reasoner *reasoner, tn_row **rows, size_t *count, tenebra_error *error)
{
    const tn_model *model = reasoner->session->model;
    const tn_ids *front = tn_tokenizer_front(model->tokenizer);
    size_t vocabulary = tn_model_vocabulary(model);
    if (front->count == 0)
        return TENEBRA_OK;
    tn_row *all = tn_reasoner_take(reasoner, front->count + *count + 1, sizeof *all);
    if (all == NULL)
        return tn_fail_session_full(error);
    for (size_t i = 0; i < front->count; i++) {
        if ((size_t)front->ids[i] >= vocabulary)
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, "prompt", "token %d is outside of the embedding's %zu rows", front->ids[i],
                           vocabulary);
        all[i] = tn_row_of_token(front->ids[i]);
    }
    memcpy(all + front->count, *rows, *count * sizeof **rows);
    *rows = all;
    *count += front->count;
    return TENEBRA_OK;
}

/* The rows of the prompt, and those of its tail. All images come before that. */
static tenebra_code lay_rendered(tn_reasoner *reasoner, const tn_chat_text *rendered, tenebra_error *error)
{
    tn_conversation *c = &reasoner->conversation;
    size_t head = rendered->span_count - rendered->tail;
    c->tail_count = 0;
    TN_TRY(tn_reasoner_lay_text(reasoner, rendered->spans, head, 0, &c->prompt, &c->prompt_count, error));
    if (!rendered->bare)
        TN_TRY(lay_front(reasoner, &c->prompt, &c->prompt_count, error));
    if (rendered->tail > 0)
        TN_TRY(tn_reasoner_lay_text(reasoner, rendered->spans + head, rendered->tail, c->picture_count, &c->tail, &c->tail_count, error));
    c->tail_ahead = c->tail_count > 0;
    return TENEBRA_OK;
}

tenebra_code tn_reasoner_render(tn_reasoner *reasoner, tenebra_error *error)
{
    tn_script script;
    TN_TRY(tn_script_open(&script, reasoner, error));
    if (reasoner->method->arrange != NULL)
        TN_TRY(reasoner->method->arrange(reasoner, &script, error));
    reasoner->conversation.dialogue = script.messages;
    reasoner->conversation.dialogue_count = script.message_count;
    tn_chat_text rendered = { 0 };
    tn_chat_options options = { .add_generation_prompt = true };
    tenebra_code code = tn_chat_render(reasoner->session->model->chat_template, script.messages, script.message_count, &options,
                                       &rendered, error);
    if (code == TENEBRA_OK)
        code = tn_reasoner_keep_prompt(reasoner, rendered.text.data, rendered.text.length, error);
    if (code == TENEBRA_OK)
        code = lay_rendered(reasoner, &rendered, error);
    tn_chat_text_free(&rendered);
    return code;
}
