/* The decoder: pre-norm transformer, grouped-query attention, rotary positions, SwiGLU.
 * Source: arXiv:2409.12191 (Qwen2-VL) and arXiv:2407.10671 (Qwen2); M-RoPE: the former, section 2.1. */
#include "model/network.h"

#include "base/checked.h"
#include "model/pieces.h"

#include <string.h>

/* Frequency i rotates with the position on the axis of its section. */
static tn_rope rope_of_span(tn_ops *ops, const tn_decoder_config *config, const tn_position *positions, size_t count)
{
    size_t half = config->head_dim / 2;
    float *places = tn_ops_take(ops, "rope", 3 * count, sizeof *places);
    tn_turn *turns = tn_ops_take(ops, "rope", half, sizeof *turns);
    if (turns == NULL)
        return (tn_rope){ 0 };
    for (size_t i = 0; i < half; i++) {
        size_t axis = i < config->mrope_section[0] ? 0
                      : i < config->mrope_section[0] + config->mrope_section[1] ? 1 : 2;
        float exponent = (float)(2 * i) / (float)config->head_dim;
        turns[i] = (tn_turn){ axis, 1.0f / powf((float)config->rope_theta, exponent) };
    }
    for (size_t t = 0; t < count; t++)
        for (size_t axis = 0; axis < 3; axis++)
            places[3 * t + axis] = (float)positions[t].axis[axis];
    return tn_op_angles(ops, places, count, 3, turns, half);
}

/* The state of a tap while its span runs. */
typedef struct tapping {
    tn_tensor rows; /* [H, keys] of the current layer                */
    tn_tensor mean; /* [1, keys] over the layers and heads so far    */
    tn_tap tap;
} tapping;

/* Adds this layer's share to the mean over layers and heads. */
static void collect_tap(tn_ops *ops, const tn_decoder_config *config, const tn_span_tap *tap, const tapping *t, size_t layer)
{
    tn_real share = (tn_real)1 / (tn_real)(config->num_attention_heads * config->num_hidden_layers);
    tn_op_add_heads(ops, t->mean, t->rows, share);
    const tn_real *rows = tap->each != NULL ? tn_op_view(ops, t->rows) : NULL;
    if (rows != NULL)
        tap->each(tap->user, layer, rows);
}

/* Shared by all layers of one forward. While recording, it is in the arena, because the backward may use it again. */
typedef struct run_state {
    const tn_decoder *decoder;
    tn_rope rope;
    const tn_decoder_part *sequences;
    size_t count;
    tapping *taps; /* [count] of those that are tapped */
} run_state;

typedef struct layer_job {
    const run_state *run;
    size_t layer;
} layer_job;

/* Stores the sequences' rows in their caches and fills the arguments of attention for each. */
static void lay_parts(tn_ops *ops, const layer_job *job, tn_tensor k, tn_tensor v, bool again, tn_attention_part *parts)
{
    const run_state *run = job->run;
    const tn_decoder_config *config = &run->decoder->config;
    size_t row = 0;
    for (size_t s = 0; s < run->count && ops->failure.code == TENEBRA_OK; s++) {
        const tn_decoder_part *sequence = &run->sequences[s];
        parts[s] = (tn_attention_part){ sequence->count, sequence->cache[job->layer],
                                        { .heads = config->num_attention_heads,
                                          .kv_heads = config->num_key_value_heads,
                                          .head_dim = config->head_dim,
                                          .causal = true,
                                          .start = sequence->start,
                                          .tap = sequence->tap && !again ? &run->taps[s].tap : NULL } };
        tn_op_store(ops, &parts[s].keys, sequence->start, tn_op_rows(ops, k, row, sequence->count),
                    tn_op_rows(ops, v, row, sequence->count));
        row += sequence->count;
    }
}

