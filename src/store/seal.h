/* The digest that a safetensors file of ours carries, so that damage is noticed when the file is read back.
 *
 * A string of __metadata__ called "tenebra.digest": "blake2b-256:" and 64 hexadecimal digits in lower case. It is BLAKE2b with 256
 * bits (base/digest.h) of the whole file, in which the 64 digits themselves count as zeros ("0"). Described in docs/formats.md. */
#ifndef TN_STORE_SEAL_H
#define TN_STORE_SEAL_H

#include "base/digest.h"
#include "base/status.h"

#include <jansson.h>

#define TN_STORE_SEAL_KEY "tenebra.digest"
#define TN_STORE_SEAL_FRONT "blake2b-256:"

enum { TN_STORE_SEAL_DIGITS = 64, TN_STORE_SEAL_TEXT = sizeof TN_STORE_SEAL_FRONT + TN_STORE_SEAL_DIGITS };

/* The text of a digest; NULL: the text with zeros that is used until the digest is known. */
void tn_store_seal_print(const tn_digest *digest, char text[TN_STORE_SEAL_TEXT]);

/* The digits of the text in the JSON of a header; NULL if they are not there in the form of our writer. In strings of JSON,
 * quotation marks are escaped, so nothing else can look like this entry. */
const char *tn_store_seal_find(const char *header, size_t length, const char *text);

/* Checks that the `size` bytes of a file, which begin with a header of `header_end` bytes, match the digest `text`. `name`
 * appears in errors. Errors: FORMAT (damaged, or a text of another form). */
tenebra_code tn_store_seal_check(const void *bytes, size_t size, size_t header_end, const char *text, const char *name,
                           tenebra_error *error);

/* The text of a JSON object of ours with an entry "tenebra.digest" of the same kind, which is set here; indented, keys in their order.
 * In fresh memory; NULL without memory. */
char *tn_store_seal_object(json_t *object);

/* Writes that text as the file `name` of a directory, in place of an older one. `object` NULL is a lack of memory. Errors: IO, MEMORY. */
tenebra_code tn_store_seal_write(const char *directory, const char *name, json_t *object, tenebra_error *error);

/* Whether the text of `size` bytes, read as `object`, is as it was written; *sealed: it carries a digest. Errors: FORMAT. */
tenebra_code tn_store_seal_check_object(const void *text, size_t size, const json_t *object, bool *sealed, const char *name,
                                        tenebra_error *error);

#endif
