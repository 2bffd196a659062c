/* Operations: each forward is written once, next to its backward.
 *
 * A network is a C function that calls operations in order. If `tape` is NULL, this is inference. With a tape, the same
 * calls also record the data for their backward, and tn_tape_backward walks the tape from the end. There is no other
 * difference, so each network has only one implementation.
 *
 * Errors are sticky: the first failure (full arena, shapes that do not fit) is kept in `failure`, the operation returns
 * an empty tensor, and operations on empty tensors do nothing. A network checks once, at its end. */
#ifndef TN_OPS_OPS_H
#define TN_OPS_OPS_H

#include "base/arena.h"
#include "base/pool.h"
#include "base/real.h"
#include "base/rng.h"
#include "kern/kernels.h"

#include <stdatomic.h>
#include <stdint.h>

/* Dense row-major activations. `grad` has the same shape; it is NULL if no gradient is needed: always in inference, and
 * for constants while recording. Passed by value; views share memory. Empty (data NULL) after a failure.
 *
 * `data` and `grad` are addresses that only operations follow (a device may have memory of its own). Code above ops
 * reads with tn_op_read, writes with tn_op_write, and asks tn_tensor_is_empty. */
typedef struct tn_tensor {
    size_t rows, cols;
    tn_real *data;
    tn_real *grad;
} tn_tensor;

static inline bool tn_tensor_is_empty(tn_tensor x) { return x.data == NULL; }

/* A trainable matrix, mapped in its own type; grad [rows, cols] or NULL (frozen). */
typedef struct tn_weight {
    tn_matrix matrix;
    tn_real *grad;
    struct tn_lora *lora; /* low-rank additions for tn_op_lora; NULL if none */
} tn_weight;

/* A low-rank addition to a weight [rows, cols], see tn_op_lora. */
typedef struct tn_lora {
    tn_weight a, b; /* [r, cols], [rows, r] */
    tn_real scale;
    const tn_real *magnitude; /* [rows] DoRA: factor of each output without its bias; NULL: none */
    double dropout; /* dropout probability, 0 <= p < 1, of an input of A; only while ops->dropout is set */
    size_t pass; /* 0: always added; otherwise only while ops->pass has this value */
    struct tn_lora *next; /* the next addition to the same weight, or NULL */
} tn_lora;

/* A trainable vector (bias, norm scale), unpacked; data NULL = absent, grad NULL = frozen. */
typedef struct tn_vector {
    size_t size;
    tn_real *data;
    tn_real *grad;
} tn_vector;

/* Whether the backward adds to a gradient of this weight (without its additions) or vector. */
static inline bool tn_weight_has_grad(const tn_weight *w) { return w->grad != NULL; }
static inline bool tn_vector_has_grad(const tn_vector *v) { return v->grad != NULL; }

/* The values of a vector, on the host. */
static inline const tn_real *tn_vector_values(const tn_vector *v) { return v->data; }

/* Gives all values of a new vector, before operations read it. */
static inline void tn_vector_fill(tn_vector *v, double value)
{
    for (size_t i = 0; i < v->size; i++)
        v->data[i] = (tn_real)value;
}

/* Gives a vector new values [size], before operations read it. */
static inline void tn_vector_write(tn_vector *v, const tn_real *values)
{
    for (size_t i = 0; i < v->size; i++)
        v->data[i] = values[i];
}

/* Make a weight or vector read other memory, with another gradient (NULL: none); both stay the caller's. Weights are
 * always bound in these two, so that a device can copy what it has not seen. */
static inline void tn_weight_bind(tn_weight *w, tn_matrix matrix, tn_real *grad)
{
    w->matrix = matrix;
    w->grad = grad;
}

static inline void tn_vector_bind(tn_vector *v, tn_real *values, tn_real *grad)
{
    v->data = values;
    v->grad = grad;
}

typedef struct tn_tape tn_tape;
typedef struct tn_device tn_device;

/* Called with intermediate values and the names that a network gives them, e.g. ("hidden", layer). */
typedef void tn_watch_fn(void *user, const char *name, size_t index, const tn_tensor *value);

/* What dropout is drawn from: a seed for each row that is computed, so that the draws of a row depend on no other row. An operation
 * may have n rows for each of these, or one for every n of them. */
typedef struct tn_dropout {
    const uint64_t *seeds; /* [rows] while recording, they must live until the backward */
    size_t rows;
    uint64_t drawn; /* operations that have drawn from these seeds */
} tn_dropout;

