/* The layout of Chameleon's prompts. Source: ChameleonProcessor of transformers 4.44 to 5.24 (there is no published chat template): an
 * image is its placeholder between two border tokens, and the separator of turns ends the text. One text is the user's turn; further
 * turns go on in the same way, each with the separator at its end, as in the chats that the model was trained on (arXiv:2405.09818).
 *
 * At the end of a prompt, the separator comes after latent steps: the authors of arXiv:2510.12603 append the latents to the text
 * before the processor appends the separator. */
#include "text/chat.h"

#include <string.h>

#define IMAGE "<image>"
#define BEGIN "<racm3:break>"
#define END "<eoss>"
#define SEPARATOR "<reserved08706>"

static tenebra_code put(tn_chat_text *out, const char *text, tenebra_error *error)
{
    return tn_chat_text_append(out, text, strlen(text), true, error);
}

static tenebra_code put_part(tn_chat_text *out, const tn_chat_part *part, tenebra_error *error)
{
    if (part->is_video)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "message", "the chat template 'chameleon' shows no videos");
    if (!part->is_image)
        return tn_chat_text_append(out, part->text, part->length, false, error);
    out->image_count++;
    TN_TRY(put(out, BEGIN, error));
    TN_TRY(tn_chat_text_append_picture(out, IMAGE, error));
    return put(out, END, error);
}

static tenebra_code render(const tn_chat_message *messages, size_t count, const tn_chat_options *options,
                           tn_chat_text *out, tenebra_error *error)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t p = 0; p < messages[i].part_count; p++)
            TN_TRY(put_part(out, &messages[i].parts[p], error));
        if (i + 1 == count && options->add_generation_prompt)
            tn_chat_text_mark_tail(out);
        TN_TRY(put(out, SEPARATOR, error));
    }
    return TENEBRA_OK;
}

static const uint64_t hashes[] = { 0 };

const tn_chat_template tn_chat_template_chameleon = {
    .name = "chameleon",
    .hashes = hashes,
    .image = IMAGE,
    .image_begin = BEGIN,
    .image_end = END,
    .end_of_turn = SEPARATOR,
    .render = render,
};
