#include "text/utf8.h"

#include "base/checked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for `extra` bytes and the final zero. */
static tenebra_code reserve(tn_text *text, size_t extra, tenebra_error *error)
{
    size_t needed, doubled;
    if (!tn_size_add(text->length, extra, &needed) || !tn_size_add(needed, 1, &needed) ||
        !tn_size_mul(text->capacity, 2, &doubled))
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "text", "is too long");
    if (needed <= text->capacity)
        return TENEBRA_OK;
    size_t capacity = tn_max(tn_max(needed, doubled), 64);
    char *data = realloc(text->data, capacity);
    if (data == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "text", "no memory for %zu bytes", capacity);
    text->data = data;
    text->capacity = capacity;
    return TENEBRA_OK;
}

tenebra_code tn_text_append(tn_text *text, const char *bytes, size_t length, tenebra_error *error)
{
    TN_TRY(reserve(text, length, error));
    if (length > 0)
        memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = '\0';
    return TENEBRA_OK;
}

tenebra_code tn_text_fill(tn_text *text, char byte, size_t count, tenebra_error *error)
{
    TN_TRY(reserve(text, count, error));
    memset(text->data + text->length, byte, count);
    text->length += count;
    text->data[text->length] = '\0';
    return TENEBRA_OK;
}

void tn_text_free(tn_text *text)
{
    free(text->data);
    memset(text, 0, sizeof *text);
}

/* Length of the sequence that `lead` starts (0: none), and the range of its second byte, which excludes overlong forms,
 * surrogates and values above U+10FFFF. */
static size_t sequence_length(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (lead < 0x80)
        return 1;
    if (lead >= 0xC2 && lead <= 0xDF)
        return 2;
    if (lead >= 0xE0 && lead <= 0xEF) {
        *low = lead == 0xE0 ? 0xA0 : 0x80;
        *high = lead == 0xED ? 0x9F : 0xBF;
        return 3;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        *low = lead == 0xF0 ? 0x90 : 0x80;
        *high = lead == 0xF4 ? 0x8F : 0xBF;
        return 4;
    }
    return 0;
}

size_t tn_utf8_read(const char *bytes, size_t length, int32_t *code_point)
{
    static const unsigned char lead_bits[5] = { 0, 0x7F, 0x1F, 0x0F, 0x07 };
    unsigned char low, high, lead = (unsigned char)bytes[0];
    size_t wanted = sequence_length(lead, &low, &high);
    *code_point = TN_UTF8_ILL_FORMED;
    if (wanted == 0)
        return 1;
    int32_t value = lead & lead_bits[wanted];
    for (size_t i = 1; i < wanted; i++) {
        if (i == length) {
            *code_point = TN_UTF8_CUT;
            return i;
        }
        unsigned char next = (unsigned char)bytes[i];
        if (next < low || next > high)
            return i;
        value = value << 6 | (next & 0x3F);
        low = 0x80;
        high = 0xBF;
    }
    *code_point = value;
    return wanted;
}

size_t tn_utf8_write(int32_t code_point, char bytes[4])
{
    uint32_t value = (uint32_t)code_point;
    if (value < 0x80) {
        bytes[0] = (char)value;
        return 1;
    }
    size_t length = value < 0x800 ? 2 : value < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (value & 0x3F));
        value >>= 6;
    }
    bytes[0] = (char)((0xF0u << (4 - length) & 0xF0u) | value);
    return length;
}

bool tn_utf8_valid(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length;) {
        int32_t code_point;
        i += tn_utf8_read(bytes + i, length - i, &code_point);
        if (code_point < 0)
            return false;
    }
    return true;
}

tenebra_code tn_text_append_lossy(tn_text *text, const char *bytes, size_t length, tenebra_error *error)
{
    if (length == 0)
        return TENEBRA_OK;
    size_t sound = 0; /* start of the valid run that ends at i */
    for (size_t i = 0; i < length;) {
        int32_t code_point;
        size_t size = tn_utf8_read(bytes + i, length - i, &code_point);
        if (code_point < 0) {
            TN_TRY(tn_text_append(text, bytes + sound, i - sound, error));
            TN_TRY(tn_text_append(text, TN_REPLACEMENT, 3, error));
            sound = i + size;
        }
        i += size;
    }
    return tn_text_append(text, bytes + sound, length - sound, error);
}

const char *tn_text_show(const char *bytes, size_t length, char shown[TN_SHOWN_SIZE])
{
    enum { ESCAPED = 16, DOTS = 4 }; /* room for one character and the end */
    size_t used = 0, i = 0;
    while (i < length && used + ESCAPED + DOTS <= TN_SHOWN_SIZE) {
        int32_t c;
        size_t size = tn_utf8_read(bytes + i, length - i, &c);
        if (c < 0x20 || (c >= 0x7F && c < 0xA0))
            for (size_t k = 0; k < size; k++)
                used += (size_t)snprintf(shown + used, 5, "\\x%02X", (unsigned)(unsigned char)bytes[i + k]);
        else
            for (size_t k = 0; k < size; k++)
                shown[used++] = bytes[i + k];
        i += size;
    }
    snprintf(shown + used, DOTS, "%s", i < length ? "..." : "");
    return shown;
}
