/* Fuzz target: tokenizer.json, text, and chat templates.
 *
 * The first byte chooses. '{': the whole input is a tokenizer.json. 'M': the rest is edits, three bytes
 * each (place, place, value), of the small vocabulary's tokenizer.json, which keeps most of it sound. Else:
 * text in spans for the small vocabulary; see encode_spans. What is accepted must keep its promises. */
#include "base/file.h"
#include "text/chat.h"
#include "text/normalize.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

/* Opened once: only the text modes need it, and they do not change it. */
static const tn_file *small_file(void)
{
    static tn_file file;
    if (file.data == NULL)
        require(tn_file_read(&file, TENEBRA_TEST_DATA "/tokenizer-small/tokenizer.json", SIZE_MAX, NULL) == TENEBRA_OK);
    return &file;
}

static const tn_tokenizer *small_tokenizer(void)
{
    static tn_tokenizer *tokenizer;
    if (tokenizer == NULL)
        tn_tokenizer_read(small_file()->data, small_file()->size, "small", &tokenizer, NULL);
    require(tokenizer != NULL);
    return tokenizer;
}

/* ---------------------------------------------------------------- text -- */

/* Ids in range; the stream gives the same text as the whole, and valid UTF-8 at each step. */
static void check_decoding(const tn_tokenizer *tokenizer, const tn_ids *ids, bool skip_special)
{
    tn_text whole = { 0 }, streamed = { 0 };
    tn_text_stream stream = { .tokenizer = tokenizer, .skip_special = skip_special };
    require(tn_tokenizer_decode(tokenizer, ids->ids, ids->count, skip_special, &whole, NULL) == TENEBRA_OK);
    for (size_t i = 0; i < ids->count; i++) {
        require(ids->ids[i] >= 0 && (size_t)ids->ids[i] < tn_tokenizer_size(tokenizer));
        require(tn_text_stream_push(&stream, ids->ids[i], &streamed, NULL) == TENEBRA_OK);
    }
    require(tn_text_stream_end(&stream, &streamed, NULL) == TENEBRA_OK);
    require(tn_utf8_valid(whole.data, whole.length) && whole.length == streamed.length);
    require(whole.length == 0 || memcmp(whole.data, streamed.data, whole.length) == 0);
    tn_text_free(&whole);
    tn_text_free(&streamed);
}

/* Without control spans: no added token, and decoding gives form C of the repaired text. */
static void check_plain(const tn_tokenizer *tokenizer, const char *text, size_t length, const tn_ids *ids)
{
    tn_text zeros = { 0 }, decoded = { 0 };
    tn_marked sound = { 0 }, normal = { 0 };
    for (size_t i = 0; i < ids->count; i++)
        require(!tn_tokenizer_is_added(tokenizer, ids->ids[i]));
    require(tn_text_fill(&zeros, 0, length, NULL) == TENEBRA_OK);
    require(tn_marked_append_lossy(&sound, text, zeros.data, length, NULL) == TENEBRA_OK);
    require(tn_normalize_nfc(&normal, sound.text.data, sound.marks.data, sound.text.length, NULL) == TENEBRA_OK);
    require(normal.text.length == normal.marks.length);
    require(tn_tokenizer_decode(tokenizer, ids->ids, ids->count, false, &decoded, NULL) == TENEBRA_OK);
    require(decoded.length == normal.text.length);
    require(decoded.length == 0 || memcmp(decoded.data, normal.text.data, decoded.length) == 0);
    tn_text_free(&zeros);
    tn_text_free(&decoded);
    tn_marked_free(&sound);
    tn_marked_free(&normal);
}

/* Three spans: two bytes cut the text, the low bits of `flags` say which are control. */
static void encode_spans(const tn_tokenizer *tokenizer, uint8_t flags, const char *text, size_t length)
{
    size_t first = 0, second = 0;
    if (length >= 2) {
        first = (uint8_t)text[0] % (length - 1);
        second = first + (uint8_t)text[1] % (length - 1 - first);
        text += 2;
        length -= 2;
    }
    tn_text_span spans[] = { { text, first, flags & 1 },
                             { text + first, second - first, flags & 2 },
                             { text + second, length - second, flags & 4 } };
    tn_ids ids = { 0 };
    require(tn_tokenizer_encode(tokenizer, spans, 3, &ids, NULL) == TENEBRA_OK);
    check_decoding(tokenizer, &ids, flags & 8);
    if ((flags & 7) == 0)
        check_plain(tokenizer, text, length, &ids);
    tn_ids_free(&ids);
}

/* ---------------------------------------------------------------- files -- */

static void read_tokenizer(const void *json, size_t size)
{
    tenebra_error error = { 0 };
    tn_tokenizer *tokenizer;
    tenebra_code code = tn_tokenizer_read(json, size, "fuzz", &tokenizer, &error);
    require(code == error.code && (code == TENEBRA_OK) == (tokenizer != NULL) && (code == TENEBRA_OK) == (error.sentence[0] == '\0'));
    if (tokenizer == NULL)
        return;
    static const char text[] = " the <|im_end|> answer's 12, <x>--<7>\t  ONE \xC3\xA9 e\xCC\x81 \xFF\r\n x";
    check_decoding(tokenizer, tn_tokenizer_front(tokenizer), false);
    for (int control = 0; control < 2; control++) {
        tn_ids ids = { 0 };
        tn_text_span span = { text, sizeof text - 1, control ? TN_CONTROL_TOKENS : TN_CONTROL_NONE };
        code = tn_tokenizer_encode(tokenizer, &span, 1, &ids, &error);
        require(code == TENEBRA_OK || code == TENEBRA_ERROR_LIMIT || code == TENEBRA_ERROR_UNSUPPORTED);
        if (code == TENEBRA_OK)
            check_decoding(tokenizer, &ids, false);
        tn_ids_free(&ids);
    }
    tn_tokenizer_close(tokenizer);
}

static void read_edited(const uint8_t *edits, size_t size)
{
    size_t length = small_file()->size;
    unsigned char *json = malloc(length);
    require(json != NULL);
    memcpy(json, small_file()->data, length);
    for (size_t i = 0; i + 3 <= size; i += 3)
        json[((size_t)edits[i] << 8 | edits[i + 1]) % length] = edits[i + 2];
    read_tokenizer(json, length);
    free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return 0;
    tn_chat_template_hash((const char *)bytes, size);
    if (bytes[0] == '{')
        read_tokenizer(bytes, size);
    else if (bytes[0] == 'M')
        read_edited(bytes + 1, size - 1);
    else
        encode_spans(small_tokenizer(), bytes[0], (const char *)bytes + 1, size - 1);
    return 0;
}
