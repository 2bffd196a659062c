/* Internals of the operations: what a device carries out, the tape, sticky failure, memory and parallel work.
 *
 * An operation of ops.h checks its arguments, takes the memory of its result, and lets the device carry it out
 * (tn_ops_apply). Its arguments are a node, which is also what the tape keeps: a code and values, no function of a
 * device. */
#ifndef TN_OPS_INTERNAL_H
#define TN_OPS_INTERNAL_H

#include "base/checked.h"
#include "ops/ops.h"

typedef enum tn_op_code {
    TN_OP_LINEAR, TN_OP_LORA, TN_OP_GATHER, TN_OP_COMPOSE, TN_OP_JOIN, TN_OP_CHECKPOINT, TN_OP_ADD, TN_OP_SWIGLU,
    TN_OP_QUICK_GELU, TN_OP_GELU, TN_OP_NORM, TN_OP_ROPE, TN_OP_STORE, TN_OP_ATTENTION, TN_OP_CROSS_ENTROPY, TN_OP_ADD_ROWS,
    TN_OP_RULE_OUT, TN_OP_SILU, TN_OP_GROUP_NORM, TN_OP_CONV, TN_OP_MULTIPLY, TN_OP_SIGMOID, TN_OP_TANH, TN_OP_VECTOR, TN_OP_MIX,
    TN_OP_PRODUCT, TN_OP_SQUARED_ERROR,
    TN_OP_CODES
} tn_op_code;

/* The arguments of one operation, and its results. Each operation extends it (as its first member). On the tape, it is
 * in the arena, and so are the lists that it points to. */
typedef struct tn_node {
    tn_op_code code;
    struct tn_node *previous; /* on the tape */
} tn_node;

struct tn_tape {
    tn_node *last;
};

/* How a device carries out one operation. The backward adds to the gradients of the arguments. */
typedef struct tn_device_op {
    void (*forward)(tn_ops *ops, tn_node *node);
    void (*backward)(tn_ops *ops, tn_node *node);
} tn_device_op;

/* A device executes operations. The numbers of tensors (data and grad), angles, and caches are addresses in arenas. Only the
 * device follows them: the CPU directly, another device at the same offset of its own memory. Weights and
 * vectors are memory of the host, which a device copies once. All other arguments are values of the host. */
struct tn_device {
    const char *name;
    const tn_device_op *operations[TN_OP_CODES];
    void (*copy)(tn_ops *ops, tn_real *to, const tn_real *from, size_t count); /* from NULL: zeros */
    void (*add)(tn_ops *ops, tn_real *to, const tn_real *from, size_t count);  /* to += from */
    void (*read)(tn_ops *ops, tn_real *host, const tn_real *from, size_t count);
    void (*write)(tn_ops *ops, tn_real *to, const tn_real *host, size_t count);
    /* A tensor of host values that outlive it, and values of a tensor for the host, as long as ops->arena keeps them. */
    tn_real *(*import)(tn_ops *ops, const tn_real *host, size_t count);
    const tn_real *(*view)(tn_ops *ops, const tn_real *from, size_t count);
    /* See ops.h. */
    bool (*is_finite)(tn_ops *ops, tn_tensor x);
    void (*argmax)(tn_ops *ops, tn_tensor x, size_t *places);
    void (*nearest)(tn_ops *ops, tn_tensor x, const tn_weight *book, int32_t *codes, tn_real *distances);
    void (*mean_rows)(tn_ops *ops, tn_tensor mean, tn_tensor x);
    void (*add_heads)(tn_ops *ops, tn_tensor sum, tn_tensor rows, tn_real share);
    void (*angles)(tn_ops *ops, const float *places, size_t count, size_t axes, const tn_turn *turns, size_t half,
                   tn_real *cosines, tn_real *sines);
};

extern const tn_device tn_device_cpu;
extern const tn_device_op tn_cpu_linear, tn_cpu_lora, tn_cpu_gather, tn_cpu_compose, tn_cpu_element, tn_cpu_norm,
    tn_cpu_rope, tn_cpu_store, tn_cpu_attention, tn_cpu_loss, tn_cpu_add_rows, tn_cpu_rule_out,
    tn_cpu_group_norm, tn_cpu_conv, tn_cpu_vector, tn_cpu_mix, tn_cpu_product, tn_cpu_squared;