typedef struct tn_ops {
    const tn_device *device; /* carries out the operations; NULL: the CPU (the only one) */
    const tn_kernels *kernels;
    tn_pool *pool;   /* NULL: caller's thread only                     */
    tn_arena *arena; /* every result and all scratch                   */
    tn_tape *tape;   /* NULL: inference                                */
    tn_watch_fn *watch;
    void *watch_user;
    bool checkpoint; /* gradient checkpointing: the tape keeps only the inputs of layers, and the backward runs the
                      * layers again */
    tn_dropout *dropout; /* NULL: no dropout (inference) */
    const atomic_bool *cancel; /* may be NULL; another thread sets it to stop a network early */
    void (*on_layer)(void *user); /* called before each layer of a network; may be NULL */
    void *on_layer_user;
    size_t pass;     /* low-rank additions of this pass apply in addition to those of all passes; 0: none of a pass */
    tenebra_error failure; /* code 0: none so far                      */
} tn_ops;

/* True if a network should continue with its next layer: no failure so far, and not cancelled (cancelling becomes a
 * failure). */
static inline bool tn_ops_proceed(tn_ops *ops)
{
    if (ops->on_layer != NULL)
        ops->on_layer(ops->on_layer_user);
    if (ops->failure.code == TENEBRA_OK && ops->cancel != NULL && atomic_load(ops->cancel))
        tn_fail(&ops->failure, TENEBRA_ERROR_CANCELLED, "ask", "was cancelled");
    return ops->failure.code == TENEBRA_OK;
}

/* ------------------------------------------------- memory and recording -- */

/* The first starts recording into ops->arena; the second walks the tape back and stops recording. `loss` is [1, 1] and
 * its gradient is set to 1. Weight gradients are added to, not set. The tape keeps copies of ids, labels, borders and
 * of the structures passed in; what these point to (weights, angles, keys) must live until the backward. A result whose
 * inputs have no gradient has none either and is not recorded. */
void tn_tape_start(tn_ops *ops);
void tn_tape_backward(tn_ops *ops, tn_tensor loss);

/* Frees temporaries inside a network: mark before, release after. No effect while recording, because everything must
 * live until the backward. */
size_t tn_ops_mark(const tn_ops *ops);
void tn_ops_release(tn_ops *ops, size_t mark);

/* `count` items for the host in ops->arena; NULL after a failure, also if it is full. */
void *tn_ops_take(tn_ops *ops, const char *operation, size_t count, size_t size);

/* A new tensor, data undefined; while recording with a zeroed gradient. */
tn_tensor tn_op_new(tn_ops *ops, size_t rows, size_t cols);

/* ------------------------------------------- values from and for the host -- */

/* A new tensor without a gradient: a copy of `values`, or zeros if NULL. */
tn_tensor tn_op_constant(tn_ops *ops, size_t rows, size_t cols, const tn_real *values);

/* The same without a copy where that is possible (CPU): `values` must stay as long as the tensor is used. */
tn_tensor tn_op_import(tn_ops *ops, size_t rows, size_t cols, const tn_real *values);

/* A tensor without a gradient in another arena, such as that of a question; data undefined. Empty if it is full. */
tn_tensor tn_tensor_take(tn_arena *arena, size_t rows, size_t cols);

/* All values of x; overwrites all values; copies those of a tensor of the same shape. Not recorded. Reading waits until
 * a device has computed them. The first is false, with `values` unchanged, on failure. */
bool tn_op_read(tn_ops *ops, tn_tensor x, tn_real *values);
void tn_op_write(tn_ops *ops, tn_tensor x, const tn_real *values);
void tn_op_copy(tn_ops *ops, tn_tensor to, tn_tensor from);

/* The values of x for reading: in place (CPU), else a copy in ops->arena; NULL on failure. */
const tn_real *tn_op_view(tn_ops *ops, tn_tensor x);

/* False if a value is NaN or infinite; an empty tensor is finite. */
bool tn_op_is_finite(tn_ops *ops, tn_tensor x);

/* tn_argmax of each row. False on failure. */
bool tn_op_argmax(tn_ops *ops, tn_tensor x, size_t *places);

/* The number of the row of `book` [N, C] that is nearest to each row z of x [T, C]: the least |z|^2 + |e|^2 - 2 z e, the first of equal
 * ones. codes [T]; distances [T] receives these values, or is NULL. Computed from x and book in the type of activations, without
 * rounding x to the narrower numbers of a kernel set, because neighbours may be as near as that. A row of which no distance is finite,
 * or one is NaN, gets -1. Has no backward: a choice has no gradient. False on failure. */
