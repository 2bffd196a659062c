/* The part of YAML that configuration files of trainers use: one mapping of keys to scalars or to lists of scalars.
 * libyaml reads it; nothing is interpreted here, so `!!float "4e-5"` and 4e-5 are the same text. */
#ifndef TN_TRAIN_YAML_H
#define TN_TRAIN_YAML_H

#include "base/status.h"

typedef struct tn_yaml_entry {
    char *key, *value; /* a list's items are joined by ','                        */
    size_t line;       /* of the key, from 1; 0: not from a file                  */
    bool null;         /* null, ~, None or nothing: as if the key were missing    */
} tn_yaml_entry;

typedef struct tn_yaml {
    tn_yaml_entry *entries;
    size_t count;
} tn_yaml;

/* Reads `length` bytes; `name` appears in errors. Errors: FORMAT (not YAML, nested, anchors, a repeated key; with the
 * line), LIMIT, MEMORY. On failure *yaml is empty. */
tenebra_code tn_yaml_parse(tn_yaml *yaml, const void *text, size_t length, const char *name, tenebra_error *error);

/* The same for a file of at most a megabyte. Errors: IO, too. */
tenebra_code tn_yaml_read(tn_yaml *yaml, const char *path, tenebra_error *error);

/* Sets a key from "key=value", which overrides a file. Errors: ARGUMENT, MEMORY. */
tenebra_code tn_yaml_set(tn_yaml *yaml, const char *assignment, tenebra_error *error);

void tn_yaml_free(tn_yaml *yaml);

#endif
