/* The template of Qwen2-VL. Source: chat_template.json of Qwen2-VL-7B-Instruct. Turns are
 * <|im_start|>role, a line end, the parts, <|im_end|>, a line end; a conversation that does not begin
 * with a system turn gets one. Images and videos are numbered through the whole conversation, each kind separately. */
#include "text/chat.h"

#include <stdio.h>
#include <string.h>

#define IMAGE "<|image_pad|>"
#define VIDEO "<|video_pad|>"
#define BEGIN "<|vision_start|>"
#define END "<|vision_end|>"

static tenebra_code put(tn_chat_text *out, const char *text, tenebra_error *error)
{
    return tn_chat_text_append(out, text, strlen(text), true, error);
}

/* An image or a video between its border tokens, after "Picture 1: " etc. if this is requested. */
static tenebra_code put_vision(tn_chat_text *out, bool picture, size_t number, bool numbered, tenebra_error *error)
{
    char text[48];
    if (numbered) {
        snprintf(text, sizeof text, "%s %zu: ", picture ? "Picture" : "Video", number);
        TN_TRY(put(out, text, error));
    }
    TN_TRY(put(out, BEGIN, error));
    TN_TRY(picture ? tn_chat_text_append_picture(out, IMAGE, error) : put(out, VIDEO, error));
    return put(out, END, error);
}

static tenebra_code put_part(tn_chat_text *out, const tn_chat_part *part, bool numbered, tenebra_error *error)
{
    if (part->is_image)
        return put_vision(out, true, ++out->image_count, numbered, error);
    if (part->is_video)
        return put_vision(out, false, ++out->video_count, numbered, error);
    return tn_chat_text_append(out, part->text, part->length, false, error);
}

static tenebra_code put_message(tn_chat_text *out, const tn_chat_message *message, bool numbered,
                                tenebra_error *error)
{
    TN_TRY(put(out, "<|im_start|>", error));
    TN_TRY(put(out, message->role, error));
    TN_TRY(put(out, "\n", error));
    for (size_t i = 0; i < message->part_count; i++)
        TN_TRY(put_part(out, &message->parts[i], numbered, error));
    return put(out, "<|im_end|>\n", error);
}

static tenebra_code render(const tn_chat_message *messages, size_t count, const tn_chat_options *options,
                           tn_chat_text *out, tenebra_error *error)
{
    if (count > 0 && strcmp(messages[0].role, "system") != 0)
        TN_TRY(put(out, "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n", error));
    for (size_t i = 0; i < count; i++)
        TN_TRY(put_message(out, &messages[i], options->add_vision_id, error));
    return options->add_generation_prompt ? put(out, "<|im_start|>assistant\n", error) : TENEBRA_OK;
}

/* The text as published (Apache-2.0), for tokenizer directories that others read, too. */
static const char published[] =
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}"
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n{% else %}"
    "{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "{% set image_count.value = image_count.value + 1 %}"
    "{% if add_vision_id %}Picture {{ image_count.value }}: "
    "{% endif %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}"
    "{% set video_count.value = video_count.value + 1 %}"
    "{% if add_vision_id %}Video {{ video_count.value }}: "
    "{% endif %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

static const char *const tokens[] = {
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", BEGIN, END, "<|vision_pad|>", IMAGE, VIDEO,
    NULL
};

static const uint64_t hashes[] = { 0x2C0C871BC49FC070u, 0 };

const tn_chat_template tn_chat_template_qwen2_vl = {
    .name = "qwen2-vl",
    .hashes = hashes,
    .image = IMAGE,
    .video = VIDEO,
    .image_begin = BEGIN,
    .image_end = END,
    .end_of_turn = "<|im_end|>",
    .published = published,
    .tokens = tokens,
    .render = render,
};
