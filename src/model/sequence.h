/* A sequence: rows that are in a cache. It belongs to a session or to a training example; the engine (model/engine.h) appends to
 * it. Where its keys and values lie is its own business: one piece of memory today. */
#ifndef TN_MODEL_SEQUENCE_H
#define TN_MODEL_SEQUENCE_H

#include "model/row.h"

typedef struct tn_sequence {
    tn_dtype type;    /* of keys and values: TN_F32 or TN_BF16 */
    size_t capacity;  /* rows of context */
    size_t length;    /* rows in the cache */
    size_t reusable;  /* rows that are still there, at least `length` */
    tn_row_ref raw, hidden; /* the last row before and after the final norm; in memory of the sequence, or recorded */
    tn_keys *cache;   /* [L] */
    tn_row_key *keys; /* [capacity] what each row was made of */
    tn_tensor last[2]; /* [1, C] memory of `raw` and `hidden` outside of a record */
    tn_arena memory;  /* of tn_sequence_open */
} tn_sequence;

/* A sequence with memory of its own. Errors: ARGUMENT (type), LIMIT (capacity), MEMORY. */
tenebra_code tn_sequence_open(tn_sequence *sequence, const tn_decoder_config *config, size_t capacity, tn_dtype type,
                              tenebra_error *error);
void tn_sequence_close(tn_sequence *sequence);

/* The same, F32, in an arena; with gradients of keys and values, zeroed, for recorded rows. False when the arena is full. */
bool tn_sequence_take(tn_sequence *sequence, const tn_decoder_config *config, size_t capacity, bool gradients, tn_arena *arena);

/* Takes rows from `length` on out of the sequence; tn_sequence_reuse can take them up again. */
void tn_sequence_truncate(tn_sequence *sequence, size_t length);

/* Takes up rows that are still in the cache: those that begin `rows`, tokens or cells of pictures of the same content at the same
 * positions, `count` of them at most. The sequence then has that many rows, which are returned. */
size_t tn_sequence_reuse(tn_sequence *sequence, const tn_row *rows, size_t count);

/* Forgets all rows for good, e.g. when weights changed. */
void tn_sequence_forget(tn_sequence *sequence);

#endif
