#include "model/session.h"

#include "base/checked.h"
#include "model/finite.h"
#include "model/lora.h"

#include <stdlib.h>
#include <string.h>

/* Rows of a span that run through the layers together: bounds the working memory of long prompts,
 * and is far more than it takes to be limited by arithmetic instead of reading weights. */
enum { SPAN_ROWS = 512, DEFAULT_CONTEXT = 8192 };

/* Addresses reserved for the arenas; memory is only what gets touched. */
static const size_t WORK_RESERVE = (size_t)64 << 30, KEPT_RESERVE = (size_t)16 << 30,
                    SMALLEST_RESERVE = (size_t)256 << 20;

/* Systems that do not overcommit refuse large reservations: take what they give. */
static tenebra_code reserve(tn_arena *arena, size_t wanted, tenebra_error *error)
{
    tenebra_code code;
    do {
        code = tn_arena_open(arena, wanted, error);
        wanted /= 4;
    } while (code != TENEBRA_OK && wanted >= SMALLEST_RESERVE);
    return code;
}

static tn_tensor take_row(tn_arena *arena, size_t cols)
{
    tn_real *data = tn_arena_take(arena, cols, sizeof *data);
    return data ? (tn_tensor){ 1, cols, data, NULL } : (tn_tensor){ 0 };
}

/* Keys and values of one layer, `count` numbers each; pointers are NULL where memory ends. */
static tn_keys take_keys(tn_session *session, size_t count, bool narrow)
{
    tn_arena *arena = &session->cache_memory;
    tn_keys keys = { .capacity = session->capacity, .stride = count / session->capacity };
    if (narrow) {
        keys.k_bf16 = tn_arena_take(arena, count, sizeof *keys.k_bf16);
        keys.v_bf16 = tn_arena_take(arena, count, sizeof *keys.v_bf16);
    } else {
        keys.k = tn_arena_take(arena, count, sizeof *keys.k);
        keys.v = tn_arena_take(arena, count, sizeof *keys.v);
    }
    return keys;
}

static tenebra_code open_cache(tn_session *session, bool narrow, tenebra_error *error)
{
    const tn_decoder_config *config = &session->model->config.decoder;
    size_t layers = config->num_hidden_layers, stride = config->num_key_value_heads * config->head_dim;
    size_t vocabulary = session->model->decoder.head.matrix.rows, rows, values, bytes;
    size_t others = (vocabulary + 8 * config->hidden_size) * sizeof(tn_real);
    bool fits = tn_size_mul(session->capacity, stride, &rows) && tn_size_mul(rows, 2 * layers, &values) &&
                tn_size_mul(values, narrow ? sizeof(uint16_t) : sizeof(tn_real), &bytes) &&
                tn_size_add(bytes, others, &bytes) &&
                tn_size_add(bytes, session->capacity * sizeof(tn_slot) + (2 * layers + 16) * 2 * TN_ARENA_ALIGNMENT +
                            layers * sizeof(tn_keys), &bytes);
    if (!fits)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "context", "a context of %zu rows is too large", session->capacity);
    TN_TRY(tn_arena_open(&session->cache_memory, bytes, error));
    tn_arena *arena = &session->cache_memory;
    session->cache = tn_arena_take(arena, layers, sizeof *session->cache);
    session->slots = tn_arena_take(arena, session->capacity, sizeof *session->slots);
    for (size_t l = 0; l < layers; l++)
        session->cache[l] = take_keys(session, rows, narrow);
    session->hidden = take_row(arena, config->hidden_size);
    session->raw_hidden = take_row(arena, config->hidden_size);
    session->mean = take_row(arena, config->hidden_size);
    session->logits = take_row(arena, vocabulary);
    return session->logits.data ? TENEBRA_OK
                                : tn_fail(error, TENEBRA_ERROR_MEMORY, "context", "the cache does not fit");
}

