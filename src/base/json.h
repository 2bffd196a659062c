/* Reading JSON from hostile files: jansson with limits, and typed getters whose
 * errors name the file and the key. Writing goes through jansson directly. */
#ifndef TN_BASE_JSON_H
#define TN_BASE_JSON_H

#include "base/status.h"

#include <jansson.h>

/* Parses one JSON value; duplicate keys, trailing text and invalid UTF-8 are errors, which name `name`. The caller owns
 * *value (json_decref), which is NULL on failure. Errors: FORMAT with line (if there are several) and column, MEMORY. Threads: any. */
tenebra_code tn_json_parse(const void *text, size_t length, const char *name, json_t **value, tenebra_error *error);

/* The same for a file of at most `limit` bytes. Errors: IO, LIMIT, FORMAT, MEMORY. */
tenebra_code tn_json_read(const char *path, size_t limit, json_t **value, tenebra_error *error);

/* Writes "NAME: PART" into text and returns it: how errors name an object inside a file, as the `name` of the functions below. */
enum { TN_JSON_PART = 512 };
const char *tn_json_part(char text[TN_JSON_PART], const char *name, const char *part);

/* Reads the object in the file `name` of a directory into *object. If the file does not exist, *object is NULL; this is an
 * error only if the file is `required`. Errors: IO, LIMIT, FORMAT, MEMORY. */
tenebra_code tn_json_read_object(const char *directory, const char *name, size_t limit, bool required, json_t **object,
                                 tenebra_error *error);

/* Writes a value to a file and replaces an older one (tn_output_put); `flags` are those of json_dumps. A NULL value
 * counts as a failed allocation. Errors: IO, MEMORY. */
tenebra_code tn_json_write(const char *path, const json_t *value, size_t flags, tenebra_error *error);

/* The same for the file `name` in a directory. */
tenebra_code tn_json_write_in(const char *directory, const char *name, const json_t *value, size_t flags, tenebra_error *error);

/* Member `key` of `object`, checked. If the key is missing or null, *out is not changed and the function succeeds, so
 * that the caller's default remains. A value of another type or out of range is FORMAT and names `name` and the key.
 * Integers also accept a real without a fraction. */
tenebra_code tn_json_size(const json_t *object, const char *key, size_t minimum, size_t maximum,
                          size_t *out, const char *name, tenebra_error *error);
tenebra_code tn_json_number(const json_t *object, const char *key, double minimum, double maximum,
                            double *out, const char *name, tenebra_error *error);
tenebra_code tn_json_bool(const json_t *object, const char *key, bool *out, const char *name,
                          tenebra_error *error);

/* A string, borrowed from `object`. */
tenebra_code tn_json_string(const json_t *object, const char *key, const char **out,
                            const char *name, tenebra_error *error);

/* True if `name` is one of `known` (ends with NULL). */
bool tn_json_is_known(const char *name, const char *const *known);

/* Appends a name to the comma-separated list in `text` [size]: truncated after 40 bytes, with '?' for characters that
 * control a terminal, and left out if there is no room. */
void tn_json_list_name(char *text, size_t size, const char *name);

/* Writes the names of members of `object` that are not in `known` (ends with NULL) into `text` [size > 0], like
 * tn_json_list_name. Returns their number. */
size_t tn_json_unknown(const json_t *object, const char *const *known, char *text, size_t size);

/* A value as people read it, in fresh memory: reals in their shortest form (base/number.h), anything else as compact JSON, "nothing"
 * for NULL. NULL without memory. */
char *tn_json_show(const json_t *value);

#endif
