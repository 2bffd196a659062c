/* The two networks of a vision-language model, as weights and as functions of operations.
 *
 * They know flags and sizes, never model names: a backbone (model/backbone.h) fills them in.
 * Both run in inference and under a tape; there is no other copy of either.
 * Shape letters: T rows, C hidden_size, H heads, D head_dim, F intermediate_size, V vocabulary,
 * L layers, J image embeddings. */
#ifndef TN_MODEL_NETWORK_H
#define TN_MODEL_NETWORK_H

#include "model/layout.h"

/* ------------------------------------------------------------- decoder -- */

typedef struct tn_decoder_config {
    size_t hidden_size, num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim;
    size_t intermediate_size;
    size_t max_position_embeddings;
    double rms_norm_eps, rope_theta;
    /* Frequencies that follow the temporal, height and width index; they add up to D/2.
     * {D/2, 0, 0} is plain rotary embedding. */
    size_t mrope_section[3];
} tn_decoder_config;

typedef struct tn_decoder_layer {
    tn_vector input_norm, post_attention_norm;    /* [C] */
    tn_weight q, k, v, o;                         /* [H*D, C], [Hkv*D, C] twice, [C, H*D] */
    tn_vector q_bias, k_bias, v_bias;             /* may be absent */
    tn_weight gate, up, down;                     /* [F, C] twice, [C, F] */
} tn_decoder_layer;

/* Its sizes and its group in a layout; TN_SIZE_FREE is V. */
enum {
    TN_DECODER_HIDDEN = TN_SIZE_OWN,
    TN_DECODER_QUERY, /* H * D   */
    TN_DECODER_KEY,   /* Hkv * D */
    TN_DECODER_INTERMEDIATE,
    TN_DECODER_LAYERS,
    TN_DECODER_LAYER = 1
};

typedef struct tn_decoder {
    tn_network network;
    tn_decoder_config config;
    tn_weight embed;          /* [V, C] */
    tn_decoder_layer *layers; /* [L]    */
    tn_vector norm;           /* [C]    */
    tn_weight head;           /* [V, C]; the same matrix as embed when tied */
} tn_decoder;

/* Position of a row: temporal, height, width. Plain positions repeat one number. */
typedef struct tn_position {
    int32_t axis[3];
} tn_position;

/* Attention of one row of a span, while the span runs. `mean` [count] receives the probability of each
 * key averaged over all layers and heads; `each`, if set, sees the rows [H, count] of every layer. */
typedef struct tn_span_tap {
    size_t query;       /* row of the span                                   */
    const size_t *keys; /* [count] cache rows, at or before the query's      */
    size_t count;
    tn_real *mean;
    void (*each)(void *user, size_t layer, const tn_real *rows);
    void *user;
} tn_span_tap;

/* One of several sequences whose rows run together: its `count` rows follow `start` rows of its own cache. */
typedef struct tn_sequence {
    size_t count, start;
    tn_keys *cache;         /* [L]; no two sequences share rows of one         */
    const tn_span_tap *tap; /* or NULL; the query counts in this sequence      */
} tn_sequence;

/* Runs rows x [T, C], the sequences' rows behind each other, through all layers, appending to their caches.
 * positions [T]. Returns [T, C] BEFORE the final norm. Everything but attention runs over all rows at once; a row's
 * result does not depend on the other sequences. With ops->checkpoint a record keeps the inputs of layers only.
 * Watched: ("decoder.layer", l, input of layer l). */
tn_tensor tn_decoder_run(tn_ops *ops, const tn_decoder *decoder, tn_tensor x, const tn_position *positions,
                         const tn_sequence *sequences, size_t count);

/* The same for one sequence that `start` rows of `cache` [L] go before. tap may be NULL. */
tn_tensor tn_decoder_forward(tn_ops *ops, const tn_decoder *decoder, tn_tensor x,
                             const tn_position *positions, tn_keys *cache, size_t start,
                             const tn_span_tap *tap);

/* The final norm of any rows [T, C], and the head's logits [T, V] of normed rows. */
tn_tensor tn_decoder_norm(tn_ops *ops, const tn_decoder *decoder, tn_tensor x);
tn_tensor tn_decoder_logits(tn_ops *ops, const tn_decoder *decoder, tn_tensor normed);

/* -------------------------------------------------------- vision tower -- */

typedef struct tn_vision_config {
    size_t embed_dim, depth, num_heads, mlp_dim;
    size_t patch_values;       /* channels * temporal_patch_size * patch_size^2 */
    size_t spatial_merge_size; /* merged cells are this many patches wide and high */
    size_t hidden_size;        /* of the decoder */
    double layer_norm_eps, rope_theta;
} tn_vision_config;

typedef struct tn_vision_block {
    tn_vector norm1, norm1_bias, norm2, norm2_bias; /* [E] */
    tn_weight q, k, v, proj;                        /* [E, E] */
    tn_vector q_bias, k_bias, v_bias, proj_bias;
    tn_weight fc1, fc2;                             /* [M, E], [E, M] */
    tn_vector fc1_bias, fc2_bias;
} tn_vision_block;

/* Its sizes and its group in a layout. */
enum {
    TN_VISION_WIDTH = TN_SIZE_OWN, /* E                                          */
    TN_VISION_MLP,                 /* M                                          */
    TN_VISION_CHANNELS,            /* of a patch, with the next two              */
    TN_VISION_FRAMES,
    TN_VISION_SIDE,
    TN_VISION_AREA,                /* m^2: patches of a merged cell              */
    TN_VISION_MERGED,              /* m^2 E                                      */
    TN_VISION_HIDDEN,              /* C                                          */
    TN_VISION_DEPTH,
    TN_VISION_BLOCK = 1
};

typedef struct tn_vision {
    tn_network network;
    tn_vision_config config;
    tn_weight patch_embed;      /* [E, patch_values] */
    tn_vision_block *blocks;    /* [depth] */
    tn_vector merge_norm, merge_norm_bias; /* [E] */
    tn_weight merge1, merge2;   /* [m^2 E, m^2 E], [C, m^2 E] */
    tn_vector merge1_bias, merge2_bias;
} tn_vision;

/* Patches of one picture: frames, rows, columns (before merging; h and w multiples of the merge). */
typedef struct tn_grid {
    size_t t, h, w;
} tn_grid;

static inline size_t tn_grid_patches(tn_grid grid) { return grid.t * grid.h * grid.w; }

/* patches [sum t*h*w, patch_values], grouped by merged cell, of `count` pictures -> [J, C], one row a
 * merged cell. Attention stays inside each frame of each picture.
 * Watched: ("vision.patch_embed", 0, [N, E]), ("vision.block", i, output of block i).
 * Source: arXiv:2409.12191, section 2.1. */
tn_tensor tn_vision_forward(tn_ops *ops, const tn_vision *vision, tn_tensor patches,
                            const tn_grid *grids, size_t count);

#endif