static tenebra_code open_parts(tn_session *session, const tn_session_options *options, tenebra_error *error)
{
    size_t limit = session->model->config.decoder.max_position_embeddings;
    session->capacity = options && options->context ? options->context : tn_min(DEFAULT_CONTEXT, limit);
    if (session->capacity > limit)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "context", "%zu rows are more than the model's %zu positions",
                       session->capacity, limit);
    tn_dtype type = options ? options->cache_type : TN_F32;
    if (type != TN_F32 && type != TN_BF16)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "cache-type", "keys and values are kept as F32 or BF16, not as %s",
                       tn_dtype_of(type)->name);
    session->images.limit = options && options->image_cache ? options->image_cache : TN_IMAGE_CACHE_BYTES;
    if (options && options->no_image_cache)
        session->images.limit = 0;
    tenebra_error problem = { .code = TENEBRA_ERROR_MEMORY };
    session->pool = tn_pool_open(options && options->threads ? options->threads : tn_cpu_count(), &problem);
    if (session->pool == NULL)
        return tn_fail(error, problem.code, problem.where, "%s", problem.sentence);
    TN_TRY(reserve(&session->work, WORK_RESERVE, error));
    TN_TRY(reserve(&session->kept, KEPT_RESERVE, error));
    TN_TRY(open_cache(session, type == TN_BF16, error));
    session->ops = (tn_ops){ .kernels = session->model->kernels, .pool = session->pool, .arena = &session->work };
    return TENEBRA_OK;
}

tn_session *tn_session_open(const tn_model *model, const tn_session_options *options, tenebra_error *error)
{
    tn_session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        tn_fail(error, TENEBRA_ERROR_MEMORY, "session", "no memory");
        return NULL;
    }
    session->model = model;
    if (open_parts(session, options, error) != TENEBRA_OK) {
        tn_session_close(session);
        return NULL;
    }
    return session;
}

void tn_session_close(tn_session *session)
{
    if (session == NULL)
        return;
    tn_image_cache_clear(&session->images);
    tn_pool_close(session->pool);
    tn_arena_close(&session->work);
    tn_arena_close(&session->kept);
    tn_arena_close(&session->cache_memory);
    free(session);
}

void tn_session_truncate(tn_session *session, size_t length)
{
    session->length = tn_min(session->length, length);
}

void tn_session_reset(tn_session *session)
{
    session->length = 0;
    session->mean_rows = 0;
    session->want_mean = false;
    session->normed_rows = NULL;
    session->recompute = false;
    session->positions_computed = 0;
    tn_arena_release(&session->kept, 0);
}

void tn_session_forget(tn_session *session, bool images)
{
    session->length = session->reusable = 0;
    if (images)
        tn_image_cache_clear(&session->images);
}

bool tn_session_set_pass(tn_session *session, size_t pass)
{
    size_t before = session->ops.pass;
    bool changed = false, vision = false;
    for (size_t i = 0; i < session->model->adapter_count && pass != before; i++) {
        const tn_adapter *adapter = session->model->adapters[i];
        if (adapter->pass == 0 || (adapter->pass != before && adapter->pass != pass))
            continue;
        changed = true;
        for (size_t m = 0; m < adapter->module_count; m++)
            vision |= adapter->modules[m].vision;
    }
    session->ops.pass = pass;
    if (changed)
        tn_session_forget(session, vision);
    return vision;
}

static bool same_row(const tn_slot *a, const tn_slot *b)
{
    return a->token == b->token && memcmp(&a->position, &b->position, sizeof a->position) == 0 &&
           (a->token >= 0 || (a->row.row == b->row.row && tn_digest_equal(&a->content, &b->content)));
}

size_t tn_session_reuse(tn_session *session, const tn_slot *slots, size_t count)
{
    size_t limit = tn_min(count, session->reusable), rows = 0;
    if (session->want_mean || session->normed_rows != NULL || session->ops.watch != NULL)
        limit = 0;
    while (rows < limit && same_row(&session->slots[rows], &slots[rows]))
        rows++;
    if (rows > 0)
        memcpy(session->slots, slots, rows * sizeof *slots); /* whose tensors live */
    session->length = rows;
    return rows;
}

/* Ends a piece of work: gives the working memory back and passes a failure on. */
static tenebra_code finish(tn_session *session, tenebra_error *error)
{
    tn_arena_release(&session->work, 0);
    /* First: a file that was cut gives zeros for weights, with which anything may go wrong. */
    tenebra_code code = tn_model_check(session->model, error), failed = session->ops.failure.code;
    if (code == TENEBRA_OK && failed != TENEBRA_OK) {
        code = failed;
        if (error != NULL)
            *error = session->ops.failure;
    }
    memset(&session->ops.failure, 0, sizeof session->ops.failure);
    return code;
}

