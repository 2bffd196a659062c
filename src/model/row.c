#include "model/row.h"

#include <string.h>

tn_image_rows tn_picture_measure(const tn_patch_config *config, size_t width, size_t height)
{
    size_t cell = config->patch_size * config->merge_size;
    tn_image_rows rows = { .frames = 1, .grid_rows = height / cell, .grid_columns = width / cell };
    rows.rows = rows.grid_rows * rows.grid_columns;
    return rows;
}

tn_tensor tn_rows_input(tn_ops *ops, const tn_decoder *decoder, const tn_row *rows, size_t count)
{
    size_t tokens = 0, seen = 0;
    for (size_t i = 0; i < count; i++)
        tokens += rows[i].kind == TN_ROW_TOKEN;
    int32_t *ids = tn_arena_take(ops->arena, tokens, sizeof *ids);
    tn_row_ref *refs = tn_arena_take(ops->arena, count, sizeof *refs);
    if (ids == NULL || refs == NULL) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MEMORY, "span", "the working memory is full");
        return (tn_tensor){ 0 };
    }
    for (size_t i = 0; i < count; i++)
        if (rows[i].kind == TN_ROW_TOKEN)
            ids[seen++] = rows[i].token;
    tn_tensor embedded = { 0 };
    if (tokens > 0)
        embedded = tn_op_gather(ops, &decoder->embed, ids, tokens);
    if (tokens == count)
        return embedded;
    seen = 0;
    for (size_t i = 0; i < count; i++)
        refs[i] = rows[i].kind == TN_ROW_TOKEN  ? (tn_row_ref){ embedded, seen++ }
                  : rows[i].kind == TN_ROW_CELL ? (tn_row_ref){ rows[i].picture->embeds, rows[i].cell }
                                                : rows[i].vector;
    return tn_op_compose(ops, refs, count, decoder->config.hidden_size);
}

tenebra_code tn_rows_of_ids(const tn_model_config *config, const int32_t *ids, size_t count, const tn_image_rows *const *pictures,
                            size_t picture_count, tn_row *rows, tenebra_error *error)
{
    size_t picture = 0;
    for (size_t i = 0; i < count;) {
        if (ids[i] != config->image_token) {
            rows[i] = tn_row_of_token(ids[i]);
            i++;
            continue;
        }
        if (picture == picture_count)
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, "prompt", "holds image tokens for more than %zu images", picture_count);
        size_t cells = pictures[picture]->rows, cell = 0;
        for (; cell < cells && i < count && ids[i] == config->image_token; cell++, i++)
            rows[i] = tn_row_of_cell(pictures[picture], cell);
        if (cell < cells)
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, "prompt", "image %zu needs %zu image tokens, has %zu", picture + 1, cells,
                           cell);
        picture++;
    }
    if (picture != picture_count)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, "prompt", "%zu images were given, the prompt has room for %zu",
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
