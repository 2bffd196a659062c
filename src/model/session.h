/* A session: one sequence and the memory of one question, with an engine and a cache of encoded images. Sessions may share
 * these two; the rows of each are the same as without sharing. */
#ifndef TN_MODEL_SESSION_H
#define TN_MODEL_SESSION_H

#include "model/engine.h"
#include "model/image_cache.h"

/* Logits of one row, on the host. */
typedef struct tn_logits {
    size_t cols; /* V */
    tn_real *data;
} tn_logits;

typedef struct tn_session {
    const tn_model *model;
    tn_engine *engine;      /* used by one call at a time, of any of the sessions that share it */
    tn_image_cache *images;
    bool shares;            /* engine and image cache belong to another session */
    tn_sequence sequence;
    size_t pass;            /* the current pass, whose adapters are added to those of every pass; 0: none */
    tn_arena kept;    /* memory of one question: image embeddings, prompt */
    tn_logits logits; /* [V] for callers that require logits            */
} tn_session;

typedef struct tn_session_options {
    size_t context; /* rows; 0: the smaller of 8192 and max_position_embeddings */
    size_t threads; /* 0: all processors */
    tn_dtype cache_type; /* type of keys and values: TN_F32 (the default) or TN_BF16 */
    size_t image_cache;  /* size of the image cache in bytes, 0: TN_IMAGE_CACHE_BYTES */
    bool no_image_cache;
} tn_session_options;

enum { TN_IMAGE_CACHE_BYTES = 256000000 };

/* The model must outlive the session. options may be NULL. *opened is NULL on failure. Errors: ARGUMENT, LIMIT, MEMORY. */
tenebra_code tn_session_open(const tn_model *model, const tn_session_options *options, tn_session **opened, tenebra_error *error);

/* In a sentence about rows that do not fit into the context: "; raise -c, ", or that the model has no more positions. What else could
 * be done follows. */
const char *tn_session_advice(const tn_session *session);

/* Opens a further session with the engine and the image cache of `first`, which must outlive it; context and type of the KV
 * cache are the same. Only one thread may use them at a time. *opened is NULL on failure. Errors: MEMORY. */
tenebra_code tn_session_open_beside(const tn_session *first, tn_session **opened, tenebra_error *error);
void tn_session_close(tn_session *session);

/* Starts a question: the sequence is empty, and the memory of the last question is released. Encoded images stay in the cache,
 * and rows can be reused with tn_sequence_reuse. */
void tn_session_reset(tn_session *session);

/* Sets the pass (from 1), whose adapters apply from now on, in addition to those of every pass; 0: no pass. If this changes
 * weights, the session's rows are dropped. Returns whether weights of the vision tower changed, so that earlier image
 * embeddings are not valid any more. */
bool tn_session_set_pass(tn_session *session, size_t pass);

/* Prepares the engine for this session, with the adapters of its pass. Required before the engine is used, if sessions share
 * it. */
static inline void tn_session_enter(const tn_session *session) { session->engine->ops.pass = session->pass; }

/* Drops the session's rows and, with `images`, the shared image cache. Required after weights changed. */
void tn_session_forget(tn_session *session, bool images);

/* Copies an encoded image from the cache into the memory of the question. If the cache does not have it, the image is not
 * encoded after the call. Errors: LIMIT. */
tenebra_code tn_session_recall(tn_session *session, tn_image_rows *picture, tenebra_error *error);
/* Adds an encoded image to the cache. */
void tn_session_remember(tn_session *session, const tn_image_rows *picture);

/* A row [1, C] that lives until the reset, undefined or a copy, and copies of several rows [T, C]. *row is empty on failure. Errors:
 * LIMIT (the memory of the question is full). */
tenebra_code tn_session_take_row(tn_session *session, tn_tensor *row, tenebra_error *error);
tenebra_code tn_session_keep_rows(tn_session *session, tn_tensor from, tn_tensor *rows, tenebra_error *error);
tenebra_code tn_session_keep_row(tn_session *session, tn_tensor from, tn_tensor *row, tenebra_error *error);

/* The last row of the sequence, before and after the final norm [1, C]. */
static inline tn_tensor tn_session_raw(const tn_session *session) { return session->sequence.raw.source; }
static inline tn_tensor tn_session_hidden(const tn_session *session) { return session->sequence.hidden.source; }

/* Runs one span. `normed` [count, C] (may be NULL) receives all its rows after the final norm. Errors: those of tn_engine_run. */
tenebra_code tn_session_append(tn_session *session, const tn_row *rows, size_t count, const tn_span_tap *tap, tn_real *normed,
                               tenebra_error *error);

/* Computes the logits of the sequence's last row into session->logits. */
tenebra_code tn_session_logits(tn_session *session, tenebra_error *error);

#endif
