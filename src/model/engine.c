#include "model/engine.h"

#include "base/checked.h"
#include "model/finite.h"

#include <string.h>

/* Addresses reserved for the arena; only pages that are used take memory. */
static const size_t WORK_RESERVE = (size_t)64 << 30;

tenebra_code tn_engine_open(tn_engine *engine, const tn_model *model, size_t threads, tenebra_error *error)
{
    *engine = (tn_engine){ .model = model };
    TN_TRY(tn_pool_open(threads > 0 ? threads : tn_cpu_count(), &engine->pool, error));
    TN_TRY(tn_arena_reserve(&engine->work, WORK_RESERVE, error));
    engine->ops = (tn_ops){ .kernels = model->kernels, .pool = engine->pool, .arena = &engine->work };
    return TENEBRA_OK;
}

void tn_engine_close(tn_engine *engine)
{
    tn_pool_close(engine->pool);
    tn_arena_close(&engine->work);
    memset(engine, 0, sizeof *engine);
}

tenebra_code tn_engine_finish(tn_engine *engine, size_t mark, tenebra_error *error)
{
    tn_ops *ops = &engine->ops;
    tn_ops_release(ops, mark);
    /* This check is first, because a truncated file gives zeros as weights, which may cause any other error. */
    tenebra_code code = tn_model_check(engine->model, error), failed = ops->failure.code;
    if (code == TENEBRA_OK && failed != TENEBRA_OK) {
        code = failed;
        if (error != NULL)
            *error = ops->failure;
    }
    memset(&ops->failure, 0, sizeof ops->failure);
    return code;
}

size_t tn_engine_rounds(size_t rows)
{
    return (rows + TN_ENGINE_ROUND - 1) / TN_ENGINE_ROUND;
}

/* --------------------------------------------------------------- rounds -- */

/* Rows at .. at+count-1 of a span, which are rows begin .. of a round. */
typedef struct piece {
    tn_span *span;
    size_t at, count, begin;
    tn_span_tap tap;
} piece;

typedef struct batch {
    piece *pieces; /* [count] */
    size_t count, rows;
} batch;

static bool ends_span(const piece *p)
{
    return p->at + p->count == p->span->count;
}

/* Takes the next rows of the spans. *span is the first span with rows left, from row *at on. */
static batch compose_round(tn_ops *ops, tn_span *spans, size_t count, size_t *span, size_t *at)
{
    batch r = { .pieces = tn_ops_take(ops, "span", count - *span, sizeof *r.pieces) };
    size_t limit = ops->tape != NULL ? SIZE_MAX : TN_ENGINE_ROUND;
    while (r.pieces != NULL && *span < count && r.rows < limit) {
        tn_span *from = &spans[*span];
        size_t rows = tn_min(limit - r.rows, from->count - *at);
        if (rows > 0) {
            piece *p = &r.pieces[r.count++];
            *p = (piece){ .span = from, .at = *at, .count = rows, .begin = r.rows };
            if (from->tap != NULL) {
                p->tap = *from->tap;
                p->tap.query -= *at;
            }
            r.rows += rows;
            *at += rows;
        }
        if (*at == from->count) {
            ++*span;
            *at = 0;
        }
    }
    return r;
}

/* The tap of a piece, if its query is in it. */
static const tn_span_tap *tap_of(const piece *p)
{
    return p->span->tap != NULL && p->span->tap->query >= p->at && p->tap.query < p->count ? &p->tap : NULL;
}

/* Runs the rows of a round through the layers: [rows, C] before the final norm. */
static tn_tensor run_layers(tn_engine *engine, const batch *r)
{
    tn_ops *ops = &engine->ops;
    tn_decoder_part *parts = tn_ops_take(ops, "span", r->count, sizeof *parts);
    tn_row *joined = r->count > 1 ? tn_ops_take(ops, "span", r->rows, sizeof *joined) : NULL;
    if (parts == NULL || (joined == NULL && r->count > 1))
        return (tn_tensor){ 0 };
    for (size_t i = 0; i < r->count; i++) {
        const piece *p = &r->pieces[i];
        tn_sequence *sequence = p->span->sequence;
        const tn_row *rows = p->span->rows + p->at;
        parts[i] = (tn_decoder_part){ p->count, sequence->length, sequence->cache, tap_of(p) };
        for (size_t row = 0; row < p->count; row++)
            sequence->keys[sequence->length + row] = tn_row_key_of(&rows[row]);
        if (joined != NULL)
            memcpy(joined + p->begin, rows, p->count * sizeof *rows);
    }
    return tn_rows_run(ops, &engine->model->decoder, joined ? joined : r->pieces[0].span->rows + r->pieces[0].at, r->rows, parts, r->count);
}

