#include "model/session.h"

#include "base/checked.h"
#include "model/lora.h"

#include <stdlib.h>
#include <string.h>

enum { DEFAULT_CONTEXT = 8192 };

/* Addresses reserved for the arena; only pages that are used take memory. */
static const size_t KEPT_RESERVE = (size_t)16 << 30;

/* What sessions share. */
typedef struct shared {
    tn_engine engine;
    tn_image_cache images;
} shared;

static tenebra_code open_shared(tn_session *session, const tn_session_options *options, tenebra_error *error)
{
    shared *made = calloc(1, sizeof *made);
    if (made == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "session", "no memory");
    session->engine = &made->engine;
    session->images = &made->images;
    made->images.limit = options->no_image_cache ? 0 : options->image_cache ? options->image_cache : TN_IMAGE_CACHE_BYTES;
    return tn_engine_open(session->engine, session->model, options->threads, error);
}

static tenebra_code open_own(tn_session *session, size_t context, tn_dtype type, tenebra_error *error)
{
    size_t vocabulary = session->model->decoder.head.matrix.rows;
    TN_TRY(tn_sequence_open(&session->sequence, &session->model->config.decoder, context, type, error));
    TN_TRY(tn_arena_reserve(&session->kept, KEPT_RESERVE, error));
    session->logits.cols = vocabulary;
    session->logits.data = malloc(vocabulary * sizeof(tn_real));
    return session->logits.data ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_MEMORY, "session", "no memory");
}

static tenebra_code open_parts(tn_session *session, const tn_session_options *options, tenebra_error *error)
{
    size_t limit = session->model->config.decoder.max_position_embeddings;
    size_t context = options->context ? options->context : tn_min(DEFAULT_CONTEXT, limit);
    if (context > limit)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "context", "%zu rows are more than the model's %zu positions", context, limit);
    TN_TRY(open_own(session, context, options->cache_type, error));
    return open_shared(session, options, error);
}

const char *tn_session_advice(const tn_session *session)
{
    return session->sequence.capacity < session->model->config.decoder.max_position_embeddings ? "; raise -c, "
                                                                                              : ", all that the model has; ";
}

/* Hands a session out, or closes it if it could not be opened. Returns the code. */
static tenebra_code hand_out(tn_session *session, tenebra_code code, tn_session **opened)
{
    if (code == TENEBRA_OK)
        *opened = session;
    else
        tn_session_close(session);
    return code;
}

tenebra_code tn_session_open(const tn_model *model, const tn_session_options *options, tn_session **opened, tenebra_error *error)
{
    static const tn_session_options defaults = { 0 };
    tn_session *session = calloc(1, sizeof *session);
    *opened = NULL;
    if (session == NULL)
        return tn_fail_memory(error, "session");
    session->model = model;
    return hand_out(session, open_parts(session, options ? options : &defaults, error), opened);
}

tenebra_code tn_session_open_beside(const tn_session *first, tn_session **opened, tenebra_error *error)
{
    tn_session *session = calloc(1, sizeof *session);
    *opened = NULL;
    if (session == NULL)
        return tn_fail_memory(error, "session");
    *session = (tn_session){ .model = first->model, .engine = first->engine, .images = first->images, .shares = true };
    return hand_out(session, open_own(session, first->sequence.capacity, first->sequence.type, error), opened);
}

void tn_session_close(tn_session *session)
{
    if (session == NULL)
        return;
    if (!session->shares && session->engine != NULL) {
        shared *own = (shared *)session->engine; /* the engine is the first member */
        tn_image_cache_clear(&own->images);
        tn_engine_close(&own->engine);
        free(own);
    }
    tn_sequence_close(&session->sequence);
    tn_arena_close(&session->kept);
    free(session->logits.data);
    free(session);
}

void tn_session_reset(tn_session *session)
{
    tn_sequence_truncate(&session->sequence, 0);
    tn_arena_release(&session->kept, 0);
}

void tn_session_forget(tn_session *session, bool images)
{
    tn_sequence_forget(&session->sequence);
    if (images)
        tn_image_cache_clear(session->images);
}

static bool has_vision(const tn_adapter *adapter)
{
    bool vision = false;
    for (size_t m = 0; m < adapter->module_count; m++)
        vision |= adapter->modules[m].vision;
    return vision;
}

bool tn_session_set_pass(tn_session *session, size_t pass)
{
    size_t before = session->pass, now = 0;
    bool changed = false, vision = false;
    for (size_t i = 0; i < session->model->adapter_count; i++) {
        const tn_adapter *adapter = session->model->adapters[i];
        now = adapter->pass == pass ? pass : now;
        if (adapter->pass == 0 || pass == before || (adapter->pass != before && adapter->pass != pass))
            continue;
        changed = true;
        vision |= has_vision(adapter);
    }
    session->pass = now;
    tn_session_enter(session);
    if (changed)
        tn_session_forget(session, false);
    return vision;
}

