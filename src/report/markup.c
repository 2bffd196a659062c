#include "report/markup.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tn_markup_free(tn_markup *out)
{
    tn_text_free(&out->text);
    out->full = false;
}

void tn_markup_bytes(tn_markup *out, const void *bytes, size_t length)
{
    if (!out->full && length > 0)
        out->full = tn_text_append(&out->text, bytes, length, NULL) != TENEBRA_OK;
}

void tn_markup_put(tn_markup *out, const char *markup)
{
    tn_markup_bytes(out, markup, strlen(markup));
}

void tn_markup_format(tn_markup *out, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    tn_markup_put(out, line);
}

/* The replacement for a byte of valid text; NULL: unchanged. */
static const char *reference_of(unsigned char byte)
{
    switch (byte) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return (byte < ' ' && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7F ? TN_REPLACEMENT : NULL;
    }
}

void tn_markup_text_bytes(tn_markup *out, const char *text, size_t length)
{
    for (size_t at = 0, used; at < length; at += used) {
        int32_t code_point;
        used = tn_utf8_read(text + at, length - at, &code_point);
        const char *reference = code_point < 0 ? TN_REPLACEMENT : used == 1 ? reference_of((unsigned char)text[at]) : NULL;
        if (reference != NULL)
            tn_markup_put(out, reference);
        else
            tn_markup_bytes(out, text + at, used);
    }
}

void tn_markup_text(tn_markup *out, const char *text)
{
    if (text != NULL)
        tn_markup_text_bytes(out, text, strlen(text));
}

/* With ENSURE_ASCII every other character is an escape already, and these three stand inside of strings only. */
static void put_script_safe(tn_markup *out, const char *json)
{
    for (const char *at = json; *at != '\0';) {
        size_t plain = strcspn(at, "<>&");
        tn_markup_bytes(out, at, plain);
        at += plain;
        if (*at != '\0')
            tn_markup_format(out, "\\u%04x", (unsigned)(unsigned char)*at++);
    }
}

void tn_markup_json(tn_markup *out, const json_t *value)
{
    char *json = value != NULL ? json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6)) : NULL;
    if (json != NULL)
        put_script_safe(out, json);
    else
        out->full = true;
    free(json);
}

void tn_markup_base64(tn_markup *out, const void *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *from = bytes;
    char group[4];
    for (size_t at = 0; at < length; at += 3) {
        size_t left = length - at;
        unsigned word = (unsigned)from[at] << 16 | (left > 1 ? (unsigned)from[at + 1] << 8 : 0) | (left > 2 ? from[at + 2] : 0);
        for (size_t i = 0; i < 4; i++)
            group[i] = i > left ? '=' : digits[word >> (18 - 6 * i) & 63];
        tn_markup_bytes(out, group, 4);
    }
}

json_t *tn_markup_string(const char *text)
{
    if (text == NULL)
        return json_null();
    tn_text clean = { 0 };
    if (tn_text_append_lossy(&clean, text, strlen(text), NULL) != TENEBRA_OK)
        return NULL;
    json_t *string = json_string(clean.data != NULL ? clean.data : "");
    tn_text_free(&clean);
    return string;
}
