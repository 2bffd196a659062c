#include "text/visible.h"

#include "text/utf8.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

bool tn_visible_is_active(int32_t c)
{
    bool control = (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7F && c < 0xA0);
    return control || (c >= 0x200E && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

const char *tn_visible_escape(int32_t c, const char *bytes, size_t size, char escape[TN_VISIBLE_ESCAPE])
{
    escape[0] = '\0';
    if (c >= 0)
        snprintf(escape, TN_VISIBLE_ESCAPE, "\\u%04x", (unsigned)c);
    for (size_t i = 0; c < 0 && i < size && i < 4; i++)
        snprintf(escape + 4 * i, TN_VISIBLE_ESCAPE - 4 * i, "\\x%02x", (unsigned)(unsigned char)bytes[i]);
    return escape;
}

void tn_visible_line(const char *text, char *line, size_t room)
{
    size_t used = 0, length = strlen(text);
    for (size_t i = 0, size; i < length; i += size) {
        int32_t c;
        char escape[TN_VISIBLE_ESCAPE];
        const char *shown = text + i;
        size = tn_utf8_read(shown, length - i, &c);
        size_t bytes = size;
        if (c < 0x20 || tn_visible_is_active(c)) {
            shown = tn_visible_escape(c, shown, size, escape);
            bytes = strlen(escape);
        }
        if (bytes >= room - used)
            break;
        memcpy(line + used, shown, bytes);
        used += bytes;
    }
    line[used] = '\0';
}

size_t tn_visible_width(const char *text)
{
    size_t width = 0, length = strlen(text);
    for (size_t i = 0, size; i < length; i += size) {
        int32_t c;
        size = tn_utf8_read(text + i, length - i, &c);
        width += c < 0 ? size : (size_t)utf8proc_charwidth(c);
    }
    return width;
}
