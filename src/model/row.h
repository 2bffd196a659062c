/* One row of input of the decoder. It describes its contents, not where its numbers are stored: the embedding of a token, a
 * cell of an image, or any vector (a hidden state, the output of a module), which may carry a gradient. */
#ifndef TN_MODEL_ROW_H
#define TN_MODEL_ROW_H

#include "model/backbone.h"
#include "model/picture.h"

typedef enum tn_row_kind { TN_ROW_TOKEN, TN_ROW_CELL, TN_ROW_VECTOR } tn_row_kind;

struct tn_row {
    tn_row_kind kind;
    int32_t token;                /* TOKEN; else -1 */
    const tn_image_rows *picture; /* CELL: row `cell` of the encoded image */
    size_t cell;
    tn_row_ref vector;            /* VECTOR */
    tn_position position;
};

static inline tn_row tn_row_of_token(int32_t token)
{
    return (tn_row){ .kind = TN_ROW_TOKEN, .token = token };
}

static inline tn_row tn_row_of_cell(const tn_image_rows *picture, size_t cell)
{
    return (tn_row){ .kind = TN_ROW_CELL, .token = -1, .picture = picture, .cell = cell };
}

static inline tn_row tn_row_of_vector(tn_tensor source, size_t row)
{
    return (tn_row){ .kind = TN_ROW_VECTOR, .token = -1, .vector = { source, row } };
}

/* The token whose embedding is the row's vector: its own, or that of a cell if the image is tokens; else -1. */
static inline int32_t tn_row_token(const tn_row *row)
{
    return row->kind == TN_ROW_CELL && row->picture->ids != NULL ? row->picture->ids[row->cell] : row->token;
}

/* The vectors [count, C] of some rows, in the memory of the operations; can be recorded. */
tn_tensor tn_rows_input(tn_ops *ops, const tn_decoder *decoder, const tn_row *rows, size_t count);

/* Runs rows [count], those of the sequences one after another, through all layers: calls tn_decoder_run with their vectors,
 * positions, and what images add after layers. */
tn_tensor tn_rows_run(tn_ops *ops, const tn_decoder *decoder, const tn_row *rows, size_t count, const tn_decoder_part *sequences,
                      size_t sequence_count);

/* Makes rows [count] from external token ids, in which the cells of images are runs of the image token. Positions are not set.
 * Errors: MISMATCH (the runs do not match the images). */
tenebra_code tn_rows_of_ids(const tn_model_config *config, const int32_t *ids, size_t count, const tn_image_rows *const *pictures,
                            size_t picture_count, tn_row *rows, tenebra_error *error);

/* The contents of a row without pointers, with which it is recognised in another prompt. */
typedef struct tn_row_key {
    tn_row_kind kind;
    size_t number;     /* token or cell          */
    tn_digest content; /* CELL: of the image     */
    tn_position position;
} tn_row_key;

tn_row_key tn_row_key_of(const tn_row *row);

/* Whether two rows have the same vector at the same position. Vectors and images of unknown content are never equal. */
bool tn_row_keys_match(const tn_row_key *a, const tn_row_key *b);

#endif