/* Norms each head of q or k [T, H*D], if the layer has such a norm. */
static tn_tensor norm_heads(tn_ops *ops, const tn_decoder_config *config, tn_tensor x, const tn_vector *scale, const tn_vector *shift)
{
    if (tn_vector_values(scale) == NULL)
        return x;
    size_t rows = x.rows, cols = x.cols;
    tn_tensor heads = tn_op_reshape(ops, x, rows * (cols / config->head_dim), config->head_dim);
    heads = config->head_norm_centred ? tn_op_layer_norm(ops, heads, scale, shift, config->head_norm_eps)
                                      : tn_op_rms_norm(ops, heads, scale, config->head_norm_eps);
    return tn_op_reshape(ops, heads, rows, cols);
}

static tn_tensor attend(tn_ops *ops, const layer_job *job, tn_tensor x, bool again)
{
    const run_state *run = job->run;
    const tn_decoder_config *config = &run->decoder->config;
    const tn_decoder_layer *layer = &run->decoder->layers[job->layer];
    tn_tensor q = tn_piece_linear(ops, x, &layer->q, &layer->q_bias);
    tn_tensor k = tn_piece_linear(ops, x, &layer->k, &layer->k_bias);
    tn_tensor v = tn_piece_linear(ops, x, &layer->v, &layer->v_bias);
    q = norm_heads(ops, config, q, &layer->q_norm, &layer->q_norm_bias);
    k = norm_heads(ops, config, k, &layer->k_norm, &layer->k_norm_bias);
    q = tn_op_rope(ops, q, &run->rope, config->num_attention_heads);
    k = tn_op_rope(ops, k, &run->rope, config->num_key_value_heads);
    tn_attention_part *parts = tn_ops_take(ops, "attention", run->count, sizeof *parts);
    if (parts == NULL)
        return (tn_tensor){ 0 };
    lay_parts(ops, job, k, v, again, parts);
    tn_tensor mixed = tn_op_attention_parts(ops, q, parts, run->count);
    for (size_t s = 0; s < run->count && !tn_tensor_is_empty(mixed); s++)
        if (parts[s].shape.tap != NULL)
            collect_tap(ops, config, run->sequences[s].tap, &run->taps[s], job->layer);
    return tn_piece_linear(ops, mixed, &layer->o, NULL);
}

static tn_tensor feed_forward(tn_ops *ops, const tn_decoder_layer *layer, tn_tensor x)
{
    tn_tensor gate = tn_piece_linear(ops, x, &layer->gate, NULL);
    tn_tensor up = tn_piece_linear(ops, x, &layer->up, NULL);
    return tn_piece_linear(ops, tn_op_swiglu(ops, gate, up), &layer->down, NULL);
}

static tn_tensor run_layer(tn_ops *ops, tn_tensor x, const void *argument, bool again)
{
    const layer_job *job = argument;
    const tn_decoder *decoder = job->run->decoder;
    const tn_decoder_layer *layer = &decoder->layers[job->layer];
    double eps = decoder->config.rms_norm_eps;
    if (decoder->config.norm_after) {
        x = tn_op_add(ops, x, tn_op_rms_norm(ops, attend(ops, job, x, again), &layer->input_norm, eps));
        return tn_op_add(ops, x, tn_op_rms_norm(ops, feed_forward(ops, layer, x), &layer->post_attention_norm, eps));
    }
    tn_tensor normed = tn_op_rms_norm(ops, x, &layer->input_norm, eps);
    x = tn_op_add(ops, x, attend(ops, job, normed, again));
    normed = tn_op_rms_norm(ops, x, &layer->post_attention_norm, eps);
    return tn_op_add(ops, x, feed_forward(ops, layer, normed));
}