extern const tn_device_op tn_shared_join, tn_shared_checkpoint; /* made of other operations: the same on every device */

static inline const tn_device *tn_device_of(const tn_ops *ops)
{
    return ops->device != NULL ? ops->device : &tn_device_cpu;
}

/* True if an operation may continue: nothing has failed so far and x is not empty. An empty x without an earlier
 * failure becomes a failure. */
bool tn_ops_usable(tn_ops *ops, const char *operation, tn_tensor x);

/* Scratch of `reals` numbers for each worker of the pool; *slice is the distance between two workers' parts. The caller
 * marks the arena before and releases it after. */
tn_real *tn_ops_scratch(tn_ops *ops, const char *operation, size_t reals, size_t *slice);

/* A result of an operation, data undefined. While recording, it has a zeroed gradient if `wanted` (some input or weight
 * has a gradient); otherwise grad is NULL. Empty on failure. */
tn_tensor tn_ops_result(tn_ops *ops, const char *operation, size_t rows, size_t cols, bool wanted);

/* The memory to which an operation that consumes x writes, already containing x: x itself in inference, a copy while
 * recording. */
tn_tensor tn_ops_consume(tn_ops *ops, const char *operation, tn_tensor x, bool wanted);

/* Carries out the operation whose arguments are the `size` bytes of `node`; with `record` (only while recording), a copy
 * of them is put on the tape first. False on failure, also an earlier one. */
bool tn_ops_apply(tn_ops *ops, tn_op_code code, void *node, size_t size, bool record);

/* The same for an operation with one result, which is recorded if it has a gradient; empty on failure. */
tn_tensor tn_ops_make(tn_ops *ops, tn_op_code code, void *node, size_t size, tn_tensor result);

/* A copy of a list in the arena; NULL on failure. */
void *tn_ops_copy_list(tn_ops *ops, const char *operation, const void *list, size_t count, size_t size);

/* Walks the nodes from the last one back. */
void tn_tape_walk(tn_ops *ops, const tn_tape *tape);

/* Runs chunks on the pool, or in the caller if the work is too small to wake a thread. `work`: rough number of
 * vectorised steps of all chunks together (about a nanosecond each). */
void tn_ops_run(tn_ops *ops, size_t chunks, double work, tn_chunk_fn *run, void *argument);

/* tn_op_nearest of the CPU. */
void tn_cpu_nearest(tn_ops *ops, tn_tensor x, const tn_weight *book, int32_t *codes, tn_real *distances);

/* Numbers in one chunk of an elementwise operation, and rows of `cols` columns in one chunk of a row-wise operation:
 * they depend only on the shape. */
enum { TN_OPS_BLOCK = 8192 };
static inline size_t tn_ops_row_block(size_t cols)
{
    return tn_max(1, TN_OPS_BLOCK / tn_max(1, cols));
}

/* Columns in one chunk of a sum over rows: a few cache lines. */
enum { TN_OPS_COLUMNS = 64 };

/* ---------------------------------------------------------- arguments -- */

typedef struct tn_linear_node {
    tn_node node;
    tn_tensor x, y;
    tn_weight w;
    tn_vector bias; /* may be absent */
} tn_linear_node;

typedef struct tn_lora_node {
    tn_node node;
    tn_tensor x, y;
    tn_lora lora;
    tn_tensor inner; /* [T, r] result: scale * A dropout(x) */
    tn_dropout from; /* of the dropout, as this operation draws from it */
    double dropout;  /* 0: none */
    tn_vector bias;  /* with a magnitude; may be absent */
} tn_lora_node;

typedef struct tn_gather_node {
    tn_node node;
    tn_tensor y;
    tn_weight table;
    const int32_t *ids; /* [T] */
} tn_gather_node;

typedef struct tn_compose_node {
    tn_node node;
    tn_tensor y;
    const tn_row_ref *refs; /* [T] */
} tn_compose_node;

/* x has been copied to y already. */
typedef struct tn_add_rows_node {
    tn_node node;
    tn_tensor x, y;
    size_t count;
    const size_t *rows;     /* [count] of y */
    const tn_row_ref *refs; /* [count]      */
} tn_add_rows_node;

