/* A further turn of a dialogue, in answering and in training. Its rows follow everything in the cache. So the reply keeps the tokens
 * that were generated, and rows that a method added between them stay where they are. */
#include "reason/parts.h"

#include <string.h>

static tenebra_code render(const tn_reasoner *reasoner, const tn_script *script, tn_chat_text *text,
                           tenebra_error *error)
{
    const tn_chat_options options = { .add_generation_prompt = true };
    return tn_chat_render(reasoner->session->model->chat_template, script->messages, script->message_count, &options,
                          text, error);
}

/* Removes the first `length` bytes of the text from the spans. Returns the number of remaining spans. */
static size_t cut_front(tn_chat_text *text, size_t length)
{
    size_t kept = 0;
    for (size_t i = 0; i < text->span_count; i++) {
        tn_text_span span = text->spans[i];
        size_t cut = length < span.length ? length : span.length;
        length -= cut;
        span.text += cut;
        span.length -= cut;
        if (span.length > 0)
            text->spans[kept++] = span;
    }
    return kept;
}

/* The text that the template writes between this reply and the next one. The template must not change what it wrote before. */
static tenebra_code encode_turn(tn_reasoner *reasoner, const tn_script *before, const tn_script *after,
                                tn_row **rows, size_t *count, tenebra_error *error)
{
    tn_chat_text old = { 0 }, all = { 0 };
    tenebra_code code = render(reasoner, before, &old, error);
    if (code == TENEBRA_OK)
        code = render(reasoner, after, &all, error);
    if (code == TENEBRA_OK &&
        (all.text.length <= old.text.length || memcmp(all.text.data, old.text.data, old.text.length) != 0))
        code = tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, "chat-template",
                       "'%s' changes earlier turns when a turn is added; "
                       "methods with several turns need one that does not",
                       reasoner->session->model->chat_template->name);
    if (code == TENEBRA_OK) {
        all.span_count = cut_front(&all, old.text.length);
        code = tn_reasoner_keep_prompt(reasoner, all.text.data + old.text.length, all.text.length - old.text.length, error);
    }
    if (code == TENEBRA_OK)
        code = tn_reasoner_lay_text(reasoner, all.spans, all.span_count, reasoner->conversation.shown, rows, count, error);
    tn_chat_text_free(&old);
    tn_chat_text_free(&all);
    return code;
}

/* The turn that the request adds after the method has finished. */
static tenebra_code add_answer_turn(tn_script *script, tenebra_error *error)
{
    const char *text = script->reasoner->request->answer_turn;
    tn_chat_part *part = tn_reasoner_take(script->reasoner, 1, sizeof *part);
    if (part == NULL)
        return tn_fail_session_full(error);
    *part = (tn_chat_part){ .text = text, .length = strlen(text) };
    return tn_script_add_message(script, &(tn_chat_message){ .role = "user", .parts = part, .part_count = 1 }, error);
}

/* The dialogue followed by an empty reply and the messages of the turn. */
static tenebra_code extend(tn_reasoner *reasoner, tn_script *script, tenebra_error *error)
{
    tn_script added = { .reasoner = reasoner };
    if (reasoner->answering)
        TN_TRY(add_answer_turn(&added, error));
    else if (reasoner->method->arrange != NULL)
        TN_TRY(reasoner->method->arrange(reasoner, &added, error));
    TN_TRY(tn_script_add_message(script, &(tn_chat_message){ .role = "assistant" }, error));
    for (size_t m = 0; m < added.message_count; m++)
        TN_TRY(tn_script_add_message(script, &added.messages[m], error));
    return TENEBRA_OK;
}

tenebra_code tn_reasoner_render_turn(tn_reasoner *reasoner, tn_row **rows, size_t *count, tenebra_error *error)
{
    const tn_script before = { .reasoner = reasoner, .messages = reasoner->conversation.dialogue,
                               .message_count = reasoner->conversation.dialogue_count };
    tn_script after = before;
    TN_TRY(extend(reasoner, &after, error));
    TN_TRY(encode_turn(reasoner, &before, &after, rows, count, error));
    reasoner->conversation.dialogue = after.messages;
    reasoner->conversation.dialogue_count = after.message_count;
    return TENEBRA_OK;
}

tenebra_code tn_reasoner_lay_turn(tn_reasoner *reasoner, tenebra_error *error)
{
    tn_row *rows;
    size_t count;
    TN_TRY(tn_reasoner_render_turn(reasoner, &rows, &count, error));
    TN_TRY(tn_reasoner_add_tail(reasoner, error)); /* a pass without an answer has not come to it */
    if (reasoner->answer.unrun >= 0 && !tn_span_add(reasoner, tn_row_of_token(reasoner->answer.unrun), NULL))
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "context", "the next turn does not fit after %zu rows of %zu%stake fewer turns",
                       reasoner->session->sequence.length, reasoner->session->sequence.capacity, tn_session_advice(reasoner->session));
    reasoner->answer.unrun = -1;
    reasoner->conversation.turn_rows = count;
    return tn_reasoner_add_rows(reasoner, rows, count, error);
}