bool tn_op_nearest(tn_ops *ops, tn_tensor x, const tn_weight *book, int32_t *codes, tn_real *distances);

/* The place of the largest of `count` values of the host, the first of equal ones; NaN is less than any number. */
size_t tn_argmax(const tn_real *values, size_t count);

/* True if no value is NaN or infinite; of values of the host. */
bool tn_all_finite(const tn_real *values, size_t count);

/* ------------------------------------------------------- views and joining -- */

/* A view of rows begin .. begin+count-1, or of another shape. No copy. */
tn_tensor tn_op_rows(tn_ops *ops, tn_tensor x, size_t begin, size_t count);
tn_tensor tn_op_reshape(tn_ops *ops, tn_tensor x, size_t rows, size_t cols);

/* Concatenates the rows of several tensors with equal numbers of columns; a single tensor is returned unchanged. */
tn_tensor tn_op_join(tn_ops *ops, const tn_tensor *parts, size_t count);

/* y = run(x). With ops->checkpoint its inside is not kept: it runs without recording, and again with recording during
 * the backward; `argument` must live until then. `run` returns a tensor shaped like x, may write over x in inference,
 * and gets `again` = true the second time. Dropout uses the same random numbers both times. `wanted`: something inside
 * has a gradient, even if x has none. */
typedef tn_tensor tn_replay_fn(tn_ops *ops, tn_tensor x, const void *argument, bool again);
tn_tensor tn_op_checkpoint(tn_ops *ops, tn_tensor x, tn_replay_fn *run, const void *argument, bool wanted);

/* The same values without a gradient. */
tn_tensor tn_op_detach(tn_tensor x);

/* Passes a value to the observer, if there is one. */
void tn_op_watch(tn_ops *ops, const char *name, size_t index, tn_tensor value);

/* --------------------------------------------------------------- linear -- */

/* x [T, cols] -> x W^T + b [T, rows]; bias may be NULL or absent. */
tn_tensor tn_op_linear(tn_ops *ops, tn_tensor x, const tn_weight *w, const tn_vector *bias);

/* y + scale * B (A dropout(x)) for each low-rank addition of the weight, where y is the result of tn_op_linear for x
 * and bias and is written over. Without an addition the result is y. A dropped input is 0, the others are divided by 1
 * - p. With a magnitude, the sum z becomes b + magnitude (z - b), which has no backward (arXiv:2402.09353, as in PEFT). */
tn_tensor tn_op_lora(tn_ops *ops, tn_tensor y, tn_tensor x, const tn_weight *w, const tn_vector *bias);

/* A convolution over one image of height x width pixels, which lie row by row; a square kernel. Rows and columns of zeros surround
 * the image, as many as top, left, bottom, right say. */
typedef struct tn_conv {
    size_t height, width;
    size_t kernel, stride;
    size_t top, left, bottom, right;
} tn_conv;

/* Sides of the resulting image; 0 if the kernel has no place in it. */
size_t tn_conv_rows(const tn_conv *shape);
size_t tn_conv_columns(const tn_conv *shape);

/* x [height * width, channels] -> [rows * columns, outputs], with a weight [outputs, channels, kernel, kernel] (as PyTorch's
 * Conv2d); bias may be NULL or absent. A cross-correlation, as in all such libraries. */
tn_tensor tn_op_conv(tn_ops *ops, tn_tensor x, const tn_conv *shape, const tn_weight *w, const tn_vector *bias);

/* Rows `ids` of a table [V, C] -> [count, C]. Ids out of range are a failure. */
tn_tensor tn_op_gather(tn_ops *ops, const tn_weight *table, const int32_t *ids, size_t count);

/* One row of some tensor. */
typedef struct tn_row_ref {
    tn_tensor source;
    size_t row;
} tn_row_ref;

/* Copies of rows of several tensors, all with `cols` columns -> [count, cols]. The gradient flows to the sources that
 * have one. */
tn_tensor tn_op_compose(tn_ops *ops, const tn_row_ref *refs, size_t count, size_t cols);

/* The mean of all rows -> [1, cols], updated row by row. Has no backward. */
tn_tensor tn_op_mean_rows(tn_ops *ops, tn_tensor x);

/* sum [1, cols] += share * the sum of all rows. Has no backward. */
void tn_op_add_heads(tn_ops *ops, tn_tensor sum, tn_tensor rows, tn_real share);

