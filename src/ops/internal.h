/* Internals of the operations: the tape, sticky failure, memory and parallel work. */
#ifndef TN_OPS_INTERNAL_H
#define TN_OPS_INTERNAL_H

#include "base/checked.h"
#include "ops/ops.h"

/* One recorded operation. Each operation extends it (as its first member) with the data that its backward requires. It
 * is allocated in the arena. */
typedef struct tn_node {
    void (*backward)(tn_ops *ops, struct tn_node *node);
    struct tn_node *previous;
} tn_node;

struct tn_tape {
    tn_node *last;
};

/* True if an operation may continue: nothing has failed so far and x is not empty. An empty x without an earlier
 * failure becomes a failure. */
bool tn_ops_usable(tn_ops *ops, const char *operation, tn_tensor x);

/* `count` items from the arena; NULL and a failure if it is full. */
void *tn_ops_take(tn_ops *ops, const char *operation, size_t count, size_t size);

/* Scratch of `reals` numbers for each worker of the pool; *slice is the distance between two workers' parts. The caller
 * marks the arena before and releases it after. */
tn_real *tn_ops_scratch(tn_ops *ops, const char *operation, size_t reals, size_t *slice);

/* A result of an operation, data undefined. While recording, it has a zeroed gradient if `wanted` (some input or weight
 * has a gradient); otherwise grad is NULL. Empty on failure. */
tn_tensor tn_ops_result(tn_ops *ops, const char *operation, size_t rows, size_t cols, bool wanted);

/* The memory to which an operation that consumes x writes, already containing x: x itself in inference, a copy while
 * recording. */
tn_tensor tn_ops_consume(tn_ops *ops, const char *operation, tn_tensor x, bool wanted);

/* Puts a node of `size` bytes on the tape; NULL on failure. Only while recording. */
void *tn_ops_record(tn_ops *ops, const char *operation, size_t size,
                    void (*backward)(tn_ops *ops, tn_node *node));

/* Runs chunks on the pool, or in the caller if the work is too small to wake a thread. `work`: rough number of
 * vectorised steps of all chunks together (about a nanosecond each). */
void tn_ops_run(tn_ops *ops, size_t chunks, double work, tn_chunk_fn *run, void *argument);

/* Numbers in one chunk of an elementwise operation, and rows of `cols` columns in one chunk of a row-wise operation:
 * they depend only on the shape. */
enum { TN_OPS_BLOCK = 8192 };
static inline size_t tn_ops_row_block(size_t cols)
{
    return tn_max(1, TN_OPS_BLOCK / tn_max(1, cols));
}

/* Columns in one chunk of a sum over rows: a few cache lines. */
enum { TN_OPS_COLUMNS = 64 };

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

static inline bool tn_attend_is_trained(const tn_attend *a)
{
    return a->q.grad != NULL || a->keys.dk != NULL || a->keys.dv != NULL;
}

/* Checks q, keys and shape, and fills *a except its memory. */
bool tn_attend_open(tn_ops *ops, tn_attend *a, tn_tensor q, const tn_keys *keys, const tn_attention *shape);

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
