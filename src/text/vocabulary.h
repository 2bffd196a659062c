/* The tokens of a byte-level BPE: the bytes of each token, the pairs that merge, and the added tokens. Filled while
 * loading, read-only afterwards. */
#ifndef TN_TEXT_VOCABULARY_H
#define TN_TEXT_VOCABULARY_H

#include "text/ids.h"
#include "text/utf8.h"

typedef struct tn_token {
    uint32_t offset, length; /* bytes in the pool                                             */
    bool known;              /* false while loading, if this id is not taken yet              */
    bool added;              /* found in control text before everything else                  */
    bool normalized;         /* added, and searched in the normalised text                    */
    bool special;            /* added, and left out by decoding with skip_special             */
} tn_token;

/* One merge: this pair of tokens becomes `merged`; lower ranks come first. left < 0: empty slot. */
typedef struct tn_merge {
    int32_t left, right, merged;
    uint32_t rank;
} tn_merge;

typedef struct tn_added_node tn_added_node;

typedef struct tn_vocabulary {
    tn_token *tokens; /* [count] by id                                      */
    size_t count, capacity;
    tn_text pool;
    int32_t *names; /* open hash table of ids by bytes; -1 = empty          */
    size_t name_slots;
    tn_merge *merges; /* open hash table by pair                            */
    size_t merge_slots, merge_count;
    int32_t byte_ids[256]; /* -1 only for bytes that UTF-8 never has            */
    int32_t *added; /* ids of added tokens                                  */
    size_t added_count;
    tn_added_node *added_nodes[2]; /* finds those that are not normalized, and those that are; NULL: none */
} tn_vocabulary;

/* The largest numbers of tokens and merges. */
#define TN_VOCABULARY_LIMIT ((size_t)1 << 24)

/* Room for ids 0 .. count-1, none of which is known yet. Errors: FORMAT (0), LIMIT, MEMORY. */
tenebra_code tn_vocabulary_open(tn_vocabulary *vocabulary, size_t count, size_t merges, const char *name,
                                tenebra_error *error);
void tn_vocabulary_close(tn_vocabulary *vocabulary);

/* Sets the bytes of `id`. The same bytes for the same id are allowed again (added tokens that are also trained ones).
 * Errors: FORMAT, which names both sides of a clash or an id outside the range. */
tenebra_code tn_vocabulary_put(tn_vocabulary *vocabulary, size_t id, const char *bytes, size_t length,
                               const char *name, tenebra_error *error);

/* Makes a known token an added one. Added tokens are found after tn_vocabulary_seal. Errors: MEMORY. */
tenebra_code tn_vocabulary_mark_added(tn_vocabulary *vocabulary, int32_t id, bool special, bool normalized,
                                      tenebra_error *error);

/* Builds the automaton that finds the added tokens (called by seal and add). Errors: MEMORY; then nothing has changed. */
tenebra_code tn_vocabulary_index_added(tn_vocabulary *vocabulary, tenebra_error *error);

/* After sealing: appends one more token after the last, as an added one, and returns its id in *id. Errors: MISMATCH
 * (the token already exists), LIMIT, MEMORY. */
tenebra_code tn_vocabulary_add(tn_vocabulary *vocabulary, const char *bytes, size_t length, bool special,
                               int32_t *id, tenebra_error *error);

/* Adds the merge with the next rank: the first left_length bytes of `sum` are one token, the rest is the other, and all
 * `length` bytes are the merged token. All three must be known. Errors: FORMAT (unknown token, repeated pair), LIMIT. */
tenebra_code tn_vocabulary_merge(tn_vocabulary *vocabulary, const char *sum, size_t left_length,
                                 size_t length, const char *name, tenebra_error *error);

/* Checks that every id is taken and that each byte of UTF-8 has a token. Errors: FORMAT. */
tenebra_code tn_vocabulary_seal(tn_vocabulary *vocabulary, const char *name, tenebra_error *error);

/* -1 if there is none. Threads: any. */
int32_t tn_vocabulary_find(const tn_vocabulary *vocabulary, const char *bytes, size_t length);

/* NULL if the pair does not merge. Threads: any. */
const tn_merge *tn_vocabulary_find_merge(const tn_vocabulary *vocabulary, int32_t left, int32_t right);

/* True if there are added tokens with this value of `normalized`. Threads: any. */
bool tn_vocabulary_has_added(const tn_vocabulary *vocabulary, bool normalized);

/* The longest of them that starts at each of the `length` bytes and ends within them: ids[at]; -1 if none. Time depends
 * only on `length`. Threads: any. */
void tn_vocabulary_find_added(const tn_vocabulary *vocabulary, const char *bytes, size_t length, bool normalized, int32_t *ids);

static inline const char *tn_vocabulary_bytes(const tn_vocabulary *vocabulary, int32_t id)
{
    return vocabulary->pool.data + vocabulary->tokens[id].offset;
}

/* Trained tokens are written in an alphabet of 256 printable characters, one per byte (GPT-2). Appends the bytes that
 * `name` (valid UTF-8) represents; a name with a character outside the alphabet represents itself, as in the reference
 * library. */
tenebra_code tn_alphabet_decode(const char *name, size_t length, tn_text *bytes, tenebra_error *error);

#endif