/* x [T, C] with row refs[i] added to its row rows[i], i < count; a row may get several. Consumes x (see below). */
tn_tensor tn_op_add_rows(tn_ops *ops, tn_tensor x, const size_t *rows, const tn_row_ref *refs, size_t count);

/* ---------------------------------------------------------- elementwise -- */
/* "Consumes x": in inference the result is written over x, while recording into new memory. x itself must not be used
 * afterwards. */

/* x + y, same shape. Consumes x. */
tn_tensor tn_op_add(tn_ops *ops, tn_tensor x, tn_tensor y);
/* silu(gate) * up, same shape. Consumes gate. */
tn_tensor tn_op_swiglu(tn_ops *ops, tn_tensor gate, tn_tensor up);
/* x sigmoid(x) (swish). Consumes x. */
tn_tensor tn_op_silu(tn_ops *ops, tn_tensor x);
/* x sigmoid(1.702 x), and x Phi(x) with the exact error function. Consume x. */
tn_tensor tn_op_quick_gelu(tn_ops *ops, tn_tensor x);
tn_tensor tn_op_gelu(tn_ops *ops, tn_tensor x);

/* x y, same shape, or y [1, 1]: every value times the one of y. Consumes x. */
tn_tensor tn_op_multiply(tn_ops *ops, tn_tensor x, tn_tensor y);
/* 1 / (1 + exp(-x)), and tanh x. Consume x. */
tn_tensor tn_op_sigmoid(tn_ops *ops, tn_tensor x);
tn_tensor tn_op_tanh(tn_ops *ops, tn_tensor x);

/* -------------------------------------------------------------- combine -- */

/* A vector as a row [1, size]. */
tn_tensor tn_op_of_vector(tn_ops *ops, const tn_vector *v);

/* Sums of the rows of x [T, C] with shares [rows, T], which have no gradient -> [rows, C]. */
tn_tensor tn_op_mix(tn_ops *ops, tn_tensor x, const tn_real *shares, size_t rows);
/* The mean of all rows -> [1, C]. */
tn_tensor tn_op_mean(tn_ops *ops, tn_tensor x);

/* scale a b^T: a [T, C], b [S, C] -> [T, S]. */
tn_tensor tn_op_product(tn_ops *ops, tn_tensor a, tn_tensor b, double scale);

/* scale * the sum of all (x - target)^2 -> [1, 1]; no gradient flows to the target. */
tn_tensor tn_op_squared_error(tn_ops *ops, tn_tensor x, tn_tensor target, double scale);

/* ----------------------------------------------------------------- norm -- */
/* w and b have the columns of x, or several times as many: then rows take their scales and shifts in turn, as heads do. */

/* x / sqrt(mean(x^2) + eps) * w, per row; new memory. Statistics in f32, as HF. */
tn_tensor tn_op_rms_norm(tn_ops *ops, tn_tensor x, const tn_vector *w, double eps);
/* (x - mean) / sqrt(var + eps) * w + b, biased variance, per row; new memory. */
tn_tensor tn_op_layer_norm(tn_ops *ops, tn_tensor x, const tn_vector *w, const tn_vector *b, double eps);

/* Group norm of one image [pixels, C]: the columns are divided into `groups` of equal size, and (x - mean) / sqrt(var + eps), biased
 * variance, over all pixels and columns of a group, is multiplied by w [C] and b [C] is added; new memory. Source:
 * arXiv:1803.08494. */
tn_tensor tn_op_group_norm(tn_ops *ops, tn_tensor x, const tn_vector *w, const tn_vector *b, size_t groups, double eps);

/* ------------------------------------------------------------ attention -- */

/* Angles of a span: cos and sin [T, D/2] for each row and frequency. */
typedef struct tn_rope {
    size_t half;
    const tn_real *cos, *sin;
} tn_rope;

/* How the angle of a frequency follows from the place of a row: places[axis] * speed, as a float product, so that far
 * places round as in the reference. */
typedef struct tn_turn {
    size_t axis;
    float speed; /* radians per step */
} tn_turn;

/* The angles of rows at places [count, axes], for turns [half]. Empty on failure. */
tn_rope tn_op_angles(tn_ops *ops, const float *places, size_t count, size_t axes, const tn_turn *turns, size_t half);

/* Rotary position embedding of x [T, H*D], pairs i with i + D/2. Consumes x.
 * Source: arXiv:2104.09864, section 3.2; pairing as in HF `rotate_half`. */
