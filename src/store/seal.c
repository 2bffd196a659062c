#include "store/seal.h"

#include <stdio.h>
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

const char *tn_store_seal_find(const char *header, size_t length, const char *text)
{
    char entry[sizeof TN_STORE_SEAL_KEY + TN_STORE_SEAL_TEXT + 8];
    size_t wanted = (size_t)snprintf(entry, sizeof entry, "\"" TN_STORE_SEAL_KEY "\":\"%s\"", text);
    for (const char *at = header, *end = header + length; (size_t)(end - at) >= wanted; at++) {
        at = memchr(at, entry[0], (size_t)(end - at) - wanted + 1);
        if (at == NULL)
            return NULL;
        if (memcmp(at, entry, wanted) == 0)
            return at + wanted - 1 - TN_STORE_SEAL_DIGITS;
    }
    return NULL;
}

tenebra_code tn_store_seal_check(const void *bytes, size_t size, size_t header_end, const char *text, const char *name,
                           tenebra_error *error)
{
    const char *start = bytes, *digits = is_seal(text) ? tn_store_seal_find(start, header_end, text) : NULL;
    char zeros[TN_STORE_SEAL_TEXT], found[TN_STORE_SEAL_TEXT];
    if (digits == NULL)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "has a \"" TN_STORE_SEAL_KEY "\" that is no digest of this program's");
    tn_hash hash;
    tn_hash_start(&hash);
    tn_store_seal_print(NULL, zeros);
    tn_hash_add(&hash, start, (size_t)(digits - start));
    tn_hash_add(&hash, zeros + strlen(TN_STORE_SEAL_FRONT), TN_STORE_SEAL_DIGITS);
    tn_hash_add(&hash, digits + TN_STORE_SEAL_DIGITS, size - (size_t)(digits - start) - TN_STORE_SEAL_DIGITS);
    tn_digest digest = tn_hash_finish(&hash);
    tn_store_seal_print(&digest, found);
    if (strcmp(found, text) == 0)
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "is damaged: its bytes do not have the digest that was written with them "
                   "(metadata \"" TN_STORE_SEAL_KEY "\"). Take a copy that is whole; if another program changed the file on "
                   "purpose, it must drop that entry");
}