/* Stores the rows that callers require in `out`, which got its memory before the round or is part of the record. */
static void keep_rows(tn_ops *ops, const batch *r, tn_tensor x)
{
    for (size_t i = 0; i < r->count; i++) {
        tn_span *span = r->pieces[i].span;
        if (span->wants_rows && ops->tape != NULL)
            span->out = (tn_row_ref){ x, r->pieces[i].begin };
        else if (span->wants_rows)
            tn_op_copy(ops, tn_op_rows(ops, span->out.source, r->pieces[i].at, r->pieces[i].count),
                       tn_op_rows(ops, x, r->pieces[i].begin, r->pieces[i].count));
    }
}

/* Copies a row into memory of the sequence, unless it is recorded. */
static tn_row_ref keep_last(tn_ops *ops, tn_row_ref row, tn_tensor memory)
{
    if (ops->tape != NULL)
        return row;
    tn_op_copy(ops, memory, tn_op_rows(ops, row.source, row.row, 1));
    return (tn_row_ref){ memory, 0 };
}

/* The last rows of the spans that end in this round, before and after the final norm. */
static void keep_last_rows(tn_ops *ops, const tn_decoder *decoder, const batch *r, tn_tensor x)
{
    tn_row_ref *refs = tn_ops_take(ops, "span", r->count, sizeof *refs);
    size_t count = 0;
    for (size_t i = 0; refs != NULL && i < r->count; i++)
        if (ends_span(&r->pieces[i]) && (ops->tape == NULL || r->pieces[i].span->wants_hidden))
            refs[count++] = (tn_row_ref){ x, r->pieces[i].begin + r->pieces[i].count - 1 };
    tn_tensor raw = { 0 }, hidden = { 0 };
    if (count > 0) {
        raw = tn_op_compose(ops, refs, count, x.cols);
        hidden = tn_decoder_norm(ops, decoder, raw);
    }
    for (size_t i = 0, seen = 0; ops->failure.code == TENEBRA_OK && i < r->count; i++) {
        tn_sequence *sequence = r->pieces[i].span->sequence;
        if (!ends_span(&r->pieces[i]) || (ops->tape != NULL && !r->pieces[i].span->wants_hidden))
            continue;
        sequence->raw = keep_last(ops, (tn_row_ref){ raw, seen }, sequence->last[0]);
        sequence->hidden = keep_last(ops, (tn_row_ref){ hidden, seen }, sequence->last[1]);
        seen++;
    }
}

/* The first piece whose last row, before or after the norm, is not finite. A NaN in an earlier row that affects the result
 * reaches the last row by attention. */
static const piece *find_bad(tn_ops *ops, const batch *r, tn_tensor x)
{
    for (size_t i = 0; ops->tape == NULL && i < r->count; i++) {
        const piece *p = &r->pieces[i];
        if (!tn_op_is_finite(ops, tn_op_rows(ops, x, p->begin + p->count - 1, 1)) ||
            (ends_span(p) && !tn_op_is_finite(ops, p->span->sequence->last[1])))
            return p;
    }
    return NULL;
}

static tenebra_code run_round(tn_engine *engine, tn_span *spans, size_t count, size_t *span, size_t *at, tenebra_error *error)
{
    tn_ops *ops = &engine->ops;
    size_t mark = tn_ops_mark(ops);
    batch r = compose_round(ops, spans, count, span, at);
    tn_tensor x = r.count > 0 ? run_layers(engine, &r) : (tn_tensor){ 0 };
    piece bad = { 0 };
    if (!tn_tensor_is_empty(x)) {
        keep_rows(ops, &r, x);
        keep_last_rows(ops, &engine->model->decoder, &r, x);
        const piece *found = ops->failure.code == TENEBRA_OK ? find_bad(ops, &r, x) : NULL;
        bad = found ? *found : bad;
        for (size_t i = 0; found == NULL && i < r.count; i++)
            r.pieces[i].span->sequence->length += r.pieces[i].count;
    }
    TN_TRY(tn_engine_finish(engine, mark, error));
    return bad.span == NULL ? TENEBRA_OK
                            : tn_fail_rows(engine, bad.span->sequence, bad.span->rows + bad.at, bad.count, error);
}

/* ---------------------------------------------------------------- logits -- */

/* Logits of each row into logits[row] [V]. Releases the memory since `mark`. */
static tenebra_code read_logits(tn_engine *engine, size_t mark, tn_tensor normed, tn_real *const *logits, tenebra_error *error)
{
    tn_ops *ops = &engine->ops;
    const tn_tensor found = tn_decoder_logits(ops, &engine->model->decoder, normed);
    tenebra_error problem = { .code = TENEBRA_OK };
    for (size_t row = 0; row < found.rows; row++) {
        tn_op_read(ops, tn_op_rows(ops, found, row, 1), logits[row]);
        if (ops->failure.code == TENEBRA_OK && problem.code == TENEBRA_OK && !tn_all_finite(logits[row], found.cols))
            tn_fail_logits(engine->model, tn_op_view(ops, tn_op_rows(ops, normed, row, 1)), logits[row], &problem);
    }
    TN_TRY(tn_engine_finish(engine, mark, error));
    return problem.code == TENEBRA_OK ? TENEBRA_OK : tn_fail(error, problem.code, problem.where, "%s", problem.sentence);
}

