/* A session: one sequence and the memory of one question, over an engine and the pictures that it has seen. Sessions may share
 * these two; each then has the rows that it would have alone. */
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
    tn_engine *engine;      /* one call at a time, whichever session it is for */
    tn_image_cache *images;
    bool shares;            /* both belong to another session */
    tn_sequence sequence;
    size_t pass;            /* whose adapters are added beside those of every pass; 0: there are none */
    tn_arena kept;    /* one question: image embeddings, prompt */
    tn_logits logits; /* for whoever asks for them              */
} tn_session;

typedef struct tn_session_options {
    size_t context; /* rows; 0: the smaller of 8192 and max_position_embeddings */
    size_t threads; /* 0: all processors */
    tn_dtype cache_type; /* of keys and values: TN_F32 (the default) or TN_BF16 */
    size_t image_cache;  /* bytes of embeddings to keep, 0: TN_IMAGE_CACHE_BYTES */
    bool no_image_cache;
} tn_session_options;

enum { TN_IMAGE_CACHE_BYTES = 256000000 };

/* The model must outlive the session. options may be NULL. Errors: ARGUMENT, LIMIT, MEMORY. */
tn_session *tn_session_open(const tn_model *model, const tn_session_options *options, tenebra_error *error);

/* A further session with the engine and the pictures of `first`, which must outlive it; context and type of the cache are the same.
 * All of them are used by one thread at a time. Errors: MEMORY. */
tn_session *tn_session_open_beside(const tn_session *first, tenebra_error *error);
void tn_session_close(tn_session *session);

/* Starts a question: no rows, and the memory of the last one is released. Pictures stay known, and rows can be taken up again by
 * tn_sequence_reuse. */
void tn_session_reset(tn_session *session);

/* Chooses the pass, from 1: its adapters count from now on, beside those of every pass; 0: none of a pass. If that changes
 * weights, the session's rows are forgotten. Returns whether weights of the vision tower changed: embeddings that
 * were taken before are then those of other weights. */
bool tn_session_set_pass(tn_session *session, size_t pass);

/* Lets the engine compute for this session: with the adapters of its pass. Needed before the engine is used if sessions share it. */
static inline void tn_session_enter(const tn_session *session) { session->engine->ops.pass = session->pass; }

/* Makes the session forget what it computed: rows, and with `images` the shared pictures, too. Needed when weights changed. */
void tn_session_forget(tn_session *session, bool images);

/* Takes what was made of a picture that was seen before, if the session knows it, to the memory of the question; else the picture is
 * not encoded after the call. Errors: LIMIT. */
tenebra_code tn_session_recall(tn_session *session, tn_image_rows *picture, tenebra_error *error);
/* Keeps an encoded one for later. */
void tn_session_remember(tn_session *session, const tn_image_rows *picture);

/* A row [1, C] that lives until the reset, undefined or a copy. Empty when the memory of the question is full. */
tn_tensor tn_session_take_row(tn_session *session, tenebra_error *error);
tn_tensor tn_session_keep_row(tn_session *session, tn_tensor from, tenebra_error *error);

/* The last row of the sequence, before and after the final norm [1, C]. */
static inline tn_tensor tn_session_raw(const tn_session *session) { return session->sequence.raw.source; }
static inline tn_tensor tn_session_hidden(const tn_session *session) { return session->sequence.hidden.source; }

/* Runs one span. `normed` [count, C] receives all its rows after the final norm; NULL: not wanted. Errors: those of tn_engine_run. */
tenebra_code tn_session_append(tn_session *session, const tn_row *rows, size_t count, const tn_span_tap *tap, tn_real *normed,
                               tenebra_error *error);

/* The logits of the sequence's last row into session->logits. */
tenebra_code tn_session_logits(tn_session *session, tenebra_error *error);

#endif
