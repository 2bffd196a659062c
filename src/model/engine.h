/* The engine: kernels, threads and working memory over a shared, read-only model. All rows run and all images are encoded
 * through it: prompts, decoded tokens, latent steps and training, of any number of sequences in one call.
 *
 * A row's result does not depend on what else runs. While recording (engine->ops.tape, after tn_tape_start), the same calls
 * also record what the backward needs. An engine may be used by one thread at a time. */
#ifndef TN_MODEL_ENGINE_H
#define TN_MODEL_ENGINE_H

#include "model/model.h"
#include "model/sequence.h"

typedef struct tn_engine {
    const tn_model *model;
    tn_pool *pool;
    tn_arena work; /* memory of one call; while recording, until the backward is done */
    tn_ops ops;
} tn_engine;

/* threads 0: all processors. The model must outlive the engine. Errors: MEMORY, ARGUMENT. */
tenebra_code tn_engine_open(tn_engine *engine, const tn_model *model, size_t threads, tenebra_error *error);
void tn_engine_close(tn_engine *engine); /* a zeroed engine may be closed */

/* Rows that are appended to a sequence, and the results that are required. */
typedef struct tn_span {
    tn_sequence *sequence; /* different for all spans of a call */
    const tn_row *rows;    /* [count]; count 0: no row runs, and the logits are those of the sequence's last row */
    size_t count;
    const tn_span_tap *tap; /* may be NULL; keys are rows of the sequence, the query is a row of this span */
    tn_real *logits;        /* [V] of the last row; NULL: not computed; must be NULL while recording */
    bool wants_hidden;      /* while recording: also record sequence->hidden, which is always available otherwise */
    bool wants_rows;        /* whether `out` is required */
    tn_row_ref out;         /* rows of this span before the final norm, [count, C]: the first of them; in engine->work, where
                             * the caller releases them (tn_ops_mark before the call, tn_ops_release after it) */
} tn_span;

/* Runs the spans. After a failure no sequence has grown. Errors: ARGUMENT (nothing to do), LIMIT (the context is full; with the
 * numbers), MISMATCH, MEMORY, CANCELLED, FORMAT (NaN or infinity, with the place where it first occurred), IO (the model's
 * files changed). */
tenebra_code tn_engine_run(tn_engine *engine, tn_span *spans, size_t count, tenebra_error *error);

/* The maximum number of rows that run through the layers together. It bounds the working memory of long prompts, and is large
 * enough that arithmetic, not reading weights, limits the speed. While recording, all rows run together, because gradients of
 * weights are sums over rows. */
enum { TN_ENGINE_ROUND = 512 };

/* The number of rounds for this many rows. */
size_t tn_engine_rounds(size_t rows);

/* Runs images, whose numbers of rows are known, through the image encoder. The results are stored in `kept`; while recording
 * they are part of the record, and kept may be NULL. Errors: MISMATCH (other input, or another number of rows, than the encoder
 * expects), LIMIT (kept is full), and those of tn_engine_run. */
tenebra_code tn_engine_encode(tn_engine *engine, const tn_prepared *const *prepared, tn_image_rows *const *pictures, size_t count,
                              tn_arena *kept, tenebra_error *error);

/* Logits [rows, V] of rows after the final norm. Errors: FORMAT, MEMORY, CANCELLED, IO. */
tenebra_code tn_engine_logits(tn_engine *engine, tn_tensor normed, tn_real *logits, tenebra_error *error);

/* Ends operations that the caller applied itself: releases the memory since `mark`, unless recording, and returns the error if
 * one failed. */
tenebra_code tn_engine_finish(tn_engine *engine, size_t mark, tenebra_error *error);

#endif