tenebra_code tn_session_encode(tn_session *session, const tn_real *patches, const tn_grid *grids,
                               size_t count, tn_tensor *embeds, tenebra_error *error)
{
    size_t rows = 0;
    for (size_t i = 0; i < count; i++)
        rows += tn_grid_patches(grids[i]);
    /* The tower only reads its input; the tensor type has no const variant. */
    tn_tensor input = { rows, session->model->config.vision.patch_values, (tn_real *)(uintptr_t)patches, NULL };
    tn_tensor output = tn_networks_encode(&session->ops, &session->model->networks, input, grids, count);
    if (output.data != NULL) {
        *embeds = output;
        embeds->data = tn_arena_take(&session->kept, output.rows * output.cols, sizeof(tn_real));
        if (embeds->data != NULL)
            memcpy(embeds->data, output.data, output.rows * output.cols * sizeof(tn_real));
        else
            tn_fail(&session->ops.failure, TENEBRA_ERROR_LIMIT, "image", "the memory for image embeddings is full");
    }
    TN_TRY(finish(session, error));
    if (!tn_all_finite(embeds->data, embeds->rows * embeds->cols))
        return tn_fail_pictures(session, patches, grids, count, error);
    return TENEBRA_OK;
}

tenebra_code tn_session_recall(tn_session *session, const tn_digest *content, tn_grid *grid, tn_tensor *embeds,
                               tenebra_error *error)
{
    *embeds = (tn_tensor){ 0 };
    const tn_image_entry *entry = session->ops.watch ? NULL : tn_image_cache_find(&session->images, content);
    if (entry == NULL)
        return TENEBRA_OK;
    size_t count = entry->embeds.rows * entry->embeds.cols;
    tn_real *data = tn_arena_take(&session->kept, count, sizeof *data);
    if (data == NULL)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "image", "the memory for image embeddings is full");
    memcpy(data, entry->embeds.data, count * sizeof *data);
    *grid = entry->grid;
    *embeds = (tn_tensor){ entry->embeds.rows, entry->embeds.cols, data, NULL };
    return TENEBRA_OK;
}

void tn_session_remember(tn_session *session, const tn_digest *content, tn_grid grid, tn_tensor embeds)
{
    tn_image_cache_add(&session->images, content, grid, embeds);
}

tn_tensor tn_session_keep_row(tn_session *session, const tn_real *values, tenebra_error *error)
{
    tn_tensor row = take_row(&session->kept, session->hidden.cols);
    if (row.data == NULL)
        tn_fail(error, TENEBRA_ERROR_LIMIT, "session", "the memory of one question is full");
    else if (values != NULL)
        memcpy(row.data, values, row.cols * sizeof *values);
    return row;
}

tn_tensor tn_span_input(tn_ops *ops, const tn_decoder *decoder, const tn_slot *slots, size_t count)
{
    size_t tokens = 0, seen = 0;
    for (size_t i = 0; i < count; i++)
        tokens += slots[i].token >= 0;
    int32_t *ids = tn_arena_take(ops->arena, tokens, sizeof *ids);
    tn_row_ref *refs = tn_arena_take(ops->arena, count, sizeof *refs);
    if (ids == NULL || refs == NULL) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MEMORY, "span", "the working memory is full");
        return (tn_tensor){ 0 };
    }
    for (size_t i = 0; i < count; i++)
        if (slots[i].token >= 0)
            ids[seen++] = slots[i].token;
    tn_tensor embedded = { 0 };
    if (tokens > 0)
        embedded = tn_op_gather(ops, &decoder->embed, ids, tokens);
    if (tokens == count)
        return embedded;
    seen = 0;
    for (size_t i = 0; i < count; i++)
        refs[i] = slots[i].token >= 0 ? (tn_row_ref){ embedded, seen++ } : slots[i].row;
    return tn_op_compose(ops, refs, count, decoder->config.hidden_size);
}

