/* Operations: each forward is written once, its backward beside it.
 *
 * A network is a C function that calls operations in order. With `tape` NULL that is
 * inference. With a tape the same calls also record what their backward needs, and
 * tn_tape_backward walks the record from the end. Nothing else differs, so there is
 * one copy of every network.
 *
 * Errors are sticky: the first failure (full arena, misfitting shapes) is kept in
 * `failure`, the operation returns an empty tensor, and operations on empty tensors do
 * nothing. A network checks once, at its end. */
#ifndef TN_OPS_OPS_H
#define TN_OPS_OPS_H

#include "base/arena.h"
#include "base/pool.h"
#include "base/real.h"
#include "base/rng.h"
#include "kern/kernels.h"

#include <stdatomic.h>
#include <stdint.h>

/* Dense row-major activations. `grad` (same shape) is NULL where no gradient is wanted:
 * always in inference, and on constants while recording. Passed by value; views share memory. */
typedef struct tn_tensor {
    size_t rows, cols;
    tn_real *data;
    tn_real *grad;
} tn_tensor;

/* A trainable matrix, mapped in its own type; grad [rows, cols] or NULL (frozen). */
typedef struct tn_weight {
    tn_matrix matrix;
    tn_real *grad;
    struct tn_lora *lora; /* what tn_op_lora adds; NULL: nothing */
} tn_weight;

/* A low-rank addition to a weight [rows, cols], see tn_op_lora. */
typedef struct tn_lora {
    tn_weight a, b; /* [r, cols], [rows, r] */
    tn_real scale;
    const tn_real *magnitude; /* [rows] DoRA: factor of each output without its bias; NULL: none */
    double dropout; /* probability, 0 <= p < 1, of an input of A; only while ops->dropout is set */
    size_t pass; /* 0: always added; else only while ops->pass is this */
    struct tn_lora *next; /* one more for the same weight, or NULL */
} tn_lora;

/* A trainable vector (bias, norm scale), unpacked; data NULL = absent, grad NULL = frozen. */
typedef struct tn_vector {
    size_t size;
    tn_real *data;
    tn_real *grad;
} tn_vector;

typedef struct tn_tape tn_tape;

/* Called with intermediate values that a network names, e.g. ("hidden", layer). */
typedef void tn_watch_fn(void *user, const char *name, size_t index, const tn_tensor *value);

typedef struct tn_ops {
    const tn_kernels *kernels;
    tn_pool *pool;   /* NULL: caller's thread only                     */
    tn_arena *arena; /* every result and all scratch                   */
    tn_tape *tape;   /* NULL: inference                                */
    tn_watch_fn *watch;
    void *watch_user;
    bool checkpoint; /* recorded networks keep the inputs of their layers only and run them again */
    tn_rng *dropout; /* draws the seed of each dropout; NULL: there is none (inference) */
    const atomic_bool *cancel; /* may be NULL; becomes true to stop a network early */
    void (*on_layer)(void *user); /* called before each layer of a network; NULL: nobody wants to know */
    void *on_layer_user;
    size_t pass;     /* low-rank additions of this pass count, beside those of all; 0: of none */
    tenebra_error failure; /* code 0: none so far                      */
} tn_ops;

/* Whether a network should go on to its next layer: no failure so far, not cancelled
 * (which becomes a failure). */
static inline bool tn_ops_proceed(tn_ops *ops)
{
    if (ops->on_layer != NULL)
        ops->on_layer(ops->on_layer_user);
    if (ops->failure.code == TENEBRA_OK && ops->cancel != NULL && atomic_load(ops->cancel))
        tn_fail(&ops->failure, TENEBRA_ERROR_CANCELLED, "ask", "was cancelled");
    return ops->failure.code == TENEBRA_OK;
}

/* ------------------------------------------------- memory and recording -- */

/* Starts recording into ops->arena / walks the record back and stops recording. `loss` [1, 1];
 * its gradient is set to 1. Weight gradients are added to, not set. The record keeps copies of ids,
 * labels, borders and of the structures passed in; what these point to (weights, angles, keys) must live
 * until the backward. A result that depends on nothing with a gradient has none and is not recorded. */
