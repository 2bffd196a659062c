/* Internal to the adapters: shared by the files lora*.c. */
#ifndef TN_MODEL_LORA_PARTS_H
#define TN_MODEL_LORA_PARTS_H

#include "base/json.h"
#include "model/lora.h"

enum { TN_LORA_NAME_SIZE = 2 * TN_STORED_NAME_MAX };

/* ---------------------------------------------------------- lora_match.c -- */

/* Writes the module name of a matrix, its name without ".weight", into name [TN_LORA_NAME_SIZE]. False if the tensor is not
 * such a matrix, or belongs to a method's module, which is trained directly. */
bool tn_lora_module_name(const tn_place *place, char *name);

/* Writes the other name number `which` (from 0) of a module into other [TN_LORA_NAME_SIZE]. False if there are no more. */
bool tn_lora_other_name(const tn_networks *networks, const char *name, size_t which, char *other);

/* Whether `name` is `target`, or ends with it after a '.'. */
bool tn_lora_is_end(const char *target, const char *name);

/* The value of the first pattern that matches the module, else `otherwise`. As in PEFT, a pattern is a regular expression for
 * the name or for an end of it that starts after a '.'. used [count] (may be NULL) is set for each pattern that matches.
 * Errors: ARGUMENT (not an expression), LIMIT, MEMORY. */
tenebra_code tn_lora_exception(const tn_lora_pattern *patterns, size_t count, const char *name, double otherwise,
                               double *value, bool *used, tenebra_error *error);

/* Whether the options select the module called `name`, which is one of the names of `place`. Errors: as above. */
tenebra_code tn_lora_is_target(const tn_lora_options *options, const tn_place *place, const char *name, bool *target,
                               tenebra_error *error);

/* The same for the canonical name and all others. */
tenebra_code tn_lora_is_target_by_any(const tn_networks *networks, const tn_lora_options *options, const tn_place *place,
                                      const char *name, bool *target, tenebra_error *error);

/* --------------------------------------------------------- lora_file.c -- */

/* Whether a tensor of this name belongs to an adapter: one of a pair, a magnitude, rows of tokens, an adapter of an embedding. */
bool tn_lora_is_part(const char *name);

/* --------------------------------------------------------------- lora.c -- */

/* Adds a module with A and B zero. Errors: UNSUPPORTED (not a linear layer), ARGUMENT, MEMORY. */
tenebra_code tn_adapter_add_module(tn_adapter *adapter, const tn_place *place, const char *name, size_t rank, double alpha,
                                   tenebra_error *error);

/* Adds a sentence to the note. */
void tn_adapter_note(tn_adapter *adapter, const char *sentence, ...) TN_PRINTF(2, 3);

/* Adds an item to a list "a, b and 3 more" in text [size], for notes. */
void tn_lora_list_add(char *text, size_t size, size_t *count, const char *item);

/* -------------------------------------------------------- lora_config.c -- */

/* Single rows of the embedding or the head ("trainable_token_indices"). */
typedef struct tn_lora_tokens {
    const char *module; /* the end of its name; NULL: the embedding */
    size_t *ids;        /* [count] */
    size_t count;
    bool used; /* the file has these rows */
} tn_lora_tokens;

/* An adapter_config.json. */
typedef struct tn_lora_config {
    json_t *json; /* owns the strings */
    tn_lora_options options;
    bool dora, tied; /* use_dora; ensure_weight_tying */
    tn_lora_tokens tokens[2];
    size_t token_count;
    void *memory[12]; /* memory of the lists */
    size_t memory_count;
} tn_lora_config;

/* Reads and checks the file of this name; settings without effect are added to the adapter's note. A zeroed config may be
 * freed. Errors: IO, LIMIT, FORMAT, UNSUPPORTED, MEMORY. */
tenebra_code tn_lora_config_read(tn_lora_config *config, const char *path, tn_adapter *adapter, tenebra_error *error);
void tn_lora_config_free(tn_lora_config *config);

/* Fails with UNSUPPORTED if the configuration requests one adapter for both embeddings and head, which are one matrix (`tied`). */
tenebra_code tn_lora_config_check_tying(const tn_lora_config *config, bool tied, tenebra_error *error);

/* ------------------------------------------------------- lora_replace.c -- */

/* A slot of the model that has other values while the adapter is attached. */
typedef struct tn_replacement {
    tn_weight *weight; /* either this        */
    tn_vector *vector; /* or this            */
    tn_matrix matrix;  /* the new values ... */
    tn_vector values;
    tn_matrix old_matrix; /* ... and those of the model, while attached */
    tn_vector old_values;
    void *memory;      /* owned memory of the new values; NULL: they are in the store */
} tn_replacement;

/* Replaces the model's tensor at `place` by the tensor of the file. Errors: MISMATCH (shape, type), MEMORY. */
tenebra_code tn_adapter_replace(tn_adapter *adapter, const tn_place *place, const tn_stored *stored, tenebra_error *error);

/* Replaces rows `ids` of the matrix at `place` by those of the file's tensor, rounded to the matrix's type as in PEFT. Errors:
 * MISMATCH (shape, ids), MEMORY. */
tenebra_code tn_adapter_replace_rows(tn_adapter *adapter, const tn_place *place, const tn_stored *stored, const size_t *ids,
                                     size_t count, tenebra_error *error);

/* Whether the adapter has a replacement of the same slot. */
bool tn_adapter_replaces(const tn_adapter *adapter, const tn_replacement *other);

/* Puts the replacements into their slots, or restores the model's own values. */
void tn_adapter_swap(tn_adapter *adapter, bool attach);

/* Sets module->magnitude to stored / |row of W + scale B A|. Errors: MISMATCH (shape, type, a row of length 0), MEMORY. */
tenebra_code tn_adapter_add_magnitude(tn_adapter *adapter, tn_adapter_module *module, const tn_stored *stored,
                                      tenebra_error *error);

/* Fails with IO: there is no such directory. The sentence says how to get an adapter of that name. */
tenebra_code tn_adapter_missing(const char *path, tenebra_error *error);

#endif
