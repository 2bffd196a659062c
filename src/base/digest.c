#include "base/digest.h"

#include <string.h>

enum { BLOCK = 128, ROUNDS = 12, DIGEST_BYTES = 32 };

/* RFC 7693, section 2.6: the fractional parts of the square roots of the first eight primes. */
static const uint64_t start_values[8] = {
    0x6A09E667F3BCC908u, 0xBB67AE8584CAA73Bu, 0x3C6EF372FE94F82Bu, 0xA54FF53A5F1D36F1u,
    0x510E527FADE682D1u, 0x9B05688C2B3E6C1Fu, 0x1F83D9ABFB41BD6Bu, 0x5BE0CD19137E2179u,
};

/* Section 2.7: the order in which each round uses the words of the block; rounds 10 and 11 repeat 0 and 1. */
static const unsigned char order[10][16] = {
    { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 }, { 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
    { 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 }, { 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
    { 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 }, { 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
    { 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 }, { 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
    { 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 }, { 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
};

static inline uint64_t turn_right(uint64_t value, int bits)
{
    return value >> bits | value << (64 - bits);
}

/* Section 3.1: mixes two words into one column or diagonal of the working state. */
static inline void mix(uint64_t v[16], size_t a, size_t b, size_t c, size_t d, uint64_t x, uint64_t y)
{
    v[a] += v[b] + x;
    v[d] = turn_right(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = turn_right(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = turn_right(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = turn_right(v[b] ^ v[c], 63);
}

/* Section 3.2. */
static void compress(tn_hash *hash, const unsigned char *block, bool last)
{
    uint64_t v[16], words[16];
    for (size_t i = 0; i < 16; i++) {
        words[i] = 0;
        for (size_t byte = 0; byte < 8; byte++)
            words[i] |= (uint64_t)block[8 * i + byte] << 8 * byte;
    }
    memcpy(v, hash->state, sizeof hash->state);
    memcpy(v + 8, start_values, sizeof start_values);
    v[12] ^= hash->length;
    v[14] ^= last ? UINT64_MAX : 0;
    for (size_t round = 0; round < ROUNDS; round++) {
        const unsigned char *s = order[round % 10];
        for (size_t i = 0; i < 4; i++)
            mix(v, i, 4 + i, 8 + i, 12 + i, words[s[2 * i]], words[s[2 * i + 1]]);
        for (size_t i = 0; i < 4; i++)
            mix(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, words[s[8 + 2 * i]], words[s[9 + 2 * i]]);
    }
    for (size_t i = 0; i < 8; i++)
        hash->state[i] ^= v[i] ^ v[8 + i];
}

void tn_hash_start(tn_hash *hash)
{
    memset(hash, 0, sizeof *hash);
    memcpy(hash->state, start_values, sizeof start_values);
    hash->state[0] ^= 0x01010000u ^ DIGEST_BYTES; /* no key, one leaf */
}

void tn_hash_add(tn_hash *hash, const void *bytes, size_t count)
{
    const unsigned char *from = bytes;
    while (count > 0) {
        if (hash->waiting == BLOCK) { /* more bytes follow, so this block is not the last */
            hash->length += BLOCK;
            compress(hash, hash->block, false);
            hash->waiting = 0;
        }
        size_t taken = count < BLOCK - hash->waiting ? count : BLOCK - hash->waiting;
        memcpy(hash->block + hash->waiting, from, taken);
        hash->waiting += taken;
        from += taken;
        count -= taken;
    }
}

tn_digest tn_hash_finish(tn_hash *hash)
{
    tn_digest digest;
    memset(hash->block + hash->waiting, 0, BLOCK - hash->waiting);
    hash->length += hash->waiting;
    compress(hash, hash->block, true);
    memcpy(digest.words, hash->state, sizeof digest.words);
    return digest;
}

bool tn_digest_equal(const tn_digest *a, const tn_digest *b)
{
    static const tn_digest unknown = { { 0 } };
    return memcmp(a, b, sizeof *a) == 0 && memcmp(a, &unknown, sizeof *a) != 0;
}
