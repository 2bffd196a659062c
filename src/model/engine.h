/* The engine: kernels, threads and working memory over a shared, read-only model. It is the only way in which rows run and
 * pictures are encoded: prompts, decoded tokens, latent steps and training, of any number of sequences in one call.
 *
 * A row's result does not depend on what else runs. While recording (engine->ops.tape, after tn_tape_start) the same calls leave a
 * record for the backward. One thread at a time an engine. */
#ifndef TN_MODEL_ENGINE_H
#define TN_MODEL_ENGINE_H

#include "model/model.h"
#include "model/sequence.h"

typedef struct tn_engine {
    const tn_model *model;
    tn_pool *pool;
    tn_arena work; /* one call; while recording, until the backward is done */
    tn_ops ops;
} tn_engine;

/* threads 0: all processors. The model must outlive the engine. Errors: MEMORY, ARGUMENT. */
tenebra_code tn_engine_open(tn_engine *engine, const tn_model *model, size_t threads, tenebra_error *error);
void tn_engine_close(tn_engine *engine); /* a zeroed one is allowed */

/* Rows that go to the end of a sequence, and what is wanted of them. */
typedef struct tn_span {
    tn_sequence *sequence; /* no two spans of a call have the same */
    const tn_row *rows;    /* [count] 0: none runs, the logits are those of the sequence's last row */
    size_t count;
    const tn_span_tap *tap; /* NULL, or names keys by row of the sequence and the query by row of this span */
    tn_real *logits;        /* [V] of the last row; NULL: not wanted, as while recording */
    bool wants_hidden;      /* while recording: sequence->hidden, too. Otherwise it is always there */
    bool wants_rows;        /* `out` */
    tn_row_ref out;         /* the first of all rows before the final norm, [count, C]; in engine->work, where the caller releases
                             * them: tn_ops_mark before the call, tn_ops_release after it */
} tn_span;

/* Runs the spans. On failure no sequence has grown. Errors: ARGUMENT (nothing to do), LIMIT (context full, with the numbers),
 * MISMATCH, MEMORY, CANCELLED, FORMAT (numbers that are not finite, and where they came up), IO (the model's files changed). */
tenebra_code tn_engine_run(tn_engine *engine, tn_span *spans, size_t count, tenebra_error *error);

/* Rows that run through the layers together, at most: bounds the working memory of long prompts, and is far more than it takes to be
 * limited by arithmetic instead of reading weights. While recording all run together: gradients of weights are sums over rows. */
enum { TN_ENGINE_ROUND = 512 };

/* How often the layers run for so many rows. */
size_t tn_engine_rounds(size_t rows);

/* Runs pictures, whose rows were measured, through the image encoder. What it makes of them goes to `kept`; while recording it is part
 * of the record, and kept may be NULL. Errors: MISMATCH (other input, or another number of rows, than the encoder takes), LIMIT (kept
 * is full), and those of tn_engine_run. */
tenebra_code tn_engine_encode(tn_engine *engine, const tn_prepared *const *prepared, tn_image_rows *const *pictures, size_t count,
                              tn_arena *kept, tenebra_error *error);

/* Logits [rows, V] of rows after the final norm. Errors: FORMAT, MEMORY, CANCELLED, IO. */
tenebra_code tn_engine_logits(tn_engine *engine, tn_tensor normed, tn_real *logits, tenebra_error *error);

/* Ends a piece of work of the caller's own: releases the memory since `mark`, unless recording, and takes over what failed. */
tenebra_code tn_engine_finish(tn_engine *engine, size_t mark, tenebra_error *error);

#endif