/* x has been copied to y already. */
typedef struct tn_rule_out_node {
    tn_node node;
    tn_tensor x, y;
    const int32_t *columns; /* [count] */
    size_t count;
} tn_rule_out_node;

typedef struct tn_join_node {
    tn_node node;
    tn_tensor y;
    const tn_tensor *parts;
    size_t count;
} tn_join_node;

typedef struct tn_checkpoint_node {
    tn_node node;
    tn_tensor x, y;
    tn_replay_fn *run;
    const void *argument;
    tn_dropout dropout; /* as it was in the first run */
} tn_checkpoint_node;

/* Elementwise: x has been copied to y already. */
typedef struct tn_element_node {
    tn_node node;
    tn_tensor x, other, y; /* other: second argument, may be empty */
} tn_element_node;

typedef struct tn_vector_node {
    tn_node node;
    tn_tensor y; /* [1, size] */
    tn_vector v;
} tn_vector_node;

typedef struct tn_mix_node {
    tn_node node;
    tn_tensor x, y;
    const tn_real *shares; /* [y.rows, x.rows] */
} tn_mix_node;

typedef struct tn_product_node {
    tn_node node;
    tn_tensor a, b, y;
    tn_real scale;
} tn_product_node;

typedef struct tn_squared_node {
    tn_node node;
    tn_tensor x, target, loss; /* target: without a gradient */
    double scale;
} tn_squared_node;

typedef struct tn_norm_node {
    tn_node node;
    tn_tensor x, y;
    tn_vector w, b; /* b absent in RMS norm */
    bool centred;   /* layer norm */
    double eps;
    tn_real *mean, *inverse; /* [T] results for the backward, NULL: not wanted; mean 0 in RMS norm, inverse of the
                              * deviation */
} tn_norm_node;

typedef struct tn_group_norm_node {
    tn_node node;
    tn_tensor x, y;
    tn_vector w, b; /* [columns] */
    size_t groups;
    double eps;
    tn_real *mean, *inverse; /* [groups] results: mean and inverse of the deviation */
} tn_group_norm_node;

typedef struct tn_conv_node {
    tn_node node;
    tn_tensor x, y;
    tn_weight w;
    tn_vector bias; /* may be absent */
    tn_conv shape;
    size_t columns; /* of the resulting image */
} tn_conv_node;

/* x has been copied to y already. */
typedef struct tn_rope_node {
    tn_node node;
    tn_tensor x, y;
    tn_rope rope;
    size_t heads;
} tn_rope_node;

typedef struct tn_store_node {
    tn_node node;
    tn_keys keys;
    size_t start;
    tn_tensor k, v;
} tn_store_node;

typedef struct tn_attention_node {
    tn_node node;
    tn_tensor q, out;
    const tn_attention_part *parts; /* taps only in the forward */
    size_t count;
    tn_real *peak, *total; /* [sum of heads * T over parts] results for the backward: largest score of a row and head,
                            * sum of exp(score - peak); NULL: not wanted */
} tn_attention_node;

typedef struct tn_loss_node {
    tn_node node;
    tn_tensor logits, loss;
    const int32_t *labels; /* [T], negative: left out */
    double scale;
    tn_real *peak;  /* [T] result: largest logit                      */
    double *total;  /* [T] result: sum of exp(logit - peak)           */
    double *losses; /* [T] scratch: loss of the row, 0 without label  */
} tn_loss_node;

/* ---------------------------------------------------------- attention -- */

/* Key rows of one step of the softmax. Borders are multiples counted from the first visible key, which is the same for
 * each row of a segment, so a row's bits do not depend on the other rows. */
enum { TN_KEY_BLOCK = 128 };

/* Query rows begin .. begin+count-1 of one segment, whose keys start at key_begin. Row i of a causal
 * span sees keys up to visible + (i - begin); all rows see `visible` keys when it is not causal. */
typedef struct tn_query_block {
    size_t begin, count;
    size_t key_begin;
    size_t visible; /* end of the keys of the first row */
} tn_query_block;

