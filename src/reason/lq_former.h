/* An LQ-Former (latent Q-Former): a small transformer that refines a state. Its query attends to itself and to earlier thoughts, and to
 * two things that are joined by gates: embeddings of an image, and states of a text. It is a network to be embedded in a method's module.
 *
 * Our reading of arXiv:2511.02360, which publishes neither code nor sizes; docs/methods.md has the equations. Shapes: C width of the
 * decoder's rows, W of the LQ-Former. */
#ifndef TN_REASON_LQ_FORMER_H
#define TN_REASON_LQ_FORMER_H

#include "model/layout.h"

/* Its sizes among those of the module, from a first one on. */
enum {
    TN_LQ_WIDTH, TN_LQ_INNER, TN_LQ_LAYERS, TN_LQ_HEADS,
    TN_LQ_STEPS, /* the largest number of thoughts         */
    TN_LQ_EXTRA, /* learned queries beside the state's own */
    TN_LQ_ONE,   /* 1, for rows of tables                  */
    TN_LQ_SIZES
};

typedef struct tn_lq_norm {
    tn_vector scale, shift;
} tn_lq_norm;

typedef struct tn_lq_attention {
    tn_weight q, k, v, o;
} tn_lq_attention;

typedef struct tn_lq_layer {
    tn_lq_norm before_self, before_look, before_mlp;
    tn_lq_attention self, look, read; /* to itself and earlier thoughts; to the image; to the text */
    tn_weight gate_state, gate_look, gate_read;
    tn_vector gate_bias;
    tn_weight up, down;
    tn_vector up_bias, down_bias;
} tn_lq_layer;

typedef struct tn_lq_query {
    tn_weight row; /* [1, W] */
} tn_lq_query;

/* The weights. */
typedef struct tn_lq_former {
    tn_weight from_state, from_image, from_text, from_thought; /* [W, C] */
    tn_weight numbers;    /* [STEPS, W] added for the number of a thought */
    tn_lq_query *queries; /* [EXTRA]  */
    tn_lq_layer *layers;  /* [LAYERS] */
    tn_lq_norm last;
    tn_weight out;        /* [C, W] */
} tn_lq_former;

/* The rows and groups of a layout whose struct `type` has a tn_lq_former as `member`; `hidden`: the size C, `first`: TN_LQ_WIDTH, `group`:
 * of layers, the next is that of queries. Members follow a dot, so they are without parentheses. NOLINTBEGIN(bugprone-macro-parentheses) */
#define TN_LQ_TOP(type, member, name_, role_, slot, ...) \
    { .name = "module." name_, TN_LAYOUT_ROW(role_, 0, offsetof(type, member.slot), 1, __VA_ARGS__) }
#define TN_LQ_IN(group_, name_, role_, slot, ...) \
    .name = "module.layers.%zu." name_, TN_LAYOUT_ROW(role_, group_, offsetof(tn_lq_layer, slot), 1, __VA_ARGS__)
#define TN_LQ_NORM(first, group, name, slot)                                        \
    { TN_LQ_IN(group, name ".weight", SCALE, slot.scale, (first) + TN_LQ_WIDTH) },  \
    { TN_LQ_IN(group, name ".bias", SHIFT, slot.shift, (first) + TN_LQ_WIDTH) }
#define TN_LQ_SQUARE(first, group, name, slot) \
    TN_LQ_IN(group, name ".weight", LINEAR, slot, (first) + TN_LQ_WIDTH, (first) + TN_LQ_WIDTH)
#define TN_LQ_ATTENTION(first, group, name, slot)                                             \
    { TN_LQ_SQUARE(first, group, name ".q_proj", slot.q) },                                   \
    { TN_LQ_SQUARE(first, group, name ".k_proj", slot.k) },                                   \
    { TN_LQ_SQUARE(first, group, name ".v_proj", slot.v), .reads = TN_READS_SAME },           \
    { TN_LQ_SQUARE(first, group, name ".o_proj", slot.o), .reads = TN_READS_ATTENTION, .residual = true }