tn_tensor tn_op_rope(tn_ops *ops, tn_tensor x, const tn_rope *rope, size_t heads);

/* Keys and values of one layer of a cache, or of an image: rows of kv_heads * head_dim. They are reals in k and v or,
 * to halve memory and reading, bfloat16 in k_bf16 and v_bf16; the other two are NULL. dk, dv: gradients, NULL outside
 * training and always with bfloat16, which has none. */
typedef struct tn_keys {
    size_t capacity; /* rows */
    size_t stride;   /* values per row = kv_heads * head_dim */
    tn_real *k, *v;
    tn_real *dk, *dv;
    uint16_t *k_bf16, *v_bf16;
} tn_keys;

/* Memory of a cache of TN_F32 or TN_BF16 in an arena, contents undefined; with gradients (TN_F32 only), which `gradients`
 * zeroes; NULL: without. False if the arena is full. */
bool tn_keys_take(tn_keys *keys, tn_arena *arena, size_t capacity, size_t stride, tn_dtype type, tn_ops *gradients);

/* Keys and values that are not stored: all rows of k and v, with their gradients. */
static inline tn_keys tn_keys_of(tn_tensor k, tn_tensor v)
{
    return (tn_keys){ .capacity = k.rows, .stride = k.cols, .k = k.data, .v = v.data, .dk = k.grad, .dv = v.grad };
}

/* Copies k and v [T, stride] into rows start .. start+T-1, rounded to nearest even (relative error 2^-8) if the cache
 * is bfloat16. Its backward moves the gradients that later attention left in dk, dv to k and v; those rows of dk, dv
 * are zero afterwards. The owner of the cache zeroes dk and dv once, before the first recording. */
void tn_op_store(tn_ops *ops, const tn_keys *keys, size_t start, tn_tensor k, tn_tensor v);

/* Selects attention probabilities to return: those of one query row for the given key rows. Costs O(S) for that row; a
 * full map is never built. */
typedef struct tn_tap {
    size_t query;           /* row of q                                               */
    const size_t *keys;     /* [count] key rows, each visible to the query            */
    size_t count;
    tn_tensor rows;         /* [heads, count] probabilities out                       */
} tn_tap;

typedef struct tn_attention {
    size_t heads, kv_heads, head_dim; /* heads is a multiple of kv_heads              */
    bool causal;                      /* query i sees key rows 0 .. start + i         */
    size_t start;
    const size_t *segments;           /* not causal: borders [segment_count + 1], from 0 to T; a query sees the keys of
                                       * its own segment */
    size_t segment_count;
    const size_t *key_segments;       /* not causal: borders [segment_count + 1] of the segments' keys, from 0 on; a segment with queries
                                       * has at least one key. NULL: those of the queries */
    const tn_tap *tap;                /* NULL: none                                   */
} tn_attention;

/* softmax(q k^T / sqrt(D)) v. q [T, heads*D] -> [T, heads*D], new memory. Query head h reads key head h / (heads /
 * kv_heads). Online softmax over key blocks; scratch is O(S) per thread. The backward recomputes the probabilities from
 * a saved log-sum-exp per row and head, stored in two parts (peak score and sum); until then, the keys that it read
 * must not be overwritten. The bits of a row do not depend on the rows that are computed with it, so decoding equals
 * prefill. */
tn_tensor tn_op_attention(tn_ops *ops, tn_tensor q, const tn_keys *keys, const tn_attention *shape);

/* The same for several sequences at once: q holds their rows one after the other, and each sequence sees only its own
 * keys. */
typedef struct tn_attention_part {
    size_t rows; /* of q */
    tn_keys keys;
    tn_attention shape; /* its row numbers start at the part's first row */
} tn_attention_part;

tn_tensor tn_op_attention_parts(tn_ops *ops, tn_tensor q, const tn_attention_part *parts, size_t count);

/* ----------------------------------------------------------------- loss -- */

/* Logits x [T, V] with the lowest finite number in these columns, which are never chosen. Consumes x. The list must live until the
 * backward. */
tn_tensor tn_op_rule_out(tn_ops *ops, tn_tensor x, const int32_t *columns, size_t count);

/* scale * sum over rows with label >= 0 of -log softmax(logits)[label] -> [1, 1]. logits [T, V], labels [T]; rows with
 * a negative label are left out. */
tn_tensor tn_op_cross_entropy(tn_ops *ops, tn_tensor logits, const int32_t *labels, double scale);

#endif