tenebra_code tn_engine_logits(tn_engine *engine, tn_tensor normed, tn_real *logits, tenebra_error *error)
{
    size_t mark = tn_ops_mark(&engine->ops);
    tn_real **rows = tn_ops_take(&engine->ops, "span", normed.rows, sizeof *rows);
    for (size_t row = 0; rows != NULL && row < normed.rows; row++)
        rows[row] = logits + row * engine->model->decoder.head.matrix.rows;
    return read_logits(engine, mark, normed, rows, error);
}

/* Logits of the last rows of all spans that require them, in one product. */
static tenebra_code run_head(tn_engine *engine, const tn_span *spans, size_t count, tenebra_error *error)
{
    tn_ops *ops = &engine->ops;
    size_t mark = tn_ops_mark(ops), wanted = 0;
    tn_row_ref *refs = tn_ops_take(ops, "span", count, sizeof *refs);
    tn_real **rows = tn_ops_take(ops, "span", count, sizeof *rows);
    for (size_t i = 0; refs != NULL && rows != NULL && i < count; i++)
        if (spans[i].logits != NULL) {
            refs[wanted] = spans[i].sequence->hidden;
            rows[wanted++] = spans[i].logits;
        }
    return read_logits(engine, mark, tn_op_compose(ops, refs, wanted, engine->model->config.decoder.hidden_size), rows, error);
}

/* ------------------------------------------------------------------- run -- */

static tenebra_code check_spans(const tn_span *spans, size_t count, tenebra_error *error)
{
    for (size_t i = 0; i < count; i++) {
        const tn_sequence *sequence = spans[i].sequence;
        if (spans[i].count == 0 && (spans[i].logits == NULL || sequence->length == 0))
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "span", "has no rows");
        if (spans[i].count > sequence->capacity - sequence->length)
            return tn_fail(error, TENEBRA_ERROR_LIMIT, "context", "%zu rows are in the cache and %zu more do not fit into %zu; "
                           "raise -c", sequence->length, spans[i].count, sequence->capacity);
    }
    return count > 0 ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_ARGUMENT, "span", "there is none");
}

/* Memory of the rows that callers require, which outlives the rounds. */
static void take_outs(tn_ops *ops, tn_span *spans, size_t count, size_t cols)
{
    for (size_t i = 0; ops->tape == NULL && i < count; i++)
        if (spans[i].wants_rows)
            spans[i].out = (tn_row_ref){ tn_op_new(ops, spans[i].count, cols), 0 };
}

tenebra_code tn_engine_run(tn_engine *engine, tn_span *spans, size_t count, tenebra_error *error)
{
    tn_ops *ops = &engine->ops;
    size_t mark = tn_ops_mark(ops), span = 0, at = 0, done = 0;
    bool heads = false;
    TN_TRY(check_spans(spans, count, error));
    for (size_t i = 0; i < count; i++) {
        done += spans[i].count;
        heads |= spans[i].logits != NULL;
        spans[i].sequence->reusable = spans[i].sequence->length;
    }
    take_outs(ops, spans, count, engine->model->config.decoder.hidden_size);
    tenebra_code code = ops->failure.code == TENEBRA_OK ? TENEBRA_OK : tn_engine_finish(engine, mark, error);
    while (done > 0 && span < count && code == TENEBRA_OK)
        code = run_round(engine, spans, count, &span, &at, error);
    if (code == TENEBRA_OK && heads)
        code = run_head(engine, spans, count, error);
    for (size_t i = 0; i < count; i++) {
        tn_sequence *sequence = spans[i].sequence;
        if (code == TENEBRA_OK)
            sequence->reusable = sequence->length;
        else
            sequence->length = sequence->reusable;
    }
    if (code != TENEBRA_OK)
        tn_ops_release(ops, mark);
    return code;
}

/* -------------------------------------------------------------- images -- */

/* Memory for all images of a call: in the record, or in `kept`. */
typedef struct made {
    tn_encoded tensors; /* embeds and deep of `rows` rows, without codes */
    int32_t *ids;       /* [rows] if images are tokens */
} made;