#define TN_LQ_ROWS(type, member, hidden, first, group)                                                          \
    TN_LQ_TOP(type, member, "state.weight", LINEAR, from_state, (first) + TN_LQ_WIDTH, hidden),                 \
    TN_LQ_TOP(type, member, "picture.weight", LINEAR, from_image, (first) + TN_LQ_WIDTH, hidden),               \
    TN_LQ_TOP(type, member, "text.weight", LINEAR, from_text, (first) + TN_LQ_WIDTH, hidden),                   \
    TN_LQ_TOP(type, member, "thought.weight", LINEAR, from_thought, (first) + TN_LQ_WIDTH, hidden),             \
    TN_LQ_TOP(type, member, "steps.weight", PATCHES, numbers, (first) + TN_LQ_STEPS, (first) + TN_LQ_WIDTH),    \
    { .name = "module.queries.%zu.weight",                                                                      \
      TN_LAYOUT_ROW(PATCHES, (group) + 1, offsetof(tn_lq_query, row), 1, (first) + TN_LQ_ONE, (first) + TN_LQ_WIDTH) }, \
    TN_LQ_NORM(first, group, "self_norm", before_self),                                                         \
    TN_LQ_ATTENTION(first, group, "self_attn", self),                                                           \
    TN_LQ_NORM(first, group, "cross_norm", before_look),                                                        \
    TN_LQ_ATTENTION(first, group, "vision_attn", look),                                                         \
    TN_LQ_ATTENTION(first, group, "text_attn", read),                                                           \
    { TN_LQ_SQUARE(first, group, "gate.state", gate_state) },                                                   \
    { TN_LQ_IN(group, "gate.bias", BIAS, gate_bias, (first) + TN_LQ_WIDTH) },                                   \
    { TN_LQ_SQUARE(first, group, "gate.vision", gate_look) },                                                   \
    { TN_LQ_SQUARE(first, group, "gate.text", gate_read) },                                                     \
    TN_LQ_NORM(first, group, "mlp_norm", before_mlp),                                                           \
    { TN_LQ_IN(group, "mlp.up.weight", LINEAR, up, (first) + TN_LQ_INNER, (first) + TN_LQ_WIDTH) },             \
    { TN_LQ_IN(group, "mlp.up.bias", BIAS, up_bias, (first) + TN_LQ_INNER) },                                   \
    { TN_LQ_IN(group, "mlp.down.weight", LINEAR, down, (first) + TN_LQ_WIDTH, (first) + TN_LQ_INNER), .residual = true }, \
    { TN_LQ_IN(group, "mlp.down.bias", BIAS, down_bias, (first) + TN_LQ_WIDTH) },                               \
    TN_LQ_TOP(type, member, "norm.weight", SCALE, last.scale, (first) + TN_LQ_WIDTH),                           \
    TN_LQ_TOP(type, member, "norm.bias", SHIFT, last.shift, (first) + TN_LQ_WIDTH),                             \
    TN_LQ_TOP(type, member, "out.weight", LINEAR, out, hidden, (first) + TN_LQ_WIDTH)
#define TN_LQ_LAYER_GROUP(type, member, first) \
    { offsetof(type, member.layers), sizeof(tn_lq_layer), (first) + TN_LQ_LAYERS, 0, NULL }
#define TN_LQ_QUERY_GROUP(type, member, first) \
    { offsetof(type, member.queries), sizeof(tn_lq_query), (first) + TN_LQ_EXTRA, 0, NULL }
/* NOLINTEND(bugprone-macro-parentheses) */

/* Whether sizes from a file fit each other. */
static inline bool tn_lq_sizes_fit(const size_t *sizes)
{
    return sizes[TN_LQ_WIDTH] > 0 && sizes[TN_LQ_HEADS] > 0 && sizes[TN_LQ_WIDTH] % sizes[TN_LQ_HEADS] == 0 && sizes[TN_LQ_ONE] == 1;
}

/* How what is read of image and text is joined: by learned gates, in equal parts, or only one of them. */
typedef enum tn_lq_gate { TN_LQ_GATE_LEARNED, TN_LQ_GATE_HALF, TN_LQ_GATE_IMAGE, TN_LQ_GATE_TEXT } tn_lq_gate;

/* What it reads, all in width C; empty tensors: nothing. */
typedef struct tn_lq_input {
    tn_tensor state;    /* [1, C] */
    tn_tensor thoughts; /* [step, C] earlier ones, in order */
    tn_tensor picture;  /* [m, C] */
    tn_tensor question; /* [n, C] the text */
    size_t step;        /* number of the thought, from 0, less than STEPS */
    tn_lq_gate gate;
} tn_lq_input;

/* What it adds to the state [1, C]; recordable. `sizes` are those of the module from TN_LQ_WIDTH on, `eps` that of its norms. On
 * failure ops->failure is set. */
tn_tensor tn_lq_former_run(tn_ops *ops, const tn_lq_former *lq, const size_t *sizes, double eps, const tn_lq_input *input);

/* Rows first .. first + count - 1 of a table. */
tn_tensor tn_lq_rows(tn_ops *ops, const tn_weight *table, size_t first, size_t count);

#endif
