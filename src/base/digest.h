/* A digest of bytes: BLAKE2b with 256 bits. Equal digests stand for equal contents, even where somebody tries to
 * make two contents that share one. Source: RFC 7693. */
#ifndef TN_BASE_DIGEST_H
#define TN_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero: of nothing known. Bytes in the order of the words, each with its lowest byte first. */
typedef struct tn_digest {
    uint64_t words[4];
} tn_digest;

/* Work in progress. */
typedef struct tn_hash {
    uint64_t state[8];
    uint64_t length;          /* bytes that went into the state   */
    unsigned char block[128]; /* bytes that wait                  */
    size_t waiting;
} tn_hash;

/* A text of bytes in any number of parts. Threads: one at a time on one hash. Errors: none. */
void tn_hash_start(tn_hash *hash);
void tn_hash_add(tn_hash *hash, const void *bytes, size_t count);
tn_digest tn_hash_finish(tn_hash *hash);

/* Whether both are known and equal. */
bool tn_digest_equal(const tn_digest *a, const tn_digest *b);

#endif
