/* A digest of bytes: BLAKE2b with 256 bits. Equal digests mean equal contents, even against deliberate attempts to make two
 * contents with the same digest. Source: RFC 7693. */
#ifndef TN_BASE_DIGEST_H
#define TN_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero if the contents are not known. Bytes are in the order of the words, each word with its lowest byte first. */
typedef struct tn_digest {
    uint64_t words[4];
} tn_digest;

/* A digest that is not finished. */
typedef struct tn_hash {
    uint64_t state[8];
    uint64_t length;          /* bytes already hashed             */
    unsigned char block[128]; /* bytes not yet hashed             */
    size_t waiting;
} tn_hash;

/* Hashes bytes that arrive in any number of parts. Threads: one at a time for one hash. Errors: none. */
void tn_hash_start(tn_hash *hash);
void tn_hash_add(tn_hash *hash, const void *bytes, size_t count);
tn_digest tn_hash_finish(tn_hash *hash);

/* Whether both are known and equal. */
bool tn_digest_equal(const tn_digest *a, const tn_digest *b);

#endif
