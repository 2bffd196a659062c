#include "base/notes.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* At most size - 1 bytes that are safe to show; a cut name ends with "..". */
static void copy_shown(char *to, size_t size, const char *from)
{
    size_t length = strlen(from), shown = length < size ? length : size - 3;
    for (size_t i = 0; i < shown; i++)
        to[i] = (unsigned char)from[i] < 0x20 || from[i] == 0x7f ? '?' : from[i];
    to[shown] = '\0';
    if (shown < length) {
        while (shown > 0 && ((unsigned char)to[shown - 1] & 0xC0) == 0x80) /* do not cut inside a UTF-8 character */
            shown--;
        memcpy(to + shown, "..", 3);
    }
}

void tn_notes_add(tn_notes *notes, const char *file, const char *key)
{
    if (notes == NULL)
        return;
    tn_note entry;
    copy_shown(entry.file, sizeof entry.file, file);
    copy_shown(entry.key, sizeof entry.key, key);
    size_t kept = notes->count < TN_NOTES_MAX ? notes->count : TN_NOTES_MAX;
    for (size_t i = 0; i < kept; i++)
        if (strcmp(notes->entries[i].file, entry.file) == 0 && strcmp(notes->entries[i].key, entry.key) == 0)
            return;
    if (kept < TN_NOTES_MAX)
        notes->entries[kept] = entry;
    notes->count++;
}

static bool says_nothing(const json_t *value)
{
    return json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

static bool has_value(const json_t *value, const char *text)
{
    if (json_is_boolean(value))
        return strcmp(text, json_is_true(value) ? "true" : "false") == 0;
    return json_is_number(value) && json_number_value(value) == strtod(text, NULL);
}

bool tn_notes_knows(const char *const *known, const char *key, const json_t *value)
{
    size_t length = strlen(key);
    for (; *known != NULL; known++)
        if (strcspn(*known, "=") == length && strncmp(*known, key, length) == 0 &&
            ((*known)[length] == '\0' || has_value(value, *known + length + 1)))
            return true;
    return false;
}

void tn_notes_unknown(tn_notes *notes, const json_t *object, const char *const *known, const char *file,
                      const char *prefix)
{
    const char *key;
    json_t *value;
    /* Only read; the macro has no const variant. */
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        char path[sizeof notes->entries[0].key];
        if (says_nothing(value) || tn_notes_knows(known, key, value))
            continue;
        snprintf(path, sizeof path, "%s%s%s", prefix ? prefix : "", prefix && prefix[0] ? "." : "", key);
        tn_notes_add(notes, file, path);
    }
}

void tn_notes_append(tn_notes *notes, const tn_notes *from)
{
    size_t kept = from->count < TN_NOTES_MAX ? from->count : TN_NOTES_MAX;
    for (size_t i = 0; i < kept; i++)
        tn_notes_add(notes, from->entries[i].file, from->entries[i].key);
    if (notes != NULL)
        notes->count += from->count - kept;
}

const char *tn_notes_print(const tn_notes *notes, char text[TN_NOTES_TEXT])
{
    size_t kept = notes->count < TN_NOTES_MAX ? notes->count : TN_NOTES_MAX, used = 0, shown = 0;
    text[0] = '\0';
    for (; shown < kept; shown++) {
        const tn_note *entry = &notes->entries[shown];
        bool same = shown > 0 && strcmp(entry->file, notes->entries[shown - 1].file) == 0;
        char piece[sizeof entry->file + sizeof entry->key + 8];
        int length = snprintf(piece, sizeof piece, "%s%s%s%s", shown == 0 ? "" : same ? ", " : "; ",
                              same ? "" : entry->file, same ? "" : ": ", entry->key);
        if (used + (size_t)length + 32 > TN_NOTES_TEXT) /* room for "and N more" */
            break;
        memcpy(text + used, piece, (size_t)length + 1);
        used += (size_t)length;
    }
    if (shown < notes->count)
        snprintf(text + used, TN_NOTES_TEXT - used, " and %zu more", notes->count - shown);
    return text;
}
