/* Makes external text safe for a terminal. Answers, labels, names of files and of tensors, and sentences that repeat
 * them may contain bytes that control a terminal: escape sequences, carriage returns, overrides of the writing
 * direction. */
#include "app/app.h"

#include "text/utf8.h"
#include "text/visible.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void tn_app_put(FILE *stream, const char *text, size_t length)
{
    size_t plain = 0; /* start of the run that can be written unchanged */
    for (size_t i = 0, size; i < length; i += size) {
        int32_t c;
        char escape[TN_VISIBLE_ESCAPE];
        size = tn_utf8_read(text + i, length - i, &c);
        if (c >= 0 && !tn_visible_is_active(c))
            continue;
        fwrite(text + plain, 1, i - plain, stream);
        fputs(tn_visible_escape(c, text + i, size, escape), stream);
        plain = i + size;
    }
    fwrite(text + plain, 1, length - plain, stream);
}

/* Makes the formatted text in `room`, or in *fresh if it is longer, which the caller frees. False without memory: `room` then holds
 * its beginning. */
TN_PRINTF(4, 0)
static bool format_text(char *room, size_t size, char **fresh, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    room[0] = '\0';
    int length = vsnprintf(room, size, format, arguments);
    *fresh = length >= 0 && (size_t)length >= size ? malloc((size_t)length + 1) : NULL;
    bool whole = length >= 0 && ((size_t)length < size || *fresh != NULL);
    if (*fresh != NULL)
        vsnprintf(*fresh, (size_t)length + 1, format, again);
    va_end(again);
    return whole;
}

void tn_app_tell(const char *format, ...)
{
    char room[1024], *fresh;
    va_list arguments;
    va_start(arguments, format);
    format_text(room, sizeof room, &fresh, format, arguments);
    va_end(arguments);
    const char *text = fresh != NULL ? fresh : room;
    tn_app_put(stderr, text, strlen(text));
    free(fresh);
}

/* Output that is cut off would be taken for the whole. */
void tn_app_print(const char *format, ...)
{
    char room[1024], *fresh;
    va_list arguments;
    va_start(arguments, format);
    if (!format_text(room, sizeof room, &fresh, format, arguments))
        tn_app_end_without_memory();
    va_end(arguments);
    tn_app_print_text(fresh != NULL ? fresh : room);
    free(fresh);
}

void tn_app_print_text(const char *text)
{
    if (isatty(STDOUT_FILENO))
        tn_app_put(stdout, text, strlen(text));
    else
        fputs(text, stdout);
}

void tn_app_print_json(const json_t *json, size_t flags)
{
    char *text = json_dumps(json, flags);
    if (text != NULL)
        tn_app_print_text(text);
    else
        tn_app_tell("tenebra: no memory for the output\n");
    free(text);
}