static bool take_made(const tn_encoder_config *config, size_t rows, size_t cols, tn_arena *kept, made *m)
{
    bool tokens = config->code_count > 0;
    m->ids = tokens ? tn_arena_take(kept, rows, sizeof *m->ids) : NULL;
    if (!tokens)
        m->tensors.embeds = tn_tensor_take(kept, rows, cols);
    bool fits = tokens ? m->ids != NULL : !tn_tensor_is_empty(m->tensors.embeds);
    for (size_t d = 0; d < config->deep; d++) {
        m->tensors.deep[d] = tn_tensor_take(kept, rows, cols);
        fits = fits && !tn_tensor_is_empty(m->tensors.deep[d]);
    }
    return fits;
}

/* Converts codes to tokens; false if one could not be chosen among numbers that are not finite. */
static bool find_ids(tn_ops *ops, const tn_encoder_config *config, const int32_t *codes, size_t count, int32_t *ids)
{
    for (size_t i = 0; ids != NULL && i < count && ops->failure.code == TENEBRA_OK; i++) {
        if (codes[i] < 0)
            return false;
        if ((size_t)codes[i] < config->code_count)
            ids[i] = config->ids[codes[i]];
        else
            tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "vision", "the image encoder gave code %d of %zu", (int)codes[i],
                    config->code_count);
    }
    return true;
}

/* Divides the results among the images. */
static void hand_out(tn_ops *ops, const tn_encoder_config *config, const made *m, tn_image_rows *const *pictures, size_t count)
{
    for (size_t i = 0, at = 0; i < count && ops->failure.code == TENEBRA_OK; i++) {
        tn_image_rows *picture = pictures[i];
        picture->ids = m->ids != NULL ? m->ids + at : NULL;
        picture->embeds = m->ids != NULL ? (tn_tensor){ 0 } : tn_op_rows(ops, m->tensors.embeds, at, picture->rows);
        picture->deep_count = config->deep;
        for (size_t d = 0; d < config->deep; d++)
            picture->deep[d] = tn_op_rows(ops, m->tensors.deep[d], at, picture->rows);
        at += picture->rows;
    }
}

/* Whether the encoder's results match its configuration and this number of rows; otherwise sets ops->failure. */
static bool has_all(tn_ops *ops, const tn_encoder_config *config, const tn_encoded *all, size_t rows, size_t cols)
{
    bool fits = config->code_count > 0 ? all->codes != NULL : all->embeds.rows == rows && all->embeds.cols == cols;
    for (size_t d = 0; d < config->deep; d++)
        fits = fits && all->deep[d].rows == rows && all->deep[d].cols == cols;
    if (ops->failure.code == TENEBRA_OK && !fits)
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "vision", "the images have %zu rows of %zu, the image encoder gave %zu of %zu",
                rows, cols, all->embeds.rows, all->embeds.cols);
    return ops->failure.code == TENEBRA_OK;
}

static bool is_finite(tn_ops *ops, const tn_encoder_config *config, const tn_encoded *tensors)
{
    bool finite = tn_op_is_finite(ops, tensors->embeds);
    for (size_t d = 0; d < config->deep; d++)
        finite = finite && tn_op_is_finite(ops, tensors->deep[d]);
    return finite;
}

/* Copies the encoder's results to memory that outlives the call. */
static void keep(tn_ops *ops, const tn_encoder_config *config, const tn_encoded *all, made *m)
{
    if (config->code_count == 0)
        tn_op_copy(ops, m->tensors.embeds, all->embeds);
    for (size_t d = 0; d < config->deep; d++)
        tn_op_copy(ops, m->tensors.deep[d], all->deep[d]);
}

tenebra_code tn_engine_encode(tn_engine *engine, const tn_prepared *const *prepared, tn_image_rows *const *pictures, size_t count,
                              tn_arena *kept, tenebra_error *error)
{
    tn_ops *ops = &engine->ops;
    const tn_encoder_config *config = &engine->model->config.vision;
    size_t rows = 0, cols = engine->model->config.decoder.hidden_size;
    made m = { 0 };
    for (size_t i = 0; i < count; i++)
        rows += pictures[i]->rows;
    bool recording = ops->tape != NULL;
    if (recording && config->code_count > 0)
        m.ids = tn_ops_take(ops, "span", rows, sizeof *m.ids);
    else if (!recording && !take_made(config, rows, cols, kept, &m))
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "image", "the memory for image embeddings is full");
    size_t mark = tn_ops_mark(ops);
    const tn_encoded all = tn_networks_encode(ops, &engine->model->networks, prepared, count);
    bool chosen = true;
    if (has_all(ops, config, &all, rows, cols)) {
        chosen = find_ids(ops, config, all.codes, rows, m.ids);
        if (recording)
            m.tensors = all;
        else
            keep(ops, config, &all, &m);
        hand_out(ops, config, &m, pictures, count);
    }
    bool finite = ops->failure.code != TENEBRA_OK || (chosen && (recording || is_finite(ops, config, &m.tensors)));
    TN_TRY(tn_engine_finish(engine, mark, error));
    return finite ? TENEBRA_OK : tn_fail_pictures(engine, prepared, count, error);
}
