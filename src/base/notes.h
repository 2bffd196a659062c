/* Keys that a reader found but does not use, collected for one line to the user. */
#ifndef TN_BASE_NOTES_H
#define TN_BASE_NOTES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { TN_NOTES_MAX = 32, TN_NOTES_TEXT = 2048 };

typedef struct tn_note {
    char file[48], key[80];
} tn_note;

/* A zeroed record is empty. Keys after the first TN_NOTES_MAX are only counted. */
typedef struct tn_notes {
    tn_note entries[TN_NOTES_MAX];
    size_t count;
} tn_notes;

/* Adds one key of `file` unless it is already there; control characters become '?'. notes may be NULL. */
void tn_notes_add(tn_notes *notes, const char *file, const char *key);

/* Adds each member of `object` that is not in `known` (NULL-terminated) as "prefix.key" ("key" if prefix is NULL or
 * ""). An entry "key" allows the key with any value; "key=value" allows it only with this value: a number, true or
 * false. Null, "", [] and {} have no effect and are never noted. `object` need not be a JSON object. */
void tn_notes_unknown(tn_notes *notes, const json_t *object, const char *const *known, const char *file,
                      const char *prefix);

/* Whether `known` allows the key, with any value or with this one. */
bool tn_notes_knows(const char *const *known, const char *key, const json_t *value);

/* Adds the keys of `from`. */
void tn_notes_append(tn_notes *notes, const tn_notes *from);

/* "config.json: a, b; tokenizer.json: c and 4 more"; "" if there are none. Returns text. */
const char *tn_notes_print(const tn_notes *notes, char text[TN_NOTES_TEXT]);

#endif
