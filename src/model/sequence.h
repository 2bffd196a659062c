/* A sequence: rows that are in a cache. It belongs to a session or to a training example; the engine (model/engine.h) appends
 * to it. How keys and values are stored is internal to it; at present they are one block of memory. */
#ifndef TN_MODEL_SEQUENCE_H
#define TN_MODEL_SEQUENCE_H

#include "model/row.h"

typedef struct tn_sequence {
    tn_dtype type;    /* of keys and values: TN_F32 or TN_BF16 */
    size_t capacity;  /* rows of context */
    size_t length;    /* rows in the cache */
    size_t reusable;  /* rows whose keys and values still exist, at least `length` */
    tn_row_ref raw, hidden; /* the last row before and after the final norm; in the sequence's memory, or in the record */
    tn_keys *cache;   /* [L] */
    tn_row_key *keys; /* [capacity] the contents of each row */
    tn_tensor last[2]; /* [1, C] memory of `raw` and `hidden` outside of a record */
    tn_arena memory;  /* memory from tn_sequence_open */
} tn_sequence;

/* Opens a sequence that owns its memory. Errors: ARGUMENT (type), LIMIT (capacity), MEMORY. */
tenebra_code tn_sequence_open(tn_sequence *sequence, const tn_decoder_config *config, size_t capacity, tn_dtype type,
                              tenebra_error *error);
void tn_sequence_close(tn_sequence *sequence);

/* The same in an arena, in F32, with zeroed gradients of keys and values for recorded rows. False if the arena is full. */
bool tn_sequence_take(tn_sequence *sequence, const tn_decoder_config *config, size_t capacity, tn_ops *gradients, tn_arena *arena);

/* Truncates the sequence to `length` rows. tn_sequence_reuse can restore the others. */
void tn_sequence_truncate(tn_sequence *sequence, size_t length);

/* Reuses rows that are still in the cache: the longest beginning of `rows` with equal contents and positions, at most `count`
 * rows. The sequence then consists of these rows, whose number is returned. */
size_t tn_sequence_reuse(tn_sequence *sequence, const tn_row *rows, size_t count);

/* Drops all rows permanently, e.g. after weights changed. */
void tn_sequence_forget(tn_sequence *sequence);

#endif