/* Allocates the state and its jobs, one per layer, in the arena; NULL on failure. */
static layer_job *prepare(tn_ops *ops, const tn_decoder *decoder, tn_tensor x, const tn_position *positions,
                          const tn_decoder_part *sequences, size_t count)
{
    const tn_decoder_config *config = &decoder->config;
    size_t rows = 0;
    for (size_t s = 0; s < count; s++)
        rows += sequences[s].count;
    if (ops->failure.code == TENEBRA_OK && (tn_tensor_is_empty(x) || rows != x.rows))
        tn_fail(&ops->failure, TENEBRA_ERROR_MISMATCH, "decoder", "%zu sequences have %zu rows, x has %zu", count, rows, x.rows);
    if (ops->failure.code != TENEBRA_OK)
        return NULL;
    run_state *run = tn_ops_take(ops, "decoder", 1, sizeof *run);
    tn_decoder_part *copy = tn_ops_take(ops, "decoder", count, sizeof *copy);
    layer_job *jobs = tn_ops_take(ops, "decoder", config->num_hidden_layers, sizeof *jobs);
    tapping *taps = tn_ops_take(ops, "decoder", count, sizeof *taps);
    if (taps == NULL)
        return NULL;
    memcpy(copy, sequences, count * sizeof *copy);
    *run = (run_state){ decoder, rope_of_span(ops, config, positions, x.rows), copy, count, taps };
    for (size_t s = 0; s < count; s++) {
        const tn_span_tap *tap = sequences[s].tap;
        if (tap == NULL)
            continue;
        taps[s].rows = tn_op_constant(ops, config->num_attention_heads, tap->count, NULL);
        taps[s].mean = tn_op_constant(ops, 1, tap->count, NULL);
        taps[s].tap = (tn_tap){ tap->query, tap->keys, tap->count, taps[s].rows };
    }
    for (size_t l = 0; l < config->num_hidden_layers; l++)
        jobs[l] = (layer_job){ run, l };
    return jobs;
}

tn_tensor tn_decoder_run(tn_ops *ops, const tn_decoder *decoder, tn_tensor x, const tn_position *positions,
                         const tn_decoder_part *sequences, size_t count, const tn_decoder_added *added)
{
    layer_job *jobs = prepare(ops, decoder, x, positions, sequences, count);
    for (size_t l = 0; l < decoder->config.num_hidden_layers && tn_ops_proceed(ops); l++) {
        size_t mark = tn_ops_mark(ops);
        tn_op_watch(ops, "decoder.layer", l, x);
        x = tn_op_checkpoint(ops, x, run_layer, &jobs[l],
                             ops->checkpoint && tn_network_is_trained(&decoder->network, TN_DECODER_LAYER, l));
        if (added != NULL && l < added->layers)
            x = tn_op_add_rows(ops, x, added->rows, added->from + l * added->count, added->count);
        tn_ops_release(ops, mark);
    }
    for (size_t s = 0; s < count && ops->failure.code == TENEBRA_OK; s++)
        if (sequences[s].tap != NULL)
            tn_op_read(ops, jobs[0].run->taps[s].mean, sequences[s].tap->mean);
    return ops->failure.code == TENEBRA_OK ? x : (tn_tensor){ 0 };
}

tn_tensor tn_decoder_forward(tn_ops *ops, const tn_decoder *decoder, tn_tensor x,
                             const tn_position *positions, tn_keys *cache, size_t start,
                             const tn_span_tap *tap)
{
    tn_decoder_part alone = { x.rows, start, cache, tap };
    return tn_decoder_run(ops, decoder, x, positions, &alone, 1, NULL);
}

tn_tensor tn_decoder_norm(tn_ops *ops, const tn_decoder *decoder, tn_tensor x)
{
    return tn_op_rms_norm(ops, x, &decoder->norm, decoder->config.rms_norm_eps);
}

tn_tensor tn_decoder_logits(tn_ops *ops, const tn_decoder *decoder, tn_tensor normed)
{
    tn_tensor logits = tn_piece_linear(ops, normed, &decoder->head, NULL);
    return decoder->never_count > 0 ? tn_op_rule_out(ops, logits, decoder->never, decoder->never_count) : logits;
}
