/* Internals of a tokenizer, for the files that fill it. */
#ifndef TN_TEXT_TOKENIZER_PARTS_H
#define TN_TEXT_TOKENIZER_PARTS_H

#include "base/json.h"
#include "base/notes.h"
#include "text/normalize.h"
#include "text/split.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

struct tn_tokenizer {
    tn_vocabulary vocabulary;
    tn_splitter *splitter;
    tn_normal_form forms[TN_NORMAL_FORMS_MAX]; /* one after the other            */
    size_t form_count;
    bool ignore_merges; /* a piece that is a token is not split                 */
    tn_notes notes;     /* contents of tokenizer.json that are not used         */
};

/* Appends the text, valid UTF-8, after all forms of the tokenizer. Errors: MEMORY, LIMIT. */
tenebra_code tn_tokenizer_normalize(const tn_tokenizer *tokenizer, tn_marked *out, const char *bytes, const char *marks,
                                    size_t length, tenebra_error *error);

#define TN_TOKENIZER_FILE_LIMIT ((size_t)64 << 20)

/* Fills `tokenizer` from vocab.json, merges.txt and the added tokens in `directory`. */
tenebra_code tn_tokenizer_load_files(tn_tokenizer *tokenizer, const char *directory, tenebra_error *error);

/* Fills `tokenizer` from the value of a tokenizer.json. */
tenebra_code tn_tokenizer_load_json(tn_tokenizer *tokenizer, const json_t *root, const char *name,
                                    tenebra_error *error);

/* Adds every "token": id of `vocab`, written in the byte alphabet. */
tenebra_code tn_vocabulary_put_all(tn_vocabulary *vocabulary, const json_t *vocab, const char *name,
                                   tenebra_error *error);

/* Adds the merge of two tokens written in the byte alphabet. `scratch` is overwritten. */
tenebra_code tn_vocabulary_merge_names(tn_vocabulary *vocabulary, const char *left, size_t left_length,
                                       const char *right, size_t right_length, tn_text *scratch,
                                       const char *name, tenebra_error *error);

/* Adds and marks one added token described as {"content", "special", "normalized", ...}; its other flags must be
 * implemented. Errors: FORMAT, UNSUPPORTED. */
tenebra_code tn_vocabulary_put_added(tn_vocabulary *vocabulary, const json_t *token, size_t id,
                                     const char *name, tenebra_error *error);

/* Raises *largest to the largest id among the values of `vocab`, each of which must be an integer from 0 to
 * TN_VOCABULARY_LIMIT. */
tenebra_code tn_vocabulary_largest_id(const json_t *vocab, size_t *largest, const char *name,
                                      tenebra_error *error);

#endif
