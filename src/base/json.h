/* Reading JSON from hostile files: jansson with limits, and typed getters whose
 * errors name the file and the key. Writing goes through jansson directly. */
#ifndef TN_BASE_JSON_H
#define TN_BASE_JSON_H

#include "base/status.h"

#include <jansson.h>

/* Parses one JSON value; duplicate keys, trailing text and invalid UTF-8 are errors.
 * `name` stands in error records. The caller owns the result (json_decref).
 * Errors: FORMAT with line and column. Threads: any. */
json_t *tn_json_parse(const void *text, size_t length, const char *name, tenebra_error *error);

/* The same for a file of at most `limit` bytes. Errors: IO, LIMIT, FORMAT. */
json_t *tn_json_read(const char *path, size_t limit, tenebra_error *error);

/* Writes a value to a file in place of an older one (tn_output_put); `flags`: of json_dumps. NULL is a lack of memory.
 * Errors: IO, MEMORY. */
tenebra_code tn_json_write(const char *path, const json_t *value, size_t flags, tenebra_error *error);

/* The same for the file `name` of a directory. */
tenebra_code tn_json_write_in(const char *directory, const char *name, const json_t *value, size_t flags, tenebra_error *error);

/* Member `key` of `object`, checked. A missing key leaves *out alone and succeeds,
 * so that the caller's default stays; null counts as missing. A value of another type
 * or out of range is FORMAT and names `name` and the key. Integers also accept a real
 * that is whole. */
tenebra_code tn_json_size(const json_t *object, const char *key, size_t minimum, size_t maximum,
                          size_t *out, const char *name, tenebra_error *error);
tenebra_code tn_json_number(const json_t *object, const char *key, double minimum, double maximum,
                            double *out, const char *name, tenebra_error *error);
tenebra_code tn_json_bool(const json_t *object, const char *key, bool *out, const char *name,
                          tenebra_error *error);

/* A string, borrowed from `object`. */
tenebra_code tn_json_string(const json_t *object, const char *key, const char **out,
                            const char *name, tenebra_error *error);

/* Whether `name` is one of `known` (ends with NULL). */
bool tn_json_is_known(const char *name, const char *const *known);

/* Appends a name to the list in `text` [size], with a comma before it where there is one already: cut after 40 bytes, with
 * '?' for characters that control a terminal, and left out where there is no room. */
void tn_json_list_name(char *text, size_t size, const char *name);

/* Writes the names of members of `object` that stand in none of `known` (ends with NULL) into `text` [size > 0], in
 * the manner of tn_json_list_name. Returns how many there are. */
size_t tn_json_unknown(const json_t *object, const char *const *known, char *text, size_t size);

#endif
