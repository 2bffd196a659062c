#include "model/sequence.h"

#include "base/checked.h"

#include <string.h>

static bool take_all(tn_sequence *sequence, const tn_decoder_config *config, tn_ops *gradients, tn_arena *arena)
{
    size_t layers = config->num_hidden_layers, stride = config->num_key_value_heads * config->head_dim;
    sequence->cache = tn_arena_take(arena, layers, sizeof *sequence->cache);
    sequence->keys = tn_arena_take(arena, sequence->capacity, sizeof *sequence->keys);
    bool taken = sequence->cache != NULL && sequence->keys != NULL;
    for (size_t l = 0; taken && l < layers; l++)
        taken = tn_keys_take(&sequence->cache[l], arena, sequence->capacity, stride, sequence->type, gradients);
    for (size_t i = 0; i < 2; i++)
        sequence->last[i] = tn_tensor_take(arena, 1, config->hidden_size);
    sequence->raw = (tn_row_ref){ sequence->last[0], 0 };
    sequence->hidden = (tn_row_ref){ sequence->last[1], 0 };
    return taken && !tn_tensor_is_empty(sequence->last[0]) && !tn_tensor_is_empty(sequence->last[1]);
}

bool tn_sequence_take(tn_sequence *sequence, const tn_decoder_config *config, size_t capacity, tn_ops *gradients, tn_arena *arena)
{
    *sequence = (tn_sequence){ .type = TN_F32, .capacity = capacity };
    return take_all(sequence, config, gradients, arena);
}

tenebra_code tn_sequence_open(tn_sequence *sequence, const tn_decoder_config *config, size_t capacity, tn_dtype type,
                              tenebra_error *error)
{
    size_t layers = config->num_hidden_layers, count, values, bytes;
    *sequence = (tn_sequence){ .type = type, .capacity = capacity };
    if (type != TN_F32 && type != TN_BF16)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "cache-type", "keys and values are kept as F32 or BF16, not as %s",
                       tn_dtype_of(type)->name);
    size_t others = 2 * config->hidden_size * sizeof(tn_real) + layers * sizeof(tn_keys) +
                    (2 * layers + 4) * 2 * TN_ARENA_ALIGNMENT;
    bool fits = tn_size_mul(capacity, config->num_key_value_heads * config->head_dim, &count) && tn_size_mul(count, 2 * layers, &values) &&
                tn_size_mul(values, type == TN_BF16 ? sizeof(uint16_t) : sizeof(tn_real), &bytes) &&
                tn_size_add(bytes, others, &bytes) && tn_size_add(bytes, capacity * sizeof(tn_row_key), &bytes);
    if (!fits)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "context", "a context of %zu rows is too large", capacity);
    TN_TRY(tn_arena_open(&sequence->memory, bytes, error));
    return take_all(sequence, config, NULL, &sequence->memory)
               ? TENEBRA_OK
               : tn_fail(error, TENEBRA_ERROR_MEMORY, "context", "the cache does not fit");
}

void tn_sequence_close(tn_sequence *sequence)
{
    tn_arena_close(&sequence->memory);
    memset(sequence, 0, sizeof *sequence);
}

void tn_sequence_truncate(tn_sequence *sequence, size_t length)
{
    sequence->length = tn_min(sequence->length, length);
}

size_t tn_sequence_reuse(tn_sequence *sequence, const tn_row *rows, size_t count)
{
    size_t limit = tn_min(count, sequence->reusable), same = 0;
    for (; same < limit; same++) {
        tn_row_key key = tn_row_key_of(&rows[same]);
        if (!tn_row_keys_match(&sequence->keys[same], &key))
            break;
    }
    return sequence->length = same;
}

void tn_sequence_forget(tn_sequence *sequence)
{
    sequence->length = sequence->reusable = 0;
}
