/* Seals of lines: each line of a result file is a JSON object that ends with a digest of the text before it. */
#ifndef TN_EVAL_SEAL_H
#define TN_EVAL_SEAL_H

#include "base/digest.h"
#include "base/status.h"

/* Bytes of ,"digest":"<32 hexadecimal digits>"} */
enum { TN_SEAL_SIZE = 45 };

/* The line of `length` bytes (a JSON object that is not empty) with its seal, zero-terminated; the caller frees it.
 * *digest is set to its digest. `before` is the digest of a record's manifest, NULL for a manifest. NULL without
 * memory. */
char *tn_seal_line(const char *line, size_t length, const tn_digest *before, size_t *sealed, tn_digest *digest);

typedef enum tn_seal { TN_SEAL_NONE, TN_SEAL_GOOD, TN_SEAL_BROKEN } tn_seal;

/* Checks the seal of a line. NONE: it does not end with one. */
tn_seal tn_seal_check(const char *line, size_t length, const tn_digest *before, tn_digest *digest);

#endif
