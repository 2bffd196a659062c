#include "text/tokenizer_parts.h"

#include <string.h>

tenebra_code tn_tokenizer_decode(const tn_tokenizer *tokenizer, const int32_t *ids, size_t count,
                                 bool skip_special, tn_text *out, tenebra_error *error)
{
    tn_text_stream stream = { .tokenizer = tokenizer, .skip_special = skip_special };
    size_t before = out->length;
    tenebra_code code = TENEBRA_OK;
    for (size_t i = 0; i < count && code == TENEBRA_OK; i++)
        code = tn_text_stream_push(&stream, ids[i], out, error);
    if (code == TENEBRA_OK)
        code = tn_text_stream_end(&stream, out, error);
    if (code != TENEBRA_OK)
        out->length = before;
    return code;
}

/* Bytes at the end that start a character but do not complete it. */
static size_t cut_length(const char *bytes, size_t length)
{
    for (size_t back = length < 3 ? length : 3; back > 0; back--) {
        int32_t code_point;
        size_t size = tn_utf8_read(bytes + length - back, back, &code_point);
        if (code_point == TN_UTF8_CUT && size == back)
            return back;
    }
    return 0;
}

/* Continues the held character until it is complete or invalid; returns the number of bytes used. */
static tenebra_code finish_held(tn_text_stream *stream, const char *bytes, size_t length, size_t *taken,
                                tn_text *out, tenebra_error *error)
{
    size_t i = 0;
    while (stream->held_length > 0 && i < length) {
        int32_t code_point;
        stream->held[stream->held_length++] = bytes[i];
        size_t size = tn_utf8_read(stream->held, stream->held_length, &code_point);
        if (code_point != TN_UTF8_CUT) {
            TN_TRY(tn_text_append_lossy(out, stream->held, size, error));
            i += size == stream->held_length; /* otherwise this byte made it invalid, and is read again */
            stream->held_length = 0;
        } else {
            i++;
        }
    }
    *taken = i;
    return TENEBRA_OK;
}

tenebra_code tn_text_stream_push(tn_text_stream *stream, int32_t id, tn_text *out, tenebra_error *error)
{
    size_t length, taken;
    const char *bytes = tn_tokenizer_bytes(stream->tokenizer, id, &length);
    if (bytes == NULL)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, "token ids",
                       "id %d is not in the vocabulary, which has 0 to %zu", (int)id,
                       tn_tokenizer_size(stream->tokenizer) - 1);
    if (stream->skip_special && tn_tokenizer_is_special(stream->tokenizer, id))
        return TENEBRA_OK;
    TN_TRY(finish_held(stream, bytes, length, &taken, out, error));
    bytes += taken;
    length -= taken;
    if (length == 0)
        return TENEBRA_OK;
    size_t cut = cut_length(bytes, length);
    TN_TRY(tn_text_append_lossy(out, bytes, length - cut, error));
    memcpy(stream->held, bytes + length - cut, cut);
    stream->held_length = cut;
    return TENEBRA_OK;
}

tenebra_code tn_text_stream_end(tn_text_stream *stream, tn_text *out, tenebra_error *error)
{
    size_t held = stream->held_length;
    stream->held_length = 0;
    return tn_text_append_lossy(out, stream->held, held, error);
}
