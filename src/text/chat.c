#include "text/chat.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

/* Points the spans to the text after it has moved. */
static void point_spans(tn_chat_text *rendered)
{
    const char *at = rendered->text.data;
    for (size_t i = 0; i < rendered->span_count; i++) {
        rendered->spans[i].text = at;
        at += rendered->spans[i].length;
    }
}

tenebra_code tn_chat_text_append(tn_chat_text *rendered, const char *text, size_t length, bool control,
                                 tenebra_error *error)
{
    if (length == 0)
        return TENEBRA_OK;
    size_t capacity = rendered->text.capacity;
    TN_TRY(TN_GROW(rendered->spans, rendered->span_count, "prompt", error));
    TN_TRY(tn_text_append(&rendered->text, text, length, error));
    if (rendered->single && rendered->span_count > 0) {
        rendered->spans[0].length += length;
    } else {
        rendered->tail += rendered->marked;
        rendered->spans[rendered->span_count++] =
            (tn_text_span){ rendered->text.data + rendered->text.length - length, length,
                            control || rendered->single ? TN_CONTROL_TOKENS : TN_CONTROL_NONE };
    }
    if (rendered->text.capacity != capacity)
        point_spans(rendered);
    return TENEBRA_OK;
}

tenebra_code tn_chat_text_append_picture(tn_chat_text *rendered, const char *token, tenebra_error *error)
{
    TN_TRY(tn_chat_text_append(rendered, token, strlen(token), true, error));
    if (!rendered->single)
        rendered->spans[rendered->span_count - 1].control = TN_CONTROL_PICTURE;
    return TENEBRA_OK;
}

void tn_chat_text_mark_tail(tn_chat_text *rendered)
{
    rendered->marked = true;
}

void tn_chat_text_free(tn_chat_text *rendered)
{
    tn_text_free(&rendered->text);
    free(rendered->spans);
    memset(rendered, 0, sizeof *rendered);
}

/* A role is next to control tokens, so it must be a single word. */
static bool is_word(const char *role)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    return role != NULL && role[0] != '\0' && role[strspn(role, allowed)] == '\0';
}

static bool is_bare(const tn_chat_message *message)
{
    return strcmp(message->role, TN_ROLE_BARE) == 0;
}

static tenebra_code render_bare(const tn_chat_template *style, const tn_chat_message *message, tn_chat_text *out, tenebra_error *error)
{
    out->bare = true;
    for (size_t p = 0; p < message->part_count; p++) {
        const tn_chat_part *part = &message->parts[p];
        const char *token = part->is_image ? style->image : style->video;
        if (!part->is_image && !part->is_video)
            TN_TRY(tn_chat_text_append(out, part->text, part->length, false, error));
        else if (token == NULL)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "message", "the chat template '%s' shows no %s", style->name,
                           part->is_image ? "images" : "videos");
        else
            TN_TRY(part->is_image ? tn_chat_text_append_picture(out, token, error)
                                  : tn_chat_text_append(out, token, strlen(token), true, error));
        out->image_count += part->is_image;
        out->video_count += part->is_video;
    }
    return TENEBRA_OK;
}

tenebra_code tn_chat_render(const tn_chat_template *style, const tn_chat_message *messages, size_t count,
                            const tn_chat_options *options, tn_chat_text *out, tenebra_error *error)
{
    for (size_t i = 0; i < count; i++)
        if (!is_word(messages[i].role))
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "role",
                           "message %zu: '%.60s' must be letters, digits, '_' and '-'", i + 1,
                           messages[i].role ? messages[i].role : "");
    for (size_t i = 0; i < count; i++)
        if (is_bare(&messages[i]) && count > 1)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "role", "message %zu: a bare message must be the only one: no system message, "
                           "example or further turn", i + 1);
    out->single = options->control_text;
    bool bare = count == 1 && is_bare(&messages[0]);
    tenebra_code code = bare ? render_bare(style, &messages[0], out, error) : style->render(messages, count, options, out, error);
    if (code != TENEBRA_OK)
        tn_chat_text_free(out);
    return code;
}
