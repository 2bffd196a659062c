#include "store/seal.h"

#include "base/mark.h"
#include "base/output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tn_store_seal_print(const tn_digest *digest, char text[TN_STORE_SEAL_TEXT])
{
    size_t at = (size_t)snprintf(text, TN_STORE_SEAL_TEXT, TN_STORE_SEAL_FRONT);
    for (size_t i = 0; i < TN_STORE_SEAL_DIGITS / 2; i++)
        at += (size_t)snprintf(text + at, TN_STORE_SEAL_TEXT - at, "%02x",
                               digest != NULL ? (unsigned)(digest->words[i / 8] >> 8 * (i % 8) & 0xff) : 0);
}

static bool is_seal(const char *text)
{
    size_t front = strlen(TN_STORE_SEAL_FRONT);
    return strlen(text) == front + TN_STORE_SEAL_DIGITS && strncmp(text, TN_STORE_SEAL_FRONT, front) == 0 &&
           strspn(text + front, "0123456789abcdef") == TN_STORE_SEAL_DIGITS;
}

static const char *find_entry(const char *header, size_t length, const char *between, const char *text)
{
    char entry[sizeof TN_STORE_SEAL_KEY + TN_STORE_SEAL_TEXT + 8];
    size_t wanted = (size_t)snprintf(entry, sizeof entry, "\"" TN_STORE_SEAL_KEY "\"%s\"%s\"", between, text);
    for (const char *at = header, *end = header + length; (size_t)(end - at) >= wanted; at++) {
        at = memchr(at, entry[0], (size_t)(end - at) - wanted + 1);
        if (at == NULL)
            return NULL;
        if (memcmp(at, entry, wanted) == 0)
            return at + wanted - 1 - TN_STORE_SEAL_DIGITS;
    }
    return NULL;
}

const char *tn_store_seal_find(const char *header, size_t length, const char *text)
{
    const char *compact = find_entry(header, length, ":", text);
    return compact != NULL ? compact : find_entry(header, length, ": ", text);
}

/* Of `size` bytes in which the digits at `digits` count as zeros. */
static tn_digest digest_around(const char *start, size_t size, const char *digits)
{
    tn_hash hash;
    char zeros[TN_STORE_SEAL_TEXT];
    tn_hash_start(&hash);
    tn_store_seal_print(NULL, zeros);
    tn_hash_add(&hash, start, (size_t)(digits - start));
    tn_hash_add(&hash, zeros + strlen(TN_STORE_SEAL_FRONT), TN_STORE_SEAL_DIGITS);
    tn_hash_add(&hash, digits + TN_STORE_SEAL_DIGITS, size - (size_t)(digits - start) - TN_STORE_SEAL_DIGITS);
    return tn_hash_finish(&hash);
}

tenebra_code tn_store_seal_check(const void *bytes, size_t size, size_t header_end, const char *text, const char *name,
                           tenebra_error *error)
{
    const char *start = bytes, *digits = is_seal(text) ? tn_store_seal_find(start, header_end, text) : NULL;
    char found[TN_STORE_SEAL_TEXT];
    if (digits == NULL)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "has a \"" TN_STORE_SEAL_KEY "\" that is not a digest as this program writes it");
    tn_digest digest = digest_around(start, size, digits);
    tn_store_seal_print(&digest, found);
    if (strcmp(found, text) == 0)
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "is damaged: its bytes do not have the digest that was written with them "
                   "(\"" TN_STORE_SEAL_KEY "\"). Use an undamaged copy; if another program changed the file on "
                   "purpose, it must drop that entry");
}

char *tn_store_seal_object(json_t *object)
{
    char seal[TN_STORE_SEAL_TEXT];
    tn_store_seal_print(NULL, seal);
    bool fits = json_object_set_new(object, TN_STORE_SEAL_KEY, json_string(seal)) == 0;
    char *text = fits ? json_dumps(object, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(15)) : NULL;
    const char *digits = text != NULL ? tn_store_seal_find(text, strlen(text), seal) : NULL;
    if (digits == NULL)
        return free(text), NULL;
    tn_digest digest = digest_around(text, strlen(text), digits);
    tn_store_seal_print(&digest, seal);
    memcpy(text + (digits - text), seal + strlen(TN_STORE_SEAL_FRONT), TN_STORE_SEAL_DIGITS);
    return text;
}

tenebra_code tn_store_seal_write(const char *directory, const char *name, json_t *object, tenebra_error *error)
{
    char *text = object != NULL ? tn_store_seal_object(object) : NULL;
    if (text == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, directory, "no memory for %s", name);
    tenebra_code code = tn_output_put_in(directory, name, text, strlen(text), error);
    free(text);
    return code;
}

tenebra_code tn_store_seal_check_object(const void *text, size_t size, const json_t *object, bool *sealed, const char *name,
                                        tenebra_error *error)
{
    const json_t *seal = json_object_get(object, TN_STORE_SEAL_KEY);
    *sealed = seal != NULL;
    if (seal == NULL)
        return TENEBRA_OK;
    size_t mark = tn_mark_length(text, size); /* an editor's, not ours */
    const char *digest = json_is_string(seal) ? json_string_value(seal) : "";
    return tn_store_seal_check((const char *)text + mark, size - mark, size - mark, digest, name, error);
}
