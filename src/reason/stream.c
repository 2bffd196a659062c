/* Sends the answer's text while it is generated: only complete characters, and nothing that may still become a stop text. */
#include "reason/parts.h"

#include "base/checked.h"

#include <string.h>

/* Sends everything up to `end` to the caller. */
static tenebra_code show(tn_reasoner *reasoner, size_t end, tenebra_error *error)
{
    const tenebra_request *request = reasoner->request;
    if (end <= reasoner->answer.text_shown)
        return TENEBRA_OK;
    char *text = reasoner->answer.text, kept = text[end];
    text[end] = '\0';
    tenebra_event_kind kind = reasoner->answer.draft ? TENEBRA_EVENT_DRAFT : TENEBRA_EVENT_TEXT;
    tenebra_event event = { .kind = kind, .trace = &reasoner->trace, .text = text + reasoner->answer.text_shown };
    bool go_on = request->on_event == NULL || request->on_event(request->user, &event);
    text[end] = kept;
    reasoner->answer.text_shown = end;
    return go_on ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_CANCELLED, "ask", "was cancelled");
}

/* The first position from `from` on where a stop text begins; text_length if there is none. */
static size_t find_stop(const tn_reasoner *reasoner, size_t from)
{
    const tenebra_request *request = reasoner->request;
    size_t best = reasoner->answer.text_length;
    for (size_t i = 0; i < request->stop_count; i++) {
        const char *found = strstr(reasoner->answer.text + from, request->stops[i]);
        if (found != NULL)
            best = tn_min(best, (size_t)(found - reasoner->answer.text));
    }
    return best;
}

/* The length of the end of the text that is the beginning of a stop text. */
static size_t unfinished_stop(const tn_reasoner *reasoner)
{
    const tenebra_request *request = reasoner->request;
    size_t longest = 0;
    for (size_t i = 0; i < request->stop_count; i++) {
        size_t length = tn_min(strlen(request->stops[i]), reasoner->answer.text_length);
        for (; length > longest; length--)
            if (memcmp(reasoner->answer.text + reasoner->answer.text_length - length, request->stops[i], length) == 0)
                longest = length;
    }
    return longest;
}

/* A model may generate the byte 0, which would end a zero-terminated text, so it becomes U+FFFD, as in CommonMark, section 2.3. */
static tenebra_code append_piece(tn_reasoner *reasoner, tenebra_error *error)
{
    static const size_t longest = sizeof TN_REPLACEMENT - 1;
    size_t length = reasoner->answer.piece.length;
    if (length * longest >= reasoner->answer.text_capacity - reasoner->answer.text_length)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "answer", "is longer than %zu bytes", reasoner->answer.text_capacity);
    for (size_t i = 0; i < length; i++) {
        char byte = reasoner->answer.piece.data[i];
        size_t bytes = byte == '\0' ? longest : 1;
        memcpy(reasoner->answer.text + reasoner->answer.text_length, byte == '\0' ? TN_REPLACEMENT : &byte, bytes);
        reasoner->answer.text_length += bytes;
    }
    reasoner->answer.text[reasoner->answer.text_length] = '\0';
    return TENEBRA_OK;
}

tenebra_code tn_stream_token(tn_reasoner *reasoner, int32_t token, tenebra_error *error)
{
    if (reasoner->answer.stream.tokenizer == NULL)
        return TENEBRA_OK;
    reasoner->answer.piece.length = 0;
    if ((size_t)token < tn_tokenizer_size(reasoner->answer.stream.tokenizer)) /* unused rows of the head have no text */
        TN_TRY(tn_text_stream_push(&reasoner->answer.stream, token, &reasoner->answer.piece, error));
    size_t before = reasoner->answer.text_shown;
    TN_TRY(append_piece(reasoner, error));
    size_t stop = find_stop(reasoner, before);
    if (stop < reasoner->answer.text_length) {
        reasoner->answer.text_length = stop;
        reasoner->answer.text[stop] = '\0';
        reasoner->answer.ended = true;
        reasoner->trace.finish = TENEBRA_FINISH_STOP_TEXT;
        return show(reasoner, stop, error);
    }
    return show(reasoner, reasoner->answer.text_length - unfinished_stop(reasoner), error);
}

tenebra_code tn_stream_end(tn_reasoner *reasoner, tenebra_error *error)
{
    if (reasoner->answer.stream.tokenizer == NULL)
        return TENEBRA_OK;
    reasoner->answer.piece.length = 0;
    TN_TRY(tn_text_stream_end(&reasoner->answer.stream, &reasoner->answer.piece, error));
    if (reasoner->trace.finish != TENEBRA_FINISH_STOP_TEXT)
        TN_TRY(append_piece(reasoner, error));
    return show(reasoner, reasoner->answer.text_length, error);
}

tenebra_code tn_stream_release(tn_reasoner *reasoner, tenebra_error *error)
{
    if (!reasoner->answer.draft || reasoner->answer.stream.tokenizer == NULL)
        return TENEBRA_OK;
    reasoner->answer.draft = false;
    reasoner->answer.text_shown = 0;
    return show(reasoner, reasoner->answer.text_length, error);
}