/* Adds normed rows to the running mean. */
static void add_to_mean(tn_session *session, tn_tensor normed)
{
    for (size_t row = 0; row < normed.rows; row++) {
        tn_real weight = (tn_real)1 / (tn_real)++session->mean_rows;
        for (size_t i = 0; i < normed.cols; i++) {
            tn_real *mean = &session->mean.data[i];
            *mean = session->mean_rows == 1 ? normed.data[i]
                                            : *mean + (normed.data[row * normed.cols + i] - *mean) * weight;
        }
    }
}

/* For those who want more than the last row. */
static void keep_all_rows(tn_session *session, tn_tensor normed, size_t begin)
{
    if (normed.data != NULL && session->want_mean)
        add_to_mean(session, normed);
    if (normed.data != NULL && session->normed_rows != NULL)
        memcpy(session->normed_rows + begin * normed.cols, normed.data, normed.rows * normed.cols * sizeof(tn_real));
}

/* Runs rows begin .. begin+count-1 of the slots; everything before is in the cache. */
static tenebra_code run_rows(tn_session *session, size_t begin, size_t count, const tn_span_tap *tap,
                             bool last, tenebra_error *error)
{
    tn_ops *ops = &session->ops;
    const tn_decoder *decoder = &session->model->decoder;
    const tn_slot *slots = session->slots + begin;
    tn_position *positions = tn_arena_take(ops->arena, count, sizeof *positions);
    if (positions == NULL) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MEMORY, "span", "the working memory is full");
        return finish(session, error);
    }
    for (size_t i = 0; i < count; i++)
        positions[i] = slots[i].position;
    tn_tensor x = tn_span_input(ops, decoder, slots, count);
    x = tn_decoder_forward(ops, decoder, x, positions, session->cache, begin, tap);
    if (x.data != NULL && (session->want_mean || session->normed_rows != NULL))
        keep_all_rows(session, tn_decoder_norm(ops, decoder, x), begin);
    tn_tensor row = x.data != NULL ? tn_op_rows(ops, x, count - 1, 1) : x;
    /* What is wrong in an earlier row and counts reaches the last one by attention. */
    bool finite = row.data == NULL || tn_all_finite(row.data, row.cols);
    if (row.data != NULL && last) {
        memcpy(session->raw_hidden.data, row.data, row.cols * sizeof(tn_real));
        tn_tensor normed = tn_decoder_norm(ops, decoder, row);
        if (normed.data != NULL)
            memcpy(session->hidden.data, normed.data, normed.cols * sizeof(tn_real));
        finite = finite && (normed.data == NULL || tn_all_finite(normed.data, normed.cols));
    }
    session->positions_computed += count;
    TN_TRY(finish(session, error));
    return finite ? TENEBRA_OK : tn_fail_rows(session, begin, count, error);
}

tenebra_code tn_session_append(tn_session *session, const tn_slot *slots, size_t count,
                               const tn_span_tap *tap, tenebra_error *error)
{
    if (count == 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "span", "has no rows");
    if (count > session->capacity - session->length)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "context",
                       "%zu rows are in the cache and %zu more do not fit into %zu; raise -c", session->length,
                       count, session->capacity);
    memcpy(session->slots + session->length, slots, count * sizeof *slots);
    session->reusable = session->length;
    size_t total = session->length + count, begin = session->recompute ? 0 : session->length;
    size_t query = tap ? session->length + tap->query : 0;
    session->last_call_rows = total - begin;
    while (begin < total) {
        size_t rows = tn_min(SPAN_ROWS, total - begin);
        tn_span_tap part;
        bool holds_query = tap != NULL && query >= begin && query < begin + rows;
        if (holds_query) {
            part = *tap;
            part.query = query - begin;
        }
        TN_TRY(run_rows(session, begin, rows, holds_query ? &part : NULL, begin + rows == total, error));
        begin += rows;
    }
    session->length = session->reusable = total;
    return TENEBRA_OK;
}

tenebra_code tn_session_logits(tn_session *session, tn_tensor normed, tenebra_error *error)
{
    tn_tensor logits = tn_decoder_logits(&session->ops, &session->model->decoder, normed);
    if (logits.data != NULL)
        memcpy(session->logits.data, logits.data, logits.cols * sizeof(tn_real));
    TN_TRY(finish(session, error));
    return tn_all_finite(session->logits.data, session->logits.cols) ? TENEBRA_OK : tn_fail_logits(session, normed, error);
}
