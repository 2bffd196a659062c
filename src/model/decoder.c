/* The decoder: pre-norm transformer, grouped-query attention, rotary positions, SwiGLU.
 * Source: arXiv:2409.12191 (Qwen2-VL) and arXiv:2407.10671 (Qwen2); M-RoPE: the former, section 2.1. */
#include "model/network.h"

#include <string.h>

/* cos and sin [T, D/2]. Frequency i turns with the axis that its section names; the angle is a float
 * product, as in the reference, so that far positions round alike. */
static tn_rope rope_of_span(tn_ops *ops, const tn_decoder_config *config, const tn_position *positions,
                            size_t count)
{
    size_t half = config->head_dim / 2;
    tn_real *cosines = tn_arena_take(ops->arena, count * half, sizeof *cosines);
    tn_real *sines = tn_arena_take(ops->arena, count * half, sizeof *sines);
    if (cosines == NULL || sines == NULL) {
        tn_fail(&ops->failure, TENEBRA_ERROR_MEMORY, "rope", "the working memory is full");
        return (tn_rope){ 0 };
    }
    for (size_t i = 0; i < half; i++) {
        size_t axis = i < config->mrope_section[0] ? 0
                      : i < config->mrope_section[0] + config->mrope_section[1] ? 1 : 2;
        float exponent = (float)(2 * i) / (float)config->head_dim;
        float inverse = 1.0f / powf((float)config->rope_theta, exponent);
        for (size_t t = 0; t < count; t++) {
            tn_real angle = (float)positions[t].axis[axis] * inverse;
            cosines[t * half + i] = cos(angle);
            sines[t * half + i] = sin(angle);
        }
    }
    return (tn_rope){ half, cosines, sines };
}

/* Adds this layer's share to the mean over layers and heads. */
static void collect_tap(const tn_decoder_config *config, const tn_span_tap *tap, const tn_real *rows,
                        size_t layer)
{
    size_t heads = config->num_attention_heads;
    tn_real share = (tn_real)1 / (tn_real)(heads * config->num_hidden_layers);
    for (size_t key = 0; key < tap->count; key++) {
        tn_real sum = 0;
        for (size_t head = 0; head < heads; head++)
            sum += rows[head * tap->count + key];
        tap->mean[key] += sum * share;
    }
    if (tap->each != NULL)
        tap->each(tap->user, layer, rows);
}

/* What all layers of one span share. */
typedef struct span_state {
    tn_rope rope;
    size_t start;
    const tn_span_tap *tap;
    tn_real *tap_rows; /* [H, count] */
} span_state;

static tn_tensor attend(tn_ops *ops, const tn_decoder *decoder, const tn_decoder_layer *layer, tn_tensor x,
                        tn_keys *keys, const span_state *span)
{
    const tn_decoder_config *config = &decoder->config;
    tn_tensor q = tn_op_linear(ops, x, &layer->q, &layer->q_bias);
    tn_tensor k = tn_op_linear(ops, x, &layer->k, &layer->k_bias);
    tn_tensor v = tn_op_linear(ops, x, &layer->v, &layer->v_bias);
    q = tn_op_rope(ops, q, &span->rope, config->num_attention_heads);
    k = tn_op_rope(ops, k, &span->rope, config->num_key_value_heads);
    tn_op_store(ops, keys, span->start, k, v);
    tn_tap tap = { 0 };
    if (span->tap != NULL)
        tap = (tn_tap){ span->tap->query, span->tap->keys, span->tap->count, span->tap_rows };
    tn_attention shape = { .heads = config->num_attention_heads,
                           .kv_heads = config->num_key_value_heads,
                           .head_dim = config->head_dim,
                           .causal = true,
                           .start = span->start,
                           .tap = span->tap ? &tap : NULL };
    tn_tensor mixed = tn_op_attention(ops, q, keys, &shape);
    return tn_op_linear(ops, mixed, &layer->o, NULL);
}

static tn_tensor feed_forward(tn_ops *ops, const tn_decoder_layer *layer, tn_tensor x)
{
    tn_tensor gate = tn_op_linear(ops, x, &layer->gate, NULL);
    tn_tensor up = tn_op_linear(ops, x, &layer->up, NULL);
    return tn_op_linear(ops, tn_op_swiglu(ops, gate, up), &layer->down, NULL);
}

tn_tensor tn_decoder_forward(tn_ops *ops, const tn_decoder *decoder, tn_tensor x,
                             const tn_position *positions, tn_keys *cache, size_t start,
                             const tn_span_tap *tap)
{
    const tn_decoder_config *config = &decoder->config;
    span_state span = { .rope = rope_of_span(ops, config, positions, x.rows), .start = start, .tap = tap };
    if (tap != NULL) {
        span.tap_rows = tn_arena_take(ops->arena, config->num_attention_heads * tap->count,
                                      sizeof *span.tap_rows);
        if (span.tap_rows == NULL)
            tn_fail(&ops->failure, TENEBRA_ERROR_MEMORY, "tap", "the working memory is full");
        memset(tap->mean, 0, tap->count * sizeof *tap->mean);
    }
    for (size_t l = 0; l < config->num_hidden_layers && tn_ops_proceed(ops); l++) {
        const tn_decoder_layer *layer = &decoder->layers[l];
        size_t mark = tn_ops_mark(ops);
        tn_op_watch(ops, "decoder.layer", l, x);
        tn_tensor normed = tn_op_rms_norm(ops, x, &layer->input_norm, config->rms_norm_eps);
        x = tn_op_add(ops, x, attend(ops, decoder, layer, normed, &cache[l], &span));
        normed = tn_op_rms_norm(ops, x, &layer->post_attention_norm, config->rms_norm_eps);
        x = tn_op_add(ops, x, feed_forward(ops, layer, normed));
        if (tap != NULL && ops->failure.code == TENEBRA_OK)
            collect_tap(config, tap, span.tap_rows, l);
        tn_ops_release(ops, mark);
    }
    return ops->failure.code == TENEBRA_OK ? x : (tn_tensor){ 0 };
}

tn_tensor tn_decoder_norm(tn_ops *ops, const tn_decoder *decoder, tn_tensor x)
{
    return tn_op_rms_norm(ops, x, &decoder->norm, decoder->config.rms_norm_eps);
}

tn_tensor tn_decoder_logits(tn_ops *ops, const tn_decoder *decoder, tn_tensor normed)
{
    return tn_op_linear(ops, normed, &decoder->head, NULL);
}
