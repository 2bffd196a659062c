/* The decoder: its weights, and its forward as functions of operations.
 *
 * It knows flags and sizes, never model names: a backbone (model/backbone.h) fills them in. The same code runs in inference and
 * under a tape.
 * Shape letters: T rows, C hidden_size, H heads, D head_dim, F intermediate_size, V vocabulary,
 * L layers, J image embeddings. */
#ifndef TN_MODEL_NETWORK_H
#define TN_MODEL_NETWORK_H

#include "model/layout.h"

typedef struct tn_decoder_config {
    size_t hidden_size, num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim;
    size_t intermediate_size;
    size_t max_position_embeddings;
    double rms_norm_eps, rope_theta;
    double head_norm_eps;   /* of the norms of q and k, if layers have them */
    bool head_norm_centred; /* these are layer norms; else RMS norms        */
    bool norm_after;        /* a layer norms what attention and MLP give, not what they read */
    /* Frequencies that follow the temporal, height and width index; they add up to D/2.
     * {D/2, 0, 0} is plain rotary embedding. */
    size_t mrope_section[3];
} tn_decoder_config;

typedef struct tn_decoder_layer {
    tn_vector input_norm, post_attention_norm;    /* [C] */
    tn_weight q, k, v, o;                         /* [H*D, C], [Hkv*D, C] twice, [C, H*D] */
    tn_vector q_bias, k_bias, v_bias;             /* may be absent */
    tn_vector q_norm, q_norm_bias;                /* of each head before rotary: [D] for all, or [H*D]; may be absent */
    tn_vector k_norm, k_norm_bias;                /* likewise [D] or [Hkv*D] */
    tn_weight gate, up, down;                     /* [F, C] twice, [C, F] */
} tn_decoder_layer;

/* The decoder's sizes and its group in a layout; TN_SIZE_FREE is V. */
enum {
    TN_DECODER_HIDDEN = TN_SIZE_OWN,
    TN_DECODER_QUERY, /* H * D   */
    TN_DECODER_KEY,   /* Hkv * D */
    TN_DECODER_HEADS,     /* H   */
    TN_DECODER_KEY_HEADS, /* Hkv */
    TN_DECODER_HEAD,      /* D   */
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
    const int32_t *never;     /* [never_count] tokens whose logit is the lowest number; owned by the configuration */
    size_t never_count;
} tn_decoder;

/* Position of a row: temporal, height, width. Plain positions repeat one number. */
typedef struct tn_position {
    int32_t axis[3];
} tn_position;

/* A tap: the attention of one row of a span to chosen keys, collected while the span runs. `mean` [count] receives the
 * probability of each key, averaged over all layers and heads; `each`, if set, is called with the rows [H, count] of every
 * layer. */
typedef struct tn_span_tap {
    size_t query;       /* row of the span                                   */
    const size_t *keys; /* [count] cache rows, at or before the query's      */
    size_t count;
    tn_real *mean;
    void (*each)(void *user, size_t layer, const tn_real *rows);
    void *user;
} tn_span_tap;

/* One of several sequences whose rows run together: its `count` rows follow the `start` rows of its cache. */
typedef struct tn_decoder_part {
    size_t count, start;
    tn_keys *cache;         /* [L] caches; no two sequences share rows         */
    const tn_span_tap *tap; /* or NULL; the query is a row of this sequence    */
} tn_decoder_part;

/* Rows that are added to `count` rows of x after each of the first layers. */
typedef struct tn_decoder_added {
    size_t layers, count;
    const size_t *rows;     /* [count] of x          */
    const tn_row_ref *from; /* [layers, count]       */
} tn_decoder_added;

/* Runs rows x [T, C], the rows of the sequences one after another, through all layers and appends to their caches. positions
 * [T]. Returns [T, C] BEFORE the final norm. Everything except attention runs over all rows at once; a row's result does not
 * depend on the other sequences. `added` may be NULL. With ops->checkpoint, a record keeps only the inputs of layers. Watched
 * values: ("decoder.layer", l, input of layer l). */
tn_tensor tn_decoder_run(tn_ops *ops, const tn_decoder *decoder, tn_tensor x, const tn_position *positions,
                         const tn_decoder_part *sequences, size_t count, const tn_decoder_added *added);

/* The same for one sequence, whose rows follow `start` rows of `cache` [L]. tap may be NULL. */
tn_tensor tn_decoder_forward(tn_ops *ops, const tn_decoder *decoder, tn_tensor x,
                             const tn_position *positions, tn_keys *cache, size_t start,
                             const tn_span_tap *tap);

/* The final norm of any rows [T, C], and the head's logits [T, V] of normed rows. */
tn_tensor tn_decoder_norm(tn_ops *ops, const tn_decoder *decoder, tn_tensor x);
tn_tensor tn_decoder_logits(tn_ops *ops, const tn_decoder *decoder, tn_tensor normed);

#endif
