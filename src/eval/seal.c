#include "eval/seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char front[] = ",\"digest\":\"";
enum { DIGITS = 32 };

static tn_digest digest_of(const char *line, size_t length, const tn_digest *before)
{
    tn_hash hash;
    tn_hash_start(&hash);
    if (before != NULL)
        tn_hash_add(&hash, before->words, sizeof before->words);
    tn_hash_add(&hash, line, length);
    return tn_hash_finish(&hash);
}

/* Half of the digest: 128 bits. */
static void write_seal(char seal[TN_SEAL_SIZE + 1], const tn_digest *digest)
{
    snprintf(seal, TN_SEAL_SIZE + 1, "%s%016llx%016llx\"}", front, (unsigned long long)digest->words[0],
             (unsigned long long)digest->words[1]);
}

char *tn_seal_line(const char *line, size_t length, const tn_digest *before, size_t *sealed, tn_digest *digest)
{
    char *whole = malloc(length + TN_SEAL_SIZE + 1);
    if (whole == NULL)
        return NULL;
    *digest = digest_of(line, length - 1, before); /* without its closing brace */
    memcpy(whole, line, length - 1);
    write_seal(whole + length - 1, digest);
    *sealed = length - 1 + TN_SEAL_SIZE;
    return whole;
}

tn_seal tn_seal_check(const char *line, size_t length, const tn_digest *before, tn_digest *digest)
{
    char seal[TN_SEAL_SIZE + 1];
    if (length <= TN_SEAL_SIZE)
        return TN_SEAL_NONE;
    size_t inside = length - TN_SEAL_SIZE;
    if (memcmp(line + inside, front, sizeof front - 1) != 0)
        return TN_SEAL_NONE;
    *digest = digest_of(line, inside, before);
    write_seal(seal, digest);
    return memcmp(line + inside, seal, TN_SEAL_SIZE) == 0 ? TN_SEAL_GOOD : TN_SEAL_BROKEN;
}