/* Key rows begin .. begin+count-1 of the segment whose keys start at `segment`. */
typedef struct tn_key_block {
    size_t begin, count, segment;
} tn_key_block;

/* What forward and backward of one part of an attention share; its memory is in the arena. */
typedef struct tn_attend {
    tn_tensor q, out;
    tn_keys keys;
    size_t heads, kv_heads, group, head_dim;
    bool causal;
    tn_real scale; /* 1 / sqrt(D) */
    size_t block_count;
    tn_query_block *blocks;
    size_t row_limit; /* most rows of a block, times group */
    tn_real *peak, *total; /* [heads, T] largest score, sum of exp(score - peak); NULL in inference */
    const tn_tap *tap;
    tn_real *tap_peak, *tap_total; /* [heads] of the tapped row */
    const tn_kernels *kernels;
    tn_real *scratch;
    size_t slice;
    /* Only in the backward: */
    tn_real *dots; /* [heads, T] sum over D of dO O */
    size_t key_block_count;
    tn_key_block *key_blocks;
} tn_attend;

/* The end of the keys that row `row` of the block sees. */
static inline size_t tn_visible_end(const tn_attend *a, const tn_query_block *block, size_t row)
{
    return block->visible + (a->causal ? row : 0);
}

/* The first `width` values of `count` rows, transposed: out[d, j] = rows[j, d]. Rows of `out` are `ld` apart; columns
 * from count up to the next multiple of TN_TRANSPOSE are zeroed. Returns that multiple. */
enum { TN_TRANSPOSE = 16 };
size_t tn_transpose(const tn_real *rows, size_t stride, size_t count, size_t width, tn_real *out, size_t ld);

/* Rows of a cache of any number type as reals. `offset`: of the first value in the cache. */
typedef enum tn_cache_part { TN_KEYS, TN_VALUES } tn_cache_part;

/* `count` rows of `width` values, with their distance in *stride: in place, or widened into `room` [count, width]. */
const tn_real *tn_cache_rows(const tn_keys *keys, tn_cache_part part, size_t offset, size_t count, size_t width,
                             tn_real *room, size_t *stride);
/* A copy of one row of the cache. */
void tn_cache_copy(const tn_keys *keys, tn_cache_part part, size_t offset, size_t width, tn_real *out);

/* Prefetches `count` rows. They must be in the cache of keys and values. */
void tn_cache_fetch(const tn_keys *keys, tn_cache_part part, size_t offset, size_t count, size_t width);

/* True if keys and values are present, in one number type. */
bool tn_cache_is_whole(const tn_keys *keys);

/* Copies the rows of a block of all heads of one group from x [T, heads*D], times `factor`, into
 * out [group*count, D]; row r of out is head r / count, query r % count. */
void tn_gather_heads(const tn_attend *a, const tn_query_block *block, size_t kv_head, const tn_real *x,
                     tn_real factor, tn_real *out);

/* Multiply-adds of the forward. */
double tn_attend_work(const tn_attend *a);

/* Fills *a except its memory. */
void tn_attend_open(const tn_ops *ops, tn_attend *a, tn_tensor q, const tn_attention_part *part);

/* Divides the queries into blocks that do not cross a segment (a->blocks, a->row_limit), and the keys likewise. */
void tn_attend_cut(tn_ops *ops, tn_attend *a, const tn_attention *shape);
void tn_attend_cut_keys(tn_ops *ops, tn_attend *a);

/* Number of reals in a worker's scratch, for forward and backward. */
size_t tn_attend_scratch(const tn_attend *a);
size_t tn_attend_back_scratch(const tn_attend *a);

/* The work of one part in chunks. Numbers of chunks, in this order: blocks times key heads; key heads (the tap); blocks
 * of rows; blocks times key heads; key blocks times key heads. */
void tn_attend_chunk(void *argument, size_t chunk, size_t worker);
void tn_attend_tap_chunk(void *argument, size_t kv_head, size_t worker);
void tn_attend_dots_chunk(void *argument, size_t chunk, size_t worker);
void tn_attend_dq_chunk(void *argument, size_t chunk, size_t worker);
void tn_attend_dkv_chunk(void *argument, size_t chunk, size_t worker);

#endif
