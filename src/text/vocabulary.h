/* The tokens of a byte-level BPE: which bytes each stands for, which pairs merge, which tokens were
 * added to the trained ones. Filled while loading, read-only afterwards. */
#ifndef TN_TEXT_VOCABULARY_H
#define TN_TEXT_VOCABULARY_H

#include "text/ids.h"
#include "text/utf8.h"

typedef struct tn_token {
    uint32_t offset, length; /* bytes in the pool                                             */
    bool known;              /* false while loading: nothing has taken this id yet            */
    bool added;              /* found in control text before everything else                  */
    bool normalized;         /* added, and looked for in the normalised text                  */
    bool special;            /* added, and left out by decoding with skip_special             */
} tn_token;

/* One merge: this pair of tokens becomes `merged`; lower ranks first. left < 0: empty slot. */
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
    int32_t byte_ids[256];
    int32_t *added; /* ids of added tokens                                  */
    size_t added_count;
    tn_added_node *added_nodes[2]; /* finds those that are not normalized, and those that are; NULL: there are none */
} tn_vocabulary;

/* Most tokens and merges. */
#define TN_VOCABULARY_LIMIT ((size_t)1 << 24)

/* Room for ids 0 .. count-1, of which none is known yet. Errors: FORMAT (0), LIMIT, MEMORY. */
tenebra_code tn_vocabulary_open(tn_vocabulary *vocabulary, size_t count, size_t merges, const char *name,
                                tenebra_error *error);
void tn_vocabulary_close(tn_vocabulary *vocabulary);

/* Gives `id` its bytes. The same bytes under the same id again are allowed (added tokens that are
 * trained ones too). Errors: FORMAT that names both sides of a clash, an id outside of the range. */
tenebra_code tn_vocabulary_put(tn_vocabulary *vocabulary, size_t id, const char *bytes, size_t length,
                               const char *name, tenebra_error *error);

/* Makes a known token an added one. They are found after tn_vocabulary_seal. Errors: MEMORY. */
tenebra_code tn_vocabulary_mark_added(tn_vocabulary *vocabulary, int32_t id, bool special, bool normalized,
                                      tenebra_error *error);

/* Makes what finds the added tokens (done by seal and add). Errors: MEMORY; then nothing has changed. */
tenebra_code tn_vocabulary_index_added(tn_vocabulary *vocabulary, tenebra_error *error);

/* After sealing: appends one more token behind the last, as an added one, and returns its id in *id.
 * Errors: MISMATCH (there already is such a token), LIMIT, MEMORY. */
tenebra_code tn_vocabulary_add(tn_vocabulary *vocabulary, const char *bytes, size_t length, bool special,
                               int32_t *id, tenebra_error *error);

/* Adds the merge with the next rank: the first left_length bytes of `sum` are one token, the rest is
 * the other, all `length` bytes are what they become. All three must be known.
 * Errors: FORMAT (unknown token, pair already there), LIMIT. */
tenebra_code tn_vocabulary_merge(tn_vocabulary *vocabulary, const char *sum, size_t left_length,
                                 size_t length, const char *name, tenebra_error *error);

/* Checks that no id is free and that each byte has a token. Errors: FORMAT. */
tenebra_code tn_vocabulary_seal(tn_vocabulary *vocabulary, const char *name, tenebra_error *error);

/* -1 if there is none. Threads: any. */
int32_t tn_vocabulary_find(const tn_vocabulary *vocabulary, const char *bytes, size_t length);

/* NULL if the pair does not merge. Threads: any. */
const tn_merge *tn_vocabulary_find_merge(const tn_vocabulary *vocabulary, int32_t left, int32_t right);

/* Whether there are added tokens whose `normalized` is as given. Threads: any. */
bool tn_vocabulary_has_added(const tn_vocabulary *vocabulary, bool normalized);

/* The longest of them that begins at each of the `length` bytes and ends within them: ids[at]; -1 if none. Time grows with
 * `length` alone. Threads: any. */
void tn_vocabulary_find_added(const tn_vocabulary *vocabulary, const char *bytes, size_t length, bool normalized, int32_t *ids);

static inline const char *tn_vocabulary_bytes(const tn_vocabulary *vocabulary, int32_t id)
{
    return vocabulary->pool.data + vocabulary->tokens[id].offset;
}

/* Trained tokens are written in an alphabet of 256 printable characters, one a byte (GPT-2).
 * Appends the bytes that `name` (valid UTF-8) stands for; a name with a character outside of the
 * alphabet stands for itself, as in the reference library. */
tenebra_code tn_alphabet_decode(const char *name, size_t length, tn_text *bytes, tenebra_error *error);

#endif
