/* Model directories with random weights, to measure speed and for tests without real weights.
 *
 * A shape is a named configuration: src/model/shapes/<name>.json, built into the library. Its member "config" becomes
 * config.json; "tokens" gives, for keys of the configuration that are token ids, the token that a tokenizer must have
 * under that text. The backbone's table determines the tensors, so the files are those that tn_model_open expects. */
#ifndef TN_MODEL_RANDOM_H
#define TN_MODEL_RANDOM_H

#include "kern/panel.h"
#include "base/status.h"

typedef struct tn_shape {
    const char *name;
    const unsigned char *text; /* JSON */
    size_t length;
} tn_shape;

/* All shapes by name; the last one has no name. */
extern const tn_shape tn_shapes[];

typedef struct tn_random_options {
    const char *shape;      /* name of a shape                                                 */
    const char *tokenizer;  /* a directory whose tokenizer files are copied, or NULL for none. The token ids of the
                             * configuration then come from it, and the vocabulary grows if it is smaller than the
                             * tokenizer's. */
    uint64_t seed;
    tn_dtype type;          /* of the weights; quantised ones follow the default recipe (model/recipe.h) */
    tn_order order;         /* of matrices whose type has panels                                */
    bool (*progress)(void *user, size_t done, size_t total); /* bytes; false stops; may be NULL */
    void *user;
} tn_random_options;

/* Bytes and number of all weights for the options; both may be NULL. Nothing is written. Errors: ARGUMENT (unknown
 * shape; the sentence lists them), as tn_tokenizer_open. */
tenebra_code tn_random_model_size(const tn_random_options *options, size_t *bytes, size_t *count,
                                  tenebra_error *error);

/* Writes config.json, generation_config.json, files that say how images are prepared, the weights and the tokenizer's files into
 * `directory`, which is created if necessary and must be empty. The same options give the same bytes (with the same C
 * library). Matrices are normal with variance 1 / inputs, so that values neither grow nor vanish; norm scales are
 * around 1, biases around 0. After a failure nothing remains. Errors: ARGUMENT, IO, MISMATCH (the tokenizer lacks a
 * token), CANCELLED, MEMORY, and those of reading a tokenizer. Threads: any, one per directory. */
tenebra_code tn_random_model_write(const char *directory, const tn_random_options *options,
                                   tenebra_error *error);

#endif
