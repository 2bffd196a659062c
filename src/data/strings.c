#include "data/strings.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

/* The first bytes of each block: how much of it is used. */
struct tn_chunk {
    tn_chunk *older;
    size_t used, capacity;
    max_align_t bytes[];
};

enum { CHUNK_BYTES = 1 << 18 };

static tn_chunk *add_chunk(tn_strings *strings, size_t capacity)
{
    size_t size;
    tn_chunk *chunk = tn_size_add(sizeof *chunk, capacity, &size) ? malloc(size) : NULL;
    if (chunk == NULL)
        return NULL;
    *chunk = (tn_chunk){ .older = strings->chunks, .capacity = capacity };
    strings->chunks = chunk;
    return chunk;
}

void *tn_strings_take(tn_strings *strings, size_t size)
{
    size_t rounded;
    if (!tn_size_add(size, sizeof(void *) - 1, &rounded))
        return NULL;
    rounded -= rounded % sizeof(void *);
    tn_chunk *chunk = strings->chunks;
    if (chunk == NULL || chunk->capacity - chunk->used < rounded)
        chunk = add_chunk(strings, tn_max(rounded, CHUNK_BYTES));
    if (chunk == NULL)
        return NULL;
    void *place = (unsigned char *)chunk->bytes + chunk->used;
    chunk->used += rounded;
    return place;
}

char *tn_strings_copy(tn_strings *strings, const char *text, size_t length)
{
    size_t size;
    char *copy = tn_size_add(length, 1, &size) ? tn_strings_take(strings, size) : NULL;
    if (copy == NULL)
        return NULL;
    if (length > 0)
        memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

void tn_strings_free(tn_strings *strings)
{
    for (tn_chunk *chunk = strings->chunks, *older; chunk != NULL; chunk = older) {
        older = chunk->older;
        free(chunk);
    }
    strings->chunks = NULL;
}

/* White space of str.isspace() beyond ASCII, as UTF-8. Source: Python's Objects/unicodetype_db.h, that is
 * U+0085, U+00A0, U+1680, U+2000..200A, U+2028, U+2029, U+202F, U+205F, U+3000. */
static const char *const wide_spaces[] = {
    "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81", "\xE2\x80\x82",
    "\xE2\x80\x83", "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86", "\xE2\x80\x87", "\xE2\x80\x88",
    "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8", "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F",
    "\xE3\x80\x80",
};

static bool is_narrow_space(unsigned char byte)
{
    return byte == ' ' || (byte >= 0x09 && byte <= 0x0D) || (byte >= 0x1C && byte <= 0x1F);
}

/* Bytes of the white space character at the start (or the end) of `text`; 0 if there is none. */
static size_t space_at(const char *text, size_t length, bool at_end)
{
    if (length == 0)
        return 0;
    if (is_narrow_space((unsigned char)text[at_end ? length - 1 : 0]))
        return 1;
    for (size_t i = 0; i < sizeof wide_spaces / sizeof *wide_spaces; i++) {
        size_t size = strlen(wide_spaces[i]);
        if (size <= length && memcmp(at_end ? text + length - size : text, wide_spaces[i], size) == 0)
            return size;
    }
    return 0;
}

void tn_strip(const char **text, size_t *length, bool left)
{
    for (size_t size; left && (size = space_at(*text, *length, false)) > 0;) {
        *text += size;
        *length -= size;
    }
    for (size_t size; (size = space_at(*text, *length, true)) > 0;)
        *length -= size;
}

bool tn_is_listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return list == NULL;
}
