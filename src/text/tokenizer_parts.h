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
    tn_rule rules[TN_RULES_MAX]; /* changes of the text before it is split, one after the other */
    size_t rule_count;
    bool ignore_merges; /* a piece that is a token is not split                 */
    tn_ids front;       /* ids before a whole prompt                            */
    tn_notes notes;     /* contents of tokenizer.json that are not used         */
};

/* Appends the text, valid UTF-8, after all rules of the tokenizer. Errors: MEMORY, LIMIT, UNSUPPORTED. */
tenebra_code tn_tokenizer_normalize(const tn_tokenizer *tokenizer, tn_marked *out, const char *bytes, const char *marks,
                                    size_t length, tenebra_error *error);

#define TN_TOKENIZER_FILE_LIMIT ((size_t)64 << 20)

/* Fills `tokenizer` from vocab.json, merges.txt and the added tokens in `directory`. */
tenebra_code tn_tokenizer_load_files(tn_tokenizer *tokenizer, const char *directory, tenebra_error *error);

/* Fills `tokenizer` from the value of a tokenizer.json. */
tenebra_code tn_tokenizer_load_json(tn_tokenizer *tokenizer, const json_t *root, const char *name,
                                    tenebra_error *error);

/* ----------------------------------------------- parts of tokenizer.json -- */

/* A tokenizer.json that is being read. */
typedef struct tn_loader {
    tn_tokenizer *tokenizer;
    const json_t *root;
    const char *name; /* for errors */
    tenebra_error *error;
} tn_loader;

/* One kind of a part: its "type", the keys that are read, NULL at the end, and what reads them. */
typedef struct tn_loader_kind {
    const char *type;
    const char *const *keys;
    tenebra_code (*read)(const tn_loader *loader, const json_t *part);
} tn_loader_kind;

/* Reads a part, or each member (of the list `members`) of a "Sequence" of parts, by the kind of its type; `what` names the part
 * in errors. Keys that the kind does not read are noted. `kinds` ends with a NULL type. Errors: those of the kind; FORMAT,
 * UNSUPPORTED (another type). */
tenebra_code tn_loader_each(const tn_loader *loader, const json_t *part, const char *what, const char *members,
                            const tn_loader_kind *kinds);

/* root[key]; NULL if there is none, or null. */
const json_t *tn_loader_part(const tn_loader *loader, const char *key);

/* part[key], a boolean; *on is kept without one. Errors, which name the part as `what`: FORMAT. */
tenebra_code tn_loader_bool(const tn_loader *loader, const json_t *part, const char *what, const char *key, bool *on);

/* Fills the error: `part` "what" is not supported. Returns UNSUPPORTED. */
tenebra_code tn_loader_refuse(const tn_loader *loader, const char *part, const char *what);

/* A pattern of a part: {"String": ...} or {"Regex": ...}, borrowed. Errors: FORMAT. */
tenebra_code tn_loader_pattern(const tn_loader *loader, const json_t *part, const char **text, size_t *length, bool *literal);

/* Read "normalizer", "pre_tokenizer", "post_processor" (after the vocabulary) and "decoder". */
tenebra_code tn_loader_normalizer(const tn_loader *loader);
tenebra_code tn_loader_pre_tokenizer(const tn_loader *loader);
tenebra_code tn_loader_post_processor(const tn_loader *loader);
tenebra_code tn_loader_decoder(const tn_loader *loader);

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
