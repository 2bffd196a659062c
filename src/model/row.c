#include "model/row.h"

#include <string.h>

tn_tensor tn_rows_input(tn_ops *ops, const tn_decoder *decoder, const tn_row *rows, size_t count)
{
    size_t tokens = 0, seen = 0;
    for (size_t i = 0; i < count; i++)
        tokens += tn_row_token(&rows[i]) >= 0;
    int32_t *ids = tn_ops_take(ops, "span", tokens, sizeof *ids);
    tn_row_ref *refs = tn_ops_take(ops, "span", count, sizeof *refs);
    if (ids == NULL || refs == NULL)
        return (tn_tensor){ 0 };
    for (size_t i = 0; i < count; i++)
        if (tn_row_token(&rows[i]) >= 0)
            ids[seen++] = tn_row_token(&rows[i]);
    tn_tensor embedded = { 0 };
    if (tokens > 0)
        embedded = tn_op_gather(ops, &decoder->embed, ids, tokens);
    if (tokens == count)
        return embedded;
    seen = 0;
    for (size_t i = 0; i < count; i++)
        refs[i] = tn_row_token(&rows[i]) >= 0 ? (tn_row_ref){ embedded, seen++ }
                  : rows[i].kind == TN_ROW_CELL ? (tn_row_ref){ rows[i].picture->embeds, rows[i].cell }
                                                : rows[i].vector;
    return tn_op_compose(ops, refs, count, decoder->config.hidden_size);
}

/* What images add to their cells after layers; layers 0: nothing. */
static tn_decoder_added find_added(tn_ops *ops, const tn_row *rows, size_t count)
{
    tn_decoder_added added = { 0 };
    for (size_t i = 0; i < count; i++) {
        size_t deep = rows[i].kind == TN_ROW_CELL ? rows[i].picture->deep_count : 0;
        added.count += deep > 0;
        added.layers = deep > added.layers ? deep : added.layers;
    }
    size_t *places = added.count > 0 ? tn_ops_take(ops, "span", added.count, sizeof *places) : NULL;
    tn_row_ref *from = added.count > 0 ? tn_ops_take(ops, "span", added.layers * added.count, sizeof *from) : NULL;
    if (places == NULL || from == NULL)
        return (tn_decoder_added){ 0 };
    for (size_t i = 0, seen = 0; i < count; i++) {
        if (rows[i].kind != TN_ROW_CELL || rows[i].picture->deep_count == 0)
            continue;
        for (size_t layer = 0; layer < added.layers; layer++)
            from[layer * added.count + seen] = (tn_row_ref){ rows[i].picture->deep[layer], rows[i].cell };
        places[seen++] = i;
    }
    added.rows = places;
    added.from = from;
    return added;
}

tn_tensor tn_rows_run(tn_ops *ops, const tn_decoder *decoder, const tn_row *rows, size_t count, const tn_decoder_part *sequences,
                      size_t sequence_count)
{
    tn_position *positions = tn_ops_take(ops, "span", count, sizeof *positions);
    for (size_t i = 0; positions != NULL && i < count; i++)
        positions[i] = rows[i].position;
    const tn_decoder_added added = find_added(ops, rows, count);
    tn_tensor x = tn_rows_input(ops, decoder, rows, count);
    return ops->failure.code == TENEBRA_OK ? tn_decoder_run(ops, decoder, x, positions, sequences, sequence_count, &added)
                                           : (tn_tensor){ 0 };
}

tenebra_code tn_rows_of_ids(const tn_model_config *config, const int32_t *ids, size_t count, const tn_image_rows *const *pictures,
                            size_t picture_count, tn_row *rows, tenebra_error *error)
{
    size_t picture = 0;
    for (size_t i = 0; i < count;) {
        if (ids[i] != config->picture_token) {
            rows[i] = tn_row_of_token(ids[i]);
            i++;
            continue;
        }
        if (picture == picture_count)
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, "prompt", "contains image tokens for more than %zu images", picture_count);
        size_t cells = pictures[picture]->rows, cell = 0;
        for (; cell < cells && i < count && ids[i] == config->picture_token; cell++, i++)
            rows[i] = tn_row_of_cell(pictures[picture], cell);
        if (cell < cells)
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, "prompt",
                    "image %zu requires %zu image tokens, but has %zu", picture + 1, cells,
                           cell);
        picture++;
    }
    if (picture != picture_count)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, "prompt", "%zu images were given, but the prompt has room for %zu",
                       picture_count, picture);
    return TENEBRA_OK;
}

tn_row_key tn_row_key_of(const tn_row *row)
{
    tn_row_key key = { .kind = row->kind, .position = row->position };
    if (row->kind == TN_ROW_TOKEN)
        key.number = (size_t)row->token;
    if (row->kind == TN_ROW_CELL) {
        key.number = row->cell;
        key.content = row->picture->content;
    }
    return key;
}

bool tn_row_keys_match(const tn_row_key *a, const tn_row_key *b)
{
    bool content = a->kind == TN_ROW_TOKEN || (a->kind == TN_ROW_CELL && tn_digest_equal(&a->content, &b->content));
    return a->kind == b->kind && a->number == b->number && content &&
           memcmp(&a->position, &b->position, sizeof a->position) == 0;
}