void tn_tape_start(tn_ops *ops);
void tn_tape_backward(tn_ops *ops, tn_tensor loss);

/* Frees temporaries of a network's inner part: mark before, release after. No effect
 * while recording, where everything must live until the backward. */
size_t tn_ops_mark(const tn_ops *ops);
void tn_ops_release(tn_ops *ops, size_t mark);

/* A fresh tensor, data undefined; while recording with a zeroed gradient. */
tn_tensor tn_op_new(tn_ops *ops, size_t rows, size_t cols);

/* The same memory as rows begin .. begin+count-1, or in another shape. No copy. */
tn_tensor tn_op_rows(tn_ops *ops, tn_tensor x, size_t begin, size_t count);
tn_tensor tn_op_reshape(tn_ops *ops, tn_tensor x, size_t rows, size_t cols);

/* The rows of several tensors of as many columns behind each other; one alone is returned as it is. */
tn_tensor tn_op_join(tn_ops *ops, const tn_tensor *parts, size_t count);

/* y = run(x). With ops->checkpoint its inside is not kept: it runs without a record, and once more with one when the
 * backward comes by; `argument` must live until then. `run` returns a tensor shaped as x, may write over x in
 * inference, and gets `again` = true the second time. Random numbers of dropout are the same both times.
 * `wanted`: something inside has a gradient, even if x has none. */
typedef tn_tensor tn_replay_fn(tn_ops *ops, tn_tensor x, const void *argument, bool again);
tn_tensor tn_op_checkpoint(tn_ops *ops, tn_tensor x, tn_replay_fn *run, const void *argument, bool wanted);

/* The same values without a gradient. */
tn_tensor tn_op_detach(tn_tensor x);

/* Offers a value to the observer, if there is one. */
void tn_op_watch(tn_ops *ops, const char *name, size_t index, tn_tensor value);

/* --------------------------------------------------------------- linear -- */

/* x [T, cols] -> x W^T + b [T, rows]; bias may be NULL or absent. */
tn_tensor tn_op_linear(tn_ops *ops, tn_tensor x, const tn_weight *w, const tn_vector *bias);

/* y + scale * B (A dropout(x)) for each low-rank addition of the weight, y being what tn_op_linear returned for x and bias:
 * y is written over. Without an addition it is y. A dropped input is 0, the others are divided by 1 - p. With a magnitude
 * the sum z becomes b + magnitude (z - b); there is no backward of that (arXiv:2402.09353, as in PEFT). */
tn_tensor tn_op_lora(tn_ops *ops, tn_tensor y, tn_tensor x, const tn_weight *w, const tn_vector *bias);

/* Rows `ids` of a table [V, C] -> [count, C]. Ids out of range are a failure. */
tn_tensor tn_op_gather(tn_ops *ops, const tn_weight *table, const int32_t *ids, size_t count);

/* One row of some tensor. */
typedef struct tn_row_ref {
    tn_tensor source;
    size_t row;
} tn_row_ref;

/* Copies of rows of several tensors, all of `cols` columns -> [count, cols]. The gradient
 * goes back to the sources that have one. */
tn_tensor tn_op_compose(tn_ops *ops, const tn_row_ref *refs, size_t count, size_t cols);

/* ---------------------------------------------------------- elementwise -- */
/* "Consumes x": in inference the result is written over x, while recording into fresh
 * memory; x itself must not be used afterwards. */

/* x + y, same shape. Consumes x. */
tn_tensor tn_op_add(tn_ops *ops, tn_tensor x, tn_tensor y);
/* silu(gate) * up, same shape. Consumes gate. */
tn_tensor tn_op_swiglu(tn_ops *ops, tn_tensor gate, tn_tensor up);
/* x sigmoid(1.702 x) / x Phi(x) with the exact error function. Consume x. */
tn_tensor tn_op_quick_gelu(tn_ops *ops, tn_tensor x);
tn_tensor tn_op_gelu(tn_ops *ops, tn_tensor x);

/* ----------------------------------------------------------------- norm -- */

