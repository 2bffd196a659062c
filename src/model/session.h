/* A session: the cache of one conversation, its working memory and its threads, over a shared model.
 *
 * Rows of input vectors are appended to the cache; a prompt, a decoded token, a latent step and an
 * injected picture are all such spans. No row is computed twice, unless `recompute` asks for the
 * reference's way, which is kept to compare with. */
#ifndef TN_MODEL_SESSION_H
#define TN_MODEL_SESSION_H

#include "base/digest.h"
#include "model/image_cache.h"
#include "model/model.h"

/* One input row: a token's embedding, or (token < 0) a row of some tensor. Where that is a picture's embedding,
 * `content` may tell which pixels it came from: then the row can be recognised after a reset. */
typedef struct tn_slot {
    int32_t token;
    tn_row_ref row;
    tn_position position;
    tn_digest content; /* of the picture; zero: unknown */
} tn_slot;

typedef struct tn_session {
    const tn_model *model;
    tn_ops ops;
    tn_pool *pool;
    tn_arena work; /* one span, or one picture in the vision tower */
    tn_arena kept; /* one question: image embeddings, prompt       */
    tn_arena cache_memory;
    tn_keys *cache;   /* [L] */
    tn_slot *slots;   /* [capacity]: what each cached row was made of */
    size_t capacity;  /* rows of context */
    size_t length;    /* rows in the cache */
    size_t reusable;  /* rows that are still there, at least `length`; tensors of slots behind it may be gone */
    tn_image_cache images;
    tn_tensor hidden;     /* [1, C] last row after the final norm   */
    tn_tensor raw_hidden; /* [1, C] last row before it              */
    tn_tensor logits;     /* [1, V] */
    tn_tensor mean;       /* [1, C] running mean of normed rows, if wanted */
    size_t mean_rows;
    bool want_mean;
    tn_real *normed_rows;    /* [capacity, C] of the caller: receives every row after the final norm; or NULL */
    bool recompute;          /* recompute all rows at every append */
    size_t positions_computed;
    size_t last_call_rows;   /* rows that the last append ran through the decoder */
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
void tn_session_close(tn_session *session);

/* Forgets all rows from `length` on, or everything with the memory of the question. Pictures stay known, and
 * the rows can be taken up again by tn_session_reuse. */
void tn_session_truncate(tn_session *session, size_t length);
void tn_session_reset(tn_session *session);

/* Chooses the pass, from 1: its adapters count from now on, beside those of every pass; 0: none of a pass. If that changes
 * weights, what the session computed is forgotten. Returns whether weights of the vision tower changed: embeddings that
 * were taken before are then those of other weights. */
bool tn_session_set_pass(tn_session *session, size_t pass);

/* Takes up rows that are still in the cache: those that begin `slots`, tokens or embeddings of pictures of the same
 * content at the same positions, `count` of them at most. The cache then has that many rows, which are returned.
 * None where somebody wants to see every row (observer, mean, normed_rows). */
size_t tn_session_reuse(tn_session *session, const tn_slot *slots, size_t count);

/* Makes the session forget what it computed: rows, and with `images` the pictures, too. Needed when weights changed. */
void tn_session_forget(tn_session *session, bool images);

/* Embeddings of a picture seen before: *embeds as tn_session_encode gives them, or empty. Errors: LIMIT. */
tenebra_code tn_session_recall(tn_session *session, const tn_digest *content, tn_grid *grid, tn_tensor *embeds,
                               tenebra_error *error);
/* Keeps them for later. */
void tn_session_remember(tn_session *session, const tn_digest *content, tn_grid grid, tn_tensor embeds);

/* Runs one or more pictures through the vision tower. patches [sum t*h*w, patch_values]; *embeds
 * [J, C] lives until the reset. Errors: MISMATCH, LIMIT (working memory). */
tenebra_code tn_session_encode(tn_session *session, const tn_real *patches, const tn_grid *grids,
                               size_t count, tn_tensor *embeds, tenebra_error *error);

/* A row that lives until the reset: data copied from `values` [C], or undefined if NULL. */
tn_tensor tn_session_keep_row(tn_session *session, const tn_real *values, tenebra_error *error);

/* Appends rows, then leaves hidden and raw_hidden of the last one. tap (may be NULL) names keys by cache
 * row and the query by row of this span. Errors: LIMIT (context full, with the numbers), MISMATCH. */
tenebra_code tn_session_append(tn_session *session, const tn_slot *slots, size_t count,
                               const tn_span_tap *tap, tenebra_error *error);

/* Logits [V] of a normed row [1, C] into session->logits. */
tenebra_code tn_session_logits(tn_session *session, tn_tensor normed, tenebra_error *error);

/* The input rows [count, C] of some slots, in the operations' memory; recordable. */
tn_tensor tn_span_input(tn_ops *ops, const tn_decoder *decoder, const tn_slot *slots, size_t count);

#endif