/* The key of embeddings: the image, and the pass if the tower has adapters of this pass. */
static tn_digest key_of(const tn_session *session, const tn_image_rows *picture)
{
    bool known = tn_digest_equal(&picture->content, &picture->content);
    for (size_t i = 0; known && session->pass > 0 && i < session->model->adapter_count; i++)
        if (session->model->adapters[i]->pass == session->pass && has_vision(session->model->adapters[i])) {
            tn_hash hash;
            tn_hash_start(&hash);
            tn_hash_add(&hash, &picture->content, sizeof picture->content);
            tn_hash_add(&hash, &session->pass, sizeof session->pass);
            return tn_hash_finish(&hash);
        }
    return picture->content;
}

/* Copies values to a tensor in the memory of the question; empty if that memory is full. */
static tn_tensor recall_tensor(tn_session *session, const tn_image_entry *entry, size_t number)
{
    const tn_tensor x = tn_tensor_take(&session->kept, entry->rows, entry->cols);
    if (!tn_tensor_is_empty(x))
        tn_op_write(&session->engine->ops, x, entry->values + number * entry->rows * entry->cols);
    return x;
}

tenebra_code tn_session_recall(tn_session *session, tn_image_rows *picture, tenebra_error *error)
{
    picture->embeds = (tn_tensor){ 0 };
    picture->ids = NULL;
    picture->deep_count = 0;
    const tn_digest key = key_of(session, picture);
    const tn_image_entry *entry = session->engine->ops.watch ? NULL : tn_image_cache_find(session->images, &key);
    if (entry == NULL)
        return TENEBRA_OK;
    tn_image_rows known = *picture;
    int32_t *ids = entry->ids != NULL ? tn_arena_take(&session->kept, entry->rows, sizeof *ids) : NULL;
    bool full = entry->ids != NULL && ids == NULL;
    if (ids != NULL)
        memcpy(ids, entry->ids, entry->rows * sizeof *ids);
    known.ids = ids;
    if (entry->embedded)
        known.embeds = recall_tensor(session, entry, 0);
    full = full || (entry->embedded && tn_tensor_is_empty(known.embeds));
    for (known.deep_count = 0; known.deep_count < entry->deep && !full; known.deep_count++) {
        known.deep[known.deep_count] = recall_tensor(session, entry, entry->embedded + known.deep_count);
        full = tn_tensor_is_empty(known.deep[known.deep_count]);
    }
    if (full)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "image", "the memory for image embeddings is full");
    *picture = known;
    return TENEBRA_OK;
}

void tn_session_remember(tn_session *session, const tn_image_rows *picture)
{
    const tn_digest key = key_of(session, picture);
    tn_image_cache_add(session->images, &key, &session->engine->ops, picture);
}

tenebra_code tn_session_take_row(tn_session *session, tn_tensor *row, tenebra_error *error)
{
    *row = tn_tensor_take(&session->kept, 1, session->model->config.decoder.hidden_size);
    return tn_tensor_is_empty(*row) ? tn_fail(error, TENEBRA_ERROR_LIMIT, "session", "the memory of one question is full") : TENEBRA_OK;
}

tenebra_code tn_session_keep_rows(tn_session *session, tn_tensor from, tn_tensor *rows, tenebra_error *error)
{
    *rows = tn_tensor_take(&session->kept, from.rows, from.cols);
    if (tn_tensor_is_empty(*rows))
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "session", "the memory of one question is full");
    tn_op_copy(&session->engine->ops, *rows, from);
    return TENEBRA_OK;
}

tenebra_code tn_session_keep_row(tn_session *session, tn_tensor from, tn_tensor *row, tenebra_error *error)
{
    TN_TRY(tn_session_take_row(session, row, error));
    tn_op_copy(&session->engine->ops, *row, from);
    return TENEBRA_OK;
}

tenebra_code tn_session_append(tn_session *session, const tn_row *rows, size_t count, const tn_span_tap *tap, tn_real *normed,
                               tenebra_error *error)
{
    tn_engine *engine = session->engine;
    tn_session_enter(session);
    tn_span span = { .sequence = &session->sequence, .rows = rows, .count = count, .tap = tap, .wants_rows = normed != NULL };
    size_t mark = tn_ops_mark(&engine->ops);
    TN_TRY(tn_engine_run(engine, &span, 1, error));
    if (normed == NULL)
        return TENEBRA_OK;
    tn_op_read(&engine->ops, tn_decoder_norm(&engine->ops, &engine->model->decoder, span.out.source), normed);
    return tn_engine_finish(engine, mark, error);
}

tenebra_code tn_session_logits(tn_session *session, tenebra_error *error)
{
    tn_span span = { .sequence = &session->sequence, .logits = session->logits.data };
    tn_session_enter(session);
    return tn_engine_run(session->engine, &span, 1, error);
}