/* x / sqrt(mean(x^2) + eps) * w, per row; new memory. Statistics in f32, as HF. */
tn_tensor tn_op_rms_norm(tn_ops *ops, tn_tensor x, const tn_vector *w, double eps);
/* (x - mean) / sqrt(var + eps) * w + b, biased variance, per row; new memory. */
tn_tensor tn_op_layer_norm(tn_ops *ops, tn_tensor x, const tn_vector *w, const tn_vector *b, double eps);

/* ------------------------------------------------------------ attention -- */

/* Angles of a span: cos and sin [T, D/2] for each row and frequency. */
typedef struct tn_rope {
    size_t half;
    const tn_real *cos, *sin;
} tn_rope;

/* Rotary position embedding of x [T, H*D], pairs i with i + D/2. Consumes x.
 * Source: arXiv:2104.09864, section 3.2; pairing as in HF `rotate_half`. */
tn_tensor tn_op_rope(tn_ops *ops, tn_tensor x, const tn_rope *rope, size_t heads);

/* Keys and values, rows of kv_heads * head_dim: one layer of a cache, or of a picture. As reals in k and v or,
 * to halve memory and reading, as bfloat16 in k_bf16 and v_bf16; the other two are NULL.
 * dk, dv: gradients, NULL outside of training, and always with bfloat16: it has none. */
typedef struct tn_keys {
    size_t capacity; /* rows */
    size_t stride;   /* values from row to row = kv_heads * head_dim */
    tn_real *k, *v;
    tn_real *dk, *dv;
    uint16_t *k_bf16, *v_bf16;
} tn_keys;

/* Copies k and v [T, stride] into rows start .. start+T-1, rounded to nearest even (relative 2^-8) where the cache
 * is bfloat16. Its backward moves the gradients that later attention left in dk, dv to k and v: those rows of dk,
 * dv are zero afterwards. The owner of the cache zeroes dk and dv once, before the first recording. */
void tn_op_store(tn_ops *ops, const tn_keys *keys, size_t start, tn_tensor k, tn_tensor v);

/* Which attention probabilities to hand out: those of one query row, for the given key
 * rows. Costs O(S) for that row; no map is ever built. */
typedef struct tn_tap {
    size_t query;           /* row of q                                               */
    const size_t *keys;     /* [count] key rows, each visible to the query            */
    size_t count;
    tn_real *rows;          /* [heads, count] probabilities out                       */
} tn_tap;

typedef struct tn_attention {
    size_t heads, kv_heads, head_dim; /* heads is a multiple of kv_heads              */
    bool causal;                      /* query i sees key rows 0 .. start + i         */
    size_t start;
    const size_t *segments;           /* not causal: borders [segment_count + 1], from 0 to T;
                                       * a query sees the keys of its own segment     */
    size_t segment_count;
    const tn_tap *tap;                /* NULL: none                                   */
} tn_attention;

/* softmax(q k^T / sqrt(D)) v. q [T, heads*D] -> [T, heads*D], new memory. Query head h reads
 * key head h / (heads / kv_heads). Online softmax over key blocks; scratch O(S) a thread.
 * Backward recomputes the probabilities from a saved log-sum-exp per row and head, kept as its two
 * parts (peak score and sum). Until then the keys it read must not be stored over. The bits of a row
 * do not depend on the rows computed with it: decoding equals prefill. */
tn_tensor tn_op_attention(tn_ops *ops, tn_tensor q, const tn_keys *keys, const tn_attention *shape);

/* The same for several sequences at once: their rows of q stand behind each other, each sees its own keys only. */
typedef struct tn_attention_part {
    size_t rows; /* of q */
    const tn_keys *keys;
    tn_attention shape; /* its rows count from the part's first */
} tn_attention_part;

tn_tensor tn_op_attention_parts(tn_ops *ops, tn_tensor q, const tn_attention_part *parts, size_t count);

/* ----------------------------------------------------------------- loss -- */

/* scale * sum over rows with label >= 0 of -log softmax(logits)[label] -> [1, 1].
 * logits [T, V], labels [T]; negative labels are left out. */
tn_tensor tn_op_cross_entropy(tn_ops *ops, tn_tensor logits, const int32_t *labels, double scale);

#endif
